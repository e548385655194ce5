//! The key ring: text of a key a line, from a file, an environment variable or a command.

use super::{
    EncryptionError,
    cipher::{Aead, Algorithm, Cipher, SECRET_LEN},
};
use crate::error::ArchiveError;
use base64::{Engine, prelude::BASE64_STANDARD};
use std::{fmt, process::Stdio, time::Duration};
use zeroize::Zeroizing;

/// How long a key command may take.
const COMMAND_TIME: Duration = Duration::from_secs(30);
/// Room for the name of a key in a header.
pub(super) const KEY_ID_LEN: usize = 32;

/// How a pack is encrypted: by which key of the ring and with which cipher. In the name of its object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lock {
    pub(crate) key_id: String,
    pub(crate) algorithm: Algorithm,
}

impl Lock {
    /// The lock of an object, `None` for a plain pack: `…/0123456789abcdef.k1.aes256.tar`.
    pub(crate) fn of(object: &str) -> Option<Self> {
        let (name, _extension) = object.rsplit('/').next()?.rsplit_once('.')?;
        let (name, cipher) = name.rsplit_once('.')?;
        let (_, key_id) = name.rsplit_once('.')?;
        let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == cipher)?;
        Some(Self { key_id: key_id.to_owned(), algorithm })
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.key_id, self.algorithm.name())
    }
}

struct RingKey {
    id: String,
    secret: Zeroizing<[u8; SECRET_LEN]>,
}

/// The keys by which data keys are wrapped. All are for reading, the first is for new packs.
#[derive(Default)]
pub(crate) struct KeyRing {
    keys: Vec<RingKey>,
    /// For new packs.
    lock: Option<Lock>,
}

impl KeyRing {
    fn parse(text: &str, cipher: Cipher) -> Result<Self, ArchiveError> {
        let lines = text.split(['\n', ',']).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut keys: Vec<RingKey> = Vec::new();
        for (number, line) in lines.enumerate() {
            // The line itself is a secret: only its place is told.
            let key = parse_key(line).ok_or_else(|| {
                ArchiveError::Config(format!(
                    "storage.keys: key {} is not `NAME SECRET` with a name of a-z, 0-9 and - and 32 bytes of Base64; \
                     `pacs key new` makes one",
                    number + 1
                ))
            })?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(ArchiveError::Config(format!("storage.keys: there are two keys {}", key.id)));
            }
            keys.push(key);
        }
        let first = keys.first().ok_or_else(|| ArchiveError::Config("storage.keys: there is no key in it".into()))?;
        let lock = cipher.algorithm().map(|algorithm| Lock { key_id: first.id.clone(), algorithm });
        Ok(Self { keys, lock })
    }

    /// What new packs are locked with; `None`: they are plain.
    pub(crate) fn lock(&self) -> Option<&Lock> {
        self.lock.as_ref()
    }

    /// The cipher that wraps data keys for a lock; a key of its own for each use of a ring key.
    pub(super) fn wrapping(&self, lock: &Lock) -> Result<Aead, EncryptionError> {
        let key = self.keys.iter().find(|key| key.id == lock.key_id);
        let key = key.ok_or_else(|| EncryptionError::NoKey(lock.key_id.clone()))?;
        let context = match lock.algorithm {
            Algorithm::Aes256Gcm => "yinghai 2026-11 pack data key, AES-256-GCM",
            Algorithm::Sm4Gcm => "yinghai 2026-11 pack data key, SM4-GCM",
        };
        let wrapping = Zeroizing::new(blake3::derive_key(context, &*key.secret));
        Ok(Aead::new(lock.algorithm, &wrapping))
    }
}

fn parse_key(line: &str) -> Option<RingKey> {
    let (id, secret) = line.split_once(char::is_whitespace)?;
    let is_name = !id.is_empty()
        && id.len() <= KEY_ID_LEN
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let decoded = Zeroizing::new(BASE64_STANDARD.decode(secret.trim()).ok()?);
    let secret = Zeroizing::new(<[u8; SECRET_LEN]>::try_from(&**decoded).ok()?);
    is_name.then(|| RingKey { id: id.to_owned(), secret })
}

/// A line for the key ring with a new key of this name.
pub fn new_key_line(name: &str) -> Result<String, ArchiveError> {
    let secret = Zeroizing::new(rand::random::<[u8; SECRET_LEN]>());
    let line = format!("{name} {}", BASE64_STANDARD.encode(*secret));
    match parse_key(&line) {
        Some(_) => Ok(line),
        None => Err(ArchiveError::Config(format!("{name:?} cannot name a key: use up to 32 of a-z, 0-9 and -"))),
    }
}

/// The ring from `file:PATH`, `env:VARIABLE` or `command:…`; an empty one without a source.
pub(crate) async fn load_ring(source: Option<&str>, cipher: Cipher) -> Result<KeyRing, ArchiveError> {
    let Some(source) = source else { return Ok(KeyRing::default()) };
    let failed = |why: &dyn fmt::Display| ArchiveError::Config(format!("storage.keys: {why}"));
    let text = match source.split_once(':') {
        Some(("file", path)) => tokio::fs::read_to_string(path).await.map_err(|e| failed(&format!("{path}: {e}")))?,
        Some(("env", name)) => std::env::var(name).map_err(|e| failed(&format!("{name}: {e}")))?,
        Some(("command", command)) => output_of(command).await.map_err(|e| failed(&e))?,
        _ => return Err(failed(&"write file:PATH, env:VARIABLE or command:COMMAND LINE")),
    };
    KeyRing::parse(&Zeroizing::new(text), cipher)
}

/// What a command line of the shell prints. Its error messages go to ours.
async fn output_of(command: &str) -> Result<String, String> {
    let child = tokio::process::Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(COMMAND_TIME, child).await;
    let output = output.map_err(|_| format!("the command took more than {} s", COMMAND_TIME.as_secs()))?;
    let output = output.map_err(|e| format!("the command cannot be run: {e}"))?;
    if !output.status.success() {
        return Err(format!("the command failed: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| "the command did not print text".to_owned())
}
