use super::*;
use crate::{Attributes, TransferSyntax, data_set, json, part10};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{io::Cursor, path::Path, process::Command};

fn metadata(file: &[u8]) -> Value {
    let mut reader = Cursor::new(file);
    let meta = part10::read_meta(&mut reader).unwrap();
    assert_eq!(meta.transfer_syntax, TransferSyntax::explicit_little());
    let data_set = data_set::scan(&mut reader, &meta.transfer_syntax, data_set::Limits::default()).unwrap();
    json::to_json(&data_set, &|_, _| "bulk".to_owned())
}

fn uid(number: u128) -> Uid {
    Uid::from_uuid(number)
}

fn source() -> Value {
    json!({
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Wang^Xiaoming", "Ideographic": "王^小明"}]},
        "00100020": {"vr": "LO", "Value": ["P-1"]},
        "00100030": {"vr": "DA", "Value": ["19700102"]},
        "00100040": {"vr": "CS", "Value": ["O"]},
        "00080020": {"vr": "DA", "Value": ["20240301"]},
        "00080030": {"vr": "TM", "Value": ["081500"]},
        "00080050": {"vr": "SH", "Value": ["A-7"]},
        "00081030": {"vr": "LO", "Value": ["胸部 CT"]},
        "00200010": {"vr": "SH", "Value": ["1"]},
    })
}

fn identity() -> Identity {
    Identity {
        series: uid(90),
        sop_instance: uid(91),
        device_observer: uid(92),
        date: "20240301".into(),
        time: "081501".into(),
        timezone: "+0800".into(),
    }
}

fn report(findings: Vec<Finding>) -> Report {
    Report {
        study: uid(1),
        series: uid(2),
        frame_of_reference: uid(3),
        evidence: (10..13).map(|n| (ct(), uid(n))).collect(),
        algorithm_name: "nodule-demo".into(),
        algorithm_version: "1".into(),
        status: "demonstration, not for clinical use".into(),
        findings,
    }
}

fn ct() -> Uid {
    crate::sop_class::CT_IMAGE_STORAGE.parse().unwrap()
}

fn nodule(number: u32) -> Finding {
    Finding {
        number,
        tracking_uid: uid(1000 + u128::from(number)),
        center_mm: [-61.25, 3.5, -120.0 - f64::from(number)],
        long_axis_mm: 9.5,
        short_axis_mm: 7.25,
        volume_mm3: 301.4,
        estimated: number.is_multiple_of(2),
        confidence: 0.93,
        sop_class: ct(),
        sop_instance: uid(11),
        frame: None,
    }
}

fn written(report: &Report) -> Vec<u8> {
    written_from(report, &source())
}

fn written_from(report: &Report, source: &Value) -> Vec<u8> {
    to_sr(report, Attributes::of(source).unwrap(), &identity()).unwrap()
}

/// [`source`] with two requested procedures, the second as sparse as the standard allows.
fn ordered_source() -> Value {
    let code = json!({"00080100": {"vr": "SH", "Value": ["CTTHOR"]}, "00080102": {"vr": "SH", "Value": ["99X"]},
        "00080104": {"vr": "LO", "Value": ["胸部 CT 平扫"]}});
    let mut source = source();
    source["00402016"] = json!({"vr": "LO", "Value": ["ORDER-1"]});
    source["00400275"] = json!({"vr": "SQ", "Value": [
        {"00401001": {"vr": "SH", "Value": ["RP-1"]}, "00080050": {"vr": "SH", "Value": ["A-8"]},
            "00321060": {"vr": "LO", "Value": ["Chest"]}, "00321064": {"vr": "SQ", "Value": [code, {}]}},
        {"00401001": {"vr": "SH", "Value": ["RP-2"]}},
        {},
    ]});
    source
}

fn read(file: &[u8]) -> Report {
    from_sr(Attributes::of(&metadata(file)).unwrap()).unwrap()
}

#[test]
fn a_report_without_findings_is_a_report() {
    let report = report(vec![]);
    assert_eq!(read(&written(&report)), report);
}

#[test]
fn patient_and_study_are_those_of_the_images() {
    let json = metadata(&written(&report(vec![nodule(1)])));
    let sr = Attributes::of(&json).unwrap();
    assert_eq!(sr.person_name(dicom_dictionary_std::tags::PATIENT_NAME).unwrap().ideographic, "王^小明");
    assert_eq!(sr.text(dicom_dictionary_std::tags::STUDY_DESCRIPTION), Some("胸部 CT"));
    assert_eq!(sr.text(dicom_dictionary_std::tags::ACCESSION_NUMBER), Some("A-7"));
    assert_eq!(sr.text(dicom_dictionary_std::tags::STUDY_INSTANCE_UID), Some(uid(1).as_str()));
}

#[test]
fn the_orders_of_the_images_are_referenced() {
    use dicom_dictionary_std::tags;
    let requests = |source: &Value| {
        let json = metadata(&written_from(&report(vec![]), source));
        let sr = Attributes::of(&json).unwrap();
        let texts = |request: Attributes<'_>| {
            let code = request.item(tags::REQUESTED_PROCEDURE_CODE_SEQUENCE);
            let of = |tag| request.text(tag).unwrap_or_default().to_owned();
            assert_eq!(of(tags::STUDY_INSTANCE_UID), uid(1).as_str());
            let code = code.and_then(|code| code.text(tags::CODE_MEANING)).unwrap_or_default().to_owned();
            let order = of(tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST);
            [of(tags::ACCESSION_NUMBER), of(tags::REQUESTED_PROCEDURE_ID), order, code]
        };
        sr.items(tags::REFERENCED_REQUEST_SEQUENCE).map(texts).collect::<Vec<_>>()
    };
    let expected = [["A-8", "RP-1", "ORDER-1", "胸部 CT 平扫"], ["A-7", "RP-2", "ORDER-1", ""]];
    assert_eq!(requests(&ordered_source()), expected);
    assert_eq!(requests(&source()), [["A-7", "", "", ""]]);
    assert_eq!(requests(&json!({})), [[""; 4]; 0]);
}

#[test]
fn the_series_description_says_what_the_result_is_not_for() {
    let json = metadata(&written(&report(vec![])));
    let description = Attributes::of(&json).unwrap().text(dicom_dictionary_std::tags::SERIES_DESCRIPTION);
    assert_eq!(description, Some("AI nodules: demonstration, not for clinical use"));
}

#[test]
fn a_frame_of_a_multi_frame_image_is_kept() {
    let report = report(vec![Finding { frame: Some(17), ..nodule(1) }]);
    assert_eq!(read(&written(&report)), report);
}

#[test]
fn another_document_is_no_report() {
    let title = json!({"vr": "SQ", "Value": [{
        "00080100": {"vr": "SH", "Value": ["113000"]}, "00080102": {"vr": "SH", "Value": ["DCM"]}}]});
    for document in [json!({}), json!({"0040A043": title})] {
        assert!(matches!(from_sr(Attributes::of(&document).unwrap()), Err(FindingError::NotAReport)));
    }
}

/// Lines that dciodvfy (dicom3tools) marks as errors; `None` where it is not installed.
fn dciodvfy_errors(file: &[u8]) -> Option<Vec<String>> {
    let path = std::env::temp_dir().join(format!("finding-{}-{}.dcm", std::process::id(), file.len()));
    std::fs::write(&path, file).unwrap();
    let output = Command::new("dciodvfy").arg("-new").arg(&path).output();
    std::fs::remove_file(&path).unwrap();
    let output = output.ok()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Some(text.lines().filter(|line| line.starts_with("Error")).map(str::to_owned).collect())
}

#[test]
fn dciodvfy_finds_no_error() {
    let three: Vec<_> = (1..4).map(nodule).collect();
    for (findings, source) in [(vec![], source()), (three.clone(), source()), (three, ordered_source())] {
        match dciodvfy_errors(&written_from(&report(findings), &source)) {
            Some(errors) => assert_eq!(errors, Vec::<String>::new()),
            None => println!("skipped: dciodvfy is not installed"),
        }
    }
}

#[test]
fn a_foreign_report_with_plane_regions_only_has_no_findings_in_space() {
    let shared = std::env::var("YINGHAI_SHARED").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared").into());
    let path = Path::new(&shared).join("data/sr-seg/LIDC-IDRI-0001/sr_tid1500.dcm");
    let Ok(file) = std::fs::read(&path) else {
        println!("skipped: no shared test data");
        return;
    };
    let json = metadata(&file);
    assert!(matches!(from_sr(Attributes::of(&json).unwrap()), Err(FindingError::NoPosition)));
    assert_eq!(observer(Attributes::of(&json).unwrap()), Observer::Person);
}

#[test]
fn a_report_is_ours_only_if_every_observer_is_our_algorithm() {
    let observed = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut json = metadata(&written(&report(vec![nodule(1)])));
        change(json["0040A730"]["Value"].as_array_mut().unwrap());
        observer(Attributes::of(&json).unwrap())
    };
    let is = |item: &Value, concept: &str| item["0040A043"]["Value"][0]["00080100"]["Value"][0] == concept;
    let set = |content: &mut Vec<Value>, concept: &str, tag: &str, value: Value| {
        content.iter_mut().find(|item| is(item, concept)).unwrap()[tag]["Value"][0] = value;
    };
    let person = json!({"00080100": {"vr": "SH", "Value": ["121006"]}, "00080102": {"vr": "SH", "Value": ["DCM"]}});
    assert_eq!(observed(&|_| ()), Observer::OurAi);
    assert_eq!(observed(&|content| set(content, "121014", "0040A160", json!("Another"))), Observer::Device);
    assert_eq!(observed(&|content| set(content, "121013", "0040A160", json!("another"))), Observer::Device);
    assert_eq!(observed(&|content| content.retain(|item| !is(item, "121014"))), Observer::Device);
    assert_eq!(observed(&|content| content.push(content[1].clone())), Observer::Device, "a device of no maker");
    assert_eq!(observed(&|content| set(content, "121005", "0040A168", person.clone())), Observer::Person);
    assert_eq!(observed(&|content| content.retain(|item| !is(item, "121005"))), Observer::Person);
    let beside = |content: &mut Vec<Value>| {
        content.push(content[1].clone());
        content.last_mut().unwrap()["0040A168"]["Value"][0] = person.clone();
    };
    assert_eq!(observed(&beside), Observer::Person, "beside the device");
}

prop_compose! {
    fn any_finding()(
        tracking in any::<u128>(),
        instance in any::<u128>(),
        center in prop::array::uniform3(-2000.0..2000.0_f32),
        axes in (0.1..80.0_f64, 0.1..80.0_f64),
        volume in 0.1..1e6_f64,
        estimated in any::<bool>(),
        confidence in 0.0..=1.0_f64,
        frame in prop::option::of(1..5000_u32),
    ) -> Finding {
        Finding {
            number: 0,
            tracking_uid: uid(tracking),
            center_mm: center.map(f64::from),
            long_axis_mm: axes.0,
            short_axis_mm: axes.1,
            volume_mm3: volume,
            estimated,
            confidence,
            sop_class: ct(),
            sop_instance: uid(instance),
            frame,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(mut findings in prop::collection::vec(any_finding(), 0..6), status in "[ -~]{0,90}") {
        for (number, finding) in (1..).zip(&mut findings) {
            finding.number = number;
        }
        let mut report = report(findings);
        report.status = status.trim_end().to_owned();
        let mut back = read(&written(&report));
        prop_assert_eq!(back.findings.len(), report.findings.len());
        for (there, back) in report.findings.iter().zip(&mut back.findings) {
            // Graphic Data is single precision.
            prop_assert!((0..3).all(|i| (there.center_mm[i] - back.center_mm[i]).abs() < 1e-3));
            prop_assert!((there.confidence - back.confidence).abs() < 1e-12);
            back.center_mm = there.center_mm;
            back.confidence = there.confidence;
        }
        prop_assert_eq!(back, report);
    }

    #[test]
    fn odd_documents_never_panic(numbers in prop::collection::vec(any::<f64>(), 0..9)) {
        let title = json!({"vr": "SQ", "Value": [{
            "00080100": {"vr": "SH", "Value": ["126000"]}, "00080102": {"vr": "SH", "Value": ["DCM"]}}]});
        let points = json!({"0040A040": {"vr": "CS", "Value": ["SCOORD3D"]}, "00700022": {"vr": "FL", "Value": numbers}});
        let group = json!({"0040A730": {"vr": "SQ", "Value": [points]}});
        let sr = json!({"0040A043": title, "0040A730": {"vr": "SQ", "Value": [group, 7, null]}});
        prop_assert!(from_sr(Attributes::of(&sr).unwrap()).is_err());
    }
}
