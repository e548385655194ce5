//! Peers that speak DIMSE well, badly, and with intent.

use scenarios::{Server, output, peer, program, python, run, shared, text_of};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

#[test]
fn dcmtk_echoes_stores_and_finds() {
    let (Some(echoscu), Some(findscu)) = (program("echoscu"), program("findscu")) else { return };
    let Some(series) = shared("data/conformance/series/variable-spacing-ge") else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let port = server.dicom.to_string();
    run(Command::new(echoscu).args(["-v", "-aec", "YINGHAI", "127.0.0.1", &port]));
    let Some(dcmsend) = program("dcmsend") else { return };
    run(Command::new(dcmsend).args(["-aec", "YINGHAI", "+sd", "+sp", "*.dcm", "127.0.0.1", &port]).arg(&series));
    for (level, keys) in [
        ("STUDY", &["StudyInstanceUID", "PatientName", "ModalitiesInStudy=CT", "NumberOfStudyRelatedInstances"][..]),
        ("SERIES", &["StudyInstanceUID", "SeriesInstanceUID", "Modality=CT"]),
        ("IMAGE", &["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "InstanceNumber"]),
    ] {
        let mut find = Command::new(&findscu);
        find.args(["-v", "-S", "-aec", "YINGHAI", "127.0.0.1", &port, "-k", &format!("QueryRetrieveLevel={level}")]);
        for key in keys {
            find.args(["-k", key]);
        }
        let found = run(&mut find);
        assert!(found.contains("Find Response: 1"), "{level}: {found}");
    }
}

#[test]
fn a_wrong_called_title_is_rejected() {
    let Some(echoscu) = program("echoscu") else { return };
    let server = Server::start(&[]);
    let refused = output(Command::new(echoscu).args(["-v", "-aec", "SOMEONE", "127.0.0.1", &server.dicom.to_string()]));
    assert!(!refused.status.success());
    assert!(text_of(&refused).contains("Called AE Title Not Recognized"), "{}", text_of(&refused));
}

#[test]
fn pynetdicom_finds_its_way() {
    let Some(python) = python() else { return };
    let Some(series) = shared("data/conformance/series/gantry-tilt-philips") else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let text = run(Command::new(python).arg(peer("dimse.py")).arg(server.dicom.to_string()).arg(series));
    assert!(text.contains("all is well"), "{text}");
}

/// The data set of a Part 10 file: what follows the File Meta Information (PS3.10 §7.1).
fn data_set(file: &[u8]) -> &[u8] {
    let length = u32::from_le_bytes(file[140..144].try_into().expect("four bytes"));
    &file[144 + length as usize..]
}

#[test]
fn two_contents_under_one_uid_and_one_uid_in_two_series_are_all_kept() {
    let (Some(dcmconv), Some(dcmodify)) = (program("dcmconv"), program("dcmodify")) else { return };
    let slice = "data/conformance/transfer-syntax/same-ct-in-15-syntaxes/CTImage_1.2.840.10008.1.2.1.dcm";
    let Some(slice) = shared(slice) else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let files = ["first.dcm", "second.dcm", "elsewhere.dcm"].map(|name| server.folder().join(name));
    run(Command::new(dcmconv).arg("+te").arg(slice).arg(&files[0]));
    for (file, change) in [(&files[1], "PatientComments=another content"), (&files[2], "SeriesInstanceUID=1.2.3")] {
        fs::copy(&files[0], file).expect("copied");
        run(Command::new(&dcmodify).args(["-nb", "-i", change]).arg(file));
    }
    let Some(mut storescu) = server.storescu() else { return };
    run(storescu.arg("-xe").args(&files));

    let instances = server.get("/dicom-web/instances");
    let urls = instances.as_array().expect("a list").iter().map(|i| i["00081190"]["Value"][0].as_str().expect("a URL"));
    let paths: Vec<_> = urls.map(|url| &url[url.find("/studies").expect("a path")..]).collect();
    let (elsewhere, here): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.contains("/series/1.2.3/"));
    assert_eq!((elsewhere.len(), here.len()), (1, 1), "{instances:#}");
    let versions = server.get(&format!("/api{}/versions", here[0]));
    assert_eq!(versions.as_array().map(Vec::len), Some(2), "{versions:#}");
    assert_eq!(versions[1]["received_from"], "SCANNER");
    for (path, file) in [
        (here[0].to_owned(), &files[0]),
        (format!("{}?version=2", here[0]), &files[1]),
        (elsewhere[0].to_owned(), &files[2]),
    ] {
        let sent = fs::read(file).expect("read");
        let back = server.request(&format!("/dicom-web{path}"), "application/dicom").bytes().expect("a body");
        assert!(data_set(&back) == data_set(&sent), "{path} is not {}", file.display());
    }
}

#[test]
fn palettes_and_hanging_protocols_are_kept_though_they_have_no_study() {
    let Some(folder) = shared("data/conformance/sop-class/color-palette") else { return };
    let Some(protocol) = shared("data/presentation/weasis_NeurosurgeryPlan_HP.dcm") else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let Some(dcmconv) = program("dcmconv") else { return };
    // As dcmtk writes them, so that it sends them unchanged.
    let palettes = ["hotiron", "pet", "pet20step", "spring"].map(|name| {
        let written = server.folder().join(format!("{name}.dcm"));
        run(Command::new(&dcmconv).arg("+te").arg(folder.join(format!("{name}.dcm"))).arg(&written));
        written
    });
    let Some(dcmsend) = program("dcmsend") else { return };
    let port = server.dicom.to_string();
    run(Command::new(dcmsend).args(["-aec", "YINGHAI", "127.0.0.1", &port]).args(&palettes));
    // dcmtk would write the lengths of its sequences anew.
    server.pacs(&["import", protocol.to_str().expect("UTF-8")]);
    for (resource, files) in [("color-palettes", palettes.to_vec()), ("hanging-protocols", vec![protocol])] {
        let listed = server.get(&format!("/dicom-web/{resource}"));
        let listed = listed.as_array().expect("a list");
        assert_eq!(listed.len(), files.len(), "{resource}");
        let uids = listed.iter().map(|object| object["00080018"]["Value"][0].as_str().expect("a UID"));
        let held: Vec<_> = uids
            .map(|uid| {
                server.request(&format!("/dicom-web/{resource}/{uid}"), "application/dicom").bytes().expect("a body")
            })
            .collect();
        for file in files {
            let sent = fs::read(&file).expect("read");
            assert!(
                held.iter().any(|held| data_set(held) == data_set(&sent)),
                "{} came back otherwise",
                file.display()
            );
        }
    }
    assert_eq!(server.get("/dicom-web/studies"), serde_json::json!([]));
}

/// Sends bytes, reads what comes back until the peer closes or a second passes.
fn send(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(("127.0.0.1", server.dicom)).expect("connected");
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("set");
    // The server may close while we still write: that is an answer too.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    answer
}

#[test]
fn hostile_bytes_get_an_abort_and_the_server_lives() {
    let Some(echoscu) = program("echoscu") else { return };
    let server = Server::start(&[]);
    let mut huge = vec![1, 0];
    huge.extend(u32::MAX.to_be_bytes());
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xFF; 4096],
        huge,
        vec![1, 0, 0, 0, 0, 4, 0, 1, 0, 0],
        vec![4, 0, 0, 0, 0, 6, 0, 0, 0, 2, 1, 3],
        Vec::new(),
    ] {
        let answer = send(&server, &bytes);
        // A-ABORT or A-ASSOCIATE-RJ, or silence until ARTIM for what is not yet a whole PDU.
        assert!(answer.is_empty() || matches!(answer[0], 7 | 3), "{bytes:02x?} got {answer:02x?}");
        run(Command::new(&echoscu).args(["-aec", "YINGHAI", "127.0.0.1", &server.dicom.to_string()]));
    }
}
