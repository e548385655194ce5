//! Requests on managed instances (PS3.7 §10): N-CREATE, N-SET, N-GET, N-ACTION with their attributes, and the answers.

use super::{
    identifier::{fields, write},
    keys::{Keys, Refusal},
};
use crate::{
    association::{negotiate::Context, supported::Service},
    dimse::{CommandSet, status},
};
use bytes::Bytes;
use pacs_core::{Failure, Item, Uid, character_set::CharacterSet};
use storage::ArchiveError;

/// A request whose data set may be coming.
pub struct Request {
    pub command: CommandSet,
    pub service: Service,
    /// The abstract syntax that it came by.
    pub sop_class: Uid,
    keys: Keys,
}

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    pub response: CommandSet,
    pub item: Option<Item>,
}

impl Request {
    pub fn new(command: CommandSet, context: &Context) -> Self {
        Self {
            command,
            service: context.service,
            sop_class: context.abstract_syntax.clone(),
            keys: Keys::new(context.transfer_syntax.clone()),
        }
    }

    /// Takes a piece of the data set.
    pub fn write(&mut self, piece: &[u8]) {
        self.keys.write(piece);
    }

    /// The attributes that came with the request, none if it has no data set.
    pub fn item(&self) -> Result<Item, Refusal> {
        Ok(Item::from_data_set(&self.keys.read()?))
    }

    /// The SOP Instance that is meant, by an N-CREATE too; `None` where none is named.
    pub fn sop_instance(&self) -> Result<Option<Uid>, Refusal> {
        let named =
            self.command.requested_sop_instance_uid.as_ref().or(self.command.affected_sop_instance_uid.as_ref());
        let named = named.filter(|uid| !uid.is_empty()).map(|uid| uid.parse());
        named
            .transpose()
            .map_err(|error| Refusal::new(status::INVALID_SOP_INSTANCE, &format!("SOP Instance UID: {error}")))
    }

    /// The SOP Instance that is meant; must be named.
    pub fn named_instance(&self) -> Result<Uid, Refusal> {
        self.sop_instance()?.ok_or_else(|| Refusal::new(status::INVALID_SOP_INSTANCE, "no SOP Instance is named"))
    }

    /// Refuses a request that is about another SOP Class than one of these.
    pub fn is_of(&self, sop_classes: &[&str]) -> Result<(), Refusal> {
        let named = self.command.requested_sop_class_uid.as_ref().or(self.command.affected_sop_class_uid.as_ref());
        match named {
            Some(named) if sop_classes.contains(&named.as_str()) => Ok(()),
            _ => Err(Refusal::new(Failure::SopClass.dimse(), "the SOP Class is not that of the presentation context")),
        }
    }

    pub fn answer(&self, status: u16) -> Answer {
        Answer { response: self.command.response(status), item: None }
    }

    /// The answer to an N-GET: what was asked for of an instance; with status `lacking` if that does not have all of it.
    pub fn got(&self, held: &Item, lacking: u16) -> Answer {
        let asked = &self.command.attribute_identifier_list;
        let item = if asked.is_empty() { held.clone() } else { held.only(asked) };
        let is_all = asked.iter().all(|tag| held.contains(*tag));
        let status = if is_all { status::SUCCESS } else { lacking };
        let response = CommandSet {
            has_data_set: true,
            attribute_identifier_list: asked.iter().copied().filter(|tag| !held.contains(*tag)).collect(),
            ..self.command.response(status)
        };
        Answer { response, item: Some(item) }
    }

    /// Its data set as bytes, in the encoding of the presentation context.
    pub fn data_set(&self, item: &Item) -> Bytes {
        write(fields(item), self.keys.is_explicit(), &CharacterSet::utf_8())
    }
}

/// Why the archive did not do it.
pub fn failed(error: &ArchiveError) -> Refusal {
    let failure = error.failure();
    if failure == Failure::Internal {
        tracing::error!(%error, "a request on a managed instance failed");
    }
    Refusal::new(failure.dimse(), &error.to_string())
}
