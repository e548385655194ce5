//! Storage commitment: whether what somebody stored is here, and as it came (PS3.4 Annex J, PS3.18 Chapter 13).

use crate::{archive::Archive, error::ArchiveError, find::Row};
use futures::TryStreamExt;
use pacs_core::{
    Failure, Tag, Uid,
    query::{Condition, Level, Query},
    tags,
};
use std::collections::HashMap;

/// Instances looked up in one go.
const PAGE: usize = 100;

/// Why we do not answer for an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncommitted {
    NoSuchInstance,
    /// Class and instance do not belong together.
    ClassInstanceConflict,
    /// It is not what was received, or cannot be read.
    Damaged,
}

impl Uncommitted {
    /// Failure Reason (PS3.3 C.14.1.1).
    pub const fn reason(self) -> u16 {
        match self {
            Self::NoSuchInstance => Failure::NoSuchInstance.dimse(),
            Self::ClassInstanceConflict => 0x0119,
            Self::Damaged => Failure::Internal.dimse(),
        }
    }
}

/// SOP Class and Instance UID of what somebody wants us to answer for.
pub type SopReference = (String, Uid);

impl Archive {
    /// Reads each instance to its end, where its checksum is. What cannot be reached now is an error and no answer.
    pub async fn commit(&self, references: &[SopReference]) -> Result<Vec<Result<(), Uncommitted>>, ArchiveError> {
        let mut judged: HashMap<&SopReference, Result<(), Uncommitted>> = HashMap::new();
        for page in references.chunks(PAGE) {
            let held = self.held_of(page).await?;
            for reference in page {
                // An instance that is named twice is read once.
                if !judged.contains_key(reference) {
                    let (sop_class, sop_instance) = reference;
                    let rows = held.get(sop_instance.as_str());
                    judged.insert(reference, self.judge(sop_class, sop_instance, rows).await?);
                }
            }
        }
        Ok(references.iter().filter_map(|reference| judged.get(reference).copied()).collect())
    }

    /// The rows of instances by SOP Instance UID, which may lie in several series.
    async fn held_of(&self, page: &[SopReference]) -> Result<HashMap<String, Vec<Row>>, ArchiveError> {
        let mut query = Query::new(Level::Instance);
        let uids = page.iter().map(|(_, sop_instance)| sop_instance.to_string()).collect();
        query.conditions.insert(tags::SOP_INSTANCE_UID, Condition::AnyOf(uids));
        let mut held: HashMap<String, Vec<Row>> = HashMap::new();
        for row in self.find(&query).await? {
            let uid = row.values.get(&tags::SOP_INSTANCE_UID).cloned().unwrap_or_default();
            held.entry(uid).or_default().push(row);
        }
        Ok(held)
    }

    async fn judge(
        &self,
        sop_class: &String,
        sop_instance: &Uid,
        rows: Option<&Vec<Row>>,
    ) -> Result<Result<(), Uncommitted>, ArchiveError> {
        let of_class = |row: &&Row| row.values.get(&tags::SOP_CLASS_UID) == Some(sop_class);
        let Some(rows) = rows else { return Ok(Err(Uncommitted::NoSuchInstance)) };
        let rows: Vec<_> = rows.iter().filter(of_class).collect();
        if rows.is_empty() {
            return Ok(Err(Uncommitted::ClassInstanceConflict));
        }
        // The requester means one of them, and does not say which.
        for row in rows {
            let uid = |tag: Tag| row.values.get(&tag).and_then(|text| text.parse::<Uid>().ok());
            let (Some(study), Some(series)) = (uid(tags::STUDY_INSTANCE_UID), uid(tags::SERIES_INSTANCE_UID)) else {
                return Ok(Err(Uncommitted::Damaged));
            };
            if !self.is_whole(&study, &series, sop_instance).await? {
                return Ok(Err(Uncommitted::Damaged));
            }
        }
        Ok(Ok(()))
    }

    async fn is_whole(&self, study: &Uid, series: &Uid, sop_instance: &Uid) -> Result<bool, ArchiveError> {
        let read = async {
            let stored = self.instance(study, series, sop_instance, None).await?;
            let mut stream = self.read_as_received(&stored).await?;
            while stream.try_next().await?.is_some() {}
            Ok(())
        };
        match read.await {
            Ok(()) => Ok(true),
            Err(error @ ArchiveError::Damaged(_)) => {
                tracing::warn!(%error, %sop_instance, "no commitment for a damaged instance");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
