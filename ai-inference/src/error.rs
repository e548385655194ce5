//! What the AI worker can fail with.

use pacs_core::finding::FindingError;
use storage::ArchiveError;

/// Why the worker, or one job, failed. A series that is not for the model is a [`Refusal`], not a failure.
#[derive(Debug, thiserror::Error)]
pub enum AiError {
    #[error("archive")]
    Archive(#[from] ArchiveError),
    #[error("model")]
    Model(#[from] ModelError),
    #[error("report")]
    Report(#[from] FindingError),
    #[error("configuration: {0}")]
    Config(String),
    #[error("the job for a worker thread broke off: {0}")]
    Broken(String),
}

/// Why a model is quarantined: it never serves.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("model {0} is not among the packages")]
    Unknown(String),
    #[error("{file} of the package cannot be read")]
    File { file: String, source: std::io::Error },
    #[error("the card does not parse")]
    Card(#[from] toml::de::Error),
    #[error("the card: {0}")]
    Contract(String),
    #[error("{file} has SHA-256 {actual}, the card says {expected}")]
    Hash { file: &'static str, expected: String, actual: String },
    #[error("the graph does not load: {0}")]
    Graph(String),
    #[error("the self-test is off by {off:.3e}, {allowed:.1e} is allowed")]
    SelfTest { off: f32, allowed: f32 },
    #[error("inference failed: {0}")]
    Inference(String),
}

/// Why a series is not processed: the job's result, for people to read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error("modality is {0}, the model reads CT")]
    Modality(String),
    #[error("the images are {0}, the model reads original axial images")]
    ImageType(String),
    #[error("image {0} states no position, orientation or pixel spacing")]
    NoGeometry(String),
    #[error("images differ in {0}")]
    Mixed(&'static str),
    #[error("the slices are not axial")]
    NotAxial,
    #[error("{actual} slices, the model needs {needed}")]
    TooFewSlices { actual: usize, needed: usize },
    #[error("more than {0} slices")]
    TooManySlices(usize),
    #[error("{0} positions hold several images")]
    RepeatedSlices(usize),
    #[error(
        "slice {number} lies {off_mm:.2} mm off an even spacing of {gap_mm:.2} mm: a slice is missing or out of line"
    )]
    UnevenSlices { number: usize, off_mm: f64, gap_mm: f64 },
    #[error("slices are {actual_mm:.2} mm apart, the model reads up to {allowed_mm:.2} mm")]
    SlicesTooFarApart { actual_mm: f64, allowed_mm: f64 },
    #[error("the volume has {0} voxels, more than the configuration allows")]
    TooLarge(u64),
    #[error("image {instance}: {reason}")]
    Undecodable { instance: String, reason: String },
    #[error("{0}")]
    NoLungs(&'static str),
}

impl Refusal {
    /// A short name that stays the same while the text may be reworded.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Modality(_) => "modality",
            Self::ImageType(_) => "image-type",
            Self::NoGeometry(_) => "no-geometry",
            Self::Mixed(_) => "mixed",
            Self::NotAxial => "not-axial",
            Self::TooFewSlices { .. } => "too-few-slices",
            Self::TooManySlices(_) => "too-many-slices",
            Self::RepeatedSlices(_) => "repeated-slices",
            Self::UnevenSlices { .. } => "uneven-slices",
            Self::SlicesTooFarApart { .. } => "slices-too-far-apart",
            Self::TooLarge(_) => "too-large",
            Self::Undecodable { .. } => "undecodable",
            Self::NoLungs(_) => "no-lungs",
        }
    }
}
