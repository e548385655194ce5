//! Every file of the shared corpus through the scan and what is read from it.
//!
//! The corpus lies beside the repository (or where `YINGHAI_SHARED` says); without it these tests say so and pass.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::StandardDataDictionary;
use pacs_core::data_set::{DataSet, Limits, ScanError, scan};
use pacs_core::{TransferSyntax, part10};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("YINGHAI_SHARED").map_or_else(beside, PathBuf::from);
    let data = shared.join("data");
    if !data.is_dir() {
        println!("skipped: no corpus at {}", data.display());
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
        let result = read(&folder.join(name));
        println!("{name}: {} {:?} {}", case["must"], result.as_ref().err().map(ToString::to_string), case["note"]);
        assert!(start.elapsed() < Duration::from_secs(2), "{name} took {:?}", start.elapsed());
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
