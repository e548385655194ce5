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
/// What is asked for a whole study, instance by instance: 30,000 of them fit.
const MAX_LONG: usize = 4 << 20;

pub struct Keys {
    syntax: TransferSyntax,
    bytes: Vec<u8>,
    max_len: usize,
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
        Self { syntax, bytes: Vec::new(), max_len: MAX_LEN, is_too_long: false }
    }

    /// As [`Self::new`], with room for a reference to each instance of a large study.
    pub fn long(syntax: TransferSyntax) -> Self {
        Self { max_len: MAX_LONG, ..Self::new(syntax) }
    }

    /// Takes a piece.
    pub fn write(&mut self, piece: &[u8]) {
        self.is_too_long |= self.bytes.len() + piece.len() > self.max_len;
        if !self.is_too_long {
            self.bytes.extend_from_slice(piece);
        }
    }

    pub fn read(&self) -> Result<DataSet, Refusal> {
        if self.is_too_long {
            let comment = format!("identifier is longer than {} MiB", self.max_len >> 20);
            return Err(Refusal::new(status::OUT_OF_RESOURCES, &comment));
        }
        let elements = self.max_len / 16;
        let limits = Limits { depth: 8, elements, inflated: self.max_len as u64, ..Limits::default() };
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
