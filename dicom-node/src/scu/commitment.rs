//! Storage commitment as user (PS3.4 §J.3): N-ACTION, and the N-EVENT-REPORT that may follow over the same association.

use super::{Remote, Requestor, ScuError, receive_until, requested};
use crate::{
    association::supported::STORAGE_COMMITMENT,
    dimse::{Assembler, CommandSet, Part, command::field, message, status},
    pdu::Pdu,
    scp::{
        commitment::{EventReport, Report, Transaction},
        keys::Refusal,
    },
};
use pacs_core::{TransferSyntax, transfer_syntax::EXPLICIT_VR_LITTLE_ENDIAN};
use std::time::Duration;
use tokio::time::Instant;

/// Asks a peer to answer for instances. Its report, if it comes within `wait`; else it comes over an association of its own.
pub async fn request_commitment(
    remote: &Remote,
    transaction: &Transaction,
    wait: Duration,
) -> Result<Option<Report>, ScuError> {
    let mut association = Requestor::open(remote, &requested(STORAGE_COMMITMENT, false)).await?;
    let Some((context, syntax)) = association.contexts.iter().next().map(|(id, syntax)| (*id, syntax.clone())) else {
        association.release().await?;
        return Err(ScuError::NotTaken("Storage Commitment"));
    };
    let id = association.next_message_id();
    let data_set = transaction.data_set(syntax == EXPLICIT_VR_LITTLE_ENDIAN);
    let mut out = Vec::new();
    message::write(&mut out, context, &transaction.request(id), Some(&data_set), association.send_max);
    association.wire.send(&out).await?;
    match association.response(id).await?.status {
        Some(status::SUCCESS) => {}
        Some(other) => return Err(ScuError::Status(other)),
        None => return Err(ScuError::Protocol("a response without status")),
    }
    let syntax = syntax.parse().map(TransferSyntax::new).map_err(|_| ScuError::Protocol("an odd transfer syntax"))?;
    let Some(report) = association.event_report(context, syntax, Instant::now() + wait).await? else { return Ok(None) };
    // What was asked was answered: how the association ends is no matter.
    drop(association.release().await);
    Ok(Some(report).filter(|report| report.transaction == transaction.uid))
}

impl Requestor {
    /// The report that comes until then, answered; `None` if none does, and the association is at its end.
    async fn event_report(
        &mut self,
        context: u8,
        syntax: TransferSyntax,
        until: Instant,
    ) -> Result<Option<Report>, ScuError> {
        let mut assembler = Assembler::default();
        let mut coming: Option<EventReport> = None;
        loop {
            let values = match receive_until(&mut self.wire, until).await {
                Ok(Pdu::Data(values)) => values,
                Err(ScuError::Silent) => {
                    drop(self.wire.send(&Pdu::ReleaseRq.to_bytes()).await);
                    return Ok(None);
                }
                // Some close as soon as they have answered.
                Ok(_) | Err(ScuError::Closed | ScuError::Broken(_) | ScuError::Aborted(_)) => return Ok(None),
                Err(error) => return Err(error),
            };
            for value in values {
                let part = assembler.push(value, |id| self.contexts.contains_key(&id));
                match part.map_err(|_| ScuError::Protocol("fragments that make no message"))? {
                    Some(Part::Command { command, .. }) if command.command_field == field::N_EVENT_REPORT_RQ => {
                        coming = Some(EventReport::new(*command, syntax.clone()));
                    }
                    Some(Part::Command { .. }) => return Err(ScuError::Protocol("something else than a report")),
                    Some(Part::Data { bytes, is_last }) => {
                        let Some(report) = &mut coming else { continue };
                        report.write(&bytes);
                        if is_last {
                            let read = report.read();
                            self.answer(context, &report.request, read.as_ref().err()).await?;
                            return read.map(Some).map_err(|_| ScuError::Protocol("a report that cannot be read"));
                        }
                    }
                    None => {}
                }
            }
        }
    }

    async fn answer(&mut self, context: u8, request: &CommandSet, refusal: Option<&Refusal>) -> Result<(), ScuError> {
        let response = refusal.map_or_else(|| request.response(status::SUCCESS), |refusal| refusal.response(request));
        let mut out = Vec::new();
        message::write(&mut out, context, &response, None, self.send_max);
        Ok(self.wire.send(&out).await?)
    }
}
