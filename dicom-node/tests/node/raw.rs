//! A peer that says whatever bytes a test wants.

use crate::support::Server;
use bytes::{Bytes, BytesMut};
use dicom_node::{
    dimse::{CommandSet, command::field, message},
    pdu::{APPLICATION_CONTEXT, AssociateRq, Pdu, ProposedContext, UserInformation, take},
};
use pacs_core::{
    sop_class::{CT_IMAGE_STORAGE, STUDY_ROOT_FIND, VERIFICATION},
    transfer_syntax::IMPLICIT_VR_LITTLE_ENDIAN,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

/// Presentation contexts of [`request`].
pub const ECHO: u8 = 1;
pub const STORE: u8 = 3;
pub const FIND: u8 = 5;

pub fn request() -> AssociateRq {
    let context = |(id, class): (u8, &str)| ProposedContext {
        id,
        abstract_syntax: class.to_owned(),
        transfer_syntaxes: vec![IMPLICIT_VR_LITTLE_ENDIAN.to_owned()],
    };
    AssociateRq {
        protocol_version: 1,
        called: "YINGHAI".to_owned(),
        calling: "RAW".to_owned(),
        application_context: APPLICATION_CONTEXT.to_owned(),
        contexts: [(ECHO, VERIFICATION), (STORE, CT_IMAGE_STORAGE), (FIND, STUDY_ROOT_FIND)].map(context).into(),
        user: UserInformation { max_length: 16384, ..UserInformation::default() },
    }
}

/// [`request`] as bytes with one more item at the end of the User Information.
pub fn with_user_item(item: &[u8]) -> Vec<u8> {
    let mut bytes = Pdu::AssociateRq(Box::new(request())).to_bytes();
    // User Information is the last item; its length follows its type and a reserved byte.
    let user = bytes.windows(5).rposition(|w| matches!(w, [0x50, 0, 0, _, 0x51])).unwrap();
    bytes[user + 3] += item.len() as u8;
    bytes.extend_from_slice(item);
    let len = (bytes.len() - 6) as u32;
    bytes[2..6].copy_from_slice(&len.to_be_bytes());
    bytes
}

pub async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

/// An association with the contexts of [`request`].
pub async fn associate(server: &Server) -> TcpStream {
    associate_over(connect(server).await).await
}

/// The same over a connection that there is.
pub async fn associate_over<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> S {
    stream.write_all(&Pdu::AssociateRq(Box::new(request())).to_bytes()).await.unwrap();
    assert!(matches!(receive(&mut stream).await, Some(Pdu::AssociateAc(_))));
    stream
}

/// The next PDU; `None` at the end of the connection.
pub async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> Option<Pdu> {
    let mut header = [0; 6];
    stream.read_exact(&mut header).await.ok()?;
    let len = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
    let mut whole = header.to_vec();
    whole.resize(6 + len as usize, 0);
    stream.read_exact(&mut whole[6..]).await.ok()?;
    take(&mut BytesMut::from(whole.as_slice()), 1 << 20).unwrap()
}

/// The next command set.
pub async fn command(stream: &mut (impl AsyncRead + Unpin)) -> Option<CommandSet> {
    loop {
        match receive(stream).await? {
            Pdu::Data(values) if values[0].is_command => return Some(CommandSet::parse(&values[0].data).unwrap()),
            Pdu::Data(_) => {}
            _ => return None,
        }
    }
}

/// A whole message of one command and perhaps a data set.
pub fn message(context: u8, command: &CommandSet, data_set: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    message::write(&mut out, context, command, data_set.map(Bytes::copy_from_slice).as_ref(), 16384);
    out
}

pub fn echo_rq(message_id: u16) -> CommandSet {
    CommandSet {
        command_field: field::C_ECHO_RQ,
        affected_sop_class_uid: Some(VERIFICATION.to_owned()),
        message_id: Some(message_id),
        ..CommandSet::default()
    }
}

pub fn store_rq(sop_instance: &str) -> CommandSet {
    CommandSet {
        command_field: field::C_STORE_RQ,
        affected_sop_class_uid: Some(CT_IMAGE_STORAGE.to_owned()),
        affected_sop_instance_uid: Some(sop_instance.to_owned()),
        message_id: Some(9),
        priority: Some(0),
        has_data_set: true,
        ..CommandSet::default()
    }
}

pub fn find_rq(message_id: u16) -> CommandSet {
    CommandSet {
        command_field: field::C_FIND_RQ,
        affected_sop_class_uid: Some(STUDY_ROOT_FIND.to_owned()),
        message_id: Some(message_id),
        priority: Some(0),
        has_data_set: true,
        ..CommandSet::default()
    }
}

pub fn cancel_rq(message_id: u16) -> CommandSet {
    CommandSet {
        command_field: field::C_CANCEL_RQ,
        message_id_being_responded_to: Some(message_id),
        ..CommandSet::default()
    }
}

/// An identifier in implicit VR little endian.
pub fn identifier(keys: &[(u16, u16, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (group, element, value) in keys {
        let mut value = value.as_bytes().to_vec();
        value.resize(value.len().next_multiple_of(2), b' ');
        out.extend([group.to_le_bytes(), element.to_le_bytes()].concat());
        out.extend((value.len() as u32).to_le_bytes());
        out.extend(value);
    }
    out
}
