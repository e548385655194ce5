//! Protocol Data Units of the upper layer: types ↔ bytes (PS3.8 §9.3).
//!
//! Own code and not dicom-ul's: its reader adds unchecked lengths of the peer's (`2 + sop_class_uid_length`), copies
//! every fragment, ignores the agreed maximum for P-DATA-TF, and cannot say which reason an A-ABORT should carry.

mod read;
mod write;

pub use read::{Fault, parse, take};

use bytes::Bytes;

/// The one application context there is (PS3.7 §A.2.1).
pub const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
/// Type, reserved byte and length.
pub const HEADER_LEN: usize = 6;
/// A-ASSOCIATE-RQ and -AC longer than this many bytes are refused: 128 presentation contexts with every transfer syntax
/// there is are about half of it.
pub const MAX_ASSOCIATE_LEN: u32 = 1 << 19;
/// Odd numbers from 1 to 255 (PS3.8 §9.3.2.2).
pub const MAX_CONTEXTS: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pdu {
    AssociateRq(Box<AssociateRq>),
    AssociateAc(Box<AssociateAc>),
    AssociateRj(AssociateRj),
    Data(Vec<Pdv>),
    ReleaseRq,
    ReleaseRp,
    Abort(Abort),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssociateRq {
    /// Bit 0 stands for version 1.
    pub protocol_version: u16,
    /// AE titles as sent, without surrounding spaces.
    pub called: String,
    pub calling: String,
    pub application_context: String,
    pub contexts: Vec<ProposedContext>,
    pub user: UserInformation,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedContext {
    pub id: u8,
    pub abstract_syntax: String,
    pub transfer_syntaxes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssociateAc {
    pub called: String,
    pub calling: String,
    pub contexts: Vec<ContextResult>,
    pub user: UserInformation,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextResult {
    pub id: u8,
    pub outcome: ContextOutcome,
    /// Not significant unless accepted.
    pub transfer_syntax: String,
}

/// Result/Reason of a presentation context (PS3.8 Table 9-18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextOutcome {
    Acceptance = 0,
    UserRejection = 1,
    NoReason = 2,
    AbstractSyntaxNotSupported = 3,
    TransferSyntaxesNotSupported = 4,
}

/// User Information (PS3.8 Annex D, PS3.7 Annex D.3.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserInformation {
    /// Largest P-DATA-TF that the sender of this takes, in bytes of its variable field; 0: no limit.
    pub max_length: u32,
    pub implementation_class_uid: String,
    pub implementation_version_name: String,
    /// Operations invoked, operations performed.
    pub asynchronous_operations: Option<(u16, u16)>,
    pub roles: Vec<RoleSelection>,
    pub extended: Vec<ExtendedNegotiation>,
    /// Only ever read, from a request.
    pub identity: Option<UserIdentity>,
    /// In an acceptance: the identity was checked and is right, as the request wanted to know.
    pub identity_confirmed: bool,
}

/// SCP/SCU Role Selection (PS3.7 §D.3.3.4): the roles of the requestor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSelection {
    pub sop_class: String,
    pub scu: bool,
    pub scp: bool,
}

/// SOP Class Extended Negotiation (PS3.7 §D.3.3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedNegotiation {
    pub sop_class: String,
    pub information: Bytes,
}

/// User Identity Negotiation (PS3.7 §D.3.3.7). The fields are kept out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct UserIdentity {
    /// 1 user name, 2 with passcode, 3 Kerberos, 4 SAML, 5 JWT.
    pub kind: u8,
    pub response_requested: bool,
    pub primary: Bytes,
    pub secondary: Bytes,
}

impl std::fmt::Debug for UserIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserIdentity").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A-ASSOCIATE-RJ (PS3.8 Table 9-21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssociateRj {
    pub result: u8,
    pub source: u8,
    pub reason: u8,
}

impl AssociateRj {
    pub const NO_REASON: Self = Self { result: 1, source: 1, reason: 1 };
    pub const APPLICATION_CONTEXT: Self = Self { result: 1, source: 1, reason: 2 };
    pub const CALLING_AE_TITLE: Self = Self { result: 1, source: 1, reason: 3 };
    pub const CALLED_AE_TITLE: Self = Self { result: 1, source: 1, reason: 7 };
    pub const PROTOCOL_VERSION: Self = Self { result: 1, source: 2, reason: 2 };
    /// Transient, like [`Self::LOCAL_LIMIT`]: the peer may try again.
    pub const CONGESTION: Self = Self { result: 2, source: 3, reason: 1 };
    pub const LOCAL_LIMIT: Self = Self { result: 2, source: 3, reason: 2 };

    /// All of them, and when each is sent.
    pub const ALL: [(Self, &str); 7] = [
        (Self::APPLICATION_CONTEXT, "another application context"),
        (Self::CALLING_AE_TITLE, "not a peer of ours, or not from its host or with its certificate, or no AE title"),
        (Self::CALLED_AE_TITLE, "not one of our AE titles"),
        (Self::NO_REASON, "a maximum PDU length from 1 to 127; a user identity that is not right"),
        (Self::PROTOCOL_VERSION, "bit 0 of the protocol version is not set"),
        (
            Self::LOCAL_LIMIT,
            "too many associations, in all or of this peer; too many connections that have none yet, in all or from one host",
        ),
        (Self::CONGESTION, "the archive does not answer"),
    ];

    /// In words, for logs and the command line.
    pub fn reason_text(&self) -> &'static str {
        match (self.source, self.reason) {
            (1, 2) => "application context name not supported",
            (1, 3) => "calling AE title not recognized",
            (1, 7) => "called AE title not recognized",
            (2, 2) => "protocol version not supported",
            (3, 1) => "temporary congestion",
            (3, 2) => "local limit exceeded",
            _ => "no reason given",
        }
    }
}

/// One Presentation Data Value (PS3.8 §9.3.5.1, Annex E).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdv {
    pub context: u8,
    pub is_command: bool,
    pub is_last: bool,
    pub data: Bytes,
}

/// A-ABORT (PS3.8 Table 9-26).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort {
    pub source: u8,
    pub reason: u8,
}

impl Abort {
    /// The service user, that is the application above the upper layer; the reason is not significant.
    pub const USER: Self = Self { source: 0, reason: 0 };
    pub const NOT_SPECIFIED: Self = Self { source: 2, reason: 0 };
    pub const UNRECOGNIZED_PDU: Self = Self { source: 2, reason: 1 };
    pub const UNEXPECTED_PDU: Self = Self { source: 2, reason: 2 };
    pub const UNRECOGNIZED_PARAMETER: Self = Self { source: 2, reason: 4 };
    pub const UNEXPECTED_PARAMETER: Self = Self { source: 2, reason: 5 };
    pub const INVALID_PARAMETER: Self = Self { source: 2, reason: 6 };

    /// In words, for logs and the command line.
    pub fn reason_text(&self) -> &'static str {
        match (self.source, self.reason) {
            (0, _) => "by the service user",
            (_, 1) => "unrecognized PDU",
            (_, 2) => "unexpected PDU",
            (_, 4) => "unrecognized PDU parameter",
            (_, 5) => "unexpected PDU parameter",
            (_, 6) => "invalid PDU parameter value",
            _ => "reason not specified",
        }
    }
}
