//! QIDO-RS parameters, and the conditions that come of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pacs_core::query::{Level, Query, attribute};

fuzz_target!(|text: &str| {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    };
    let parameters: Vec<_> = text.split('&').map(pair).collect();
    for level in [Level::Study, Level::Series, Level::Instance] {
        let Ok(query) = Query::from_parameters(level, None, None, &parameters) else { continue };
        for (tag, condition) in &query.conditions {
            let vr = attribute(*tag).expect("an indexed attribute").vr;
            condition.matches(vr, text);
        }
    }
});
