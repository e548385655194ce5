//! Unknown callers: what they store is kept and seen by nobody until somebody decides.

use scenarios::{Server, client, output, program, run, shared};
use serde_json::{Value, json};
use std::process::Command;

#[test]
fn what_an_unknown_caller_stores_is_kept_where_nobody_sees_it_until_it_is_taken_in() {
    let (Some(slices), Some(findscu)) = (shared("data/charset"), program("findscu")) else { return };
    let closed = ["--set", "ai.enabled=false", "--set", "dicom.open_to_loopback=false"];
    let refusing = Server::start(&closed);
    let file = slices.join("zh_utf8.dcm");
    let push = |server: &Server, file: &std::path::Path| output(server.storescu().expect("storescu").arg(file));
    assert!(!push(&refusing, &file).status.success(), "by default unknown callers are rejected");

    let mut server = Server::start(&[&closed[..], &["--set", "dicom.unknown_callers=quarantine"]].concat());
    for file in ["zh_utf8.dcm", "zh_gb18030.dcm", "zh_utf8.dcm"] {
        assert!(push(&server, &slices.join(file)).status.success(), "{file}");
    }
    // Success was answered: it survives whatever comes.
    server.kill();
    server.restart();
    let find = ["-S", "-aec", "YINGHAI", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID", "127.0.0.1"];
    let found = output(Command::new(findscu).args(find).arg(server.dicom.to_string()));
    assert!(!found.status.success(), "an unknown caller does not search");
    assert_eq!(server.get("/dicom-web/studies"), json!([]));
    let listed = server.pacs(&["quarantine", "list"]);
    assert!(listed.contains("SCANNER at 127.0.0.1") && listed.contains("2 instances"), "{listed}");

    let kept = server.get("/api/quarantine");
    let study = &kept[0]["study"];
    let post = |path: &str, body: Value| {
        let answer = client().post(server.url(path)).bearer_auth(&server.token).json(&body).send().expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().unwrap_or_default())
    };
    assert_eq!(post("/api/quarantine/release", json!({})).0, 400, "nothing is chosen");
    let (status, done) = post("/api/quarantine/release", json!({ "study": study }));
    assert_eq!((status, &done["left"]), (200, &json!([])), "{done}");
    let studies = server.get("/dicom-web/studies");
    assert_eq!(&studies[0]["0020000D"]["Value"][0], study);
    run(&mut server.command(&["quarantine", "discard", "--calling", "SCANNER"]));
    assert_eq!(server.get("/api/quarantine"), json!([]));
    assert!(server.pacs(&["quarantine", "list"]).contains("nothing is in quarantine"));
}
