//! Storage commitment over an association: the request is kept and answered, and the report may come out the same way.

use super::Session;
use crate::{
    asking,
    association::{machine::Event, supported::Service},
    commitment::{self, Delivery},
    dimse::{CommandSet, command::field, message, status},
    scp::commitment::{Commitment, EventReport},
    wire::Transport,
};
use pacs_core::{Failure, transfer_syntax::Encoding};
use std::sync::Arc;
use storage::{AuditAction, AuditRecord};
use tokio::sync::{mpsc, oneshot};

/// Reports that go out over an association, and the answer that is waited for.
#[derive(Default)]
pub(super) struct Reports {
    /// `None` until somebody asks for commitment.
    pub(super) coming: Option<mpsc::Receiver<Delivery>>,
    waiting: Option<(u16, oneshot::Sender<u16>)>,
    last_message_id: u16,
}

impl Reports {
    /// The next report; for ever if there is none, or one waits for its answer.
    pub(super) async fn next(&mut self) -> Delivery {
        match &mut self.coming {
            Some(coming) if self.waiting.is_none() => match coming.recv().await {
                Some(delivery) => delivery,
                None => std::future::pending().await,
            },
            _ => std::future::pending().await,
        }
    }

    /// Whether a response is the answer to a report; whoever waits for it is told.
    pub(super) fn take_answer(&mut self, response: &CommandSet) -> bool {
        let is_it = |(id, _): &mut (u16, oneshot::Sender<u16>)| {
            response.command_field == field::N_EVENT_REPORT_RSP && response.message_id_being_responded_to == Some(*id)
        };
        let Some((_, answered)) = self.waiting.take_if(is_it) else { return false };
        // Who waited too long has gone.
        let _ = answered.send(response.status.unwrap_or(Failure::CannotUnderstand.dimse()));
        true
    }
}

impl<S: Transport> Session<S> {
    /// Answers a request for commitment; an event ends the association.
    pub(super) async fn commit(&mut self, context: u8, commitment: &Commitment) -> Option<Event> {
        let node = Arc::clone(&self.node);
        let transaction = match commitment.read() {
            Ok(transaction) => transaction,
            Err(refusal) => {
                tracing::warn!(reason = refusal.comment, "request for storage commitment refused");
                return self.respond(context, &refusal.response(&commitment.request)).await;
            }
        };
        let count = transaction.references.len();
        let association = self.association.as_mut()?;
        let calling = association.calling.clone();
        // First: the work may be done before we have answered.
        association.reports.coming.get_or_insert_with(|| node.requesters.open(&calling));
        if let Err(error) = commitment::ask(&node, &calling, transaction).await {
            tracing::error!(%error, "a request for storage commitment was not kept");
            return self.respond(context, &commitment.request.response(error.failure().dimse())).await;
        }
        self.audit(AuditRecord {
            at: 0,
            action: AuditAction::Query,
            actor: calling.to_string(),
            origin: self.association.as_ref()?.address.clone(),
            success: true,
            study: None,
            detail: format!("storage commitment of {count} instances"),
        })
        .await;
        tracing::info!(count, "storage commitment requested");
        self.respond(context, &commitment.request.response(status::SUCCESS)).await
    }

    /// Takes down what the peer says of what we asked of it; an event ends the association.
    pub(super) async fn hear(&mut self, context: u8, report: &EventReport) -> Option<Event> {
        let node = Arc::clone(&self.node);
        let calling = self.association.as_ref()?.calling.clone();
        let heard = match report.read() {
            Ok(heard) => heard,
            Err(refusal) => return self.respond(context, &refusal.response(&report.request)).await,
        };
        let status = match asking::answered(&node, &calling, &heard).await {
            Ok(()) => status::SUCCESS,
            Err(error) => {
                tracing::warn!(%error, "a report of storage commitment is of nothing that we asked of this peer");
                error.failure().dimse()
            }
        };
        self.respond(context, &report.request.response(status)).await
    }

    /// Sends a report; an event ends the association.
    pub(super) async fn report(&mut self, delivery: Delivery) -> Option<Event> {
        let ae_title = self.node.config.ae_title.clone();
        let association = self.association.as_mut()?;
        let mut contexts = association.agreement.contexts.iter();
        let (id, context) = contexts.find(|(_, context)| context.service == Service::Commitment)?;
        let (id, explicit_vr) = (*id, context.transfer_syntax.encoding() == Encoding::ExplicitLittle);
        let reports = &mut association.reports;
        reports.last_message_id = reports.last_message_id.wrapping_add(1);
        let message_id = reports.last_message_id;
        let data_set = delivery.report.data_set(ae_title.as_str(), explicit_vr);
        reports.waiting = Some((message_id, delivery.answered));
        let mut out = Vec::new();
        let request = delivery.report.request(message_id);
        message::write(&mut out, id, &request, Some(&data_set), association.agreement.send_max);
        self.send(&out).await
    }
}
