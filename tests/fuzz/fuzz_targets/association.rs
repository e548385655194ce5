//! Whatever a peer sends to the DICOM port.
#![no_main]

#[path = "../bodies/association.rs"]
mod association;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| association::converse(bytes));
