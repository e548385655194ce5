//! Answers to the negotiation items of PS3.7 §D.3.3 beside the presentation contexts.

use super::{
    policy::Rights,
    supported::{Service, service},
};
use crate::{
    config::NodeConfig,
    pdu::{ExtendedNegotiation, RoleSelection, UserInformation},
};
use pacs_core::part10::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};

/// What we say of ourselves to a peer with `rights` that asks with `asked`.
pub fn answer(asked: &UserInformation, rights: Rights, config: &NodeConfig) -> UserInformation {
    UserInformation {
        max_length: config.max_pdu_length,
        implementation_class_uid: IMPLEMENTATION_CLASS_UID.to_owned(),
        implementation_version_name: IMPLEMENTATION_VERSION_NAME.to_owned(),
        // One operation at a time, whatever was asked (PS3.7 §D.3.3.3); without a question that is the default.
        asynchronous_operations: asked.asynchronous_operations.map(|_| (1, 1)),
        roles: asked.roles.iter().map(|role| select(role, rights, config)).collect(),
        extended: asked.extended.iter().filter_map(extend).collect(),
        identity: None,
        identity_confirmed: false,
    }
}

/// User name and passcode that the peer wants confirmed; `None` when it does not, or shows another kind of identity.
///
/// An identity that nobody asks us to confirm is not looked at: what a peer may do hangs on its AE title and address. A
/// kind that we cannot check gets no answer, and the peer may draw its conclusion from that (PS3.7 §D.3.3.7).
pub fn credentials(asked: &UserInformation) -> Option<(&str, &str)> {
    const USERNAME_AND_PASSCODE: u8 = 2;
    let identity = asked.identity.as_ref()?;
    if identity.kind != USERNAME_AND_PASSCODE || !identity.response_requested {
        return None;
    }
    // What is no text is nobody's passcode; an empty name is nobody.
    let text = |field| std::str::from_utf8(field).unwrap_or_default();
    Some((text(&identity.primary), text(&identity.secondary)))
}

/// We are SCP of everything, so the requestor is SCU; of storage also SCP, if it is to be sent what it asks for by C-GET
/// (PS3.7 §D.3.3.4, PS3.4 §C.5.3.1.1).
fn select(role: &RoleSelection, rights: Rights, config: &NodeConfig) -> RoleSelection {
    let (scu, scp) = match service(&role.sop_class, config.accept_unknown_sop_classes) {
        Some(Service::Storage) => (rights.store, rights.retrieve),
        Some(_) => (true, false),
        None => (false, false),
    };
    RoleSelection { sop_class: role.sop_class.clone(), scu: role.scu && scu, scp: role.scp && scp }
}

/// What the requestor is to be for a SOP Class, (SCU, SCP): SCU unless it says otherwise.
pub fn asked(asked: &UserInformation, sop_class: &str) -> (bool, bool) {
    let role = asked.roles.iter().find(|role| role.sop_class == sop_class);
    role.map_or((true, false), |role| (role.scu, role.scp))
}

/// Of the query models we grant relational queries; combined date and time matching, fuzzy names, time zone adjustment
/// and enhanced multi-frame conversion are not granted (PS3.4 §C.5.1.1). Items of other classes stay unanswered.
fn extend(asked: &ExtendedNegotiation) -> Option<ExtendedNegotiation> {
    let Some(Service::Find(_)) = service(&asked.sop_class, false) else { return None };
    let len = asked.information.len().min(5);
    let relational = asked.information.first().copied().unwrap_or_default() & 1;
    let granted = std::iter::once(relational).chain(std::iter::repeat(0)).take(len).collect();
    Some(ExtendedNegotiation { sop_class: asked.sop_class.clone(), information: granted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{association::supported::PATIENT_ROOT_FIND, pdu::UserIdentity};
    use pacs_core::sop_class::{CT_IMAGE_STORAGE, STUDY_ROOT_FIND};

    const ALL: Rights = Rights { store: true, find: true, retrieve: true };

    #[test]
    fn the_requestor_is_scu_and_of_storage_scp_too_and_gets_one_operation_at_a_time() {
        let role = |class: &str, scu, scp| RoleSelection { sop_class: class.to_owned(), scu, scp };
        let asked = UserInformation {
            asynchronous_operations: Some((0, 8)),
            roles: vec![
                role(CT_IMAGE_STORAGE, true, true),
                role(CT_IMAGE_STORAGE, false, true),
                role(STUDY_ROOT_FIND, true, true),
                role("1.2", true, true),
            ],
            ..UserInformation::default()
        };
        let granted = answer(&asked, ALL, &NodeConfig::default());
        assert_eq!(granted.asynchronous_operations, Some((1, 1)));
        let roles = [
            role(CT_IMAGE_STORAGE, true, true),
            role(CT_IMAGE_STORAGE, false, true),
            role(STUDY_ROOT_FIND, true, false),
            role("1.2", false, false),
        ];
        assert_eq!(granted.roles, roles);
        let refused = answer(&asked, Rights { store: false, retrieve: false, ..ALL }, &NodeConfig::default());
        assert!(refused.roles[..2].iter().all(|role| !role.scu && !role.scp));
    }

    #[test]
    fn credentials_are_checked_only_when_a_confirmation_is_wanted() {
        let asked = |kind, response_requested| UserInformation {
            identity: Some(UserIdentity { kind, response_requested, primary: "li".into(), secondary: "pw".into() }),
            ..UserInformation::default()
        };
        assert_eq!(credentials(&asked(2, true)), Some(("li", "pw")));
        assert_eq!(credentials(&asked(2, false)), None);
        assert_eq!(credentials(&asked(1, true)), None);
        assert_eq!(credentials(&UserInformation::default()), None);
    }

    #[test]
    fn relational_queries_are_granted_and_no_more() {
        let item = |class: &str, bytes: &'static [u8]| ExtendedNegotiation {
            sop_class: class.to_owned(),
            information: bytes.into(),
        };
        let extended =
            vec![item(STUDY_ROOT_FIND, &[1, 1, 1]), item(PATIENT_ROOT_FIND, &[]), item(CT_IMAGE_STORAGE, &[2])];
        let answer = answer(&UserInformation { extended, ..UserInformation::default() }, ALL, &NodeConfig::default());
        assert_eq!(answer.extended, [item(STUDY_ROOT_FIND, &[1, 0, 0]), item(PATIENT_ROOT_FIND, &[])]);
    }
}
