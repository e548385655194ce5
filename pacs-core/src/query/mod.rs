//! The query model shared by C-FIND and QIDO-RS (PS3.4 C.2.2.2, PS3.18 §8.3.4).

mod attribute;

pub use attribute::{ATTRIBUTES, Attribute, attribute};

use crate::{data_set::DataSet, uid::Uid};
use dicom_core::{Tag, VR};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Patient,
    Study,
    Series,
    Instance,
}

/// One level's question.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub level: Level,
    /// Conditions; keys above `level` restrict by the parent's attributes.
    pub conditions: BTreeMap<Tag, Condition>,
    /// Attributes asked for beyond the level's defaults.
    pub include: Include,
    /// At most this many rows.
    pub limit: Option<u32>,
    pub offset: u32,
    pub fuzzy: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Include {
    Tags(Vec<Tag>),
    All,
}

/// How a value must match (PS3.4 C.2.2.2.1 to .6). Universal matching is the absence of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Single value matching; person names without regard to case.
    Exact(String),
    /// `*` and `?`.
    Wildcard(String),
    /// Dates or times, both ends inclusive.
    Range { from: Option<String>, to: Option<String> },
    /// UID list matching and QIDO multi-value: any of these.
    AnyOf(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("Query/Retrieve Level is missing or not one of STUDY, SERIES, IMAGE")]
    Level,
    #[error("{keyword}: {what}")]
    Key { keyword: String, what: &'static str },
    #[error("parameter {0} is not known")]
    Parameter(String),
}

impl Query {
    /// All rows of a level.
    pub fn new(level: Level) -> Self {
        Self {
            level,
            conditions: BTreeMap::new(),
            include: Include::Tags(Vec::new()),
            limit: None,
            offset: 0,
            fuzzy: false,
        }
    }

    /// Narrows to one value.
    pub fn with(mut self, tag: Tag, value: impl Into<String>) -> Self {
        self.conditions.insert(tag, Condition::Exact(value.into()));
        self
    }

    /// From a C-FIND identifier (PS3.4 C.4.1.1.3). Also returns the keys asked for, to be echoed in responses.
    pub fn from_identifier(identifier: &DataSet) -> Result<Self, QueryError> {
        todo!()
    }

    /// From QIDO-RS parameters, already percent-decoded, in order, and the UIDs of the path (PS3.18 §10.6).
    pub fn from_parameters(
        level: Level,
        study: Option<&Uid>,
        series: Option<&Uid>,
        parameters: &[(String, String)],
    ) -> Result<Self, QueryError> {
        todo!()
    }
}

impl Condition {
    /// Whether `value` (one value) matches; the reference that SQL is tested against.
    pub fn matches(&self, vr: VR, value: &str) -> bool {
        todo!()
    }
}
