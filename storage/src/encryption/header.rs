//! The start of an encrypted pack: which key wraps its data key, and that.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `YHPACK\0\1` |
//! | 1, 1, 2 | cipher, length of the key's name, zero |
//! | 8 | plain length of the pack, little endian |
//! | 32 | name of the key, filled up with zeros |
//! | 12 | nonce of the wrapping |
//! | 32, 16 | the data key, wrapped, and the tag, which covers all before and the object's key in the store |

use super::{
    EncryptionError, KeyRing, Lock,
    cipher::{Aead, Algorithm, NONCE_LEN, SECRET_LEN, TAG_LEN},
    ring::KEY_ID_LEN,
};
use zeroize::Zeroizing;

const MAGIC: &[u8; 8] = b"YHPACK\0\x01";
const COVERED: usize = MAGIC.len() + 4 + 8 + KEY_ID_LEN;
const LEN: usize = COVERED + NONCE_LEN + SECRET_LEN + TAG_LEN;
pub(crate) const HEADER_LEN: u64 = LEN as u64;

/// The data key of a pack, unwrapped.
pub(crate) struct Opened {
    pub(super) aead: Aead,
    /// Of the pack, in bytes.
    pub(crate) plain_len: u64,
}

impl Opened {
    /// A new data key for a pack and the header that keeps it. `object`: the pack's key in the store.
    pub(super) fn create(
        ring: &KeyRing,
        lock: &Lock,
        object: &str,
        plain_len: u64,
    ) -> Result<(Self, Vec<u8>), EncryptionError> {
        let mut header = covered(lock, plain_len)?;
        let nonce: [u8; NONCE_LEN] = rand::random();
        let secret = Zeroizing::new(rand::random::<[u8; SECRET_LEN]>());
        let mut wrapped = *secret;
        let tag = ring.wrapping(lock)?.seal(&nonce, &associated(&header, object), &mut wrapped);
        let tag = tag.map_err(|_| EncryptionError::TooLong)?;
        header.extend(nonce);
        header.extend(wrapped);
        header.extend(tag);
        Ok((Self { aead: Aead::new(lock.algorithm, &secret), plain_len }, header))
    }

    /// From the first [`HEADER_LEN`] bytes of an object.
    pub(crate) fn read(ring: &KeyRing, object: &str, header: &[u8]) -> Result<Self, EncryptionError> {
        let parsed = parse(header).ok_or(EncryptionError::Header)?;
        let mut secret = Zeroizing::new(parsed.wrapped);
        let opened = ring.wrapping(&parsed.lock)?.open(
            &parsed.nonce,
            &associated(parsed.covered, object),
            &mut *secret,
            &parsed.tag,
        );
        opened.map_err(|_| EncryptionError::WrongKey(parsed.lock.key_id.clone()))?;
        Ok(Self { aead: Aead::new(parsed.lock.algorithm, &secret), plain_len: parsed.plain_len })
    }
}

struct Parsed<'a> {
    covered: &'a [u8],
    lock: Lock,
    plain_len: u64,
    nonce: [u8; NONCE_LEN],
    wrapped: [u8; SECRET_LEN],
    tag: [u8; TAG_LEN],
}

/// `None` if it is no header of ours.
fn parse(header: &[u8]) -> Option<Parsed<'_>> {
    let (covered, rest) = header.split_at_checked(COVERED)?;
    let (magic, fields) = covered.split_first_chunk()?;
    let (&[cipher, id_len, _, _], fields) = fields.split_first_chunk()?;
    let (plain_len, key_id) = fields.split_first_chunk()?;
    let (nonce, rest) = rest.split_first_chunk()?;
    let (wrapped, rest) = rest.split_first_chunk()?;
    let key_id = std::str::from_utf8(key_id.get(..usize::from(id_len))?).ok()?.to_owned();
    let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.code() == cipher)?;
    (magic == MAGIC).then_some(Parsed {
        covered,
        lock: Lock { key_id, algorithm },
        plain_len: u64::from_le_bytes(*plain_len),
        nonce: *nonce,
        wrapped: *wrapped,
        tag: rest.try_into().ok()?,
    })
}

fn covered(lock: &Lock, plain_len: u64) -> Result<Vec<u8>, EncryptionError> {
    let id_len = u8::try_from(lock.key_id.len()).map_err(|_| EncryptionError::NoKey(lock.key_id.clone()))?;
    let mut header = Vec::with_capacity(LEN);
    header.extend(MAGIC);
    header.extend([lock.algorithm.code(), id_len, 0, 0]);
    header.extend(plain_len.to_le_bytes());
    header.extend(lock.key_id.bytes());
    header.resize(COVERED, 0);
    Ok(header)
}

/// What the tag covers beside the data key.
fn associated(covered: &[u8], object: &str) -> Vec<u8> {
    [covered, object.as_bytes()].concat()
}
