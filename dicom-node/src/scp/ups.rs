//! Unified Procedure Step (PS3.4 Annex CC): workitems pushed, pulled, performed and watched. What may be done is decided by
//! `pacs_core::ups`; the archive does it.

use super::{
    Caller,
    keys::Refusal,
    normalized::{Answer, Request, failed},
};
use crate::dimse::{CommandSet, command::field, status};
use pacs_core::{
    AeTitle, Item, Uid, tags,
    ups::{State, UPS_EVENT, UPS_PULL, UPS_PUSH, UPS_QUERY, UPS_WATCH, UpsError, Warning},
};
use storage::{ArchiveError, Notification, Subscription, Way};

/// All of the service class: a workitem is of the first, and some peers name the one they negotiated.
const CLASSES: [&str; 5] = [UPS_PUSH, UPS_WATCH, UPS_PULL, UPS_EVENT, UPS_QUERY];

/// Action Type IDs (PS3.4 Tables CC.2.1-1, CC.2.2-1, CC.2.3-1).
const CHANGE_STATE: u16 = 1;
const REQUEST_CANCEL: u16 = 2;
const SUBSCRIBE: u16 = 3;
const UNSUBSCRIBE: u16 = 4;
const SUSPEND: u16 = 5;

/// Does what is asked and tells how that went.
pub async fn answer(caller: &Caller<'_>, request: &Request) -> Answer {
    let done = match request.command.command_field {
        field::N_CREATE_RQ => create(caller, request).await,
        field::N_SET_RQ => set(caller, request).await,
        field::N_GET_RQ => get(caller, request).await,
        _ => act(caller, request).await,
    };
    done.unwrap_or_else(|Refused(refusal)| {
        tracing::warn!(reason = refusal.comment, "workitem request refused");
        Answer { response: refusal.response(&request.command), item: None }
    })
}

struct Refused(Refusal);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<UpsError> for Refused {
    fn from(error: UpsError) -> Self {
        Self(Refusal::new(error.status(), &error.to_string()))
    }
}

impl From<ArchiveError> for Refused {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Workitem(error) => error.into(),
            error => Self(failed(&error)),
        }
    }
}

/// Refuses what is not of the SOP Class that was negotiated (PS3.4 Table CC.2-1).
fn is_by(request: &Request, sop_classes: &[&str]) -> Result<(), Refused> {
    request.is_of(&CLASSES)?;
    if sop_classes.contains(&request.sop_class.as_str()) {
        return Ok(());
    }
    Err(Refusal::new(status::UNRECOGNIZED_OPERATION, "not an operation of this SOP Class").into())
}

fn done(request: &Request, warning: Option<Warning>) -> Answer {
    request.answer(warning.map_or(status::SUCCESS, Warning::status))
}

async fn create(caller: &Caller<'_>, request: &Request) -> Result<Answer, Refused> {
    is_by(request, &[UPS_PUSH])?;
    let sop_instance = request.sop_instance()?.unwrap_or_else(|| Uid::from_uuid(rand::random()));
    let (by, origin) = (caller.calling.as_str(), caller.address);
    let warning = caller.archive.create_workitem(by, origin, &sop_instance, request.item()?).await?;
    tracing::info!(%sop_instance, "workitem created");
    let mut answer = done(request, warning);
    answer.response.affected_sop_instance_uid = Some(sop_instance.into());
    Ok(answer)
}

async fn set(caller: &Caller<'_>, request: &Request) -> Result<Answer, Refused> {
    is_by(request, &[UPS_PULL])?;
    let (sop_instance, item) = (request.named_instance()?, request.item()?);
    let warning = caller.archive.update_workitem(caller.calling.as_str(), caller.address, &sop_instance, item).await?;
    Ok(done(request, warning))
}

async fn get(caller: &Caller<'_>, request: &Request) -> Result<Answer, Refused> {
    is_by(request, &[UPS_PUSH, UPS_PULL, UPS_WATCH])?;
    let workitem = caller.archive.workitem(&request.named_instance()?).await?;
    let study = workitem.item.text(tags::STUDY_INSTANCE_UID);
    let study = Some(study.to_owned()).filter(|study| !study.is_empty());
    caller.has_read(format!("workitem {}", workitem.sop_instance), study).await?;
    Ok(request.got(&workitem.item, status::OPTIONAL_ATTRIBUTES))
}

async fn act(caller: &Caller<'_>, request: &Request) -> Result<Answer, Refused> {
    let action = request.command.action_type_id;
    let sop_classes: &[&str] = match action {
        Some(CHANGE_STATE) => &[UPS_PULL],
        Some(REQUEST_CANCEL) => &[UPS_PUSH, UPS_WATCH],
        Some(SUBSCRIBE | UNSUBSCRIBE | SUSPEND) => &[UPS_WATCH],
        _ => return Err(Refusal::new(status::NO_SUCH_ACTION, "Action Type ID is not 1 to 5").into()),
    };
    is_by(request, sop_classes)?;
    let (sop_instance, item) = (request.named_instance()?, request.item()?);
    match action {
        Some(CHANGE_STATE) => change_state(caller, request, &sop_instance, &item).await,
        Some(REQUEST_CANCEL) => {
            let (by, origin) = (caller.calling.as_str(), caller.address);
            let warning = caller.archive.request_workitem_cancel(by, origin, &sop_instance, &item).await?;
            Ok(done(request, warning))
        }
        _ => subscribe(caller, request, sop_instance, item).await,
    }
}

async fn change_state(
    caller: &Caller<'_>,
    request: &Request,
    sop_instance: &Uid,
    item: &Item,
) -> Result<Answer, Refused> {
    let to: State = item.text(tags::PROCEDURE_STEP_STATE).parse()?;
    let transaction = item.text(tags::TRANSACTION_UID);
    let transaction = (!transaction.is_empty()).then(|| transaction.parse::<Uid>()).transpose();
    let transaction = transaction.map_err(|_| UpsError::Transaction)?;
    let (by, origin) = (caller.calling.as_str(), caller.address);
    let warning = caller.archive.change_workitem_state(by, origin, sop_instance, to, transaction.as_ref()).await?;
    tracing::info!(%sop_instance, state = to.as_str(), "workitem state changed");
    Ok(done(request, warning))
}

async fn subscribe(
    caller: &Caller<'_>,
    request: &Request,
    sop_instance: Uid,
    mut item: Item,
) -> Result<Answer, Refused> {
    let receiver: AeTitle = item.text(tags::RECEIVING_AE).parse().map_err(|_| UpsError::UnknownReceiver)?;
    let lock = item.text(tags::DELETION_LOCK) == "TRUE";
    item.remove(tags::RECEIVING_AE);
    item.remove(tags::DELETION_LOCK);
    let subscription = Subscription::of(sop_instance, item);
    let (archive, by, origin) = (caller.archive, caller.calling.as_str(), caller.address);
    match request.command.action_type_id {
        Some(SUBSCRIBE) => {
            // Events go over an association of ours.
            let peers = archive.peers().await?;
            let can_be_called = |peer: &storage::Peer| peer.host.is_some() && peer.port.is_some();
            if !peers.iter().any(|peer| peer.ae_title == receiver && can_be_called(peer)) {
                return Err(UpsError::UnknownReceiver.into());
            }
            archive.subscribe(by, origin, (&receiver, Way::Association), &subscription, lock).await?;
        }
        Some(UNSUBSCRIBE) => archive.unsubscribe(by, origin, &receiver, &subscription).await?,
        _ => archive.suspend_subscription(by, origin, &receiver, &subscription).await?,
    }
    Ok(request.answer(status::SUCCESS))
}

/// The N-EVENT-REPORT of a notification.
pub fn event_report(notification: &Notification) -> CommandSet {
    CommandSet {
        command_field: field::N_EVENT_REPORT_RQ,
        affected_sop_class_uid: Some(UPS_PUSH.to_owned()),
        affected_sop_instance_uid: Some(notification.workitem.to_string()),
        event_type_id: Some(notification.event_type_id),
        has_data_set: true,
        ..CommandSet::default()
    }
}
