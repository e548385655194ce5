//! Legal holds: what is held cannot be deleted by anybody, whatever the rules say.

use crate::{
    archive::Archive,
    audit::{AuditAction, AuditRecord, write_audit},
    clock::now,
    database::Change,
    error::ArchiveError,
};
use pacs_core::Uid;
use sqlx::{Row, any::AnyRow};
use time::OffsetDateTime;

/// A reason is a sentence, in bytes.
const LONGEST_REASON: usize = 1000;

/// What a hold is put on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Holding {
    Study(Uid),
    /// Patient ID (0010,0020) and Issuer of Patient ID (0010,0021), which may be empty. Studies that come later are held too, and
    /// so are those that a correction has given to another patient.
    Patient {
        id: String,
        issuer: String,
    },
}

/// A hold, or one that was released: then who, when and why is not empty.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Hold {
    pub number: i64,
    pub of: Holding,
    /// Milliseconds since 1970-01-01 UTC.
    pub held_at: i64,
    pub held_by: String,
    pub reason: String,
    /// 0 as long as it is held.
    pub released_at: i64,
    pub released_by: String,
    pub release_reason: String,
}

impl Archive {
    /// Holds a study or all studies of a patient, which must be there; returns the number of the hold.
    pub async fn hold(&self, actor: &str, origin: &str, of: &Holding, reason: &str) -> Result<i64, ArchiveError> {
        check_reason(reason)?;
        let mut change = self.inner.database.change().await?;
        let (study, patient) = of.columns();
        let is_there = match of {
            Holding::Study(_) => sqlx::query(IS_STUDY).bind(&study),
            Holding::Patient { .. } => sqlx::query(IS_PATIENT).bind(&patient),
        };
        if is_there.fetch_optional(&mut *change.transaction).await?.is_none() {
            // The patient is not named: this may go into a log.
            let what =
                if patient.is_empty() { format!("study {study}") } else { "a patient of this ID and issuer".into() };
            return Err(ArchiveError::NotFound(what));
        }
        let number = put_hold(&mut change, Hold::new(of, actor, reason)).await?;
        let on = if patient.is_empty() { "a study" } else { "a patient" };
        note(&mut change, actor, origin, &study, format!("legal hold {number} put on {on}: {reason}")).await?;
        change.commit().await?;
        self.keep_holds().await?;
        Ok(number)
    }

    /// Ends a hold, which stays in the list; `NotFound` if there is none of this number, or it was released before.
    pub async fn release_hold(&self, actor: &str, origin: &str, number: i64, reason: &str) -> Result<(), ArchiveError> {
        check_reason(reason)?;
        let mut change = self.inner.database.change().await?;
        let release = sqlx::query(RELEASE).bind(number).bind(now()).bind(actor).bind(reason);
        let row = release.fetch_optional(&mut *change.transaction).await?;
        let row = row.ok_or_else(|| ArchiveError::NotFound(format!("legal hold {number}, or it is released,")))?;
        let study: String = row.try_get(0)?;
        note(&mut change, actor, origin, &study, format!("legal hold {number} released: {reason}")).await?;
        change.commit().await?;
        self.keep_holds().await
    }

    async fn keep_holds(&self) -> Result<(), ArchiveError> {
        self.inner.database.make_durable().await?;
        if let Err(error) = self.inner.store_holds().await {
            tracing::warn!(%error, "a legal hold is not in the store yet, it is tried again");
        }
        Ok(())
    }

    /// Up to `limit` holds with a number below `before` (0: the newest), newest first; those that were released too if `all`.
    pub async fn holds(&self, all: bool, before: i64, limit: u32) -> Result<Vec<Hold>, ArchiveError> {
        let before = if before > 0 { before } else { i64::MAX };
        let statement = sqlx::query(HOLDS).bind(before).bind(i64::from(all)).bind(i64::from(limit));
        statement.fetch_all(&self.inner.database.pool).await?.iter().map(hold).collect()
    }
}

impl Hold {
    fn new(of: &Holding, actor: &str, reason: &str) -> Self {
        let (held_by, reason, nobody) = (actor.to_owned(), reason.to_owned(), String::new());
        let held_at = now();
        Self {
            number: 0,
            of: of.clone(),
            held_at,
            held_by,
            reason,
            released_at: 0,
            released_by: nobody.clone(),
            release_reason: nobody,
        }
    }
}

/// Writes the row of a hold under its number or, if it has none or that is another's, a new one; returns which.
pub(super) async fn put_hold(change: &mut Change<'_>, hold: Hold) -> Result<i64, sqlx::Error> {
    let (study, patient) = hold.of.columns();
    let mut number = hold.number;
    loop {
        if number > 0 {
            let insert = sqlx::query(HOLD).bind(number).bind(&study).bind(&patient);
            let insert = insert.bind(hold.held_at).bind(&hold.held_by).bind(&hold.reason);
            let insert = insert.bind(hold.released_at).bind(&hold.released_by).bind(&hold.release_reason);
            if insert.execute(&mut *change.transaction).await?.rows_affected() > 0 {
                return Ok(number);
            }
        }
        number = change.head.next_key();
    }
}

impl Holding {
    /// Study Instance UID and key of the patient, of which one is empty.
    pub(super) fn columns(&self) -> (String, String) {
        match self {
            Self::Study(uid) => (uid.to_string(), String::new()),
            Self::Patient { id, issuer } => (String::new(), format!("id {issuer}\\{id}")),
        }
    }
}

/// Why somebody did it is said in a sentence.
pub(crate) fn check_reason(reason: &str) -> Result<(), ArchiveError> {
    if reason.trim().is_empty() || reason.len() > LONGEST_REASON {
        return Err(ArchiveError::Conflict(format!("a reason has 1 to {LONGEST_REASON} bytes")));
    }
    Ok(())
}

async fn note(
    change: &mut Change<'_>,
    actor: &str,
    origin: &str,
    study: &str,
    detail: String,
) -> Result<(), sqlx::Error> {
    let record = AuditRecord {
        at: 0,
        action: AuditAction::Configuration,
        actor: actor.to_owned(),
        origin: origin.to_owned(),
        success: true,
        study: Some(study.to_owned()).filter(|study| !study.is_empty()),
        detail,
    };
    write_audit(change, &record).await
}

/// An error that names the hold, if a study is held, or its patient is.
pub(super) async fn refuse_held(change: &mut Change<'_>, study: &str) -> Result<(), ArchiveError> {
    let Some(row) = sqlx::query(HELD).bind(study).fetch_optional(&mut *change.transaction).await? else {
        return Ok(());
    };
    let hold = hold(&row)?;
    let what = if matches!(hold.of, Holding::Study(_)) { "it" } else { "its patient" };
    let (number, by, reason) = (hold.number, hold.held_by, hold.reason);
    let since = OffsetDateTime::from_unix_timestamp(hold.held_at / 1000)
        .map_or_else(|_| String::new(), |at| at.date().to_string());
    Err(ArchiveError::Kept(format!(
        "study {study} cannot be deleted: {what} is on legal hold {number} since {since} by {by} ({reason}); an \
         administrator may release it: pacs hold release {number} --reason …"
    )))
}

/// A study is about to be given to another patient: the holds on the one it belongs to stay on it.
pub(crate) async fn keep_held(change: &mut Change<'_>, study: &str, patient: &str) -> Result<(), sqlx::Error> {
    sqlx::query(KEEP_HELD).bind(study).bind(patient).execute(&mut *change.transaction).await?;
    Ok(())
}

pub(super) fn hold(row: &AnyRow) -> Result<Hold, ArchiveError> {
    let (study, patient): (String, String) = (row.try_get(1)?, row.try_get(2)?);
    let of = match patient.strip_prefix("id ").and_then(|key| key.split_once('\\')) {
        Some((issuer, id)) => Holding::Patient { id: id.to_owned(), issuer: issuer.to_owned() },
        None => Holding::Study(study.parse().map_err(|_| ArchiveError::Internal("a legal hold is damaged".into()))?),
    };
    Ok(Hold {
        number: row.try_get(0)?,
        of,
        held_at: row.try_get(3)?,
        held_by: row.try_get(4)?,
        reason: row.try_get(5)?,
        released_at: row.try_get(6)?,
        released_by: row.try_get(7)?,
        release_reason: row.try_get(8)?,
    })
}

const IS_STUDY: &str = "select study_key from study where study_instance_uid = $1";

const IS_PATIENT: &str = "select patient_key from patient where patient_key = $1";

const HOLD: &str = "insert into legal_hold (hold_key, study_instance_uid, patient_key, held_at, held_by, reason,
        released_at, released_by, release_reason)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing";

const RELEASE: &str = "update legal_hold set released_at = $2, released_by = $3, release_reason = $4, in_store = 0
    where hold_key = $1 and released_at = 0 returning study_instance_uid";

/// The columns of a [`Hold`], and the end of the statement.
macro_rules! select_holds {
    ($end:literal) => {
        concat!(
            "select hold_key, study_instance_uid, patient_key, held_at, held_by, reason, released_at, released_by,
                release_reason
            from legal_hold ",
            $end
        )
    };
}
pub(super) use select_holds;

const HOLDS: &str =
    select_holds!("where hold_key < $1 and ($2 = 1 or released_at = 0) order by hold_key desc limit $3");

const HELD: &str =
    "select h.hold_key, h.study_instance_uid, h.patient_key, h.held_at, h.held_by, h.reason, h.released_at,
        h.released_by, h.release_reason
    from legal_hold h where h.released_at = 0 and h.study_instance_uid = $1
    union all select h.hold_key, h.study_instance_uid, h.patient_key, h.held_at, h.held_by, h.reason, h.released_at,
        h.released_by, h.release_reason
    from study st join legal_hold h on h.released_at = 0
        and (h.patient_key = st.patient_key or h.patient_key = st.received_patient_key and h.patient_key <> '')
    where st.study_instance_uid = $1
    union all select h.hold_key, h.study_instance_uid, h.patient_key, h.held_at, h.held_by, h.reason, h.released_at,
        h.released_by, h.release_reason
    from held_study hs join legal_hold h on h.hold_key = hs.hold_key and h.released_at = 0
    where hs.study_instance_uid = $1
    order by 1 limit 1";

const KEEP_HELD: &str = "insert into held_study (hold_key, study_instance_uid)
    select hold_key, cast($1 as text) from legal_hold where released_at = 0 and patient_key = $2 and patient_key <> ''
    on conflict do nothing";
