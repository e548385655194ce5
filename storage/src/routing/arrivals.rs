//! Arrivals → queue.

use super::{Arrival, Destination, Rule, rules::CONSUMER};
use crate::{archive::Archive, clock::now, database::Change, error::ArchiveError};
use pacs_core::Uid;
use sqlx::{Row, any::AnyRow};
use std::collections::BTreeSet;

/// Arrivals looked at in one go.
const AT_ONCE: i64 = 500;

/// An instance that arrived, as it goes into the queue.
pub(super) struct Arrived {
    pub(super) key: i64,
    pub(super) series_key: i64,
    pub(super) study: String,
    series: String,
    sop_instance: String,
    byte_len: i64,
    /// Rejected, or a version that nobody sees.
    pub(super) is_hidden: bool,
    pub(super) arrival: Arrival,
}

impl Archive {
    /// Queues what arrived since, by the rules in force; returns whether there may be more. It may be called again at any
    /// time, and in several processes: what is queued is not queued again.
    pub async fn route_arrivals(&self) -> Result<bool, ArchiveError> {
        if self.rules().await?.is_empty() && self.coercions().await?.is_empty() {
            return Ok(false);
        }
        let position = self.consumer_position(CONSUMER).await?;
        let mut arrived = self.arrived(position, AT_ONCE).await?;
        if self.coerce(&arrived, &self.coercions_since().await?).await? {
            // As corrected; what came meanwhile is not among them.
            let last = arrived.last().map_or(position, |last| last.key);
            arrived = self.arrived(position, arrived.len() as i64).await?;
            arrived.retain(|one| one.key <= last);
        }
        let Some(last) = arrived.last() else { return Ok(false) };
        // After the arrivals: a rule that is not seen now was made after all of these.
        let rules = self.rules_since().await?;
        let destinations = self.destinations().await?;
        for (one, rule) in with_priors(&arrived, &rules, &destinations) {
            self.ask_for_priors(one, rule).await?;
        }
        let mut change = self.inner.database.change_of(arrived.len()).await?;
        for one in &arrived {
            for (rule, destination) in one.to_go(&rules, &destinations) {
                queue(&mut change, one, &destination.name, &rule.name).await?;
            }
        }
        sqlx::query(ACKNOWLEDGE).bind(CONSUMER).bind(last.key).execute(&mut *change.transaction).await?;
        change.commit().await?;
        Ok(arrived.len() as i64 == AT_ONCE)
    }

    async fn arrived(&self, position: i64, limit: i64) -> Result<Vec<Arrived>, ArchiveError> {
        let rows = sqlx::query(ARRIVALS).bind(position).bind(limit).fetch_all(&self.inner.database.pool).await?;
        Ok(rows.iter().map(arrived).collect::<Result<_, _>>()?)
    }

    /// Queues what is held of a study, or of one of its series; returns how many instances were not queued yet. What went
    /// before goes again.
    pub async fn send(&self, destination: &str, study: &Uid, series: Option<&Uid>) -> Result<u64, ArchiveError> {
        let destination = self.destination(destination).await?;
        let held = sqlx::query(HELD).bind(study.as_str()).bind(series.map_or("", Uid::as_str));
        let rows = held.fetch_all(&self.inner.database.pool).await?;
        if rows.is_empty() {
            return Err(ArchiveError::NotFound(format!("study {study}, or what is asked for of it,")));
        }
        let mut change = self.inner.database.change_of(rows.len()).await?;
        let mut queued = 0;
        for row in &rows {
            let one = arrived(row)?;
            let again = sqlx::query(AGAIN).bind(&destination.name).bind(one.key).bind(now());
            queued += again.execute(&mut *change.transaction).await?.rows_affected();
            queued += u64::from(queue(&mut change, &one, &destination.name, "").await?);
        }
        change.commit().await?;
        Ok(queued)
    }
}

impl Arrived {
    /// By which rule it goes where; the first of several that send to one destination.
    fn to_go<'a>(&self, rules: &'a [(Rule, i64)], destinations: &'a [Destination]) -> Vec<(&'a Rule, &'a Destination)> {
        let mut to_go: Vec<(&Rule, &Destination)> = Vec::new();
        for (rule, since) in rules {
            let Some(destination) = destinations.iter().find(|destination| destination.name == rule.to) else {
                continue;
            };
            let is_echo = destination.is_sender(&self.arrival.from) && !rule.sends_back;
            let is_new = !to_go.iter().any(|(_, known)| known.name == destination.name);
            if self.key > *since && is_new && !is_echo && !self.is_hidden && rule.when.is_met(&self.arrival) {
                to_go.push((rule, destination));
            }
        }
        to_go
    }
}

/// The first of each study that goes by a rule that takes priors along.
fn with_priors<'a>(
    arrived: &'a [Arrived],
    rules: &'a [(Rule, i64)],
    destinations: &'a [Destination],
) -> Vec<(&'a Arrived, &'a Rule)> {
    let mut seen = BTreeSet::new();
    let mut with_priors = Vec::new();
    if rules.iter().all(|(rule, _)| rule.priors.is_none()) {
        return with_priors;
    }
    for one in arrived {
        let going = one.to_go(rules, destinations).into_iter().map(|(rule, _)| rule);
        for rule in going.filter(|rule| rule.priors.is_some()) {
            if seen.insert((&one.study, &rule.name)) {
                with_priors.push((one, rule));
            }
        }
    }
    with_priors
}

/// Whether it was not queued already.
pub(super) async fn queue(
    change: &mut Change<'_>,
    one: &Arrived,
    destination: &str,
    rule: &str,
) -> Result<bool, sqlx::Error> {
    let statement = sqlx::query(QUEUE)
        .bind(change.head.next_key())
        .bind(destination)
        .bind(one.key)
        .bind(one.series_key)
        .bind(rule)
        .bind(&one.study)
        .bind(&one.series)
        .bind(&one.sop_instance)
        .bind(&one.arrival.sop_class)
        .bind(one.byte_len)
        .bind(now());
    Ok(statement.execute(&mut *change.transaction).await?.rows_affected() == 1)
}

pub(super) fn arrived(row: &AnyRow) -> Result<Arrived, sqlx::Error> {
    Ok(Arrived {
        key: row.try_get(0)?,
        series_key: row.try_get(1)?,
        study: row.try_get(2)?,
        series: row.try_get(3)?,
        sop_instance: row.try_get(4)?,
        byte_len: row.try_get(5)?,
        is_hidden: row.try_get::<i64, _>(6)? != 0,
        arrival: Arrival {
            from: row.try_get(7)?,
            at: row.try_get(8)?,
            sop_class: row.try_get(9)?,
            modality: row.try_get(10)?,
            body_part: row.try_get(11)?,
            station: row.try_get(12)?,
            study_description: row.try_get(13)?,
            series_description: row.try_get(14)?,
            institution: row.try_get(15)?,
        },
    })
}

macro_rules! select_arrivals {
    ($end:literal) => {
        concat!(
            "select i.instance_key, se.series_key, st.study_instance_uid, se.series_instance_uid, i.sop_instance_uid,
                i.byte_len, case when i.is_current = 1 then 0 else 1 end, i.received_from, i.stored_at, i.sop_class_uid, se.modality,
                se.body_part_examined, se.station_name, st.study_description, se.series_description, st.institution_name
            from instance i join series se on se.series_key = i.series_key join study st on st.study_key = se.study_key ",
            $end
        )
    };
}

const ARRIVALS: &str = select_arrivals!("where i.instance_key > $1 order by i.instance_key limit $2");

pub(super) const HELD: &str = select_arrivals!(
    "where st.study_instance_uid = $1 and ($2 = '' or se.series_instance_uid = $2) and i.is_current = 1
    order by se.series_order, se.series_key, i.instance_order, i.instance_key"
);

const QUEUE: &str = "insert into forward (forward_key, destination, instance_key, series_key, rule, study, series,
        sop_instance, sop_class, byte_len, state, attempts, due_at, lease, last_error, sent_as, transaction_uid,
        queued_at, changed_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'due', 0, $11, '', '', '', '', $11, $11)
    on conflict (destination, instance_key) do nothing";

const AGAIN: &str = "update forward set state = 'due', attempts = 0, due_at = $3, lease = '', last_error = '',
        sent_as = '', transaction_uid = '', queued_at = $3, changed_at = $3
    where destination = $1 and instance_key = $2 and state not in ('due', 'leased')";

const ACKNOWLEDGE: &str = "insert into consumer (name, position) values ($1, $2)
    on conflict (name) do update set position = excluded.position where consumer.position < excluded.position";
