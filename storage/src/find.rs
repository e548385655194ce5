//! [`Query`] → SQL → rows. Must agree with [`Condition::matches`], which the property test checks.

mod moments;
mod order;

use crate::{
    archive::Archive,
    error::ArchiveError,
    index::{match_columns, table},
    names::{Named, Source, named, search_patterns},
};
use order::Place;
use pacs_core::{
    Tag, VR,
    query::{ATTRIBUTES, Attribute, Condition, Level, Query, attribute, moment_text, name_groups, number_text},
    tags,
};
use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};
use std::collections::BTreeMap;

/// SQLite binds 32,766 values at most, and nests a thousand terms.
const VALUES_AT_MOST: usize = 30_000;
const TERMS_AT_MOST: usize = 200;

/// Rows up to here are a page.
const PAGE: u32 = 200;

/// One match: values by tag (multiple values backslash-separated), derived counts included; empty ones left out. Instance
/// Availability is there where something of it cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    pub values: BTreeMap<Tag, String>,
    /// Where it stands among the matches; told of a page only.
    place: Place,
}

impl Row {
    /// A match of its own.
    pub fn of(values: BTreeMap<Tag, String>) -> Self {
        Self { values, place: Place::default() }
    }
}

/// A part of the matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matches {
    pub rows: Vec<Row>,
    /// [`Query::cursor`] of the rows that follow; `None` if these are the last.
    pub next: Option<String>,
}

impl Archive {
    /// The matches of a query with all indexed attributes of its level and those above: newest study first, then by
    /// series and instance number, unless the query orders them. Conditions on attributes that are not indexed, or belong
    /// to a lower level, are not applied (PS3.4 C.2.2.1.3: an unsupported optional key matches everything).
    pub async fn find(&self, query: &Query) -> Result<Vec<Row>, ArchiveError> {
        let way = match named(&self.inner.database, query).await? {
            Named::Anyone => Way::All,
            Named::Few(source) => Way::Named(source),
            Named::Many(source) => {
                let page = query.limit.filter(|limit| {
                    limit.saturating_add(query.offset) <= PAGE && query.level == Level::Study && query.order.is_empty()
                });
                if let Some(page) = page {
                    let rows = self.select(query, &Way::Newest).await?;
                    if rows.len() == page as usize {
                        return Ok(rows);
                    }
                }
                Way::Named(source)
            }
        };
        self.select(query, &way).await
    }

    /// As [`Self::find`], at most `limit` rows, and how to go on after them.
    pub async fn find_page(&self, query: &Query, limit: u32) -> Result<Matches, ArchiveError> {
        let one_more = Query { limit: Some(limit.saturating_add(1)), ..query.clone() };
        let mut rows = self.find(&one_more).await?;
        let is_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| is_more).map(|last| last.place.to_cursor());
        Ok(Matches { rows, next })
    }

    /// How many matches there are, whatever limit, offset and cursor say.
    pub async fn count(&self, query: &Query) -> Result<u64, ArchiveError> {
        let way = match named(&self.inner.database, query).await? {
            Named::Anyone => Way::All,
            Named::Few(source) | Named::Many(source) => Way::Named(source),
        };
        let mut values = Vec::new();
        let whole = Query { cursor: None, ..query.clone() };
        let sql = format!("select count(*) from {}", among(&whole, &way, &mut values)?);
        let row = bound(&sql, values).fetch_one(&self.inner.database.pool).await?;
        Ok(row.try_get::<i64, _>(0)?.cast_unsigned())
    }

    async fn select(&self, query: &Query, way: &Way) -> Result<Vec<Row>, ArchiveError> {
        let (sql, values) = statement(query, way)?;
        let rows = bound(&sql, values).fetch_all(&self.inner.database.pool).await?;
        let mut rows = rows.iter().map(|row| found(row, query)).collect::<Result<Vec<_>, _>>()?;
        rows.iter_mut().for_each(|row| self.inner.quarantine.mark(&mut row.values, query.level));
        Ok(rows)
    }
}

fn bound(sql: &str, values: Vec<Value>) -> sqlx::query::Query<'_, sqlx::Any, sqlx::any::AnyArguments> {
    values.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |statement, value| match value {
        Value::Text(text) => statement.bind(text),
        Value::Bytes(bytes) => statement.bind(bytes),
        Value::Number(number) => statement.bind(number),
    })
}

/// Where to look for matches.
enum Way {
    All,
    /// Studies, the newest only.
    Newest,
    /// What belongs to patients of a name.
    Named(Source),
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Bytes(Vec<u8>),
    Number(i64),
}

/// The attributes that rows of a level carry.
fn returned(level: Level) -> impl Iterator<Item = &'static Attribute> {
    ATTRIBUTES.iter().filter(move |a| a.level <= level)
}

fn found(row: &AnyRow, query: &Query) -> Result<Row, ArchiveError> {
    let mut values = BTreeMap::new();
    let mut columns = 0;
    for (at, attribute) in returned(query.level).enumerate() {
        let value: String = row.try_get(at)?;
        // Of a patient's studies not all may be shown.
        let is_told = attribute.tag != tags::NUMBER_OF_PATIENT_RELATED_STUDIES || query.view.is_open();
        if !value.is_empty() && is_told {
            values.insert(attribute.tag, value);
        }
        columns = at + 1;
    }
    let place = if query.limit.is_some() { Place::read(row, columns, &order::keys(query))? } else { Place::default() };
    Ok(Row { values, place })
}

fn statement(query: &Query, way: &Way) -> Result<(String, Vec<Value>), ArchiveError> {
    let keys = order::keys(query);
    let mut columns: Vec<String> = returned(query.level).map(text_of).collect();
    if query.limit.is_some() {
        columns.extend(keys.iter().map(|key| key.sql.clone()));
    }
    let mut values = Vec::new();
    let among = among(query, way, &mut values)?;
    let (columns, order) = (columns.join(", "), order::clause(&keys));
    let page = page(query, &mut values);
    let sql = match way {
        // Which studies first, and then what they are: many may have to be put in order for a page of few.
        Way::Named(_) if query.level == Level::Study && query.limit.is_some() => {
            let keys = format!("select study.study_key as page_key from {among} order by {order}{page}");
            format!("select {columns} from ({keys}) page cross join {PAGED} order by {order}")
        }
        _ => format!("select {columns} from {among} order by {order}{page}"),
    };
    Ok((sql, values))
}

/// The tables and the conditions on them.
fn among(query: &Query, way: &Way, values: &mut Vec<Value>) -> Result<String, ArchiveError> {
    let mut terms = Vec::from_iter(seen(query.level).map(str::to_owned));
    let (of_moments, done) = moments::terms(query, values);
    terms.extend(of_moments);
    // What is not told may not be found out by asking either.
    let is_told = |tag: Tag| tag != tags::NUMBER_OF_PATIENT_RELATED_STUDIES || query.view.is_open();
    for (tag, condition) in query.conditions.iter().filter(|(tag, _)| !done.contains(tag) && is_told(**tag)) {
        if let Some(attribute) = attribute(*tag).filter(|a| a.level <= query.level) {
            terms.push(term(attribute, condition, query.fuzzy, values));
        }
    }
    terms.extend(shown(query, values));
    terms.extend(order::behind(query, values)?);
    if values.len() > VALUES_AT_MOST || query.conditions.iter().any(|(tag, condition)| is_too_long(*tag, condition)) {
        return Err(ArchiveError::Conflict("the query lists too many values".into()));
    }
    let from = match way {
        Way::All => from(query.level).to_owned(),
        // In the order of studies, for then the page is full before most of them are looked at.
        Way::Newest => {
            terms.push(NEWEST.to_owned());
            "study cross join patient".to_owned()
        }
        Way::Named(source) => {
            terms.push(joined(query.level).to_owned());
            let patients = source.sql(|bound| placeholder(values, Value::Bytes(bound)));
            format!("({patients}) named cross join {}", from_patients(query.level))
        }
    };
    let condition = if terms.is_empty() { String::new() } else { format!(" where {}", terms.join(" and ")) };
    Ok(from + &condition)
}

/// The conditions of the view. A patient is shown who has a study that is.
fn shown(query: &Query, values: &mut Vec<Value>) -> Vec<String> {
    let (mut own, mut of_study) = (Vec::new(), Vec::new());
    for (tag, condition) in query.view.conditions() {
        let Some(attribute) = attribute(*tag) else { continue };
        let of = if attribute.level <= query.level { &mut own } else { &mut of_study };
        of.push(term(attribute, condition, false, values));
    }
    if !of_study.is_empty() {
        let of_study = of_study.join(" and ");
        own.push(format!("exists (select 1 from study where study.patient_key = patient.patient_key and {of_study})"));
    }
    own
}

/// Lists of dates, times and names are not one term but many.
fn is_too_long(tag: Tag, condition: &Condition) -> bool {
    let many = attribute(tag).is_some_and(|attribute| matches!(attribute.vr, VR::DA | VR::TM | VR::PN));
    matches!(condition, Condition::AnyOf(wanted) if many && wanted.len() > TERMS_AT_MOST)
}

/// What was rejected is not to be seen, nor what has nothing else in it.
const fn seen(level: Level) -> Option<&'static str> {
    match level {
        Level::Patient => Some("patient.number_of_patient_related_studies > 0"),
        Level::Study => Some("study.number_of_study_related_instances > 0"),
        Level::Series => Some("series.number_of_series_related_instances > 0"),
        Level::Instance => None,
    }
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
            "instance join series on series.series_key = instance.series_key and instance.is_current = 1
                join study on study.study_key = series.study_key
                join patient on patient.patient_key = study.patient_key"
        }
    }
}

/// The studies that a page of a frequent name is looked for in: some thousands.
const NEWEST: &str = "patient.patient_key = study.patient_key and study.study_date_match >= coalesce(
        (select study_date_match from study order by study_date_match desc, study_time_match desc, study_key desc
            limit 1 offset 5000), '')";

/// The studies of a page of keys.
const PAGED: &str = "study cross join patient
    where study.study_key = page.page_key and patient.patient_key = study.patient_key";

/// The tables in the order in which SQLite is to go through them: from the patients on, not along the order of studies.
const fn from_patients(level: Level) -> &'static str {
    match level {
        Level::Patient => "patient",
        Level::Study => "patient cross join study",
        Level::Series => "patient cross join study cross join series",
        Level::Instance => "patient cross join study cross join series cross join instance",
    }
}

/// What joins them.
const fn joined(level: Level) -> &'static str {
    match level {
        Level::Patient => "patient.patient_no = named.patient_no",
        Level::Study => "patient.patient_no = named.patient_no and study.patient_key = patient.patient_key",
        Level::Series => "patient.patient_no = named.patient_no and study.patient_key = patient.patient_key and series.study_key = study.study_key",
        Level::Instance => {
            "patient.patient_no = named.patient_no and study.patient_key = patient.patient_key
                and series.study_key = study.study_key and instance.series_key = series.series_key and instance.is_current = 1"
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

fn term(attribute: &'static Attribute, condition: &Condition, fuzzy: bool, values: &mut Vec<Value>) -> String {
    if attribute.tag == tags::MODALITIES_IN_STUDY {
        let term = matching("one.modality", attribute, condition, values);
        return format!("exists (select 1 from series one where one.study_key = study.study_key and {term})");
    }
    let strict = matching(&text_of(attribute), attribute, condition, values);
    if fuzzy && attribute.tag == tags::PATIENT_NAME {
        format!("({strict} or {})", searched(condition, values))
    } else {
        strict
    }
}

/// Whether the words typed are begins of search keys.
fn searched(condition: &Condition, values: &mut Vec<Value>) -> String {
    let names = match condition {
        Condition::Exact(name) | Condition::Wildcard(name) => std::slice::from_ref(name),
        Condition::AnyOf(names) => names,
        Condition::Range { .. } | Condition::Empty => &[],
    };
    let mut found = |name: &String| {
        let patterns = search_patterns(name);
        let terms: Vec<_> = patterns
            .map(|pattern| {
                format!("patient.patient_search like {} escape '!'", placeholder(values, Value::Text(pattern)))
            })
            .collect();
        if terms.is_empty() { "1 = 0".to_owned() } else { format!("({})", terms.join(" and ")) }
    };
    let any: Vec<_> = names.iter().map(&mut found).collect();
    if any.is_empty() { "1 = 0".to_owned() } else { format!("({})", any.join(" or ")) }
}

/// The reference is [`Condition::matches`].
fn matching(column: &str, attribute: &Attribute, condition: &Condition, values: &mut Vec<Value>) -> String {
    match condition {
        Condition::Exact(wanted) => equal(column, attribute, wanted, values),
        Condition::AnyOf(wanted) => any_of(column, attribute, wanted, values),
        Condition::Wildcard(pattern) if attribute.vr == VR::PN => names(column, attribute, pattern, values, like),
        Condition::Wildcard(pattern) => like(column, pattern, values),
        Condition::Range { from, to } => within(column, attribute.vr, from.as_deref(), to.as_deref(), values),
        Condition::Empty => format!("{column} = ''"),
    }
}

fn any_of(column: &str, attribute: &Attribute, wanted: &[String], values: &mut Vec<Value>) -> String {
    if wanted.is_empty() {
        return "1 = 0".into();
    }
    if matches!(attribute.vr, VR::DA | VR::TM | VR::PN) {
        let any: Vec<_> = wanted.iter().map(|wanted| equal(column, attribute, wanted, values)).collect();
        return format!("({})", any.join(" or "));
    }
    let (column, number) = compared(column, attribute);
    let text = |wanted: &String| Value::Text(if number { number_text(wanted) } else { wanted.clone() });
    let any: Vec<_> = wanted.iter().map(|wanted| placeholder(values, text(wanted))).collect();
    format!("{column} in ({})", any.join(", "))
}

fn equal(column: &str, attribute: &Attribute, wanted: &str, values: &mut Vec<Value>) -> String {
    match attribute.vr {
        VR::DA | VR::TM => within(column, attribute.vr, Some(wanted), Some(wanted), values),
        VR::PN => names(column, attribute, wanted, values, same),
        _ => match compared(column, attribute) {
            (column, true) => same(&column, &number_text(wanted), values),
            (column, false) => same(&column, wanted, values),
        },
    }
}

/// The column that a value is compared to, and whether it is compared as a number.
fn compared(column: &str, attribute: &Attribute) -> (String, bool) {
    match attribute.vr {
        VR::IS if !attribute.derived => (format!("{column}_match"), true),
        VR::IS | VR::US => (column.to_owned(), true),
        _ => (column.to_owned(), false),
    }
}

fn same(column: &str, wanted: &str, values: &mut Vec<Value>) -> String {
    format!("{column} = {}", placeholder(values, Value::Text(wanted.to_owned())))
}

fn like(column: &str, pattern: &str, values: &mut Vec<Value>) -> String {
    format!("{column} like {} escape '!'", placeholder(values, Value::Text(like_pattern(pattern))))
}

/// Group by group; a question of one group may be any of the three.
fn names(
    column: &str,
    attribute: &Attribute,
    wanted: &str,
    values: &mut Vec<Value>,
    compare: fn(&str, &str, &mut Vec<Value>) -> String,
) -> String {
    let groups = name_groups(wanted);
    let columns: Vec<_> = match_columns(attribute).iter().map(|suffix| format!("{column}{suffix}")).collect();
    if let [group] = groups.as_slice() {
        let any: Vec<_> = columns.iter().map(|column| compare(column, group, values)).collect();
        return format!("({})", any.join(" or "));
    }
    if groups.iter().skip(columns.len()).any(|group| !group.is_empty()) {
        return "1 = 0".into();
    }
    let asked = columns.iter().zip(&groups).filter(|(_, group)| !group.is_empty());
    let all: Vec<_> = asked.map(|(column, group)| compare(column, group, values)).collect();
    if all.is_empty() { "1 = 1".into() } else { format!("({})", all.join(" and ")) }
}

/// Both ends inclusive, each to its own precision.
fn within(column: &str, vr: VR, from: Option<&str>, to: Option<&str>, values: &mut Vec<Value>) -> String {
    let mut terms = vec![format!("{column}_match <> ''")];
    for (bound, sign, fill) in [(from, ">=", '0'), (to, "<=", '9')] {
        if let Some(bound) = bound.and_then(|text| moment_text(vr, text, fill)) {
            terms.push(format!("{column}_match {sign} {}", placeholder(values, Value::Text(bound))));
        }
    }
    format!("({})", terms.join(" and "))
}

/// DICOM wildcards as a LIKE pattern with `!` as escape.
pub(crate) fn like_pattern(pattern: &str) -> String {
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
