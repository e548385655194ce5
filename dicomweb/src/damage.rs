//! `/api/damage`: what is damaged in the store, and the order to mend it. For administrators.

use crate::{error::WebError, web::Web};
use axum::{Json, extract::State};
use serde_json::{Value, json};
use storage::Damage;

/// `GET`: what is damaged, newest first, also what was mended and whose damaged pack is kept still.
pub async fn list(State(web): State<Web>) -> Result<Json<Value>, WebError> {
    let found = web.archive.damage(true).await?;
    let aside = web.archive.set_aside().await?;
    Ok(Json(json!({ "damage": found.iter().map(row).collect::<Vec<_>>(), "set_aside": aside })))
}

/// `POST`: mends what the replica or backup of the configuration has; tells what stays damaged, and why.
pub async fn mend(State(web): State<Web>) -> Result<Json<Value>, WebError> {
    let done = web.archive.mend(None, |_| ()).await?;
    let left: Vec<_> = done.left.iter().map(|(damage, why)| json!({ "damage": row(damage), "why": why })).collect();
    Ok(Json(json!({ "whole": done.whole, "mended": done.mended, "made_anew": done.anew, "left": left })))
}

fn row(damage: &Damage) -> Value {
    json!({
        "id": damage.key,
        "study": damage.study,
        "series": damage.series,
        "sop_instance": damage.sop_instance,
        "pack": damage.object,
        "what": damage.what,
        "hides": damage.what.hides(),
        "found_at": damage.found_at,
        "found_by": damage.found_by,
        "mended_at": (damage.mended_at > 0).then_some(damage.mended_at),
        "mended_by": damage.mended_by,
    })
}
