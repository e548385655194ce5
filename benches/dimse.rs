//! Measures the DICOM node beside Debian's Orthanc and dcmtk's dcmqrscp, in one run, with the same data and clients.
//!
//! Each figure is taken from all servers in turn, `--rounds` times, and the median of each is printed. Run by
//! `benches/run --dimse`, which gives them a network namespace of their own, since Orthanc listens on every address.

use anyhow::{Context, bail, ensure};
use benches::{Instance, NO_DELAY, Requestor, Subject, phantom, series};
use bytes::Bytes;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

#[derive(Debug, clap::Parser)]
struct Arguments {
    /// The `pacs` binary to measure
    #[arg(long)]
    pacs: PathBuf,
    /// Slices of the series
    #[arg(long, default_value_t = 500)]
    slices: u16,
    /// How often each figure is taken
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Slices that a client as shipped sends: at 44 ms each, more would only take longer.
const AS_SHIPPED: u16 = 100;
const IDLE: usize = 500;
const BUSY: usize = 16;
const CROWD: usize = 64;

fn main() -> anyhow::Result<()> {
    let arguments = <Arguments as clap::Parser>::parse();
    let work = tempfile::tempdir()?;
    idle(work.path(), &arguments.pacs)?;
    let large = series(&work.path().join("large"), 11, arguments.slices)?;
    let ours = Subject::yinghai(&work.path().join("yinghai"), &arguments.pacs, &["--set", "ai.enabled=false"])?;
    know_receiver(&work.path().join("yinghai"), &arguments.pacs)?;
    let all = [
        ours,
        Subject::orthanc(work.path(), true)?,
        Subject::orthanc(work.path(), false)?,
        Subject::dcmqrscp(work.path())?,
    ];
    let [ours, orthanc, as_installed, dcmqrscp] = &all;
    println!("\n| figure | {} |", all.iter().map(|subject| subject.name).collect::<Vec<_>>().join(" | "));
    println!("|---{}|", "|---".repeat(all.len()));

    let shipped = |subject: &Subject, round: usize| {
        let folder =
            series(&work.path().join(format!("shipped{round}{}", subject.name)), 100 + round as u64, AS_SHIPPED)?;
        timed(|| finished(Command::new("/usr/bin/storescu").args(address(subject, &["+sd"])).arg(&folder)))
    };
    let seconds = medians(&[ours, orthanc, as_installed, dcmqrscp], arguments.rounds, shipped)?;
    row("storescu as shipped, instances/s", &seconds.map(|seconds| f64::from(AS_SHIPPED) / seconds));

    for subject in &all {
        finished(Command::new("/usr/bin/storescu").args(address(subject, &["+sd"])).arg(&large).envs([NO_DELAY]))?;
    }
    let study = phantom(11, arguments.slices).study_uid().to_string();
    retrieval(work.path(), [ours, orthanc, as_installed, dcmqrscp], &study, &arguments)?;
    asynchronous(ours, arguments.rounds)?;
    crowd(&all)?;
    queries(ours, &study)
}

/// What an empty archive costs that nobody uses.
fn idle(work: &Path, pacs: &Path) -> anyhow::Result<()> {
    let start = Instant::now();
    let ours = Subject::begun(&work.join("idle"), pacs, &[])?;
    while Requestor::open(&ours, 1).and_then(|mut association| association.echo()).is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let ready = start.elapsed();
    println!("| figure | {} |\n|---|---|", ours.name);
    println!("| start of a new archive to first C-ECHO, ms | {:.0} |", ready.as_secs_f64() * 1e3);
    // What starting took is given back by then.
    std::thread::sleep(Duration::from_secs(100));
    let resident = ours.resident()?;
    println!("| resident memory, idle, MiB | {resident:.1} |");
    let before = ours.processor_seconds()?;
    std::thread::sleep(Duration::from_secs(20));
    println!("| processor time, idle, % | {:.2} |", (ours.processor_seconds()? - before) * 5.0);
    let held = (0..IDLE).map(|_| Requestor::open(&ours, 1)).collect::<Result<Vec<_>, _>>()?;
    std::thread::sleep(Duration::from_secs(5));
    println!("| {IDLE} idle associations, MiB more | {:.1} |", ours.resident()? - resident);
    drop(held);
    Ok(())
}

/// C-GET and C-MOVE of a study, to dcmtk's getscu and storescp.
fn retrieval(work: &Path, subjects: [&Subject; 4], study: &str, arguments: &Arguments) -> anyhow::Result<()> {
    let keys =
        ["-k".to_owned(), "QueryRetrieveLevel=STUDY".to_owned(), "-k".to_owned(), format!("StudyInstanceUID={study}")];
    let folder = work.join("retrieved");
    let gigabytes = f64::from(arguments.slices) * 528e3 / 1e9;
    let before = processor(&subjects)?;
    let get = |subject: &Subject, _| {
        emptied(&folder)?;
        let mut getscu = Command::new("/usr/bin/getscu");
        getscu.args(address(subject, &["-S", "+B"])).args(&keys).arg("-od").arg(&folder).envs([NO_DELAY]);
        let seconds = timed(|| finished(&mut getscu))?;
        complete(subject, &folder, arguments.slices)?;
        Ok(seconds)
    };
    let seconds = medians(&subjects, arguments.rounds, get)?;
    row("C-GET, instances/s", &seconds.map(|seconds| f64::from(arguments.slices) / seconds));
    let between = processor(&subjects)?;
    let receiver = Receiver::start(&folder)?;
    let moved = |subject: &Subject, _| {
        emptied(&folder)?;
        let mut movescu = Command::new("/usr/bin/movescu");
        movescu.args(address(subject, &["-S", "-aem", "RECEIVER"])).args(&keys).envs([NO_DELAY]);
        let seconds = timed(|| finished(&mut movescu))?;
        complete(subject, &folder, arguments.slices)?;
        Ok(seconds)
    };
    let seconds = medians(&subjects, arguments.rounds, moved)?;
    drop(receiver);
    row("C-MOVE, instances/s", &seconds.map(|seconds| f64::from(arguments.slices) / seconds));
    let after = processor(&subjects)?;
    let each = gigabytes * arguments.rounds as f64;
    row("C-GET, processor s/GB", &[0, 1, 2, 3].map(|i| (between[i] - before[i]) / each));
    row("C-MOVE, processor s/GB", &[0, 1, 2, 3].map(|i| (after[i] - between[i]) / each));
    Ok(())
}

/// One association with a window of eight operations, and four with one each.
fn asynchronous(ours: &Subject, rounds: usize) -> anyhow::Result<()> {
    let (mut one, mut four) = (Vec::new(), Vec::new());
    for round in 0..rounds as u64 {
        let of = |seed: u64, slices: u16| instances(2000 + round * 10 + seed, slices);
        let all = of(0, 400)?;
        one.push(timed(|| Requestor::open(ours, 8)?.store(&all))?);
        let parts = (1..5).map(|seed| of(seed, 100)).collect::<Result<Vec<_>, _>>()?;
        four.push(timed(|| side_by_side(&parts, |part| Requestor::open(ours, 1)?.store(part)))?);
    }
    let (one, four) = (400.0 / median(one), 400.0 / median(four));
    println!("\n| figure | {} |\n|---|---|", ours.name);
    println!("| ingest, 1 association with a window of 8, instances/s | {one:.0} |");
    println!("| ingest, 4 associations, instances/s | {four:.0} |");
    println!("| the one of the four | {:.2} |", one / four);
    Ok(())
}

/// Many associations at once, some of which send; beside them a C-ECHO every now and then.
fn crowd(subjects: &[Subject]) -> anyhow::Result<()> {
    println!("\n| figure | failed associations | failed instances | C-ECHO p95, ms |\n|---|---|---|---|");
    for (index, subject) in subjects.iter().enumerate().filter(|(_, subject)| subject.name != "Orthanc as installed") {
        let idle: Vec<_> = (BUSY..CROWD).map(|_| Requestor::open(subject, 1)).collect();
        let refused = idle.iter().filter(|opened| opened.is_err()).count();
        let parts =
            (0..BUSY as u64).map(|n| instances(5000 + n + 100 * index as u64, 60)).collect::<Result<Vec<_>, _>>()?;
        let (failed, mut echoes) = std::thread::scope(|scope| {
            let sending: Vec<_> = parts.iter().map(|part| scope.spawn(move || failures(subject, part))).collect();
            let mut echoes = Vec::new();
            while sending.iter().any(|sender| !sender.is_finished()) {
                echoes
                    .push(timed(|| Requestor::open(subject, 1)?.echo()).map_or(f64::INFINITY, |seconds| seconds * 1e3));
                std::thread::sleep(Duration::from_millis(20));
            }
            (sending.into_iter().map(|sender| sender.join().unwrap_or(60)).sum::<usize>(), echoes)
        });
        echoes.sort_by(f64::total_cmp);
        let p95 = echoes.get(echoes.len() * 95 / 100).copied().unwrap_or(f64::NAN);
        println!("| {} | {refused} of {} | {failed} of {} | {p95:.1} |", subject.name, CROWD - BUSY, BUSY * 60);
    }
    Ok(())
}

/// How many of the instances could not be stored over one association.
fn failures(subject: &Subject, part: &[Instance]) -> usize {
    let Ok(mut requestor) = Requestor::open(subject, 1) else { return part.len() };
    part.iter().filter(|instance| requestor.store(std::slice::from_ref(*instance)).is_err()).count()
}

/// C-FIND by UID, and for fifty studies.
fn queries(ours: &Subject, study: &str) -> anyhow::Result<()> {
    const ASKED: u32 = 1000;
    let mut requestor = Requestor::open(ours, 1)?;
    let small: Vec<_> = (0..60).map(|n| instances(9000 + n, 1)).collect::<Result<Vec<_>, _>>()?.concat();
    requestor.store(&small)?;
    println!("\n| figure | matches | processor ms | ms |\n|---|---|---|---|");
    for (name, key, value) in
        [("C-FIND by UID", 0x0020_000D_u32, study), ("C-FIND by Patient ID", 0x0010_0020, "BENCH90*")]
    {
        let identifier = identifier(&[(0x0008_0052, "STUDY"), (0x0010_0010, ""), (0x0010_0020, ""), (key, value)]);
        let matches = requestor.find(&identifier)?;
        let before = ours.processor_seconds()?;
        let seconds = timed(|| (0..ASKED).try_for_each(|_| requestor.find(&identifier).map(drop)))?;
        let processor = ours.processor_seconds()? - before;
        let each = |seconds: f64| seconds * 1e3 / f64::from(ASKED);
        println!("| {name} | {matches} | {:.2} | {:.2} |", each(processor), each(seconds));
    }
    requestor.release()
}

/// An identifier in implicit VR little endian: each tag as one number, ascending but for one that replaces another.
fn identifier(keys: &[(u32, &str)]) -> Bytes {
    let sorted: std::collections::BTreeMap<_, _> = keys.iter().copied().collect();
    let mut bytes = Vec::new();
    for (tag, value) in sorted {
        let pad = if tag == 0x0020_000D { '\0' } else { ' ' };
        let value = if value.len() % 2 == 1 { format!("{value}{pad}") } else { value.to_owned() };
        bytes.extend(((tag >> 16) as u16).to_le_bytes());
        bytes.extend((tag as u16).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
        bytes.extend(value.as_bytes());
    }
    bytes.into()
}

/// dcmtk's storescp as AE `RECEIVER`; it drops what it gets on disk in a folder.
struct Receiver(Child);

impl Receiver {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        emptied(folder)?;
        let mut storescp = Command::new("/usr/bin/storescp");
        storescp.args(["-aet", "RECEIVER", "+B", "-od"]).arg(folder).arg("21113").envs([NO_DELAY]);
        let child = storescp.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("storescp")?;
        std::thread::sleep(Duration::from_millis(500));
        Ok(Self(child))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // One that is gone already needs no ending.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn know_receiver(data: &Path, pacs: &Path) -> anyhow::Result<()> {
    let place = format!("--data-dir={}", data.display());
    let add = ["ae", "add", "RECEIVER", "--host", "127.0.0.1", "--port", "21113"];
    finished(Command::new(pacs).args(add).arg(place).stdout(Stdio::null()))
}

fn instances(seed: u64, slices: u16) -> anyhow::Result<Vec<Instance>> {
    let mut all = Vec::new();
    phantom(seed, slices).slices(|_, file| {
        all.push(Instance::of(file.as_ref())?);
        Ok(())
    })?;
    Ok(all)
}

/// Arguments of a dcmtk client that calls a server.
fn address(subject: &Subject, options: &[&str]) -> Vec<String> {
    let common = ["-aec".to_owned(), subject.aet.to_owned(), "127.0.0.1".to_owned(), subject.dicom.to_string()];
    options.iter().map(|option| (*option).to_owned()).chain(common).collect()
}

fn finished(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stderr(Stdio::null()).status()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

fn emptied(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

fn complete(subject: &Subject, folder: &Path, slices: u16) -> anyhow::Result<()> {
    let files = fs::read_dir(folder)?.count();
    if files != usize::from(slices) {
        bail!("{} sent {files} of {slices} instances", subject.name);
    }
    Ok(())
}

fn side_by_side(
    parts: &[Vec<Instance>],
    work: impl Fn(&[Instance]) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = parts.iter().map(|part| scope.spawn(move || work(part))).collect();
        running.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| bail!("a client ended badly")))
    })
}

fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn processor(subjects: &[&Subject; 4]) -> anyhow::Result<Vec<f64>> {
    subjects.iter().map(|subject| subject.processor_seconds()).collect()
}

/// The median of each server, which are asked in turn.
fn medians(
    subjects: &[&Subject; 4],
    rounds: usize,
    mut measure: impl FnMut(&Subject, usize) -> anyhow::Result<f64>,
) -> anyhow::Result<[f64; 4]> {
    let mut taken = [const { Vec::new() }; 4];
    for round in 0..rounds {
        for (of, subject) in taken.iter_mut().zip(subjects) {
            of.push(measure(subject, round).with_context(|| format!("measuring {}", subject.name))?);
        }
    }
    Ok(taken.map(median))
}

fn median(mut taken: Vec<f64>) -> f64 {
    taken.sort_by(f64::total_cmp);
    taken.get(taken.len() / 2).copied().unwrap_or(f64::NAN)
}

fn row(figure: &str, values: &[f64]) {
    let values: Vec<_> = values.iter().map(|value| format!("{value:.1}")).collect();
    println!("| {figure} | {} |", values.join(" | "));
}
