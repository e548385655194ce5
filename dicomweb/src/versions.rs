//! What is held under a SOP Instance UID: an extension beside WADO-RS, whose resources take `?version=N`.

use crate::{asked::Asked, error::WebError};
use axum::Json;
use serde::Serialize;
use storage::{AuditAction, Version};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Below `/api`.
pub const PATH: &str = "/studies/{study}/series/{series}/instances/{instance}/versions";

/// One version as the client sees it.
#[derive(Debug, Serialize)]
pub struct Listed {
    version: u32,
    current: bool,
    /// UTC, RFC 3339.
    received_at: String,
    /// AE title, user or room; empty where that was not noted.
    received_from: String,
    /// BLAKE3 of the data set that was received, and its transfer syntax.
    digest: String,
    /// Bytes of the file.
    length: u64,
    /// Whether the file is what was received, byte for byte; else its frames were encoded anew, without loss.
    as_received: bool,
    /// What was received, where the file is not that.
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<Received>,
}

/// The file that was received in the place of one that was recompressed.
#[derive(Debug, Serialize)]
struct Received {
    transfer_syntax: String,
    length: u64,
    recompressed_at: String,
    recompressed_by: String,
}

pub async fn list(asked: Asked) -> Result<Json<Vec<Listed>>, WebError> {
    let (study, series, sop_instance) = asked.resource.identity()?;
    let versions = asked.web.archive.versions(study, series, sop_instance).await?;
    asked.audit(AuditAction::Read, Some(study), "versions").await;
    Ok(Json(versions.into_iter().map(listed).collect()))
}

fn listed(version: Version) -> Listed {
    let received = version.recompressed.map(|received| Received {
        transfer_syntax: received.transfer_syntax.to_string(),
        length: received.byte_len,
        recompressed_at: moment(received.at),
        recompressed_by: received.by,
    });
    Listed {
        version: version.instance.version,
        current: version.is_current,
        received_at: moment(version.stored_at),
        received_from: version.received_from,
        digest: version.digest,
        length: version.instance.len,
        as_received: received.is_none(),
        received,
    }
}

/// Milliseconds since 1970-01-01 UTC, as RFC 3339.
fn moment(milliseconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000);
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}
