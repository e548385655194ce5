//! The catalog made anew from the packs in the store.

use crate::{
    archive::{Archive, Inner},
    error::ArchiveError,
    pack::Indexed,
    packs::Placed,
    read::Place,
    sealing::OUT_OF_DATE,
};
use std::sync::Arc;

/// What a reindexing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reindexed {
    /// Packs that were read.
    pub packs: u64,
    /// Instances whose rows were written.
    pub instances: u64,
    /// Corrections that the catalog lacked.
    pub corrections: u64,
    /// Legal holds that the catalog lacked.
    pub holds: u64,
    /// Instances in quarantine that the catalog lacked.
    pub quarantined: u64,
    /// Packs, corrections and holds that cannot be read, with the reason.
    pub damaged: Vec<String>,
}

impl Archive {
    /// Writes the rows of every instance in the store that the catalog lacks. Reads the index of each pack that the catalog
    /// does not know, not the instances; may be run again and again, and while the archive is used. `progress` hears what was
    /// done so far.
    pub async fn reindex(&self, progress: impl Fn(&Reindexed)) -> Result<Reindexed, ArchiveError> {
        let mut done = Reindexed::default();
        for key in self.verify(false, |_| ()).await?.unknown {
            match self.inner.take_in(&key).await {
                Ok(instances) => done.instances += instances,
                Err(error) => done.damaged.push(format!("{key}: {error}")),
            }
            done.packs += 1;
            progress(&done);
        }
        // First, for a correction takes the holds along that are on the patient from whom it takes a study.
        let (holds, damaged) = self.take_in_holds().await?;
        done.holds = holds;
        done.damaged.extend(damaged);
        let (corrections, damaged) = self.take_in_corrections().await?;
        done.corrections = corrections;
        done.damaged.extend(damaged);
        let (quarantined, damaged) = self.take_in_quarantined().await?;
        done.quarantined = quarantined;
        done.damaged.extend(damaged);
        Ok(done)
    }
}

impl Inner {
    /// Writes the rows of a pack; returns of how many instances.
    pub(crate) async fn take_in(self: &Arc<Self>, key: &str) -> Result<u64, ArchiveError> {
        let footer = self.footer_in_store(key).await?;
        let place = Place { key: key.to_owned(), sealed: true, offset: 0, record_len: 0, checksum: 0 };
        let index = footer.trailer.index_offset..footer.trailer.index_offset + footer.trailer.index_len;
        let text = self.inflated_part(&place, index).await?;
        let lines = text.lines().map(serde_json::from_str::<Indexed>);
        let indexed = lines.collect::<Result<Vec<_>, _>>().map_err(|e| ArchiveError::Internal(e.to_string()))?;
        let mut written = 0;
        for Indexed { offset, record_len, record, .. } in indexed {
            let placed = Placed::sealed(key, offset, record_len);
            let outcome = self.store_again(record, placed, true).await?;
            written += u64::from(outcome.is_written());
        }
        self.note_sealed(key, footer, OUT_OF_DATE).await?;
        self.mark_cold(key).await?;
        Ok(written)
    }
}
