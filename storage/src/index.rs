//! The rows of patient, study, series and instance, written at ingest.
//!
//! The attribute columns come from [`pacs_core::query::ATTRIBUTES`], so the statements are made from that table once.
//! Counts, sizes and Modalities in Study are kept up to date here, not counted when asked for.

use crate::{
    batch::{Batch, Count, Keys},
    clock::now,
    config::SameUidOtherContent,
    corrections::settle_arrival,
    database::Change,
    error::ArchiveError,
    facts::Facts,
    ingest::{Described, Outcome},
    names::add_keys,
    non_patient::store_non_patient,
    pack::Record,
    packs::Placed,
    removal::{count_patient_again, name_modalities},
    versions::{Verdict, becomes_current, held_in_series, judge, make_room, outcome},
};
use pacs_core::{
    Tag, VR,
    instance::Instance,
    query::{ATTRIBUTES, Attribute, Level, moment_text, name_groups, number_text},
    tags,
};
use sqlx::{AssertSqlSafe, Row as _};
use std::{collections::BTreeMap, sync::LazyLock};

/// An instance that is safe in a pack, and whose rows are to be written.
pub(crate) struct NewInstance {
    pub(crate) facts: Facts,
    pub(crate) record: Record,
    /// DICOM JSON; the rows of an object of no patient have it.
    pub(crate) metadata: String,
    pub(crate) placed: Placed,
    pub(crate) byte_len: i64,
    pub(crate) data_set_offset: i64,
    pub(crate) pack_offset: i64,
    pub(crate) record_len: i64,
    /// [`pacs_core::frame_layout::FrameLayout`] as JSON: empty without pixel data, [`IN_RECORD`] where it is long.
    pub(crate) frame_layout: String,
    /// [`crate::Recompressed`] as JSON; empty for what is as received.
    pub(crate) recompressed: String,
    pub(crate) same_uid_other_content: SameUidOtherContent,
}

/// Series of the packs of objects of no patient.
pub(crate) const OF_NO_SERIES: i64 = 0;
/// Stands for a frame layout that is read from the instance's record.
pub(crate) const IN_RECORD: &str = "@";
/// A longer layout, of many compressed frames, would make every row of the table wide.
const LONGEST_LAYOUT: usize = 160;

impl NewInstance {
    /// What tells this arrival from every other.
    pub(crate) fn place(&self) -> (&str, i64) {
        (&self.placed.key, self.pack_offset)
    }

    pub(crate) fn new(
        described: Described,
        placed: Placed,
        same_uid_other_content: SameUidOtherContent,
    ) -> Result<Self, ArchiveError> {
        let Described { facts, record, metadata } = described;
        let fits = |n: u64| i64::try_from(n).map_err(|_| ArchiveError::TooLarge(i64::MAX.unsigned_abs()));
        let layout = record.frames.as_ref().map(serde_json::to_string).transpose();
        let mut frame_layout = layout.map_err(|e| ArchiveError::Internal(e.to_string()))?.unwrap_or_default();
        if frame_layout.len() > LONGEST_LAYOUT {
            IN_RECORD.clone_into(&mut frame_layout);
        }
        let recompressed = record.recompressed.as_ref().map(serde_json::to_string).transpose();
        Ok(Self {
            recompressed: recompressed.map_err(|e| ArchiveError::Internal(e.to_string()))?.unwrap_or_default(),
            byte_len: fits(record.byte_len)?,
            data_set_offset: fits(record.data_set_offset)?,
            pack_offset: fits(placed.offset)?,
            record_len: fits(placed.record_len)?,
            frame_layout,
            facts,
            record,
            metadata,
            placed,
            same_uid_other_content,
        })
    }
}

/// Writes all rows of an arrival or a further version of it, or none when its content is held already or not wanted.
pub(crate) async fn store(
    change: &mut Change<'_>,
    batch: &mut Batch<'_>,
    new: &NewInstance,
) -> Result<Outcome, sqlx::Error> {
    match &new.facts {
        Facts::Instance(facts) => {
            if let Some(keys) = batch.keys_of(facts)
                && store_next(change, batch, new, facts, &keys).await?
            {
                return Ok(Outcome::Stored);
            }
            store_instance(change, batch, new, facts).await
        }
        Facts::NonPatient(facts) => store_non_patient(change, new, facts).await,
    }
}

/// Writes the row of one more instance of a series that was written to a moment ago. `false` if that does not do: the series
/// is gone, or holds something under this UID, or its study was corrected since.
async fn store_next(
    change: &mut Change<'_>,
    batch: &mut Batch<'_>,
    new: &NewInstance,
    facts: &Instance,
    keys: &Keys,
) -> Result<bool, sqlx::Error> {
    let (position, pack) = (change.head.next_key(), pack_of(change, batch, new, keys.series).await?);
    let row = Row { key: position, series: keys.series, version: 1, is_current: true, is_settled: false };
    let written = put_instance(change, new, facts, row, pack).await?;
    if written {
        let received_at = new.record.received_at;
        batch.count(keys, Count { instances: 1, byte_len: new.byte_len, position, received_at });
    }
    Ok(written)
}

/// Writes what [`Batch::count`] added up, in one go.
pub(crate) async fn write_counts(change: &mut Change<'_>, batch: &Batch<'_>) -> Result<(), sqlx::Error> {
    let mut statements = String::new();
    for (table, counts) in [("series", &batch.of_series), ("study", &batch.of_study)] {
        for (key, Count { instances, byte_len, position, received_at }) in counts {
            let more = match table {
                "series" => format!("announced = 0, changed_at = {}", now()),
                // What is read from packs again, after the loss of the catalog, came long ago.
                _ => {
                    format!("changed_at = case when changed_at < {received_at} then {received_at} else changed_at end")
                }
            };
            statements += &format!(
                "update {table} set number_of_{table}_related_instances = number_of_{table}_related_instances + {instances},
                    byte_len = byte_len + {byte_len}, changed_position = {position}, {more}
                where {table}_key = {key};"
            );
        }
    }
    if !statements.is_empty() {
        // Numbers of ours and nothing else.
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *change.transaction).await?;
    }
    Ok(())
}

async fn store_instance(
    change: &mut Change<'_>,
    batch: &mut Batch<'_>,
    new: &NewInstance,
    facts: &Instance,
) -> Result<Outcome, sqlx::Error> {
    let policy = new.same_uid_other_content;
    let (series, held) = held_in_series(change, facts).await?;
    Ok(match judge(&held, new.place(), &new.record.digest, policy) {
        Verdict::Leave(outcome) => outcome,
        Verdict::Write(version) => {
            let is_current = becomes_current(version, &held, policy);
            // The row is the event too, and its key the position of the change.
            let position = change.head.next_key();
            let (series, corrected) = match series {
                Some(series) => {
                    make_room(change, new, facts, series, is_current, position).await?;
                    (series, None)
                }
                None => count_in(change, batch, new, facts, position).await?,
            };
            let pack = pack_of(change, batch, new, series).await?;
            put_instance(
                change,
                new,
                facts,
                Row { key: position, series, version, is_current, is_settled: true },
                pack,
            )
            .await?;
            if let Some(patient) = corrected {
                settle_arrival(change, facts, &patient, position).await?;
            }
            outcome(version)
        }
    })
}

/// Which row of an instance is written.
struct Row {
    key: i64,
    series: i64,
    version: i64,
    is_current: bool,
    /// Whether it is settled afterwards, if corrections were made about its study; else it is not written then.
    is_settled: bool,
}

/// Counts one more instance in its series, study and patient, which are made where they are missing. The series' key, and
/// the patient to whom it belongs if corrections were made about the study: each arrival is settled then, and the series
/// not learnt.
async fn count_in(
    change: &mut Change<'_>,
    batch: &mut Batch<'_>,
    new: &NewInstance,
    facts: &Instance,
    position: i64,
) -> Result<(i64, Option<String>), sqlx::Error> {
    let PutStudy { study_key, first_of_study, patient_key, is_corrected } =
        put_study(change, new, facts, position).await?;
    let (series_key, first_of_series) = put_series(change, new, facts, study_key, position).await?;
    if first_of_series {
        if patient_key == self::patient_key(facts) {
            put_patient(change, facts, &patient_key, first_of_study).await?;
        } else if first_of_study {
            // It was merged into another.
            count_patient_again(change, &patient_key).await?;
        }
        sqlx::query(COUNT_SERIES).bind(study_key).execute(&mut *change.transaction).await?;
        name_modalities(change, study_key).await?;
    }
    if is_corrected {
        return Ok((series_key, Some(patient_key)));
    }
    batch.learn_series(facts, Keys { study: study_key, series: series_key });
    Ok((series_key, None))
}

struct PutStudy {
    study_key: i64,
    /// Of which something is to be seen.
    first_of_study: bool,
    /// Of the patient it belongs to: the first instance decided, or a correction.
    patient_key: String,
    is_corrected: bool,
}

async fn put_study(
    change: &mut Change<'_>,
    new: &NewInstance,
    facts: &Instance,
    position: i64,
) -> Result<PutStudy, sqlx::Error> {
    let statement = sqlx::query(PUT_STUDY.as_str())
        .bind(change.head.next_key())
        .bind(patient_key(facts))
        .bind(new.byte_len)
        .bind(new.record.received_at)
        .bind(position);
    let statement = bind_values(statement, Level::Study, |attribute| value(facts, attribute));
    let row = statement.fetch_one(&mut *change.transaction).await?;
    Ok(PutStudy {
        study_key: row.try_get(0)?,
        first_of_study: row.try_get::<i64, _>(3)? == 1,
        patient_key: row.try_get(1)?,
        is_corrected: row.try_get::<i64, _>(2)? == 1,
    })
}

/// The key of the series, and whether this is the first of it that is to be seen.
async fn put_series(
    change: &mut Change<'_>,
    new: &NewInstance,
    facts: &Instance,
    study: i64,
    position: i64,
) -> Result<(i64, bool), sqlx::Error> {
    let statement = sqlx::query(PUT_SERIES.as_str())
        .bind(change.head.next_key())
        .bind(study)
        .bind(order(facts, tags::SERIES_NUMBER))
        .bind(new.byte_len)
        .bind(now())
        .bind(position);
    let statement = bind_values(statement, Level::Series, |attribute| value(facts, attribute));
    let row = statement.fetch_one(&mut *change.transaction).await?;
    Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? == 1))
}

async fn put_patient(
    change: &mut Change<'_>,
    facts: &Instance,
    key: &str,
    first_of_study: bool,
) -> Result<(), sqlx::Error> {
    put_patient_row(change, key, i64::from(first_of_study), |attribute| value(facts, attribute)).await
}

/// Makes a patient that is not there yet, of whom nothing has come.
pub(crate) async fn add_patient(
    change: &mut Change<'_>,
    key: &str,
    values: &BTreeMap<Tag, Option<String>>,
) -> Result<(), sqlx::Error> {
    let value = |attribute: &Attribute| values.get(&attribute.tag).cloned().flatten().unwrap_or_default();
    put_patient_row(change, key, 0, value).await
}

async fn put_patient_row(
    change: &mut Change<'_>,
    key: &str,
    studies: i64,
    value: impl Fn(&Attribute) -> String,
) -> Result<(), sqlx::Error> {
    let candidate = change.head.next_key();
    let statement = sqlx::query(PUT_PATIENT.as_str()).bind(key).bind(studies).bind(candidate);
    let row = bind_values(statement, Level::Patient, value).fetch_one(&mut *change.transaction).await?;
    let (patient_no, name, search): (i64, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    // Without a number it waits for its keys together with the others of its catalog.
    if patient_no != 0 && search.is_empty() {
        add_keys(change, patient_no, &name).await?;
    }
    Ok(())
}

/// `false` if its place is taken, the series is gone, or its study is corrected and that is not settled.
async fn put_instance(
    change: &mut Change<'_>,
    new: &NewInstance,
    facts: &Instance,
    row: Row,
    pack: i64,
) -> Result<bool, sqlx::Error> {
    let statement = sqlx::query(PUT_INSTANCE.as_str())
        .bind(row.key)
        .bind(row.series)
        .bind(facts.transfer_syntax.uid().as_str())
        .bind(order(facts, tags::INSTANCE_NUMBER))
        .bind(pack)
        .bind(new.pack_offset)
        .bind(new.byte_len)
        .bind(new.record_len)
        .bind(new.data_set_offset)
        .bind(&new.record.digest)
        .bind(i64::from(new.record.checksum))
        .bind(&new.frame_layout)
        .bind(new.record.received_at)
        .bind(row.version)
        .bind(i64::from(row.is_current))
        .bind(&new.record.actor)
        .bind(&new.recompressed)
        .bind(i64::from(row.is_settled));
    let statement = bind_values(statement, Level::Instance, |attribute| value(facts, attribute));
    Ok(statement.execute(&mut *change.transaction).await?.rows_affected() > 0)
}

/// The key of the pack of an arrival.
async fn pack_of(
    change: &mut Change<'_>,
    batch: &mut Batch<'_>,
    new: &NewInstance,
    series: i64,
) -> Result<i64, sqlx::Error> {
    if let Some(key) = batch.pack_of(&new.placed.key) {
        return Ok(key);
    }
    let key = put_pack(change, &new.placed.key, series).await?;
    batch.learn_pack(&new.placed.key, key);
    Ok(key)
}

/// The key of a pack, which is open if it is new to the catalog.
pub(crate) async fn put_pack(change: &mut Change<'_>, object_key: &str, series: i64) -> Result<i64, sqlx::Error> {
    let statement = sqlx::query(PUT_PACK).bind(change.head.next_key()).bind(series).bind(object_key);
    statement.fetch_one(&mut *change.transaction).await?.try_get(0)
}

/// Patient ID and issuer; patients without an ID are told apart by study, lest strangers become one.
fn patient_key(facts: &Instance) -> String {
    let value = |tag| facts.values.get(&tag).map(|text| clean(text)).unwrap_or_default();
    match value(tags::PATIENT_ID) {
        id if id.is_empty() => format!("study {}", facts.study),
        id => format!("id {}\\{id}", value(tags::ISSUER_OF_PATIENT_ID)),
    }
}

/// Sorts by number; what has none comes last.
fn order(facts: &Instance, tag: Tag) -> i64 {
    facts.values.get(&tag).and_then(|text| text.trim().parse().ok()).unwrap_or(i64::MAX)
}

type Statement<'q> = crate::database::Statement<'q>;

/// Binds a level's attribute columns in table order, each with its match columns behind it.
fn bind_values<'q>(mut statement: Statement<'q>, level: Level, value: impl Fn(&Attribute) -> String) -> Statement<'q> {
    for attribute in columns(level) {
        let value = value(attribute);
        let matched = match_values(attribute, &value);
        statement = matched.into_iter().fold(statement.bind(value), |statement, text| statement.bind(text));
    }
    statement
}

/// The identity comes from the checked UIDs, so that trailing padding or the like never splits a study.
fn value(facts: &Instance, attribute: &Attribute) -> String {
    match attribute.tag {
        tags::STUDY_INSTANCE_UID => facts.study.to_string(),
        tags::SERIES_INSTANCE_UID => facts.series.to_string(),
        tags::SOP_INSTANCE_UID => facts.sop_instance.to_string(),
        tags::SOP_CLASS_UID => facts.sop_class.to_string(),
        tag => facts.values.get(&tag).map(|text| clean(text)).unwrap_or_default(),
    }
}

/// PostgreSQL has no NUL in text, and no attribute here may have one (PS3.5 §6.2).
fn clean(text: &str) -> String {
    text.replace('\0', "").trim_matches(' ').to_owned()
}

/// The attributes of a level that are columns of its table, filled from the data set.
pub(crate) fn columns(level: Level) -> impl Iterator<Item = &'static Attribute> {
    ATTRIBUTES.iter().filter(move |a| a.level == level && !a.derived)
}

/// What is added to an attribute's column name for the columns by which it is matched; none where the value serves.
pub(crate) const fn match_columns(attribute: &Attribute) -> &'static [&'static str] {
    match attribute.vr {
        _ if attribute.derived => &[],
        VR::PN => &["_alphabetic", "_ideographic", "_phonetic"],
        VR::DA | VR::TM | VR::IS => &["_match"],
        _ => &[],
    }
}

/// The contents of those columns, as many as there are. Of several values the first one counts.
pub(crate) fn match_values(attribute: &Attribute, value: &str) -> Vec<String> {
    let first = value.split('\\').next().unwrap_or_default();
    let mut values = match attribute.vr {
        VR::PN => name_groups(first),
        VR::DA | VR::TM => moment_text(attribute.vr, first, '0').into_iter().collect(),
        _ => vec![number_text(first)],
    };
    values.resize(match_columns(attribute).len(), String::new());
    values
}

static PUT_STUDY: LazyLock<String> = LazyLock::new(|| {
    upsert(
        Level::Study,
        "insert into study (study_key, patient_key, received_patient_key, corrected, number_of_study_related_series,
            number_of_study_related_instances, byte_len, changed_at, changed_position",
        "$1, coalesce((select merged_into from patient where patient_key = $2 and merged_into <> ''), cast($2 as text)),
            case when exists (select 1 from patient where patient_key = $2 and merged_into <> '')
                then cast($2 as text) else '' end,
            coalesce((select corrected from patient where patient_key = $2), 0), 0, 1, $3, $4, $5",
        5,
        "on conflict (study_instance_uid) do update set
            number_of_study_related_instances = study.number_of_study_related_instances + 1,
            byte_len = study.byte_len + excluded.byte_len,
            changed_at = case when study.changed_at < excluded.changed_at then excluded.changed_at else study.changed_at end,
            changed_position = excluded.changed_position",
        "returning study_key, patient_key, corrected, number_of_study_related_instances",
    )
});

static PUT_SERIES: LazyLock<String> = LazyLock::new(|| {
    upsert(
        Level::Series,
        "insert into series (series_key, study_key, series_order, number_of_series_related_instances, byte_len,
            changed_at, changed_position, announced",
        "$1, $2, $3, 1, $4, $5, $6, 0",
        6,
        "on conflict (study_key, series_instance_uid) do update set
            number_of_series_related_instances = series.number_of_series_related_instances + 1,
            byte_len = series.byte_len + excluded.byte_len, changed_at = excluded.changed_at,
            changed_position = excluded.changed_position, announced = 0",
        "returning series_key, number_of_series_related_instances",
    )
});

static PUT_PATIENT: LazyLock<String> = LazyLock::new(|| {
    upsert(
        Level::Patient,
        "insert into patient (patient_key, number_of_patient_related_studies, patient_no",
        "$1, $2, $3",
        3,
        "on conflict (patient_key) do update set
            number_of_patient_related_studies = patient.number_of_patient_related_studies + excluded.number_of_patient_related_studies",
        "returning patient_no, patient_name, patient_search",
    )
});

static PUT_INSTANCE: LazyLock<String> = LazyLock::new(|| {
    let (names, values, _) = attribute_columns(Level::Instance, 18);
    format!(
        "insert into instance (instance_key, series_key, available_transfer_syntax_uid, instance_order, pack_key,
            pack_offset, byte_len, record_len, data_set_offset, data_set_digest, checksum, frame_layout, stored_at,
            version, is_current, received_from, recompressed{names})
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17{values}
        where exists (select 1 from series se join study st on st.study_key = se.study_key
            where se.series_key = $2 and st.corrected <= cast($18 as bigint))
        on conflict do nothing"
    )
});

/// An insert that adds to the row that is there, and fills its empty attributes: the first writer's values stay.
fn upsert(level: Level, insert: &str, given: &str, bound: usize, conflict: &str, returning: &str) -> String {
    let (names, values, fills) = attribute_columns(level, bound);
    format!("{insert}{names}) values ({given}{values}) {conflict}{fills} {returning}")
}

/// Column names, placeholders after the first `bound`, and `set` terms of a level's attributes, each led by a comma.
fn attribute_columns(level: Level, bound: usize) -> (String, String, String) {
    let table = table(level);
    let (mut names, mut values, mut fills) = (String::new(), String::new(), String::new());
    for (at, column) in columns(level).flat_map(with_match_columns).enumerate() {
        names += &format!(", {column}");
        values += &format!(", ${}", bound + at + 1);
        fills +=
            &format!(", {column} = case when {table}.{column} = '' then excluded.{column} else {table}.{column} end");
    }
    (names, values, fills)
}

fn with_match_columns(attribute: &'static Attribute) -> impl Iterator<Item = String> {
    let suffixes = std::iter::once(&"").chain(match_columns(attribute));
    suffixes.map(|suffix| format!("{}{suffix}", attribute.column))
}

pub(crate) const fn table(level: Level) -> &'static str {
    match level {
        Level::Patient => "patient",
        Level::Study => "study",
        Level::Series => "series",
        Level::Instance => "instance",
    }
}

// The update that changes nothing lets `returning` speak of the row that is there.
const PUT_PACK: &str = "insert into pack (pack_key, series_key, object_key, sealed, compact, byte_len, metadata_offset,
        metadata_len, index_offset, index_len, metadata_position)
    values ($1, $2, $3, 0, 0, 0, 0, 0, 0, 0, 0)
    on conflict (object_key) do update set object_key = excluded.object_key returning pack_key";

const COUNT_SERIES: &str = "update study set number_of_study_related_series = number_of_study_related_series + 1
    where study_key = $1";

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns of a table in the migrations.
    fn schema(level: Level) -> Vec<&'static str> {
        let sql = include_str!("../migrations/0001_index.sql");
        let start = format!("create table {} (\n", table(level));
        let (_, table) = sql.split_once(&start).expect("the table");
        let (columns, _) = table.split_once("\n);").expect("its end");
        let renamed = include_str!("../migrations/0017_patient_studies.sql");
        let renamed = renamed.split_once(" to ").map(|(_, name)| name.trim_end_matches([';', '\n']));
        columns.lines().filter_map(|line| line.split_whitespace().next()).chain(renamed).collect()
    }

    #[test]
    fn the_schema_has_a_column_for_every_indexed_attribute() {
        for level in [Level::Patient, Level::Study, Level::Series, Level::Instance] {
            let schema = schema(level);
            for column in columns(level).flat_map(with_match_columns) {
                assert!(schema.contains(&&*column), "{column}");
            }
            for derived in ATTRIBUTES.iter().filter(|a| a.level == level && a.derived) {
                assert!(schema.contains(&derived.column), "{}", derived.column);
            }
        }
    }
}
