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

/// Instances of one association that are committed together at most; more add memory and no speed.
const LARGEST_WINDOW: u16 = 16;

/// What we say of ourselves to a peer with `rights` that asks with `asked`.
pub fn answer(asked: &UserInformation, rights: Rights, config: &NodeConfig) -> UserInformation {
    UserInformation {
        max_length: config.max_pdu_length,
        implementation_class_uid: IMPLEMENTATION_CLASS_UID.to_owned(),
        implementation_version_name: IMPLEMENTATION_VERSION_NAME.to_owned(),
        // Of ours one at a time, and without a question of theirs too (PS3.7 §D.3.3.3).
        asynchronous_operations: asked.asynchronous_operations.map(|_| (window(asked), 1)),
        roles: asked.roles.iter().map(|role| select(role, rights, config)).collect(),
        extended: asked.extended.iter().filter_map(extend).collect(),
        identity: None,
        identity_confirmed: false,
    }
}

/// Operations that the peer may have under way at the same time.
pub fn window(asked: &UserInformation) -> u16 {
    match asked.asynchronous_operations {
        // As many as we like.
        Some((0, _)) => LARGEST_WINDOW,
        Some((invoked, _)) => invoked.min(LARGEST_WINDOW),
        None => 1,
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

/// We are SCP of everything, so the requestor is SCU; of storage also SCP, if it is to be sent what it asks for by C-GET, and of
/// storage commitment, if it answers what we asked (PS3.7 §D.3.3.4, PS3.4 §C.5.3.1.1, §J.3.3).
fn select(role: &RoleSelection, rights: Rights, config: &NodeConfig) -> RoleSelection {
    let (scu, scp) = match service(&role.sop_class, config.accept_unknown_sop_classes) {
        Some(Service::Storage) => (rights.store, rights.retrieve),
        Some(Service::Commitment) => (rights.store, true),
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

/// The third byte of the information: fuzzy semantic matching of person names.
const FUZZY: usize = 2;
/// Relational queries, combined date and time, fuzzy names, time zone adjustment, enhanced multi-frame conversion: those of
/// the query models that we grant (PS3.4 §C.5.1.1), and for retrieval the first alone (§C.5.2.1).
const GRANTED: [u8; 5] = [1, 0, 1, 0, 0];

/// What is granted of what is asked; items of other classes stay unanswered.
fn extend(asked: &ExtendedNegotiation) -> Option<ExtendedNegotiation> {
    let most = match service(&asked.sop_class, false)? {
        Service::Find(_) | Service::Worklist | Service::Workitems => GRANTED.len(),
        Service::Move(_) | Service::Get(_) => 1,
        _ => return None,
    };
    let granted = asked.information.iter().zip(GRANTED).map(|(asked, granted)| asked & granted).take(most).collect();
    Some(ExtendedNegotiation { sop_class: asked.sop_class.clone(), information: granted })
}

/// Whether person names are to be matched as a search finds them, which PS3.4 §C.2.2.2.1.1 leaves to us: by words in any
/// order, in pinyin and by initials.
pub fn is_fuzzy(asked: &UserInformation, sop_class: &str) -> bool {
    let own = asked.extended.iter().filter(|item| item.sop_class == sop_class);
    own.filter_map(extend).any(|granted| granted.information.get(FUZZY) == Some(&1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{association::supported::PATIENT_ROOT_FIND, pdu::UserIdentity};
    use pacs_core::sop_class::{CT_IMAGE_STORAGE, STUDY_ROOT_FIND};

    const ALL: Rights = Rights::ALL;

    #[test]
    fn the_requestor_is_scu_and_of_storage_scp_too_and_gets_a_window_within_bounds() {
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
        assert_eq!(granted.asynchronous_operations, Some((LARGEST_WINDOW, 1)));
        let of = |asynchronous_operations| {
            window(&UserInformation { asynchronous_operations, ..UserInformation::default() })
        };
        assert_eq!([of(None), of(Some((8, 0))), of(Some((500, 1)))], [1, 8, LARGEST_WINDOW]);
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
    fn relational_queries_and_fuzzy_names_are_granted_and_no_more() {
        let item = |class: &str, bytes: &'static [u8]| ExtendedNegotiation {
            sop_class: class.to_owned(),
            information: bytes.into(),
        };
        const STUDY_ROOT_MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
        let extended = vec![
            item(STUDY_ROOT_FIND, &[1, 1, 1, 1]),
            item(PATIENT_ROOT_FIND, &[]),
            item(STUDY_ROOT_MOVE, &[1, 1]),
            item(CT_IMAGE_STORAGE, &[2]),
        ];
        let fuzzy = UserInformation { extended: extended.clone(), ..UserInformation::default() };
        assert!(is_fuzzy(&fuzzy, STUDY_ROOT_FIND) && !is_fuzzy(&fuzzy, PATIENT_ROOT_FIND));
        let answer = answer(&UserInformation { extended, ..UserInformation::default() }, ALL, &NodeConfig::default());
        assert_eq!(
            answer.extended,
            [item(STUDY_ROOT_FIND, &[1, 0, 1, 0]), item(PATIENT_ROOT_FIND, &[]), item(STUDY_ROOT_MOVE, &[1]),]
        );
    }
}
