//! Corrections in the catalog, and in the store for a catalog that is made anew.

use super::{Correcting, Correction, Deed, PatientKey, Target};
use crate::{
    archive::{Archive, Inner},
    clock::now,
    database::Change,
    error::ArchiveError,
};
use pacs_core::Uid;
use sqlx::{AnyConnection, AnyPool, Row, any::AnyRow};

/// Corrections of one study or patient, undone ones too; so many nobody makes by hand.
const AT_MOST: i64 = 10_000;
/// Where they are in the store.
const FOLDER: &str = "corrections/";

/// All of a target are looked at whenever it is read, and none may be overlooked.
pub(super) async fn refuse_too_many(change: &mut Change<'_>, target: &Target) -> Result<(), ArchiveError> {
    let statement = match target {
        Target::Patient(patient) => sqlx::query(COUNT_OF_PATIENT).bind(patient.row()),
        target => sqlx::query(COUNT_OF_STUDY).bind(target.study().map_or("", Uid::as_str)),
    };
    let count: i64 = statement.fetch_one(&mut *change.transaction).await?.try_get(0)?;
    if count >= AT_MOST {
        return Err(ArchiveError::Conflict(format!("there are {count} corrections of it already, which is the most")));
    }
    Ok(())
}

pub(super) async fn add(change: &mut Change<'_>, correction: &Correction) -> Result<(), ArchiveError> {
    let Correction { id, position, target, correcting, made, undone } = correction;
    let patient = if let Target::Patient(patient) = target { patient.row() } else { String::new() };
    let (study, series, sop_instance) = match target {
        Target::Patient(_) => ("", "", ""),
        Target::Study(study) => (study.as_str(), "", ""),
        Target::Series(study, series) => (study.as_str(), series.as_str(), ""),
        Target::Instance(study, series, sop_instance) => (study.as_str(), series.as_str(), sop_instance.as_str()),
    };
    let detail = serde_json::to_string(&(target, correcting)).map_err(|e| ArchiveError::Internal(e.to_string()))?;
    sqlx::query(ADD)
        .bind(id)
        .bind(position)
        .bind(patient)
        .bind(study)
        .bind(series)
        .bind(sop_instance)
        .bind(detail)
        .bind(made.at)
        .bind(&made.by)
        .bind(&made.from)
        .bind(&made.why)
        .execute(&mut *change.transaction)
        .await?;
    match undone {
        Some(undone) => mark_undone(change, id, undone).await,
        None => Ok(()),
    }
}

pub(super) async fn mark_undone(change: &mut Change<'_>, id: &str, undone: &Deed) -> Result<(), ArchiveError> {
    let Deed { at, by, from, why } = undone;
    let statement = sqlx::query(UNDO).bind(id).bind(at).bind(by).bind(from).bind(why);
    statement.execute(&mut *change.transaction).await?;
    Ok(())
}

/// What is gone is corrected no longer: if it comes again, it comes as what it is.
pub(crate) async fn end_corrections(change: &mut Change<'_>, study: &str) -> Result<(), sqlx::Error> {
    sqlx::query(END).bind(study).bind(now()).execute(&mut *change.transaction).await?;
    Ok(())
}

pub(super) async fn by_id(connection: &mut AnyConnection, id: &str) -> Result<Option<Correction>, sqlx::Error> {
    let row = sqlx::query(BY_ID).bind(id).fetch_optional(connection).await?;
    row.map(|row| correction(&row)).transpose()
}

/// Of a study and what is in it, in order.
pub(super) async fn of_study(connection: &mut AnyConnection, study: &str) -> Result<Vec<Correction>, sqlx::Error> {
    let rows = sqlx::query(OF_STUDY).bind(study).bind(AT_MOST).fetch_all(connection).await?;
    rows.iter().map(correction).collect()
}

/// Of a patient, by the key of its row, in order.
pub(super) async fn of_patient(connection: &mut AnyConnection, patient: &str) -> Result<Vec<Correction>, sqlx::Error> {
    let rows = sqlx::query(OF_PATIENT).bind(patient).bind(AT_MOST).fetch_all(connection).await?;
    rows.iter().map(correction).collect()
}

pub(super) async fn newest(
    pool: &AnyPool,
    study: Option<&Uid>,
    patient: Option<&PatientKey>,
    limit: u32,
) -> Result<Vec<Correction>, sqlx::Error> {
    let statement = match (study, patient) {
        (Some(study), _) => sqlx::query(NEWEST_OF_STUDY).bind(study.to_string()),
        (None, Some(patient)) => sqlx::query(NEWEST_OF_PATIENT).bind(patient.row()),
        (None, None) => sqlx::query(NEWEST).bind(0_i64),
    };
    let rows = statement.bind(i64::from(limit)).fetch_all(pool).await?;
    rows.iter().map(correction).collect()
}

fn correction(row: &AnyRow) -> Result<Correction, sqlx::Error> {
    let deed = |first: usize| -> Result<Deed, sqlx::Error> {
        let (by, from) = (row.try_get(first + 1)?, row.try_get(first + 2)?);
        Ok(Deed { at: row.try_get(first)?, by, from, why: row.try_get(first + 3)? })
    };
    let detail: String = row.try_get(2)?;
    let (target, correcting): (Target, Correcting) =
        serde_json::from_str(&detail).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let undone = deed(7)?;
    Ok(Correction {
        id: row.try_get(0)?,
        position: row.try_get(1)?,
        target,
        correcting,
        made: deed(3)?,
        undone: (undone.at != 0).then_some(undone),
    })
}

impl Inner {
    /// Puts corrections into the store that are not there as they are now. Several processes may: all write the same.
    /// Returns how many.
    pub(crate) async fn store_corrections(&self) -> Result<usize, ArchiveError> {
        let rows = sqlx::query(TO_STORE).fetch_all(&self.database.pool).await?;
        for row in &rows {
            let correction = correction(row)?;
            self.put_document(&format!("{FOLDER}{}", correction.id), &correction).await?;
            let undone_at = correction.undone.map_or(0, |undone| undone.at);
            let stored = sqlx::query(IN_STORE).bind(correction.id).bind(undone_at);
            self.database.execute(stored).await?;
        }
        Ok(rows.len())
    }
}

impl Inner {
    /// After a change of keys: writes all anew and removes what is encrypted otherwise, or not at all.
    pub(crate) async fn rekey_corrections(&self) -> Result<(), ArchiveError> {
        let others = self.documents_by_other_keys(FOLDER).await?;
        if others.is_empty() {
            return Ok(());
        }
        self.database.execute(sqlx::query(ALL_TO_STORE)).await?;
        while self.store_corrections().await? > 0 {}
        for key in others {
            self.objects.remove(&key).await?;
        }
        Ok(())
    }
}

impl Archive {
    /// Puts corrections and legal holds into the store that could not be put there when they were made.
    pub async fn store_corrections(&self) -> Result<(), ArchiveError> {
        self.inner.store_holds().await?;
        self.inner.store_corrections().await.map(|_| ())
    }

    /// Takes over the corrections in the store that the catalog lacks; returns how many, and what cannot be read.
    pub(crate) async fn take_in_corrections(&self) -> Result<(u64, Vec<String>), ArchiveError> {
        let (mut found, damaged) = self.inner.documents::<Correction>(FOLDER).await?;
        // Of two that tell of the same, one is from before it was undone.
        found.sort_by_key(|correction| (correction.position, correction.undone.is_none()));
        let mut taken = 0;
        for mut correction in found {
            let mut change = self.inner.database.change().await?;
            if by_id(&mut change.transaction, &correction.id).await?.is_none() {
                correction.position = change.head.next_key();
                add(&mut change, &correction).await?;
                super::settle::settle(&mut change, &correction).await?;
                change.commit().await?;
                taken += 1;
            }
        }
        Ok((taken, damaged))
    }
}

macro_rules! select_corrections {
    ($end:literal) => {
        concat!(
            "select correction_id, position, detail, made_at, made_by, made_from, made_why, undone_at, undone_by,
                undone_from, undone_why from correction ",
            $end
        )
    };
}

const ADD: &str = "insert into correction (correction_id, position, patient_key, study, series, sop_instance, detail,
        made_at, made_by, made_from, made_why)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

const UNDO: &str =
    "update correction set undone_at = $2, undone_by = $3, undone_from = $4, undone_why = $5, in_store = 0
    where correction_id = $1";

const END: &str = "update correction set undone_at = $2, undone_by = 'archive', undone_why = 'deleted', in_store = 0
    where undone_at = 0 and study = $1 and (
        not exists (select 1 from study st where st.study_instance_uid = correction.study)
        or series <> '' and not exists (select 1 from study st join series se on se.study_key = st.study_key
            where st.study_instance_uid = correction.study and se.series_instance_uid = correction.series)
        or sop_instance <> '' and not exists (select 1 from study st join series se on se.study_key = st.study_key
                join instance i on i.series_key = se.series_key
            where st.study_instance_uid = correction.study and se.series_instance_uid = correction.series
                and i.sop_instance_uid = correction.sop_instance))";

const BY_ID: &str = select_corrections!("where correction_id = $1");

const OF_STUDY: &str = select_corrections!("where study = $1 order by position limit $2");

const OF_PATIENT: &str = select_corrections!("where patient_key = $1 order by position limit $2");

const COUNT_OF_STUDY: &str = "select count(*) from correction where study = $1";

const COUNT_OF_PATIENT: &str = "select count(*) from correction where patient_key = $1";

const NEWEST_OF_STUDY: &str = select_corrections!("where study = $1 order by position desc limit $2");

const NEWEST_OF_PATIENT: &str = select_corrections!("where patient_key = $1 order by position desc limit $2");

const NEWEST: &str = select_corrections!("where position > $1 order by position desc limit $2");

const TO_STORE: &str = select_corrections!("where in_store = 0 order by position limit 1000");

/// Of a catalog that comes from elsewhere, and whose store has none.
pub(crate) const ALL_TO_STORE: &str = "update correction set in_store = 0";

// Unless it was undone meanwhile.
const IN_STORE: &str = "update correction set in_store = 1 where correction_id = $1 and undone_at = $2";
