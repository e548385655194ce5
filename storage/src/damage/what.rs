//! What is wrong with something stored, and what is only a store that is away.

use crate::{
    encryption::{EncryptionError, Lock},
    error::ArchiveError,
};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The bytes of an instance are not those that were received.
    Checksum,
    /// The pack ends before the instance does.
    Truncated,
    /// There is no such object.
    Missing,
    /// It cannot be decrypted with the key that it was written with.
    Undecipherable,
    /// The disk does not give it back.
    Unreadable,
    /// An instance is whole, what the pack keeps beside it is not.
    Record,
    /// The instances are whole, the pack's metadata, index or trailer are not.
    Parts,
}

impl What {
    const ALL: [Self; 7] = [
        Self::Checksum,
        Self::Truncated,
        Self::Missing,
        Self::Undecipherable,
        Self::Unreadable,
        Self::Record,
        Self::Parts,
    ];

    /// The word in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checksum => "checksum",
            Self::Truncated => "truncated",
            Self::Missing => "missing",
            Self::Undecipherable => "undecipherable",
            Self::Unreadable => "unreadable",
            Self::Record => "record",
            Self::Parts => "parts",
        }
    }

    pub(super) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.as_str() == word)
    }

    /// Whether the instance itself cannot be read. The rest is made anew from the instances.
    pub const fn hides(self) -> bool {
        !matches!(self, Self::Record | Self::Parts)
    }

    /// In a few words, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Checksum => "its bytes are not those that were received",
            Self::Truncated => "its pack was cut off",
            Self::Missing => "its pack is not in the store",
            Self::Undecipherable => "it cannot be decrypted",
            Self::Unreadable => "the disk does not give it back",
            Self::Record => "it is whole, its record in the pack is not; the pack is made anew",
            Self::Parts => "the instances are whole, metadata or index of the pack are not; it is made anew",
        }
    }
}

/// In what a bucket answers when a range starts behind the end of an object (RFC 9110 §15.5.17).
const BEHIND_THE_END: &str = "416 ";

/// What a failed reading may tell of; `None`: a store, database or key ring at fault, not what is stored. That once more
/// gives the same is for the caller to see.
pub(super) fn suspected(error: &ArchiveError) -> Option<What> {
    use object_store::Error::{Generic, NotFound};
    match error {
        ArchiveError::Damaged(_) => Some(What::Checksum),
        ArchiveError::Truncated { .. } => Some(What::Truncated),
        ArchiveError::Encryption { object, why } => match why {
            EncryptionError::Frame(_) | EncryptionError::Header | EncryptionError::WrongKey(_) => {
                Some(What::Undecipherable)
            }
            EncryptionError::Length { expected, actual } if actual < expected => Some(What::Truncated),
            EncryptionError::Length { .. } => Some(What::Undecipherable),
            // The name of the object tells the key too: a header that names another is damaged.
            EncryptionError::NoKey(key) => {
                Lock::of(object).is_some_and(|lock| lock.key_id != *key).then_some(What::Undecipherable)
            }
            EncryptionError::TooLong => None,
        },
        ArchiveError::Store(NotFound { .. }) => Some(What::Missing),
        ArchiveError::Store(Generic { source, .. }) if source.to_string().contains(BEHIND_THE_END) => {
            Some(What::Truncated)
        }
        // A folder is never away; what else a bucket answers like this may be anything.
        ArchiveError::Store(Generic { store, .. }) if *store == crate::error::LOCAL => Some(What::Unreadable),
        _ => None,
    }
}

/// Whether an error may come from damage, of what is read or inflated.
pub(crate) fn is_suspect(error: &ArchiveError) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    let does_not_inflate =
        matches!(error, ArchiveError::Io(e) if matches!(e.kind(), InvalidData | InvalidInput | UnexpectedEof));
    does_not_inflate || suspected(error).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: ArchiveError, expected: Option<What>) {
        assert_eq!(suspected(&error), expected, "{error:?}");
    }

    fn generic(store: &'static str) -> ArchiveError {
        ArchiveError::Store(object_store::Error::Generic { store, source: "no answer".into() })
    }

    fn encryption(why: EncryptionError) -> ArchiveError {
        ArchiveError::Encryption { object: "ab/1/2/0123.k1.aes256.tar".into(), why }
    }

    #[test]
    fn a_store_that_is_away_and_a_key_that_is_missing_are_no_damage() {
        check(generic("S3"), None);
        check(ArchiveError::Database(sqlx::Error::PoolTimedOut), None);
        check(ArchiveError::Elsewhere("pack".into()), None);
        check(encryption(EncryptionError::NoKey("k1".into())), None);
        check(encryption(EncryptionError::NoKey("k9".into())), Some(What::Undecipherable));
        check(encryption(EncryptionError::Frame(3)), Some(What::Undecipherable));
        check(encryption(EncryptionError::Length { expected: 9, actual: 8 }), Some(What::Truncated));
        check(generic("LocalFileSystem"), Some(What::Unreadable));
    }

    #[test]
    fn every_word_means_one_thing() {
        assert!(What::ALL.into_iter().all(|what| What::of_word(what.as_str()) == Some(what)));
        assert_eq!(What::of_word(""), None);
    }
}
