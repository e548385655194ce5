//! Whether a study may be deleted, or part of it.

use super::{
    hold::refuse_held,
    study::{StudyFacts, study_now},
    term::{day_of, term},
};
use crate::{archive::Archive, clock::now, database::Change, error::ArchiveError};
use pacs_core::Uid;

/// Why somebody may delete.
pub(crate) enum Grounds {
    /// No rules, or the term is over; the study was so when this was found.
    Rules(Option<Box<StudyFacts>>),
    /// An administrator's word against the rules.
    Override,
}

impl Archive {
    /// Grounds on which a study may be deleted as far as rules go; an error that tells how long it is kept, and what an
    /// administrator may do.
    pub(crate) async fn grounds(&self, study: &Uid) -> Result<Grounds, ArchiveError> {
        let rules = &self.inner.config.retention;
        if rules.is_empty() {
            return Ok(Grounds::Rules(None));
        }
        let Some(study) = self.study_facts(study.as_str()).await? else { return Ok(Grounds::Rules(None)) };
        let over =
            "an administrator may delete it all the same, with a reason: pacs retention delete --study … --reason …";
        let uid = &study.uid;
        match term(rules, &study) {
            Some(term) if term.is_over(day_of(now())) => Ok(Grounds::Rules(Some(Box::new(study)))),
            Some(term) => Err(ArchiveError::Kept(format!(
                "study {uid} is kept until {} by rule {:?}; {over}",
                term.until, term.rule
            ))),
            None => Err(ArchiveError::Kept(format!("study {uid} is kept for ever, as no rule speaks of it; {over}"))),
        }
    }
}

/// Looks again, in the change that deletes: nothing is held, and what the grounds were is still so.
pub(crate) async fn refuse_kept(change: &mut Change<'_>, study: &str, grounds: &Grounds) -> Result<(), ArchiveError> {
    refuse_held(change, study).await?;
    match grounds {
        Grounds::Rules(Some(known)) if study_now(change, known).await?.is_none() => {
            Err(ArchiveError::Kept(format!("study {study} has just changed; try again")))
        }
        _ => Ok(()),
    }
}
