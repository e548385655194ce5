//! What `pacs route` takes.

use super::super::coerce::{self, Mapping, Setting};
use clap::{Args, ValueEnum};
use pacs_core::{
    AeTitle,
    deidentify::{Dates, Profile},
};
use std::path::PathBuf;
use storage::routing::{Condition, DayTime};

#[derive(Debug, Args)]
pub struct AddArguments {
    pub(super) name: String,
    /// Destination, or AE title of a configured application entity
    #[arg(long, value_name = "DESTINATION")]
    pub(super) to: String,
    #[command(flatten)]
    pub(super) when: ConditionArguments,
    /// Also what came from the destination itself
    #[arg(long)]
    pub(super) send_back: bool,
    /// Ask the receiver to answer for what was sent (storage commitment); what it does not answer for is sent again
    #[arg(long)]
    pub(super) commit: bool,
    /// So many studies that the patient had before go along
    #[arg(long, value_name = "NUMBER")]
    pub(super) priors: Option<u16>,
    /// Of these only those with a modality of the new one
    #[arg(long, requires = "priors")]
    pub(super) priors_same_modality: bool,
    /// Of these only those with a body part of the new one
    #[arg(long, requires = "priors")]
    pub(super) priors_same_body_part: bool,
    /// What a destination de-identifies goes although its pixels may bear names: it is known that these do not
    #[arg(long)]
    pub(super) allow_burned_in: bool,
}

/// Which arrivals a rule speaks of.
#[derive(Debug, Args)]
pub struct ConditionArguments {
    /// AE title, user or room that brought the instance; patterns with * and ? here and below
    #[arg(long = "from", value_name = "PATTERN")]
    pub(super) sender: Vec<String>,
    #[arg(long, value_name = "PATTERN")]
    pub(super) modality: Vec<String>,
    /// Body Part Examined
    #[arg(long, value_name = "PATTERN")]
    pub(super) body_part: Vec<String>,
    #[arg(long, value_name = "PATTERN")]
    pub(super) station: Vec<String>,
    #[arg(long, value_name = "PATTERN")]
    pub(super) study_description: Vec<String>,
    #[arg(long, value_name = "PATTERN")]
    pub(super) series_description: Vec<String>,
    #[arg(long, value_name = "PATTERN")]
    pub(super) institution: Vec<String>,
    /// SOP Class UID
    #[arg(long, value_name = "PATTERN")]
    pub(super) sop_class: Vec<String>,
    /// When it arrives: hours, days before them, offset from UTC behind them, such as 'sat,sun', '18:00-07:00 +08:00'
    #[arg(long, value_name = "HOURS")]
    pub(super) between: Option<DayTime>,
}

impl From<ConditionArguments> for Condition {
    fn from(arguments: ConditionArguments) -> Self {
        Self {
            from: arguments.sender,
            sop_class: arguments.sop_class,
            modality: arguments.modality,
            body_part: arguments.body_part,
            station: arguments.station,
            study_description: arguments.study_description,
            series_description: arguments.series_description,
            institution: arguments.institution,
            between: arguments.between,
        }
    }
}

#[derive(Debug, Args)]
pub struct DestinationArguments {
    pub(super) name: String,
    /// The application entity that it is (pacs ae add says where that is)
    #[arg(long = "ae", value_name = "AE_TITLE")]
    pub(super) receiver: Option<AeTitle>,
    /// The DICOMweb peer that it is: what /studies follows
    #[arg(long, conflicts_with = "receiver")]
    pub(super) url: Option<String>,
    /// File with the value of the Authorization header, such as 'Bearer …'
    #[arg(long, value_name = "FILE")]
    pub(super) authorization: Option<PathBuf>,
    /// Associations at the same time
    #[arg(long, value_name = "NUMBER")]
    pub(super) associations: Option<u16>,
    /// Instances a second at most; 0: as fast as they go
    #[arg(long, value_name = "NUMBER")]
    pub(super) instances_per_second: Option<u32>,
    /// Megabytes a second at most; 0: as fast as they go
    #[arg(long, value_name = "NUMBER")]
    pub(super) megabytes_per_second: Option<u32>,
    /// Another name by which it sends to us: what comes from this one does not go back to it
    #[arg(long, value_name = "NAME")]
    pub(super) also_known_as: Vec<String>,
    /// KEYWORD=VALUE, where {KEYWORD} stands for the value that is there, or KEYWORD- to remove the attribute, of all that goes
    /// there; all settings and mappings are given together
    #[arg(long, value_parser = coerce::setting, value_name = "SETTING")]
    pub(super) coerce: Vec<Setting>,
    /// KEYWORD:OLD=NEW, a value in place of another
    #[arg(long, value_parser = coerce::mapping, value_name = "MAPPING")]
    pub(super) map: Vec<Mapping>,
    /// Attributes get no other values any more
    #[arg(long, conflicts_with_all = ["coerce", "map"])]
    pub(super) as_they_are: bool,
    /// Names and identifiers go, pseudonyms come in their place (PS3.15 Annex E, basic profile)
    #[arg(long)]
    pub(super) deidentify: bool,
    /// What de-identification keeps
    #[arg(long, value_enum, requires = "deidentify")]
    pub(super) keep: Vec<Kept>,
    /// What goes there is no longer de-identified
    #[arg(long, conflicts_with = "deidentify")]
    pub(super) identified: bool,
}

/// Options of the basic profile (PS3.15 §E.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kept {
    /// Dates as they are
    Dates,
    /// Dates moved by the same number of days for all of a patient
    ModifiedDates,
    /// Age, sex, size, weight and the like
    Patient,
    /// Which device it was
    Device,
    /// Which institution it was
    Institution,
    /// UIDs as they are
    Uids,
    /// Private attributes that the object itself declares to identify nobody
    SafePrivate,
    /// Of descriptions the words that tell nothing of anybody
    Descriptors,
}

pub(super) fn profile(keep: &[Kept]) -> Profile {
    let keeps = |kept| keep.contains(&kept);
    Profile {
        dates: match (keeps(Kept::Dates), keeps(Kept::ModifiedDates)) {
            // Of two that exclude each other the one that tells less.
            (_, true) => Dates::Modified,
            (true, false) => Dates::Full,
            (false, false) => Dates::Removed,
        },
        retain_patient_characteristics: keeps(Kept::Patient),
        retain_device: keeps(Kept::Device),
        retain_institution: keeps(Kept::Institution),
        retain_uids: keeps(Kept::Uids),
        retain_safe_private: keeps(Kept::SafePrivate),
        clean_descriptors: keeps(Kept::Descriptors),
        allow_burned_in: false,
    }
}
