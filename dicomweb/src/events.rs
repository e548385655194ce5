//! The change feed, `/changes`, and `/api/events` for the viewer: what happens in the archive, as a list or as server-sent
//! events.
//!
//! Each subscriber pulls from the outbox at its own pace, so a slow one costs a cursor and no buffer.

use crate::{error::WebError, web::Web};
use axum::{
    Json,
    extract::{Query, State},
    http::{HeaderMap, Uri, header},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use pacs_core::{Failure, Uid};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use storage::{ArchiveError, Event, EventKind};
use tokio::sync::{OwnedSemaphorePermit, watch};

const BATCH: u32 = 256;
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
/// Batches looked through for one list.
const LOOKS: usize = 40;
/// Events come in bursts, an instance each: what comes in so long is sent together.
const GATHER: Duration = Duration::from_millis(100);
/// A stream ends after this long; the browser comes back with its Last-Event-ID and is authorised anew.
pub const MAX_LIFE: Duration = Duration::from_secs(15 * 60);

/// What a client asks for.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Changes after this position; 0 for all that are kept.
    since: Option<i64>,
    /// At most this many, where a list is asked for.
    limit: Option<u32>,
    /// Kinds, separated by commas.
    types: Option<String>,
    study: Option<Uid>,
    series: Option<Uid>,
}

impl Wanted {
    fn check(&self) -> Result<(), WebError> {
        let mut kinds = self.types.iter().flat_map(|types| types.split(','));
        match kinds.find(|kind| EventKind::ALL.iter().all(|known| known.as_str() != *kind)) {
            Some(_) => Err(WebError::bad_request(
                "types are instance_stored, series_complete, deleted, corrected and mpps_changed",
            )),
            None => Ok(()),
        }
    }

    fn takes(&self, event: &Event) -> bool {
        let kind = event.kind.as_str();
        let is = |wanted: &Option<Uid>, actual: Option<&Uid>| wanted.is_none() || wanted.as_ref() == actual;
        self.types.as_ref().is_none_or(|types| types.split(',').any(|one| one == kind))
            && is(&self.study, Some(&event.study))
            && is(&self.series, event.series.as_ref())
    }
}

/// The change feed: a list of changes, or a stream of them for who accepts `text/event-stream`.
pub async fn changes(State(web): State<Web>, headers: HeaderMap, uri: Uri) -> Result<Response, WebError> {
    let wanted = Query::<Wanted>::try_from_uri(&uri).map_err(|error| WebError::bad_request(error.body_text()))?.0;
    wanted.check()?;
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepted.contains("text/event-stream") {
        return Ok(stream_of(&web, &headers, wanted)?.into_response());
    }
    let body = list(&web, &wanted).await?;
    Ok(([(header::CACHE_CONTROL, "private, no-store")], Json(body)).into_response())
}

pub async fn subscribe(State(web): State<Web>, headers: HeaderMap) -> Result<impl IntoResponse, WebError> {
    stream_of(&web, &headers, Wanted::default())
}

/// `last` is where to go on; `done` whether there was nothing behind it.
async fn list(web: &Web, wanted: &Wanted) -> Result<Value, WebError> {
    let limit = wanted.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT) as usize;
    let (mut last, mut found, mut done) = (wanted.since.unwrap_or(0), Vec::new(), false);
    // A filter that takes little is not to hold a request for the whole of the feed.
    for _ in 0..LOOKS {
        let events = web.archive.events(last, BATCH).await?;
        done = events.len() < BATCH as usize;
        for event in &events {
            if found.len() == limit {
                done = false;
                break;
            }
            last = event.position;
            if wanted.takes(event) {
                found.push(told(event));
            }
        }
        if done || found.len() == limit {
            break;
        }
    }
    Ok(json!({ "changes": found, "last": last, "done": done }))
}

/// A place among the streams of events, as long as it is held.
pub fn subscription(web: &Web) -> Result<OwnedSemaphorePermit, WebError> {
    let busy = |_| WebError::Refused(Failure::Unavailable, "too many subscribers".into());
    Arc::clone(&web.subscribers).try_acquire_owned().map_err(busy)
}

/// Resumes after `Last-Event-ID` or `since`; without both, starts now.
fn stream_of(
    web: &Web,
    headers: &HeaderMap,
    wanted: Wanted,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, ArchiveError>> + use<>>, WebError> {
    let permit = subscription(web)?;
    let newest = web.archive.newest_event();
    let resume = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.trim().parse::<i64>().ok());
    let now = *newest.borrow();
    let after = resume.or(wanted.since).filter(|&position| (0..=now).contains(&position)).unwrap_or(now);
    let events = batches(web.clone(), newest, after)
        .map_ok(move |events| {
            let taken: Vec<_> = events.iter().filter(|event| wanted.takes(event)).map(message).map(Ok).collect();
            stream::iter(taken)
        })
        .try_flatten()
        .take_until(tokio::time::sleep(MAX_LIFE))
        .inspect(move |_| _ = &permit);
    // A first byte at once: proxies and clients hold the headers back until there is one.
    let open = stream::once(async { Ok(sse::Event::default().comment("open")) });
    Ok(Sse::new(open.chain(events)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

/// Events in batches, each fetched when the one before was sent.
fn batches(web: Web, newest: watch::Receiver<i64>, after: i64) -> impl Stream<Item = Result<Vec<Event>, ArchiveError>> {
    stream::try_unfold((web, newest, after), |(web, mut newest, after)| async move {
        loop {
            if newest.wait_for(|&position| position > after).await.is_err() {
                return Ok(None);
            }
            tokio::time::sleep(GATHER).await;
            let events = web.archive.events(after, BATCH).await?;
            if let Some(last) = events.last() {
                let after = last.position;
                return Ok(Some((events, (web, newest, after))));
            }
            // Known but not yet readable: wait for the next change.
            if newest.changed().await.is_err() {
                return Ok(None);
            }
        }
    })
}

fn message(event: &Event) -> sse::Event {
    sse::Event::default().id(event.position.to_string()).event(event.kind.as_str()).data(told(event).to_string())
}

fn told(event: &Event) -> Value {
    json!({
        "position": event.position,
        "kind": event.kind.as_str(),
        "at": event.at,
        "study": event.study,
        "series": event.series,
        "sop_instance": event.sop_instance,
        "sop_class": event.sop_class,
    })
}
