//! Instances hidden by rejection notes: Key Object Selection documents of certain titles (IHE RAD TF-3 4.66, PS3.16 CID
//! 7011). They come in by the same door as everything, and are kept as what they are.

use super::{Correcting, Deed, RejectionReason, Target};
use crate::{archive::Archive, error::ArchiveError};
use pacs_core::{Attributes, Uid, tags, uid::UidError};
use sqlx::Row;

/// Who follows what comes, to look for notes.
const CONSUMER: &str = "rejection notes";
/// Key Object Selection Document Storage.
const KEY_OBJECT_SELECTION: &str = "1.2.840.10008.5.1.4.1.1.88.59";

impl RejectionReason {
    /// From the code value of a document's title, coding scheme DCM.
    fn of_title(code: &str) -> Option<Self> {
        Some(match code {
            "113001" => Self::Quality,
            "113037" => Self::PatientSafety,
            "113038" => Self::IncorrectWorklistEntry,
            "113039" => Self::RetentionExpired,
            _ => return None,
        })
    }
}

impl Archive {
    /// Does what the rejection notes say that have come since the last time; returns how many.
    pub async fn heed_rejection_notes(&self) -> Result<usize, ArchiveError> {
        let after = self.consumer_position(CONSUMER).await?;
        let newest = *self.newest_event().borrow();
        if newest <= after {
            return Ok(0);
        }
        let statement = sqlx::query(DOCUMENTS).bind(after).bind(newest).bind(KEY_OBJECT_SELECTION);
        let (mut heeded, mut done) = (0, newest);
        for row in statement.fetch_all(&self.inner.database.pool).await? {
            let uid = |at: usize| -> Result<Uid, ArchiveError> {
                row.try_get::<String, _>(at)?.parse().map_err(|e: UidError| ArchiveError::Internal(e.to_string()))
            };
            let sop_instance = uid(2)?;
            match self.heed(&uid(0)?, &uid(1)?, &sop_instance).await {
                Ok(hides) => heeded += usize::from(hides),
                // It is looked at again with what comes next; the others are heeded all the same.
                Err(error) => {
                    tracing::warn!(%error, sop_instance_uid = %sop_instance, "a key object document cannot be read yet");
                    done = done.min(row.try_get::<i64, _>(3)? - 1);
                }
            }
        }
        self.acknowledge(CONSUMER, done).await?;
        Ok(heeded)
    }

    /// Whether the document is a rejection note that hides something.
    async fn heed(&self, study: &Uid, series: &Uid, sop_instance: &Uid) -> Result<bool, ArchiveError> {
        let why = format!("rejection note {sop_instance}");
        let made = self.corrections(Some(study), None, u32::MAX).await?;
        if made.iter().any(|one| one.made.why == why) {
            return Ok(false);
        }
        let document = match self.instance(study, series, sop_instance, None).await {
            // Deleted since, or rejected itself.
            Err(ArchiveError::NotFound(_)) => return Ok(false),
            held => held?,
        };
        let text = self.metadata_of(&document).await?;
        let metadata = serde_json::from_str(&text).map_err(|e| ArchiveError::Internal(e.to_string()))?;
        let Some(note) = Attributes::of(&metadata).and_then(|note| Note::of(note, study)) else { return Ok(false) };
        if note.instances.is_empty() {
            return Ok(false);
        }
        let sender = self.versions(study, series, sop_instance).await?.pop().map(|version| version.received_from);
        let deed = Deed::new(&sender.unwrap_or_default(), "", &why);
        let correcting = Correcting::Rejection(note.reason, note.instances);
        match self.correct(Target::Study(study.clone()), correcting, &deed).await {
            // It would be so for ever, and no later note be heeded.
            Err(error @ (ArchiveError::Conflict(_) | ArchiveError::NotFound(_))) => {
                tracing::warn!(%error, sop_instance_uid = %sop_instance, "a rejection note is not heeded");
                Ok(false)
            }
            made => made.map(|_| true),
        }
    }
}

struct Note {
    reason: RejectionReason,
    /// Series and SOP Instance UID.
    instances: Vec<(Uid, Uid)>,
}

impl Note {
    fn of(document: Attributes<'_>, study: &Uid) -> Option<Self> {
        let title = document.item(tags::CONCEPT_NAME_CODE_SEQUENCE)?;
        if title.text(tags::CODING_SCHEME_DESIGNATOR) != Some("DCM") {
            return None;
        }
        let reason = RejectionReason::of_title(title.text(tags::CODE_VALUE)?)?;
        let of_study = |item: &Attributes<'_>| item.text(tags::STUDY_INSTANCE_UID) == Some(study.as_str());
        let evidence = document.items(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE).filter(of_study);
        let series = evidence.flat_map(|item| item.items(tags::REFERENCED_SERIES_SEQUENCE));
        Some(Self { reason, instances: series.flat_map(referenced).collect() })
    }
}

fn referenced(series: Attributes<'_>) -> Vec<(Uid, Uid)> {
    let uid = |item: &Attributes<'_>, tag| item.text(tag).and_then(|text| text.parse::<Uid>().ok());
    let Some(of) = uid(&series, tags::SERIES_INSTANCE_UID) else { return Vec::new() };
    let instances = series.items(tags::REFERENCED_SOP_SEQUENCE);
    instances.filter_map(|item| Some((of.clone(), uid(&item, tags::REFERENCED_SOP_INSTANCE_UID)?))).collect()
}

const DOCUMENTS: &str = "select st.study_instance_uid, se.series_instance_uid, i.sop_instance_uid,
        i.instance_key
    from instance i join series se on se.series_key = i.series_key join study st on st.study_key = se.study_key
    where i.instance_key > $1 and i.instance_key <= $2 and i.sop_class_uid = $3 order by i.instance_key";
