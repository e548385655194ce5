//! [`Query`] → SQL → rows. Must agree with [`Condition::matches`], which the property test checks.

use crate::{
    archive::Archive,
    error::ArchiveError,
    index::{has_folded, table},
};
use pacs_core::{
    Tag, VR,
    query::{ATTRIBUTES, Attribute, Condition, Level, Query, attribute},
    tags,
};
use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};
use std::collections::BTreeMap;

/// SQLite binds 32,766 values at most.
const VALUES_AT_MOST: usize = 30_000;

/// One match: values by tag (multiple values backslash-separated), derived counts included; empty ones left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    pub values: BTreeMap<Tag, String>,
}

impl Archive {
    /// The matches of a query with all indexed attributes of its level and those above: newest study first, then by
    /// series and instance number. Conditions on attributes that are not indexed, or belong to a lower level, are not
    /// applied (PS3.4 C.2.2.1.3: an unsupported optional key matches everything).
    pub async fn find(&self, query: &Query) -> Result<Vec<Row>, ArchiveError> {
        let (sql, values) = statement(query)?;
        let statement = values.iter().fold(sqlx::query(AssertSqlSafe(sql)), |statement, value| match value {
            Value::Text(text) => statement.bind(text),
            Value::Number(number) => statement.bind(number),
        });
        let rows = statement.fetch_all(&self.inner.database.pool).await?;
        rows.iter().map(|row| found(row, query.level)).collect()
    }
}

#[derive(Debug, PartialEq)]
enum Value {
    Text(String),
    Number(i64),
}

/// The attributes that rows of a level carry.
fn returned(level: Level) -> impl Iterator<Item = &'static Attribute> {
    ATTRIBUTES.iter().filter(move |a| a.level <= level)
}

fn found(row: &AnyRow, level: Level) -> Result<Row, ArchiveError> {
    let mut values = BTreeMap::new();
    for (at, attribute) in returned(level).enumerate() {
        let value: String = row.try_get(at)?;
        if !value.is_empty() {
            values.insert(attribute.tag, value);
        }
    }
    Ok(Row { values })
}

fn statement(query: &Query) -> Result<(String, Vec<Value>), ArchiveError> {
    let columns: Vec<String> = returned(query.level).map(text_of).collect();
    let mut values = Vec::new();
    let mut terms = Vec::new();
    for (tag, condition) in &query.conditions {
        if let Some(attribute) = attribute(*tag).filter(|a| a.level <= query.level) {
            terms.push(term(attribute, condition, &mut values));
        }
    }
    if values.len() > VALUES_AT_MOST {
        return Err(ArchiveError::Conflict(format!("a query has at most {VALUES_AT_MOST} values")));
    }
    let condition = if terms.is_empty() { String::new() } else { format!(" where {}", terms.join(" and ")) };
    let page = page(query, &mut values);
    let sql = format!(
        "select {} from {}{condition} order by {}{page}",
        columns.join(", "),
        from(query.level),
        order(query.level)
    );
    Ok((sql, values))
}

const fn from(level: Level) -> &'static str {
    match level {
        Level::Patient => "patient",
        Level::Study => "study join patient on patient.patient_key = study.patient_key",
        Level::Series => {
            "series join study on study.study_key = series.study_key
                join patient on patient.patient_key = study.patient_key"
        }
        Level::Instance => {
            "instance join series on series.series_key = instance.series_key
                join study on study.study_key = series.study_key
                join patient on patient.patient_key = study.patient_key"
        }
    }
}

/// Ends in a key, so that pages neither repeat nor miss a row.
const fn order(level: Level) -> &'static str {
    match level {
        Level::Patient => "patient.patient_name_folded, patient.patient_key",
        Level::Study => "study.study_date desc, study.study_time desc, study.study_key desc",
        Level::Series => {
            "study.study_date desc, study.study_time desc, study.study_key desc, series.series_order, series.series_key"
        }
        Level::Instance => {
            "study.study_date desc, study.study_time desc, study.study_key desc, series.series_order,
                series.series_key, instance.instance_order, instance.instance_key"
        }
    }
}

fn page(query: &Query, values: &mut Vec<Value>) -> String {
    if query.limit.is_none() && query.offset == 0 {
        return String::new();
    }
    // SQLite has no offset without a limit.
    let limit = placeholder(values, Value::Number(query.limit.map_or(i64::MAX, i64::from)));
    let offset = placeholder(values, Value::Number(query.offset.into()));
    format!(" limit {limit} offset {offset}")
}

fn placeholder(values: &mut Vec<Value>, value: Value) -> String {
    values.push(value);
    format!("${}", values.len())
}

/// Counts are numbers in the table and text everywhere else.
fn text_of(attribute: &'static Attribute) -> String {
    let column = format!("{}.{}", table(attribute.level), attribute.column);
    if attribute.derived && attribute.vr == VR::IS { format!("cast({column} as text)") } else { column }
}

fn term(attribute: &'static Attribute, condition: &Condition, values: &mut Vec<Value>) -> String {
    if attribute.tag == tags::MODALITIES_IN_STUDY {
        let term = matching("one.modality", attribute.vr, condition, values);
        return format!("exists (select 1 from series one where one.study_key = study.study_key and {term})");
    }
    let column = text_of(attribute);
    let column = if has_folded(attribute) { format!("{column}_folded") } else { column };
    matching(&column, attribute.vr, condition, values)
}

fn matching(column: &str, vr: VR, condition: &Condition, values: &mut Vec<Value>) -> String {
    let fold = |text: &str| if vr == VR::PN { folded(text) } else { text.to_owned() };
    let mut bind = |text: String| placeholder(values, Value::Text(text));
    match condition {
        Condition::Exact(value) => format!("{column} = {}", bind(fold(value))),
        Condition::Wildcard(pattern) => format!("{column} like {} escape '!'", bind(like(&fold(pattern)))),
        Condition::AnyOf(any) if any.is_empty() => "1 = 0".into(),
        Condition::AnyOf(any) => {
            let any: Vec<_> = any.iter().map(|value| bind(fold(value))).collect();
            format!("{column} in ({})", any.join(", "))
        }
        Condition::Range { from, to } => {
            let mut terms = vec![format!("{column} <> ''")];
            terms.extend(from.as_ref().map(|from| format!("{column} >= {}", bind(from.clone()))));
            terms.extend(to.as_ref().map(|to| format!("{column} <= {}", bind(to.clone()))));
            format!("({})", terms.join(" and "))
        }
    }
}

/// DICOM wildcards as a LIKE pattern with `!` as escape.
fn like(pattern: &str) -> String {
    let mut like = String::with_capacity(pattern.len() + 8);
    for c in pattern.chars() {
        match c {
            '*' => like.push('%'),
            '?' => like.push('_'),
            '%' | '_' | '!' => like.extend(['!', c]),
            c => like.push(c),
        }
    }
    like
}

/// A person name without regard to case.
pub(crate) fn folded(name: &str) -> String {
    name.to_lowercase()
}
