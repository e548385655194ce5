//! What the archive costs as it grows: studies of small instances, written through the front door, and the same
//! questions asked at each size. `cargo run --release -p benches --bin scale -- 1000 100000`, and with a
//! million studies `… -- 5000 --instances 10 --copies 199`

mod multiply;

use benches::{element, processor_seconds};
use futures::{StreamExt, stream};
use multiply::multiply;
use pacs_core::{
    TransferSyntax, Uid,
    part10::write_meta,
    query::{Condition, Level, Query},
    tags,
};
use std::{
    fs,
    time::{Duration, Instant},
};
use storage::{Archive, Expected, Origin, StorageConfig};

#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Studies at which to measure, in ascending order
    #[arg(default_values_t = [1_000, 100_000])]
    studies: Vec<u32>,
    /// PostgreSQL instead of SQLite
    #[arg(long)]
    database_url: Option<String>,
    /// Of each study
    #[arg(long, default_value_t = 1)]
    instances: u32,
    /// Copies of all in the catalog, made by SQL after the last of these sizes
    #[arg(long, default_value_t = 0)]
    copies: u32,
    /// Where data and index are for the time being
    #[arg(long, default_value = "/tmp")]
    folder: std::path::PathBuf,
    /// Senders at the same time
    #[arg(long, default_value_t = 32)]
    senders: usize,
}

const CLASS: &str = "1.2.840.10008.5.1.4.1.1.7";
/// After which a series is put into the store.
const QUIET: Duration = Duration::from_secs(1);
/// Requests behind each figure.
const REQUESTS: usize = 100;
/// Studies of each patient.
const STUDIES: u32 = 5;
/// Studies that are stored to see what storing costs.
const ADDED: u32 = 1000;
const SURNAMES: [(&str, &str); 12] = [
    ("王", "Wang"),
    ("李", "Li"),
    ("张", "Zhang"),
    ("刘", "Liu"),
    ("陈", "Chen"),
    ("杨", "Yang"),
    ("黄", "Huang"),
    ("赵", "Zhao"),
    ("吴", "Wu"),
    ("周", "Zhou"),
    ("徐", "Xu"),
    ("孙", "Sun"),
];
const GIVEN: [(&str, &str); 14] = [
    ("伟", "wei"),
    ("芳", "fang"),
    ("娜", "na"),
    ("敏", "min"),
    ("静", "jing"),
    ("丽", "li"),
    ("强", "qiang"),
    ("磊", "lei"),
    ("洋", "yang"),
    ("勇", "yong"),
    ("艳", "yan"),
    ("杰", "jie"),
    ("三", "san"),
    ("涛", "tao"),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = <Arguments as clap::Parser>::parse();
    let folder = tempfile::Builder::new().tempdir_in(&arguments.folder)?;
    let config = StorageConfig {
        data_dir: folder.path().into(),
        database_url: arguments.database_url.clone(),
        quiet_seconds: QUIET.as_secs(),
        ..StorageConfig::default()
    };
    let index = folder.path().join("index.sqlite");
    let mut archive = Archive::open(&config).await?;
    println!("| studies | figure | value |\n|---|---|---|");
    let mut held = 0;
    for &studies in &arguments.studies {
        grow(&archive, held..studies, &arguments).await?;
        held = studies;
        archive = measured(archive, &config, &arguments, &mut held, studies).await?;
    }
    if arguments.copies > 0 {
        archive.close().await;
        let url = arguments.database_url.clone().unwrap_or_else(|| format!("sqlite://{}", index.display()));
        multiply(&url, arguments.copies).await?;
        archive = Archive::open(&config).await?;
        let studies = held * (arguments.copies + 1);
        archive = measured(archive, &config, &arguments, &mut held, studies).await?;
    }
    archive.close().await;
    Ok(())
}

/// Prints the figures of an archive that holds so many studies; `held` of them are not copies.
async fn measured(
    archive: Archive,
    config: &StorageConfig,
    arguments: &Arguments,
    held: &mut u32,
    studies: u32,
) -> anyhow::Result<Archive> {
    settle(&archive).await?;
    questions(&archive, *held, studies).await?;
    let (start, before) = (Instant::now(), cpu()?);
    fill(&archive, *held..*held + ADDED, arguments).await?;
    *held += ADDED;
    let count = f64::from(ADDED * arguments.instances);
    row(studies, "instances a second, of new studies", count / start.elapsed().as_secs_f64());
    row(studies, "processor ms for each", (cpu()? - before) * 1e3 / count);
    let before = cpu()?;
    settle(&archive).await?;
    row(studies, "processor ms to put each series into the store", (cpu()? - before) * 1e3 / f64::from(ADDED));
    archive.close().await;
    if arguments.database_url.is_none() {
        let index = fs::metadata(config.data_dir.join("index.sqlite"))?.len();
        row(studies, "index bytes an instance", index as f64 / f64::from(studies * arguments.instances));
    }
    let start = Instant::now();
    let archive = Archive::open(config).await?;
    archive.find(&study(*held / 2)).await?;
    row(studies, "opening to first answer, ms", start.elapsed().as_secs_f64() * 1e3);
    Ok(archive)
}

/// Stores studies with all that the server does beside.
async fn grow(archive: &Archive, numbers: std::ops::Range<u32>, arguments: &Arguments) -> anyhow::Result<()> {
    tokio::select! {
        filled = fill(archive, numbers, arguments) => filled,
        () = upkeep(archive) => Ok(()),
    }
}

/// What the server does beside: packs go into the store, series are announced.
async fn upkeep(archive: &Archive) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Err(error) = archive.announce_quiet_series().await {
            eprintln!("{error}");
        }
        archive.seal_quiet_packs().await;
    }
}

/// Waits until all is in the store.
async fn settle(archive: &Archive) -> anyhow::Result<()> {
    tokio::time::sleep(QUIET).await;
    archive.announce_quiet_series().await?;
    while archive.seal_quiet_packs().await > 0 {}
    Ok(())
}

async fn fill(archive: &Archive, numbers: std::ops::Range<u32>, arguments: &Arguments) -> anyhow::Result<()> {
    let instances = numbers.flat_map(|n| (0..arguments.instances).map(move |instance| (n, instance)));
    let stored = stream::iter(instances).map(|(n, instance)| async move {
        archive.ingest(Origin::Room("scale"), &part10(n, instance)?, &Expected::default()).await?;
        anyhow::Ok(())
    });
    let mut stored = stored.buffer_unordered(arguments.senders);
    while let Some(stored) = stored.next().await {
        stored?;
    }
    Ok(())
}

/// Of what came through the front door, `held` studies of all.
async fn questions(archive: &Archive, held: u32, studies: u32) -> anyhow::Result<()> {
    let named = |name: &str, fuzzy| {
        let condition = if name.contains('*') { Condition::Wildcard } else { Condition::Exact }(name.to_owned());
        Query { conditions: [(tags::PATIENT_NAME, condition)].into(), fuzzy, ..page() }
    };
    let day = Condition::Range { from: Some("20240105".into()), to: Some("20240106".into()) };
    for (what, query) in [
        ("find by Study Instance UID", study(held / 2)),
        ("find by Patient ID", page().with(tags::PATIENT_ID, format!("P{:07}", held / 3 / STUDIES))),
        ("find two days", Query { conditions: [(tags::STUDY_DATE, day)].into(), ..page() }),
        ("find the newest 50", page()),
        ("find zhangsan", named("zhangsan", true)),
        ("find zs", named("zs", true)),
        ("find 张三", named("张三", true)),
        ("find Wang^*", named("Wang^*", false)),
        ("find *三*", named("*三*", false)),
        ("find *ang*", named("*ang*", false)),
    ] {
        let (mut taken, before) = (Vec::with_capacity(REQUESTS), cpu()?);
        for _ in 0..REQUESTS {
            let start = Instant::now();
            archive.find(&query).await?;
            taken.push(start.elapsed().as_secs_f64() * 1e3);
        }
        taken.sort_by(f64::total_cmp);
        row(studies, &format!("{what}, ms p50"), taken.get(REQUESTS / 2).copied().unwrap_or_default());
        row(studies, &format!("{what}, ms p99"), taken.get(REQUESTS - 1).copied().unwrap_or_default());
        row(studies, &format!("{what}, processor ms"), (cpu()? - before) * 1e3 / REQUESTS as f64);
    }
    Ok(())
}

fn page() -> Query {
    Query { limit: Some(50), ..Query::new(Level::Study) }
}

fn study(n: u32) -> Query {
    page().with(tags::STUDY_INSTANCE_UID, format!("1.2.{n}"))
}

/// A Part 10 file of some 500 bytes, of a study of its own; the same numbers give the same file.
fn part10(n: u32, instance: u32) -> anyhow::Result<Vec<u8>> {
    let patient = n / STUDIES;
    // Apart from the name, or a surname would be of one year.
    let day = n.wrapping_mul(2_654_435_761) / 4096 % 6720;
    let date = format!("20{:02}{:02}{:02}", day / 336 + 5, day / 28 % 12 + 1, day % 28 + 1);
    let pick = |list: &[(&'static str, &'static str)], at: u32| list[at as usize % list.len()];
    let (surname, given) = (pick(&SURNAMES, patient), [pick(&GIVEN, patient / 12), pick(&GIVEN, patient / 168)]);
    let given = if patient.is_multiple_of(3) { &given[..1] } else { &given[..] };
    let (ideographic, latin): (String, String) = given.iter().copied().unzip();
    let uid = format!("1.2.{n}.1.{}", instance + 1);
    let syntax = TransferSyntax::explicit_little();
    let mut file = write_meta(&CLASS.parse::<Uid>()?, &uid.parse::<Uid>()?, &syntax, None);
    for (tag, vr, value) in [
        (tags::SPECIFIC_CHARACTER_SET, "CS", "ISO_IR 192".to_owned()),
        (tags::SOP_CLASS_UID, "UI", CLASS.to_owned()),
        (tags::SOP_INSTANCE_UID, "UI", uid),
        (tags::STUDY_DATE, "DA", date),
        (tags::MODALITY, "CS", "CT".to_owned()),
        (tags::PATIENT_NAME, "PN", format!("{}^{latin}={}^{ideographic}", surname.1, surname.0)),
        (tags::PATIENT_ID, "LO", format!("P{patient:07}")),
        (tags::STUDY_INSTANCE_UID, "UI", format!("1.2.{n}")),
        (tags::SERIES_INSTANCE_UID, "UI", format!("1.2.{n}.1")),
    ] {
        element(&mut file, tag, vr, value.as_bytes());
    }
    Ok(file)
}

fn cpu() -> anyhow::Result<f64> {
    processor_seconds(std::process::id())
}

fn row(studies: u32, figure: &str, value: f64) {
    println!("| {studies} | {figure} | {value:.2} |");
}
