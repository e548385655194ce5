//! Modality Performed Procedure Step (PS3.4 Annex F): N-CREATE and N-SET by who performs it, N-GET by who wants to know.

use super::{
    Caller,
    keys::Refusal,
    normalized::{Answer, Request, failed},
};
use crate::dimse::{command::field, status};
use pacs_core::{
    Uid,
    mpps::{MPPS, MPPS_RETRIEVE},
};
use storage::ArchiveError;

/// Does what is asked and tells how that went.
pub async fn answer(caller: &Caller<'_>, request: &Request) -> Answer {
    let done = match request.command.command_field {
        field::N_CREATE_RQ => create(caller, request).await,
        field::N_SET_RQ => set(caller, request).await,
        _ => get(caller, request).await,
    };
    done.unwrap_or_else(|Refused { refusal, error_id }| {
        tracing::warn!(reason = refusal.comment, "performed procedure step refused");
        let mut response = refusal.response(&request.command);
        response.error_id = error_id;
        Answer { response, item: None }
    })
}

struct Refused {
    refusal: Refusal,
    error_id: Option<u16>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, error_id: None }
    }
}

impl From<ArchiveError> for Refused {
    fn from(error: ArchiveError) -> Self {
        match &error {
            ArchiveError::Performed(why) => {
                let (status, error_id) = why.statuses();
                Self { refusal: Refusal::new(status, &why.to_string()), error_id }
            }
            ArchiveError::Duplicate(_) => Refusal::new(error.failure().dimse(), "this step was created before").into(),
            _ => failed(&error).into(),
        }
    }
}

async fn create(caller: &Caller<'_>, request: &Request) -> Result<Answer, Refused> {
    request.is_of(&[MPPS])?;
    // Who names no instance leaves it to us (PS3.7 §10.1.5.1.4).
    let sop_instance = request.sop_instance()?.unwrap_or_else(|| Uid::from_uuid(rand::random()));
    let item = request.item()?;
    caller.archive.create_performed_step(caller.calling.as_str(), caller.address, &sop_instance, &item).await?;
    tracing::info!(%sop_instance, "performed procedure step begun");
    let mut answer = request.answer(status::SUCCESS);
    answer.response.affected_sop_instance_uid = Some(sop_instance.into());
    Ok(answer)
}

async fn set(caller: &Caller<'_>, request: &Request) -> Result<Answer, Refused> {
    request.is_of(&[MPPS])?;
    let (sop_instance, item) = (request.named_instance()?, request.item()?);
    let (by, origin) = (caller.calling.as_str(), caller.address);
    let kept = caller.archive.modify_performed_step(by, origin, &sop_instance, item).await?;
    tracing::info!(%sop_instance, kept = kept.len(), "performed procedure step changed");
    let status = if kept.is_empty() { status::SUCCESS } else { status::ATTRIBUTE_LIST_ERROR };
    let mut answer = request.answer(status);
    answer.response.attribute_identifier_list = kept;
    Ok(answer)
}

async fn get(caller: &Caller<'_>, request: &Request) -> Result<Answer, Refused> {
    request.is_of(&[MPPS, MPPS_RETRIEVE])?;
    let step = caller.archive.performed_step(&request.named_instance()?).await?;
    let what = format!("performed procedure step {}", step.sop_instance);
    caller.has_read(what, Some(step.study.to_string())).await?;
    Ok(request.got(&step.item, status::ATTRIBUTE_LIST_ERROR))
}
