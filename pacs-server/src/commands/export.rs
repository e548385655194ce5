//! `pacs export`: instances out of the archive, byte for byte.

use crate::config::Config;
use anyhow::{Context, bail};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use pacs_core::{
    Uid,
    query::{Level, Query},
    tags,
};
use std::path::{Path, PathBuf};
use storage::{Archive, AuditAction, AuditRecord, StoredInstance};
use tokio::{fs, io::AsyncWriteExt};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder to write into: STUDY/SERIES/INSTANCE.dcm
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// Study Instance UID; repeat for several
    #[arg(long = "study", value_name = "UID")]
    studies: Vec<Uid>,
    /// Every study of this patient
    #[arg(long, value_name = "ID")]
    patient_id: Option<String>,
    /// Every study there is
    #[arg(long)]
    all: bool,
}

pub async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<()> {
    let archive = super::open(config).await?;
    let studies = studies(&archive, &arguments).await?;
    let mut written = 0;
    for study in &studies {
        let instances = archive.instances(study, None, None).await?;
        if instances.is_empty() {
            bail!("study {study} is not in the archive");
        }
        written += instances.len();
        // Before anything leaves: an export that breaks off has shown something too.
        let record = super::record(AuditAction::Export, format!("{} instances to a folder", instances.len()));
        archive.audit(&AuditRecord { study: Some(study.to_string()), ..record }).await?;
        write_study(&archive, &instances, &arguments.to).await?;
    }
    println!("{written} instances of {} studies written to {}", studies.len(), arguments.to.display());
    Ok(())
}

async fn studies(archive: &Archive, arguments: &Arguments) -> anyhow::Result<Vec<Uid>> {
    let query = match (&arguments.patient_id, arguments.all) {
        (Some(id), _) => Query::new(Level::Study).with(tags::PATIENT_ID, id.as_str()),
        (None, true) => Query::new(Level::Study),
        (None, false) if arguments.studies.is_empty() => {
            bail!("say what to export: --study UID, --patient-id ID or --all")
        }
        (None, false) => return Ok(arguments.studies.clone()),
    };
    let rows = archive.find(&query).await?;
    let found = rows.iter().filter_map(|row| row.values.get(&tags::STUDY_INSTANCE_UID)?.parse().ok());
    Ok(found.chain(arguments.studies.iter().cloned()).collect())
}

async fn write_study(archive: &Archive, instances: &[StoredInstance], to: &Path) -> anyhow::Result<()> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} instances {msg}")?;
    let bar = ProgressBar::new(instances.len() as u64).with_style(style);
    for instance in instances {
        let folder = to.join(instance.study.as_str()).join(instance.series.as_str());
        let path = folder.join(format!("{}.dcm", instance.sop_instance));
        write(archive, instance, &folder, &path).await.with_context(|| format!("cannot write {}", path.display()))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

async fn write(archive: &Archive, instance: &StoredInstance, folder: &Path, path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).await?;
    let mut file = fs::File::create(path).await?;
    let mut bytes = archive.read(instance).await?;
    while let Some(chunk) = bytes.next().await {
        file.write_all(&chunk?).await?;
    }
    Ok(file.sync_all().await?)
}
