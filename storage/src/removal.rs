//! Rows removed at delete, and counts made anew: of what stays, and of what is to be seen after a correction.

use crate::{clock::now, corrections::end_corrections, database::Change, names::remove_keys};
use sqlx::Row as _;

/// Removes the rows of a study, of a series when `series` is not empty, or of one instance; dooms the packs that hold
/// nothing else. The counts of what stays are made anew. Returns how many instances went, each with all its versions.
pub(crate) async fn remove(
    change: &mut Change<'_>,
    study_uid: &str,
    series: &str,
    sop_instance: &str,
    position: i64,
) -> Result<usize, sqlx::Error> {
    let row = sqlx::query(STUDY).bind(study_uid).fetch_optional(&mut *change.transaction).await?;
    let Some(row) = row else { return Ok(0) };
    let (study, patient): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
    let mut removed = 0;
    for statement in [BURY, COMPACT, REMOVE_OLD_VERSIONS, REMOVE_INSTANCES] {
        let statement = sqlx::query(statement).bind(study).bind(series).bind(sop_instance);
        removed = statement.execute(&mut *change.transaction).await?.rows_affected();
    }
    for (statement, at) in [(DOOM_PACKS, now()), (REMOVE_DOOMED_PACKS, 0), (RECOUNT_SERIES, position)] {
        sqlx::query(statement).bind(study).bind(at).execute(&mut *change.transaction).await?;
    }
    sqlx::query(REMOVE_EMPTY_SERIES).bind(study).execute(&mut *change.transaction).await?;
    count_study_again(change, study, position).await?;
    for statement in [REMOVE_EMPTY_STUDY, REMOVE_READ] {
        sqlx::query(statement).bind(study).execute(&mut *change.transaction).await?;
    }
    end_corrections(change, study_uid).await?;
    count_patient_again(change, &patient).await?;
    let row = sqlx::query(REMOVE_EMPTY_PATIENT).bind(&patient).fetch_optional(&mut *change.transaction).await?;
    if let Some(row) = row {
        remove_keys(change, row.try_get(0)?, &row.try_get::<String, _>(1)?).await?;
    }
    Ok(usize::try_from(removed).unwrap_or(usize::MAX))
}

/// Counts what is to be seen of a study and its series.
pub(crate) async fn count_study_again(change: &mut Change<'_>, study: i64, position: i64) -> Result<(), sqlx::Error> {
    sqlx::query(RECOUNT_SERIES).bind(study).bind(position).execute(&mut *change.transaction).await?;
    sqlx::query(RECOUNT_STUDY).bind(study).bind(position).execute(&mut *change.transaction).await?;
    name_modalities(change, study).await
}

/// Counts the studies of a patient of which something is to be seen.
pub(crate) async fn count_patient_again(change: &mut Change<'_>, patient: &str) -> Result<(), sqlx::Error> {
    sqlx::query(RECOUNT_PATIENT).bind(patient).execute(&mut *change.transaction).await?;
    Ok(())
}

/// Sets Modalities in Study from the study's series.
pub(crate) async fn name_modalities(change: &mut Change<'_>, study: i64) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(MODALITIES).bind(study).fetch_all(&mut *change.transaction).await?;
    let names = rows.iter().map(|row| row.try_get::<String, _>(0)).collect::<Result<Vec<_>, _>>()?;
    sqlx::query(NAME_MODALITIES).bind(study).bind(names.join("\\")).execute(&mut *change.transaction).await?;
    Ok(())
}

const MODALITIES: &str = "select distinct modality from series where study_key = $1 and modality <> ''
        and number_of_series_related_instances > 0
    order by modality";

const NAME_MODALITIES: &str = "update study set modalities_in_study = $2 where study_key = $1";

const STUDY: &str = "select study_key, patient_key from study where study_instance_uid = $1";

const BURY: &str = "insert into tombstone (pack_key, pack_offset)
    select i.pack_key, i.pack_offset from instance i join series se on se.series_key = i.series_key
        join pack p on p.pack_key = i.pack_key
    where se.study_key = $1 and ($2 = '' or se.series_instance_uid = $2) and ($3 = '' or i.sop_instance_uid = $3)
        and p.sealed = 0";

const COMPACT: &str = "update pack set compact = 1 where pack_key in (
    select i.pack_key from instance i join series se on se.series_key = i.series_key
    where se.study_key = $1 and ($2 = '' or se.series_instance_uid = $2) and ($3 = '' or i.sop_instance_uid = $3))";

const DOOM_PACKS: &str = "insert into doomed_object (object_key, due_at)
    select object_key, cast($2 as bigint) from pack where compact = 1 and sealed = 1
        and series_key in (select series_key from series where study_key = $1)
        and not exists (select 1 from instance i where i.pack_key = pack.pack_key)";

const REMOVE_DOOMED_PACKS: &str = "delete from pack where compact = 1 and sealed = 1 and $2 = 0
    and series_key in (select series_key from series where study_key = $1)
    and not exists (select 1 from instance i where i.pack_key = pack.pack_key)";

const REMOVE_OLD_VERSIONS: &str = "delete from instance
    where is_current = 0 and rejected = 0 and ($3 = '' or sop_instance_uid = $3) and series_key in (
        select series_key from series where study_key = $1 and ($2 = '' or series_instance_uid = $2))";

const REMOVE_INSTANCES: &str = "delete from instance where ($3 = '' or sop_instance_uid = $3) and series_key in (
    select series_key from series where study_key = $1 and ($2 = '' or series_instance_uid = $2))";

const RECOUNT_SERIES: &str = "update series set changed_position = $2,
        number_of_series_related_instances = (select count(*) from instance i
            where i.series_key = series.series_key and i.is_current = 1),
        byte_len = (select coalesce(sum(i.byte_len), 0) from instance i where i.series_key = series.series_key)
    where study_key = $1";

const REMOVE_EMPTY_SERIES: &str = "delete from series
    where study_key = $1 and not exists (select 1 from instance i where i.series_key = series.series_key)";

const RECOUNT_STUDY: &str = "update study set changed_position = $2,
        number_of_study_related_series = (select count(*) from series se
            where se.study_key = study.study_key and se.number_of_series_related_instances > 0),
        number_of_study_related_instances = (select coalesce(sum(se.number_of_series_related_instances), 0)
            from series se where se.study_key = study.study_key),
        byte_len = (select coalesce(sum(se.byte_len), 0) from series se where se.study_key = study.study_key)
    where study_key = $1";

const REMOVE_EMPTY_STUDY: &str = "delete from study
    where study_key = $1 and not exists (select 1 from series se where se.study_key = study.study_key)";

const REMOVE_READ: &str = "delete from study_read
    where study_key = $1 and not exists (select 1 from study where study.study_key = study_read.study_key)";

const RECOUNT_PATIENT: &str = "update patient set number_of_patient_related_studies = (select count(*) from study
        where study.patient_key = patient.patient_key and number_of_study_related_instances > 0)
    where patient_key = $1";

// Who was corrected, or had another merged into it, is met again when the next of it comes.
const REMOVE_EMPTY_PATIENT: &str = "delete from patient where patient_key = $1 and corrected = 0
    and not exists (select 1 from study where study.patient_key = patient.patient_key)
    and not exists (select 1 from patient merged where merged.merged_into = patient.patient_key
        and merged.merged_into <> '')
    returning patient_no, patient_name";
