//! C-GET and C-MOVE, asked for by peers that nobody here wrote.

use scenarios::{Server, free_port, output, packs, peer, program, python, run, shared, text_of, wait_for};
use std::{fs, path::Path, process::Command, time::Duration};

/// The number in front of a line that ends so.
fn count(told: &str, ending: &str) -> u32 {
    let line = told.lines().find(|line| line.ends_with(ending));
    line.and_then(|line| line.split(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{ending}: {told}"))
}

fn receiver(server: &Server, ae_title: &str) -> String {
    let port = free_port().to_string();
    server.pacs(&["ae", "add", ae_title, "--host", "127.0.0.1", "--port", &port]);
    port
}

/// Everything of a folder, by C-GET and by C-MOVE; at least so many instances, and so many compared pixel by pixel.
fn fetched(folder: &str, at_least: u32, pixels: u32) {
    let (Some(python), Some(folder)) = (python(), shared(folder)) else { return };
    let server = Server::start(&["--set", "ai.enabled=false", "--set", "dicom.accept_unknown_sop_classes=true"]);
    // What cannot be filed is told of, and that is no matter here.
    drop(output(&mut server.command(&["import", &folder.display().to_string()])));
    let ports = ["RECEIVER", "NATIVE"].map(|ae_title| receiver(&server, ae_title));
    let mut script = Command::new(python);
    let told = run(script.arg(peer("retrieve.py")).arg(server.dicom.to_string()).args(ports).arg(folder));
    for (ending, at_least) in [
        ("instances by C-GET", at_least),
        ("instances by C-MOVE", at_least),
        ("instances with the same pixels in Explicit VR Little Endian", pixels),
    ] {
        assert!(count(&told, ending) >= at_least, "{told}");
    }
}

#[test]
fn the_conformance_corpus_comes_back_bit_for_bit() {
    fetched("data/conformance", 100, 10);
}

#[test]
fn every_character_set_comes_back_bit_for_bit() {
    fetched("data/charset", 20, 0);
}

/// The Part 10 files in a folder.
fn files(folder: &Path) -> usize {
    fs::read_dir(folder).expect("listed").count()
}

#[test]
fn dcmtk_fetches_and_has_things_sent() {
    let (Some(getscu), Some(movescu)) = (program("getscu"), program("movescu")) else { return };
    let (Some(storescp), Some(series)) = (program("storescp"), shared("data/conformance/series/variable-spacing-ge"))
    else {
        return;
    };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    server.pacs(&["import", &series.display().to_string()]);
    let held = server.get("/dicom-web/instances").as_array().expect("a list").len();
    let study = server.get("/dicom-web/studies")[0]["0020000D"]["Value"][0].as_str().expect("a study").to_owned();
    let keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", &format!("StudyInstanceUID={study}")].map(str::to_owned);
    let [got, moved] = ["got", "moved"].map(|name| server.folder().join(name));
    for folder in [&got, &moved] {
        fs::create_dir(folder).expect("a folder");
    }
    let port = server.dicom.to_string();
    let mut get = Command::new(getscu);
    run(get.args(["-S", "-aec", "YINGHAI", "127.0.0.1", &port, "-od"]).arg(&got).args(&keys));
    assert_eq!(files(&got), held);

    let listening = receiver(&server, "STORESCP");
    let mut scp = Command::new(storescp).args(["-od"]).arg(&moved).arg(&listening).spawn().expect("it runs");
    let is_there = || server.command(&["echo", "STORESCP"]).output().is_ok_and(|told| told.status.success());
    wait_for("storescp to listen", Duration::from_secs(10), || is_there().then_some(()));
    let mut sent = Command::new(&movescu);
    sent.args(["-v", "-S", "-aec", "YINGHAI", "-aem", "STORESCP", "127.0.0.1", &port]).args(&keys);
    let told = text_of(&output(&mut sent));
    scp.kill().expect("ended");
    drop(scp.wait());
    assert_eq!(files(&moved), held, "{told}");
    let mut unknown = Command::new(movescu);
    unknown.args(["-v", "-S", "-aec", "YINGHAI", "-aem", "NOBODY", "127.0.0.1", &port]).args(&keys);
    let told = text_of(&output(&mut unknown));
    assert!(told.contains("MoveDestinationUnknown"), "{told}");
}

#[test]
fn what_leaves_is_as_corrected_and_only_for_whom_may_retrieve() {
    let (Some(getscu), Some(dcmdump), Some(slices)) = (program("getscu"), program("dcmdump"), shared("data/charset"))
    else {
        return;
    };
    let server = Server::start(&["--set", "ai.enabled=false", "--set", "dicom.open_to_loopback=false"]);
    server.pacs(&["import", &slices.join("zh_utf8.dcm").display().to_string()]);
    let study = server.get("/dicom-web/studies")[0]["0020000D"]["Value"][0].as_str().expect("a study").to_owned();
    server.pacs(&["correct", "set", "--study", &study, "AccessionNumber=A77", "--reason", "typing error"]);
    let get = |ae_title: &str| {
        let folder = server.folder().join(ae_title);
        fs::create_dir_all(&folder).expect("a folder");
        let mut get = Command::new(&getscu);
        get.args(["-v", "-S", "-aet", ae_title, "-aec", "YINGHAI", "127.0.0.1", &server.dicom.to_string(), "-od"]);
        get.arg(&folder).args(["-k", "QueryRetrieveLevel=STUDY", "-k", &format!("StudyInstanceUID={study}")]);
        let told = text_of(&output(&mut get));
        (fs::read_dir(folder).expect("listed").next().map(|entry| entry.expect("a file").path()), told)
    };
    server.pacs(&["ae", "add", "FINDER", "--find"]);
    server.pacs(&["ae", "add", "READER", "--retrieve"]);
    let (none, told) = get("FINDER");
    assert!(none.is_none() && told.contains("No Acceptable Presentation Contexts"), "{told}");
    let (file, told) = get("READER");
    let file = file.unwrap_or_else(|| panic!("nothing came: {told}"));
    let dump = run(Command::new(dcmdump).args(["+P", "AccessionNumber", "+P", "OriginalAttributesSequence"]).arg(file));
    assert!(dump.contains("[A77]") && dump.contains("OriginalAttributesSequence"), "{dump}");
}

#[test]
fn what_a_peer_or_a_virtual_archive_does_not_show_is_neither_found_nor_sent() {
    let (Some(getscu), Some(findscu), Some(slices)) = (program("getscu"), program("findscu"), shared("data/charset"))
    else {
        return;
    };
    let parts = r#"dicom.virtual_archives=[{"ae_title":"WARD","view":"ModalitiesInStudy=ECG"}]"#;
    let server = Server::start(&["--set", "ai.enabled=false", "--set", "dicom.open_to_loopback=false", "--set", parts]);
    server.pacs(&["import", &slices.join("zh_utf8.dcm").display().to_string()]);
    let study = &server.get("/dicom-web/studies")[0];
    let modality = study["00080061"]["Value"][0].as_str().expect("a modality").to_owned();
    let study = study["0020000D"]["Value"][0].as_str().expect("a study").to_owned();
    server.pacs(&["ae", "add", "INSIDE", "--find", "--retrieve", "--sees", &format!("ModalitiesInStudy={modality}")]);
    server.pacs(&["ae", "add", "OUTSIDE", "--find", "--retrieve", "--sees", "ModalitiesInStudy=ECG"]);
    let keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", &format!("StudyInstanceUID={study}")].map(str::to_owned);
    for (calling, called, expected) in
        [("INSIDE", "YINGHAI", 1), ("OUTSIDE", "YINGHAI", 0), ("INSIDE", "WARD", 0), ("INSIDE", "NOBODY", 0)]
    {
        let folder = server.folder().join(format!("{calling}-{called}"));
        fs::create_dir(&folder).expect("a folder");
        let address =
            ["-v", "-S", "-aet", calling, "-aec", called, "127.0.0.1", &server.dicom.to_string()].map(str::to_owned);
        let told = text_of(&output(Command::new(&findscu).args(&address).args(&keys)));
        assert_eq!(told.matches("Find Response: ").count(), expected, "{calling} {called}: {told}");
        let told = text_of(&output(Command::new(&getscu).args(&address).args(&keys).arg("-od").arg(&folder)));
        assert_eq!(files(&folder), expected, "{calling} {called}: {told}");
    }
}

#[test]
fn a_damaged_instance_is_a_failed_sub_operation_and_the_rest_comes() {
    let (Some(getscu), Some(series)) = (program("getscu"), shared("data/conformance/series/variable-spacing-ge"))
    else {
        return;
    };
    let server = Server::start(&["--set", "ai.enabled=false", "--set", "storage.quiet_seconds=0"]);
    server.pacs(&["import", &series.display().to_string()]);
    let held = server.get("/dicom-web/instances").as_array().expect("a list").len();
    let study = server.get("/dicom-web/studies")[0]["0020000D"]["Value"][0].as_str().expect("a study").to_owned();
    let pack =
        wait_for("a sealed pack", Duration::from_secs(20), || packs(&server.folder().join("data/objects")).pop());
    let mut bytes = fs::read(&pack).expect("a pack");
    // In the pixels of one of the first.
    let at = bytes.len() / (2 * held);
    bytes[at] ^= 1;
    fs::write(&pack, bytes).expect("spoilt");
    let folder = server.folder().join("got");
    fs::create_dir(&folder).expect("a folder");
    let mut get = Command::new(getscu);
    get.args(["-v", "-S", "-aec", "YINGHAI", "127.0.0.1", &server.dicom.to_string(), "-od"]).arg(&folder);
    let told =
        text_of(&output(get.args(["-k", "QueryRetrieveLevel=STUDY", "-k", &format!("StudyInstanceUID={study}")])));
    assert_eq!(files(&folder), held - 1, "{told}");
}
