//! One workitem, and those that match a query.

use super::{fault, workitem};
use crate::{archive::Archive, error::ArchiveError};
use pacs_core::{
    Item, Uid,
    query::{Condition, ItemQuery},
    tags,
    ups::{State, UpsError},
};
use sqlx::{Row, any::AnyRow};

/// Workitems read at a time.
const AT_ONCE: i64 = 500;

/// A workitem as anybody may see it: without the Transaction UID of its performer.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptWorkitem {
    pub sop_instance: Uid,
    pub state: State,
    pub item: Item,
    /// Milliseconds since 1970-01-01 UTC.
    pub changed_at: i64,
}

impl Archive {
    pub async fn workitem(&self, sop_instance: &Uid) -> Result<KeptWorkitem, ArchiveError> {
        let row = sqlx::query(ONE).bind(sop_instance.as_str()).fetch_optional(&self.inner.database.pool).await?;
        kept(&row.ok_or(UpsError::NoSuchWorkitem)?)
    }

    /// Workitems that match, by their start within a state, at most `limit`.
    pub async fn find_workitems(&self, query: &ItemQuery, limit: usize) -> Result<Vec<KeptWorkitem>, ArchiveError> {
        let exact = |tag| match query.condition(&[tag]) {
            Some(Condition::Exact(value)) => value.clone(),
            _ => String::new(),
        };
        let (state, sop_instance) = (exact(tags::PROCEDURE_STEP_STATE), exact(tags::SOP_INSTANCE_UID));
        let (mut found, mut place) = (Vec::new(), (String::new(), String::new(), String::new()));
        while found.len() < limit {
            let statement = sqlx::query(FIND).bind(&state).bind(&sop_instance);
            let statement = statement.bind(&place.0).bind(&place.1).bind(&place.2).bind(AT_ONCE);
            let rows = statement.fetch_all(&self.inner.database.pool).await?;
            for row in &rows {
                place = (row.try_get(1)?, row.try_get(5)?, row.try_get(0)?);
                found.extend(Some(kept(row)?).filter(|workitem| query.matches(&workitem.item)));
            }
            if i64::try_from(rows.len()).unwrap_or(AT_ONCE) < AT_ONCE {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}

fn kept(row: &AnyRow) -> Result<KeptWorkitem, ArchiveError> {
    let uid: String = row.try_get(0)?;
    let workitem = workitem(row, 1)?;
    Ok(KeptWorkitem {
        sop_instance: uid.parse().map_err(|_| fault("UID"))?,
        state: workitem.state,
        item: workitem.item,
        changed_at: row.try_get(4)?,
    })
}

const ONE: &str = "select sop_instance_uid, procedure_step_state, transaction_uid, json, changed_at from workitem
    where sop_instance_uid = $1";

const FIND: &str = "select sop_instance_uid, procedure_step_state, transaction_uid, json, changed_at, start_date_time
    from workitem
    where ($1 = '' or procedure_step_state = $1) and ($2 = '' or sop_instance_uid = $2)
        and (procedure_step_state, start_date_time, sop_instance_uid) > ($3, $4, $5)
    order by procedure_step_state, start_date_time, sop_instance_uid limit $6";
