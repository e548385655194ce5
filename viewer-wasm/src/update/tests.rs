//! The viewer without a browser: messages in, effects out.

use std::sync::Arc;

use pacs_core::finding::{Finding, Report};
use pacs_core::pixel::{Frame, Samples};
use serde_json::{Value, json};

use super::update;
use crate::i18n::Language;
use crate::model::*;
use crate::series::FrameKey;
use crate::series::tests::{SERIES, STUDY, ct, uid};
use crate::shading::Shading;

fn signed_in() -> Model {
    let mut model = Model::new(Language::English, "pacs".into(), 1 << 20, 4);
    update(&mut model, Msg::Day("20261124".into()));
    update(&mut model, Msg::Navigated(None));
    update(&mut model, Msg::Fetched(Fetch::Session, Ok(vec![json!({"user": "reader"})])));
    model
}

fn series_list(series: &[(&str, &str, u32)]) -> Value {
    let row = |(uid, modality, instances): &(&str, &str, u32)| {
        json!({
            "0020000E": {"vr": "UI", "Value": [uid]},
            "00080060": {"vr": "CS", "Value": [modality]},
            "00201209": {"vr": "IS", "Value": [instances]}
        })
    };
    Value::Array(series.iter().map(row).collect())
}

/// A model in which a CT study of `count` slices is open, and its epoch.
fn reading(count: i64) -> (Model, u64) {
    let mut model = signed_in();
    update(&mut model, Msg::OpenStudy(uid(STUDY)));
    let epoch = epoch(&model);
    let rows = series_list(&[(SERIES, "CT", count as u32)]);
    update(&mut model, Msg::Fetched(Fetch::Series { epoch, study: uid(STUDY) }, Ok(vec![rows])));
    let metadata = Value::Array((1..=count).map(|number| ct(number, number as f64)).collect());
    update(&mut model, Msg::Fetched(metadata_of(epoch, SERIES), Ok(vec![metadata])));
    (model, epoch)
}

fn metadata_of(epoch: u64, series: &str) -> Fetch {
    Fetch::Metadata { epoch, study: uid(STUDY), series: uid(series) }
}

fn epoch(model: &Model) -> u64 {
    viewer(model).epoch
}

fn viewer(model: &Model) -> &Viewer {
    model.viewer.as_ref().expect("an open study")
}

fn frame() -> Frame {
    Frame { rows: 4, columns: 6, samples_per_pixel: 1, samples: Samples::I16(vec![0; 24]) }
}

fn key(number: i64) -> FrameKey {
    FrameKey { sop_instance: uid(&format!("1.2.3.4.{number}")), frame: 1 }
}

fn send(model: &mut Model, message: ReadingMsg) -> Vec<Effect> {
    update(model, Msg::Reading(message))
}

fn asked(effects: &[Effect]) -> Vec<i64> {
    let number = |effect: &Effect| match effect {
        Effect::LoadFrame(request) => request.key.sop_instance.as_str().rsplit('.').next()?.parse().ok(),
        _ => None,
    };
    effects.iter().filter_map(number).collect()
}

fn report() -> StoredReport {
    let finding = Finding {
        number: 1,
        tracking_uid: uid("1.5"),
        center_mm: [-9.0, -19.0, 7.2],
        long_axis_mm: 6.0,
        short_axis_mm: 4.0,
        volume_mm3: 80.0,
        confidence: 0.9,
        sop_class: uid("1.2.840.10008.5.1.4.1.1.2"),
        sop_instance: uid("1.2.3.4.7"),
        frame: None,
        estimated: false,
    };
    let report = Report {
        study: uid(STUDY),
        series: uid(SERIES),
        frame_of_reference: uid("1.2.9"),
        evidence: Vec::new(),
        algorithm_name: "nodules".into(),
        algorithm_version: "1".into(),
        status: String::new(),
        findings: vec![finding],
    };
    StoredReport { sop_instance: uid("1.7"), report }
}

#[test]
fn signing_in_leads_to_the_list_or_to_the_study_of_the_address() {
    assert!(signed_in().list.loading);
    let mut model = Model::new(Language::English, String::new(), 1, 1);
    update(&mut model, Msg::Navigated(Some(Destination::Study(uid(STUDY)))));
    let refused = Problem::Status { status: 401, detail: String::new() };
    update(&mut model, Msg::Fetched(Fetch::Session, Err(refused)));
    assert_eq!(model.session, Session::SignedOut { notice: None });
    let fetch = Fetch::SignIn { user: "a".into(), password: "b".into() };
    update(&mut model, Msg::Fetched(fetch, Ok(vec![json!({"user": "a"})])));
    assert_eq!(viewer(&model).study, uid(STUDY));
}

#[test]
fn a_wrong_password_says_so() {
    let mut model = Model::new(Language::English, String::new(), 1, 1);
    let fetch = Fetch::SignIn { user: "a".into(), password: "b".into() };
    update(&mut model, Msg::Fetched(fetch, Err(Problem::Status { status: 401, detail: String::new() })));
    assert_eq!(model.session, Session::SignedOut { notice: Some(Notice::WrongPassword) });
}

#[test]
fn a_session_that_ends_clears_the_screen_and_remembers_the_study() {
    let (mut model, epoch) = reading(3);
    update(&mut model, Msg::Frame { epoch, key: key(1), result: Ok(frame()) });
    let refused = Err(Problem::Status { status: 401, detail: String::new() });
    update(&mut model, Msg::Fetched(Fetch::Series { epoch, study: uid(STUDY) }, refused));
    assert!(model.viewer.is_none() && model.list.rows.is_empty());
    assert_eq!((model.frames.bytes(), &model.destination), (0, &Some(Destination::Study(uid(STUDY)))));
}

#[test]
fn an_answer_to_an_older_search_is_dropped() {
    let mut model = signed_in();
    let old = model.list.epoch;
    update(&mut model, Msg::List(ListMsg::Text("zhang".into())));
    let row = json!([{"0020000D": {"vr": "UI", "Value": ["1.2"]}}]);
    let answer = |epoch| Msg::Fetched(Fetch::Studies { epoch, urls: Vec::new() }, Ok(vec![row.clone()]));
    update(&mut model, answer(old));
    assert!(model.list.rows.is_empty());
    let now = model.list.epoch;
    update(&mut model, answer(now));
    assert_eq!(model.list.rows.len(), 1);
}

#[test]
fn a_study_that_arrives_is_marked_and_a_flood_of_events_asks_once() {
    let mut model = signed_in();
    let rows = |uids: &[&str]| {
        Value::Array(uids.iter().map(|uid| json!({"0020000D": {"vr": "UI", "Value": [uid]}})).collect())
    };
    let answer = |model: &mut Model, rows: Value| {
        let epoch = model.list.epoch;
        update(model, Msg::Fetched(Fetch::Studies { epoch, urls: Vec::new() }, Ok(vec![rows])));
    };
    answer(&mut model, rows(&["1.2"]));
    let event = ArchiveEvent { kind: "instance_stored".into(), study: Some(uid("1.3")) };
    let asked: usize = (0..100).map(|_| update(&mut model, Msg::Archive(event.clone())).len()).sum();
    assert_eq!(asked, 1);
    update(&mut model, Msg::List(ListMsg::Reload));
    answer(&mut model, rows(&["1.2", "1.3"]));
    assert_eq!(model.list.fresh, [uid("1.3")].into());
}

#[test]
fn the_slice_looked_at_is_asked_for_first_and_no_more_than_may_be_under_way() {
    let (mut model, epoch) = reading(20);
    assert_eq!(viewer(&model).loads.len(), 4);
    send(&mut model, ReadingMsg::GoTo(10));
    let effects = update(&mut model, Msg::Frame { epoch, key: key(1), result: Ok(frame()) });
    assert_eq!(asked(&effects), [11]);
}

#[test]
fn nothing_of_the_former_study_is_shown_after_switching() {
    let (mut model, old) = reading(3);
    update(&mut model, Msg::Frame { epoch: old, key: key(1), result: Ok(frame()) });
    assert!(model.shown().is_some());
    let effects = update(&mut model, Msg::OpenStudy(uid("9.9")));
    assert!(effects.contains(&Effect::DropFrames));
    assert!(model.shown().is_none() && model.frames.bytes() == 0);
    // What was still on its way arrives now.
    update(&mut model, Msg::Frame { epoch: old, key: key(2), result: Ok(frame()) });
    update(&mut model, Msg::Fetched(metadata_of(old, SERIES), Ok(vec![json!([ct(1, 1.0)])])));
    assert!(model.frames.bytes() == 0 && viewer(&model).slices().is_empty());
}

#[test]
fn a_frame_that_does_not_decode_here_is_asked_of_the_server_once() {
    let (mut model, epoch) = reading(1);
    let broken = || Err::<Frame, _>(LoadError::Decode("no such codec".into()));
    let effects = update(&mut model, Msg::Frame { epoch, key: key(1), result: broken() });
    assert!(matches!(&effects[..], [Effect::LoadFrame(request)] if request.by_server), "{effects:?}");
    let effects = update(&mut model, Msg::Frame { epoch, key: key(1), result: broken() });
    assert!(effects.is_empty());
    assert!(
        matches!(&viewer(&model).loads[&key(1)], Load::Failed { error, .. } if *error == broken().expect_err("an error"))
    );
}

#[test]
fn a_dead_server_is_not_stormed_and_is_forgiven_when_it_comes_back() {
    let (mut model, epoch) = reading(50);
    let mut asked_for = 4;
    let mut underway: Vec<FrameKey> = viewer(&model).loads.keys().cloned().collect();
    while let Some(key) = underway.pop() {
        let failed = Err(LoadError::Fetch(Problem::Offline));
        let effects = update(&mut model, Msg::Frame { epoch, key, result: failed });
        let requests = effects.into_iter().filter_map(|effect| match effect {
            Effect::LoadFrame(request) => Some(request.key),
            _ => None,
        });
        let before = underway.len();
        underway.extend(requests);
        asked_for += underway.len() - before;
    }
    assert!(asked_for < 12, "{asked_for} requests");
    update(&mut model, Msg::Live(false));
    model.list.loaded = true;
    update(&mut model, Msg::Live(true));
    assert!(!send(&mut model, ReadingMsg::Scroll(1)).is_empty());
}

#[test]
fn keys_scroll_and_the_stack_has_ends() {
    let (mut model, _) = reading(5);
    let mut press = |key: &str| {
        let message = crate::keys::message(&model, key).expect("a key with a meaning");
        update(&mut model, message);
        viewer(&model).at
    };
    assert_eq!(["ArrowDown", "End", "ArrowDown", "PageUp", "Home"].map(&mut press), [1, 4, 4, 0, 0]);
}

#[test]
fn a_preset_stays_while_scrolling_and_reset_takes_it_back() {
    let (mut model, _) = reading(5);
    let lung = crate::keys::message(&model, "1").expect("a preset");
    update(&mut model, lung);
    send(&mut model, ReadingMsg::Scroll(1));
    assert!(matches!(&viewer(&model).shading, Shading::Window(window) if window.width == 1500.0));
    send(&mut model, ReadingMsg::Reset);
    assert_eq!(viewer(&model).shading, Shading::Default);
}

#[test]
fn a_finding_leads_to_its_slice_and_is_drawn_only_where_it_lies() {
    let (mut model, _) = reading(12);
    let resized = ReadingMsg::Resized { size: [600.0, 400.0], pixel_ratio: 1.0 };
    send(&mut model, resized);
    model.viewer.as_mut().expect("a study").reports.push(report());
    send(&mut model, ReadingMsg::GoToFinding { report: uid("1.7"), number: 1 });
    assert_eq!(viewer(&model).at, 6);
    let circles = crate::marks::circles(viewer(&model));
    // Two pixels right and down of the first pixel's centre, 100 screen pixels each.
    assert_eq!((circles[0].x, circles[0].y, circles[0].selected), (250.0, 250.0, true));
    send(&mut model, ReadingMsg::GoTo(11));
    assert!(crate::marks::circles(viewer(&model)).is_empty());
}

#[test]
fn a_finding_of_another_frame_of_reference_is_not_drawn() {
    let (mut model, _) = reading(12);
    let mut foreign = report();
    foreign.report.series = uid("8.8");
    foreign.report.frame_of_reference = uid("8.9");
    foreign.report.findings[0].sop_instance = uid("8.8.1");
    model.viewer.as_mut().expect("a study").reports.push(foreign);
    send(&mut model, ReadingMsg::GoTo(6));
    assert!(crate::marks::circles(viewer(&model)).is_empty());
    assert_eq!(super::study::marked(viewer(&model)), Arc::from([]));
}

#[test]
fn a_finding_keeps_its_image_number_while_another_series_is_looked_at() {
    let (mut model, epoch) = reading(12);
    let rows = series_list(&[(SERIES, "CT", 12), ("1.2.8", "SEG", 1)]);
    update(&mut model, Msg::Fetched(Fetch::Series { epoch, study: uid(STUDY) }, Ok(vec![rows])));
    let StoredReport { report, .. } = report();
    assert_eq!(viewer(&model).image_number(&report, &report.findings[0]), Some(7));
    send(&mut model, ReadingMsg::OpenSeries(uid("1.2.8")));
    assert_eq!(viewer(&model).image_number(&report, &report.findings[0]), Some(7));
}

#[test]
fn only_what_devices_alone_observed_is_an_ai_result() {
    let code = |value: &str| {
        json!({"vr": "SQ", "Value": [{
        "00080100": {"vr": "SH", "Value": [value]}, "00080102": {"vr": "SH", "Value": ["DCM"]}}]})
    };
    let observer = |kind: &str| json!({"0040A043": code("121005"), "0040A168": code(kind)});
    let evidence = json!([{"00081115": {"vr": "SQ", "Value": [{"0020000E": {"vr": "UI", "Value": [SERIES]}}]}}]);
    let library = json!({"0040A043": code("111028"), "0040A730": {"vr": "SQ", "Value": [{
        "0040A043": code("126200"), "0040A730": {"vr": "SQ", "Value": [{
            "0040A043": code("112227"), "0040A124": {"vr": "UI", "Value": ["1.2.9"]}}]}}]}});
    let reports_after = |observers: &[&str]| {
        let (mut model, epoch) = reading(3);
        let rows = series_list(&[(SERIES, "CT", 3), ("1.6", "SR", 1)]);
        update(&mut model, Msg::Fetched(Fetch::Series { epoch, study: uid(STUDY) }, Ok(vec![rows])));
        let mut content: Vec<Value> = observers.iter().map(|kind| observer(kind)).collect();
        content.push(library.clone());
        let sr = json!([{
            "0020000D": {"vr": "UI", "Value": [STUDY]},
            "00080018": {"vr": "UI", "Value": ["1.6.1"]},
            "0040A043": code("126000"),
            "0040A375": {"vr": "SQ", "Value": evidence},
            "0040A730": {"vr": "SQ", "Value": content}
        }]);
        update(&mut model, Msg::Fetched(metadata_of(epoch, "1.6"), Ok(vec![sr])));
        viewer(&model).reports.len()
    };
    let (person, device) = ("121006", "121007");
    assert_eq!(reports_after(&[device]), 1);
    assert_eq!([reports_after(&[person]), reports_after(&[person, device]), reports_after(&[])], [0, 0, 0]);
}

#[test]
fn a_report_that_arrives_is_fetched_without_disturbing_the_reader() {
    let (mut model, epoch) = reading(3);
    send(&mut model, ReadingMsg::GoTo(2));
    let event = ArchiveEvent { kind: "series_complete".into(), study: Some(uid(STUDY)) };
    assert!(matches!(&update(&mut model, Msg::Archive(event))[..], [Effect::After { .. }]));
    send(&mut model, ReadingMsg::Reload { epoch });
    let rows = series_list(&[(SERIES, "CT", 3), ("1.6", "SR", 1)]);
    let effects = update(&mut model, Msg::Fetched(Fetch::Series { epoch, study: uid(STUDY) }, Ok(vec![rows])));
    assert_eq!(effects, [Effect::Fetch(metadata_of(epoch, "1.6"))]);
    assert_eq!(viewer(&model).at, 2);
}

#[test]
fn a_growing_series_keeps_the_slice_looked_at() {
    let (mut model, epoch) = reading(3);
    send(&mut model, ReadingMsg::GoTo(2));
    let metadata = Value::Array((-2..=3).map(|number| ct(number + 10, (number + 10) as f64)).collect());
    let with_old = Value::Array([metadata.as_array().expect("rows").clone(), vec![ct(3, 3.0)]].concat());
    update(&mut model, Msg::Fetched(metadata_of(epoch, SERIES), Ok(vec![with_old])));
    assert_eq!(viewer(&model).slice().map(|slice| slice.instance_number), Some(3));
}

#[test]
fn one_finger_scrolls_two_fingers_zoom() {
    let (mut model, _) = reading(10);
    send(&mut model, ReadingMsg::Resized { size: [600.0, 400.0], pixel_ratio: 1.0 });
    send(&mut model, ReadingMsg::Down { id: 1, at: [300.0, 300.0], grip: Grip::Finger });
    send(&mut model, ReadingMsg::Moved { id: 1, at: [300.0, 250.0] });
    assert_eq!(viewer(&model).at, 2);
    send(&mut model, ReadingMsg::Down { id: 2, at: [300.0, 50.0], grip: Grip::Finger });
    send(&mut model, ReadingMsg::Moved { id: 2, at: [300.0, 150.0] });
    assert!(matches!(viewer(&model).camera.zoom, crate::camera::Zoom::Scale(scale) if (scale - 50.0).abs() < 1e-9));
    send(&mut model, ReadingMsg::Up { id: 2 });
    send(&mut model, ReadingMsg::Moved { id: 1, at: [300.0, 0.0] });
    assert_eq!(viewer(&model).at, 2);
}

#[test]
fn cine_waits_for_frames_and_an_old_timer_does_nothing() {
    let (mut model, epoch) = reading(3);
    send(&mut model, ReadingMsg::ToggleCine);
    let run = viewer(&model).cine.expect("a film").run;
    send(&mut model, ReadingMsg::CineTick { run });
    assert_eq!(viewer(&model).at, 0);
    update(&mut model, Msg::Frame { epoch, key: key(2), result: Ok(frame()) });
    send(&mut model, ReadingMsg::CineTick { run: run + 1 });
    assert_eq!(viewer(&model).at, 0);
    send(&mut model, ReadingMsg::CineTick { run });
    assert_eq!(viewer(&model).at, 1);
}

#[test]
fn the_image_is_drawn_through_the_window() {
    let (mut model, epoch) = reading(1);
    // 1024 stored is 0 HU, 1064 is the middle of the window 400/40.
    let samples = [24i16, 1064, 2024, 1064].repeat(6);
    let frame = Frame { samples: Samples::I16(samples), ..frame() };
    update(&mut model, Msg::Frame { epoch, key: key(1), result: Ok(frame) });
    let (slice, held) = model.shown().expect("an image");
    let grey = |inverted| {
        let picture = crate::picture::Picture::of(slice, held, &Shading::Default, inverted).expect("a picture");
        let placement = crate::camera::Placement { x: 1.0, y: 0.0, column_px: 1.0, row_px: 1.0 };
        let rgba = crate::raster::draw(&picture, placement, false, 5, 1);
        rgba.chunks(4).map(|pixel| pixel[0]).collect::<Vec<_>>()
    };
    // Left of the image nothing, then black, the middle, white.
    assert_eq!(grey(false), [0, 0, 128, 255, 128]);
    assert_eq!(grey(true), [0, 255, 127, 0, 127]);
}

#[test]
fn an_application_entity_is_added_called_and_removed() {
    let mut model = signed_in();
    assert_eq!(update(&mut model, Msg::OpenDevices)[1], Effect::Fetch(Fetch::Devices));
    let rows = json!([{ "ae_title": "CT1", "host": "ct1", "port": 104 }]);
    update(&mut model, Msg::Fetched(Fetch::Devices, Ok(vec![rows])));
    let devices = |model: &Model| model.devices.as_ref().map(|devices| (devices.rows.len(), devices.draft.clone()));
    assert_eq!(devices(&model), Some((1, None)));

    update(&mut model, Msg::Devices(DevicesMsg::Change("CT1".into())));
    let mut device = devices(&model).and_then(|(_, draft)| draft).expect("a draft").device;
    device.may_store = true;
    let saved = update(&mut model, Msg::Devices(DevicesMsg::Save(device.clone())));
    assert_eq!(saved, [Effect::Fetch(Fetch::PutDevice(Box::new(device.clone())))]);
    let refused = Problem::Status { status: 400, detail: "no".into() };
    update(&mut model, Msg::Fetched(Fetch::PutDevice(Box::new(device.clone())), Err(refused.clone())));
    assert_eq!(devices(&model).and_then(|(_, draft)| draft?.problem), Some(refused));
    let again = update(&mut model, Msg::Fetched(Fetch::PutDevice(Box::new(device)), Ok(vec![json!({})])));
    assert_eq!((again.as_slice(), devices(&model)), (&[Effect::Fetch(Fetch::Devices)][..], Some((1, None))));

    let call = update(&mut model, Msg::Devices(DevicesMsg::Call("CT1".into())));
    assert_eq!(call, [Effect::Fetch(Fetch::Echo("CT1".into()))]);
    let answer = json!({ "answered": false, "milliseconds": 3, "reason": "connection refused" });
    update(&mut model, Msg::Fetched(Fetch::Echo("CT1".into()), Ok(vec![answer])));
    let echo = model.devices.as_ref().and_then(|devices| devices.echoes.get("CT1"));
    assert_eq!(echo, Some(&crate::devices::Echo::Failed("connection refused".into())));

    let removed = update(&mut model, Msg::Devices(DevicesMsg::Remove("CT1".into())));
    assert_eq!(removed, [Effect::Fetch(Fetch::RemoveDevice("CT1".into()))]);
    update(&mut model, Msg::CloseDevices);
    assert!(model.devices.is_none());
}
