//! What we do for others (PS3.4): one file for each service class.

mod clock;
pub mod commitment;
pub mod identifier;
pub mod items;
pub mod keys;
pub mod mpps;
pub mod normalized;
pub mod query;
pub mod retrieve;
pub mod storage;
pub mod ups;
pub mod verification;

use crate::{
    association::{
        negotiate::Context,
        supported::{Root, Service},
    },
    config::NodeConfig,
    dimse::{CommandSet, command::field, status},
};
use ::storage::{Archive, ArchiveError, AuditAction, AuditRecord};
use pacs_core::{
    AeTitle, Failure, Uid,
    ups::{UPS_EVENT, UPS_PUSH},
};

/// Who asks, and where the answers are.
#[derive(Clone)]
pub struct Caller<'a> {
    pub archive: &'a Archive,
    pub config: &'a NodeConfig,
    pub calling: &'a AeTitle,
    /// Else what it stores goes into quarantine.
    pub is_known: bool,
    pub address: &'a str,
}

impl Caller<'_> {
    /// Writes down that the caller has read something, of a study where there is one.
    async fn has_read(&self, what: String, study: Option<String>) -> Result<(), ArchiveError> {
        let (actor, origin) = (self.calling.to_string(), self.address.to_owned());
        let action = AuditAction::Read;
        self.archive.audit(&AuditRecord { at: 0, action, actor, origin, success: true, study, detail: what }).await
    }
}

/// A request under way: its data set may still be coming.
pub enum Operation {
    /// The answer is known; a data set that comes with the request is passed over.
    Answered(CommandSet),
    Store(Box<storage::Reception>),
    Find(query::Find),
    /// Of a worklist, or of workitems.
    FindItems(items::Find),
    Retrieve(Box<retrieve::Retrieve>),
    Commit(Box<commitment::Commitment>),
    Hear(Box<commitment::EventReport>),
    /// N-CREATE, N-SET, N-GET, N-ACTION on an instance of a managed SOP Class.
    Normalized(Box<normalized::Request>),
}

/// How an operation with one answer ended.
pub struct Done {
    pub response: CommandSet,
    /// The series that an instance was stored in.
    pub series: Option<Uid>,
}

impl Operation {
    /// Starts what `command` asks for on a presentation context.
    pub async fn begin(caller: &Caller<'_>, context: &Context, command: CommandSet) -> Self {
        match (command.command_field, context.service) {
            (field::C_ECHO_RQ, Service::Verification) => Self::Answered(verification::answer(&command)),
            // Of a SOP Class for which the peer is only to be sent what it asked for.
            (field::C_STORE_RQ, Service::Storage) if !context.is_scu => {
                Self::Answered(command.response(Failure::NotAuthorised.dimse()))
            }
            (field::C_STORE_RQ, Service::Storage) => {
                Self::Store(Box::new(storage::Reception::begin(caller, context, command).await))
            }
            (field::C_FIND_RQ, Service::Find(root)) => Self::find(command, context, root),
            (field::C_FIND_RQ, Service::Worklist | Service::Workitems) => Self::find_items(command, context),
            (field::C_GET_RQ, Service::Get(root)) | (field::C_MOVE_RQ, Service::Move(root)) => {
                Self::Retrieve(Box::new(retrieve::Retrieve::new(command, context.transfer_syntax.clone(), root)))
            }
            // A peer that answers what we asked may call for that alone, or over the association of a question of its own.
            (field::N_EVENT_REPORT_RQ, Service::Commitment) => {
                Self::Hear(Box::new(commitment::EventReport::new(command, context.transfer_syntax.clone())))
            }
            (field::N_ACTION_RQ, Service::Commitment) if !context.is_scu => {
                Self::Answered(command.response(Failure::NotAuthorised.dimse()))
            }
            (field::N_CREATE_RQ | field::N_SET_RQ | field::N_GET_RQ, Service::Performed | Service::Workitems)
            | (field::N_ACTION_RQ, Service::Workitems) => {
                Self::Normalized(Box::new(normalized::Request::new(command, context)))
            }
            (field::N_ACTION_RQ, Service::Commitment) => {
                Self::Commit(Box::new(commitment::Commitment::new(command, context.transfer_syntax.clone())))
            }
            _ => Self::Answered(command.response(status::UNRECOGNIZED_OPERATION)),
        }
    }

    fn find(request: CommandSet, context: &Context, root: Root) -> Self {
        Self::Find(query::Find::new(request, context.transfer_syntax.clone(), root, context.options))
    }

    fn find_items(request: CommandSet, context: &Context) -> Self {
        // Workitems are searched by who pulls, watches or queries them (PS3.4 Table CC.2-1).
        if [UPS_PUSH, UPS_EVENT].contains(&context.abstract_syntax.as_str()) {
            return Self::Answered(request.response(status::UNRECOGNIZED_OPERATION));
        }
        Self::FindItems(items::Find::new(
            request,
            context.transfer_syntax.clone(),
            context.service,
            context.options.fuzzy,
        ))
    }

    /// Takes the next piece of the data set.
    pub async fn data(&mut self, bytes: &[u8]) {
        match self {
            Self::Answered(_) => {}
            Self::Store(reception) => reception.write(bytes).await,
            Self::Find(find) => find.write(bytes),
            Self::FindItems(find) => find.write(bytes),
            Self::Retrieve(retrieve) => retrieve.write(bytes),
            Self::Commit(commitment) => commitment.write(bytes),
            Self::Hear(report) => report.write(bytes),
            Self::Normalized(request) => request.write(bytes),
        }
    }
}
