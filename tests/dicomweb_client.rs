//! dicomweb-client, the Python library and its command line, against our DICOMweb.

use scenarios::{Server, output, peer, python, run, shared, text_of};
use serde_json::Value;
use std::{fs, path::Path, process::Command};

const STUDY: &str = "1.3.46.670589.33.1.15053592413351079234.27718218421047494460";
const SERIES: &str = "1.3.46.670589.33.1.7303547162003802183.31761132431540865648";
const INSTANCE: &str = "1.3.46.670589.33.1.23155433342734569795.27805210711867911306";

#[test]
fn the_library_stores_searches_retrieves_and_deletes() {
    let (Some(python), Some(data)) = (python(), shared("data")) else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    server.pacs(&["import", &data.join("charset").display().to_string()]);
    let mut library = Command::new(python);
    library.arg(peer("dicomweb_library.py")).args([server.url("/dicom-web"), server.token.clone()]).arg(data);
    println!("{}", run(&mut library));
}

/// The command line of dicomweb-client, which is beside the Python that has the library.
struct Client<'a> {
    server: &'a Server,
    python: &'a Path,
}

impl Client<'_> {
    fn run(&self, arguments: &[&str], more: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> String {
        let mut command = Command::new(self.python.with_file_name("dicomweb_client"));
        command.args(["--url", &self.server.url("/dicom-web"), "--bearer-token", &self.server.token]);
        let output = output(command.args(arguments).args(more));
        assert!(output.status.success(), "{arguments:?}: {}", text_of(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.run(arguments, [""; 0]);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {text}"))
    }
}

fn values<'a>(answers: &'a [Value], tag: &str) -> Vec<&'a Value> {
    answers.iter().map(|answer| &answer[tag]["Value"][0]).collect()
}

#[test]
fn the_command_line_stores_searches_and_retrieves() {
    let (Some(python), Some(data)) = (python(), shared("data")) else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let client = Client { server: &server, python: &python };
    let series = data.join("conformance/series/gantry-tilt-philips");
    let mut files: Vec<_> = fs::read_dir(series).expect("a folder").map(|file| file.expect("a file").path()).collect();
    files.sort();
    client.run(&["store", "instances"], &files);
    searches(&client, files.len());
    retrieves(&client, &files[0], files.len());
}

fn searches(client: &Client<'_>, count: usize) {
    let found = client.json(&["search", "studies", "--filter", "PatientID=PLAST*", "--prettify"]);
    assert_eq!(values(&found, "0020000D"), [STUDY]);
    assert!(client.json(&["search", "studies", "--filter", "PatientName=haed"]).is_empty());
    let typed = ["search", "studies", "--filter", "PatientName=head", "--fuzzy", "--field", "StudyID"];
    let found = client.json(&typed);
    assert_eq!(values(&found, "0020000D"), [STUDY]);
    assert!(found[0].get("00200010").is_some(), "{found:?}");
    let described = client.run(&["search", "series", "--study", STUDY, "--dicomize"], [""; 0]);
    assert!(described.contains(&format!("UI: {SERIES}")), "{described}");
    let page = |limit: &str, offset: &str| {
        let instances = ["search", "instances", "--study", STUDY, "--series", SERIES];
        client.json(&[&instances[..], &["--limit", limit, "--offset", offset]].concat())
    };
    let (all, first, rest) = (page("100", "0"), page("5", "0"), page("100", "5"));
    assert_eq!((all.len(), first.len()), (count, 5));
    assert_eq!([first, rest].concat(), all);
}

fn retrieves(client: &Client<'_>, file: &Path, count: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().display().to_string();
    let save = ["--save", "--output-dir", &place];
    let study = ["retrieve", "studies", "--study", STUDY];
    let series = ["retrieve", "series", "--study", STUDY, "--series", SERIES];
    let instance = ["retrieve", "instances", "--study", STUDY, "--series", SERIES, "--instance", INSTANCE];
    let saved = |ending: &str| {
        let names = fs::read_dir(folder.path()).expect("a folder").map(|file| file.expect("a file").path());
        names.filter(|path| path.extension().is_some_and(|extension| extension == ending)).count()
    };
    assert_eq!(client.json(&[&study[..], &["metadata"]].concat()).len(), count);
    client.run(&[&series[..], &["metadata"], &save].concat(), [""; 0]);
    assert_eq!(saved("json"), count);
    client.run(&[&study[..], &["full"], &save].concat(), [""; 0]);
    assert_eq!(saved("dcm"), count);
    let described = client.run(&[&instance[..], &["metadata", "--dicomize"]].concat(), [""; 0]);
    assert!(described.contains(&format!("UI: {INSTANCE}")), "{described}");
    let syntax = "1.2.840.10008.1.2.4.80";
    client.run(&[&instance[..], &["full", "--media-type", "application/dicom", syntax], &save].concat(), [""; 0]);
    let name = folder.path().join(format!("{INSTANCE}.dcm"));
    assert!(holds_frame_of(file, &fs::read(&name).expect("a file")), "other pixels in what was retrieved");
    let frames = ["frames", "--numbers", "1", "--media-type", "image/jls", syntax];
    client.run(&[&instance[..], &frames, &save].concat(), [""; 0]);
    let frame = fs::read(folder.path().join(format!("{INSTANCE}_1.jls"))).expect("a frame");
    assert!(holds_frame_of(file, &frame), "another frame");
}

/// Whether bytes hold the JPEG-LS code stream of a file of one frame.
fn holds_frame_of(file: &Path, bytes: &[u8]) -> bool {
    let file = fs::read(file).expect("the file that was stored");
    let find = |bytes: &[u8], wanted: &[u8]| bytes.windows(wanted.len()).position(|window| window == wanted);
    let start = find(&file, &[0xFF, 0xD8, 0xFF]).expect("a start of image");
    let end = file.windows(2).rposition(|window| window == [0xFF, 0xD9]).expect("an end of image") + 2;
    find(bytes, &file[start..end]).is_some()
}
