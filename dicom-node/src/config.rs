//! Settings of the DICOM node.

use crate::{association::supported::Taken, tls::TlsConfig};
use pacs_core::{
    AeTitle,
    query::{View, Zone},
};
use std::time::Duration;

/// How we answer DICOM peers. Where to listen is the program's business.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// The AE title that peers call us by.
    #[schemars(with = "String")]
    pub ae_title: AeTitle,
    /// Further AE titles that we answer to.
    #[schemars(with = "Vec<String>")]
    pub aliases: Vec<AeTitle>,
    /// Further AE titles under which only a part of the archive is seen.
    pub virtual_archives: Vec<VirtualArchive>,
    /// Peers on this machine's loopback interface may store and query under any AE title.
    pub open_to_loopback: bool,
    /// Also take instances of SOP Classes that the standard has retired.
    pub accept_retired_sop_classes: bool,
    /// Callers that are neither configured nor on loopback: `reject`, or `quarantine`, which takes what they store and keeps
    /// it where nobody sees it until an administrator decides (`pacs quarantine`).
    pub unknown_callers: UnknownCallers,
    /// Also take instances of private SOP Classes.
    pub accept_unknown_sop_classes: bool,
    /// Also take private transfer syntaxes and ones newer than this version, as explicit VR little endian.
    pub accept_unknown_transfer_syntaxes: bool,
    /// Transfer syntax UIDs to choose in this order when a peer proposes several in one presentation context; of others
    /// the first proposed is taken.
    pub preferred_transfer_syntaxes: Vec<String>,
    /// Associations at a time; a further one is rejected as transient.
    pub max_associations: usize,
    /// Connections at a time that have no association yet; a further one is rejected as transient.
    pub max_pending: usize,
    /// Of these, from one address, so that no host can keep others out.
    pub max_pending_per_address: usize,
    /// Largest P-DATA-TF that we receive, in bytes; also the largest that we send to a peer without limit.
    pub max_pdu_length: u32,
    /// C-FIND answers at most this many matches, then ends with status A700.
    pub max_find_results: u32,
    /// Offset from UTC, `±HHMM`, of dates and times where the instances do not state theirs.
    #[schemars(with = "String")]
    pub utc_offset: Zone,
    /// A C-MOVE sends over so many associations at a time. Some destinations take one only.
    pub move_associations: usize,
    /// ARTIM: a connection without A-ASSOCIATE-RQ, or one not closed after release or abort, is cut after this many seconds.
    pub artim_seconds: u64,
    /// An association on which nothing arrives for this many seconds is aborted.
    pub idle_seconds: u64,
    /// A PDU that has begun must be complete after this many seconds.
    pub pdu_seconds: u64,
    /// A peer that takes none of our bytes for this many seconds is cut off.
    pub write_seconds: u64,
    /// At shutdown, messages under way get this many seconds to finish.
    pub shutdown_seconds: u64,
    pub tls: TlsConfig,
}

/// What becomes of who calls and is not configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownCallers {
    #[default]
    Reject,
    Quarantine,
}

/// A part of the archive with an AE title of its own. What is stored under it goes into the archive as ever.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VirtualArchive {
    #[schemars(with = "String")]
    pub ae_title: AeTitle,
    /// Matching keys of patients and studies: `ModalitiesInStudy=US&InstitutionName=East*`.
    #[schemars(with = "String")]
    pub view: View,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            ae_title: "YINGHAI".parse().expect("a valid AE title"),
            aliases: Vec::new(),
            virtual_archives: Vec::new(),
            open_to_loopback: true,
            accept_retired_sop_classes: true,
            unknown_callers: UnknownCallers::Reject,
            accept_unknown_sop_classes: false,
            accept_unknown_transfer_syntaxes: false,
            preferred_transfer_syntaxes: Vec::new(),
            max_associations: 1000,
            max_pending: 256,
            max_pending_per_address: 64,
            max_pdu_length: 128 << 10,
            max_find_results: 10_000,
            utc_offset: Zone::UTC,
            move_associations: 1,
            artim_seconds: 30,
            idle_seconds: 600,
            pdu_seconds: 60,
            write_seconds: 60,
            shutdown_seconds: 20,
            tls: TlsConfig::default(),
        }
    }
}

impl NodeConfig {
    /// The smallest `max_pdu_length` that leaves room for a value beside its headers, and the largest that keeps 64
    /// associations in 1 GiB.
    pub(crate) const PDU_LENGTHS: std::ops::RangeInclusive<u32> = 4096..=16 << 20;

    /// Says what cannot work.
    pub fn check(&self) -> Result<(), crate::NodeError> {
        let fault = |what: &str| Err(crate::NodeError::Config(what.to_owned()));
        if !Self::PDU_LENGTHS.contains(&self.max_pdu_length) {
            return fault("max_pdu_length must be 4096 to 16777216");
        }
        if self.max_associations == 0 || self.max_associations > 4096 {
            return fault("max_associations must be 1 to 4096");
        }
        if self.move_associations == 0 || self.move_associations > 16 {
            return fault("move_associations must be 1 to 16");
        }
        if self.max_pending == 0 || self.max_pending_per_address == 0 {
            return fault("max_pending of 0 keeps everybody out");
        }
        if [self.artim_seconds, self.idle_seconds, self.pdu_seconds, self.write_seconds].contains(&0) {
            return fault("a time limit of 0 seconds ends every association");
        }
        Ok(())
    }

    /// Which Storage SOP Classes are taken beside those in force.
    pub fn taken(&self) -> Taken {
        Taken { retired: self.accept_retired_sop_classes, private: self.accept_unknown_sop_classes }
    }

    /// What is seen under one of our AE titles; `None` if we do not answer to it.
    pub fn called(&self, title: &str) -> Option<(AeTitle, View)> {
        let own = std::iter::once(&self.ae_title).chain(&self.aliases).map(|ours| (ours, View::EVERYTHING));
        let parts = self.virtual_archives.iter().map(|part| (&part.ae_title, part.view.clone()));
        own.chain(parts).find(|(ours, _)| ours.as_str() == title).map(|(ours, view)| (ours.clone(), view))
    }

    pub(crate) fn artim(&self) -> Duration {
        Duration::from_secs(self.artim_seconds)
    }

    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    pub(crate) fn shutdown(&self) -> Duration {
        Duration::from_secs(self.shutdown_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default_and_a_misspelt_key_is_refused() {
        assert_eq!(toml::from_str::<NodeConfig>(""), Ok(NodeConfig::default()));
        assert!(toml::from_str::<NodeConfig>("ae_titel = 'X'").is_err());
    }

    #[test]
    fn a_virtual_archive_is_a_title_that_shows_a_part() {
        let text = "aliases = ['OLD']\n[[virtual_archives]]\nae_title = 'ECHO'\nview = 'ModalitiesInStudy=US'";
        let config: NodeConfig = toml::from_str(text).unwrap();
        let is_open = |title| config.called(title).map(|(_, view)| view.is_open());
        assert_eq!(["YINGHAI", "OLD", "ECHO", "NOBODY"].map(is_open), [Some(true), Some(true), Some(false), None]);
        let nothing_chosen = "[[virtual_archives]]\nae_title = 'ECHO'\nview = 'Rows=5'";
        assert!(toml::from_str::<NodeConfig>(nothing_chosen).is_err());
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        assert!(NodeConfig::default().check().is_ok());
        assert!(NodeConfig { max_pdu_length: 16, ..NodeConfig::default() }.check().is_err());
        assert!(NodeConfig { max_associations: 0, ..NodeConfig::default() }.check().is_err());
        assert!(NodeConfig { max_pending_per_address: 0, ..NodeConfig::default() }.check().is_err());
        assert!(NodeConfig { idle_seconds: 0, ..NodeConfig::default() }.check().is_err());
    }
}
