//! N-EVENT-REPORT over an association of our own (PS3.4 §J.3.3): we open it, and stay SCP.

use super::{Remote, Requestor, ScuError};
use crate::{
    association::supported::STORAGE_COMMITMENT,
    dimse::{message, status},
    pdu::RoleSelection,
    scp::commitment::Report,
};
use pacs_core::transfer_syntax::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN};

/// Tells a requester what became of its request for storage commitment.
pub async fn report(remote: &Remote, report: &Report) -> Result<(), ScuError> {
    let syntaxes = vec![EXPLICIT_VR_LITTLE_ENDIAN.to_owned(), IMPLICIT_VR_LITTLE_ENDIAN.to_owned()];
    let role = RoleSelection { sop_class: STORAGE_COMMITMENT.to_owned(), scu: false, scp: true };
    let proposed = [(STORAGE_COMMITMENT.to_owned(), syntaxes)];
    let mut association = Requestor::open_as(remote, &proposed, vec![role]).await?;
    let Some((context, syntax)) = association.contexts.iter().next().map(|(id, syntax)| (*id, syntax.clone())) else {
        association.release().await?;
        return Err(ScuError::NotTaken("Storage Commitment"));
    };
    let id = association.next_message_id();
    let data_set = report.data_set(remote.calling.as_str(), syntax == EXPLICIT_VR_LITTLE_ENDIAN);
    let mut out = Vec::new();
    message::write(&mut out, context, &report.request(id), Some(&data_set), association.send_max);
    association.wire.send(&out).await?;
    let answer = association.response(id).await?;
    association.release().await?;
    match answer.status {
        Some(status::SUCCESS) => Ok(()),
        Some(other) => Err(ScuError::Status(other)),
        None => Err(ScuError::Protocol("a response without status")),
    }
}
