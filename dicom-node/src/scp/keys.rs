//! The identifier of a request, as it comes: kept whole, within bounds, and read when it is complete.

use crate::dimse::{CommandSet, status};
use pacs_core::{
    DataSet, Failure, TransferSyntax,
    data_set::{Limits, scan},
    transfer_syntax::Encoding,
};
use std::io::Cursor;

/// A list of 10,000 UIDs fits.
const MAX_LEN: usize = 1 << 20;

pub struct Keys {
    syntax: TransferSyntax,
    bytes: Vec<u8>,
    is_too_long: bool,
}

/// Why a request is refused: its status and comment.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub comment: String,
}

impl Keys {
    pub fn new(syntax: TransferSyntax) -> Self {
        Self { syntax, bytes: Vec::new(), is_too_long: false }
    }

    /// Takes a piece.
    pub fn write(&mut self, piece: &[u8]) {
        self.is_too_long |= self.bytes.len() + piece.len() > MAX_LEN;
        if !self.is_too_long {
            self.bytes.extend_from_slice(piece);
        }
    }

    pub fn read(&self) -> Result<DataSet, Refusal> {
        if self.is_too_long {
            return Err(Refusal::new(status::OUT_OF_RESOURCES, "identifier is longer than 1 MiB"));
        }
        let limits = Limits { depth: 8, elements: 64 << 10, inflated: MAX_LEN as u64, ..Limits::default() };
        scan(&mut Cursor::new(&self.bytes), &self.syntax, limits)
            .map_err(|error| Refusal::new(Failure::CannotUnderstand.dimse(), &error.to_string()))
    }

    /// Whether it is written in explicit VR, as answers to it are.
    pub fn is_explicit(&self) -> bool {
        self.syntax.encoding() == Encoding::ExplicitLittle
    }
}

impl Refusal {
    pub fn new(status: u16, comment: &str) -> Self {
        Self { status, comment: comment.to_owned() }
    }

    pub fn response(&self, request: &CommandSet) -> CommandSet {
        request.response(self.status).with_comment(&self.comment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_without_end_is_refused_and_not_kept() {
        let mut endless = Keys::new(TransferSyntax::implicit_little());
        for _ in 0..40 {
            endless.write(&[0; 64 << 10]);
        }
        assert!(endless.bytes.len() <= MAX_LEN);
        assert_eq!(endless.read().unwrap_err().status, status::OUT_OF_RESOURCES);
    }
}
