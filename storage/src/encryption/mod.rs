//! Encryption at rest of the packs in the store.
//!
//! An encrypted pack is a header of [`HEADER_LEN`] bytes and frames of [`FRAME`] bytes, each with a tag, so that a range
//! is read by reading its frames. Every pack has a data key of its own, which is in the header, wrapped by a key of the
//! [`KeyRing`] (envelope encryption). What holds it together:
//!
//! - the wrapping covers the object's key in the store and its plain length: no pack can stand in for another, none can be
//!   cut off or lengthened;
//! - the number of a frame is its nonce: frames cannot change places;
//! - the object is named by key and cipher ([`Lock`]): a reader knows beforehand that a pack must be encrypted, and a
//!   plain one is not taken for it.
//!
//! | module | what |
//! |---|---|
//! | `cipher` | AES-256-GCM and SM4-GCM behind one type |
//! | `ring` | the keys: where they come from, which is used |
//! | `header` | the data key, wrapped |
//! | `frames` | ranges → frames → plain bytes, and a file → its encrypted form |

mod cipher;
mod frames;
mod header;
mod ring;

pub use cipher::Cipher;
pub(crate) use frames::{FRAME, SealedRead, covering, open_frames, sealed_len};
pub(crate) use header::{HEADER_LEN, Opened};
pub use ring::new_key_line;
pub(crate) use ring::{KeyRing, Lock, load_ring};

/// Why a pack cannot be decrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionError {
    #[error("it needs the key {0}, which is not among storage.keys: add it back, behind the first")]
    NoKey(String),
    #[error("the key {0} of storage.keys is not the one it was written with, or its header is damaged or another's")]
    WrongKey(String),
    #[error("its frame {0} is damaged, cut off, or from elsewhere")]
    Frame(u64),
    #[error("it does not start as an encrypted pack does")]
    Header,
    #[error("it has {actual} bytes where its header tells of {expected}")]
    Length { expected: u64, actual: u64 },
    #[error("it is too long for its cipher")]
    TooLong,
}

#[cfg(test)]
mod tests;
