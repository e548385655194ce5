//! Text in any declared character sets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pacs_core::character_set::CharacterSet;

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (terms, text) = bytes.split_at(at);
    let terms = String::from_utf8_lossy(terms);
    let set = CharacterSet::from_terms(&terms.split('\\').collect::<Vec<_>>());
    for is_pn in [false, true] {
        set.decode(text, is_pn);
    }
});
