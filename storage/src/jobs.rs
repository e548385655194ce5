//! Durable, leased work.

#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub id: String,
    pub kind: String,
    /// What makes it the same job: e.g. series UID and instance count.
    pub key: String,
    pub payload: serde_json::Value,
    pub state: JobState,
    /// How often it was claimed, this time included.
    pub attempts: i64,
    pub last_error: Option<String>,
    pub result: Option<String>,
    /// Milliseconds since 1970-01-01 UTC.
    pub created_at: i64,
    pub changed_at: i64,
    /// Who holds the lease.
    pub worker: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Due,
    Leased,
    Done,
    Dead,
}
