//! What can go wrong, as the outside sees it: one table for both wires.

/// A category of failure. Every crate's error maps onto one of these; logs keep the whole chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The bytes do not parse as DICOM, or break a structural limit.
    CannotUnderstand,
    /// A mandatory attribute is missing or unusable (no Study Instance UID, malformed SOP Instance UID …).
    MissingAttribute,
    /// The data set does not match what was announced (SOP Class or Instance UID of the command).
    DataSetMismatch,
    /// The SOP Class is not supported, or refused by policy.
    SopClass,
    /// The transfer syntax is not supported for what was asked.
    TransferSyntax,
    /// The same SOP Instance UID is already held with other content.
    DuplicateInstance,
    NoSuchInstance,
    /// A query key or parameter cannot be understood.
    InvalidQuery,
    /// A parameter or header of the request is malformed.
    BadRequest,
    NotAuthenticated,
    NotAuthorised,
    /// None of the representations that the client accepts can be made.
    NotAcceptable,
    /// The request body has a media type that the service does not take.
    UnsupportedMediaType,
    TooLarge,
    /// The disk is full: the peer should try again when there is room.
    NoRoom,
    /// Something of ours cannot be reached or is in too great demand: the peer should try again later.
    Unavailable,
    /// Pixel data cannot be decoded.
    Undecodable,
    /// What is stored is not what was received, and is not served.
    Damaged,
    /// It may not be deleted, or not yet: a legal hold or a rule of retention is in the way.
    Kept,
    /// A fault of ours.
    Internal,
}

impl Failure {
    /// DIMSE status (PS3.7 Annex C, PS3.4 Table B.2-1, C.4-1) and HTTP status (PS3.18 §8.5).
    ///
    /// In STOW-RS the first number is the Failure Reason of an instance (PS3.18 §10.5.3, Annex I).
    pub const fn statuses(self) -> (u16, u16) {
        match self {
            Self::CannotUnderstand => (0xC000, 400),
            Self::MissingAttribute => (0x0120, 400),
            Self::DataSetMismatch => (0xA900, 409),
            Self::SopClass => (0x0122, 409),
            Self::TransferSyntax => (0xC122, 409),
            Self::DuplicateInstance => (0x0111, 409),
            Self::NoSuchInstance => (0x0112, 404),
            Self::InvalidQuery => (0xA900, 400),
            Self::BadRequest => (0xC000, 400),
            Self::NotAuthenticated => (0x0124, 401),
            Self::NotAuthorised => (0x0124, 403),
            Self::NotAcceptable => (0xC000, 406),
            Self::UnsupportedMediaType => (0xC000, 415),
            Self::TooLarge => (0xA700, 413),
            Self::NoRoom => (0xA700, 507),
            Self::Unavailable => (0xA700, 503),
            Self::Undecodable => (0xC000, 422),
            Self::Kept => (0x0124, 409),
            Self::Damaged | Self::Internal => (0x0110, 500),
        }
    }

    pub const fn dimse(self) -> u16 {
        self.statuses().0
    }

    pub const fn http(self) -> u16 {
        self.statuses().1
    }
}
