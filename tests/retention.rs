//! A held study withstands every attempt at it, and one whose term is over goes with a report, beside a running server.

use reqwest::{Method, StatusCode};
use scenarios::{Server, client, output, run, shared, text_of};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

/// Every study is kept for ever but those that this speaks of; the slices of the test are from before 2010.
const RULES: &str = "
[ai]
enabled = false

[[storage.retention]]
name = 'short'
years = 10

[[storage.retention]]
name = 'inpatients'
years = 30
patient_class = 'inpatient'
";

fn slice() -> Option<PathBuf> {
    let folder = shared("data/chest-ct/LIDC-IDRI-0001")?;
    let mut files: Vec<_> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "dcm"))
}

fn ask(server: &Server, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let request = client().request(method, server.url(path)).bearer_auth(&server.token);
    let request = body.iter().fold(request, |request, body| request.json(body));
    let response = request.send().expect("an answer");
    (response.status(), response.json().unwrap_or_default())
}

/// Lets what is stored have come long ago, behind the server's back.
fn age(server: &Server) {
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=30); \
        c.execute('update study set changed_at = 0'); c.commit()";
    run(std::process::Command::new("python3").args(["-c", script]).arg(server.folder().join("data/index.sqlite")));
}

#[test]
fn what_is_held_stays_and_what_has_expired_goes_with_a_report() {
    let Some(slice) = slice() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("pacs.toml"), RULES).expect("written");
    let server = Server::start_in(folder, &[]);
    server.pacs(&["import", slice.to_str().expect("UTF-8")]);
    let studies = server.get("/dicom-web/studies");
    let study = studies[0]["0020000D"]["Value"][0].as_str().expect("a study").to_owned();
    let resource = format!("/dicom-web/studies/{study}");

    let (status, body) = ask(&server, Method::DELETE, &resource, None);
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body["detail"].as_str().is_some_and(|text| text.contains("inpatients")), "{body}");

    let of = json!({ "study": study, "reason": "case 17" });
    let (status, held) = ask(&server, Method::POST, "/api/holds", Some(of));
    assert_eq!(status, StatusCode::CREATED);
    let number = held["number"].to_string();
    assert!(server.pacs(&["hold", "list"]).contains(&study));
    let early = ["retention", "delete", "--study", &study, "--reason", "no room"];
    let refused = text_of(&output(&mut server.command(&early)));
    assert!(refused.contains(&format!("legal hold {number}")) && refused.contains("pacs hold release"), "{refused}");

    server.pacs(&["retention", "class", &study, "outpatient"]);
    age(&server);
    assert!(server.pacs(&["retention", "report"]).contains("held"));
    assert!(server.pacs(&["retention", "delete", "--expired"]).contains("1 more have expired and are on legal hold"));
    server.pacs(&["hold", "release", &number, "--reason", "closed"]);
    assert!(server.pacs(&["hold", "list"]).contains("nothing is held"));
    let csv = server.pacs(&["retention", "report", "--format", "csv"]);
    assert!(csv.contains("expired") && csv.contains(&study), "{csv}");
    assert_eq!(server.get("/api/retention")["studies"][0]["rule"], "short");
    assert!(server.pacs(&["retention", "delete", "--expired", "--dry-run"]).contains("would delete 1 studies"));
    assert_eq!(server.request(&resource, "*/*").status(), StatusCode::OK);

    let done = server.pacs(&["retention", "delete", "--expired"]);
    let report = done.lines().find_map(|line| line.strip_prefix("report ")).expect("a report").to_owned();
    assert!(fs::read_to_string(server.folder().join(report)).expect("the report").contains(&study), "{done}");
    assert_eq!(server.request(&resource, "*/*").status(), StatusCode::NOT_FOUND);
    assert_eq!(server.get("/api/retention/deletions")[0]["study"], *study);
}
