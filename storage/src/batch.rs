//! What the committer remembers from one transaction to the next, and adds up within one.
//!
//! A series comes instance by instance, mostly. Once its rows are known to be there, the next instance needs its own row and
//! two counters; and a transfer of a thousand instances is two lines in the audit trail (PS3.15 A.5.3.6, A.5.3.7), not a
//! thousand.

use crate::audit::{AuditAction, AuditRecord};
use pacs_core::{Uid, instance::Instance};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Series, packs and transfers remembered; beyond that all are forgotten and learnt anew.
const REMEMBERED: usize = 4096;
/// A transfer ends when so long nothing of it has come.
const PAUSE: Duration = Duration::from_secs(10);

/// Keys of the rows of a series and its study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) study: i64,
    pub(crate) series: i64,
}

/// Instances of one study from one sender.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Route {
    actor: String,
    place: String,
    study: Option<String>,
}

#[derive(Debug)]
struct Transfer {
    instances: u64,
    last: Instant,
}

/// What is remembered. Rows may be gone all the same, by another process: who uses a key looks whether it still is one.
#[derive(Default)]
pub(crate) struct Memory {
    series: HashMap<(Uid, Uid), Keys>,
    /// By object key.
    packs: HashMap<String, i64>,
    transfers: HashMap<Route, Transfer>,
}

/// Added to the counts of a series or study.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) instances: i64,
    pub(crate) byte_len: i64,
    /// Of the last of them.
    pub(crate) position: i64,
    /// When the last of them came, in milliseconds since 1970-01-01 UTC.
    pub(crate) received_at: i64,
}

/// One transaction. What it learns is remembered when it is committed, and not before.
pub(crate) struct Batch<'a> {
    memory: &'a Memory,
    learnt: Memory,
    pub(crate) of_series: HashMap<i64, Count>,
    pub(crate) of_study: HashMap<i64, Count>,
}

/// What [`Memory::keep`] takes over.
pub(crate) struct Learnt(Memory);

impl<'a> Batch<'a> {
    pub(crate) fn new(memory: &'a Memory) -> Self {
        Self { memory, learnt: Memory::default(), of_series: HashMap::new(), of_study: HashMap::new() }
    }

    pub(crate) fn keys_of(&self, facts: &Instance) -> Option<Keys> {
        let of = (facts.study.clone(), facts.series.clone());
        self.learnt.series.get(&of).or_else(|| self.memory.series.get(&of)).copied()
    }

    pub(crate) fn learn_series(&mut self, facts: &Instance, keys: Keys) {
        self.learnt.series.insert((facts.study.clone(), facts.series.clone()), keys);
    }

    pub(crate) fn pack_of(&self, object_key: &str) -> Option<i64> {
        self.learnt.packs.get(object_key).or_else(|| self.memory.packs.get(object_key)).copied()
    }

    pub(crate) fn learn_pack(&mut self, object_key: &str, key: i64) {
        self.learnt.packs.insert(object_key.to_owned(), key);
    }

    pub(crate) fn count(&mut self, keys: &Keys, one: Count) {
        for count in [self.of_series.entry(keys.series), self.of_study.entry(keys.study)] {
            let count = count.or_default();
            count.instances += one.instances;
            count.byte_len += one.byte_len;
            count.position = one.position;
            count.received_at = count.received_at.max(one.received_at);
        }
    }

    /// Whether a stored instance begins a transfer, which is told at once; the others are told of at its end.
    pub(crate) fn begins_transfer(&mut self, record: &AuditRecord) -> bool {
        let route = Route::of(record);
        let begins = !self.memory.transfers.contains_key(&route) && !self.learnt.transfers.contains_key(&route);
        let transfer = self.learnt.transfers.entry(route).or_insert(Transfer { instances: 0, last: Instant::now() });
        transfer.instances += 1;
        begins
    }

    pub(crate) fn learnt(self) -> Learnt {
        Learnt(self.learnt)
    }
}

impl Memory {
    /// After the transaction was committed.
    pub(crate) fn keep(&mut self, Learnt(learnt): Learnt) {
        if self.series.len() > REMEMBERED {
            self.series.clear();
        }
        if self.packs.len() > REMEMBERED {
            self.packs.clear();
        }
        self.series.extend(learnt.series);
        self.packs.extend(learnt.packs);
        for (route, more) in learnt.transfers {
            let transfer = self.transfers.entry(route).or_insert(Transfer { instances: 0, last: more.last });
            transfer.instances += more.instances;
            transfer.last = more.last;
        }
    }

    /// After a transaction failed: what was remembered may be why.
    pub(crate) fn forget_keys(&mut self) {
        self.series.clear();
        self.packs.clear();
    }

    /// Whether there are any of which the end is still to be told.
    pub(crate) fn has_transfers(&self) -> bool {
        !self.transfers.is_empty()
    }

    /// The lines about transfers that have ended, or about all.
    pub(crate) fn ended(&mut self, all: bool) -> Vec<AuditRecord> {
        let all = all || self.transfers.len() > REMEMBERED;
        let ended = self.transfers.extract_if(|_, transfer| all || transfer.last.elapsed() >= PAUSE);
        // One instance is told of already.
        ended
            .filter(|(_, transfer)| transfer.instances > 1)
            .map(|(route, transfer)| route.told(transfer.instances))
            .collect()
    }
}

impl Route {
    fn of(record: &AuditRecord) -> Self {
        Self { actor: record.actor.clone(), place: record.origin.clone(), study: record.study.clone() }
    }

    fn told(self, instances: u64) -> AuditRecord {
        AuditRecord {
            at: 0,
            action: AuditAction::Store,
            actor: self.actor,
            origin: self.place,
            success: true,
            study: self.study,
            detail: format!("{instances} instances in all"),
        }
    }
}
