//! C-FIND as a conversation: matches go out while a C-CANCEL may come in (PS3.7 §9.3.2, PS3.4 §C.4.1.3).

use super::{Node, Session};
use crate::{
    association::{machine::Event, supported::Service},
    dimse::{CommandSet, command::field, message, status},
    pdu::{Abort, Pdu},
    scp::{items, query::Find},
    wire::{Received, Transport, Wire},
};
use bytes::Bytes;
use pacs_core::{AeTitle, Failure, Item};
use std::{collections::VecDeque, future, sync::Arc};
use storage::{ArchiveError, AuditAction, AuditRecord, Row, WorklistScope};

/// Matches between two looks for a C-CANCEL, and in one write.
const BATCH: usize = 32;

/// Why an operation ends before its time.
pub(super) enum Interrupt {
    Cancelled,
    /// The association is over.
    Ended(Event),
}

impl<S: Transport> Session<S> {
    /// Answers a query; an event ends the association.
    pub(super) async fn find(&mut self, context: u8, find: &Find) -> Option<Event> {
        let node = Arc::clone(&self.node);
        let mut search = match find.search(&node.config) {
            Ok(search) => search,
            Err(refusal) => {
                tracing::warn!(reason = refusal.comment, "query refused");
                return self.respond(context, &refusal.response(&find.request)).await;
            }
        };
        let association = self.association.as_ref()?;
        search.query.view = association.view.clone();
        let called = association.called.clone();
        self.audit_query(search.describe()).await;
        match self.watched(&find.request, node.archive.find(&search.query)).await {
            Ok(Ok(rows)) => {
                let identifier = |row: &Row| search.identifier(row, &called);
                self.answer(context, &find.request, search.pending, &rows, identifier).await
            }
            Ok(Err(error)) => self.respond(context, &failed(&find.request, &error)).await,
            Err(interrupt) => self.interrupted(context, &find.request, interrupt).await,
        }
    }

    /// Answers a query of the worklist, or of workitems; an event ends the association.
    pub(super) async fn find_items(&mut self, context: u8, find: &items::Find) -> Option<Event> {
        let node = Arc::clone(&self.node);
        let search = match find.search() {
            Ok(search) => search,
            Err(refusal) => {
                tracing::warn!(reason = refusal.comment, "query refused");
                return self.respond(context, &refusal.response(&find.request)).await;
            }
        };
        let what = if find.service == Service::Worklist { "worklist" } else { "workitems" };
        self.audit_query(format!("C-FIND {what} by {}", search.query.describe())).await;
        let association = self.association.as_ref()?;
        let scope = association.agreement.rights.workflow.worklist;
        let station = (scope == Some(WorklistScope::Own)).then(|| association.calling.clone());
        let found = items_found(&node, find.service, &search, station.as_ref());
        match self.watched(&find.request, found).await {
            Ok(Ok(items)) => {
                let identifier = |item: &Item| search.identifier(item);
                self.answer(context, &find.request, search.pending, &items, identifier).await
            }
            Ok(Err(error)) => self.respond(context, &failed(&find.request, &error)).await,
            Err(interrupt) => self.interrupted(context, &find.request, interrupt).await,
        }
    }

    /// What the archive finds, unless the request is cancelled before.
    async fn watched<T>(&mut self, request: &CommandSet, search: impl Future<Output = T>) -> Result<T, Interrupt> {
        tokio::select! {
            biased;
            interrupt = watch(&mut self.wire, &mut self.backlog, request) => Err(interrupt),
            found = search => Ok(found),
        }
    }

    async fn answer<T: Sync>(
        &mut self,
        context: u8,
        request: &CommandSet,
        pending: u16,
        rows: &[T],
        identifier: impl Fn(&T) -> Bytes + Send + Sync,
    ) -> Option<Event> {
        let send_max = self.association.as_ref()?.agreement.send_max;
        let max_results = self.node.config.max_find_results as usize;
        let match_command = CommandSet { has_data_set: true, ..request.response(pending) };
        for batch in rows.get(..max_results).unwrap_or(rows).chunks(BATCH) {
            tokio::select! {
                biased;
                interrupt = watch(&mut self.wire, &mut self.backlog, request) => {
                    return self.interrupted(context, request, interrupt).await;
                }
                () = future::ready(()) => {}
            }
            let mut out = Vec::new();
            for row in batch {
                message::write(&mut out, context, &match_command, Some(&identifier(row)), send_max);
            }
            if let Some(ended) = self.send(&out).await {
                return Some(ended);
            }
        }
        tracing::info!(matches = rows.len().min(max_results), "query answered");
        self.respond(context, &last(request, rows.len() > max_results, max_results)).await
    }

    async fn interrupted(&mut self, context: u8, request: &CommandSet, interrupt: Interrupt) -> Option<Event> {
        match interrupt {
            Interrupt::Cancelled => {
                tracing::info!("query cancelled");
                self.respond(context, &request.response(status::CANCELLED)).await
            }
            Interrupt::Ended(event) => Some(event),
        }
    }

    async fn audit_query(&self, detail: String) {
        let Some(association) = &self.association else { return };
        self.audit(AuditRecord {
            at: 0,
            action: AuditAction::Query,
            actor: association.calling.to_string(),
            origin: association.address.clone(),
            success: true,
            study: None,
            detail: format!("{detail}{}", self.shown()),
        })
        .await;
    }
}

/// The items that match; of the worklist, where `station` is given, only its steps.
async fn items_found(
    node: &Node,
    service: Service,
    search: &items::Search,
    station: Option<&AeTitle>,
) -> Result<Vec<Item>, ArchiveError> {
    // One more than may be answered, to know that there are more.
    let limit = node.config.max_find_results as usize + 1;
    if service == Service::Workitems {
        let workitems = node.archive.find_workitems(&search.query, limit).await?;
        return Ok(workitems.into_iter().map(|workitem| workitem.item).collect());
    }
    let steps = node.archive.find_steps(&search.query, station.map(AeTitle::as_str), limit).await?;
    Ok(steps.into_iter().map(|step| step.item).collect())
}

/// The response without identifier that ends a query.
///
/// PS3.4 Table C.4-1 has no warning for a cut answer; success would say that this is all there is. So it is Refused: Out
/// of Resources, whose matches sent before are valid.
fn last(request: &CommandSet, is_cut: bool, max_results: usize) -> CommandSet {
    if !is_cut {
        return request.response(status::SUCCESS);
    }
    request.response(status::OUT_OF_RESOURCES).with_comment(&format!("more than {max_results} matches"))
}

pub(super) fn failed(request: &CommandSet, error: &ArchiveError) -> CommandSet {
    tracing::error!(%error, "query failed");
    // Processing Failure, 0110H, is no status of C-FIND, C-GET or C-MOVE; Unable to Process is.
    let status = match error.failure() {
        Failure::Internal => Failure::CannotUnderstand.dimse(),
        failure => failure.dimse(),
    };
    request.response(status).with_comment("the archive could not be searched")
}

/// Reads on until `request` is cancelled or the association ends. Anything else is left to be handled after the answers,
/// and stops the reading, so that a peer cannot fill our memory.
pub(super) async fn watch<S: Transport>(
    wire: &mut Wire<S>,
    backlog: &mut VecDeque<Event>,
    request: &CommandSet,
) -> Interrupt {
    while backlog.is_empty() {
        match wire.receive(None).await {
            Received::Pdu(pdu @ Pdu::Abort(_)) => return Interrupt::Ended(Event::Received(pdu)),
            Received::Pdu(pdu) => match cancelled(&pdu) {
                Some(id) if Some(id) == request.message_id => return Interrupt::Cancelled,
                Some(_) => {}
                None => backlog.push_back(Event::Received(pdu)),
            },
            Received::Fault(fault) => return Interrupt::Ended(Event::Unreadable(fault)),
            Received::Closed(_) => return Interrupt::Ended(Event::TransportClosed),
            Received::Expired => return Interrupt::Ended(Event::Abort(Abort::NOT_SPECIFIED)),
        }
    }
    future::pending().await
}

/// The Message ID that a PDU cancels.
fn cancelled(pdu: &Pdu) -> Option<u16> {
    let Pdu::Data(values) = pdu else { return None };
    let [value] = values.as_slice() else { return None };
    let command = (value.is_command && value.is_last).then(|| CommandSet::parse(&value.data).ok()).flatten()?;
    (command.command_field == field::C_CANCEL_RQ).then_some(command.message_id_being_responded_to).flatten()
}
