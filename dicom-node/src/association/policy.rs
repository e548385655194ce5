//! Who may do what: by calling AE title, address and certificate.

use crate::config::{NodeConfig, UnknownCallers};
use pacs_core::{AeTitle, Fingerprint, query::View};
use std::net::IpAddr;
use storage::{Peer, Principal, Workflow};

/// What a peer may do on an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    pub store: bool,
    pub find: bool,
    /// C-GET and C-MOVE.
    pub retrieve: bool,
    /// Orders and procedure steps.
    pub workflow: Workflow,
}

impl Rights {
    pub const ALL: Self = Self { store: true, find: true, retrieve: true, workflow: Workflow::ALL };
    pub const NONE: Self = Self { store: false, find: false, retrieve: false, workflow: Workflow::NONE };

    /// What of this a user may do too.
    #[must_use]
    pub fn within(self, user: &Principal) -> Self {
        Self {
            store: self.store && user.may_store(),
            find: self.find && user.may_search(),
            retrieve: self.retrieve && user.may_read(),
            workflow: if user.may_store() { self.workflow } else { Workflow::NONE },
        }
    }
}

/// What a caller is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub rights: Rights,
    /// The patients and studies that it sees.
    pub view: View,
    /// Associations that it may have at a time, if it has a limit of its own.
    pub max_associations: Option<u16>,
    /// Whether it is configured, or need not be. What another stores goes into quarantine.
    pub is_known: bool,
}

/// A configured peer with the addresses that its host name stands for.
#[derive(Debug, Clone)]
pub struct KnownPeer {
    pub peer: Peer,
    /// `None`: the peer may call from anywhere.
    pub addresses: Option<Vec<IpAddr>>,
}

/// What a caller is granted, `None` when it may not associate at all.
///
/// An AE title is no proof of anything, so a configured peer is bound to its host and its certificate where they are given.
pub fn grant(
    config: &NodeConfig,
    peers: &[KnownPeer],
    calling: &AeTitle,
    address: IpAddr,
    certificate: Option<Fingerprint>,
) -> Option<Grant> {
    let address = address.to_canonical();
    let is_it = |known: &&KnownPeer| {
        known.peer.ae_title == *calling
            && known.peer.certificate.is_none_or(|bound| certificate == Some(bound))
            && known.addresses.as_ref().is_none_or(|of_host| of_host.iter().any(|a| a.to_canonical() == address))
    };
    match peers.iter().find(is_it) {
        Some(known) => Some(Grant::of(&known.peer)),
        None if config.open_to_loopback && address.is_loopback() => Some(Grant::ALL),
        None => match config.unknown_callers {
            UnknownCallers::Reject => None,
            UnknownCallers::Quarantine => Some(Grant::QUARANTINE),
        },
    }
}

impl Grant {
    const ALL: Self = Self { rights: Rights::ALL, view: View::EVERYTHING, max_associations: None, is_known: true };
    /// To store, and nothing else.
    const QUARANTINE: Self = Self {
        rights: Rights { store: true, ..Rights::NONE },
        view: View::EVERYTHING,
        max_associations: None,
        is_known: false,
    };

    fn of(peer: &Peer) -> Self {
        let Peer { may_store: store, may_find: find, may_retrieve: retrieve, workflow, .. } = *peer;
        Self {
            rights: Rights { store, find, retrieve, workflow },
            view: peer.view.clone(),
            max_associations: peer.max_associations,
            is_known: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &NodeConfig, calling: &str, address: &str, expected: Option<Rights>) {
        let peer = |name: &str, host: Option<&str>, addresses: Option<&str>| KnownPeer {
            peer: Peer { host: host.map(str::to_owned), may_store: true, ..Peer::new(name.parse().unwrap()) },
            addresses: addresses.map(|a| vec![a.parse().unwrap()]),
        };
        let peers = [peer("CT", Some("ct.ward"), Some("10.0.0.7")), peer("ROAMING", None, None)];
        let granted = grant(config, &peers, &calling.parse().unwrap(), address.parse().unwrap(), None);
        assert_eq!(granted.map(|granted| granted.rights), expected);
    }

    #[test]
    fn a_configured_peer_calls_from_its_host_and_others_only_from_loopback() {
        let open = NodeConfig::default();
        let store_only = Some(Rights { store: true, ..Rights::NONE });
        let all = Some(Rights::ALL);
        check(&open, "CT", "10.0.0.7", store_only);
        check(&open, "CT", "::ffff:10.0.0.7", store_only);
        check(&open, "CT", "10.0.0.8", None);
        check(&open, "ROAMING", "192.168.1.1", store_only);
        check(&open, "ANYONE", "127.0.0.1", all);
        check(&open, "ANYONE", "::1", all);
        check(&open, "ANYONE", "10.0.0.7", None);
        check(&NodeConfig { open_to_loopback: false, ..open }, "ANYONE", "127.0.0.1", None);
    }

    #[test]
    fn where_unknown_callers_are_let_in_they_may_store_for_the_quarantine_only() {
        let config = NodeConfig { unknown_callers: UnknownCallers::Quarantine, ..NodeConfig::default() };
        let granted = grant(&config, &[], &"ANYONE".parse().unwrap(), "10.0.0.7".parse().unwrap(), None).unwrap();
        assert_eq!((granted.rights, granted.is_known), (Rights { store: true, ..Rights::NONE }, false));
        let granted = grant(&config, &[], &"ANYONE".parse().unwrap(), "127.0.0.1".parse().unwrap(), None).unwrap();
        assert!(granted.is_known);
    }
}
