use super::*;
use crate::data_set::Limits;
use crate::transfer_syntax::TransferSyntax;
use proptest::prelude::*;
use std::io::Cursor;

fn element(tag: Tag, vr: VR, value: Scanned) -> Element {
    let len = if let Scanned::Bytes(bytes) = &value { bytes.len() as u64 } else { 0 };
    Element { tag, vr, offset: 0, len, value }
}

fn data_set(keys: &[(Tag, &str)]) -> DataSet {
    let text = |(tag, value): &(Tag, &str)| {
        element(*tag, dictionary_vr(*tag, false).expect("known"), Scanned::Bytes(value.as_bytes().into()))
    };
    DataSet { elements: keys.iter().map(text).collect(), ..DataSet::default() }
}

/// Keys of the top level, and of the Scheduled Procedure Step Sequence.
fn query(top: &[(Tag, &str)], step: &[(Tag, &str)], fuzzy: bool) -> ItemQuery {
    let mut identifier = data_set(top);
    let items = Scanned::Sequence(vec![data_set(step)]);
    identifier.elements.push(element(tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE, VR::SQ, items));
    ItemQuery::from_identifier(&identifier, fuzzy).expect("a query")
}

fn order() -> Item {
    Item::from_json(json!({
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Zhang^San", "Ideographic": "张^三"}]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "00400100": {"vr": "SQ", "Value": [{
            "00400001": {"vr": "AE", "Value": ["CT1", "CT2"]},
            "00080060": {"vr": "CS", "Value": ["CT"]},
            "00400002": {"vr": "DA", "Value": ["20261128"]},
            "00400003": {"vr": "TM", "Value": ["0930"]},
            "00400008": {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["CHEST"]}}]},
        }]},
        "00404005": {"vr": "DT", "Value": ["20261128093000+0800"]},
    }))
    .expect("an item")
}

#[track_caller]
fn check(top: &[(Tag, &str)], step: &[(Tag, &str)], fuzzy: bool, expected: bool) {
    assert_eq!(query(top, step, fuzzy).matches(&order()), expected, "{top:?} {step:?}");
}

#[test]
fn keys_inside_the_step_restrict() {
    check(&[], &[], false, true);
    check(&[], &[(tags::MODALITY, "CT"), (tags::SCHEDULED_STATION_AE_TITLE, "CT2")], false, true);
    check(&[], &[(tags::MODALITY, "MR")], false, false);
    check(&[(tags::PATIENT_ID, "P1")], &[(tags::MODALITY, "")], false, true);
    check(&[(tags::ACCESSION_NUMBER, "A1")], &[], false, false);
    check(&[(tags::PATIENT_NAME, "zhang*")], &[], false, true);
    check(&[(tags::PATIENT_NAME, "=张*")], &[], false, true);
}

#[test]
fn names_are_searched_where_that_was_agreed() {
    for typed in ["san zhang", "zs", "zhangs"] {
        check(&[(tags::PATIENT_NAME, typed)], &[], false, false);
        check(&[(tags::PATIENT_NAME, typed)], &[], true, true);
    }
    check(&[(tags::PATIENT_NAME, "li")], &[], true, false);
}

#[test]
fn ranges_of_date_and_time_are_one_range() {
    let (date, time) = COMBINED;
    check(&[], &[(date, "20261127-20261128"), (time, "1000-0800")], false, false);
    check(&[], &[(date, "20261127-20261128"), (time, "1000-1000")], false, true);
    check(&[], &[(date, "20261128-"), (time, "0931-")], false, false);
    check(&[], &[(date, "20261127-"), (time, "0931-")], false, true);
    check(&[], &[(date, "-20261128"), (time, "-0930")], false, true);
    check(&[], &[(date, "20261128"), (time, "10-12")], false, false);
    check(&[], &[(time, "09-10")], false, true);
}

#[test]
fn date_times_match_by_range_and_precision() {
    let start = tags::SCHEDULED_PROCEDURE_STEP_START_DATE_TIME;
    check(&[(start, "20261128")], &[], false, true);
    check(&[(start, "20261128013000+0000-20261128020000+0000")], &[], false, true);
    check(&[(start, "20261128013001+0000-")], &[], false, false);
    check(&[(start, "-2025")], &[], false, false);
}

#[test]
fn parameters_lead_into_sequences() {
    let asked = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ItemQuery::from_parameters(&pairs)
    };
    let step = |modality| {
        [("PatientID", "P1"), ("ScheduledProcedureStepSequence.Modality", modality), ("00400100.00400002", "2026")]
    };
    assert!(asked(&step("CT")).expect("a query").matches(&order()));
    assert!(!asked(&step("MR")).expect("a query").matches(&order()));
    assert_eq!(asked(&[("Colour", "red")]), Err(QueryError::Parameter("Colour".into())));
}

#[test]
fn only_what_was_asked_for_comes_back() {
    let asked = query(&[(tags::PATIENT_ID, ""), (tags::PATIENT_SEX, "")], &[(tags::MODALITY, "CT")], false);
    let returned = asked.returned(&order());
    assert_eq!(returned.tags().count(), 3);
    assert!(returned.contains(tags::PATIENT_SEX) && !returned.has_value(tags::PATIENT_SEX));
    let step = &returned.items(tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE)[0];
    assert_eq!((step.tags().count(), step.text(tags::MODALITY)), (1, "CT"));
    let whole = query(&[], &[], false).returned(&order());
    assert_eq!(whole.items(tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE)[0].tags().count(), 5);
    assert_eq!(asked.describe(), "Modality");
    assert!(asked.is_supported() && asked.len() == 4);
}

#[test]
fn a_key_that_nothing_can_be_compared_with_does_not_restrict() {
    let mut identifier = data_set(&[]);
    let bytes = Scanned::Bytes([1, 2].into());
    identifier.elements.push(element(Tag(0x0009, 0x1001), VR::OB, bytes));
    let query = ItemQuery::from_identifier(&identifier, false).expect("a query");
    assert!(!query.is_supported() && query.matches(&order()));
    assert!(ItemQuery::from_identifier(&data_set(&[(COMBINED.0, "soon")]), false).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_a_query_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let read = crate::data_set::scan(&mut Cursor::new(bytes), &TransferSyntax::implicit_little(), Limits::default());
        if let Ok(Ok(query)) = read.map(|identifier| ItemQuery::from_identifier(&identifier, true)) {
            query.matches(&order());
            query.returned(&order());
        }
    }
}
