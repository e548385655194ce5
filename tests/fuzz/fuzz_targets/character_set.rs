//! Text in any declared character sets, read and written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pacs_core::{VR, character_set::CharacterSet};

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (terms, text) = bytes.split_at(at);
    let terms = String::from_utf8_lossy(terms);
    let set = CharacterSet::from_terms(&terms.split('\\').collect::<Vec<_>>());
    for vr in [VR::PN, VR::LO, VR::LT] {
        let read = set.decode(text, vr);
        assert!(read.len() <= 3 * text.len());
        if let Some(written) = set.encode(&read, vr) {
            assert_eq!(set.decode(&written, vr), read);
        }
    }
});
