//! The catalog's columns and counts brought in step with the corrections in force.
//!
//! Everything here may be done again at any time: it looks at all corrections of what it brings in step.

use super::{
    Correcting, Correction, PatientKey, Target,
    owner::{Values, owner, row_values},
    rows,
};
use crate::{
    database::Change,
    error::ArchiveError,
    index::{add_patient, columns, match_columns, match_values, table},
    names::{add_keys, remove_keys},
    outbox::{EventKind, NewEvent, write_event},
    removal::{count_patient_again, count_study_again},
    retention::keep_held,
};
use pacs_core::{
    Tag, Uid,
    correction::{check, keyword_of},
    instance::Instance,
    query::{Attribute, Level},
    tags,
};
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Instances of one rejection: so many are still a small object in the store, which is read again, and some seconds' work.
const MOST_REJECTED: usize = 100_000;

/// Fills in what the correction leaves to the catalog, and refuses what the catalog says cannot be.
pub(super) async fn complete(change: &mut Change<'_>, correction: &mut Correction) -> Result<(), ArchiveError> {
    let Correction { target, correcting, .. } = correction;
    must_exist(&mut change.transaction, target, correcting).await?;
    match (target, correcting) {
        (Target::Study(study), Correcting::Assignment(to, values)) => {
            let (_, owned_by, _) = held(&mut change.transaction, study.as_str()).await?.unwrap_or_default();
            let final_owner = owner(&mut change.transaction, &to.row(), &[], None).await?.key;
            if owned_by == final_owner {
                return Err(ArchiveError::Conflict(format!("study {study} belongs to this patient already")));
            }
            know(change, to, values).await
        }
        (Target::Patient(from), Correcting::Merge(to, values)) => {
            let final_owner = owner(&mut change.transaction, &to.row(), &[], None).await?.key;
            let owned_by = owner(&mut change.transaction, &from.row(), &[], None).await?.key;
            if final_owner == owned_by {
                return Err(ArchiveError::Conflict("both are the same patient already".into()));
            }
            if final_owner == from.row() {
                return Err(ArchiveError::Conflict(
                    "the other patient was merged into this one: undo that first".into(),
                ));
            }
            know(change, to, values).await
        }
        (target, Correcting::Rejection(_, instances)) => {
            if instances.is_empty() {
                *instances = current_instances(&mut change.transaction, target).await?;
            }
            match instances.len() {
                0 => Err(ArchiveError::NotFound("what is to be rejected".into())),
                1..=MOST_REJECTED => Ok(()),
                many => Err(ArchiveError::Conflict(format!(
                    "{many} instances are too many for one rejection, at most {MOST_REJECTED}: reject series by series"
                ))),
            }
        }
        _ => Ok(()),
    }
}

async fn must_exist(
    connection: &mut AnyConnection,
    target: &Target,
    correcting: &Correcting,
) -> Result<(), ArchiveError> {
    let found = match target {
        // All that comes for a patient may be merged before the first of it has come.
        Target::Patient(_) if matches!(correcting, Correcting::Merge(..)) => true,
        Target::Patient(patient) => row_values(connection, &patient.row()).await?.is_some(),
        target => !row_keys(connection, target).await?.is_empty(),
    };
    let named = || match target {
        Target::Patient(_) => "a patient of this ID and issuer".to_owned(),
        Target::Study(uid) => format!("study {uid}"),
        Target::Series(_, uid) => format!("series {uid}"),
        Target::Instance(_, _, uid) => format!("instance {uid}"),
    };
    if found { Ok(()) } else { Err(ArchiveError::NotFound(named())) }
}

/// Notes what is known of a patient that something is to belong to.
async fn know(change: &mut Change<'_>, patient: &PatientKey, values: &mut Values) -> Result<(), ArchiveError> {
    match row_values(&mut change.transaction, &patient.row()).await? {
        Some(_) if !values.is_empty() => Err(ArchiveError::Conflict(
            "the patient is in the archive: correct the patient's attributes by themselves".into(),
        )),
        Some(known) => {
            *values = known;
            Ok(())
        }
        None if values.get(&tags::PATIENT_NAME).is_none_or(Option::is_none) => Err(ArchiveError::NotFound(
            "the patient to whom it is to belong (give PatientName and what else is known to add one)".into(),
        )),
        None => may_be_new(patient),
    }
}

/// Makes a patient that is not in the catalog yet.
async fn enter(change: &mut Change<'_>, patient: &PatientKey, values: &Values) -> Result<(), sqlx::Error> {
    let identity = [(tags::PATIENT_ID, &patient.id), (tags::ISSUER_OF_PATIENT_ID, &patient.issuer)];
    let identity = identity.map(|(tag, value)| (tag, Some(value.clone())));
    let values = values.clone().into_iter().chain(identity).collect();
    add_patient(change, &patient.row(), &values).await
}

/// One that a data set could name, lest nothing that comes is ever of this patient.
fn may_be_new(patient: &PatientKey) -> Result<(), ArchiveError> {
    for (tag, text) in [(tags::PATIENT_ID, &patient.id), (tags::ISSUER_OF_PATIENT_ID, &patient.issuer)] {
        check(tag, text).map_err(|error| ArchiveError::Conflict(error.to_string()))?;
        if text.contains('\\') || text.trim() != text {
            let keyword = keyword_of(tag);
            return Err(ArchiveError::Conflict(format!("{keyword} is one value, without spaces around it")));
        }
    }
    Ok(())
}

/// Brings the catalog in step with a correction that was just made, or undone.
pub(super) async fn settle(change: &mut Change<'_>, correction: &Correction) -> Result<(), ArchiveError> {
    match (&correction.target, &correction.correcting) {
        (Target::Patient(patient), Correcting::Attributes(_)) => {
            let key = patient.row();
            settle_patient(change, &key).await?;
            sqlx::query(MARK_PATIENT).bind(&key).execute(&mut *change.transaction).await?;
            for study in studies_of(&mut change.transaction, &key).await? {
                touch(change, &study).await?;
            }
            Ok(())
        }
        (Target::Patient(from), Correcting::Merge(to, values)) => merge(change, from, to, values).await,
        (Target::Study(study), Correcting::Assignment(to, values)) => {
            enter(change, to, values).await?;
            give(change, study.as_str()).await
        }
        (target, correcting) => {
            let Some(study) = target.study() else { return Ok(()) };
            if let Correcting::Rejection(_, instances) = correcting {
                hide(change, study, instances, correction.position).await?;
            } else {
                settle_study(change, study.as_str(), |other| other == target).await?;
            }
            touch(change, study.as_str()).await
        }
    }
}

/// An instance came for a study about which corrections were made: a rejection may have named it before.
pub(crate) async fn settle_arrival(
    change: &mut Change<'_>,
    arrived: &Instance,
    patient: &str,
    position: i64,
) -> Result<(), sqlx::Error> {
    let (series, sop_instance) = (&arrived.series, &arrived.sop_instance);
    settle_study(change, arrived.study.as_str(), |target| target.covers(series, sop_instance)).await?;
    settle_patient(change, patient).await?;
    let one = (series.clone(), sop_instance.clone());
    if rejected(change, &arrived.study).await?.contains(&one) {
        hide(change, &arrived.study, &[one], position).await?;
    }
    Ok(())
}

async fn merge(
    change: &mut Change<'_>,
    from: &PatientKey,
    to: &PatientKey,
    values: &Values,
) -> Result<(), ArchiveError> {
    enter(change, from, &Values::new()).await?;
    enter(change, to, values).await?;
    sqlx::query(MARK_PATIENT).bind(from.row()).execute(&mut *change.transaction).await?;
    let was_merged_into = merged_into(&mut change.transaction, &from.row()).await?;
    let mut along = HashSet::from([from.row()]);
    for other in [from.row(), was_merged_into.clone()] {
        let rows = sqlx::query(MERGED_INTO_IT).bind(other).fetch_all(&mut *change.transaction).await?;
        for row in rows {
            along.insert(row.try_get(0)?);
        }
    }
    let mut studies = BTreeSet::new();
    for patient in along {
        studies.extend(studies_of(&mut change.transaction, &patient).await?);
        let owner = owner(&mut change.transaction, &patient, &[], None).await?.key;
        let into = if owner == patient { String::new() } else { owner };
        sqlx::query(MERGE).bind(patient).bind(into).execute(&mut *change.transaction).await?;
    }
    // Those that an undone merge brought there.
    for row in sqlx::query(CORRECTED_OF).bind(&was_merged_into).fetch_all(&mut *change.transaction).await? {
        studies.insert(row.try_get(0)?);
    }
    for study in studies {
        give(change, &study).await?;
    }
    Ok(())
}

/// Gives a study to the patient to whom it belongs.
async fn give(change: &mut Change<'_>, study: &str) -> Result<(), ArchiveError> {
    let Some((study_key, before, received)) = held(&mut change.transaction, study).await? else { return Ok(()) };
    let corrections = rows::of_study(&mut change.transaction, study).await?;
    let owner = owner(&mut change.transaction, &received, &corrections, None).await?;
    if owner.key == before {
        return Ok(());
    }
    if let Some(moved) = &owner.moved {
        enter(change, &moved.to, &moved.values).await?;
    }
    keep_held(change, study, &before).await?;
    let statement = sqlx::query(GIVE).bind(study_key).bind(&owner.key).bind(&received);
    statement.execute(&mut *change.transaction).await?;
    for patient in [&before, &owner.key] {
        count_patient_again(change, patient).await?;
    }
    touch(change, study).await
}

/// Writes the event of a study that is seen otherwise now; whatever was remembered of it is out of date.
async fn touch(change: &mut Change<'_>, study: &str) -> Result<(), ArchiveError> {
    let event = NewEvent { kind: EventKind::Corrected, study, series: "", sop_instance: "", sop_class: "" };
    let position = write_event(change, event).await?;
    for statement in [TOUCH_SERIES, TOUCH_STUDY] {
        sqlx::query(statement).bind(study).bind(position).execute(&mut *change.transaction).await?;
    }
    Ok(())
}

/// Hides the instances that any rejection in force names, and shows the others of these.
async fn hide(
    change: &mut Change<'_>,
    study: &Uid,
    instances: &[(Uid, Uid)],
    position: i64,
) -> Result<(), sqlx::Error> {
    let Some((study_key, patient, _)) = held(&mut change.transaction, study.as_str()).await? else { return Ok(()) };
    let rejected = rejected(change, study).await?;
    for one in instances {
        let statement = if rejected.contains(one) { HIDE } else { SHOW };
        let (series, sop_instance) = (one.0.as_str(), one.1.as_str());
        let statement = sqlx::query(statement).bind(study_key).bind(series).bind(sop_instance).bind(position);
        statement.execute(&mut *change.transaction).await?;
    }
    count_study_again(change, study_key, position).await?;
    count_patient_again(change, &patient).await
}

/// Series and SOP Instance UIDs that rejections in force name.
async fn rejected(change: &mut Change<'_>, study: &Uid) -> Result<HashSet<(Uid, Uid)>, sqlx::Error> {
    let corrections = rows::of_study(&mut change.transaction, study.as_str()).await?;
    let in_force = corrections.into_iter().filter(|correction| correction.is_in_force(None));
    let named = in_force.filter_map(|correction| match correction.correcting {
        Correcting::Rejection(_, instances) => Some(instances),
        _ => None,
    });
    Ok(named.flatten().collect())
}

async fn settle_patient(change: &mut Change<'_>, patient: &str) -> Result<(), sqlx::Error> {
    let corrections = rows::of_patient(&mut change.transaction, patient).await?;
    let corrections: Vec<_> = corrections.iter().collect();
    settle_row(change, &Holder { level: Level::Patient, key: Key::Text(patient.to_owned()) }, &corrections).await
}

/// Settles the targets in a study that something concerns: a study may have thousands.
async fn settle_study(
    change: &mut Change<'_>,
    study: &str,
    concerns: impl Fn(&Target) -> bool,
) -> Result<(), sqlx::Error> {
    let corrections = rows::of_study(&mut change.transaction, study).await?;
    let mut targets: HashMap<&Target, Vec<&Correction>> = HashMap::new();
    for correction in corrections.iter().filter(|correction| concerns(&correction.target)) {
        targets.entry(&correction.target).or_default().push(correction);
    }
    for (target, own) in targets {
        for key in row_keys(&mut change.transaction, target).await? {
            settle_row(change, &Holder { level: target.level(), key: Key::Number(key) }, &own).await?;
        }
    }
    Ok(())
}

/// A row of the catalog.
struct Holder {
    level: Level,
    key: Key,
}

enum Key {
    Number(i64),
    Text(String),
}

impl Holder {
    /// As `received_value` names it.
    fn name(&self) -> String {
        match &self.key {
            Key::Number(key) => format!("{} {key}", table(self.level)),
            Key::Text(key) => format!("{} {key}", table(self.level)),
        }
    }

    /// A statement whose `$1` is the key.
    fn statement(&self, sql: String) -> crate::database::Statement<'static> {
        let statement = sqlx::query(AssertSqlSafe(sql));
        match &self.key {
            Key::Number(key) => statement.bind(*key),
            Key::Text(key) => statement.bind(key.clone()),
        }
    }
}

/// Sets the columns of a row that corrections of it speak of, in force or not.
async fn settle_row(change: &mut Change<'_>, holder: &Holder, own: &[&Correction]) -> Result<(), sqlx::Error> {
    let values = |correction: &Correction| match &correction.correcting {
        Correcting::Attributes(values) => values.clone(),
        _ => Values::new(),
    };
    let spoken_of: BTreeSet<Tag> = own.iter().flat_map(|correction| values(correction).into_keys()).collect();
    for attribute in columns(holder.level).filter(|attribute| spoken_of.contains(&attribute.tag)) {
        let in_force = own.iter().rev().filter(|correction| correction.is_in_force(None));
        let corrected = in_force.filter_map(|correction| values(correction).remove(&attribute.tag)).next();
        let before = column(change, holder, attribute).await?;
        let received = received(change, holder, attribute, &before).await?;
        let after = corrected.map_or(received, Option::unwrap_or_default);
        if after != before {
            set_column(change, holder, attribute, &after).await?;
            if attribute.tag == tags::PATIENT_NAME {
                name_again(change, holder, &before, &after).await?;
            }
        }
    }
    Ok(())
}

async fn column(change: &mut Change<'_>, holder: &Holder, attribute: &Attribute) -> Result<String, sqlx::Error> {
    let table = table(holder.level);
    let sql = format!("select {} from {table} where {table}_key = $1", attribute.column);
    let row = holder.statement(sql).fetch_optional(&mut *change.transaction).await?;
    row.map_or_else(|| Ok(String::new()), |row| row.try_get(0))
}

/// What the column held before its first correction.
async fn received(
    change: &mut Change<'_>,
    holder: &Holder,
    attribute: &Attribute,
    now: &str,
) -> Result<String, sqlx::Error> {
    let tag = format!("{:04X}{:04X}", attribute.tag.0, attribute.tag.1);
    let statement = sqlx::query(KEEP_RECEIVED).bind(holder.name()).bind(tag).bind(now);
    statement.fetch_one(&mut *change.transaction).await?.try_get(0)
}

async fn set_column(
    change: &mut Change<'_>,
    holder: &Holder,
    attribute: &Attribute,
    value: &str,
) -> Result<(), sqlx::Error> {
    let (table, column) = (table(holder.level), attribute.column);
    let suffixes = match_columns(attribute).iter().enumerate();
    let matched: String = suffixes.map(|(at, suffix)| format!(", {column}{suffix} = ${}", at + 3)).collect();
    let statement = holder.statement(format!("update {table} set {column} = $2{matched} where {table}_key = $1"));
    let values = match_values(attribute, value);
    let statement = values.into_iter().fold(statement.bind(value.to_owned()), |statement, text| statement.bind(text));
    statement.execute(&mut *change.transaction).await?;
    Ok(())
}

async fn name_again(change: &mut Change<'_>, holder: &Holder, before: &str, after: &str) -> Result<(), sqlx::Error> {
    let row = holder.statement(NUMBER.to_owned()).fetch_optional(&mut *change.transaction).await?;
    let number: i64 = row.map_or(Ok(0), |row| row.try_get(0))?;
    // Without a number it waits for its keys together with the others of its catalog.
    if number == 0 {
        return Ok(());
    }
    remove_keys(change, number, before).await?;
    sqlx::query(FORGET_SEARCH).bind(number).execute(&mut *change.transaction).await?;
    add_keys(change, number, after).await
}

/// Study key, the patient it belongs to, and the one that its instances name.
async fn held(connection: &mut AnyConnection, study: &str) -> Result<Option<(i64, String, String)>, sqlx::Error> {
    let row = sqlx::query(HELD).bind(study).fetch_optional(connection).await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).transpose()
}

/// The rows of a target other than a patient; an instance has one for each version.
async fn row_keys(connection: &mut AnyConnection, target: &Target) -> Result<Vec<i64>, sqlx::Error> {
    let statement = match target {
        Target::Patient(_) => return Ok(Vec::new()),
        Target::Study(study) => sqlx::query(STUDY_KEY).bind(study.as_str()),
        Target::Series(study, series) => sqlx::query(SERIES_KEY).bind(study.as_str()).bind(series.as_str()),
        Target::Instance(study, series, sop_instance) => {
            sqlx::query(INSTANCE_KEYS).bind(study.as_str()).bind(series.as_str()).bind(sop_instance.as_str())
        }
    };
    statement.fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
}

async fn studies_of(connection: &mut AnyConnection, patient: &str) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(STUDIES_OF).bind(patient).fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

async fn merged_into(connection: &mut AnyConnection, patient: &str) -> Result<String, sqlx::Error> {
    let row = sqlx::query(MERGED_INTO).bind(patient).fetch_optional(connection).await?;
    row.map_or_else(|| Ok(String::new()), |row| row.try_get(0))
}

async fn current_instances(connection: &mut AnyConnection, target: &Target) -> Result<Vec<(Uid, Uid)>, ArchiveError> {
    let (study, series, sop_instance) = match target {
        Target::Patient(_) => return Ok(Vec::new()),
        Target::Study(study) => (study.as_str(), "", ""),
        Target::Series(study, series) => (study.as_str(), series.as_str(), ""),
        Target::Instance(study, series, sop_instance) => (study.as_str(), series.as_str(), sop_instance.as_str()),
    };
    let statement = sqlx::query(CURRENT).bind(study).bind(series).bind(sop_instance);
    let uid = |text: String| text.parse::<Uid>().map_err(|e| ArchiveError::Internal(e.to_string()));
    let rows = statement.fetch_all(connection).await?;
    rows.iter().map(|row| Ok((uid(row.try_get(0)?)?, uid(row.try_get(1)?)?))).collect()
}

const MARK_PATIENT: &str = "update patient set corrected = 1 where patient_key = $1";

const MERGE: &str = "update patient set merged_into = $2 where patient_key = $1";

const MERGED_INTO: &str = "select merged_into from patient where patient_key = $1";

const MERGED_INTO_IT: &str = "select patient_key from patient where merged_into = $1 and merged_into <> ''";

const STUDIES_OF: &str = "select study_instance_uid from study where patient_key = $1";

const CORRECTED_OF: &str = "select study_instance_uid from study where patient_key = $1 and corrected = 1";

const HELD: &str = "select study_key, patient_key,
        case when received_patient_key = '' then patient_key else received_patient_key end
    from study where study_instance_uid = $1";

const GIVE: &str = "update study set patient_key = $2, received_patient_key = $3 where study_key = $1";

// The hours stay: nothing has come.
const TOUCH_STUDY: &str = "update study set corrected = 1, changed_position = $2 where study_instance_uid = $1";

const TOUCH_SERIES: &str = "update series set changed_position = $2
    where study_key = (select study_key from study where study_instance_uid = $1)";

const HIDE: &str = "update instance set is_current = 0, rejected = $4 where is_current = 1 and sop_instance_uid = $3
    and series_key = (select series_key from series where study_key = $1 and series_instance_uid = $2)";

const SHOW: &str = "update instance set is_current = 1, rejected = 0 where rejected <> 0 and sop_instance_uid = $3
    and series_key = (select series_key from series where study_key = $1 and series_instance_uid = $2) and $4 <> 0";

const KEEP_RECEIVED: &str = "insert into received_value (holder, tag, value) values ($1, $2, $3)
    on conflict (holder, tag) do update set tag = excluded.tag returning value";

const NUMBER: &str = "select patient_no from patient where patient_key = $1";

const FORGET_SEARCH: &str = "update patient set patient_search = '' where patient_no = $1";

const STUDY_KEY: &str = "select study_key from study where study_instance_uid = $1";

const SERIES_KEY: &str = "select se.series_key from study st join series se on se.study_key = st.study_key
    where st.study_instance_uid = $1 and se.series_instance_uid = $2";

const INSTANCE_KEYS: &str = "select i.instance_key
    from study st join series se on se.study_key = st.study_key join instance i on i.series_key = se.series_key
    where st.study_instance_uid = $1 and se.series_instance_uid = $2 and i.sop_instance_uid = $3";

const CURRENT: &str = "select se.series_instance_uid, i.sop_instance_uid
    from study st join series se on se.study_key = st.study_key join instance i on i.series_key = se.series_key
    where st.study_instance_uid = $1 and ($2 = '' or se.series_instance_uid = $2)
        and ($3 = '' or i.sop_instance_uid = $3) and i.is_current = 1
    order by i.instance_key";
