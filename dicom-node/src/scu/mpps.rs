//! Modality Performed Procedure Step as user (PS3.4 §F.7): messages of modalities, told on.

use super::{Remote, Requestor, ScuError, requested};
use crate::{
    dimse::{CommandSet, command::field, status},
    scp::identifier::Fields,
};
use pacs_core::{Uid, mpps::MPPS};

/// Begins a step at a peer (N-CREATE), or changes it (N-SET).
pub async fn tell_step(remote: &Remote, sop_instance: &Uid, begins: bool, fields: Fields) -> Result<(), ScuError> {
    let association = Requestor::open(remote, &requested(MPPS, false)).await?;
    let told = association.ask(request(sop_instance, begins), fields, "performed procedure steps").await;
    match told {
        // Its answer was lost the last time.
        Err(ScuError::Status(status::DUPLICATE_SOP_INSTANCE)) if begins => Ok(()),
        // Attributes that it does not know are its loss.
        Err(ScuError::Status(status::ATTRIBUTE_LIST_ERROR | status::ATTRIBUTE_VALUE_OUT_OF_RANGE)) => Ok(()),
        told => told,
    }
}

fn request(sop_instance: &Uid, begins: bool) -> CommandSet {
    let (class, instance) = (Some(MPPS.to_owned()), Some(sop_instance.to_string()));
    let named = CommandSet { has_data_set: true, ..CommandSet::default() };
    match begins {
        true => CommandSet {
            command_field: field::N_CREATE_RQ,
            affected_sop_class_uid: class,
            affected_sop_instance_uid: instance,
            ..named
        },
        false => CommandSet {
            command_field: field::N_SET_RQ,
            requested_sop_class_uid: class,
            requested_sop_instance_uid: instance,
            ..named
        },
    }
}
