//! Command sets: elements of group 0000 in implicit VR little endian ↔ one type (PS3.7 §6.3, Annex E).

use pacs_core::{Tag, tags};

/// No data set follows (PS3.7 §E.1): Command Data Set Type 0101H.
const NO_DATA_SET: u16 = 0x0101;

/// Kinds of message by Command Field (PS3.7 Table E.1-1).
pub mod field {
    pub const C_STORE_RQ: u16 = 0x0001;
    pub const C_STORE_RSP: u16 = 0x8001;
    pub const C_GET_RQ: u16 = 0x0010;
    pub const C_FIND_RQ: u16 = 0x0020;
    pub const C_MOVE_RQ: u16 = 0x0021;
    pub const C_ECHO_RQ: u16 = 0x0030;
    pub const C_ECHO_RSP: u16 = 0x8030;
    pub const N_EVENT_REPORT_RQ: u16 = 0x0100;
    pub const N_EVENT_REPORT_RSP: u16 = 0x8100;
    pub const N_GET_RQ: u16 = 0x0110;
    pub const N_SET_RQ: u16 = 0x0120;
    pub const N_ACTION_RQ: u16 = 0x0130;
    pub const N_CREATE_RQ: u16 = 0x0140;
    pub const C_CANCEL_RQ: u16 = 0x0FFF;
    /// Set in every response.
    pub const RESPONSE: u16 = 0x8000;
}

/// The elements of a command set that we read or write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandSet {
    pub command_field: u16,
    pub affected_sop_class_uid: Option<String>,
    pub message_id: Option<u16>,
    pub message_id_being_responded_to: Option<u16>,
    pub priority: Option<u16>,
    pub has_data_set: bool,
    pub status: Option<u16>,
    pub error_comment: Option<String>,
    /// Which of the errors that share a status, by the service class.
    pub error_id: Option<u16>,
    pub affected_sop_instance_uid: Option<String>,
    pub requested_sop_class_uid: Option<String>,
    pub requested_sop_instance_uid: Option<String>,
    pub event_type_id: Option<u16>,
    pub action_type_id: Option<u16>,
    /// Attributes that an N-GET asks for; empty: all.
    pub attribute_identifier_list: Vec<Tag>,
    /// AE title of a C-MOVE's destination.
    pub move_destination: Option<String>,
    /// Who asked for the C-MOVE that a C-STORE is part of, and by which message.
    pub move_originator: Option<(String, u16)>,
    pub sub_operations: SubOperations,
}

/// Numbers of sub-operations in the answers to C-GET and C-MOVE (PS3.7 §9.3.3.2, §9.3.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubOperations {
    /// Absent in the last answer, unless the operation was cancelled.
    pub remaining: Option<u16>,
    pub completed: Option<u16>,
    pub failed: Option<u16>,
    pub warning: Option<u16>,
}

/// Why bytes are no command set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("command set: {0}")]
pub struct CommandError(&'static str);

impl CommandSet {
    /// Reads a whole command set. Elements that we do not know are skipped.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, CommandError> {
        let mut command = Self::default();
        let (mut has_field, mut has_data_set_type) = (false, false);
        while !bytes.is_empty() {
            let (tag, value, rest) = element(bytes)?;
            bytes = rest;
            match tag {
                tags::AFFECTED_SOP_CLASS_UID => command.affected_sop_class_uid = Some(text(value)),
                tags::COMMAND_FIELD => (command.command_field, has_field) = (number(value)?, true),
                tags::MESSAGE_ID => command.message_id = Some(number(value)?),
                tags::MESSAGE_ID_BEING_RESPONDED_TO => command.message_id_being_responded_to = Some(number(value)?),
                tags::PRIORITY => command.priority = Some(number(value)?),
                tags::COMMAND_DATA_SET_TYPE => {
                    (command.has_data_set, has_data_set_type) = (number(value)? != NO_DATA_SET, true);
                }
                tags::STATUS => command.status = Some(number(value)?),
                tags::ERROR_COMMENT => command.error_comment = Some(text(value)),
                tags::ERROR_ID => command.error_id = Some(number(value)?),
                tags::ATTRIBUTE_IDENTIFIER_LIST => command.attribute_identifier_list = tag_list(value),
                tags::AFFECTED_SOP_INSTANCE_UID => command.affected_sop_instance_uid = Some(text(value)),
                tags::REQUESTED_SOP_CLASS_UID => command.requested_sop_class_uid = Some(text(value)),
                tags::REQUESTED_SOP_INSTANCE_UID => command.requested_sop_instance_uid = Some(text(value)),
                tags::EVENT_TYPE_ID => command.event_type_id = Some(number(value)?),
                tags::ACTION_TYPE_ID => command.action_type_id = Some(number(value)?),
                tags::MOVE_DESTINATION => command.move_destination = Some(text(value)),
                tags::NUMBER_OF_REMAINING_SUBOPERATIONS => command.sub_operations.remaining = Some(number(value)?),
                tags::NUMBER_OF_COMPLETED_SUBOPERATIONS => command.sub_operations.completed = Some(number(value)?),
                tags::NUMBER_OF_FAILED_SUBOPERATIONS => command.sub_operations.failed = Some(number(value)?),
                tags::NUMBER_OF_WARNING_SUBOPERATIONS => command.sub_operations.warning = Some(number(value)?),
                tags::MOVE_ORIGINATOR_APPLICATION_ENTITY_TITLE => {
                    command.move_originator.get_or_insert_default().0 = text(value);
                }
                tags::MOVE_ORIGINATOR_MESSAGE_ID => {
                    command.move_originator.get_or_insert_default().1 = number(value)?;
                }
                _ => {}
            }
        }
        if !has_field {
            return Err(CommandError("Command Field is missing"));
        }
        // C-CANCEL-RQ of old peers has been seen without it.
        if !has_data_set_type && command.command_field != field::C_CANCEL_RQ {
            return Err(CommandError("Command Data Set Type is missing"));
        }
        Ok(command)
    }

    /// The command set with its group length, elements by rising tag.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        put_text(&mut out, tags::AFFECTED_SOP_CLASS_UID, self.affected_sop_class_uid.as_deref(), 0);
        put_text(&mut out, tags::REQUESTED_SOP_CLASS_UID, self.requested_sop_class_uid.as_deref(), 0);
        put_number(&mut out, tags::COMMAND_FIELD, Some(self.command_field));
        put_number(&mut out, tags::MESSAGE_ID, self.message_id);
        put_number(&mut out, tags::MESSAGE_ID_BEING_RESPONDED_TO, self.message_id_being_responded_to);
        put_text(&mut out, tags::MOVE_DESTINATION, self.move_destination.as_deref(), b' ');
        put_number(&mut out, tags::PRIORITY, self.priority);
        put_number(&mut out, tags::COMMAND_DATA_SET_TYPE, Some(if self.has_data_set { 0 } else { NO_DATA_SET }));
        put_number(&mut out, tags::STATUS, self.status);
        put_text(&mut out, tags::ERROR_COMMENT, self.error_comment.as_deref(), b' ');
        put_number(&mut out, tags::ERROR_ID, self.error_id);
        put_text(&mut out, tags::AFFECTED_SOP_INSTANCE_UID, self.affected_sop_instance_uid.as_deref(), 0);
        put_text(&mut out, tags::REQUESTED_SOP_INSTANCE_UID, self.requested_sop_instance_uid.as_deref(), 0);
        put_number(&mut out, tags::EVENT_TYPE_ID, self.event_type_id);
        if !self.attribute_identifier_list.is_empty() {
            put(&mut out, tags::ATTRIBUTE_IDENTIFIER_LIST, &list_of(&self.attribute_identifier_list));
        }
        put_number(&mut out, tags::ACTION_TYPE_ID, self.action_type_id);
        let SubOperations { remaining, completed, failed, warning } = self.sub_operations;
        put_number(&mut out, tags::NUMBER_OF_REMAINING_SUBOPERATIONS, remaining);
        put_number(&mut out, tags::NUMBER_OF_COMPLETED_SUBOPERATIONS, completed);
        put_number(&mut out, tags::NUMBER_OF_FAILED_SUBOPERATIONS, failed);
        put_number(&mut out, tags::NUMBER_OF_WARNING_SUBOPERATIONS, warning);
        if let Some((ae_title, message_id)) = &self.move_originator {
            put_text(&mut out, tags::MOVE_ORIGINATOR_APPLICATION_ENTITY_TITLE, Some(ae_title), b' ');
            put_number(&mut out, tags::MOVE_ORIGINATOR_MESSAGE_ID, Some(*message_id));
        }

        let mut whole = Vec::with_capacity(out.len() + 12);
        let len = u32::try_from(out.len()).expect("a command set of bounded texts");
        put(&mut whole, tags::COMMAND_GROUP_LENGTH, &len.to_le_bytes());
        whole.extend(out);
        whole
    }

    /// The response to this request with a status; `None` in the Message ID is answered as 0, which no request has. What an
    /// N-service requests is what its response says was affected (PS3.7 §10.1).
    pub fn response(&self, status: u16) -> Self {
        let (class, instance) = (&self.affected_sop_class_uid, &self.affected_sop_instance_uid);
        Self {
            command_field: self.command_field | field::RESPONSE,
            affected_sop_class_uid: class.clone().or_else(|| self.requested_sop_class_uid.clone()),
            message_id_being_responded_to: Some(self.message_id.unwrap_or_default()),
            status: Some(status),
            affected_sop_instance_uid: instance.clone().or_else(|| self.requested_sop_instance_uid.clone()),
            event_type_id: self.event_type_id,
            action_type_id: self.action_type_id,
            ..Self::default()
        }
    }

    /// Adds an Error Comment (0000,0902): VR LO, at most 64 characters of the default repertoire.
    pub fn with_comment(mut self, comment: &str) -> Self {
        let plain = |c: char| if (' '..='~').contains(&c) && c != '\\' { c } else { '?' };
        self.error_comment = Some(comment.chars().take(64).map(plain).collect());
        self
    }

    /// The DIMSE service in the words of PS3.7, for spans.
    pub fn operation(&self) -> &'static str {
        match self.command_field {
            field::C_STORE_RQ => "C-STORE",
            field::C_FIND_RQ => "C-FIND",
            field::C_GET_RQ => "C-GET",
            field::C_MOVE_RQ => "C-MOVE",
            field::C_ECHO_RQ => "C-ECHO",
            field::C_CANCEL_RQ => "C-CANCEL",
            field::N_GET_RQ => "N-GET",
            field::N_SET_RQ => "N-SET",
            field::N_ACTION_RQ => "N-ACTION",
            field::N_CREATE_RQ => "N-CREATE",
            field::N_EVENT_REPORT_RQ => "N-EVENT-REPORT",
            _ => "other",
        }
    }
}

/// The first element of `bytes`: tag, value, rest.
fn element(bytes: &[u8]) -> Result<(Tag, &[u8], &[u8]), CommandError> {
    let (&[g0, g1, e0, e1, l0, l1, l2, l3], rest) =
        bytes.split_first_chunk::<8>().ok_or(CommandError("ends inside an element"))?;
    let tag = Tag(u16::from_le_bytes([g0, g1]), u16::from_le_bytes([e0, e1]));
    if tag.group() != 0 {
        return Err(CommandError("holds an element outside group 0000"));
    }
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let (value, rest) =
        rest.split_at_checked(len).ok_or(CommandError("an element claims more bytes than there are"))?;
    Ok((tag, value, rest))
}

fn number(value: &[u8]) -> Result<u16, CommandError> {
    value.try_into().map(u16::from_le_bytes).map_err(|_| CommandError("a number has not two bytes"))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned()
}

/// What is left of a list cut short is dropped.
fn tag_list(value: &[u8]) -> Vec<Tag> {
    let (tags, _) = value.as_chunks::<4>();
    tags.iter().map(|[a, b, c, d]| Tag(u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]))).collect()
}

fn list_of(tags: &[Tag]) -> Vec<u8> {
    tags.iter().flat_map(|tag| [tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat()).collect()
}

fn put_number(out: &mut Vec<u8>, tag: Tag, value: Option<u16>) {
    if let Some(value) = value {
        put(out, tag, &value.to_le_bytes());
    }
}

fn put_text(out: &mut Vec<u8>, tag: Tag, value: Option<&str>, padding: u8) {
    if let Some(value) = value {
        let mut value = value.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(padding);
        }
        put(out, tag, &value);
    }
}

fn put(out: &mut Vec<u8>, tag: Tag, value: &[u8]) {
    let len = u32::try_from(value.len()).expect("a command element came in one message or from us");
    out.extend(tag.group().to_le_bytes());
    out.extend(tag.element().to_le_bytes());
    out.extend(len.to_le_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{option, prelude::*};

    #[test]
    fn garbage_is_named() {
        let check = |bytes: &[u8], what| assert_eq!(CommandSet::parse(bytes), Err(CommandError(what)));
        check(&[], "Command Field is missing");
        check(&[0, 0, 0, 1], "ends inside an element");
        check(&[8, 0, 5, 0, 0, 0, 0, 0], "holds an element outside group 0000");
        check(&[0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 1], "an element claims more bytes than there are");
        check(&[0, 0, 0, 1, 1, 0, 0, 0, 1], "a number has not two bytes");
        check(&[0, 0, 0, 1, 2, 0, 0, 0, 1, 0], "Command Data Set Type is missing");
    }

    #[test]
    fn a_response_carries_the_requests_own_message_id_and_a_bounded_comment() {
        let request = CommandSet {
            command_field: field::C_ECHO_RQ,
            message_id: Some(7),
            affected_sop_class_uid: Some("1.2".to_owned()),
            ..CommandSet::default()
        };
        let response = request.response(0x0110).with_comment(&"影\\".repeat(90));
        assert_eq!(response.command_field, field::C_ECHO_RSP);
        assert_eq!(response.message_id_being_responded_to, Some(7));
        assert_eq!(response.error_comment, Some("?".repeat(64)));
        assert_eq!(response.message_id, None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_command_set_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = CommandSet::parse(&bytes);
        }

        #[test]
        fn command_sets_round_trip(
            numbers in any::<(u16, Option<u16>, Option<u16>, Option<u16>, Option<u16>, bool)>(),
            texts in (option::of("[0-9.]{1,64}"), option::of("[a-z]{1,64}"), option::of("[0-9.]{1,64}")),
            move_destination in option::of("[A-Z]{1,16}"),
            move_originator in option::of(("[A-Z]{1,16}", any::<u16>())),
            requested in (option::of("[0-9.]{1,64}"), option::of("[0-9.]{1,64}"), any::<(Option<u16>, Option<u16>)>()),
            listed in proptest::collection::vec(any::<(u16, u16)>(), 0..4),
            error_id in any::<Option<u16>>(),
            counts in any::<(Option<u16>, Option<u16>, Option<u16>, Option<u16>)>(),
        ) {
            let (command_field, message_id, message_id_being_responded_to, priority, status, has_data_set) = numbers;
            let (affected_sop_class_uid, error_comment, affected_sop_instance_uid) = texts;
            let command = CommandSet {
                command_field, affected_sop_class_uid, message_id, message_id_being_responded_to, priority,
                has_data_set, status, error_comment, affected_sop_instance_uid, move_destination, move_originator,
                requested_sop_class_uid: requested.0, requested_sop_instance_uid: requested.1,
                event_type_id: requested.2.0, action_type_id: requested.2.1, error_id,
                attribute_identifier_list: listed.into_iter().map(|(group, element)| Tag(group, element)).collect(),
                sub_operations: SubOperations {
                    remaining: counts.0, completed: counts.1, failed: counts.2, warning: counts.3,
                },
            };
            prop_assert_eq!(CommandSet::parse(&command.to_bytes()), Ok(command));
        }
    }
}
