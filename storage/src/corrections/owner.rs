//! To which patient a study belongs, by assignment and merge.

use super::{Correcting, Correction, PatientKey, rows};
use pacs_core::{Tag, query::Attribute, query::Level};
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::BTreeMap;

/// Merges of merges that are followed; a longer chain has a ring in it.
const CHAIN: usize = 64;

/// Values of a patient by tag.
pub(super) type Values = BTreeMap<Tag, Option<String>>;

/// The patient that a study belongs to.
pub(super) struct Owner {
    /// Of its row.
    pub(super) key: String,
    /// The correction by which the study came to it, if it is not the patient that the instances name.
    pub(super) moved: Option<Moved>,
    /// Corrections of the patient.
    pub(super) corrections: Vec<Correction>,
}

pub(super) struct Moved {
    pub(super) to: PatientKey,
    /// What is known of the patient if its row is gone.
    pub(super) values: Values,
    pub(super) at: i64,
}

/// Now, or at a time. `received` is the patient that the instances name.
pub(super) async fn owner(
    connection: &mut AnyConnection,
    received: &str,
    of_study: &[Correction],
    as_of: Option<i64>,
) -> Result<Owner, sqlx::Error> {
    let mut moved = of_study.iter().rev().filter(|c| c.is_in_force(as_of)).find_map(moved);
    let mut key = moved.as_ref().map_or_else(|| received.to_owned(), |moved| moved.to.row());
    let mut corrections = rows::of_patient(connection, &key).await?;
    for _ in 0..CHAIN {
        let merge = corrections.iter().rev().filter(|c| c.is_in_force(as_of)).find_map(self::moved);
        let Some(merge) = merge else { break };
        key = merge.to.row();
        moved = Some(merge);
        corrections = rows::of_patient(connection, &key).await?;
    }
    let moved = moved.filter(|_| key != received);
    Ok(Owner { key, moved, corrections })
}

fn moved(correction: &Correction) -> Option<Moved> {
    match &correction.correcting {
        Correcting::Assignment(to, values) | Correcting::Merge(to, values) => {
            Some(Moved { to: to.clone(), values: values.clone(), at: correction.made.at })
        }
        _ => None,
    }
}

/// What the row of a patient says now, without attributes that are empty; `None` if there is no row.
pub(super) async fn row_values(connection: &mut AnyConnection, key: &str) -> Result<Option<Values>, sqlx::Error> {
    let attributes: Vec<&Attribute> = crate::index::columns(Level::Patient).collect();
    let columns: Vec<_> = attributes.iter().map(|attribute| attribute.column).collect();
    let sql = format!("select {} from patient where patient_key = $1", columns.join(", "));
    let Some(row) = sqlx::query(AssertSqlSafe(sql)).bind(key.to_owned()).fetch_optional(connection).await? else {
        return Ok(None);
    };
    let mut values = Values::new();
    for (at, attribute) in attributes.iter().enumerate() {
        values.insert(attribute.tag, Some(row.try_get::<String, _>(at)?));
    }
    Ok(Some(values))
}

/// What the row of a patient said at a time: what was received, and the corrections then in force.
pub(super) async fn values_as_of(
    connection: &mut AnyConnection,
    owner: &Owner,
    as_of: Option<i64>,
) -> Result<Option<Values>, sqlx::Error> {
    let Some(mut values) = row_values(connection, &owner.key).await? else { return Ok(None) };
    if as_of.is_none() {
        return Ok(Some(values));
    }
    for row in sqlx::query(RECEIVED).bind(format!("patient {}", owner.key)).fetch_all(connection).await? {
        let (tag, value): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let number = u32::from_str_radix(&tag, 16).unwrap_or_default();
        values.insert(Tag((number >> 16) as u16, number as u16), Some(value));
    }
    for correction in owner.corrections.iter().filter(|correction| correction.is_in_force(as_of)) {
        if let Correcting::Attributes(corrected) = &correction.correcting {
            values.extend(corrected.clone().into_iter().filter(|(tag, _)| is_indexed(*tag)));
        }
    }
    Ok(Some(values))
}

pub(super) fn is_indexed(tag: Tag) -> bool {
    crate::index::columns(Level::Patient).any(|attribute| attribute.tag == tag)
}

const RECEIVED: &str = "select tag, value from received_value where holder = $1";
