//! Failures and warnings with their statuses.

/// Why something is not done (PS3.4 Tables CC.2.1-2 to CC.2.8-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpsError {
    #[error("the UPS may no longer be updated")]
    Final,
    #[error("the correct Transaction UID was not provided")]
    Transaction,
    #[error("the UPS is already IN PROGRESS")]
    InProgress,
    #[error("the UPS may only become SCHEDULED via N-CREATE")]
    Scheduled,
    #[error("the UPS lacks {0}, which its final state requires")]
    Requirements(&'static str),
    #[error("there is no such UPS")]
    NoSuchWorkitem,
    #[error("the receiving AE title is not configured with host and port")]
    UnknownReceiver,
    #[error("Procedure Step State was not SCHEDULED")]
    NotScheduled,
    #[error("the UPS is not yet in the IN PROGRESS state")]
    NotInProgress,
    #[error("the UPS is already COMPLETED")]
    Completed,
    #[error("the performer cannot be contacted: nobody is subscribed")]
    NoPerformer,
    #[error("the action is not appropriate for this instance")]
    NotAppropriate,
    #[error("a UPS of this UID was created before")]
    Duplicate,
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} has no value")]
    NoValue(&'static str),
    #[error("{0} has a value that it cannot have")]
    Invalid(&'static str),
}

impl UpsError {
    pub const fn status(self) -> u16 {
        match self {
            Self::Final => 0xC300,
            Self::Transaction => 0xC301,
            Self::InProgress => 0xC302,
            Self::Scheduled => 0xC303,
            Self::Requirements(_) => 0xC304,
            Self::NoSuchWorkitem => 0xC307,
            Self::UnknownReceiver => 0xC308,
            Self::NotScheduled => 0xC309,
            Self::NotInProgress => 0xC310,
            Self::Completed => 0xC311,
            Self::NoPerformer => 0xC312,
            Self::NotAppropriate => 0xC314,
            Self::Duplicate => 0x0111,
            Self::Missing(_) => 0x0120,
            Self::NoValue(_) => 0x0121,
            Self::Invalid(_) => 0x0106,
        }
    }
}

/// What is done otherwise than asked for, or was done before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error("the UPS was created with modifications")]
    Modified,
    #[error("the UPS is already in the requested state of CANCELED")]
    AlreadyCanceled,
    #[error("requested optional attributes are not supported")]
    Coerced,
    #[error("the UPS is already in the requested state of COMPLETED")]
    AlreadyCompleted,
}

impl Warning {
    pub const fn status(self) -> u16 {
        match self {
            Self::Modified => 0xB300,
            Self::AlreadyCanceled => 0xB304,
            Self::Coerced => 0xB305,
            Self::AlreadyCompleted => 0xB306,
        }
    }
}
