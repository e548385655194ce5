//! P-DATA fragments ↔ messages (PS3.8 Annex E). Data sets pass through fragment by fragment and are never held here.

use super::command::{CommandError, CommandSet};
use crate::pdu::{Abort, Pdu, Pdv};
use bytes::Bytes;

/// A command set of our peers has a few hundred bytes; attribute lists of N-services may add to it.
const MAX_COMMAND: usize = 64 << 10;

/// What a fragment completes or continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A whole command set. A data set follows if it says so.
    Command { context: u8, command: Box<CommandSet> },
    /// A piece of the data set that belongs to the last command.
    Data { bytes: Bytes, is_last: bool },
}

/// Why fragments are no message, and the A-ABORT that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("fragment for presentation context {0}, which was not accepted")]
    Context(u8),
    #[error("command and data fragments are out of order")]
    Order,
    #[error("command set is longer than {MAX_COMMAND} bytes")]
    TooLong,
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl MessageError {
    pub fn abort(&self) -> Abort {
        match self {
            Self::Context(_) => Abort::INVALID_PARAMETER,
            Self::Order => Abort::UNEXPECTED_PARAMETER,
            // The upper layer did its part; it is we who cannot use what it carried.
            Self::TooLong | Self::Command(_) => Abort::USER,
        }
    }
}

/// Puts fragments together, one message at a time.
#[derive(Debug, Default)]
pub struct Assembler {
    state: Assembly,
}

#[derive(Debug, Default)]
enum Assembly {
    #[default]
    Between,
    Command {
        context: u8,
        bytes: Vec<u8>,
    },
    Data {
        context: u8,
    },
}

impl Assembler {
    /// Takes the next fragment; `is_accepted` knows the accepted presentation contexts.
    pub fn push(&mut self, pdv: Pdv, is_accepted: impl Fn(u8) -> bool) -> Result<Option<Part>, MessageError> {
        if !is_accepted(pdv.context) {
            return Err(MessageError::Context(pdv.context));
        }
        match (&mut self.state, pdv.is_command) {
            (Assembly::Between, true) => self.command(Vec::new(), pdv),
            (Assembly::Command { context, bytes }, true) if *context == pdv.context => {
                let bytes = std::mem::take(bytes);
                self.command(bytes, pdv)
            }
            (Assembly::Data { context }, false) if *context == pdv.context => {
                if pdv.is_last {
                    self.state = Assembly::Between;
                }
                Ok(Some(Part::Data { bytes: pdv.data, is_last: pdv.is_last }))
            }
            _ => Err(MessageError::Order),
        }
    }

    fn command(&mut self, mut bytes: Vec<u8>, pdv: Pdv) -> Result<Option<Part>, MessageError> {
        if bytes.len() + pdv.data.len() > MAX_COMMAND {
            return Err(MessageError::TooLong);
        }
        bytes.extend_from_slice(&pdv.data);
        if !pdv.is_last {
            self.state = Assembly::Command { context: pdv.context, bytes };
            return Ok(None);
        }
        let command = CommandSet::parse(&bytes)?;
        self.state = if command.has_data_set { Assembly::Data { context: pdv.context } } else { Assembly::Between };
        Ok(Some(Part::Command { context: pdv.context, command: Box::new(command) }))
    }

    /// Whether a message has begun and is not complete.
    pub fn is_within_message(&self) -> bool {
        !matches!(self.state, Assembly::Between)
    }
}

/// Room that a value's own headers take of a P-DATA-TF: item length, presentation context, message control header.
const PDV_OVERHEAD: usize = 6;
const PDU_HEADER: usize = 6;

/// Appends a whole message as P-DATA-TF PDUs of at most `max_length` bytes, one value in each: some peers read no more.
pub fn write(out: &mut Vec<u8>, context: u8, command: &CommandSet, data_set: Option<&Bytes>, max_length: u32) {
    let command = Bytes::from(command.to_bytes());
    write_fragments(out, context, true, &command, true, max_length);
    if let Some(data_set) = data_set {
        write_fragments(out, context, false, data_set, true, max_length);
    }
}

fn write_fragments(out: &mut Vec<u8>, context: u8, is_command: bool, bytes: &Bytes, ends: bool, max_length: u32) {
    for (data, is_last) in cut(bytes, ends, max_length) {
        Pdu::Data(vec![Pdv { context, is_command, is_last, data }]).write(out);
    }
}

/// A piece of a data set as fragments, the last one marked so if `ends`: headers, each followed by the bytes that it is of,
/// which are not copied.
pub fn fragments(context: u8, bytes: &Bytes, ends: bool, max_length: u32) -> impl Iterator<Item = Bytes> {
    cut(bytes, ends, max_length).flat_map(move |(data, is_last)| {
        let mut header = Vec::with_capacity(PDU_HEADER + PDV_OVERHEAD);
        Pdu::Data(vec![Pdv { context, is_command: false, is_last, data: Bytes::new() }]).write(&mut header);
        let [pdu, value] = [PDV_OVERHEAD, PDV_OVERHEAD - 4].map(|around| (data.len() + around) as u32);
        header[2..PDU_HEADER].copy_from_slice(&pdu.to_be_bytes());
        header[PDU_HEADER..PDU_HEADER + 4].copy_from_slice(&value.to_be_bytes());
        [header.into(), data]
    })
}

/// What goes into one P-DATA-TF each, and whether it is the last of its message.
fn cut(bytes: &Bytes, ends: bool, max_length: u32) -> impl Iterator<Item = (Bytes, bool)> {
    let room = (max_length as usize).saturating_sub(PDV_OVERHEAD).max(1);
    let mut rest = Some(bytes.clone());
    std::iter::from_fn(move || {
        let mut following = rest.take()?;
        let data = following.split_to(room.min(following.len()));
        let is_last = ends && following.is_empty();
        rest = Some(following).filter(|following| !following.is_empty());
        Some((data, is_last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dimse::command::field, pdu};
    use bytes::BytesMut;
    use proptest::{collection::vec, prelude::*};

    fn store_rq() -> CommandSet {
        CommandSet {
            command_field: field::C_STORE_RQ,
            message_id: Some(3),
            has_data_set: true,
            ..CommandSet::default()
        }
    }

    fn pdv(context: u8, is_command: bool, is_last: bool, data: &[u8]) -> Pdv {
        Pdv { context, is_command, is_last, data: Bytes::copy_from_slice(data) }
    }

    fn check(pdvs: &[Pdv], expected: Result<Option<Part>, MessageError>) {
        let mut assembler = Assembler::default();
        let results: Vec<_> = pdvs.iter().map(|pdv| assembler.push(pdv.clone(), |id| id == 1)).collect();
        assert_eq!(results.last(), Some(&expected));
    }

    #[test]
    fn pieces_that_are_not_copied_are_the_pdus_that_would_have_been_written() {
        for (len, max_length, ends) in
            [(0, 16, true), (10, 16, true), (11, 16, false), (30, 16, true), (30, 16 << 10, false)]
        {
            let bytes = Bytes::from((0..len).collect::<Vec<u8>>());
            let mut written = Vec::new();
            write_fragments(&mut written, 3, false, &bytes, ends, max_length);
            assert_eq!(
                fragments(3, &bytes, ends, max_length).collect::<Vec<_>>().concat(),
                written,
                "{len} of {max_length}"
            );
        }
    }

    #[test]
    fn fragments_out_of_order_or_of_another_context_are_refused() {
        let command = store_rq().to_bytes();
        check(&[pdv(3, true, true, &command)], Err(MessageError::Context(3)));
        check(&[pdv(1, false, true, &[])], Err(MessageError::Order));
        check(&[pdv(1, true, true, &command), pdv(1, true, true, &command)], Err(MessageError::Order));
        check(&[pdv(1, true, false, &[]), pdv(1, false, true, &[])], Err(MessageError::Order));
    }

    #[test]
    fn a_command_set_without_end_is_refused() {
        let endless = vec![pdv(1, true, false, &[0; 40_000]); 2];
        check(&endless, Err(MessageError::TooLong));
    }

    proptest! {
        #[test]
        fn a_message_cut_into_any_fragments_comes_back(data in vec(any::<u8>(), 0..2000), max_length in 7u32..400) {
            let mut bytes = Vec::new();
            write(&mut bytes, 1, &store_rq(), Some(&Bytes::from(data.clone())), max_length);
            let (mut buffer, mut assembler, mut back) = (BytesMut::from(bytes.as_slice()), Assembler::default(), vec![]);
            while let Some(Pdu::Data(values)) = pdu::take(&mut buffer, max_length).unwrap() {
                for pdv in values {
                    match assembler.push(pdv, |id| id == 1).unwrap() {
                        Some(Part::Command { context, command }) => prop_assert_eq!((context, *command), (1, store_rq())),
                        Some(Part::Data { bytes, .. }) => back.extend_from_slice(&bytes),
                        None => {}
                    }
                }
            }
            prop_assert!(buffer.is_empty() && !assembler.is_within_message());
            prop_assert_eq!(back, data);
        }

        #[test]
        fn any_fragments_are_parts_or_errors(pdvs in vec((0u8..4, any::<bool>(), any::<bool>(), vec(any::<u8>(), 0..40)), 0..20)) {
            let mut assembler = Assembler::default();
            for (context, is_command, is_last, data) in pdvs {
                let _ = assembler.push(pdv(context, is_command, is_last, &data), |id| id < 3);
            }
        }
    }
}
