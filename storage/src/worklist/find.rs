//! Steps that match a query. The database narrows by what it has columns for, and the query itself decides: it may ask for
//! anything that an item holds.

use super::{ScheduledStep, scheduled_step};
use crate::{archive::Archive, error::ArchiveError};
use pacs_core::{
    Tag, VR,
    query::{Condition, ItemQuery, moment_text},
    tags,
    worklist::is_for_station,
};
use sqlx::any::AnyRow;

/// Steps read at a time.
const AT_ONCE: i64 = 500;

const START_DATE: [Tag; 2] = [tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE, tags::SCHEDULED_PROCEDURE_STEP_START_DATE];
const STATUS: [Tag; 2] = [tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE, tags::SCHEDULED_PROCEDURE_STEP_STATUS];

/// What the database can tell.
struct Narrowed {
    /// 1: open steps only; 0: others too.
    is_open: i64,
    from: String,
    to: String,
    patient_id: String,
    accession_number: String,
    study: String,
}

impl Archive {
    /// Steps that match, by their start, at most `limit`. Those that are over are among them only if the query asks for a
    /// status. `station`: only steps scheduled for this AE title.
    pub async fn find_steps(
        &self,
        query: &ItemQuery,
        station: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ScheduledStep>, ArchiveError> {
        let narrowed = Narrowed::of(query);
        let is_match = |step: &ScheduledStep| {
            query.matches(&step.item) && station.is_none_or(|station| is_for_station(&step.item, station))
        };
        let mut found = Vec::new();
        let mut place = (String::new(), String::new(), 0);
        loop {
            let rows = self.step_rows(&narrowed, &place).await?;
            for row in &rows {
                place = start(row)?;
                let step = scheduled_step(row)?;
                if is_match(&step) {
                    found.push(step);
                }
                if found.len() >= limit {
                    return Ok(found);
                }
            }
            if i64::try_from(rows.len()).unwrap_or(AT_ONCE) < AT_ONCE {
                return Ok(found);
            }
        }
    }

    /// One step by its number.
    pub async fn scheduled_step(&self, number: i64) -> Result<ScheduledStep, ArchiveError> {
        let row = sqlx::query(STEP).bind(number).fetch_optional(&self.inner.database.pool).await?;
        let missing = || ArchiveError::NotFound(format!("scheduled procedure step {number}"));
        scheduled_step(&row.ok_or_else(missing)?)
    }

    async fn step_rows(
        &self,
        narrowed: &Narrowed,
        (date, time, number): &(String, String, i64),
    ) -> Result<Vec<AnyRow>, ArchiveError> {
        let statement = sqlx::query(FIND)
            .bind(narrowed.is_open)
            .bind(&narrowed.from)
            .bind(&narrowed.to)
            .bind(&narrowed.patient_id)
            .bind(&narrowed.accession_number)
            .bind(&narrowed.study)
            .bind(date)
            .bind(time)
            .bind(*number)
            .bind(AT_ONCE);
        Ok(statement.fetch_all(&self.inner.database.pool).await?)
    }
}

impl Narrowed {
    fn of(query: &ItemQuery) -> Self {
        let exact = |tag| match query.condition(&[tag]) {
            Some(Condition::Exact(value)) => value.clone(),
            _ => String::new(),
        };
        let (from, to) = match query.condition(&START_DATE) {
            Some(Condition::Exact(day)) => (Some(day.as_str()), Some(day.as_str())),
            Some(Condition::Range { from, to }) => (from.as_deref(), to.as_deref()),
            _ => (None, None),
        };
        let filled = |text: Option<&str>, fill| text.and_then(|text| moment_text(VR::DA, text, fill));
        Self {
            is_open: i64::from(query.condition(&STATUS).is_none()),
            from: filled(from, '0').unwrap_or_default(),
            to: filled(to, '9').unwrap_or_else(|| "99999999".to_owned()),
            patient_id: exact(tags::PATIENT_ID),
            accession_number: exact(tags::ACCESSION_NUMBER),
            study: exact(tags::STUDY_INSTANCE_UID),
        }
    }
}

/// Where a step stands in the order of starts.
fn start(row: &AnyRow) -> Result<(String, String, i64), sqlx::Error> {
    use sqlx::Row;
    Ok((row.try_get(6)?, row.try_get(7)?, row.try_get(0)?))
}

const STEP: &str = "select step_key, study_instance_uid, scheduled_procedure_step_id, status, json, changed_at
    from scheduled_step where step_key = $1";

// The second term of the list makes one of the two ranges of the index where only open steps are asked for.
const FIND: &str = "select step_key, study_instance_uid, scheduled_procedure_step_id, status, json, changed_at,
        start_date, start_time
    from scheduled_step
    where is_open in ($1, 1) and start_date >= $2 and start_date <= $3 and ($4 = '' or patient_id = $4)
        and ($5 = '' or accession_number = $5) and ($6 = '' or study_instance_uid = $6)
        and (start_date, start_time, step_key) > ($7, $8, $9)
    order by start_date, start_time, step_key limit $10";
