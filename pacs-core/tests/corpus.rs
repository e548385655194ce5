//! Every file of the shared corpus through the scan and what is read from it.
//!
//! The corpus lies beside the repository (or where `YINGHAI_SHARED` says); without it these tests say so and pass.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::StandardDataDictionary;
use pacs_core::data_set::{DataSet, Limits, ScanError, scan};
use pacs_core::frame_layout::FrameLayout;
use pacs_core::instance::Instance;
use pacs_core::transfer_syntax::Encoding;
use pacs_core::{Attributes, TransferSyntax, json, part10, tags};
use proptest::prelude::*;
use std::collections::HashMap;
use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("YINGHAI_SHARED").map_or_else(beside, PathBuf::from);
    let data = shared.join("data");
    if !data.is_dir() {
        println!("skipped: no shared test data at {}", data.display());
        return None;
    }
    Some(data)
}

/// The manifest's rows: column name → value.
fn manifest(data: &Path) -> Vec<HashMap<String, String>> {
    let text = std::fs::read_to_string(data.join("MANIFEST.tsv")).expect("a manifest");
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().unwrap_or_default().split('\t').map(str::to_owned).collect();
    lines.map(|line| names.iter().cloned().zip(line.split('\t').map(str::to_owned)).collect()).collect()
}

fn read(path: &Path) -> Result<(TransferSyntax, DataSet), ScanError> {
    let mut file = File::open(path)?;
    let meta = part10::read_meta(&mut file)?;
    let data_set = scan(&mut file, &meta.transfer_syntax, Limits::default())?;
    Ok((meta.transfer_syntax, data_set))
}

/// What we refuse although pydicom, which reads lazily, opens it: the file ends inside its pixel data, or starts with a
/// stray byte.
const BROKEN: &[&str] =
    &["malformed/3gb-bulk-data-truncated.dcm", "malformed/MR_truncated.dcm", "malformed/no_meta.dcm"];

#[test]
fn every_file_that_pydicom_opens_is_read() {
    let Some(data) = data() else { return };
    let mut refused = Vec::new();
    for row in manifest(&data) {
        let (path, opens) = (&row["path"], &row["opens_with_pydicom"]);
        if path.starts_with("malformed/synthetic") || !(opens.starts_with("yes") || opens.starts_with("force")) {
            continue;
        }
        if let Err(error) = read(&data.join(path)) {
            refused.push(format!("{path}: {error}"));
        }
    }
    refused.retain(|line| !BROKEN.iter().any(|path| line.starts_with(path)));
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn hostile_files_are_judged_as_expected_and_at_once() {
    let Some(data) = data() else { return };
    let folder = data.join("malformed/synthetic");
    let expected = std::fs::read_to_string(folder.join("EXPECTED_malformed.json")).expect("a list");
    let expected: serde_json::Value = serde_json::from_str(&expected).expect("JSON");
    for (name, case) in expected.as_object().expect("an object") {
        let start = Instant::now();
        let instance = read(&folder.join(name)).ok().map(|(syntax, data_set)| Instance::of(&data_set, syntax));
        let accepted = matches!(instance, Some(Ok(_)));
        assert!(start.elapsed() < Duration::from_secs(2), "{name} took {:?}", start.elapsed());
        match case["must"].as_str() {
            Some("accept") => assert!(accepted, "{name}: {case}"),
            Some("reject") => assert!(!accepted, "{name}: {case}"),
            _ => {}
        }
    }
}

#[test]
fn every_frame_of_the_manifest_has_its_place() {
    let Some(data) = data() else { return };
    for row in manifest(&data) {
        let path = &row["path"];
        let image = row.get("pixel_sha256").is_some_and(|hash| !hash.is_empty());
        if path.starts_with("malformed") || !image {
            continue;
        }
        let (syntax, data_set) = read(&data.join(path)).expect("a data set");
        let layout = FrameLayout::of(&data_set).unwrap_or_else(|| panic!("{path} has no frames"));
        let said = row["frames"].parse().unwrap_or(1);
        assert_eq!(layout.frames(), said, "{path}");
        let last = layout.ranges(layout.frames() - 1).expect("a frame");
        let end = last.last().expect("a fragment").end;
        let len = std::fs::metadata(data.join(path)).expect("a file").len();
        assert!(end <= len || syntax.encoding() == Encoding::Deflated, "{path}");
        assert_eq!(layout.ranges(layout.frames()), None, "{path}");
    }
}

#[test]
fn every_data_set_is_written_as_json_that_readers_take() {
    let Some(data) = data() else { return };
    for row in manifest(&data) {
        let Ok((_, data_set)) = read(&data.join(&row["path"])) else { continue };
        let text = json::to_json_text(&data_set, &|_, _| "bulk".to_owned());
        let tree: serde_json::Value = serde_json::from_slice(&text).expect("JSON of bounded depth");
        let attributes = Attributes::of(&tree).expect("an object");
        let patient = data_set.text(tags::PATIENT_ID);
        assert_eq!(attributes.text(tags::PATIENT_ID), patient.as_deref(), "{}", row["path"]);
        assert_eq!(attributes.integer(tags::ROWS), data_set.integer(tags::ROWS), "{}", row["path"]);
    }
}

#[test]
fn real_files_with_changed_bytes_are_judged() {
    let Some(data) = data() else { return };
    let files =
        ["charset/chrH32.dcm", "conformance/transfer-syntax/rle/YBR_FULL-RLE.dcm", "malformed/nested_priv_SQ.dcm"];
    for name in files {
        let whole = std::fs::read(data.join(name)).expect("a file");
        let head = whole.len().min(4096);
        proptest!(|(changes in prop::collection::vec((132..head, any::<u8>()), 1..16), end in 132..=whole.len())| {
            let mut bytes = whole[..end].to_vec();
            for (at, byte) in changes {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            let mut reader = Cursor::new(bytes);
            let Ok(meta) = part10::read_meta(&mut reader) else { return Ok(()) };
            if let Ok(data_set) = scan(&mut reader, &meta.transfer_syntax, Limits::default()) {
                json::to_json(&data_set, &|_, _| String::new());
                let _ = Instance::of(&data_set, meta.transfer_syntax);
            }
        });
    }
}

#[test]
fn text_is_read_as_its_sender_meant_it() {
    let Some(data) = data() else { return };
    let folder = data.join("charset");
    for list in ["EXPECTED_generated.json", "EXPECTED_third_party.json"] {
        let expected = std::fs::read_to_string(folder.join(list)).expect("a list");
        let expected: serde_json::Value = serde_json::from_str(&expected).expect("JSON");
        for (name, case) in expected.as_object().expect("an object") {
            // Bytes that contradict the label: read as the label says.
            if case["note"].as_str().is_some_and(|note| note.starts_with("WRONG") && note.contains("labelled")) {
                continue;
            }
            let (_, data_set) = read(&folder.join(name)).expect("a data set");
            for (keyword, value) in case["expected"].as_object().expect("an object") {
                let tag = StandardDataDictionary.by_name(keyword).expect("a keyword").tag();
                let texts = data_set.texts(tag);
                match value {
                    serde_json::Value::Array(values) => {
                        assert_eq!(serde_json::json!(texts), *value, "{name} {values:?}")
                    }
                    value => assert_eq!(texts.first().map(String::as_str), value.as_str(), "{name} {keyword}"),
                }
            }
        }
    }
}
