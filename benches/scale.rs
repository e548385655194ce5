//! What the archive costs as it grows: studies of one small instance each, written through the front door, and the same
//! questions asked at each size. `cargo run --release -p benches --bin scale -- 1000 100000`

use benches::{element, processor_seconds};
use futures::{StreamExt, stream};
use pacs_core::{
    TransferSyntax, Uid,
    part10::write_meta,
    query::{Condition, Level, Query},
    tags,
};
use std::{fs, time::Instant};
use storage::{Archive, Expected, Origin, StorageConfig};

#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Studies at which to measure, in ascending order
    #[arg(default_values_t = [1_000, 100_000])]
    studies: Vec<u32>,
    /// PostgreSQL instead of SQLite
    #[arg(long)]
    database_url: Option<String>,
    /// Senders at the same time
    #[arg(long, default_value_t = 32)]
    senders: usize,
}

const CLASS: &str = "1.2.840.10008.5.1.4.1.1.7";
/// Requests behind each figure.
const REQUESTS: usize = 31;
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
    let folder = tempfile::tempdir()?;
    let config = StorageConfig {
        data_dir: folder.path().into(),
        database_url: arguments.database_url.clone(),
        ..StorageConfig::default()
    };
    let mut archive = Archive::open(&config).await?;
    println!("| studies | figure | value |\n|---|---|---|");
    let mut held = 0;
    for &studies in &arguments.studies {
        let (start, before) = (Instant::now(), cpu()?);
        fill(&archive, held..studies, arguments.senders).await?;
        let count = f64::from(studies - held);
        row(studies, "new studies of one instance a second", count / start.elapsed().as_secs_f64());
        row(studies, "processor ms for each", (cpu()? - before) * 1e3 / count);
        held = studies;
        questions(&archive, held).await?;
        archive.close().await;
        if arguments.database_url.is_none() {
            let index = fs::metadata(folder.path().join("index.sqlite"))?.len();
            row(held, "index bytes a study of one instance", index as f64 / f64::from(held));
        }
        let start = Instant::now();
        archive = Archive::open(&config).await?;
        archive.find(&study(held / 2)).await?;
        row(held, "opening to first answer, ms", start.elapsed().as_secs_f64() * 1e3);
    }
    archive.close().await;
    Ok(())
}

async fn fill(archive: &Archive, numbers: std::ops::Range<u32>, senders: usize) -> anyhow::Result<()> {
    let stored = stream::iter(numbers).map(|n| async move {
        archive.ingest(Origin::Room("scale"), &part10(n)?, &Expected::default()).await?;
        anyhow::Ok(())
    });
    let mut stored = stored.buffer_unordered(senders);
    while let Some(stored) = stored.next().await {
        stored?;
    }
    Ok(())
}

async fn questions(archive: &Archive, held: u32) -> anyhow::Result<()> {
    let named = |name: &str, fuzzy| {
        let condition = if name.contains('*') { Condition::Wildcard } else { Condition::Exact }(name.to_owned());
        Query { conditions: [(tags::PATIENT_NAME, condition)].into(), fuzzy, ..page() }
    };
    let day = Condition::Range { from: Some("20240105".into()), to: Some("20240106".into()) };
    for (what, query) in [
        ("find by Study Instance UID", study(held / 2)),
        ("find by Patient ID", page().with(tags::PATIENT_ID, format!("P{:07}", held / 3))),
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
        row(held, &format!("{what}, ms p50"), taken.get(REQUESTS / 2).copied().unwrap_or_default());
        row(held, &format!("{what}, processor ms"), (cpu()? - before) * 1e3 / REQUESTS as f64);
    }
    Ok(())
}

fn page() -> Query {
    Query { limit: Some(50), ..Query::new(Level::Study) }
}

fn study(n: u32) -> Query {
    page().with(tags::STUDY_INSTANCE_UID, format!("1.2.{n}"))
}

/// A Part 10 file of some 500 bytes, a study and a patient of its own; the same number gives the same file.
fn part10(n: u32) -> anyhow::Result<Vec<u8>> {
    // Apart from the name, or a surname would be of one year.
    let day = n.wrapping_mul(2_654_435_761) / 4096 % 6720;
    let date = format!("20{:02}{:02}{:02}", day / 336 + 5, day / 28 % 12 + 1, day % 28 + 1);
    let pick = |list: &[(&'static str, &'static str)], at: u32| list[at as usize % list.len()];
    let (surname, given) = (pick(&SURNAMES, n), [pick(&GIVEN, n / 12), pick(&GIVEN, n / 168)]);
    let given = if n.is_multiple_of(3) { &given[..1] } else { &given[..] };
    let (ideographic, latin): (String, String) = given.iter().copied().unzip();
    let uid = format!("1.2.{n}.1.1");
    let syntax = TransferSyntax::explicit_little();
    let mut file = write_meta(&CLASS.parse::<Uid>()?, &uid.parse::<Uid>()?, &syntax, None);
    for (tag, vr, value) in [
        (tags::SPECIFIC_CHARACTER_SET, "CS", "ISO_IR 192".to_owned()),
        (tags::SOP_CLASS_UID, "UI", CLASS.to_owned()),
        (tags::SOP_INSTANCE_UID, "UI", uid),
        (tags::STUDY_DATE, "DA", date),
        (tags::MODALITY, "CS", "CT".to_owned()),
        (tags::PATIENT_NAME, "PN", format!("{}^{latin}={}^{ideographic}", surname.1, surname.0)),
        (tags::PATIENT_ID, "LO", format!("P{n:07}")),
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
