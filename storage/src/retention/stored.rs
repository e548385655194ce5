//! Legal holds in the store: what is held stays so in a catalog that is made anew, and nothing of it expires there.

use super::hold::{Hold, hold, put_hold, select_holds};
use crate::{archive::Archive, archive::Inner, error::ArchiveError};

const FOLDER: &str = "holds/";

impl Inner {
    /// Puts holds into the store that are not there as they are now; returns how many.
    pub(crate) async fn store_holds(&self) -> Result<usize, ArchiveError> {
        let rows = sqlx::query(TO_STORE).fetch_all(&self.database.pool).await?;
        for row in &rows {
            let hold = hold(row)?;
            // A catalog that was lost may have had another hold of this number.
            self.put_document(&format!("{FOLDER}{:016x}-{}", hold.held_at, hold.number), &hold).await?;
            let stored = sqlx::query(IN_STORE).bind(hold.number).bind(hold.released_at);
            self.database.execute(stored).await?;
        }
        Ok(rows.len())
    }

    /// After a change of keys: writes all anew and removes what is encrypted otherwise, or not at all.
    pub(crate) async fn rekey_holds(&self) -> Result<(), ArchiveError> {
        let others = self.documents_by_other_keys(FOLDER).await?;
        if others.is_empty() {
            return Ok(());
        }
        self.database.execute(sqlx::query(ALL_HOLDS_TO_STORE)).await?;
        while self.store_holds().await? > 0 {}
        for key in others {
            self.objects.remove(&key).await?;
        }
        Ok(())
    }
}

impl Archive {
    /// Takes over the holds in the store that the catalog lacks; returns how many, and what cannot be read.
    pub(crate) async fn take_in_holds(&self) -> Result<(u64, Vec<String>), ArchiveError> {
        let (mut found, damaged) = self.inner.documents::<Hold>(FOLDER).await?;
        // Of two that tell of the same, one is from before it was released.
        found.sort_by_key(|hold| (hold.held_at, hold.number, hold.released_at == 0));
        let mut taken = 0;
        for hold in found {
            let mut change = self.inner.database.change().await?;
            let (study, patient) = hold.of.columns();
            let same = sqlx::query(SAME).bind(hold.held_at).bind(study).bind(patient).bind(&hold.reason);
            if same.fetch_optional(&mut *change.transaction).await?.is_none() {
                put_hold(&mut change, hold).await?;
                change.commit().await?;
                taken += 1;
            }
        }
        Ok((taken, damaged))
    }
}

/// Of a catalog that comes from elsewhere, and whose store has none.
pub(crate) const ALL_HOLDS_TO_STORE: &str = "update legal_hold set in_store = 0";

const TO_STORE: &str = select_holds!("where in_store = 0 order by hold_key limit 1000");

// Unless it was released meanwhile.
const IN_STORE: &str = "update legal_hold set in_store = 1 where hold_key = $1 and released_at = $2";

const SAME: &str = "select hold_key from legal_hold
    where held_at = $1 and study_instance_uid = $2 and patient_key = $3 and reason = $4";
