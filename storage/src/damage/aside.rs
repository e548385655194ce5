//! Damaged objects that were replaced: kept under another name, until an administrator discards them.

use crate::{
    archive::Archive,
    audit::{AuditAction, AuditRecord},
    error::ArchiveError,
    objects::Objects,
    tiers::{cold, hot, is_cold},
};

/// Where they are in the store. Their names no longer end as those of packs do.
const FOLDER: &str = "damaged";
const ENDING: &str = ".damaged";

impl Archive {
    /// The objects that are set aside, by the names that they had.
    pub async fn set_aside(&self) -> Result<Vec<String>, ArchiveError> {
        let store = &self.inner.objects.store;
        let (own, of_cold) = (store.keys_under(FOLDER).await?, store.keys_under(&cold(FOLDER)).await?);
        let name = |key: &str| Some(key.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(ENDING)?.to_owned());
        let cold_name = |key: &String| name(hot(key)).map(|name| cold(&name));
        Ok(own.iter().filter_map(|key| name(key)).chain(of_cold.iter().filter_map(cold_name)).collect())
    }

    /// Removes an object that is set aside, for good, and what was noted about it.
    pub async fn discard(&self, actor: &str, origin: &str, object: &str) -> Result<(), ArchiveError> {
        if !self.set_aside().await?.iter().any(|aside| aside == object) {
            return Err(ArchiveError::NotFound(format!("{object} among what is set aside")));
        }
        let record = AuditRecord {
            at: 0,
            action: AuditAction::Delete,
            actor: actor.to_owned(),
            origin: origin.to_owned(),
            success: true,
            study: None,
            detail: format!("damaged pack {object}, which was replaced"),
        };
        self.audit(&record).await?;
        self.inner.objects.store.remove(&aside(object)).await?;
        self.inner.database.execute(sqlx::query(DISCARD).bind(object)).await?;
        Ok(())
    }
}

impl Objects {
    /// Takes an object out of the way of readers; one that is gone already is no failure.
    pub(crate) async fn put_aside(&self, key: &str) -> Result<(), ArchiveError> {
        self.forget(key);
        self.store.rename(key, &aside(key)).await
    }
}

/// In the place where it lies.
fn aside(key: &str) -> String {
    let aside = format!("{FOLDER}/{}{ENDING}", hot(key));
    if is_cold(key) { cold(&aside) } else { aside }
}

const DISCARD: &str = "delete from damage where object_key = $1 and mended_at > 0";
