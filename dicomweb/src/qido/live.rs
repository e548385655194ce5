//! A search that goes on: the matches, and then whatever changes in them, as server-sent events; an extension.
//!
//! | event | data |
//! |---|---|
//! | `match` | a match that is new or was changed, in the DICOM JSON model |
//! | `gone` | the UID of one that is no more among the matches (of a patient, the Patient ID), a JSON string |
//! | `current` | all that was said until now holds: `{"count": n}` |

use super::results;
use crate::{
    error::WebError,
    events::{MAX_LIFE, subscription},
    media_type::Acceptable,
    web::Web,
};
use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures::{StreamExt, TryStreamExt, stream};
use pacs_core::{
    attributes::key,
    query::{Level, Query, UNIQUE_KEYS},
    tags,
};
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};
use tokio::sync::watch;

pub const EVENT_STREAM: &str = "text/event-stream";
/// Matches that are followed: a page, not an archive.
const MOST: u32 = 500;
/// A scan that comes in is an event a slice: the search is made again once for all that come in so long.
const GATHER: Duration = Duration::from_secs(1);
/// And it rests for so many times as long as it took, so that no number of followers takes the archive for itself.
const REST: u32 = 20;

pub fn is_wanted(accepted: &[Acceptable]) -> bool {
    accepted.first().is_some_and(|first| !first.multipart && first.media.essence == EVENT_STREAM)
}

/// The first `limit` of the matches, 500 at most, as long as somebody listens; a quarter of an hour, after which the
/// client comes back and is authorised anew.
pub fn follow(web: Web, query: Query, base: String) -> Result<Response, WebError> {
    let permit = subscription(&web)?;
    let limit = query.limit.unwrap_or(MOST).min(MOST);
    let newest = web.archive.newest_event();
    let search =
        Search { web, query, base, limit, newest, known: HashMap::new(), is_begun: false, took: Duration::ZERO };
    let changes = stream::try_unfold(search, |mut search| async move {
        let changes = search.changes().await?;
        Ok::<_, WebError>(changes.map(|changes| (stream::iter(changes).map(Ok::<_, WebError>), search)))
    });
    let changes = changes.try_flatten().take_until(tokio::time::sleep(MAX_LIFE)).inspect(move |_| _ = &permit);
    Ok(Sse::new(changes).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response())
}

struct Search {
    web: Web,
    query: Query,
    base: String,
    limit: u32,
    newest: watch::Receiver<i64>,
    /// The matches that were told, by their unique key, each by a hash of what was said.
    known: HashMap<String, u64>,
    is_begun: bool,
    /// How long the last search took.
    took: Duration,
}

impl Search {
    /// What is to be told next; `None` when the archive closes.
    async fn changes(&mut self) -> Result<Option<Vec<Event>>, WebError> {
        loop {
            if self.is_begun {
                if self.newest.changed().await.is_err() {
                    return Ok(None);
                }
                tokio::time::sleep(GATHER.max(self.took * REST)).await;
            }
            // Before the search: what happens meanwhile is looked for again.
            self.newest.mark_unchanged();
            let begin = Instant::now();
            let found = self.web.archive.find_page(&self.query, self.limit).await?;
            let matches = results::write(&self.web, &self.query, &self.base, &found.rows).await?;
            self.took = begin.elapsed();
            let mut events = difference(&mut self.known, matches, self.query.level);
            if !events.is_empty() || !self.is_begun {
                self.is_begun = true;
                let count = json!({ "count": self.known.len() });
                events.push(Event::default().event("current").data(count.to_string()));
                return Ok(Some(events));
            }
        }
    }
}

fn difference(known: &mut HashMap<String, u64>, matches: Vec<Map<String, Value>>, level: Level) -> Vec<Event> {
    let mut before = std::mem::take(known);
    let mut events = Vec::new();
    for found in matches {
        let uid = unique_key(&found, level);
        let text = Value::Object(found).to_string();
        let hash = hash(&text);
        if before.remove(&uid) != Some(hash) {
            events.push(Event::default().event("match").data(text));
        }
        known.insert(uid, hash);
    }
    // As JSON: an identifier may hold characters that would end the line.
    events.extend(before.into_keys().map(|uid| Event::default().event("gone").data(json!(uid).to_string())));
    events
}

/// Of a patient the Patient ID and its issuer, in the form of HL7 CX.
fn unique_key(found: &Map<String, Value>, level: Level) -> String {
    let text = |tag| found.get(&key(tag)).and_then(|element| element.pointer("/Value/0")).and_then(Value::as_str);
    let unique = UNIQUE_KEYS.iter().find(|(of, _, _)| *of == level).and_then(|(_, tag, _)| text(*tag));
    let unique = unique.unwrap_or_default();
    match text(tags::ISSUER_OF_PATIENT_ID).filter(|_| level == Level::Patient) {
        Some(issuer) => format!("{unique}^^^{issuer}"),
        None => unique.to_owned(),
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(uid: &str, description: &str) -> Map<String, Value> {
        let value =
            json!({ "0020000D": {"vr": "UI", "Value": [uid]}, "00081030": {"vr": "LO", "Value": [description]} });
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn what_changed_is_told_and_nothing_else() {
        let mut known = HashMap::new();
        let mut told = |matches| difference(&mut known, matches, Level::Study).len();
        assert_eq!(told(vec![study("1", "a"), study("2", "b")]), 2);
        assert_eq!(told(vec![study("1", "a"), study("2", "b")]), 0);
        assert_eq!(told(vec![study("1", "a"), study("2", "c"), study("3", "")]), 2);
        assert_eq!(told(vec![study("2", "c")]), 2);
    }

    #[test]
    fn a_patient_is_known_by_identifier_and_issuer() {
        let patient = json!({
            "00100020": {"vr": "LO", "Value": ["P1"]}, "00100021": {"vr": "LO", "Value": ["EAST"]},
        });
        assert_eq!(unique_key(patient.as_object().expect("an object"), Level::Patient), "P1^^^EAST");
        assert_eq!(unique_key(&study("1.2", ""), Level::Study), "1.2");
    }
}
