//! Health, version and work under way.

use crate::{error::WebError, web::Web};
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde_json::{Value, json};
use storage::{Job, JobState};

const MAX_JOBS: u32 = 500;

/// The process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Database and store answer too.
pub async fn readyz(State(web): State<Web>) -> Result<&'static str, WebError> {
    web.archive.check().await?;
    Ok("ok\n")
}

/// What the viewer shows of the server: also how a modality reaches it.
pub async fn status(State(web): State<Web>) -> Result<Json<Value>, WebError> {
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ae_title": web.config.ae_title,
        "dicom_port": web.config.dicom_port,
        "insecure": web.config.insecure_no_auth,
        "damage": web.archive.damage_count(),
        "replica": web.archive.replica_status().await?,
        "cache": web.archive.cache_use().await?,
    })))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFilter {
    #[serde(default)]
    kind: String,
    state: Option<JobState>,
}

/// The newest jobs, optionally of the kinds that start with `kind` and in one state.
pub async fn jobs(
    State(web): State<Web>,
    filter: Result<Query<JobFilter>, QueryRejection>,
) -> Result<Json<Value>, WebError> {
    let usage = |_| WebError::bad_request("parameters are kind and state (due, leased, done, dead)");
    let Query(filter) = filter.map_err(usage)?;
    let jobs = web.archive.jobs(&filter.kind, filter.state, MAX_JOBS).await?;
    Ok(Json(jobs.iter().map(row).collect()))
}

fn row(job: &Job) -> Value {
    json!({
        "id": job.id,
        "kind": job.kind,
        "key": job.key,
        "state": job.state,
        "attempts": job.attempts,
        "last_error": job.last_error,
        "result": job.result,
        "created_at": job.created_at,
        "changed_at": job.changed_at,
        "worker": job.worker,
    })
}
