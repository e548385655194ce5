//! The order of matches, and the place in it where a page begins: a cursor, which no arrival or removal shifts.

use super::{Value, placeholder, text_of};
use crate::{
    error::ArchiveError,
    index::{match_columns, table},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use pacs_core::{
    VR,
    query::{Attribute, Level, OrderBy, Query, QueryError, attribute},
    tags,
};
use sqlx::{Row as _, any::AnyRow};

/// What rows are put in order by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) sql: String,
    is_descending: bool,
    is_number: bool,
}

const fn text(sql: String, is_descending: bool) -> Key {
    Key { sql, is_descending, is_number: false }
}

const fn number(sql: String, is_descending: bool) -> Key {
    Key { sql, is_descending, is_number: true }
}

/// The weightiest first. The last tell every row from every other, so that pages neither repeat nor miss one.
pub(super) fn keys(query: &Query) -> Vec<Key> {
    let asked = query.order.iter().flat_map(by);
    let mut keys: Vec<Key> = asked.collect();
    if query.level == Level::Patient {
        keys.push(text("patient.patient_name_alphabetic".to_owned(), false));
        keys.push(text("patient.patient_key".to_owned(), false));
        return keys;
    }
    keys.push(text("study.study_date_match".to_owned(), true));
    keys.push(text("study.study_time_match".to_owned(), true));
    keys.push(number("study.study_key".to_owned(), true));
    if query.level >= Level::Series {
        keys.extend(["series.series_order", "series.series_key"].map(|sql| number(sql.to_owned(), false)));
    }
    if query.level >= Level::Instance {
        keys.extend(["instance.instance_order", "instance.instance_key"].map(|sql| number(sql.to_owned(), false)));
    }
    keys
}

fn by(&OrderBy { tag, is_descending }: &OrderBy) -> Vec<Key> {
    let Some(attribute) = attribute(tag) else { return Vec::new() };
    let column = format!("{}.{}", table(attribute.level), attribute.column);
    match (tag, attribute.vr) {
        (tags::SERIES_NUMBER, _) => vec![number("series.series_order".to_owned(), is_descending)],
        (tags::INSTANCE_NUMBER, _) => vec![number("instance.instance_order".to_owned(), is_descending)],
        (_, VR::IS) if attribute.derived => vec![number(column, is_descending)],
        // Whole numbers as text: the longer is the larger.
        (_, VR::IS | VR::US) => {
            let column = compared(attribute);
            vec![number(format!("cast(length({column}) as bigint)"), is_descending), text(column, is_descending)]
        }
        _ => vec![text(compared(attribute), is_descending)],
    }
}

/// The column as it is compared: names folded, dates and times with all their digits.
fn compared(attribute: &'static Attribute) -> String {
    let suffix = match attribute.vr {
        VR::PN => match_columns(attribute).first().copied().unwrap_or_default(),
        VR::DA | VR::TM => "_match",
        VR::IS if !attribute.derived => "_match",
        _ => "",
    };
    text_of(attribute) + suffix
}

pub(super) fn clause(keys: &[Key]) -> String {
    let by = keys.iter().map(|key| format!("{}{}", key.sql, if key.is_descending { " desc" } else { "" }));
    by.collect::<Vec<_>>().join(", ")
}

/// The keys of a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place(Vec<serde_json::Value>);

impl Place {
    /// From the columns after the attributes.
    pub(super) fn read(row: &AnyRow, columns: usize, keys: &[Key]) -> Result<Self, sqlx::Error> {
        let value = |(at, key): (usize, &Key)| match key.is_number {
            true => row.try_get::<i64, _>(columns + at).map(serde_json::Value::from),
            false => row.try_get::<String, _>(columns + at).map(serde_json::Value::from),
        };
        keys.iter().enumerate().map(value).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn to_cursor(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::Value::from(self.0.clone()).to_string())
    }
}

/// The values of a cursor, where it is one of this order.
fn values_of(cursor: &str, keys: &[Key]) -> Option<Vec<Value>> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let values: Vec<serde_json::Value> = serde_json::from_slice(&json).ok()?;
    let value = |(value, key): (&serde_json::Value, &Key)| match key.is_number {
        true => value.as_i64().map(Value::Number),
        false => value.as_str().map(|text| Value::Text(text.to_owned())),
    };
    if values.len() == keys.len() { values.iter().zip(keys).map(value).collect() } else { None }
}

/// The condition on rows that they stand behind the query's cursor.
pub(super) fn behind(query: &Query, values: &mut Vec<Value>) -> Result<Option<String>, ArchiveError> {
    let Some(cursor) = &query.cursor else { return Ok(None) };
    let keys = keys(query);
    let what = "is not one that was given for this query";
    let refused = || QueryError::Key { keyword: "cursor".to_owned(), what };
    let at = values_of(cursor, &keys).ok_or_else(refused)?;
    let bounds: Vec<_> = at.into_iter().map(|value| placeholder(values, value)).collect();
    let mut same = String::new();
    let mut ways = Vec::new();
    for (key, bound) in keys.iter().zip(&bounds) {
        let beyond = if key.is_descending { "<" } else { ">" };
        ways.push(format!("({same}{} {beyond} {bound})", key.sql));
        same += &format!("{} = {bound} and ", key.sql);
    }
    // The first key apart: an index begins there.
    let first = keys
        .first()
        .zip(bounds.first())
        .map(|(key, bound)| format!("{} {} {bound} and ", key.sql, if key.is_descending { "<=" } else { ">=" }));
    Ok(Some(format!("{}({})", first.unwrap_or_default(), ways.join(" or "))))
}
