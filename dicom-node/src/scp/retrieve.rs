//! Retrieval (PS3.4 §C.4.2, §C.4.3): the identifier of a C-GET or C-MOVE becomes the instances that are meant. The session
//! sends them, or has them sent.

use super::{
    identifier::{self, Field, Fields},
    keys::{Keys, Refusal},
};
use crate::{
    association::supported::Root,
    dimse::{
        CommandSet,
        command::{SubOperations, field},
        status,
    },
};
use bytes::Bytes;
use pacs_core::{
    DataSet, Failure, Tag, TransferSyntax, Uid, VR,
    character_set::CharacterSet,
    query::{Condition, Level, Query, UNIQUE_KEYS},
    tags,
};
use std::collections::{BTreeMap, HashSet};
use storage::{Archive, ArchiveError, Row, StoredInstance};

/// Studies, series or instances that one request may name.
const MOST: u32 = 10_000;
/// Instances that one request may mean: the numbers of sub-operations have 16 bits.
const MOST_INSTANCES: usize = u16::MAX as usize;

/// A C-GET or C-MOVE request whose identifier is coming.
pub struct Retrieve {
    pub request: CommandSet,
    root: Root,
    identifier: Keys,
}

impl Retrieve {
    pub fn new(request: CommandSet, syntax: TransferSyntax, root: Root) -> Self {
        Self { request, root, identifier: Keys::new(syntax) }
    }

    /// Takes a piece of the identifier.
    pub fn write(&mut self, piece: &[u8]) {
        self.identifier.write(piece);
    }

    pub fn is_move(&self) -> bool {
        self.request.command_field == field::C_MOVE_RQ
    }

    /// Reads the identifier: which rows of its level are meant.
    pub fn wanted(&self) -> Result<Query, Refusal> {
        let query = wanted(&self.identifier.read()?)?;
        self.root.refuse(query.level)?;
        Ok(query)
    }

    /// The answer while sub-operations are under way.
    pub fn pending(&self, tally: &Tally) -> CommandSet {
        let mut answer = self.request.response(status::PENDING);
        answer.sub_operations = tally.numbers(true);
        answer
    }

    /// The last answer, and the identifier that goes with it: what failed.
    pub fn last(&self, tally: &Tally, is_cancelled: bool) -> (CommandSet, Option<Bytes>) {
        let status = match tally {
            _ if is_cancelled => status::CANCELLED,
            Tally { failed: 0, warning: 0, .. } => status::SUCCESS,
            Tally { completed: 0, warning: 0, .. } => status::NO_SUB_OPERATION,
            _ => status::SUB_OPERATIONS_FAILED,
        };
        let mut answer = self.request.response(status);
        answer.sub_operations = tally.numbers(is_cancelled);
        answer.has_data_set = !tally.failed_instances.is_empty();
        if let Some(reason) = &tally.reason {
            answer = answer.with_comment(reason);
        }
        let failed = answer.has_data_set.then(|| {
            let list = tally.failed_instances.join("\\");
            let fields = Fields::from([(tags::FAILED_SOP_INSTANCE_UID_LIST, Field::Text(VR::UI, list))]);
            identifier::write(fields, self.identifier.is_explicit(), &CharacterSet::default())
        });
        (answer, failed)
    }
}

/// How the sub-operations went so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub remaining: usize,
    pub completed: usize,
    pub warning: usize,
    pub failed: usize,
    failed_instances: Vec<String>,
    /// Of the first failure.
    reason: Option<String>,
}

impl Tally {
    pub fn of(instances: usize) -> Self {
        Self { remaining: instances, ..Self::default() }
    }

    /// One more was done: the status that its receiver gave, or why it was not sent.
    pub fn add(&mut self, sop_instance: &str, outcome: Result<u16, &str>) {
        self.remaining = self.remaining.saturating_sub(1);
        match outcome {
            Ok(status::SUCCESS) => self.completed += 1,
            // PS3.4 §B.2.3: a warning counts as stored.
            Ok(code) if code & 0xF000 == 0xB000 => self.warning += 1,
            Ok(code) => self.fail(sop_instance, &format!("the receiver answered with status {code:04X}H")),
            Err(reason) => self.fail(sop_instance, reason),
        }
    }

    fn fail(&mut self, sop_instance: &str, reason: &str) {
        self.failed += 1;
        self.failed_instances.push(sop_instance.to_owned());
        self.reason.get_or_insert_with(|| reason.to_owned());
    }

    fn numbers(&self, with_remaining: bool) -> SubOperations {
        let number = |n: usize| Some(u16::try_from(n).unwrap_or(u16::MAX));
        SubOperations {
            remaining: with_remaining.then(|| number(self.remaining)).flatten(),
            completed: number(self.completed),
            failed: number(self.failed),
            warning: number(self.warning),
        }
    }
}

/// Only unique keys are looked at, and that of the level must have a value or a list of them (PS3.4 §C.4.2.2.1). Those of
/// the levels above may be missing: relational retrieval.
fn wanted(identifier: &DataSet) -> Result<Query, Refusal> {
    let refusal = |comment: &str| Refusal::new(Failure::InvalidQuery.dimse(), comment);
    let asked = Query::from_identifier(identifier).map_err(|error| refusal(&error.to_string()))?;
    let mut query = Query::new(asked.level);
    for (level, tag, name) in UNIQUE_KEYS {
        match asked.conditions.get(&tag) {
            Some(condition @ (Condition::Exact(_) | Condition::AnyOf(_))) if level <= asked.level => {
                query.conditions.insert(tag, condition.clone());
            }
            _ if level == asked.level => {
                return Err(refusal(&format!("{name} is missing, or is no value to retrieve by")));
            }
            _ => {}
        }
    }
    query.limit = Some(MOST + 1);
    Ok(query)
}

/// The instances that a query means, in the order in which they are read.
pub async fn instances(archive: &Archive, query: &Query) -> Result<Result<Vec<StoredInstance>, Refusal>, ArchiveError> {
    let too_many = || Ok(Err(Refusal::new(status::TOO_MANY_MATCHES, "more than one request may retrieve")));
    // Of a patient, the studies.
    let level = query.level.max(Level::Study);
    let rows = archive.find(&Query { level, ..query.clone() }).await?;
    if rows.len() > MOST as usize {
        return too_many();
    }
    let mut found = Vec::new();
    for ((study, series), wanted) in grouped(&rows, level) {
        let mut held = archive.instances(&study, series.as_ref(), None).await?;
        held.retain(|instance| wanted.is_empty() || wanted.contains(instance.sop_instance.as_str()));
        found.append(&mut held);
        if found.len() > MOST_INSTANCES {
            return too_many();
        }
    }
    Ok(Ok(found))
}

type Place = (Uid, Option<Uid>);

/// The studies or series to look into, and the SOP Instance UIDs to look for there; none: all.
fn grouped(rows: &[Row], level: Level) -> Vec<(Place, HashSet<&str>)> {
    let mut places: Vec<(Place, HashSet<&str>)> = Vec::new();
    let mut known: BTreeMap<Place, usize> = BTreeMap::new();
    for row in rows {
        let uid = |tag: Tag| row.values.get(&tag).and_then(|text| text.parse::<Uid>().ok());
        let Some(study) = uid(tags::STUDY_INSTANCE_UID) else { continue };
        let series = if level >= Level::Series { uid(tags::SERIES_INSTANCE_UID) } else { None };
        let at = *known.entry((study.clone(), series.clone())).or_insert_with(|| {
            places.push(((study, series), HashSet::new()));
            places.len() - 1
        });
        let instance = row.values.get(&tags::SOP_INSTANCE_UID).filter(|_| level == Level::Instance);
        if let (Some((_, wanted)), Some(instance)) = (places.get_mut(at), instance) {
            wanted.insert(instance);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retrieve(root: Root, keys: &[(Tag, &str)]) -> Retrieve {
        let mut retrieve = Retrieve::new(CommandSet::default(), TransferSyntax::implicit_little(), root);
        for (tag, value) in keys {
            let value = format!("{value}{}", if value.len() % 2 == 1 { "\0" } else { "" });
            retrieve.write(&[tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat());
            retrieve.write(&(value.len() as u32).to_le_bytes());
            retrieve.write(value.as_bytes());
        }
        retrieve
    }

    #[test]
    fn a_retrieval_names_what_it_wants() {
        let of = |level| (tags::QUERY_RETRIEVE_LEVEL, level);
        let check = |root, keys: &[(Tag, &str)], conditions: Option<usize>| {
            let wanted = retrieve(root, keys).wanted();
            assert_eq!(wanted.as_ref().ok().map(|query| query.conditions.len()), conditions, "{keys:?} {wanted:?}");
        };
        check(Root::Study, &[of("STUDY"), (tags::STUDY_INSTANCE_UID, "1.2\\1.3")], Some(1));
        check(Root::Study, &[of("STUDY")], None);
        check(Root::Study, &[of("STUDY"), (tags::STUDY_INSTANCE_UID, "*")], None);
        check(Root::Study, &[of("SERIES"), (tags::SERIES_INSTANCE_UID, "1.2.3")], Some(1));
        check(Root::Study, &[of("PATIENT"), (tags::PATIENT_ID, "P1")], None);
        check(Root::Patient, &[(tags::PATIENT_NAME, "A*"), of("PATIENT"), (tags::PATIENT_ID, "P1")], Some(1));
        check(Root::PatientStudyOnly, &[of("IMAGE"), (tags::SOP_INSTANCE_UID, "1.2")], None);
    }

    #[test]
    fn the_last_answer_tells_what_became_of_all() {
        let retrieve = retrieve(Root::Study, &[]);
        let check = |outcomes: &[Result<u16, &str>], is_cancelled, expected: u16| {
            let mut tally = Tally::of(outcomes.len());
            outcomes.iter().for_each(|outcome| tally.add("1.2.3", *outcome));
            let (answer, failed) = retrieve.last(&tally, is_cancelled);
            assert_eq!(answer.status, Some(expected), "{outcomes:?}");
            assert_eq!(failed.is_some(), tally.failed > 0);
            assert_eq!(answer.sub_operations.remaining.is_some(), is_cancelled);
        };
        check(&[], false, 0x0000);
        check(&[Ok(0), Ok(0)], false, 0x0000);
        check(&[Ok(0), Ok(0xB000)], false, 0xB000);
        check(&[Ok(0), Ok(0xA700)], false, 0xB000);
        check(&[Err("it is damaged"), Ok(0xA700)], false, 0xA702);
        check(&[Ok(0)], true, 0xFE00);
    }
}
