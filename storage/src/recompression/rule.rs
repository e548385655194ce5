//! Which instances are recompressed, and how.

use super::switch::Candidate;
use pacs_core::{pixel::Lossless, transfer_syntax::EXPLICIT_VR_LITTLE_ENDIAN};

/// An instance that meets all conditions is recompressed; the first rule that speaks of it counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecompressionRule {
    /// Modalities, such as `CT`; empty: all.
    pub modalities: Vec<String>,
    /// SOP Class UIDs; empty: all.
    pub sop_classes: Vec<String>,
    /// Transfer syntax UIDs it may come in; empty: Explicit VR Little Endian, which is uncompressed. Those that may have lost
    /// something are never touched.
    pub from: Vec<String>,
    /// Smaller files stay as they are, in bytes.
    pub min_bytes: u64,
    /// `jpeg-ls` or `rle`.
    pub to: RecompressionTarget,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecompressionTarget {
    /// JPEG-LS Lossless.
    #[default]
    JpegLs,
    /// RLE Lossless.
    Rle,
}

impl RecompressionTarget {
    pub(super) const fn lossless(self) -> Lossless {
        match self {
            Self::JpegLs => Lossless::JpegLs,
            Self::Rle => Lossless::Rle,
        }
    }
}

impl RecompressionRule {
    fn speaks_of(&self, candidate: &Candidate) -> bool {
        let listed = |list: &[String], value: &str| list.is_empty() || list.iter().any(|one| one == value);
        let from = match self.from.is_empty() {
            true => candidate.transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN,
            false => listed(&self.from, &candidate.transfer_syntax),
        };
        from && candidate.len >= self.min_bytes
            && listed(&self.modalities, &candidate.modality)
            && listed(&self.sop_classes, &candidate.sop_class)
            && candidate.transfer_syntax != self.to.lossless().transfer_syntax().uid().as_str()
    }
}

pub(super) fn target(rules: &[RecompressionRule], candidate: &Candidate) -> Option<RecompressionTarget> {
    rules.iter().find(|rule| rule.speaks_of(candidate)).map(|rule| rule.to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Place;

    fn candidate() -> Candidate {
        Candidate {
            key: 1,
            pack: 1,
            series: 1,
            sop_instance: "1.2.3".parse().expect("a UID"),
            sop_class: "1.2.840.10008.5.1.4.1.1.2".into(),
            modality: "CT".into(),
            transfer_syntax: EXPLICIT_VR_LITTLE_ENDIAN.into(),
            len: 1000,
            digest: String::new(),
            place: Place { key: String::new(), sealed: true, offset: 0, record_len: 0, checksum: 0 },
        }
    }

    #[test]
    fn every_condition_counts_and_the_first_rule_that_fits() {
        let rule = RecompressionRule::default;
        let list = |text: &str| vec![text.to_owned()];
        let rle = RecompressionRule { to: RecompressionTarget::Rle, ..rule() };
        for (rules, expected) in [
            (vec![], None),
            (vec![rule()], Some(RecompressionTarget::JpegLs)),
            (vec![RecompressionRule { modalities: list("MR"), ..rule() }, rle.clone()], Some(RecompressionTarget::Rle)),
            (vec![RecompressionRule { sop_classes: list("1.2"), ..rule() }], None),
            (vec![RecompressionRule { from: list("1.2.840.10008.1.2.5"), ..rule() }], None),
            (vec![RecompressionRule { min_bytes: 1001, ..rule() }], None),
        ] {
            assert_eq!(target(&rules, &candidate()), expected, "{rules:?}");
        }
    }

    #[test]
    fn what_is_so_already_is_left() {
        let syntax = "1.2.840.10008.1.2.5";
        let is_so = Candidate { transfer_syntax: syntax.into(), ..candidate() };
        let rule = RecompressionRule { from: vec![syntax.into()], to: RecompressionTarget::Rle, ..Default::default() };
        assert_eq!(target(&[rule], &is_so), None);
    }
}
