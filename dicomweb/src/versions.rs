//! What is held under a SOP Instance UID: an extension beside WADO-RS, whose resources take `?version=N`.

use crate::{asked::Asked, error::WebError};
use axum::Json;
use serde::Serialize;
use storage::{AuditAction, Version};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// One version as the client sees it.
#[derive(Debug, Serialize)]
pub struct Listed {
    version: u32,
    current: bool,
    /// UTC, RFC 3339.
    received_at: String,
    /// AE title, user or room; empty where that was not noted.
    received_from: String,
    /// SHA-256 of data set and transfer syntax.
    digest: String,
    /// Bytes of the file.
    length: u64,
}

pub async fn list(asked: Asked) -> Result<Json<Vec<Listed>>, WebError> {
    let (study, series, sop_instance) = asked.resource.identity()?;
    let versions = asked.web.archive.versions(study, series, sop_instance).await?;
    asked.audit(AuditAction::Read, Some(study), "versions").await;
    Ok(Json(versions.into_iter().map(listed).collect()))
}

fn listed(version: Version) -> Listed {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(version.stored_at) * 1_000_000);
    Listed {
        version: version.instance.version,
        current: version.is_current,
        received_at: at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default(),
        received_from: version.received_from,
        digest: version.digest,
        length: version.instance.len,
    }
}
