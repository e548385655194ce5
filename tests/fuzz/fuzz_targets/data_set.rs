//! A data set as an association brings it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pacs_core::data_set::{Limits, scan};
use pacs_core::query::Query;
use pacs_core::{TransferSyntax, transfer_syntax};
use std::io::Cursor;

const SYNTAXES: [&str; 4] = [
    transfer_syntax::IMPLICIT_VR_LITTLE_ENDIAN,
    transfer_syntax::EXPLICIT_VR_LITTLE_ENDIAN,
    transfer_syntax::EXPLICIT_VR_BIG_ENDIAN,
    transfer_syntax::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let uid = SYNTAXES[usize::from(*choice) % SYNTAXES.len()].parse().expect("a UID");
    let limits = Limits { inflated: 16 << 20, ..Limits::default() };
    if let Ok(data_set) = scan(&mut Cursor::new(bytes), &TransferSyntax::new(uid), limits) {
        let _ = Query::from_identifier(&data_set);
    }
});
