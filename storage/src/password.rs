//! Password hashes (Argon2id), off the async threads and few at a time.

use crate::error::ArchiveError;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use std::sync::LazyLock;
use tokio::sync::Semaphore;

/// Each takes 19 MiB and a core: a flood of sign-ins waits here.
static TURNS: Semaphore = Semaphore::const_new(4);

/// Verified for unknown users, so that they take as long as known ones.
static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| hash_now("nobody").ok());

pub(crate) async fn hash(password: String) -> Result<String, ArchiveError> {
    in_turn(move || hash_now(&password)).await?
}

/// Whether the password belongs to `hash`; the same work and `false` without one.
pub(crate) async fn verify(password: String, hash: Option<String>) -> Result<bool, ArchiveError> {
    in_turn(move || {
        let known = hash.is_some();
        hash.or_else(|| NOBODY.clone()).is_some_and(|hash| matches(&password, &hash)) && known
    })
    .await
}

async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ArchiveError> {
    let _turn = TURNS.acquire().await.map_err(|e| ArchiveError::Internal(e.to_string()))?;
    tokio::task::spawn_blocking(work).await.map_err(|e| ArchiveError::Internal(e.to_string()))
}

fn hash_now(password: &str) -> Result<String, ArchiveError> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|e| ArchiveError::Internal(format!("password hash: {e}")))
}

fn matches(password: &str, hash: &str) -> bool {
    Argon2::default().verify_password(password.as_bytes(), hash).is_ok()
}
