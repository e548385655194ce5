//! The body of the fuzz target `association` on bytes that are nearly an association, so that most of them get far.

#[path = "../../tests/fuzz/bodies/association.rs"]
mod association;

use association::converse;
use bytes::Bytes;
use dicom_node::{
    dimse::{CommandSet, command::field, message},
    pdu::{
        APPLICATION_CONTEXT, AssociateRq, ExtendedNegotiation, Pdu, ProposedContext, RoleSelection, UserInformation,
    },
};
use pacs_core::sop_class::{CT_IMAGE_STORAGE, STUDY_ROOT_FIND};
use proptest::{collection::vec, prelude::*, sample::Index};

const IMPLICIT: &str = "1.2.840.10008.1.2";

fn request() -> AssociateRq {
    let context = |(id, class): (u8, &str)| ProposedContext {
        id,
        abstract_syntax: class.to_owned(),
        transfer_syntaxes: vec![IMPLICIT.to_owned()],
    };
    let sop_class = CT_IMAGE_STORAGE.to_owned();
    AssociateRq {
        protocol_version: 1,
        called: "YINGHAI".to_owned(),
        calling: "CT".to_owned(),
        application_context: APPLICATION_CONTEXT.to_owned(),
        contexts: [(1, CT_IMAGE_STORAGE), (3, STUDY_ROOT_FIND)].map(context).into(),
        user: UserInformation {
            max_length: 16384,
            asynchronous_operations: Some((8, 1)),
            roles: vec![RoleSelection { sop_class, scu: true, scp: true }],
            extended: vec![ExtendedNegotiation {
                sop_class: STUDY_ROOT_FIND.to_owned(),
                information: Bytes::from_static(&[1, 1, 1, 1]),
            }],
            ..UserInformation::default()
        },
    }
}

/// An association with a C-STORE of three bytes, a C-FIND by level STUDY, and its release.
fn conversation() -> Vec<u8> {
    let mut bytes = Pdu::AssociateRq(Box::new(request())).to_bytes();
    let command = |command_field, class: &str| CommandSet {
        command_field,
        message_id: Some(1),
        affected_sop_class_uid: Some(class.to_owned()),
        has_data_set: true,
        ..CommandSet::default()
    };
    let keys = b"\x08\x00\x52\x00\x06\x00\x00\x00STUDY \x10\x00\x10\x00\x02\x00\x00\x00W*";
    let store = command(field::C_STORE_RQ, CT_IMAGE_STORAGE);
    message::write(&mut bytes, 1, &store, Some(&Bytes::from_static(b"abc")), 64);
    let find = command(field::C_FIND_RQ, STUDY_ROOT_FIND);
    message::write(&mut bytes, 3, &find, Some(&Bytes::from_static(keys)), 16384);
    bytes.extend(Pdu::ReleaseRq.to_bytes());
    bytes
}

#[test]
fn what_is_right_is_read_to_its_end() {
    converse(&conversation());
}

proptest! {
    #[test]
    fn any_bytes_end_the_association_or_are_read(bytes in vec(any::<u8>(), 0..600)) {
        converse(&bytes);
    }

    #[test]
    fn spoilt_bytes_end_the_association_or_are_read(
        changes in vec((any::<Index>(), any::<u8>()), 0..8),
        cut in any::<Index>(),
        again in any::<Index>(),
    ) {
        let mut bytes = conversation();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let rest = bytes[again.index(bytes.len())..].to_vec();
        bytes.truncate(cut.index(bytes.len()) + 1);
        bytes.extend(rest);
        converse(&bytes);
    }
}
