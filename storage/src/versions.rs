//! Versions: what is held under one SOP Instance UID within a series, and which of it is current.
//!
//! Whatever lists, counts or searches sees current rows only; every other version stays readable by its number.

use crate::{
    archive::{Archive, Inner},
    clock::now,
    config::SameUidOtherContent,
    database::Change,
    error::ArchiveError,
    facts::Facts,
    index::NewInstance,
    ingest::Outcome,
    non_patient::HELD_NON_PATIENT,
    read::{StoredInstance, select_instances},
    recompression::Recompressed,
};
use pacs_core::{Uid, instance::Instance};
use sqlx::{Row, any::AnyRow};

/// One version of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// What to read it by; its number is `instance.version`.
    pub instance: StoredInstance,
    /// Whether queries, metadata and retrieval without a version speak of this one.
    pub is_current: bool,
    /// Milliseconds since 1970-01-01 UTC.
    pub stored_at: i64,
    /// AE title, user name or room that brought it; empty for what was stored before this was noted.
    pub received_from: String,
    /// BLAKE3 of data set and transfer syntax UID, in base64url.
    pub digest: String,
    /// What was received, where the stored file is not that but has its frames encoded anew; `digest` is of what was received.
    pub recompressed: Option<Recompressed>,
}

impl Archive {
    /// Everything that is held under a SOP Instance UID in a series, oldest first; `NotFound` if nothing is.
    pub async fn versions(&self, study: &Uid, series: &Uid, sop_instance: &Uid) -> Result<Vec<Version>, ArchiveError> {
        let rows = sqlx::query(VERSIONS)
            .bind(study.as_str())
            .bind(series.as_str())
            .bind(sop_instance.as_str())
            .fetch_all(&self.inner.database.pool)
            .await?;
        if rows.is_empty() {
            return Err(ArchiveError::NotFound(format!("instance {sop_instance}")));
        }
        let instances = self.stored_instances(&rows).await?;
        rows.iter().zip(instances).map(|(row, instance)| version(row, instance)).collect()
    }
}

fn version(row: &AnyRow, instance: StoredInstance) -> Result<Version, ArchiveError> {
    Ok(Version {
        instance,
        is_current: row.try_get::<i64, _>("is_current")? == 1,
        stored_at: row.try_get("stored_at")?,
        received_from: row.try_get("received_from")?,
        digest: row.try_get("data_set_digest")?,
        recompressed: match row.try_get("recompressed")? {
            "" => None,
            json => Some(serde_json::from_str(json).map_err(|e| ArchiveError::Internal(e.to_string()))?),
        },
    })
}

/// The same data set, if it is committed under an identity.
pub(crate) async fn held_as(archive: &Inner, facts: &Facts, digest: &str) -> Result<Option<Held>, sqlx::Error> {
    let statement = match facts {
        Facts::Instance(facts) => sqlx::query(HELD).bind(facts.study.as_str()).bind(facts.series.as_str()),
        Facts::NonPatient(_) => sqlx::query(HELD_NON_PATIENT),
    };
    let rows = statement.bind(facts.sop_instance().as_str()).fetch_all(&archive.database.pool).await?;
    Ok(held(&rows)?.into_iter().find(|held| held.digest == digest))
}

/// Whether there is anything in the series of an arrival.
pub(crate) async fn is_series_held(archive: &Inner, facts: &Facts) -> Result<bool, sqlx::Error> {
    let Facts::Instance(facts) = facts else { return Ok(true) };
    let statement = sqlx::query(SERIES).bind(facts.study.as_str()).bind(facts.series.as_str());
    Ok(statement.fetch_optional(&archive.database.pool).await?.is_some())
}

impl Inner {
    /// Whether the version of this key is the one that is seen.
    pub(crate) async fn is_current(&self, key: i64) -> Result<bool, sqlx::Error> {
        let row = sqlx::query(IS_CURRENT).bind(key).fetch_optional(&self.database.pool).await?;
        row.map_or(Ok(false), |row| Ok(row.try_get::<i64, _>("is_current")? == 1))
    }
}

const IS_CURRENT: &str = "select is_current from instance where instance_key = $1";

/// A version that is held already.
#[derive(Debug)]
pub(crate) struct Held {
    /// Of its row.
    pub(crate) key: i64,
    pub(crate) version: i64,
    digest: String,
    place: (String, i64),
    is_rejected: bool,
}

/// What to do with an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Write it under this number.
    Write(i64),
    /// Nothing is to be written.
    Leave(Outcome),
}

/// Decides in the transaction that will write: the head row is locked, so what is held stays so.
pub(crate) fn judge(held: &[Held], place: (&str, i64), digest: &str, policy: SameUidOtherContent) -> Verdict {
    // Our own row: an earlier commit went through though its answer was lost.
    if let Some(own) = held.iter().find(|held| (held.place.0.as_str(), held.place.1) == place) {
        return Verdict::Leave(outcome(own.version));
    }
    if let Some(same) = held.iter().find(|held| held.digest == digest) {
        return Verdict::Leave(Outcome::Identical(version_number(same.version)));
    }
    match held.iter().map(|held| held.version).max() {
        None => Verdict::Write(1),
        Some(_) if policy == SameUidOtherContent::Reject => Verdict::Leave(Outcome::Rejected),
        Some(last) => Verdict::Write(last + 1),
    }
}

/// What the sender of a version that was written is told.
pub(crate) fn outcome(version: i64) -> Outcome {
    if version > 1 { Outcome::Version(version_number(version)) } else { Outcome::Stored }
}

/// From the catalog, which counts from 1.
pub(crate) fn version_number(version: i64) -> u32 {
    u32::try_from(version).unwrap_or(u32::MAX)
}

/// Whether a version is what is seen from now on.
///
/// What was rejected stays out of sight, whatever comes under its UID.
pub(crate) fn becomes_current(version: i64, held: &[Held], policy: SameUidOtherContent) -> bool {
    version == 1 || policy == SameUidOtherContent::KeepLatest && !held.iter().any(|held| held.is_rejected)
}

/// The rows of [`HELD`] or of a statement with the same columns.
pub(crate) fn held(rows: &[AnyRow]) -> Result<Vec<Held>, sqlx::Error> {
    let held = |row: &AnyRow| {
        Ok(Held {
            key: row.try_get("held_key")?,
            version: row.try_get("version")?,
            digest: row.try_get("data_set_digest")?,
            place: (row.try_get("object_key")?, row.try_get("pack_offset")?),
            is_rejected: row.try_get::<i64, _>("rejected")? != 0,
        })
    };
    rows.iter().map(held).collect()
}

/// The series that holds the UID of an arrival, and what it holds under it.
pub(crate) async fn held_in_series(
    change: &mut Change<'_>,
    facts: &Instance,
) -> Result<(Option<i64>, Vec<Held>), sqlx::Error> {
    let rows = sqlx::query(HELD)
        .bind(facts.study.as_str())
        .bind(facts.series.as_str())
        .bind(facts.sop_instance.as_str())
        .fetch_all(&mut *change.transaction)
        .await?;
    let series = rows.first().map(|row| row.try_get("series_key")).transpose()?;
    Ok((series, held(&rows)?))
}

/// Makes room for a further version in its series: counts stay, sizes grow. If it is to be the current one, the version
/// before it steps back, and the series is announced anew when it falls quiet, so that its readers look again.
pub(crate) async fn make_room(
    change: &mut Change<'_>,
    new: &NewInstance,
    facts: &Instance,
    series: i64,
    is_current: bool,
    position: i64,
) -> Result<(), sqlx::Error> {
    let grow = sqlx::query(GROW_SERIES).bind(series).bind(new.byte_len).bind(position);
    grow.execute(&mut *change.transaction).await?;
    let grow = sqlx::query(GROW_STUDY).bind(series).bind(new.byte_len).bind(position).bind(new.record.received_at);
    grow.execute(&mut *change.transaction).await?;
    if is_current {
        let step_back = sqlx::query(STEP_BACK).bind(series).bind(facts.sop_instance.as_str());
        step_back.execute(&mut *change.transaction).await?;
        sqlx::query(ANNOUNCE_ANEW).bind(series).bind(now()).execute(&mut *change.transaction).await?;
    }
    Ok(())
}

const VERSIONS: &str = select_instances!(
    ", i.is_current, i.stored_at, i.received_from, i.data_set_digest, i.recompressed",
    "where st.study_instance_uid = $1 and se.series_instance_uid = $2 and i.sop_instance_uid = $3 order by i.version"
);

const SERIES: &str = "select se.series_key from study st join series se on se.study_key = st.study_key
    where st.study_instance_uid = $1 and se.series_instance_uid = $2";

const HELD: &str =
    "select i.series_key, i.instance_key as held_key, i.version, i.data_set_digest, p.object_key, i.pack_offset,
        i.rejected
    from study st join series se on se.study_key = st.study_key join instance i on i.series_key = se.series_key
        join pack p on p.pack_key = i.pack_key
    where st.study_instance_uid = $1 and se.series_instance_uid = $2 and i.sop_instance_uid = $3";

const GROW_SERIES: &str = "update series set byte_len = byte_len + $2, changed_position = $3 where series_key = $1";

const GROW_STUDY: &str = "update study set byte_len = byte_len + $2, changed_position = $3,
        changed_at = case when changed_at < $4 then $4 else changed_at end
    where study_key = (select study_key from series where series_key = $1)";

const STEP_BACK: &str = "update instance set is_current = 0 where series_key = $1 and sop_instance_uid = $2";

const ANNOUNCE_ANEW: &str = "update series set changed_at = $2, announced = 0 where series_key = $1";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const POLICIES: [SameUidOtherContent; 3] =
        [SameUidOtherContent::KeepBoth, SameUidOtherContent::KeepLatest, SameUidOtherContent::Reject];

    /// Plays arrivals of contents one after the other.
    fn play(contents: &[u8], policy: SameUidOtherContent) -> (Vec<Held>, Vec<Outcome>) {
        let mut held = Vec::new();
        let outcomes = contents.iter().enumerate().map(|(at, content)| {
            let (place, digest) = (("pack".to_owned(), at as i64), format!("digest {content}"));
            match judge(&held, (&place.0, place.1), &digest, policy) {
                Verdict::Leave(outcome) => outcome,
                Verdict::Write(version) => {
                    held.push(Held { key: at as i64, version, digest, place, is_rejected: false });
                    outcome(version)
                }
            }
        });
        let outcomes = outcomes.collect();
        (held, outcomes)
    }

    proptest! {
        #[test]
        fn each_content_is_held_once_and_versions_count_from_one(contents in prop::collection::vec(0u8..5, 0..12)) {
            for policy in POLICIES {
                let (held, outcomes) = play(&contents, policy);
                let different = contents.iter().collect::<BTreeSet<_>>().len();
                let kept = if policy == SameUidOtherContent::Reject { different.min(1) } else { different };
                prop_assert_eq!(held.len(), kept);
                prop_assert!(held.iter().zip(1..).all(|(held, number)| held.version == number));
                let rejected = outcomes.contains(&Outcome::Rejected);
                prop_assert_eq!(rejected, kept < different);
            }
        }
    }

    #[test]
    fn an_answer_that_was_lost_is_given_again() {
        let (held, _) = play(&[1, 2], SameUidOtherContent::KeepBoth);
        for (at, expected) in [(0, Outcome::Stored), (1, Outcome::Version(2))] {
            assert_eq!(judge(&held, ("pack", at), "", SameUidOtherContent::Reject), Verdict::Leave(expected));
        }
    }

    #[test]
    fn the_first_is_current_and_a_later_one_by_policy() {
        let current = |version| POLICIES.map(|policy| becomes_current(version, &[], policy));
        assert_eq!(current(1), [true; 3]);
        assert_eq!(current(2), [false, true, false]);
    }
}
