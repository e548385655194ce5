//! Documents: small objects of JSON in the store beside the packs, for a catalog that is made anew.
//!
//! A change of keys gives a document another name. The older one goes when packs are rekeyed; until then it may be that two
//! tell of the same, one of them from before.

use crate::{archive::Inner, error::ArchiveError};
use futures::TryStreamExt;
use serde::{Serialize, de::DeserializeOwned};
use std::io::Write;

/// No dot in it: what is before the last one tells how the object is encrypted.
pub(crate) const EXTENSION: &str = "json";
/// Some hundred bytes, mostly; a rejection of a hundred thousand instances is some megabytes.
const LONGEST: u64 = 16 << 20;

impl Inner {
    /// Writes a document, or over it; encrypted if new packs are.
    pub(crate) async fn put_document(&self, name: &str, content: &impl Serialize) -> Result<(), ArchiveError> {
        let mut file = self.packs.scratch()?;
        file.write_all(&serde_json::to_vec(content).map_err(|e| ArchiveError::Internal(e.to_string()))?)?;
        self.objects.put_new(file.path(), &self.objects.named(name, EXTENSION)).await
    }

    /// All documents of a folder, and what is the matter with those that cannot be read.
    pub(crate) async fn documents<T: DeserializeOwned>(
        &self,
        folder: &str,
    ) -> Result<(Vec<T>, Vec<String>), ArchiveError> {
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        for key in self.document_keys(folder).await? {
            match self.document(&key).await {
                Ok(document) => found.push(document),
                Err(error) => damaged.push(format!("{key}: {error}")),
            }
        }
        Ok((found, damaged))
    }

    /// Objects of a folder that are called otherwise than new ones would be.
    pub(crate) async fn documents_by_other_keys(&self, folder: &str) -> Result<Vec<String>, ArchiveError> {
        let ending = self.objects.named("", EXTENSION);
        let plain = self.objects.lock().is_none();
        let is_other = |key: &String| match plain {
            true => key.matches('.').count() > 1,
            false => !key.ends_with(&ending),
        };
        Ok(self.document_keys(folder).await?.into_iter().filter(is_other).collect())
    }

    async fn document_keys(&self, folder: &str) -> Result<Vec<String>, ArchiveError> {
        let listed = self.objects.store.list().map_ok(|(key, _)| key);
        let is_one = |key: &String| std::future::ready(key.starts_with(folder) && key.ends_with(EXTENSION));
        listed.try_filter(is_one).try_collect().await
    }

    async fn document<T: DeserializeOwned>(&self, key: &str) -> Result<T, ArchiveError> {
        let missing = || ArchiveError::NotFound(format!("object {key}"));
        let len = self.objects.len(key).await?.ok_or_else(missing)?;
        if len > LONGEST {
            return Err(ArchiveError::Internal(format!("it is longer than {LONGEST} bytes")));
        }
        let text = self.objects.read_range(key, 0..len).await?;
        serde_json::from_slice(&text).map_err(|error| ArchiveError::Internal(error.to_string()))
    }
}
