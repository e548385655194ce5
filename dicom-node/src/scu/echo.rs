//! Verification as user (PS3.4 Annex A).

use super::{Remote, Requestor, ScuError, requested};
use crate::dimse::{CommandSet, command::field, message, status};
use pacs_core::sop_class::VERIFICATION;

/// Asks a peer whether it is there. Every DICOM application answers, so this is the first step when nothing works.
pub async fn echo(remote: &Remote) -> Result<(), ScuError> {
    let mut association = Requestor::open(remote, &requested(VERIFICATION, false)).await?;
    let &context = association.contexts.keys().next().ok_or(ScuError::NotSupported)?;
    let id = association.next_message_id();
    let request = CommandSet {
        command_field: field::C_ECHO_RQ,
        affected_sop_class_uid: Some(VERIFICATION.to_owned()),
        message_id: Some(id),
        ..CommandSet::default()
    };
    let mut out = Vec::new();
    message::write(&mut out, context, &request, None, association.send_max);
    association.wire.send(&out).await?;
    let answer = association.response(id).await?.status.unwrap_or(status::SUCCESS);
    association.release().await?;
    if answer == status::SUCCESS { Ok(()) } else { Err(ScuError::Status(answer)) }
}
