//! Reading through what is stored: an instance with its record and their TAR headers, and a pack's own parts.

use super::{
    IN_PACK,
    what::{What, suspected},
};
use crate::{
    archive::Inner,
    encryption::{EncryptionError, Lock},
    error::ArchiveError,
    ingest::blocking,
    pack::{BLOCK, Record, Trailer, read_trailer, record_offset},
    read::{Place, place},
    tiers::is_cold,
};
use flate2::read::GzDecoder;
use futures::TryStreamExt;
use sqlx::{Row, any::AnyRow};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
    sync::Arc,
};

/// Other packs that are looked for when one is missing, or does not open.
const OTHERS: i64 = 3;
/// Bytes of a file read in one go.
const STEP: usize = 256 << 10;

/// An instance, or an object of no patient, as a check needs it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Thing {
    /// Of its row; keys of the two tables come from one counter.
    pub(crate) key: i64,
    pub(crate) sop_instance: String,
    pub(crate) place: Place,
    pub(crate) len: u64,
    pub(crate) digest: String,
}

impl Thing {
    /// From a row of [`things!`].
    fn of(row: &AnyRow) -> Result<Self, ArchiveError> {
        Ok(Self {
            key: row.try_get(0)?,
            sop_instance: row.try_get(1)?,
            len: row.try_get::<i64, _>(2)?.unsigned_abs(),
            digest: row.try_get(3)?,
            place: place(row, 4)?,
        })
    }

    /// Whether a file is the same data set as was received, or the very bytes that are to be here.
    pub(crate) fn is_same(&self, file: &Record) -> bool {
        file.digest == self.digest || file.byte_len == self.len && file.checksum == self.place.checksum
    }

    /// From the TAR header before the file to the end of the record behind it.
    fn stretch(&self) -> Range<u64> {
        let start = self.place.offset.saturating_sub(BLOCK);
        start..record_offset(self.place.offset, self.len).saturating_add(self.place.record_len)
    }
}

/// A sealed pack and where its own parts are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parts {
    pub(crate) place: Place,
    trailer: Trailer,
    byte_len: u64,
}

impl Parts {
    fn of(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let number = |index: usize| row.try_get::<i64, _>(index).map(i64::unsigned_abs);
        Ok(Self {
            place: Place { key: row.try_get(0)?, sealed: true, offset: 0, record_len: 0, checksum: 0 },
            byte_len: number(1)?,
            trailer: Trailer {
                metadata_offset: number(2)?,
                metadata_len: number(3)?,
                index_offset: number(4)?,
                index_len: number(5)?,
            },
        })
    }

    fn start(&self) -> u64 {
        self.trailer.metadata_offset.saturating_sub(BLOCK)
    }

    /// `bytes` are those from the start to the end of the pack.
    fn are_whole(&self, bytes: &[u8]) -> bool {
        let start = self.start();
        let part = |offset: u64, len: u64| {
            let at = usize::try_from(offset.checked_sub(start)?).ok()?;
            bytes.get(at..at.checked_add(usize::try_from(len).ok()?)?)
        };
        let inflates = |offset, len| part(offset, len).is_some_and(inflates);
        let Trailer { metadata_offset, metadata_len, index_offset, index_len } = self.trailer;
        let headers = [start, index_offset.saturating_sub(BLOCK)];
        inflates(metadata_offset, metadata_len)
            && inflates(index_offset, index_len)
            && headers.into_iter().all(|at| part(at, BLOCK).is_some_and(is_header))
            && read_trailer(bytes.get(bytes.len().saturating_sub(4 * BLOCK as usize)..).unwrap_or_default())
                .is_ok_and(|trailer| trailer == self.trailer)
    }
}

impl Inner {
    /// Up to `limit` things with keys after this, in order of their keys.
    pub(crate) async fn things_after(&self, key: i64, limit: i64) -> Result<Vec<Thing>, ArchiveError> {
        let rows = sqlx::query(THINGS).bind(key).bind(limit).fetch_all(&self.database.pool).await?;
        rows.iter().map(Thing::of).collect()
    }

    /// The one with this key, if it is still there.
    pub(crate) async fn thing(&self, key: i64) -> Result<Option<Thing>, ArchiveError> {
        Ok(self.things_after(key - 1, 1).await?.into_iter().find(|thing| thing.key == key))
    }

    /// The own parts of a sealed pack.
    pub(crate) async fn parts(&self, object_key: &str) -> Result<Option<Parts>, ArchiveError> {
        let row = sqlx::query(PARTS).bind(object_key).fetch_optional(&self.database.pool).await?;
        Ok(row.as_ref().map(Parts::of).transpose()?)
    }

    /// The own parts of the pack of a thing, if it is the last in it: so that who reads all things sees each pack once.
    pub(crate) async fn parts_behind(&self, thing: &Thing) -> Result<Option<Parts>, ArchiveError> {
        if !thing.place.sealed {
            return Ok(None);
        }
        let offset = i64::try_from(thing.place.offset).unwrap_or(i64::MAX);
        let behind = sqlx::query(BEHIND).bind(&thing.place.key).bind(offset);
        match behind.fetch_optional(&self.database.pool).await? {
            Some(_) => Ok(None),
            None => self.parts(&thing.place.key).await,
        }
    }

    /// Reads a thing through, twice if need be: what is wrong with it, if anything is. An error: nothing can be said now.
    pub(crate) async fn examine(self: &Arc<Self>, thing: &Thing) -> Result<Option<What>, ArchiveError> {
        match self.read_through(thing).await.0 {
            Ok(None) => return Ok(None),
            Err(error) if suspected(&error).is_none() => return Err(error),
            // An answer may have been lost or garbled on its way: what is stored is so a second time.
            _ => {}
        }
        match self.read_through(thing).await {
            (Ok(found), _) => Ok(found),
            (Err(error), is_whole) => {
                let judged = self.judge(error, &thing.place, thing.stretch().end).await?;
                // Then it was the error of what lies behind the instance.
                Ok(judged.map(|what| if is_whole { What::Record } else { what }))
            }
        }
    }

    /// As [`Self::examine`], of a pack's own parts.
    pub(crate) async fn examine_parts(&self, parts: &Parts) -> Result<Option<What>, ArchiveError> {
        match self.read_parts(parts).await {
            Ok(true) => return Ok(None),
            Err(error) if suspected(&error).is_none() => return Err(error),
            _ => {}
        }
        match self.read_parts(parts).await {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(What::Parts)),
            // Of a pack that is not there at all its instances tell.
            Err(error) => {
                let judged = self.judge(error, &parts.place, parts.byte_len).await?;
                Ok(judged.filter(|what| *what != What::Missing).map(|_| What::Parts))
            }
        }
    }

    /// What is wrong beside the instance, or why it cannot be told; and whether the instance itself was read whole.
    async fn read_through(self: &Arc<Self>, thing: &Thing) -> (Result<Option<What>, ArchiveError>, bool) {
        let mut seen = Seen::new(thing);
        let read = self.feed(thing, &mut seen).await;
        let is_whole = seen.is_whole();
        let read = read.and_then(|()| match is_whole {
            None => Err(seen.truncated()),
            Some(false) => Err(ArchiveError::Damaged(thing.sop_instance.clone())),
            Some(true) if !seen.is_all() => Err(seen.truncated()),
            Some(true) => Ok((!seen.is_framed()).then_some(What::Record)),
        });
        (read, is_whole == Some(true))
    }

    async fn feed(self: &Arc<Self>, thing: &Thing, seen: &mut Seen<'_>) -> Result<(), ArchiveError> {
        let (place, objects) = (&thing.place, &self.objects);
        let mut stream = match place.sealed && objects.near(&place.key).is_some() {
            // What is kept near says nothing about the store.
            true => objects.stored().stream(&place.key, thing.stretch()).await?,
            false => self.stream_pack(place, thing.stretch()).await?,
        };
        while let Some(piece) = stream.try_next().await? {
            seen.take(&piece);
        }
        Ok(())
    }

    async fn read_parts(&self, parts: &Parts) -> Result<bool, ArchiveError> {
        let bytes = self.objects.stored().read_range(&parts.place.key, parts.start()..parts.byte_len).await?;
        Ok(parts.are_whole(&bytes))
    }

    /// Whether a file is a sealed pack as the catalog knows it, with all that is in it.
    pub(crate) async fn is_copy_whole(&self, object_key: &str, copy: &Path) -> Result<bool, ArchiveError> {
        let mut things = Vec::new();
        for row in sqlx::query(IN_PACK).bind(object_key).fetch_all(&self.database.pool).await? {
            things.extend(self.thing(row.try_get(0)?).await?.filter(|thing| thing.place.key == object_key));
        }
        let (parts, copy) = (self.parts(object_key).await?, copy.to_owned());
        blocking(move || {
            for thing in &things {
                if !is_thing_in(thing, &copy)? {
                    return Ok(false);
                }
            }
            parts.map_or(Ok(true), |parts| are_parts_in(&parts, &copy))
        })
        .await
    }

    /// What the error of a second reading tells of: a whole store or a key that is not there is no damage.
    async fn judge(&self, error: ArchiveError, place: &Place, end: u64) -> Result<Option<What>, ArchiveError> {
        let Some(what) = suspected(&error) else { return Err(error) };
        let what = match what {
            What::Missing | What::Unreadable | What::Truncated if place.sealed => {
                match self.objects.len(&place.key).await {
                    Ok(None) => What::Missing,
                    Ok(Some(len)) if len < end => What::Truncated,
                    Ok(Some(_)) if what == What::Unreadable => what,
                    // It is all there: the answer was cut off on its way.
                    Ok(Some(_)) => return Err(error),
                    Err(error) => suspected(&error).ok_or(error)?,
                }
            }
            what => what,
        };
        let is_sure = match &error {
            _ if what == What::Missing => self.is_another_there(place, None).await?,
            ArchiveError::Encryption { object, why: EncryptionError::WrongKey(_) } => {
                self.is_another_there(place, Lock::of(object).as_ref()).await?
            }
            _ => true,
        };
        if is_sure { Ok(Some(what)) } else { Err(error) }
    }

    /// Whether others of the newest packs of the same store are there, and open where they have this lock. If there is no
    /// other pack, what is said of this one stands for the store or the key ring, which an administrator has to look at.
    async fn is_another_there(&self, place: &Place, lock: Option<&Lock>) -> Result<bool, ArchiveError> {
        let ending = lock.map_or_else(|| "%".to_owned(), |lock| format!("%.{lock}.%"));
        let others =
            sqlx::query(OTHER_PACKS).bind(&place.key).bind(ending).bind(OTHERS).bind(i64::from(is_cold(&place.key)));
        for row in others.fetch_all(&self.database.pool).await? {
            let key: String = row.try_get(0)?;
            if matches!(self.objects.len(&key).await, Ok(Some(_))) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What has been read of a stretch.
struct Seen<'a> {
    thing: &'a Thing,
    /// Up to the file, and from its end on.
    head: Vec<u8>,
    tail: Vec<u8>,
    sum: u32,
    left: u64,
}

impl<'a> Seen<'a> {
    fn new(thing: &'a Thing) -> Self {
        Self { thing, head: Vec::new(), tail: Vec::new(), sum: 0, left: thing.len }
    }

    fn take(&mut self, piece: &[u8]) {
        let head = (BLOCK as usize).saturating_sub(self.head.len()).min(piece.len());
        let (head, rest) = piece.split_at(head);
        let body = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
        let (body, tail) = rest.split_at(body);
        self.head.extend_from_slice(head);
        self.sum = crc32c::crc32c_append(self.sum, body);
        self.left -= body.len() as u64;
        self.tail.extend_from_slice(tail);
    }

    /// `None`: it has not all come.
    fn is_whole(&self) -> Option<bool> {
        (self.left == 0).then_some(self.sum == self.thing.place.checksum)
    }

    /// Whether what is around the instance is as it was written.
    fn is_framed(&self) -> bool {
        let padding = usize::try_from(self.thing.len.next_multiple_of(BLOCK) - self.thing.len).unwrap_or(0);
        let header = self.tail.get(padding..padding + BLOCK as usize).unwrap_or_default();
        let record = self.tail.get(padding + BLOCK as usize..).unwrap_or_default();
        is_header(&self.head)
            && is_header(header)
            && Record::unpacked(record).is_ok_and(|(record, _)| record.digest == self.thing.digest)
    }

    fn is_all(&self) -> bool {
        let (stretch, len) = (self.thing.stretch(), self.head.len() + self.tail.len());
        len as u64 + self.thing.len - self.left == stretch.end - stretch.start
    }

    fn truncated(&self) -> ArchiveError {
        let (key, actual) = (self.thing.place.key.clone(), self.thing.len - self.left);
        ArchiveError::Truncated { key, expected: self.thing.len, actual }
    }
}

/// Whether a thing lies whole in a file that should be its pack.
fn is_thing_in(thing: &Thing, pack: &Path) -> Result<bool, ArchiveError> {
    let (stretch, mut file) = (thing.stretch(), File::open(pack)?);
    file.seek(SeekFrom::Start(stretch.start))?;
    let mut left = file.take(stretch.end.saturating_sub(stretch.start));
    let (mut seen, mut buffer) = (Seen::new(thing), vec![0; STEP]);
    loop {
        let read = left.read(&mut buffer)?;
        match buffer.get(..read).filter(|piece| !piece.is_empty()) {
            Some(piece) => seen.take(piece),
            None => return Ok(seen.is_whole() == Some(true) && seen.is_all() && seen.is_framed()),
        }
    }
}

/// As [`is_thing_in`], of the pack's own parts.
fn are_parts_in(parts: &Parts, pack: &Path) -> Result<bool, ArchiveError> {
    let (mut file, mut bytes) = (File::open(pack)?, Vec::new());
    file.seek(SeekFrom::Start(parts.start()))?;
    file.read_to_end(&mut bytes)?;
    Ok(parts.start().saturating_add(bytes.len() as u64) == parts.byte_len && parts.are_whole(&bytes))
}

/// Whether a block is a TAR header that fits its own checksum.
fn is_header(block: &[u8]) -> bool {
    let Ok(block) = <[u8; BLOCK as usize]>::try_from(block) else { return false };
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(&block);
    let told = header.cksum().ok();
    header.set_cksum();
    told == header.cksum().ok()
}

/// Whether gzip comes to its end and its checksum is right.
fn inflates(packed: &[u8]) -> bool {
    std::io::copy(&mut GzDecoder::new(packed).take(u64::MAX), &mut std::io::sink()).is_ok()
}

macro_rules! things {
    ($table:literal, $key:literal) => {
        concat!(
            "select * from (select t.",
            $key,
            " as key, t.sop_instance_uid, t.byte_len, t.data_set_digest, p.object_key, p.sealed, t.pack_offset,
                t.record_len, t.checksum
            from ",
            $table,
            " t join pack p on p.pack_key = t.pack_key where t.",
            $key,
            " > $1 order by t.",
            $key,
            " limit $2) as ",
            $table,
            "_things"
        )
    };
}

const THINGS: &str = concat!(
    things!("instance", "instance_key"),
    " union all ",
    things!("non_patient_object", "non_patient_key"),
    " order by key limit $2"
);

const PARTS: &str = "select object_key, byte_len, metadata_offset, metadata_len, index_offset, index_len from pack
    where object_key = $1 and sealed = 1";

const BEHIND: &str = "select i.instance_key from instance i join pack p on p.pack_key = i.pack_key
    where p.object_key = $1 and i.pack_offset > $2
    union all select n.non_patient_key from non_patient_object n join pack p on p.pack_key = n.pack_key
    where p.object_key = $1 and n.pack_offset > $2 limit 1";

const OTHER_PACKS: &str = "select object_key from pack
    where object_key <> $1 and sealed = 1 and object_key like $2
        and case when substr(object_key, 1, 5) = 'cold/' then 1 else 0 end = $4
    order by pack_key desc limit $3";
