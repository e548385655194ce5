//! The two ciphers behind one type: AEAD with a 96-bit nonce and a 128-bit tag (NIST SP 800-38D).

use aes_gcm::{
    Aes256Gcm, AesGcm,
    aead::{AeadInOut, KeyInit, Nonce, Tag, consts::U12},
};
use sm4::Sm4;
use zeroize::Zeroizing;

/// GCM over SM4 (GB/T 32907, RFC 8998).
type Sm4Gcm = AesGcm<Sm4, U12>;

pub(super) const NONCE_LEN: usize = 12;
pub(super) const TAG_LEN: usize = 16;
pub(super) const SECRET_LEN: usize = 32;

/// What new packs are written with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum Cipher {
    #[default]
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
    /// For where Chinese commercial cryptography is asked for; its key has 128 bits.
    #[serde(rename = "sm4-gcm")]
    Sm4Gcm,
    /// Plain: the keys are only for reading.
    #[serde(rename = "none")]
    Plain,
}

impl Cipher {
    pub(crate) const fn algorithm(self) -> Option<Algorithm> {
        match self {
            Self::Aes256Gcm => Some(Algorithm::Aes256Gcm),
            Self::Sm4Gcm => Some(Algorithm::Sm4Gcm),
            Self::Plain => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    Aes256Gcm,
    Sm4Gcm,
}

impl Algorithm {
    pub(super) const ALL: [Self; 2] = [Self::Aes256Gcm, Self::Sm4Gcm];

    /// In the names of objects.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aes256",
            Self::Sm4Gcm => "sm4",
        }
    }

    /// In headers.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Aes256Gcm => 1,
            Self::Sm4Gcm => 2,
        }
    }
}

/// A cipher with its key.
pub(super) enum Aead {
    Aes256Gcm(Box<Aes256Gcm>),
    Sm4Gcm(Box<Sm4Gcm>),
}

/// Bytes that are not what was sealed, or too many to seal.
pub(super) struct Refused;

impl Aead {
    /// SM4 takes the first half of the secret.
    pub(super) fn new(algorithm: Algorithm, secret: &[u8; SECRET_LEN]) -> Self {
        match algorithm {
            Algorithm::Aes256Gcm => Self::Aes256Gcm(Box::new(Aes256Gcm::new(secret.into()))),
            Algorithm::Sm4Gcm => {
                let mut half = Zeroizing::new([0; SECRET_LEN / 2]);
                half.copy_from_slice(&secret[..SECRET_LEN / 2]);
                Self::Sm4Gcm(Box::new(Sm4Gcm::new((&*half).into())))
            }
        }
    }

    /// Encrypts in place; returns the tag.
    pub(super) fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        bytes: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Refused> {
        let sealed = match self {
            Self::Aes256Gcm(aead) => {
                aead.encrypt_inout_detached(&Nonce::<Aes256Gcm>::from(*nonce), associated, bytes.into())
            }
            Self::Sm4Gcm(aead) => aead.encrypt_inout_detached(&Nonce::<Sm4Gcm>::from(*nonce), associated, bytes.into()),
        };
        sealed.map(Into::into).map_err(|_| Refused)
    }

    /// Decrypts in place; the bytes are left as they are if they are refused.
    pub(super) fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Refused> {
        let opened = match self {
            Self::Aes256Gcm(aead) => {
                let tag = Tag::<Aes256Gcm>::from(*tag);
                aead.decrypt_inout_detached(&Nonce::<Aes256Gcm>::from(*nonce), associated, bytes.into(), &tag)
            }
            Self::Sm4Gcm(aead) => {
                let tag = Tag::<Sm4Gcm>::from(*tag);
                aead.decrypt_inout_detached(&Nonce::<Sm4Gcm>::from(*nonce), associated, bytes.into(), &tag)
            }
        };
        opened.map_err(|_| Refused)
    }
}
