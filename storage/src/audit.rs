//! Who saw and changed what (PS3.15 A.5): append only, each row chained to the one before by its hash.

use crate::{archive::Archive, clock::now, commit::Work, database::Change, error::ArchiveError};
use sha2::{Digest, Sha256};
use sqlx::{Row, any::AnyRow};

/// Rows read at a time while the chain is verified.
const STRIDE: i64 = 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Milliseconds since 1970-01-01 UTC; set by the archive when 0.
    pub at: i64,
    pub action: AuditAction,
    /// User name or AE title.
    pub actor: String,
    /// Network address, or the path of an import.
    pub origin: String,
    pub success: bool,
    pub study: Option<String>,
    /// UIDs, query keys (never patient values) or a reason.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditAction {
    /// 110100
    ApplicationStart,
    ApplicationStop,
    /// 110114 login, logout, failed login
    SignIn,
    SignOut,
    /// 110112
    Query,
    /// 110103
    Read,
    /// 110104 instances came in
    Store,
    /// 110106 whole instances left the system
    Export,
    /// 110105
    Delete,
    /// 110107 a correction was made or undone
    Correct,
    /// 110109 an order was taken over, changed or removed
    Order,
    /// 110111 a modality began, changed or ended a procedure step
    Procedure,
    /// 110113 refused association, failed authorisation
    SecurityAlert,
    /// 110137 users, tokens, peers changed
    Configuration,
}

impl AuditAction {
    pub const ALL: [Self; 14] = [
        Self::ApplicationStart,
        Self::ApplicationStop,
        Self::SignIn,
        Self::SignOut,
        Self::Query,
        Self::Read,
        Self::Store,
        Self::Export,
        Self::Delete,
        Self::Correct,
        Self::Order,
        Self::Procedure,
        Self::SecurityAlert,
        Self::Configuration,
    ];

    /// The word in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApplicationStart => "application_start",
            Self::ApplicationStop => "application_stop",
            Self::SignIn => "sign_in",
            Self::SignOut => "sign_out",
            Self::Query => "query",
            Self::Read => "read",
            Self::Store => "store",
            Self::Export => "export",
            Self::Delete => "delete",
            Self::Correct => "correct",
            Self::Order => "order",
            Self::Procedure => "procedure",
            Self::SecurityAlert => "security_alert",
            Self::Configuration => "configuration",
        }
    }
}

impl Archive {
    /// Appends a record; it is durable when this returns.
    pub async fn audit(&self, record: &AuditRecord) -> Result<(), ArchiveError> {
        self.inner.note_read(record);
        self.inner.committer.submit(|reply| Work::Audit(record.clone(), reply)).await
    }

    /// Newest first.
    pub async fn audit_trail(&self, limit: u32) -> Result<Vec<AuditRecord>, ArchiveError> {
        let rows = sqlx::query(NEWEST).bind(i64::from(limit)).fetch_all(&self.inner.database.pool).await?;
        rows.iter().map(record).collect()
    }

    /// Recomputes the chain. Returns the position of the first row that does not fit, also where rows are missing
    /// in the middle or at the end; `None` when the trail is sound.
    pub async fn verify_audit_trail(&self) -> Result<Option<i64>, ArchiveError> {
        // The end first: rows that come meanwhile are not looked at.
        let end = sqlx::query(END).fetch_one(&self.inner.database.pool).await?;
        let (last, last_hash): (i64, String) = (end.try_get(0)?, end.try_get(1)?);
        let (mut position, mut hash) = (0, String::new());
        while position < last {
            let until = last.min(position + STRIDE);
            let rows = sqlx::query(STRETCH).bind(position).bind(until).fetch_all(&self.inner.database.pool).await?;
            for row in &rows {
                position += 1;
                hash = chained(&hash, &record(row)?);
                if row.try_get::<i64, _>(7)? != position || row.try_get::<String, _>(8)? != hash {
                    return Ok(Some(position));
                }
            }
            if position < until {
                return Ok(Some(position + 1));
            }
        }
        Ok((hash != last_hash).then_some(last))
    }
}

/// Appends a record in the transaction of what it speaks of.
pub(crate) async fn write_audit(change: &mut Change<'_>, record: &AuditRecord) -> Result<(), sqlx::Error> {
    let mut record = record.clone();
    if record.at == 0 {
        record.at = now();
    }
    let (position, before) = change.head.next_audit();
    let hash = chained(before, &record);
    sqlx::query(WRITE)
        .bind(position)
        .bind(record.at)
        .bind(record.action.as_str())
        .bind(&record.actor)
        .bind(&record.origin)
        .bind(i64::from(record.success))
        .bind(record.study.as_deref().unwrap_or_default())
        .bind(&record.detail)
        .bind(&hash)
        .execute(&mut *change.transaction)
        .await?;
    change.head.audited(hash);
    Ok(())
}

/// SHA-256 in hexadecimal over the hash before and the fields, each behind its length.
fn chained(before: &str, record: &AuditRecord) -> String {
    let mut hash = Sha256::new();
    let at = record.at.to_string();
    let success = if record.success { "1" } else { "0" };
    let study = record.study.as_deref().unwrap_or_default();
    for field in [before, &at, record.action.as_str(), &record.actor, &record.origin, success, study, &record.detail] {
        hash.update((field.len() as u64).to_le_bytes());
        hash.update(field);
    }
    hex(&hash.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn record(row: &AnyRow) -> Result<AuditRecord, ArchiveError> {
    let action: String = row.try_get(1)?;
    let study: String = row.try_get(5)?;
    Ok(AuditRecord {
        at: row.try_get(0)?,
        action: AuditAction::ALL
            .into_iter()
            .find(|a| a.as_str() == action)
            .ok_or_else(|| ArchiveError::Internal(format!("audit action {action:?}")))?,
        actor: row.try_get(2)?,
        origin: row.try_get(3)?,
        success: row.try_get::<i64, _>(4)? != 0,
        study: Some(study).filter(|s| !s.is_empty()),
        detail: row.try_get(6)?,
    })
}

const NEWEST: &str = "select at, action, actor, origin, success, study, detail from audit
    order by position desc limit $1";

const END: &str = "select audit_position, audit_hash from head where id = 1";

const STRETCH: &str = "select at, action, actor, origin, success, study, detail, position, hash from audit
    where position > $1 and position <= $2 order by position";

const WRITE: &str = "insert into audit (position, at, action, actor, origin, success, study, detail, hash)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
