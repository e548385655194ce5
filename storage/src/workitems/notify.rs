//! Notifications of what happens to workitems: jobs, written in the transaction of what they tell.

use super::fault;
use crate::{archive::Archive, database::Change, error::ArchiveError, jobs::enqueue_within};
use pacs_core::{
    AeTitle, Item, Uid,
    ups::{GLOBAL_SUBSCRIPTION, UpsEvent, restarted},
};
use serde::{Deserialize, Serialize};
use sqlx::{Row, any::AnyRow};

/// The kind of the jobs for associations.
pub const NOTIFICATION: &str = "ups";

/// How a subscriber is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Over an association that we open to it.
    Association,
    /// Over a WebSocket that it opens to us.
    WebSocket,
}

impl Way {
    pub(super) const fn is_web(self) -> bool {
        matches!(self, Self::WebSocket)
    }

    pub(super) fn of(row: &AnyRow, column: usize) -> Result<Self, sqlx::Error> {
        Ok(if row.try_get::<i64, _>(column)? == 0 { Self::Association } else { Self::WebSocket })
    }

    /// The kind of the jobs for a subscriber.
    fn kind(self, to: &AeTitle) -> String {
        match self {
            Self::Association => NOTIFICATION.to_owned(),
            Self::WebSocket => web_notification(to),
        }
    }
}

/// The kind of the jobs for the WebSocket of a subscriber.
pub fn web_notification(to: &AeTitle) -> String {
    format!("{NOTIFICATION}-rs {to}")
}

/// What such a job is to deliver: the arguments of an N-EVENT-REPORT (PS3.4 Table CC.2.4-1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    pub to: AeTitle,
    pub workitem: Uid,
    pub event_type_id: u16,
    pub information: Item,
}

impl Archive {
    /// Tells all who are subscribed to anything that the provider of workitems has started anew.
    pub async fn tell_of_restart(&self) -> Result<(), ArchiveError> {
        let any = sqlx::query(ALL_SUBSCRIBERS).fetch_optional(&self.inner.database.pool).await?;
        if any.is_none() {
            return Ok(());
        }
        let workitems = GLOBAL_SUBSCRIPTION.parse().map_err(|_| fault("UID"))?;
        let mut change = self.inner.database.change().await?;
        for row in sqlx::query(ALL_SUBSCRIBERS).fetch_all(&mut *change.transaction).await? {
            let to: String = row.try_get(0)?;
            let to = (to.parse().map_err(|_| fault("AE title"))?, Way::of(&row, 1)?);
            tell(&mut change, &to, &workitems, UpsEvent::ScpStatusChange, &restarted()).await?;
        }
        change.commit().await?;
        Ok(())
    }
}

/// Tells all who are subscribed to a workitem; returns how many.
pub(super) async fn notify(
    change: &mut Change<'_>,
    workitem: &Uid,
    event: UpsEvent,
    information: &Item,
) -> Result<usize, ArchiveError> {
    let rows = sqlx::query(SUBSCRIBERS).bind(workitem.as_str()).fetch_all(&mut *change.transaction).await?;
    for row in &rows {
        let to: String = row.try_get(0)?;
        let to = (to.parse().map_err(|_| fault("AE title"))?, Way::of(row, 1)?);
        tell(change, &to, workitem, event, information).await?;
    }
    Ok(rows.len())
}

/// Tells one.
pub(super) async fn tell(
    change: &mut Change<'_>,
    (to, way): &(AeTitle, Way),
    workitem: &Uid,
    event: UpsEvent,
    information: &Item,
) -> Result<(), ArchiveError> {
    let notification = Notification {
        to: to.clone(),
        workitem: workitem.clone(),
        event_type_id: event.event_type_id(),
        information: information.clone(),
    };
    let payload = serde_json::to_value(notification).map_err(|error| fault(&error.to_string()))?;
    let key = format!("{workitem} {} to {to}", change.head.next_key());
    enqueue_within(change, &way.kind(to), &key, &payload).await?;
    Ok(())
}

const ALL_SUBSCRIBERS: &str = "select distinct ae_title, by_web from workitem_subscriber order by ae_title";

const SUBSCRIBERS: &str =
    "select ae_title, by_web from workitem_subscriber where sop_instance_uid = $1 order by ae_title";
