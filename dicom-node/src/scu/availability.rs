//! Instance Availability Notification as user (PS3.4 Annex R).

use super::{Remote, Requestor, ScuError, requested};
use crate::{
    dimse::{CommandSet, command::field},
    scp::identifier::Fields,
};
use pacs_core::Uid;

/// Instance Availability Notification (PS3.4 Annex R).
pub const INSTANCE_AVAILABILITY_NOTIFICATION: &str = "1.2.840.10008.5.1.4.33";

/// Tells a peer which instances can be fetched: N-CREATE of a notification with this UID.
pub async fn notify_availability(remote: &Remote, sop_instance: Uid, fields: Fields) -> Result<(), ScuError> {
    let proposed = requested(INSTANCE_AVAILABILITY_NOTIFICATION, false);
    let association = Requestor::open(remote, &proposed).await?;
    let request = CommandSet {
        command_field: field::N_CREATE_RQ,
        affected_sop_class_uid: Some(INSTANCE_AVAILABILITY_NOTIFICATION.to_owned()),
        affected_sop_instance_uid: Some(sop_instance.into()),
        has_data_set: true,
        ..CommandSet::default()
    };
    association.ask(request, fields, "availability notifications").await
}
