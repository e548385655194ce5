//! Deletion of what has expired. A few studies go in one transaction, so a run that is broken off is gone on with by the
//! next; each is noted in the audit trail, and in a record of deletions that stays.

use super::{
    report::Cursor,
    study::{KeptStudy, StudyFacts, study_now},
    term::{Term, day_of, term},
};
use crate::{
    archive::Archive,
    clock::now,
    commit::announce,
    database::Change,
    error::ArchiveError,
    sweep::{Removal, remove_noted},
};
use sqlx::{Row, any::AnyRow};
use time::Date;

/// Studies that go in one transaction.
const AT_ONCE: usize = 8;

/// Where the time of the last run is kept, among those who follow the archive.
const CLOCK: &str = "expiry";
/// In milliseconds. Who was away for longer is asked whether the clock is right.
const LEAP: i64 = 30 * 86_400_000;

/// What a run deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expiry {
    /// By what number [`Archive::deletions`] gives the studies of this run; 0 if nothing was deleted.
    pub run: i64,
    pub studies: u64,
    pub instances: u64,
    /// Of the instances, in bytes.
    pub byte_len: u64,
    /// Expired, but held.
    pub held: u64,
}

/// A study that was deleted because its term was over.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Deletion {
    pub number: i64,
    pub run: i64,
    #[serde(flatten)]
    pub of: KeptStudy,
    /// Milliseconds since 1970-01-01 UTC.
    pub deleted_at: i64,
    pub deleted_by: String,
}

impl Archive {
    /// As [`Self::delete_expired`], without anybody having asked: refused if the clock has leapt ahead since the last run,
    /// for by a wrong one everything has expired.
    pub async fn delete_expired_unasked(&self, actor: &str, most: usize) -> Result<Expiry, ArchiveError> {
        let last = self.consumer_position(CLOCK).await?;
        let days = now().saturating_sub(last) / 86_400_000;
        if last > 0 && now().saturating_sub(last) > LEAP {
            return Err(ArchiveError::Conflict(format!(
                "the clock is {days} days ahead of the last run; nothing is deleted until `pacs retention delete \
                 --expired` says that it is right"
            )));
        }
        self.delete_expired(actor, "localhost", most).await
    }

    /// Deletes up to `most` studies whose term is over, oldest first, as far as nothing is held.
    pub async fn delete_expired(&self, actor: &str, origin: &str, most: usize) -> Result<Expiry, ArchiveError> {
        self.inner.keep_place(CLOCK, now()).await?;
        let today = day_of(now());
        let mut done = Expiry::default();
        let mut from = Some(Cursor::default());
        while let Some(cursor) = from.filter(|cursor| cursor.is_of_terms()) {
            let (found, next) = self.candidates(today, &cursor).await?;
            let over =
                |(study, term): (StudyFacts, Option<Term>)| term.is_some_and(|t| t.is_over(today)).then_some(study);
            let (held, expired): (Vec<_>, Vec<_>) = found.into_iter().filter_map(over).partition(|study| study.is_held);
            done.held += held.len() as u64;
            for studies in expired.chunks(AT_ONCE) {
                let left = most.saturating_sub(usize::try_from(done.studies).unwrap_or(usize::MAX));
                if left == 0 {
                    return Ok(done);
                }
                self.delete_some(Whose { actor, origin, today }, studies.iter().take(left), &mut done).await?;
            }
            from = next;
        }
        Ok(done)
    }

    /// Deletes studies in one transaction; what has changed since it was looked at stays for the next run.
    async fn delete_some(
        &self,
        whose: Whose<'_>,
        studies: impl Iterator<Item = &StudyFacts>,
        done: &mut Expiry,
    ) -> Result<(), ArchiveError> {
        let mut change = self.inner.database.change().await?;
        let before = done.clone();
        for known in studies {
            let Some(study) = study_now(&mut change, known).await?.filter(|study| !study.is_held) else { continue };
            let term = term(&self.inner.config.retention, &study).filter(|term| term.is_over(whose.today));
            if let Some(term) = term {
                delete_one(&mut change, whose, &study, &term, done).await?;
            }
        }
        if *done == before {
            return Ok(());
        }
        announce(&self.inner.newest, change.commit().await?);
        self.inner.database.make_durable().await?;
        self.remove_doomed_objects().await
    }

    /// Up to `limit` deletions of a run, or of all if `run` is 0, after the number `after`: in the order in which they
    /// happened.
    pub async fn deletions(&self, run: i64, after: i64, limit: u32) -> Result<Vec<Deletion>, ArchiveError> {
        let statement = if run == 0 { sqlx::query(ALL) } else { sqlx::query(OF_RUN) };
        let statement = statement.bind(after).bind(i64::from(limit));
        let statement = if run == 0 { statement } else { statement.bind(run) };
        let rows = statement.fetch_all(&self.inner.database.pool).await?;
        rows.iter().map(|row| Ok(deletion(row)?)).collect()
    }

    /// What can be deleted now, without deleting it; up to `most` studies.
    pub async fn count_expired(&self, most: usize) -> Result<Expiry, ArchiveError> {
        let today = day_of(now());
        let mut done = Expiry::default();
        let mut from = Some(Cursor::default());
        while let Some(cursor) = from.filter(|cursor| cursor.is_of_terms()) {
            let (found, next) = self.candidates(today, &cursor).await?;
            for (study, _) in found.iter().filter(|(_, term)| term.as_ref().is_some_and(|t| t.is_over(today))) {
                if study.is_held {
                    done.held += 1;
                } else if done.studies < most as u64 {
                    done.add(study);
                }
            }
            from = next;
        }
        Ok(done)
    }
}

/// In whose name, and as of which day.
#[derive(Clone, Copy)]
struct Whose<'a> {
    actor: &'a str,
    origin: &'a str,
    today: Date,
}

impl Expiry {
    fn add(&mut self, study: &StudyFacts) {
        self.studies += 1;
        self.instances += study.instances.unsigned_abs();
        self.byte_len += study.byte_len.unsigned_abs();
    }
}

async fn delete_one(
    change: &mut Change<'_>,
    whose: Whose<'_>,
    study: &StudyFacts,
    term: &Term,
    done: &mut Expiry,
) -> Result<(), ArchiveError> {
    let kept = KeptStudy::of(study, Some(term));
    let removal = Removal {
        actor: whose.actor,
        origin: whose.origin,
        study: &study.uid,
        series: "",
        sop_instance: "",
        why: &format!(", kept until {} by rule {:?}", kept.kept_until, kept.rule),
    };
    if remove_noted(change, removal).await? == 0 {
        return Ok(());
    }
    let number = change.head.next_key();
    if done.run == 0 {
        done.run = number;
    }
    sqlx::query(NOTE)
        .bind(number)
        .bind(done.run)
        .bind(&kept.study)
        .bind(&kept.study_date)
        .bind(&kept.accession_number)
        .bind(&kept.modalities)
        .bind(kept.instances)
        .bind(kept.byte_len)
        .bind(&kept.rule)
        .bind(&kept.kept_until)
        .bind(now())
        .bind(whose.actor)
        .execute(&mut *change.transaction)
        .await?;
    sqlx::query(FORGET_CLASS).bind(&study.uid).execute(&mut *change.transaction).await?;
    done.add(study);
    Ok(())
}

fn deletion(row: &AnyRow) -> Result<Deletion, sqlx::Error> {
    Ok(Deletion {
        number: row.try_get(0)?,
        run: row.try_get(1)?,
        of: KeptStudy {
            study: row.try_get(2)?,
            study_date: row.try_get(3)?,
            accession_number: row.try_get(4)?,
            modalities: row.try_get(5)?,
            instances: row.try_get(6)?,
            byte_len: row.try_get(7)?,
            rule: row.try_get(8)?,
            kept_until: row.try_get(9)?,
        },
        deleted_at: row.try_get(10)?,
        deleted_by: row.try_get(11)?,
    })
}

const NOTE: &str = "insert into deletion (deletion_key, run, study_instance_uid, study_date, accession_number,
        modalities_in_study, instances, byte_len, rule, kept_until, deleted_at, deleted_by)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

const FORGET_CLASS: &str = "delete from patient_class where study_instance_uid = $1";

macro_rules! select_deletions {
    ($end:literal) => {
        concat!(
            "select deletion_key, run, study_instance_uid, study_date, accession_number, modalities_in_study, instances,
                byte_len, rule, kept_until, deleted_at, deleted_by
            from deletion where deletion_key > $1 ",
            $end,
            " order by deletion_key limit $2"
        )
    };
}

const ALL: &str = select_deletions!("");

const OF_RUN: &str = select_deletions!("and run = $3");
