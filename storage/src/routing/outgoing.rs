//! What is changed of an instance on its way to a destination.

use super::{Batch, Coercion, Destination, Forward, Outcome, Rule};
use crate::{
    archive::Archive, clock::now, corrections::date_time, error::ArchiveError, ingest::blocking, read::StoredInstance,
    reader::InstanceReader,
};
use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use pacs_core::{
    DataSet, TransferSyntax, Uid,
    correction::{Step, correct},
    data_set::{Limits, inflate, scan},
    deidentify::{Key, Profile, deidentify},
    part10::write_meta,
    transfer_syntax::Encoding,
};
use sqlx::Row;
use std::{
    io::{Cursor, Seek, SeekFrom},
    sync::Arc,
};

/// A deflated data set may inflate to so many bytes here, where it is held whole.
const MAX_INFLATED: u64 = 256 << 20;

/// What is changed of instances that go to a destination, as it is now.
pub struct Manner {
    destination: Destination,
    key: Key,
    rules: Vec<Rule>,
}

/// What is changed of one instance.
#[derive(Debug, PartialEq)]
pub(crate) struct Alteration {
    coercion: Coercion,
    deidentify: Option<(Profile, Key)>,
}

impl Manner {
    fn of(&self, forward: &Forward) -> Option<Arc<Alteration>> {
        let rule = self.rules.iter().find(|rule| rule.name == forward.rule);
        let deidentify = self.destination.deidentify.clone().map(|mut profile| {
            profile.allow_burned_in |= rule.is_some_and(|rule| rule.allow_burned_in);
            (profile, self.key.clone())
        });
        let coercion = self.destination.coercion.clone();
        let is_any = deidentify.is_some() || !coercion.is_empty();
        is_any.then(|| Arc::new(Alteration { coercion, deidentify }))
    }
}

impl Alteration {
    fn apply(&self, data_set: &mut DataSet) -> Result<(), ArchiveError> {
        let (values, unfit) = self.coercion.values(data_set);
        for why in unfit {
            tracing::warn!(why, "a value does not fit");
        }
        correct(data_set, &[Step { at: date_time(now()), values }]);
        let Some((profile, key)) = &self.deidentify else { return Ok(()) };
        deidentify(data_set, profile, key).map_err(|risk| {
            let remedy = if risk.may_be_allowed() { "; if it is known to be clean, its rule may allow it" } else { "" };
            ArchiveError::Conflict(format!("not de-identified: {risk}{remedy}"))
        })
    }

    fn uid(&self, uid: &Uid) -> Uid {
        self.deidentify.as_ref().map_or_else(|| uid.clone(), |(profile, key)| profile.uid(key, uid))
    }
}

impl StoredInstance {
    /// The SOP Instance UID under which it leaves.
    pub fn leaves_as(&self) -> Uid {
        self.alteration
            .as_ref()
            .map_or_else(|| self.sop_instance.clone(), |alteration| alteration.uid(&self.sop_instance))
    }

    /// Makes of its scanned data set what leaves: lays the corrections in force over it, and changes what its destination
    /// wants changed. `Conflict` if it must not leave so.
    pub fn prepare(&self, data_set: &mut DataSet) -> Result<(), ArchiveError> {
        self.correct(data_set);
        self.alteration.as_ref().map_or(Ok(()), |alteration| alteration.apply(data_set))
    }
}

impl Archive {
    /// How instances go to a destination.
    pub async fn manner(&self, destination: &str) -> Result<Manner, ArchiveError> {
        let rules = self.rules().await?;
        let secret = sqlx::query(SECRET).bind(destination).fetch_optional(&self.inner.database.pool).await?;
        let secret: String = secret.map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
        let key =
            key(&secret).ok_or_else(|| ArchiveError::Internal(format!("destination {destination} has no key")))?;
        Ok(Manner { destination: self.destination(destination).await?, key, rules })
    }

    /// A claimed instance as it leaves; `NotFound` if it was deleted or rejected since, `Conflict` if it must not leave.
    pub async fn leaving(&self, forward: &Forward, manner: &Manner) -> Result<StoredInstance, ArchiveError> {
        let mut stored = self.forwarded(forward).await?;
        // What another machine has not sealed yet is sent by it, or later.
        self.reach([&stored]).await?;
        stored.alteration = manner.of(forward);
        if stored.alteration.is_some() {
            let (archive, stored) = (self.clone(), stored.clone());
            blocking(move || stored.prepare(&mut header(archive, &stored)?)).await?;
        }
        Ok(stored)
    }
}

impl Archive {
    /// The instances of a batch as they leave, and what becomes of those that do not.
    pub async fn load_forwards<'a>(
        &self,
        batch: &'a Batch,
    ) -> (Vec<(&'a Forward, StoredInstance)>, Vec<(&'a Forward, Outcome)>) {
        let (mut ready, mut spoilt) = (Vec::new(), Vec::new());
        let manner = self.manner(&batch.destination.name).await;
        for forward in &batch.claimed {
            let leaving = match &manner {
                Ok(manner) => self.leaving(forward, manner).await,
                Err(error) => Err(ArchiveError::Internal(error.to_string())),
            };
            match leaving {
                Ok(stored) => ready.push((forward, stored)),
                Err(ArchiveError::NotFound(_)) => {
                    spoilt.push((forward, Outcome::Failed("it was deleted or rejected since".to_owned())));
                }
                Err(ArchiveError::Conflict(why)) => spoilt.push((forward, Outcome::Refused(why))),
                Err(error) => spoilt.push((forward, Outcome::Unreachable(error.to_string()))),
            }
        }
        (ready, spoilt)
    }
}

impl Archive {
    /// The whole file of an instance as it leaves, under the UIDs under which it does.
    pub async fn read_leaving(
        &self,
        stored: &StoredInstance,
    ) -> Result<BoxStream<'static, Result<Bytes, ArchiveError>>, ArchiveError> {
        let file = self.read(stored).await?;
        if stored.alteration.is_none() {
            return Ok(file);
        }
        let meta = write_meta(&stored.sop_class, &stored.leaves_as(), &stored.transfer_syntax, None);
        let mut skip = stored.data_set_offset;
        let data_set = file.map_ok(move |mut piece| {
            let skipped = usize::try_from(skip).map_or(piece.len(), |skip| skip.min(piece.len()));
            skip -= skipped as u64;
            piece.split_off(skipped)
        });
        Ok(stream::iter([Ok(Bytes::from(meta))]).chain(data_set).boxed())
    }
}

/// The scanned data set of an instance as received.
pub(super) fn header(archive: Archive, stored: &StoredInstance) -> Result<DataSet, ArchiveError> {
    let mut reader = InstanceReader::new(archive, Arc::new(stored.clone()));
    reader.seek(SeekFrom::Start(stored.data_set_offset))?;
    if stored.transfer_syntax.encoding() == Encoding::Deflated {
        let inflated = inflate(reader, MAX_INFLATED)?;
        return Ok(scan(&mut Cursor::new(inflated), &TransferSyntax::explicit_little(), Limits::default())?);
    }
    Ok(scan(&mut std::io::BufReader::new(reader), &stored.transfer_syntax, Limits::default())?)
}

fn key(secret: &str) -> Option<Key> {
    let byte = |at: usize| u8::from_str_radix(secret.get(2 * at..2 * at + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..32).map(byte).collect::<Option<_>>()?;
    <[u8; 32]>::try_from(bytes).ok().map(Key::from)
}

const SECRET: &str = "select secret from destination where name = $1";
