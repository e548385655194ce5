//! DIMSE statuses that the one table of `pacs_core::status` has no failure for (PS3.7 Annex C, PS3.4 Table C.4-1).

pub const SUCCESS: u16 = 0x0000;
/// The request names no instance that could be meant (PS3.7 §C.5.8).
pub const INVALID_SOP_INSTANCE: u16 = 0x0117;
pub const UNRECOGNIZED_OPERATION: u16 = 0x0211;
/// Requested optional attributes are not supported (PS3.4 Tables CC.2.6-3, CC.2.7-3); a warning.
pub const OPTIONAL_ATTRIBUTES: u16 = 0x0001;
/// Some attributes of the request were not taken over (PS3.7 §C.4.2); a warning.
pub const ATTRIBUTE_LIST_ERROR: u16 = 0x0107;
/// A warning: the value is kept.
pub const ATTRIBUTE_VALUE_OUT_OF_RANGE: u16 = 0x0116;
/// It was created before.
pub const DUPLICATE_SOP_INSTANCE: u16 = 0x0111;
/// An N-service names an instance that there is not (PS3.7 §C.5.9).
pub const NO_SUCH_SOP_INSTANCE: u16 = 0x0112;
/// PS3.7 §C.5.10.
pub const NO_SUCH_EVENT_TYPE: u16 = 0x0113;
pub const INVALID_ARGUMENT: u16 = 0x0115;
pub const NO_SUCH_ACTION: u16 = 0x0123;
/// A match, and all keys of the query were supported.
pub const PENDING: u16 = 0xFF00;
/// A match, and an optional key of the query was not supported.
pub const PENDING_WITHOUT_SOME_KEYS: u16 = 0xFF01;
pub const CANCELLED: u16 = 0xFE00;
/// Refused: out of resources.
pub const OUT_OF_RESOURCES: u16 = 0xA700;
/// Refused: out of resources, the number of matches cannot be calculated (PS3.4 Table C.4-2).
pub const TOO_MANY_MATCHES: u16 = 0xA701;
/// Refused: out of resources, no sub-operation could be performed.
pub const NO_SUB_OPERATION: u16 = 0xA702;
/// Refused: the move destination is not known.
pub const UNKNOWN_DESTINATION: u16 = 0xA801;
/// Some sub-operations failed, or warned.
pub const SUB_OPERATIONS_FAILED: u16 = 0xB000;
