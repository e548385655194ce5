//! Measures Yinghai and Debian's Orthanc in one run, with the same data and the same clients.
//!
//! `storescu` pushes, plain HTTP/1.1 asks. Each figure is taken from both servers in turn, so that a slow machine is slow
//! for both; what counts is the ratio. Run by `benches/run`, which gives both a network namespace of their own, since
//! Orthanc listens on every address.

use anyhow::{Context, bail};
use benches::{NO_DELAY, Subject, element, phantom, series};
use pacs_core::{Tag, TransferSyntax, Uid, part10::write_meta, tags};
use reqwest::blocking::Client;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

#[derive(Debug, clap::Parser)]
struct Arguments {
    /// The `pacs` binary to measure
    #[arg(long)]
    pacs: PathBuf,
    /// Slices of the large series
    #[arg(long, default_value_t = 500)]
    slices: u16,
    /// A folder with one chest CT series for the AI; else a phantom
    #[arg(long)]
    chest_ct: Option<PathBuf>,
    /// Requests behind each latency
    #[arg(long, default_value_t = 200)]
    requests: usize,
}

/// Instances of each of the two tiny series.
const TINY: u16 = 1000;
/// Of the long instance: 210 MB.
const FRAMES: u16 = 400;
/// Seconds without an instance after which a series is complete, where the AI is measured.
const QUIET: u32 = 1;

fn main() -> anyhow::Result<()> {
    let arguments = <Arguments as clap::Parser>::parse();
    let work = tempfile::tempdir()?;
    let large = series(&work.path().join("large"), 11, arguments.slices)?;
    let four: Vec<_> = (0..4)
        .map(|n| series(&work.path().join(format!("part{n}")), 20 + n, arguments.slices / 4))
        .collect::<Result<_, _>>()?;
    // The AI is measured apart: beside the others it would only compete for the processors.
    let ours = Subject::yinghai(&work.path().join("yinghai"), &arguments.pacs, &["--set", "ai.enabled=false"])?;
    let mut subjects = [ours, Subject::orthanc(work.path(), true)?];

    println!("| figure | {} | {} | ratio |\n|---|---|---|---|", subjects[0].name, subjects[1].name);
    let megabytes = |folders: &[&Path]| -> f64 { folders.iter().map(|f| size(f)).sum::<u64>() as f64 / 1e6 };
    let before = both(&subjects, Subject::processor_seconds)?;
    let one = both(&subjects, |s| push(s, &[&large]))?;
    row("ingest, 1 association, instances/s", one.map(|t| f64::from(arguments.slices) / t));
    row("ingest, 1 association, MB/s", one.map(|t| megabytes(&[&large]) / t));
    let folders: Vec<&Path> = four.iter().map(PathBuf::as_path).collect();
    let parallel = both(&subjects, |s| push(s, &folders))?;
    row("ingest, 4 associations, instances/s", parallel.map(|t| f64::from(arguments.slices / 4 * 4) / t));
    row("ingest, 4 associations, MB/s", parallel.map(|t| megabytes(&folders) / t));
    let after = both(&subjects, Subject::processor_seconds)?;
    let gigabytes = (megabytes(&[&large]) + megabytes(&folders)) / 1e3;
    row("ingest, CPU s/GB", [0, 1].map(|i| (after[i] - before[i]) / gigabytes));
    row("resident memory at most until here, MiB", [subjects[0].peak()?, subjects[1].peak()?]);
    tiny(work.path(), &subjects)?;
    long(work.path(), &subjects)?;

    let phantom = phantom(11, arguments.slices);
    let series = format!("/studies/{}/series/{}", phantom.study_uid(), phantom.series_uid());
    let json = "application/dicom+json";
    let qido = both(&subjects, |s| {
        latencies(s, arguments.requests, |_| "/studies?PatientID=BENCH*&limit=50".to_owned(), json)
    })?;
    quantiles("QIDO studies, ms", &qido);
    let metadata = both(&subjects, |s| latencies(s, 5, |_| format!("{series}/metadata"), json))?;
    quantiles(&format!("metadata of {} slices, ms", arguments.slices), &metadata);
    let instances = both(&subjects, |s| instances(s, &series))?;
    let frames = [0, 1].map(|i| {
        let uid = |n: usize| format!("{series}/instances/{}/frames/1", instances[i][n * 7 % instances[i].len()]);
        let accept = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";
        latencies(&subjects[i], arguments.requests, uid, accept)
    });
    let [ours, theirs] = frames;
    quantiles("frame 512×512×16 bit, ms", &[ours?, theirs?]);
    row("resident memory after all this, MiB", [subjects[0].resident()?, subjects[1].resident()?]);
    subjects.iter_mut().for_each(|s| drop(s.process.kill()));

    let chest = arguments.chest_ct.unwrap_or(four.into_iter().next().context("a series")?);
    let quiet = format!("storage.quiet_seconds={QUIET}");
    let reader = Subject::yinghai(&work.path().join("reader"), &arguments.pacs, &["--set", &quiet])?;
    println!("\n| figure | {} |\n|---|---|", reader.name);
    println!("| chest CT of {} slices, pushed to report stored, s | {:.1} |", count(&chest), report(&reader, &chest)?);
    println!("| resident memory after that, MiB | {:.1} |", reader.resident()?);
    Ok(())
}

/// Instances of 600 bytes over two associations: what an instance costs whatever its size.
fn tiny(work: &Path, subjects: &[Subject; 2]) -> anyhow::Result<()> {
    let folders = [work.join("tiny0"), work.join("tiny1")];
    for (series, folder) in folders.iter().enumerate() {
        fs::create_dir_all(folder)?;
        for n in 0..TINY {
            fs::write(folder.join(format!("{n:05}.dcm")), image(&format!("1.2.{series}.1.{n}"), 8, 1))?;
        }
    }
    let folders = folders.each_ref().map(PathBuf::as_path);
    let before = both(subjects, Subject::processor_seconds)?;
    let seconds = both(subjects, |s| push(s, &folders))?;
    let after = both(subjects, Subject::processor_seconds)?;
    let count = f64::from(2 * TINY);
    row("tiny instances, 2 associations, instances/s", seconds.map(|t| count / t));
    row("tiny instances, CPU ms each", [0, 1].map(|i| (after[i] - before[i]) * 1e3 / count));
    Ok(())
}

/// A frame in the middle of an instance of many.
fn long(work: &Path, subjects: &[Subject; 2]) -> anyhow::Result<()> {
    let folder = work.join("long");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("long.dcm"), image("1.2.9.1.1", 512, FRAMES))?;
    both(subjects, |s| push(s, &[&folder]))?;
    let path = "/studies/1.2.9/series/1.2.9.1/instances/1.2.9.1.1/frames/";
    let accept = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";
    let before = both(subjects, Subject::processor_seconds)?;
    let times = both(subjects, |s| latencies(s, 9, |n| format!("{path}{}", FRAMES / 2 + n as u16), accept))?;
    let after = both(subjects, Subject::processor_seconds)?;
    quantiles(&format!("one frame of {FRAMES}, ms"), &times);
    row("one frame of many, CPU ms", [0, 1].map(|i| (after[i] - before[i]) * 1e2));
    row("resident memory at most until here, MiB", [subjects[0].peak()?, subjects[1].peak()?]);
    Ok(())
}

/// A Part 10 file with `frames` square frames of 16 bits; the UID's last two components are series and number.
fn image(uid: &str, side: u16, frames: u16) -> Vec<u8> {
    let up = |uid: &str| uid.rsplit_once('.').map_or_else(String::new, |(head, _)| head.to_owned());
    let (series, class) = (up(uid), "1.2.840.10008.5.1.4.1.1.7.3");
    let (Ok(class_uid), Ok(instance)) = (class.parse::<Uid>(), uid.parse::<Uid>()) else { return Vec::new() };
    let mut file = write_meta(&class_uid, &instance, &TransferSyntax::explicit_little(), None);
    let (study, frames_text, words) = (up(&series), frames.to_string(), u16::to_le_bytes);
    let elements: [(Tag, &str, &[u8]); 16] = [
        (tags::SOP_CLASS_UID, "UI", class.as_bytes()),
        (tags::SOP_INSTANCE_UID, "UI", uid.as_bytes()),
        (tags::MODALITY, "CS", b"OT"),
        (tags::PATIENT_NAME, "PN", b"Bench^Tiny"),
        (tags::PATIENT_ID, "LO", b"TINY"),
        (tags::STUDY_INSTANCE_UID, "UI", study.as_bytes()),
        (tags::SERIES_INSTANCE_UID, "UI", series.as_bytes()),
        (tags::SAMPLES_PER_PIXEL, "US", &words(1)),
        (tags::PHOTOMETRIC_INTERPRETATION, "CS", b"MONOCHROME2"),
        (tags::NUMBER_OF_FRAMES, "IS", frames_text.as_bytes()),
        (tags::ROWS, "US", &words(side)),
        (tags::COLUMNS, "US", &words(side)),
        (tags::BITS_ALLOCATED, "US", &words(16)),
        (tags::BITS_STORED, "US", &words(16)),
        (tags::HIGH_BIT, "US", &words(15)),
        (tags::PIXEL_REPRESENTATION, "US", &words(0)),
    ];
    for (tag, vr, value) in elements {
        element(&mut file, tag, vr, value);
    }
    let bytes = usize::from(side) * usize::from(side) * 2 * usize::from(frames);
    file.extend(b"\xe0\x7f\x10\x00OW\0\0");
    file.extend((bytes as u32).to_le_bytes());
    file.resize(file.len() + bytes, 7);
    file
}

/// Seconds from the last slice of a series to the Structured Report about it, the quiet time left out.
fn report(subject: &Subject, folder: &Path) -> anyhow::Result<f64> {
    // A clinical series is compressed, and dcmsend proposes the files' own transfer syntaxes.
    let mut send = Command::new("/usr/bin/dcmsend");
    send.args(["-aec", subject.aet, "+sd", "+sp", "*.dcm", "127.0.0.1", &subject.dicom.to_string()]).arg(folder);
    if !send.envs([NO_DELAY]).status()?.success() {
        bail!("dcmsend failed");
    }
    let start = Instant::now();
    let client = client()?;
    while get(&client, subject, "/series?Modality=SR", "application/dicom+json").map_or(true, |found| found.len() < 3) {
        if start.elapsed() > Duration::from_secs(300) {
            bail!("no report in five minutes");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(start.elapsed().as_secs_f64() - f64::from(QUIET))
}

fn count(folder: &Path) -> usize {
    let files = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    files.filter(|file| file.path().extension().is_some_and(|extension| extension == "dcm")).count()
}

fn size(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    files.filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum()
}

fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().no_proxy().timeout(Duration::from_secs(300)).build()?)
}

fn both<T>(subjects: &[Subject; 2], mut measure: impl FnMut(&Subject) -> anyhow::Result<T>) -> anyhow::Result<[T; 2]> {
    let mut of = |s: &Subject| measure(s).with_context(|| format!("measuring {}", s.name));
    Ok([of(&subjects[0])?, of(&subjects[1])?])
}

/// Seconds to push the folders, each over an association of its own.
fn push(subject: &Subject, folders: &[&Path]) -> anyhow::Result<f64> {
    let start = Instant::now();
    let running = folders.iter().map(|folder| {
        let mut storescu = Command::new("/usr/bin/storescu");
        storescu.args(["-aec", subject.aet, "+sd", "127.0.0.1", &subject.dicom.to_string()]).arg(folder);
        storescu.envs([NO_DELAY]);
        storescu.spawn()
    });
    for process in running.collect::<Vec<_>>() {
        let status = process?.wait()?;
        if !status.success() {
            bail!("storescu to {} failed: {status}", subject.name);
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

fn get(client: &Client, subject: &Subject, path: &str, accept: &str) -> anyhow::Result<Vec<u8>> {
    let mut request = client.get(format!("{}{path}", subject.base)).header("accept", accept);
    if let Some(token) = &subject.token {
        request = request.header("authorization", token);
    }
    let response = request.send()?.error_for_status()?;
    Ok(response.bytes()?.to_vec())
}

/// Milliseconds of each request, sorted; one connection, one request at a time.
fn latencies(
    subject: &Subject,
    count: usize,
    path: impl Fn(usize) -> String,
    accept: &str,
) -> anyhow::Result<Vec<f64>> {
    let client = client()?;
    get(&client, subject, &path(0), accept)?;
    let mut taken = Vec::with_capacity(count);
    for n in 0..count {
        let start = Instant::now();
        get(&client, subject, &path(n), accept)?;
        taken.push(start.elapsed().as_secs_f64() * 1e3);
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken)
}

fn instances(subject: &Subject, series: &str) -> anyhow::Result<Vec<String>> {
    let found: Value =
        serde_json::from_slice(&get(&client()?, subject, &format!("{series}/instances"), "application/dicom+json")?)?;
    let rows = found.as_array().context("QIDO answers with a list")?;
    Ok(rows.iter().filter_map(|r| r["00080018"]["Value"][0].as_str().map(str::to_owned)).collect())
}

fn quantiles(figure: &str, [ours, theirs]: &[Vec<f64>; 2]) {
    let at = |taken: &[f64], q: f64| taken[((taken.len() - 1) as f64 * q).round() as usize];
    row(&format!("{figure}, p50"), [at(ours, 0.5), at(theirs, 0.5)]);
    if ours.len() >= 100 {
        row(&format!("{figure}, p99"), [at(ours, 0.99), at(theirs, 0.99)]);
    }
}

fn row(figure: &str, [ours, theirs]: [f64; 2]) {
    println!("| {figure} | {ours:.1} | {theirs:.1} | {:.2} |", ours / theirs);
}
