//! `/api/events`: what happens in the archive, as server-sent events.
//!
//! Each subscriber pulls from the outbox at its own pace, so a slow one costs a cursor and no buffer.

use crate::{error::WebError, web::Web};
use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{self, KeepAlive, Sse},
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use pacs_core::Failure;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use storage::{ArchiveError, Event, EventKind};
use tokio::sync::watch;

const BATCH: u32 = 256;
/// Events come in bursts, an instance each: what comes in so long is sent together.
const GATHER: Duration = Duration::from_millis(100);
/// A stream ends after this long; the browser comes back with its Last-Event-ID and is authorised anew.
const MAX_LIFE: Duration = Duration::from_secs(15 * 60);

/// Resumes after `Last-Event-ID`; without it, starts now.
pub async fn subscribe(
    State(web): State<Web>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, ArchiveError>>>, WebError> {
    let busy = |_| WebError::Refused(Failure::Unavailable, "too many subscribers".into());
    let permit = Arc::clone(&web.subscribers).try_acquire_owned().map_err(busy)?;
    let newest = web.archive.newest_event();
    let resume = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.trim().parse::<i64>().ok());
    let now = *newest.borrow();
    let after = resume.filter(|&position| (0..=now).contains(&position)).unwrap_or(now);
    let events = batches(web, newest, after)
        .map_ok(|events| stream::iter(events.into_iter().map(|event| Ok(message(&event)))))
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
    let kind = name(event.kind);
    let data = json!({
        "position": event.position,
        "kind": kind,
        "at": event.at,
        "study": event.study,
        "series": event.series,
        "sop_instance": event.sop_instance,
        "sop_class": event.sop_class,
    });
    sse::Event::default().id(event.position.to_string()).event(kind).data(data.to_string())
}

fn name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::InstanceStored => "instance_stored",
        EventKind::SeriesComplete => "series_complete",
        EventKind::Deleted => "deleted",
    }
}
