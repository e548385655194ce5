//! The keys by which patients' names are found: written with the patient, asked before the rows are.
//!
//! A name condition is answered from the index of keys: it tells which patients come into question, and their rows are
//! then matched as the standard says. Where many come into question, a page of matches is looked for among the newest
//! studies first.

use crate::{
    archive::Inner,
    database::{Change, Database},
    find::like_pattern,
    index::{columns, match_columns, match_values, table},
};
use pacs_core::{
    Tag, VR,
    person_name::{Piece, pattern_pieces, search_keys, search_terms},
    query::{Attribute, Condition, Level, Query},
    tags,
};
use sqlx::{AnyPool, AssertSqlSafe, Row};
use std::{
    sync::{Weak, atomic::Ordering},
    time::Duration,
};

/// Following so many patients to their studies takes as long as looking through the newest studies for a page.
const FEW: i64 = 1000;
/// What more patients have does not narrow a search down enough to be worth the work.
const COMMON: i64 = 10_000;
/// A list of more names than this is looked for in all rows.
const NAMES_IN_LIST: usize = 20;
/// Patients of an older catalog that get their keys in one transaction.
const AT_ONCE: i64 = 200;
/// No byte of UTF-8 is so high.
const ABOVE_ALL: u8 = 0xFF;
/// Before the next attempt after a failure.
const PAUSE: Duration = Duration::from_secs(10);

/// Writes the keys of a name that has none.
pub(crate) async fn add_keys(change: &mut Change<'_>, patient_no: i64, name: &str) -> Result<(), sqlx::Error> {
    let keys = search_keys(name);
    if keys.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = (0..keys.len()).map(|at| format!("($1, ${})", at + 2)).collect();
    let sql = format!("{ADD_KEYS} {} on conflict do nothing", rows.join(", "));
    let statement = sqlx::query(AssertSqlSafe(sql)).bind(patient_no);
    let statement = keys.iter().fold(statement, |statement, key| statement.bind(key.clone().into_bytes()));
    statement.execute(&mut *change.transaction).await?;
    let search = sqlx::query(KEEP_SEARCH).bind(patient_no).bind(search_text(&keys));
    search.execute(&mut *change.transaction).await?;
    Ok(())
}

/// Removes what [`add_keys`] wrote.
pub(crate) async fn remove_keys(change: &mut Change<'_>, patient_no: i64, name: &str) -> Result<(), sqlx::Error> {
    for key in search_keys(name) {
        sqlx::query(REMOVE_KEY).bind(key.into_bytes()).bind(patient_no).execute(&mut *change.transaction).await?;
    }
    Ok(())
}

/// Keys that begin with a letter: the others are of the inside of words.
fn search_text(keys: &[String]) -> String {
    keys.iter().filter(|key| key.starts_with(char::is_alphanumeric)).map(|key| format!(" {key}")).collect()
}

/// What the keys tell of a query.
#[derive(Debug, PartialEq)]
pub(crate) enum Named {
    /// It asks for no name, or for what is found better by something else.
    Anyone,
    /// A few patients come into question.
    Few(Source),
    /// Many do.
    Many(Source),
}

/// The patients that come into question: those who have all the pieces of one of these lists.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source(Vec<Vec<Piece>>);

impl Source {
    /// A `select` of distinct patient numbers. `bind` takes a value and gives its placeholder.
    pub(crate) fn sql(&self, mut bind: impl FnMut(Vec<u8>) -> String) -> String {
        let mut of_list = |(at, pieces): (usize, &Vec<Piece>)| {
            let sets = pieces.iter().enumerate().map(|(piece, begins)| {
                format!("select patient_no from ({}) piece_{at}_{piece}", having(begins, &mut bind))
            });
            format!("select distinct patient_no from ({}) list_{at}", sets.collect::<Vec<_>>().join(" intersect "))
        };
        let lists: Vec<_> = self.0.iter().enumerate().map(&mut of_list).collect();
        lists.join(" union ")
    }
}

/// A `select` of the patients of each key that begins with one of these. Apart, as PostgreSQL goes to the table itself
/// for ranges joined by `or`.
fn having(begins: &Piece, mut bind: impl FnMut(Vec<u8>) -> String) -> String {
    let mut of_begin = |begin: &String| {
        let end = [begin.as_bytes(), &[ABOVE_ALL]].concat();
        let (begin, end) = (bind(begin.clone().into_bytes()), bind(end));
        format!("select patient_no from patient_name_key where name_key >= {begin} and name_key < {end}")
    };
    begins.iter().map(&mut of_begin).collect::<Vec<_>>().join(" union all ")
}

/// Asks the keys which patients a query's condition on Patient's Name leaves to be looked at.
pub(crate) async fn named(database: &Database, query: &Query) -> Result<Named, sqlx::Error> {
    let names = match query.conditions.get(&tags::PATIENT_NAME) {
        Some(Condition::Exact(name) | Condition::Wildcard(name)) => std::slice::from_ref(name),
        Some(Condition::AnyOf(names)) if names.len() <= NAMES_IN_LIST => names,
        _ => return Ok(Named::Anyone),
    };
    let lists: Vec<_> = names.iter().flat_map(|name| lists(name, query.fuzzy)).collect();
    if has_unique_key(query) || lists.iter().any(Vec::is_empty) || !all_have_keys(database).await? {
        return Ok(Named::Anyone);
    }
    let mut narrowed = Vec::new();
    let mut are_few = true;
    for pieces in lists {
        let (pieces, few) = narrowing(&database.pool, pieces).await?;
        narrowed.push(pieces);
        are_few &= few;
    }
    Ok(if are_few { Named::Few(Source(narrowed)) } else { Named::Many(Source(narrowed)) })
}

/// Whether the query says by another attribute which patient, study or instance it means.
fn has_unique_key(query: &Query) -> bool {
    UNIQUE_KEYS.iter().any(|tag| matches!(query.conditions.get(tag), Some(Condition::Exact(_) | Condition::AnyOf(_))))
}

/// A name is found by one of these lists of pieces, of which it has all.
fn lists(name: &str, fuzzy: bool) -> Vec<Vec<Piece>> {
    let terms: Vec<Piece> =
        if fuzzy { search_terms(name).into_iter().map(|term| vec![term]).collect() } else { Vec::new() };
    let is_found_by_terms = !terms.is_empty() && is_begin(name);
    let strict = (!is_found_by_terms).then(|| pattern_pieces(name));
    Some(terms).filter(|terms| !terms.is_empty()).into_iter().chain(strict).collect()
}

/// Whether all that the pattern matches begins so: then search terms find it too.
fn is_begin(pattern: &str) -> bool {
    !pattern.trim_end_matches('*').contains(['*', '?'])
}

/// The pieces that narrow a search down: one that few patients have, else all that are not common. And whether few
/// patients are likely to be left.
async fn narrowing(pool: &AnyPool, pieces: Vec<Piece>) -> Result<(Vec<Piece>, bool), sqlx::Error> {
    let mut uncommon = Vec::new();
    for piece in &pieces {
        let count = count(pool, piece).await?;
        if count <= FEW {
            return Ok((vec![piece.clone()], true));
        }
        if count <= COMMON {
            uncommon.push(piece.clone());
        }
    }
    if uncommon.is_empty() {
        return Ok((pieces.into_iter().take(1).collect(), false));
    }
    let few = uncommon.len() > 1;
    Ok((uncommon, few))
}

/// How many keys begin with one of these; not counted further than that it is common.
async fn count(pool: &AnyPool, begins: &Piece) -> Result<i64, sqlx::Error> {
    let mut bounds = Vec::new();
    let keys = having(begins, |bound| {
        bounds.push(bound);
        format!("${}", bounds.len())
    });
    let sql = format!("select count(*) from (select patient_no from ({keys}) found limit {}) counted", COMMON + 1);
    let statement = bounds.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |statement, bound| statement.bind(bound));
    statement.fetch_one(pool).await?.try_get(0)
}

/// The `like` patterns that a patient's search text matches when what was typed finds the name.
pub(crate) fn search_patterns(typed: &str) -> impl Iterator<Item = String> {
    search_terms(typed).into_iter().map(|term| format!("% {}%", like_pattern(&term)))
}

/// Gives the names of a catalog from before the keys their keys. Ends when all have them, or the archive is closed.
pub(crate) async fn add_missing_keys(archive: Weak<Inner>) {
    loop {
        let Some(inner) = archive.upgrade() else { return };
        match add_some(&inner.database).await {
            Ok(true) => {}
            Ok(false) | Err(sqlx::Error::PoolClosed) => return,
            Err(error) => {
                tracing::warn!(%error, "making the search keys of names failed");
                drop(inner);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether no name waits for its keys. Once that is so it stays so: new patients come with theirs.
async fn all_have_keys(database: &Database) -> Result<bool, sqlx::Error> {
    if !database.names_have_keys.load(Ordering::Relaxed) {
        let waiting = sqlx::query(WITHOUT_KEYS).bind(1_i64).fetch_optional(&database.pool).await?;
        database.names_have_keys.store(waiting.is_none(), Ordering::Relaxed);
    }
    Ok(database.names_have_keys.load(Ordering::Relaxed))
}

/// Whether there were any left.
async fn add_some(database: &Database) -> Result<bool, sqlx::Error> {
    if all_have_keys(database).await? {
        return Ok(false);
    }
    let mut change = database.change().await?;
    let rows = sqlx::query(WITHOUT_KEYS).bind(AT_ONCE).fetch_all(&mut *change.transaction).await?;
    for row in &rows {
        let (patient, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        for attribute in columns(Level::Patient).chain(columns(Level::Study)).filter(|a| a.vr == VR::PN) {
            fold_again(&mut change, attribute, &patient).await?;
        }
        let patient_no = change.head.next_key();
        sqlx::query(NUMBER).bind(&patient).bind(patient_no).execute(&mut *change.transaction).await?;
        add_keys(&mut change, patient_no, &name).await?;
    }
    change.commit().await?;
    Ok(true)
}

/// Brings the columns by which a patient's names are matched up to date: once they had lower case only.
async fn fold_again(change: &mut Change<'_>, attribute: &Attribute, patient: &str) -> Result<(), sqlx::Error> {
    let (table, column) = (table(attribute.level), attribute.column);
    let held = format!("select distinct {column} from {table} where patient_key = $1");
    let rows = sqlx::query(AssertSqlSafe(held)).bind(patient).fetch_all(&mut *change.transaction).await?;
    let suffixes = match_columns(attribute).iter().enumerate();
    let columns: Vec<_> = suffixes.map(|(at, suffix)| format!("{column}{suffix} = ${}", at + 3)).collect();
    let update = format!("update {table} set {} where patient_key = $1 and {column} = $2", columns.join(", "));
    for row in &rows {
        let name: String = row.try_get(0)?;
        if !name.is_ascii() {
            let statement = sqlx::query(AssertSqlSafe(update.clone())).bind(patient).bind(name.clone());
            let groups = match_values(attribute, &name).into_iter();
            let statement = groups.fold(statement, |statement, group| statement.bind(group));
            statement.execute(&mut *change.transaction).await?;
        }
    }
    Ok(())
}

const UNIQUE_KEYS: [Tag; 5] = [
    tags::PATIENT_ID,
    tags::STUDY_INSTANCE_UID,
    tags::ACCESSION_NUMBER,
    tags::SERIES_INSTANCE_UID,
    tags::SOP_INSTANCE_UID,
];

const ADD_KEYS: &str = "insert into patient_name_key (patient_no, name_key) values";

const KEEP_SEARCH: &str = "update patient set patient_search = $2 where patient_no = $1";

const REMOVE_KEY: &str = "delete from patient_name_key where name_key = $1 and patient_no = $2";

const WITHOUT_KEYS: &str = "select patient_key, patient_name from patient where patient_no = 0 limit $1";

const NUMBER: &str = "update patient set patient_no = $2 where patient_key = $1";

#[cfg(test)]
mod tests;
