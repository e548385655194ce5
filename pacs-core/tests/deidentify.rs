//! Every file of the shared corpus de-identified: nothing is left of what named the patient, the study, or the people.
//!
//! The corpus lies beside the repository (or where `YINGHAI_SHARED` says); without it these tests say so and pass.

use pacs_core::{
    DataSet, TransferSyntax, VR,
    data_set::{Limits, Stretch, Value, scan, write},
    deidentify::{Dates, Key, Profile, Risk, deidentify},
    part10::read_meta,
    tags,
    transfer_syntax::Encoding,
};
use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    fs::File,
    io::Cursor,
    path::{Path, PathBuf},
};

fn data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let data = std::env::var_os("YINGHAI_SHARED").map_or_else(beside, PathBuf::from).join("data");
    if !data.is_dir() {
        println!("skipped: no shared test data at {}", data.display());
        return None;
    }
    Some(data)
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => files(&path, found),
            false if path.extension().is_some_and(|extension| extension == "dcm") => found.push(path),
            false => {}
        }
    }
}

fn read(path: &Path) -> Option<(TransferSyntax, DataSet)> {
    let mut file = File::open(path).ok()?;
    let meta = read_meta(&mut file).ok()?;
    let data_set = scan(&mut file, &meta.transfer_syntax, Limits::default()).ok()?;
    (meta.transfer_syntax.encoding() != Encoding::Deflated).then_some((meta.transfer_syntax, data_set))
}

/// Values by which somebody could be found, at any depth: long enough that they do not occur by chance.
fn identifying(data_set: &DataSet, found: &mut BTreeSet<String>) {
    let names = [
        tags::PATIENT_ID,
        tags::ACCESSION_NUMBER,
        tags::STUDY_ID,
        tags::DEVICE_SERIAL_NUMBER,
        tags::STUDY_INSTANCE_UID,
        tags::SERIES_INSTANCE_UID,
        tags::SOP_INSTANCE_UID,
        tags::FRAME_OF_REFERENCE_UID,
        tags::REFERENCED_SOP_INSTANCE_UID,
    ];
    for element in &data_set.elements {
        if let Value::Sequence(items) = &element.value {
            items.iter().for_each(|item| identifying(item, found));
        } else if element.vr == VR::PN || names.contains(&element.tag) {
            let values = element.texts(&data_set.character_set);
            found.extend(values.into_iter().filter(|value| {
                value.len() > 5 && !value.starts_with("1.2.840.10008.") && value.chars().any(char::is_alphanumeric)
            }));
        }
    }
}

/// What is written of it, but for long values and pixels, which stay.
fn written(data_set: &DataSet, syntax: &TransferSyntax) -> Vec<u8> {
    let stretches = write(data_set, syntax).expect("written");
    let new = stretches.into_iter().filter_map(|stretch| match stretch {
        Stretch::New(bytes) => Some(bytes),
        Stretch::Old(_) => None,
    });
    new.flatten().collect()
}

fn shows(bytes: &[u8], value: &str) -> bool {
    bytes.windows(value.len()).any(|window| window == value.as_bytes())
}

#[test]
fn nothing_that_names_anybody_is_left_in_any_file_of_the_corpus() {
    let Some(data) = data() else { return };
    let mut paths = Vec::new();
    files(&data, &mut paths);
    let (mut done, mut refused, mut faults) = (0, 0, Vec::new());
    let profile = Profile { allow_burned_in: true, retain_patient_characteristics: true, ..Profile::default() };
    for path in paths {
        let Some((syntax, mut data_set)) = read(&path) else { continue };
        let mut values = BTreeSet::new();
        identifying(&data_set, &mut values);
        // What was de-identified before says the same as we do.
        values.remove("REMOVED");
        match deidentify(&mut data_set, &profile, &Key::from([9; 32])) {
            Err(risk) => {
                assert_eq!(risk, Risk::Text, "{}", path.display());
                refused += 1;
                continue;
            }
            Ok(()) => done += 1,
        }
        let bytes = written(&data_set, &syntax);
        let left: Vec<_> = values.iter().filter(|value| shows(&bytes, value)).collect();
        if !left.is_empty() {
            faults.push(format!("{}: {left:?}", path.display()));
        }
        assert_eq!(data_set.text(tags::PATIENT_IDENTITY_REMOVED).as_deref(), Some("YES"));
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(done > 300 && refused > 0, "{done} done, {refused} refused");
}

#[test]
fn dates_that_are_moved_keep_their_distances_in_every_file_of_a_patient() {
    let Some(data) = data() else { return };
    let mut paths = Vec::new();
    files(&data.join("chest-ct/LIDC-IDRI-0001"), &mut paths);
    let profile = Profile { dates: Dates::Modified, ..Profile::default() };
    let mut dates = BTreeSet::new();
    for path in &paths {
        let (_, mut data_set) = read(path).expect("a slice");
        let before = data_set.text(tags::STUDY_DATE).expect("a date");
        deidentify(&mut data_set, &profile, &Key::from([9; 32])).expect("de-identified");
        let after = data_set.text(tags::STUDY_DATE).expect("a date");
        assert!(after < before, "{after} {before}");
        dates.insert((before, after));
    }
    assert_eq!(dates.len(), 1, "{dates:?}");
}

proptest! {
    #[test]
    fn no_data_set_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..400), explicit: bool) {
        let explicit_little = TransferSyntax::explicit_little();
        let (syntax, head): (_, &[u8]) = match explicit {
            true => (explicit_little, b"\x08\0\x16\0UI\x04\x001.2\0"),
            false => (TransferSyntax::implicit_little(), b"\x08\0\x16\0\x04\0\0\x001.2\0"),
        };
        if let Ok(mut data_set) = scan(&mut Cursor::new([head, &bytes].concat()), &syntax, Limits::default()) {
            for dates in [Dates::Removed, Dates::Modified, Dates::Full] {
                let profile = Profile { dates, clean_descriptors: true, ..Profile::default() };
                let _ = deidentify(&mut data_set, &profile, &Key::from([1; 32]));
            }
            prop_assert!(write(&data_set, &syntax).is_ok());
        }
    }
}
