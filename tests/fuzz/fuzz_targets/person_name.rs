//! A pattern and a name, with a NUL between.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pacs_core::{
    VR,
    person_name::{pattern_pieces, search_keys, search_terms},
    query::Condition,
};

fuzz_target!(|text: &str| {
    let (pattern, name) = text.split_once('\0').unwrap_or(("*", text));
    let keys = search_keys(name);
    let begins = |piece: &String| keys.iter().any(|key| key.starts_with(piece));
    search_terms(pattern);
    if Condition::Wildcard(pattern.to_owned()).matches(VR::PN, name) {
        assert!(pattern_pieces(pattern).iter().all(|piece| piece.iter().any(begins)));
    }
});
