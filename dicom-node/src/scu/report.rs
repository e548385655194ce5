//! N-EVENT-REPORT over an association of our own (PS3.4 §J.3.3, §CC.2.4): we open it, and stay SCP.

use super::{Remote, Requestor, ScuError, requested};
use crate::{
    dimse::{CommandSet, message, status},
    pdu::RoleSelection,
    scp::identifier::{Fields, write},
};
use pacs_core::{character_set::CharacterSet, transfer_syntax::EXPLICIT_VR_LITTLE_ENDIAN};

/// What is reported.
pub struct EventReport {
    /// The SOP Class to negotiate.
    pub sop_class: &'static str,
    /// The N-EVENT-REPORT; its Message ID is given here.
    pub request: CommandSet,
    pub fields: Fields,
}

/// Tells a peer what happened; done when it has answered that it has heard.
pub async fn report(remote: &Remote, report: EventReport) -> Result<(), ScuError> {
    let role = RoleSelection { sop_class: report.sop_class.to_owned(), scu: false, scp: true };
    let proposed = requested(report.sop_class, true);
    let association = Requestor::open_as(remote, &proposed, vec![role]).await?;
    association.ask(report.request, report.fields, "event reports").await
}

impl Requestor {
    /// Sends the one request with a data set that the association was opened for, and releases it. `what`, for the error
    /// where the peer did not take it.
    pub(super) async fn ask(mut self, request: CommandSet, fields: Fields, what: &'static str) -> Result<(), ScuError> {
        let Some((context, syntax)) = self.contexts.iter().next().map(|(id, syntax)| (*id, syntax.clone())) else {
            self.release().await?;
            return Err(ScuError::NotTaken(what));
        };
        let id = self.next_message_id();
        let request = CommandSet { message_id: Some(id), ..request };
        let data_set = write(fields, syntax == EXPLICIT_VR_LITTLE_ENDIAN, &CharacterSet::utf_8());
        let mut out = Vec::new();
        message::write(&mut out, context, &request, Some(&data_set), self.send_max);
        self.wire.send(&out).await?;
        let answer = self.response(id).await?;
        self.release().await?;
        match answer.status {
            Some(status::SUCCESS) => Ok(()),
            Some(other) => Err(ScuError::Status(other)),
            None => Err(ScuError::Protocol("a response without status")),
        }
    }
}
