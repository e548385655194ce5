//! SQL finds exactly what `Condition::matches` lets pass.

use crate::support::{Home, Slice, postgres_and_folder, sqlite_and_folder};
use pacs_core::{
    Tag, VR,
    query::{Attribute, Condition, Level, Query, attribute},
    tags,
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{TestCaseError, TestRunner},
};
use std::collections::{BTreeMap, BTreeSet};
use storage::Archive;

const ROWS: usize = 60;

/// One of each kind, at each level.
const ASKED: [Tag; 12] = [
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::STUDY_DESCRIPTION,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::MODALITIES_IN_STUDY,
    tags::MODALITY,
    tags::SERIES_NUMBER,
    tags::INSTANCE_NUMBER,
    tags::ROWS,
];

/// Values of little variety, so that matches happen, with all that is special in SQL or DICOM.
fn value(vr: VR) -> BoxedStrategy<String> {
    match vr {
        VR::PN => "([aAÉé张]{1,5}(\\^[ab%]{0,3}){0,2}(=[张張_三ｱア]{0,2}){0,2}){0,1}".boxed(),
        VR::DA => prop_oneof!["(19|20)[0-9]00[12]0[1-3]", "20[0-2]0\\.0[12]\\.0[12]", Just(String::new())].boxed(),
        VR::TM => "(1[0-2]([03]0(00(\\.[05]{1,3}){0,1}){0,1}){0,1}){0,1}".boxed(),
        VR::IS => "([+]{0,1}0{0,2}[0-9]){0,1}".boxed(),
        VR::CS => prop_oneof![Just("CT"), Just("MR"), Just("SR")].prop_map(str::to_owned).boxed(),
        _ => "([aA%_!'张][aB %_!*?]{0,2}[aA]){0,1}".boxed(),
    }
}

fn key(vr: VR) -> BoxedStrategy<String> {
    match vr {
        VR::DA => "((19|20)[0-9]00[12]0[1-3]|20[0-2]0)(-((19|20)[0-9]00[12]){0,1}){0,1}|-20[0-9]0".boxed(),
        VR::TM => "1[0-2]([03]0){0,1}(-1[0-2]){0,1}".boxed(),
        VR::IS | VR::US => "0{0,1}[0-9]{1,2}(\\\\[0-9]){0,1}".boxed(),
        VR::CS => "(CT|MR|SR|[CMS]\\*|\\?R)|(CT|MR)\\\\SR".boxed(),
        VR::PN => "[aAÉé张*?]{1,3}(\\^[ab*?%]){0,1}(=[张張三ｱ*?_]{0,2}){0,2}".boxed(),
        _ => "[aA%_!'张*?P][aB %_!*?1]{0,2}[aA*3]{0,1}".boxed(),
    }
}

type Values = BTreeMap<Tag, String>;

/// The same rows every time; each is a study of a patient of its own.
fn generated_rows() -> Vec<Values> {
    let mut runner = TestRunner::deterministic();
    let mut generated = |tag: &Tag| {
        let vr = attribute(*tag).expect("an indexed attribute").vr;
        value(vr).new_tree(&mut runner).expect("a value").current()
    };
    let row = |n: usize| {
        let mut values: Values = ASKED.iter().map(|tag| (*tag, generated(tag))).collect();
        values.insert(tags::PATIENT_ID, format!("P{n}"));
        values.insert(tags::ROWS, "16".into());
        let modality = values[&tags::MODALITY].clone();
        values.insert(tags::MODALITIES_IN_STUDY, modality);
        values
    };
    (0..ROWS).map(row).collect()
}

async fn fill(home: &Home, rows: &[Values]) -> Archive {
    let archive = home.open().await;
    for (n, values) in rows.iter().enumerate() {
        let mut slice = Slice::new(&format!("1.{n}"), &format!("1.{n}.1"), &format!("1.{n}.1.1"));
        slice.values.extend(values.clone());
        slice.values.retain(|tag, _| !matches!(*tag, tags::ROWS | tags::MODALITIES_IN_STUDY));
        slice.sent_to(&archive).await;
    }
    archive
}

fn expected(rows: &[Values], attribute: &Attribute, condition: &Condition) -> BTreeSet<String> {
    let matching =
        rows.iter().enumerate().filter(|(_, values)| condition.matches(attribute.vr, &values[&attribute.tag]));
    matching.map(|(n, _)| format!("1.{n}.1.1")).collect()
}

async fn found(archive: &Archive, conditions: BTreeMap<Tag, Condition>) -> BTreeSet<String> {
    let query = Query { conditions, ..Query::new(Level::Instance) };
    let rows = archive.find(&query).await.expect("rows");
    rows.into_iter().filter_map(|mut row| row.values.remove(&tags::SOP_INSTANCE_UID)).collect()
}

fn check(runtime: &tokio::runtime::Runtime, home: &Home) {
    let rows = generated_rows();
    let archive = runtime.block_on(fill(home, &rows));
    let asked = (0..ASKED.len()).prop_flat_map(|at| {
        let attribute = attribute(ASKED[at]).expect("an indexed attribute");
        (Just(attribute), key(attribute.vr))
    });
    let pair = (asked.clone(), asked);
    let agree = |((first, one), (second, two)): ((&'static Attribute, String), (&'static Attribute, String))| {
        let parse = |attribute, text: &str| {
            let reason = |error| TestCaseError::fail(format!("{text}: {error}"));
            Condition::parse(attribute, text).map_err(reason)
        };
        let (one, two) = (parse(first, &one)?, parse(second, &two)?);
        let mut conditions = BTreeMap::new();
        let mut wanted: BTreeSet<_> = (0..ROWS).map(|n| format!("1.{n}.1.1")).collect();
        for (attribute, condition) in [(first, one), (second, two)] {
            let Some(condition) = condition else { continue };
            if conditions.contains_key(&attribute.tag) {
                continue;
            }
            wanted = &wanted & &expected(&rows, attribute, &condition);
            conditions.insert(attribute.tag, condition);
        }
        prop_assert_eq!(runtime.block_on(found(&archive, conditions)), wanted);
        Ok(())
    };
    let mut runner = TestRunner::new(ProptestConfig { cases: 600, ..ProptestConfig::default() });
    runner.run(&pair, agree).expect(home.name);
}

#[test]
fn sql_and_the_reference_agree() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let homes = [Some(sqlite_and_folder()), runtime.block_on(postgres_and_folder())];
    homes.iter().flatten().for_each(|home| check(&runtime, home));
}
