//! A file as `pacs import` and STOW-RS meet it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pacs_core::data_set::{Limits, scan};
use pacs_core::{instance::Instance, json, part10};
use std::io::Cursor;

fuzz_target!(|bytes: &[u8]| {
    let mut reader = Cursor::new(bytes);
    let Ok(meta) = part10::read_meta(&mut reader) else { return };
    let limits = Limits { inflated: 16 << 20, ..Limits::default() };
    let Ok(data_set) = scan(&mut reader, &meta.transfer_syntax, limits) else { return };
    json::to_json_text(&data_set, &|path, element| format!("{}/{}", path.len(), element.len));
    if let Ok(instance) = Instance::of(&data_set, meta.transfer_syntax) {
        let frames = instance.frames.map_or(0, |layout| {
            assert_eq!(layout.ranges(layout.frames()), None);
            layout.frames()
        });
        assert!(u64::from(frames) <= 8 * bytes.len().max(16 << 20) as u64);
    }
});
