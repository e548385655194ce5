//! A DICOM client that can have several operations under way, to measure what no tool of a peer can ask for.

use crate::Subject;
use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use dicom_node::{
    dimse::{Assembler, CommandSet, Part, command::field, message, status},
    pdu::{self, APPLICATION_CONTEXT, AssociateRq, Pdu, ProposedContext, UserInformation},
};
use pacs_core::{
    part10::read_meta,
    sop_class::{CT_IMAGE_STORAGE, STUDY_ROOT_FIND, VERIFICATION},
    transfer_syntax::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN},
};
use std::{
    collections::VecDeque,
    io::{Cursor, Read, Write},
    net::TcpStream,
};

const ECHO: u8 = 1;
const FIND: u8 = 3;
const STORE: u8 = 5;

/// A CT instance in explicit VR little endian, ready to be sent.
#[derive(Clone)]
pub struct Instance {
    uid: String,
    data_set: Bytes,
}

impl Instance {
    pub fn of(file: &[u8]) -> anyhow::Result<Self> {
        let meta = read_meta(&mut Cursor::new(file))?;
        let uid = meta.media_storage_sop_instance_uid.context("a SOP Instance UID")?.to_string();
        let data_set = Bytes::copy_from_slice(file.get(meta.data_set_offset as usize..).unwrap_or_default());
        Ok(Self { uid, data_set })
    }
}

/// An open association.
pub struct Requestor {
    stream: TcpStream,
    buffer: BytesMut,
    ready: VecDeque<Part>,
    assembler: Assembler,
    send_max: u32,
    last_message_id: u16,
    /// Operations that may be under way.
    window: usize,
}

impl Requestor {
    /// Opens an association and asks for a window of so many operations.
    pub fn open(subject: &Subject, window: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", subject.dicom))?;
        stream.set_nodelay(true)?;
        let (buffer, ready, assembler) = (BytesMut::new(), VecDeque::new(), Assembler::default());
        let mut own = Self { stream, buffer, ready, assembler, send_max: 0, last_message_id: 0, window: 1 };
        own.stream.write_all(&Pdu::AssociateRq(Box::new(request(subject.aet, window))).to_bytes())?;
        let Pdu::AssociateAc(ac) = own.pdu()? else { bail!("{} accepts no association", subject.name) };
        own.send_max = if ac.user.max_length == 0 { 1 << 17 } else { ac.user.max_length };
        own.window = ac.user.asynchronous_operations.map_or(1, |(invoked, _)| usize::from(invoked.max(1)));
        Ok(own)
    }

    /// Stores all; an instance that is not a success is an error.
    pub fn store(&mut self, instances: &[Instance]) -> anyhow::Result<()> {
        let mut under_way = 0;
        for instance in instances {
            if under_way == self.window {
                self.stored()?;
                under_way -= 1;
            }
            let request = CommandSet {
                affected_sop_instance_uid: Some(instance.uid.clone()),
                ..self.command(field::C_STORE_RQ, CT_IMAGE_STORAGE)
            };
            self.send(STORE, &request, Some(&instance.data_set))?;
            under_way += 1;
        }
        for _ in 0..under_way {
            self.stored()?;
        }
        Ok(())
    }

    pub fn echo(&mut self) -> anyhow::Result<()> {
        let request = CommandSet { has_data_set: false, ..self.command(field::C_ECHO_RQ, VERIFICATION) };
        self.send(ECHO, &request, None)?;
        self.stored()
    }

    /// Asks with an identifier in implicit VR little endian; returns the number of matches.
    pub fn find(&mut self, identifier: &Bytes) -> anyhow::Result<usize> {
        let request = self.command(field::C_FIND_RQ, STUDY_ROOT_FIND);
        self.send(FIND, &request, Some(identifier))?;
        let mut matches = 0;
        loop {
            match self.answer()?.status {
                Some(status::SUCCESS) => return Ok(matches),
                Some(status::PENDING | status::PENDING_WITHOUT_SOME_KEYS) => matches += 1,
                other => bail!("C-FIND ended with {other:04X?}"),
            }
        }
    }

    pub fn release(mut self) -> anyhow::Result<()> {
        self.stream.write_all(&Pdu::ReleaseRq.to_bytes())?;
        self.pdu().map(drop)
    }

    fn command(&mut self, command_field: u16, class: &str) -> CommandSet {
        self.last_message_id = self.last_message_id.wrapping_add(1);
        CommandSet {
            command_field,
            affected_sop_class_uid: Some(class.to_owned()),
            message_id: Some(self.last_message_id),
            priority: Some(0),
            has_data_set: true,
            ..CommandSet::default()
        }
    }

    fn send(&mut self, context: u8, command: &CommandSet, data_set: Option<&Bytes>) -> anyhow::Result<()> {
        let mut out = Vec::new();
        message::write(&mut out, context, command, data_set, self.send_max);
        Ok(self.stream.write_all(&out)?)
    }

    fn stored(&mut self) -> anyhow::Result<()> {
        match self.answer()?.status {
            Some(status::SUCCESS) => Ok(()),
            other => bail!("answered with status {other:04X?}"),
        }
    }

    /// The next response; data sets are passed over.
    fn answer(&mut self) -> anyhow::Result<CommandSet> {
        loop {
            while let Some(part) = self.ready.pop_front() {
                if let Part::Command { command, .. } = part {
                    return Ok(*command);
                }
            }
            let Pdu::Data(values) = self.pdu()? else { bail!("something else than a response came") };
            for value in values {
                self.ready.extend(self.assembler.push(value, |_| true)?);
            }
        }
    }

    fn pdu(&mut self) -> anyhow::Result<Pdu> {
        let mut chunk = [0; 16 << 10];
        loop {
            if let Some(pdu) = pdu::take(&mut self.buffer, u32::MAX)? {
                return Ok(pdu);
            }
            match self.stream.read(&mut chunk)? {
                0 => bail!("the connection was closed"),
                len => self.buffer.extend_from_slice(chunk.get(..len).unwrap_or_default()),
            }
        }
    }
}

fn request(called: &str, window: u16) -> AssociateRq {
    let context = |(id, class, syntax): (u8, &str, &str)| ProposedContext {
        id,
        abstract_syntax: class.to_owned(),
        transfer_syntaxes: vec![syntax.to_owned()],
    };
    let contexts = [
        (ECHO, VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN),
        (FIND, STUDY_ROOT_FIND, IMPLICIT_VR_LITTLE_ENDIAN),
        (STORE, CT_IMAGE_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN),
    ];
    AssociateRq {
        protocol_version: 1,
        called: called.to_owned(),
        calling: "BENCH".to_owned(),
        application_context: APPLICATION_CONTEXT.to_owned(),
        contexts: contexts.map(context).into(),
        user: UserInformation {
            max_length: 128 << 10,
            implementation_class_uid: "1.2.3".to_owned(),
            asynchronous_operations: (window > 1).then_some((window, 1)),
            ..UserInformation::default()
        },
    }
}
