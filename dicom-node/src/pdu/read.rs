//! Bytes → PDU. Every length is checked against the bytes at hand before it is used.

use super::{
    Abort, AssociateAc, AssociateRj, AssociateRq, ContextOutcome, ContextResult, ExtendedNegotiation, HEADER_LEN,
    MAX_ASSOCIATE_LEN, MAX_CONTEXTS, Pdu, Pdv, ProposedContext, RoleSelection, UserIdentity, UserInformation,
};
use bytes::{Buf, Bytes, BytesMut};

/// Why bytes are no PDU, and the A-ABORT that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Fault {
    pub what: &'static str,
    pub abort: Abort,
}

const fn invalid(what: &'static str) -> Fault {
    Fault { what, abort: Abort::INVALID_PARAMETER }
}

/// Takes the first PDU off `buffer`; `None` when it is not complete yet.
///
/// Type and length are judged as soon as the header is there: a PDU of unknown type, or longer than it may be, is
/// refused before its bytes are waited for. `max_length` bounds the variable field of P-DATA-TF.
pub fn take(buffer: &mut BytesMut, max_length: u32) -> Result<Option<Pdu>, Fault> {
    let Some(&[kind, _, a, b, c, d]) = buffer.first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let len = u32::from_be_bytes([a, b, c, d]);
    let limit = match kind {
        1 | 2 => MAX_ASSOCIATE_LEN,
        4 => max_length,
        3 | 5..=7 => 4,
        _ => return Err(Fault { what: "PDU type is not known", abort: Abort::UNRECOGNIZED_PDU }),
    };
    if len > limit {
        return Err(invalid("PDU is longer than agreed"));
    }
    let total = HEADER_LEN + len as usize;
    if buffer.len() < total {
        return Ok(None);
    }
    let mut whole = buffer.split_to(total).freeze();
    whole.advance(HEADER_LEN);
    parse(kind, whole).map(Some)
}

/// Reads the variable field of a PDU of type `kind`.
pub fn parse(kind: u8, body: Bytes) -> Result<Pdu, Fault> {
    let body = Cursor(body);
    match kind {
        1 => associate_rq(body).map(|rq| Pdu::AssociateRq(Box::new(rq))),
        2 => associate_ac(body).map(|ac| Pdu::AssociateAc(Box::new(ac))),
        3 => body.fixed().map(|[_, result, source, reason]| Pdu::AssociateRj(AssociateRj { result, source, reason })),
        4 => data(body),
        5 => body.fixed().map(|_| Pdu::ReleaseRq),
        6 => body.fixed().map(|_| Pdu::ReleaseRp),
        7 => body.fixed().map(|[_, _, source, reason]| Pdu::Abort(Abort { source, reason })),
        _ => Err(Fault { what: "PDU type is not known", abort: Abort::UNRECOGNIZED_PDU }),
    }
}

fn associate_rq(mut body: Cursor) -> Result<AssociateRq, Fault> {
    let (protocol_version, called, calling) = associate_head(&mut body)?;
    let mut rq = AssociateRq {
        protocol_version,
        called,
        calling,
        application_context: String::new(),
        contexts: Vec::new(),
        user: UserInformation::default(),
    };
    while let Some((kind, item)) = body.item()? {
        match kind {
            0x10 => rq.application_context = item.uid()?,
            0x20 => rq.contexts.push(proposed_context(item)?),
            0x50 => rq.user = user_information(item)?,
            // An item that we do not know is for a later edition of the standard to explain.
            _ => {}
        }
        at_most_128(rq.contexts.len())?;
    }
    Ok(rq)
}

fn associate_ac(mut body: Cursor) -> Result<AssociateAc, Fault> {
    let (_, called, calling) = associate_head(&mut body)?;
    let mut ac = AssociateAc { called, calling, contexts: Vec::new(), user: UserInformation::default() };
    while let Some((kind, item)) = body.item()? {
        match kind {
            0x21 => ac.contexts.push(context_result(item)?),
            0x50 => ac.user = user_information(item)?,
            _ => {}
        }
        at_most_128(ac.contexts.len())?;
    }
    Ok(ac)
}

fn at_most_128(contexts: usize) -> Result<(), Fault> {
    if contexts > MAX_CONTEXTS { Err(invalid("more than 128 presentation contexts")) } else { Ok(()) }
}

/// Protocol version, called and calling AE title.
fn associate_head(body: &mut Cursor) -> Result<(u16, String, String), Fault> {
    let version = body.u16()?;
    body.take(2)?;
    let (called, calling) = (ascii(&body.take(16)?), ascii(&body.take(16)?));
    body.take(32)?;
    Ok((version, called, calling))
}

fn proposed_context(mut item: Cursor) -> Result<ProposedContext, Fault> {
    let id = item.u8()?;
    item.take(3)?;
    let mut context = ProposedContext { id, abstract_syntax: String::new(), transfer_syntaxes: Vec::new() };
    while let Some((kind, sub)) = item.item()? {
        match kind {
            0x30 => context.abstract_syntax = sub.uid()?,
            0x40 => context.transfer_syntaxes.push(sub.uid()?),
            _ => {}
        }
    }
    Ok(context)
}

fn context_result(mut item: Cursor) -> Result<ContextResult, Fault> {
    let id = item.u8()?;
    item.take(1)?;
    let outcome = match item.u8()? {
        0 => ContextOutcome::Acceptance,
        1 => ContextOutcome::UserRejection,
        3 => ContextOutcome::AbstractSyntaxNotSupported,
        4 => ContextOutcome::TransferSyntaxesNotSupported,
        _ => ContextOutcome::NoReason,
    };
    item.take(1)?;
    let mut transfer_syntax = String::new();
    while let Some((kind, sub)) = item.item()? {
        // Of a context that is not accepted the sub-item is not significant, and seen empty.
        if kind == 0x40 && outcome == ContextOutcome::Acceptance {
            transfer_syntax = sub.uid()?;
        }
    }
    Ok(ContextResult { id, outcome, transfer_syntax })
}

fn user_information(mut item: Cursor) -> Result<UserInformation, Fault> {
    let mut user = UserInformation::default();
    while let Some((kind, mut sub)) = item.item()? {
        match kind {
            0x51 => user.max_length = sub.u32()?,
            0x52 => user.implementation_class_uid = sub.uid()?,
            0x53 => user.asynchronous_operations = Some((sub.u16()?, sub.u16()?)),
            0x54 => user.roles.push(role_selection(sub)?),
            0x55 => user.implementation_version_name = ascii(&sub.0),
            0x56 => user.extended.push(extended_negotiation(sub)?),
            0x58 => user.identity = Some(user_identity(sub)?),
            0x59 => user.identity_confirmed = true,
            _ => {}
        }
        if user.roles.len().max(user.extended.len()) > MAX_CONTEXTS {
            return Err(invalid("more negotiation items than presentation contexts can be"));
        }
    }
    Ok(user)
}

fn role_selection(mut sub: Cursor) -> Result<RoleSelection, Fault> {
    let sop_class = sub.counted()?.uid()?;
    Ok(RoleSelection { sop_class, scu: sub.u8()? != 0, scp: sub.u8()? != 0 })
}

fn extended_negotiation(mut sub: Cursor) -> Result<ExtendedNegotiation, Fault> {
    let sop_class = sub.counted()?.uid()?;
    Ok(ExtendedNegotiation { sop_class, information: sub.0 })
}

fn user_identity(mut sub: Cursor) -> Result<UserIdentity, Fault> {
    let (kind, response_requested) = (sub.u8()?, sub.u8()? != 0);
    let (primary, secondary) = (sub.counted()?.0, sub.counted()?.0);
    Ok(UserIdentity { kind, response_requested, primary, secondary })
}

fn data(mut body: Cursor) -> Result<Pdu, Fault> {
    let mut values = Vec::new();
    while !body.0.is_empty() {
        let len = body.u32()?;
        let mut value = Cursor(body.take(len as usize)?);
        let (context, header) = (value.u8()?, value.u8()?);
        values.push(Pdv { context, is_command: header & 1 != 0, is_last: header & 2 != 0, data: value.0 });
    }
    if values.is_empty() { Err(invalid("P-DATA-TF without a value")) } else { Ok(Pdu::Data(values)) }
}

/// What is left to read of a field.
struct Cursor(Bytes);

impl Cursor {
    fn take(&mut self, len: usize) -> Result<Bytes, Fault> {
        if len > self.0.len() {
            Err(invalid("a length in the PDU points past its end"))
        } else {
            Ok(self.0.split_to(len))
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(N)?.as_ref().try_into().map_err(|_| invalid("field is too short"))
    }

    fn u8(&mut self) -> Result<u8, Fault> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    /// A field after its 16-bit length.
    fn counted(&mut self) -> Result<Cursor, Fault> {
        let len = self.u16()?;
        self.take(len.into()).map(Cursor)
    }

    /// The next item or sub-item: type, reserved byte, 16-bit length, content.
    fn item(&mut self) -> Result<Option<(u8, Cursor)>, Fault> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let [kind, _] = self.array()?;
        Ok(Some((kind, self.counted()?)))
    }

    /// The whole content as UID text. Its components are not judged here: an odd UID makes a context unsupported, it
    /// does not end the association.
    fn uid(self) -> Result<String, Fault> {
        let text = ascii(&self.0);
        if text.len() > 64 { Err(invalid("a UID is longer than 64 characters")) } else { Ok(text) }
    }

    /// The whole content of a PDU without variable part.
    fn fixed(mut self) -> Result<[u8; 4], Fault> {
        self.array()
    }
}

/// Text of ISO 646 without padding.
fn ascii(bytes: &[u8]) -> String {
    let visible = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' };
    let text: String = bytes.split(|byte| *byte == 0).next().unwrap_or_default().iter().map(visible).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(bytes: &[u8]) -> Abort {
        take(&mut BytesMut::from(bytes), 1024).expect_err("a fault").abort
    }

    #[test]
    fn an_unknown_type_and_a_length_beyond_the_limit_are_refused_by_the_header_alone() {
        assert_eq!(fault(&[9, 0, 0, 0, 0, 4]), Abort::UNRECOGNIZED_PDU);
        assert_eq!(fault(&[4, 0, 0, 0, 4, 1]), Abort::INVALID_PARAMETER);
        assert_eq!(fault(&[1, 0, 0xFF, 0xFF, 0xFF, 0xFF]), Abort::INVALID_PARAMETER);
        assert_eq!(fault(&[5, 0, 0, 0, 0, 5]), Abort::INVALID_PARAMETER);
    }

    #[test]
    fn a_value_length_that_lies_is_a_fault() {
        assert_eq!(fault(&[4, 0, 0, 0, 0, 6, 0, 0, 0, 200, 1, 3]), Abort::INVALID_PARAMETER);
        assert_eq!(fault(&[4, 0, 0, 0, 0, 5, 0, 0, 0, 1, 1]), Abort::INVALID_PARAMETER);
        assert_eq!(fault(&[4, 0, 0, 0, 0, 0]), Abort::INVALID_PARAMETER);
        assert_eq!(fault(&[1, 0, 0, 0, 0, 2, 0, 1]), Abort::INVALID_PARAMETER);
    }

    #[test]
    fn an_incomplete_pdu_is_waited_for_and_the_next_one_left_in_the_buffer() {
        let release = [5, 0, 0, 0, 0, 4, 0, 0, 0, 0];
        let mut buffer = BytesMut::from(&release[..9]);
        assert_eq!(take(&mut buffer, 1024), Ok(None));
        buffer.extend_from_slice(&release[9..]);
        buffer.extend_from_slice(&release);
        assert_eq!(take(&mut buffer, 1024), Ok(Some(Pdu::ReleaseRq)));
        assert_eq!(buffer.len(), release.len());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_pdu_or_a_fault(kind in 0u8..9, body in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(kind, Bytes::from(body));
        }

        #[test]
        fn any_stream_is_taken_apart_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut buffer = BytesMut::from(bytes.as_slice());
            while let Ok(Some(_)) = take(&mut buffer, 1 << 17) {}
        }

        #[test]
        fn a_request_with_any_items_is_read_or_refused(items in proptest::collection::vec(any::<u8>(), 0..300)) {
            let body = [vec![0; 68], items].concat();
            let _ = parse(1, Bytes::from(body));
        }
    }
}
