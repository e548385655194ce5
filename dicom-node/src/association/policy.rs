//! Who may do what: by calling AE title, address and certificate.

use crate::config::NodeConfig;
use pacs_core::{AeTitle, Fingerprint};
use std::net::IpAddr;
use storage::{Peer, Workflow};

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
}

/// A configured peer with the addresses that its host name stands for.
#[derive(Debug, Clone)]
pub struct KnownPeer {
    pub peer: Peer,
    /// `None`: the peer may call from anywhere.
    pub addresses: Option<Vec<IpAddr>>,
}

/// The rights of a caller, `None` when it may not associate at all.
///
/// An AE title is no proof of anything, so a configured peer is bound to its host and its certificate where they are given.
pub fn rights(
    config: &NodeConfig,
    peers: &[KnownPeer],
    calling: &AeTitle,
    address: IpAddr,
    certificate: Option<Fingerprint>,
) -> Option<Rights> {
    let address = address.to_canonical();
    let is_it = |known: &&KnownPeer| {
        known.peer.ae_title == *calling
            && known.peer.certificate.is_none_or(|bound| certificate == Some(bound))
            && known.addresses.as_ref().is_none_or(|of_host| of_host.iter().any(|a| a.to_canonical() == address))
    };
    if let Some(known) = peers.iter().find(is_it) {
        let Peer { may_store, may_find, may_retrieve, workflow, .. } = known.peer;
        return Some(Rights { store: may_store, find: may_find, retrieve: may_retrieve, workflow });
    }
    (config.open_to_loopback && address.is_loopback()).then_some(Rights::ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &NodeConfig, calling: &str, address: &str, expected: Option<Rights>) {
        let peer = |name: &str, host: Option<&str>, addresses: Option<&str>| KnownPeer {
            peer: Peer {
                ae_title: name.parse().unwrap(),
                host: host.map(str::to_owned),
                port: None,
                may_store: true,
                may_find: false,
                may_retrieve: false,
                tls: false,
                certificate: None,
                workflow: Default::default(),
            },
            addresses: addresses.map(|a| vec![a.parse().unwrap()]),
        };
        let peers = [peer("CT", Some("ct.ward"), Some("10.0.0.7")), peer("ROAMING", None, None)];
        assert_eq!(rights(config, &peers, &calling.parse().unwrap(), address.parse().unwrap(), None), expected);
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
}
