//! Answers to the negotiation items of PS3.7 §D.3.3 beside the presentation contexts.

use super::{
    policy::Rights,
    supported::{Service, Taken, service},
};
use crate::{
    config::NodeConfig,
    pdu::{ExtendedNegotiation, RoleSelection, UserInformation},
};
use pacs_core::part10::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};

/// Instances of one association that are committed together at most; more add memory and no speed.
pub(crate) const LARGEST_WINDOW: u16 = 16;

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

/// What a peer shows to be taken for a user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// User name and passcode.
    Passcode(&'a str, &'a str),
    /// A JSON Web Token, or one of our API tokens.
    Token(&'a str),
}

/// What the peer wants confirmed; `None` when it does not, or shows another kind of identity.
///
/// An identity that nobody asks us to confirm is not looked at: what a peer may do hangs on its AE title and address. A
/// kind that we cannot check gets no answer, and the peer may draw its conclusion from that (PS3.7 §D.3.3.7).
pub fn credentials(asked: &UserInformation) -> Option<Credentials<'_>> {
    const USERNAME_AND_PASSCODE: u8 = 2;
    const JSON_WEB_TOKEN: u8 = 5;
    let identity = asked.identity.as_ref().filter(|identity| identity.response_requested)?;
    // What is no text is nobody's passcode; an empty name is nobody.
    let text = |field| std::str::from_utf8(field).unwrap_or_default();
    match identity.kind {
        USERNAME_AND_PASSCODE => Some(Credentials::Passcode(text(&identity.primary), text(&identity.secondary))),
        JSON_WEB_TOKEN => Some(Credentials::Token(text(&identity.primary))),
        _ => None,
    }
}

/// We are SCP of everything, so the requestor is SCU, and of what may be reversed also SCP (PS3.7 §D.3.3.4).
fn select(role: &RoleSelection, rights: Rights, config: &NodeConfig) -> RoleSelection {
    let service = service(&role.sop_class, config.taken());
    let is_reversed = service.is_some_and(Service::may_be_reversed);
    let (scu, scp) = match service {
        Some(Service::Storage) => (rights.store, rights.retrieve && is_reversed),
        Some(Service::Commitment) => (rights.store, is_reversed),
        Some(_) => (true, is_reversed),
        None => (false, false),
    };
    RoleSelection { sop_class: role.sop_class.clone(), scu: role.scu && scu, scp: role.scp && scp }
}

/// What the requestor is to be for a SOP Class, (SCU, SCP): SCU unless it says otherwise.
pub fn asked(asked: &UserInformation, sop_class: &str) -> (bool, bool) {
    let role = asked.roles.iter().find(|role| role.sop_class == sop_class);
    role.map_or((true, false), |role| (role.scu, role.scp))
}

/// What the bytes of the application information of query models stand for (PS3.4 §C.5.1.1).
pub const NEGOTIATED: [&str; 5] = [
    "relational queries",
    "combined matching of date and time",
    "fuzzy semantic matching of person names",
    "timezone query adjustment",
    "enhanced multi-frame image conversion",
];

/// Those of [`NEGOTIATED`] that we grant for a service, 1 each; for retrieval there is the first alone (PS3.4 §C.5.2.1).
pub const fn granted(service: Service) -> Option<&'static [u8]> {
    match service {
        Service::Find(_) | Service::Worklist | Service::Workitems => Some(&[1, 1, 1, 1, 0]),
        Service::Move(_) | Service::Get(_) => Some(&[1]),
        _ => None,
    }
}

/// What is granted of what is asked; items of other classes stay unanswered.
fn extend(asked: &ExtendedNegotiation) -> Option<ExtendedNegotiation> {
    let most = granted(service(&asked.sop_class, Taken { retired: false, private: false })?)?;
    let granted = asked.information.iter().zip(most).map(|(asked, granted)| asked & granted).collect();
    Some(ExtendedNegotiation { sop_class: asked.sop_class.clone(), information: granted })
}

/// What was negotiated of how a query is to be understood (PS3.4 §C.5.1.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// A date and a time are one moment.
    pub combined: bool,
    /// Person names are matched as a search finds them, which PS3.4 §C.2.2.2.1.1 leaves to us: by words in any order, in
    /// pinyin and by initials.
    pub fuzzy: bool,
    /// Dates and times are those of the zone that the identifier names.
    pub zoned: bool,
}

/// What was negotiated for a SOP Class.
pub fn options(asked: &UserInformation, sop_class: &str) -> QueryOptions {
    let own = asked.extended.iter().filter(|item| item.sop_class == sop_class);
    let granted: Vec<_> = own.filter_map(extend).collect();
    let has = |at: usize| granted.iter().any(|granted| granted.information.get(at) == Some(&1));
    QueryOptions { combined: has(1), fuzzy: has(2), zoned: has(3) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::UserIdentity;
    use pacs_core::sop_class::{CT_IMAGE_STORAGE, PATIENT_ROOT_FIND, STUDY_ROOT_FIND};

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
        assert!(credentials(&asked(2, true)) == Some(Credentials::Passcode("li", "pw")));
        assert!(credentials(&asked(5, true)) == Some(Credentials::Token("li")));
        assert!(credentials(&asked(2, false)).is_none() && credentials(&asked(1, true)).is_none());
        assert!(credentials(&UserInformation::default()).is_none());
    }

    #[test]
    fn what_a_query_may_ask_for_is_granted_and_retrieval_is_relational() {
        let item = |class: &str, bytes: &'static [u8]| ExtendedNegotiation {
            sop_class: class.to_owned(),
            information: bytes.into(),
        };
        const STUDY_ROOT_MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
        let extended = vec![
            item(STUDY_ROOT_FIND, &[1, 0, 1, 1, 1]),
            item(PATIENT_ROOT_FIND, &[]),
            item(STUDY_ROOT_MOVE, &[1, 1]),
            item(CT_IMAGE_STORAGE, &[2]),
        ];
        let fuzzy = UserInformation { extended: extended.clone(), ..UserInformation::default() };
        let expected = QueryOptions { combined: false, fuzzy: true, zoned: true };
        assert_eq!(options(&fuzzy, STUDY_ROOT_FIND), expected);
        assert_eq!(options(&fuzzy, PATIENT_ROOT_FIND), QueryOptions::default());
        let answer = answer(&UserInformation { extended, ..UserInformation::default() }, ALL, &NodeConfig::default());
        assert_eq!(
            answer.extended,
            [item(STUDY_ROOT_FIND, &[1, 0, 1, 1, 0]), item(PATIENT_ROOT_FIND, &[]), item(STUDY_ROOT_MOVE, &[1]),]
        );
    }
}
