//! Two processes of different rooms on two data folders share one PostgreSQL and one S3 bucket: what the first receives the
//! second shows.

use reqwest::StatusCode;
use scenarios::{Running, Server, free_port, pacs, program, run, shared, wait_for};
use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const SERIES: usize = 3;
const SLICES: usize = 20;
/// The end of a file is pixels, as they were sent.
const PIXELS: usize = 64 << 10;
/// A few seconds, in which the second process finds what it cannot read yet.
const QUIET_SECONDS: u32 = 5;

/// A database of our own.
fn database(name: &str) -> Option<String> {
    let Ok(server) = std::env::var("PACS_TEST_POSTGRES_URL") else {
        eprintln!("skipped: no PostgreSQL, as PACS_TEST_POSTGRES_URL is not set");
        return None;
    };
    run(Command::new(program("psql")?).args([&server, "-qc", &format!("create database {name}")]));
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    Some(format!("{base}/{name}"))
}

/// The bucket and the log of the server that has it.
fn bucket() -> Option<(String, PathBuf)> {
    let variable = |name| std::env::var(name).ok();
    let found = variable("PACS_TEST_S3_URL").zip(variable("PACS_TEST_S3_LOG").map(PathBuf::from));
    if found.is_none() {
        eprintln!("skipped: no S3 server, as PACS_TEST_S3_URL and PACS_TEST_S3_LOG are not set");
    }
    found
}

/// Slices of one real series, as several series of one study.
fn study(folder: &Path) -> Option<Vec<PathBuf>> {
    let real = shared("data/chest-ct/LIDC-IDRI-0001")?;
    let dcmodify = program("dcmodify")?;
    let mut files: Vec<_> = fs::read_dir(real).ok()?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "dcm"));
    files.sort();
    files.truncate(SERIES * SLICES);
    let mut copies = Vec::new();
    for (series, group) in files.chunks(SLICES).enumerate() {
        let mut change = Command::new(&dcmodify);
        change.args(["-nb", "-m", &format!("(0020,000e)=1.2.3.{series}")]);
        for file in group {
            let copy = folder.join(file.file_name()?);
            fs::copy(file, &copy).expect("copied");
            change.arg(&copy);
            copies.push(copy);
        }
        run(&mut change);
    }
    Some(copies)
}

/// The process that receives; it has no HTTP.
fn receiver(folder: &Path, port: u16) -> Running {
    let log = fs::File::create(folder.join("log")).expect("a log");
    let mut command = Command::new(pacs());
    command.args(["serve", "--roles", "dicom", &format!("--dicom-listen=127.0.0.1:{port}")]);
    let child = command.current_dir(folder).stdout(log.try_clone().expect("a log")).stderr(log).spawn();
    let running = Running(child.expect("pacs starts"));
    wait_for("the DICOM node", Duration::from_secs(30), || TcpStream::connect(("127.0.0.1", port)).ok());
    running
}

/// PUT requests for packs under a prefix, by the server's log.
fn puts(log: &Path, path: &str) -> usize {
    let log = fs::read_to_string(log).expect("the log of the S3 server");
    log.lines().filter(|line| line.contains(&format!("PUT {path}")) && !line.contains("/check-")).count()
}

#[test]
fn what_one_process_receives_another_shows_when_it_is_sealed() {
    let name = format!("several_{}", std::process::id());
    let (Some((bucket, s3_log)), Some(database)) = (bucket(), database(&name)) else { return };
    let first = tempfile::tempdir().expect("a folder");
    let Some(files) = study(first.path()) else { return };
    let Some(storescu) = program("storescu") else { return };
    let second = tempfile::tempdir().expect("a folder");
    let config = format!(
        "[storage]\ndatabase_url = \"{database}\"\nstore_url = \"{bucket}/{name}\"\nquiet_seconds = {QUIET_SECONDS}\n"
    );
    for folder in [first.path(), second.path()] {
        fs::write(folder.join("pacs.toml"), &config).expect("written");
    }
    let port = free_port();
    let _receiver = receiver(first.path(), port);
    let server = Server::start_in(second, &["--roles", "web,ai,integration"]);

    run(Command::new(storescu).args(["-xt", "-aec", "YINGHAI", "127.0.0.1", &port.to_string()]).args(&files));
    let found = server.get("/dicom-web/instances?limit=200");
    let uid = |tag: &str| found[0][tag]["Value"][0].as_str().expect("a UID").to_owned();
    assert_eq!(found.as_array().map(Vec::len), Some(SERIES * SLICES));
    let study = format!("/dicom-web/studies/{}", uid("0020000D"));
    let instance = format!("{study}/series/{}/instances/{}", uid("0020000E"), uid("00080018"));
    for (path, accept) in [
        (study.clone(), "multipart/related; type=\"application/dicom\"; transfer-syntax=*"),
        (format!("{study}/metadata"), "application/dicom+json"),
        (instance.clone(), "application/dicom; transfer-syntax=*"),
        (format!("{instance}/frames/1"), "multipart/related; type=\"application/octet-stream\""),
        (format!("{instance}/rendered"), "image/png"),
    ] {
        let refused = server.request(&path, accept);
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(refused.headers().contains_key("retry-after"), "{path}");
        let problem = refused.text().expect("a problem");
        assert!(problem.contains("not sealed"), "{problem}");
    }

    let limit = Duration::from_secs(60);
    let bytes = wait_for("the packs to be sealed", limit, || {
        let answer = server.request(&study, "multipart/related; type=\"application/dicom\"; transfer-syntax=*");
        answer.status().is_success().then(|| answer.bytes().expect("a body"))
    });
    assert!(bytes.len() > SERIES * SLICES * PIXELS);
    let one = server.request(&instance, "application/dicom; transfer-syntax=*").bytes().expect("a body");
    let pixels = &one[one.len() - PIXELS..];
    assert!(files.iter().any(|file| fs::read(file).expect("read").ends_with(pixels)));
    assert_eq!(server.get(&format!("{study}/metadata")).as_array().map(Vec::len), Some(SERIES * SLICES));
    assert_eq!(server.request(&format!("{instance}/rendered"), "image/png").status(), StatusCode::OK);
    println!("{}", server.pacs(&["verify"]));
    // The series are complete a moment before they are sealed: the AI waits and needs no second attempt.
    let jobs = wait_for("the AI", limit, || {
        let jobs = server.pacs(&["jobs", "list", "ai"]);
        (jobs.matches(" done ").count() == SERIES).then_some(jobs)
    });
    assert_eq!(jobs.matches("tries  1").count(), SERIES, "{jobs}");
    let path = format!("/{}/{name}/", bucket.trim_start_matches("s3://"));
    let puts = puts(&s3_log, &path);
    println!("{puts} PUTs for {SERIES} series");
    assert!((SERIES..=10).contains(&puts), "{puts} PUTs");
}
