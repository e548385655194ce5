//! `pacs demo`: a synthetic chest CT over real DICOM into the running server, and what the AI makes of it.

use crate::{config::Config, phantom::Phantom};
use anyhow::{Context, bail};
use dicom_node::scu::{self, Instance, Remote};
use indicatif::{ProgressBar, ProgressStyle};
use pacs_core::{
    Attributes, Uid, finding,
    query::{Level, Query},
    tags,
};
use std::time::{Duration, Instant};
use storage::{Archive, JobState};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Wait up to a minute for the server to answer
    #[arg(long)]
    wait_for_server: bool,
    /// Wait at most this many seconds for the AI result
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    patience: u64,
    /// Also write the slices below this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<std::path::PathBuf>,
}

const SERVER_STARTS: Duration = Duration::from_secs(60);

pub async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<()> {
    let remote = Remote {
        address: config.dicom_listen.to_string(),
        calling: "DEMO".parse().context("a valid AE title")?,
        called: config.dicom.ae_title.clone(),
        tls: None,
    };
    find_server(&remote, arguments.wait_for_server).await?;
    let archive = super::open(config).await?;
    for phantom in Phantom::demonstration() {
        push(&remote, &phantom, arguments.keep.as_deref()).await?;
        let found = wait_for_result(&archive, &phantom, Duration::from_secs(arguments.patience)).await?;
        tell(config, &phantom, &found);
    }
    Ok(())
}

async fn find_server(remote: &Remote, wait: bool) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        match scu::echo(remote).await {
            Ok(()) => return Ok(()),
            Err(_) if wait && start.elapsed() < SERVER_STARTS => tokio::time::sleep(Duration::from_millis(200)).await,
            Err(error) => {
                let remedy = format!(
                    "no {} answers at {}: start `pacs serve` in another terminal first",
                    remote.called, remote.address
                );
                return Err(error).context(remedy);
            }
        }
    }
}

async fn push(remote: &Remote, phantom: &Phantom, keep: Option<&std::path::Path>) -> anyhow::Result<()> {
    let drawn = phantom.clone();
    let slices = tokio::task::spawn_blocking(move || {
        let mut slices = Vec::with_capacity(usize::from(drawn.slices));
        drawn.slices(|_, file| {
            slices.push(file);
            Ok(())
        })?;
        anyhow::Ok(slices)
    });
    let slices = slices.await.context("drawing the phantom failed")??;
    if let Some(folder) = keep {
        let folder = folder.join(phantom.study_uid().as_str());
        std::fs::create_dir_all(&folder)?;
        for (index, slice) in slices.iter().enumerate() {
            std::fs::write(folder.join(format!("{index:04}.dcm")), slice)?;
        }
    }
    let style = ProgressStyle::with_template("{msg:24} {bar:40} {pos}/{len} slices")?;
    let bar = ProgressBar::new(slices.len() as u64).with_style(style).with_message(phantom.patient_name.clone());
    let sent = scu::store(remote, slices.into_iter().map(|s| Instance::Bytes(s.into())), |_| bar.inc(1)).await?;
    bar.finish_and_clear();
    if sent.refused + sent.not_sent > 0 {
        bail!("{} of {} slices were refused; the server's log says why", sent.refused + sent.not_sent, phantom.slices);
    }
    println!("{}: {} slices pushed to {} at {}", phantom.patient_name, sent.stored, remote.called, remote.address);
    Ok(())
}

/// The findings in the SR that the AI stored for the phantom.
async fn wait_for_result(archive: &Archive, phantom: &Phantom, patience: Duration) -> anyhow::Result<finding::Report> {
    let style = ProgressStyle::with_template("{spinner} waiting for the AI ({elapsed})")?;
    let spinner = ProgressBar::new_spinner().with_style(style);
    let start = Instant::now();
    let query = Query::new(Level::Instance)
        .with(tags::STUDY_INSTANCE_UID, phantom.study_uid().as_str())
        .with(tags::MODALITY, "SR");
    while start.elapsed() < patience {
        spinner.tick();
        if let Some(row) = archive.find(&query).await?.first() {
            let uid = |tag| row.values.get(&tag).and_then(|v| v.parse::<Uid>().ok()).context("a stored SR has UIDs");
            let (series, sop_instance) = (uid(tags::SERIES_INSTANCE_UID)?, uid(tags::SOP_INSTANCE_UID)?);
            spinner.finish_and_clear();
            return read(archive, &phantom.study_uid(), &series, &sop_instance).await;
        }
        if let Some(job) = archive
            .jobs("ai", Some(JobState::Dead), 10)
            .await?
            .iter()
            .find(|j| j.key.contains(phantom.series_uid().as_str()))
        {
            bail!("the AI gave up: {}", job.last_error.as_deref().unwrap_or("no reason recorded"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    bail!(
        "no AI result after {} s: is the ai role running (--roles)? `pacs jobs list` shows the work",
        patience.as_secs()
    )
}

async fn read(archive: &Archive, study: &Uid, series: &Uid, sop_instance: &Uid) -> anyhow::Result<finding::Report> {
    let metadata = archive.metadata(study, Some(series), Some(sop_instance)).await?;
    let json = serde_json::from_str(metadata.first().context("the SR has metadata")?)?;
    Ok(finding::from_sr(Attributes::of(&json).context("metadata is an object")?)?)
}

fn tell(config: &Config, phantom: &Phantom, report: &finding::Report) {
    println!("  {} {}: {}", report.algorithm_name, report.algorithm_version, report.status);
    for finding in &report.findings {
        let [x, y, z] = finding.center_mm;
        let planted = phantom.nodules.iter().find(|n| {
            let square = (0..3).map(|i| (n.center_mm[i] - finding.center_mm[i]).powi(2)).sum::<f64>();
            square.sqrt() < n.diameter_mm / 2.0
        });
        let truth = planted.map_or_else(|| "not planted".to_owned(), |n| format!("planted, {} mm", n.diameter_mm));
        println!(
            "  nodule {}: {:.1} × {:.1} mm at ({x:.0}, {y:.0}, {z:.0}) mm, confidence {:.2} ({truth})",
            finding.number, finding.long_axis_mm, finding.short_axis_mm, finding.confidence
        );
    }
    println!("  look: http://{}/viewer?StudyInstanceUIDs={}", config.http_listen, phantom.study_uid());
}
