//! `pacs worklist …`: orders by hand, and from files.

use crate::config::Config;
use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use pacs_core::{
    Item, Tag, Uid,
    data_set::{Limits, scan},
    part10::read_meta,
    person_name::PersonName,
    query::ItemQuery,
    tags,
    worklist::{StepStatus, step},
};
use serde_json::Value;
use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};
use storage::{Archive, PerformedStep, ScheduledStep};

pub const EXAMPLES: &str = "Examples:
  pacs worklist add --patient-id P1 --name 'Wang^XiaoDong=王^小东' --modality CT --station CT1 --date 20261201 --time 0930 \\
      --accession A1 --description 'CT chest'
  pacs worklist list                                 what is still to be done, by its start
  pacs worklist list --date 20261201- --modality CT
  pacs worklist list --status COMPLETED
  pacs worklist performed --study 1.2.3              what modalities reported of it
  pacs worklist status 4711 ARRIVED
  pacs worklist cancel 4711                          the number that `list` shows
  pacs worklist import orders/*.wl order.json        dcmtk worklist files, DICOM JSON";

/// Steps shown at most.
const SHOWN: usize = 10_000;
/// A worklist item is some kilobytes; a file of many, in JSON, some megabytes.
const LONGEST_FILE: u64 = 64 << 20;

const SEQUENCE: Tag = tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE;

#[derive(Debug, Subcommand)]
pub enum WorklistCommand {
    /// Order a procedure step, or change one: the same accession number and step are the same order
    Add(Box<NewStep>),
    /// List steps by their start
    List {
        /// A day, or a range of days such as 20261201-20261207
        #[arg(long)]
        date: Option<String>,
        #[arg(long)]
        modality: Option<String>,
        /// Patient ID
        #[arg(long, value_name = "ID")]
        patient: Option<String>,
        /// Steps of this status: COMPLETED, DISCONTINUED and CANCELED are shown only so
        #[arg(long)]
        status: Option<StepStatus>,
    },
    /// Cancel a step: it is no longer on the worklist
    Cancel { number: i64 },
    /// Give a step another status, where no modality reports it
    Status {
        /// As `list` shows it
        number: i64,
        /// SCHEDULED, ARRIVED, READY, STARTED, DEPARTED, COMPLETED, DISCONTINUED or CANCELED
        status: StepStatus,
    },
    /// What modalities reported of procedure steps (MPPS), the newest first
    Performed {
        /// Those of one study
        #[arg(long, value_name = "UID")]
        study: Option<Uid>,
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Take orders from files: worklist files of dcmtk, other DICOM files, DICOM JSON (one item, or a list)
    Import {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct NewStep {
    #[arg(long, value_name = "ID")]
    patient_id: String,
    /// Patient's Name as DICOM has it: family^given, ideographs after an equals sign
    #[arg(long)]
    name: String,
    #[arg(long, value_name = "YYYYMMDD")]
    birth_date: Option<String>,
    /// M, F or O
    #[arg(long)]
    sex: Option<String>,
    #[arg(long, value_name = "NUMBER")]
    accession: Option<String>,
    #[arg(long)]
    modality: String,
    /// AE title of the modality that is to do it
    #[arg(long)]
    station: Option<String>,
    #[arg(long, value_name = "YYYYMMDD")]
    date: String,
    #[arg(long, value_name = "HHMM")]
    time: Option<String>,
    #[arg(long)]
    description: Option<String>,
    /// Scheduled Performing Physician's Name
    #[arg(long, value_name = "NAME")]
    physician: Option<String>,
    /// Scheduled Procedure Step ID; made if it is not given
    #[arg(long, value_name = "ID")]
    step_id: Option<String>,
    /// Requested Procedure ID; made if it is not given
    #[arg(long, value_name = "ID")]
    procedure_id: Option<String>,
    /// Study Instance UID; made if it is not given
    #[arg(long, value_name = "UID")]
    study: Option<Uid>,
}

pub async fn run(config: &Config, command: WorklistCommand) -> anyhow::Result<()> {
    let archive = super::open(config).await?;
    match command {
        WorklistCommand::Add(new) => put(&archive, &new.item()).await?,
        WorklistCommand::List { date, modality, patient, status } => {
            let status = status.map(|status| status.as_str().to_owned());
            let query = query(&[
                (&[SEQUENCE, tags::SCHEDULED_PROCEDURE_STEP_START_DATE], date),
                (&[SEQUENCE, tags::MODALITY], modality),
                (&[SEQUENCE, tags::SCHEDULED_PROCEDURE_STEP_STATUS], status),
                (&[tags::PATIENT_ID], patient),
            ])?;
            let steps = archive.find_steps(&query, None, SHOWN).await?;
            steps.iter().for_each(|step| println!("{}", line(step)));
            if steps.is_empty() {
                println!("no step is scheduled");
            }
        }
        WorklistCommand::Cancel { number } => {
            let step = archive.set_step_status(&super::actor(), "localhost", number, StepStatus::Canceled).await?;
            println!("{}", line(&step));
        }
        WorklistCommand::Status { number, status } => {
            let step = archive.set_step_status(&super::actor(), "localhost", number, status).await?;
            println!("{}", line(&step));
        }
        WorklistCommand::Performed { study, limit } => {
            let steps = archive.performed_steps(study.as_ref(), limit).await?;
            steps.iter().for_each(|step| println!("{}", performed_line(step)));
            if steps.is_empty() {
                println!("no modality has reported a step");
            }
        }
        WorklistCommand::Import { files } => import(&archive, &files).await?,
    }
    archive.close().await;
    Ok(())
}

fn query(keys: &[(&[Tag], Option<String>)]) -> anyhow::Result<ItemQuery> {
    let given = keys.iter().filter_map(|(path, value)| Some((path, value.as_deref()?)));
    Ok(given.into_iter().try_fold(ItemQuery::default(), |query, (path, value)| query.with(path, value))?)
}

async fn put(archive: &Archive, order: &Item) -> anyhow::Result<()> {
    let steps = archive.put_order(&super::actor(), "localhost", order).await?;
    steps.iter().for_each(|step| println!("{}", line(step)));
    Ok(())
}

/// Files one after the other: what was taken before one that is refused stays.
async fn import(archive: &Archive, files: &[PathBuf]) -> anyhow::Result<()> {
    let mut refused = 0;
    for file in files {
        let orders = read(file).with_context(|| format!("{} cannot be read as orders", file.display()));
        let taken = async {
            for order in orders? {
                put(archive, &order).await.with_context(|| file.display().to_string())?;
            }
            anyhow::Ok(())
        };
        if let Err(error) = taken.await {
            eprintln!("{error:#}");
            refused += 1;
        }
    }
    if refused > 0 {
        bail!("{refused} of {} files were refused", files.len());
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<Item>> {
    let file = File::open(path)?;
    if file.metadata()?.len() > LONGEST_FILE {
        bail!("the file is longer than {} MiB", LONGEST_FILE >> 20);
    }
    let mut bytes = Vec::new();
    BufReader::new(file).read_to_end(&mut bytes)?;
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[') => match serde_json::from_slice(&bytes)? {
            Value::Array(items) => Ok(items.into_iter().map(Item::from_json).collect::<Result<_, _>>()?),
            item => Ok(vec![Item::from_json(item)?]),
        },
        _ => {
            let mut reader = std::io::Cursor::new(bytes);
            let meta = read_meta(&mut reader).map_err(|error| anyhow!("neither DICOM JSON nor DICOM: {error}"))?;
            Ok(vec![Item::from_data_set(&scan(&mut reader, &meta.transfer_syntax, Limits::default())?)])
        }
    }
}

impl NewStep {
    fn item(&self) -> Item {
        let (mut item, mut step) = (Item::default(), Item::default());
        let put = |of: &mut Item, tag, value: Option<&str>| {
            if let Some(value) = value {
                of.put_text(tag, value);
            }
        };
        item.put_name(tags::PATIENT_NAME, &PersonName::parse(&self.name));
        put(&mut item, tags::PATIENT_ID, Some(&self.patient_id));
        put(&mut item, tags::PATIENT_BIRTH_DATE, self.birth_date.as_deref());
        put(&mut item, tags::PATIENT_SEX, self.sex.as_deref());
        put(&mut item, tags::ACCESSION_NUMBER, self.accession.as_deref());
        put(&mut item, tags::REQUESTED_PROCEDURE_DESCRIPTION, self.description.as_deref());
        put(&mut item, tags::REQUESTED_PROCEDURE_ID, self.procedure_id.as_deref());
        put(&mut item, tags::STUDY_INSTANCE_UID, self.study.as_ref().map(Uid::as_str));
        put(&mut step, tags::MODALITY, Some(&self.modality));
        put(&mut step, tags::SCHEDULED_STATION_AE_TITLE, self.station.as_deref());
        put(&mut step, tags::SCHEDULED_PROCEDURE_STEP_START_DATE, Some(&self.date));
        put(&mut step, tags::SCHEDULED_PROCEDURE_STEP_START_TIME, self.time.as_deref());
        put(&mut step, tags::SCHEDULED_PROCEDURE_STEP_ID, self.step_id.as_deref());
        if let Some(physician) = &self.physician {
            step.put_name(tags::SCHEDULED_PERFORMING_PHYSICIAN_NAME, &PersonName::parse(physician));
        }
        item.put_items(SEQUENCE, vec![step]);
        item
    }
}

fn performed_line(performed: &PerformedStep) -> String {
    let item = &performed.item;
    format!(
        "{}  {} {}  {:12} {:4} {:16} {}  study {}",
        performed.sop_instance,
        item.text(tags::PERFORMED_PROCEDURE_STEP_START_DATE),
        item.text(tags::PERFORMED_PROCEDURE_STEP_START_TIME),
        performed.status,
        item.text(tags::MODALITY),
        performed.performed_by,
        item.text(tags::PATIENT_ID),
        performed.study,
    )
}

fn line(scheduled: &ScheduledStep) -> String {
    let (item, step) = (&scheduled.item, step(&scheduled.item));
    let name = item.attributes().person_name(tags::PATIENT_NAME).map(|name| name.display()).unwrap_or_default();
    format!(
        "{}  {} {}  {:12} {:4} {:16} {:10} {name} ({})  {}  study {}",
        scheduled.number,
        step.text(tags::SCHEDULED_PROCEDURE_STEP_START_DATE),
        step.text(tags::SCHEDULED_PROCEDURE_STEP_START_TIME),
        scheduled.status.as_str(),
        step.text(tags::MODALITY),
        step.text(tags::SCHEDULED_STATION_AE_TITLE),
        item.text(tags::ACCESSION_NUMBER),
        item.text(tags::PATIENT_ID),
        step.text(tags::SCHEDULED_PROCEDURE_STEP_DESCRIPTION),
        scheduled.study,
    )
}
