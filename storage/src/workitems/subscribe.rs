//! Who hears of workitems (PS3.4 §CC.2.3): of one, of all there are and will be, of those that match.

use super::{
    change::held,
    notify::{Way, tell},
    workitem,
};
use crate::{
    archive::Archive,
    audit::{AuditAction, AuditRecord, write_audit},
    database::Change,
    error::ArchiveError,
};
use pacs_core::{
    AeTitle, Item, Uid,
    query::ItemQuery,
    ups::{FILTERED_GLOBAL_SUBSCRIPTION, GLOBAL_SUBSCRIPTION, UpsError, UpsEvent, state_report},
};
use sqlx::{Row, any::AnyRow};

/// What somebody subscribes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Subscription {
    Workitem(Uid),
    /// All workitems there are and will be.
    Global,
    /// Those among them that match these keys.
    Filtered(Item),
}

impl Subscription {
    /// The instance that a request names, and the keys that came with it.
    pub fn of(sop_instance: Uid, keys: Item) -> Self {
        match sop_instance.as_str() {
            GLOBAL_SUBSCRIPTION => Self::Global,
            FILTERED_GLOBAL_SUBSCRIPTION => Self::Filtered(keys),
            _ => Self::Workitem(sop_instance),
        }
    }

    /// The row of a subscription to what will come: its instance and its keys.
    fn to_come(&self) -> Result<Option<(&'static str, String)>, ArchiveError> {
        Ok(match self {
            Self::Workitem(_) => None,
            Self::Global => Some((GLOBAL_SUBSCRIPTION, String::new())),
            Self::Filtered(keys) => {
                let keys = serde_json::to_string(keys).map_err(|error| ArchiveError::Internal(error.to_string()))?;
                Some((FILTERED_GLOBAL_SUBSCRIPTION, keys))
            }
        })
    }

    fn query(&self) -> Result<ItemQuery, ArchiveError> {
        match self {
            Self::Filtered(keys) => ItemQuery::from_item(keys).map_err(|_| UpsError::Invalid("a matching key").into()),
            _ => Ok(ItemQuery::default()),
        }
    }
}

impl Archive {
    /// Subscribes an AE title, which is told at once in which state what it subscribed to is. With a deletion lock a workitem
    /// that is over is kept until it is given up; nothing that is over is removed by itself anyway.
    pub async fn subscribe(
        &self,
        by: &str,
        origin: &str,
        subscriber: (&AeTitle, Way),
        subscription: &Subscription,
        deletion_lock: bool,
    ) -> Result<(), ArchiveError> {
        let query = subscription.query()?;
        let to = (subscriber.0.clone(), subscriber.1);
        let mut change = self.inner.database.change().await?;
        if let Subscription::Workitem(sop_instance) = subscription {
            let workitem = held(&mut change, sop_instance).await?;
            add(&mut change, &to, sop_instance.as_str(), deletion_lock, "").await?;
            tell(&mut change, &to, sop_instance, UpsEvent::StateReport, &state_report(&workitem.item)).await?;
        }
        if let Some((instance, keys)) = subscription.to_come()? {
            add(&mut change, &to, instance, deletion_lock, &keys).await?;
            for (sop_instance, item) in all(&mut change).await? {
                if query.matches(&item) {
                    add(&mut change, &to, sop_instance.as_str(), deletion_lock, "").await?;
                    tell(&mut change, &to, &sop_instance, UpsEvent::StateReport, &state_report(&item)).await?;
                }
            }
        }
        note(&mut change, by, origin, format!("{} subscribed to {subscription}", to.0)).await?;
        change.commit().await?;
        Ok(())
    }

    /// Ends a subscription; a global one with all that came of it.
    pub async fn unsubscribe(
        &self,
        by: &str,
        origin: &str,
        ae_title: &AeTitle,
        subscription: &Subscription,
    ) -> Result<(), ArchiveError> {
        let mut change = self.inner.database.change().await?;
        match subscription {
            Subscription::Workitem(sop_instance) => {
                held(&mut change, sop_instance).await?;
                let end = sqlx::query(END).bind(ae_title.as_str()).bind(sop_instance.as_str());
                end.execute(&mut *change.transaction).await?;
            }
            Subscription::Global | Subscription::Filtered(_) => {
                sqlx::query(END_ALL).bind(ae_title.as_str()).execute(&mut *change.transaction).await?;
            }
        }
        note(&mut change, by, origin, format!("{ae_title} unsubscribed from {subscription}")).await?;
        change.commit().await?;
        Ok(())
    }

    /// What will come is no longer subscribed to; what was stays so.
    pub async fn suspend_subscription(
        &self,
        by: &str,
        origin: &str,
        ae_title: &AeTitle,
        subscription: &Subscription,
    ) -> Result<(), ArchiveError> {
        let (instance, _) = subscription.to_come()?.ok_or(UpsError::NotAppropriate)?;
        let mut change = self.inner.database.change().await?;
        let end = sqlx::query(END).bind(ae_title.as_str()).bind(instance);
        end.execute(&mut *change.transaction).await?;
        note(&mut change, by, origin, format!("subscription of {ae_title} to {subscription} suspended")).await?;
        change.commit().await?;
        Ok(())
    }
}

/// For the audit trail.
impl std::fmt::Display for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Workitem(sop_instance) => write!(f, "workitem {sop_instance}"),
            Self::Global => f.write_str("all workitems"),
            Self::Filtered(_) => f.write_str("workitems that match"),
        }
    }
}

async fn note(change: &mut Change<'_>, by: &str, origin: &str, detail: String) -> Result<(), sqlx::Error> {
    let record = AuditRecord {
        at: 0,
        action: AuditAction::Procedure,
        actor: by.to_owned(),
        origin: origin.to_owned(),
        success: true,
        study: None,
        detail,
    };
    write_audit(change, &record).await
}

/// Subscribes to a new workitem who wants to hear of all, or of such.
pub(super) async fn subscribe_to_new(
    change: &mut Change<'_>,
    sop_instance: &Uid,
    item: &Item,
) -> Result<(), ArchiveError> {
    let statement = sqlx::query(TO_COME).bind(GLOBAL_SUBSCRIPTION).bind(FILTERED_GLOBAL_SUBSCRIPTION);
    for row in &statement.fetch_all(&mut *change.transaction).await? {
        let (ae_title, keys): (String, String) = (row.try_get(0)?, row.try_get(2)?);
        let is_wanted = keys.is_empty()
            || serde_json::from_str(&keys)
                .is_ok_and(|keys: Item| ItemQuery::from_item(&keys).is_ok_and(|query| query.matches(item)));
        if is_wanted {
            let lock = row.try_get::<i64, _>(1)? != 0;
            let to = (ae_title.parse().map_err(|_| super::fault("AE title"))?, Way::of(row, 3)?);
            add(change, &to, sop_instance.as_str(), lock, "").await?;
        }
    }
    Ok(())
}

async fn add(
    change: &mut Change<'_>,
    (ae_title, way): &(AeTitle, Way),
    instance: &str,
    deletion_lock: bool,
    keys: &str,
) -> Result<(), sqlx::Error> {
    let statement = sqlx::query(ADD)
        .bind(ae_title.as_str())
        .bind(instance)
        .bind(i64::from(deletion_lock))
        .bind(keys)
        .bind(i64::from(way.is_web()));
    statement.execute(&mut *change.transaction).await?;
    Ok(())
}

/// All workitems that are not over.
async fn all(change: &mut Change<'_>) -> Result<Vec<(Uid, Item)>, ArchiveError> {
    let rows = sqlx::query(ALL).fetch_all(&mut *change.transaction).await?;
    let one = |row: &AnyRow| {
        let uid: String = row.try_get(3)?;
        Ok((uid.parse().map_err(|_| super::fault("UID"))?, workitem(row, 0)?.item))
    };
    rows.iter().map(one).collect()
}

const ADD: &str = "insert into workitem_subscriber (ae_title, sop_instance_uid, deletion_lock, matching_keys, by_web)
    values ($1, $2, $3, $4, $5)
    on conflict (ae_title, sop_instance_uid) do update set deletion_lock = excluded.deletion_lock,
        matching_keys = excluded.matching_keys, by_web = excluded.by_web";

const END: &str = "delete from workitem_subscriber where ae_title = $1 and sop_instance_uid = $2";

const END_ALL: &str = "delete from workitem_subscriber where ae_title = $1";

const TO_COME: &str = "select ae_title, deletion_lock, matching_keys, by_web from workitem_subscriber
    where sop_instance_uid in ($1, $2) order by ae_title";

const ALL: &str = "select procedure_step_state, transaction_uid, json, sop_instance_uid from workitem
    where procedure_step_state in ('SCHEDULED', 'IN PROGRESS') order by start_date_time, sop_instance_uid";
