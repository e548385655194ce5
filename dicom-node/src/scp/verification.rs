//! Verification (PS3.4 Annex A).

use crate::dimse::{CommandSet, status};

/// C-ECHO-RSP.
pub fn answer(request: &CommandSet) -> CommandSet {
    request.response(status::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dimse::command::field;

    #[test]
    fn an_echo_comes_back_with_its_own_message_id() {
        let request = CommandSet { command_field: field::C_ECHO_RQ, message_id: Some(7), ..CommandSet::default() };
        assert_eq!(answer(&request).message_id_being_responded_to, Some(7));
        assert_eq!(answer(&request).status, Some(status::SUCCESS));
    }
}
