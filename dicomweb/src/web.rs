//! What every handler shares: the archive, the settings, and small caches.

use crate::{
    auth::Caller,
    cache::Cache,
    commitment::{self, Transactions},
    config::WebConfig,
    error::{WebError, chain},
    peers::Echo,
    workers::Workers,
};
use axum::http::{HeaderMap, Uri, header};
use bytes::Bytes;
use pacs_core::Uid;
use serde_json::Value;
use std::{net::IpAddr, ops::Deref, sync::Arc, time::Duration};
use storage::{Archive, AuditAction, AuditRecord, Principal, StoredInstance};
use tokio::sync::Semaphore;

/// Shared state; cheap to clone.
#[derive(Clone)]
pub struct Web(Arc<Shared>);

pub struct Shared {
    pub archive: Archive,
    pub config: WebConfig,
    pub echo: Echo,
    /// Secret of a session, token or Basic header → who it stands for. Short, so that a revoked one soon ends.
    pub principals: Cache<String, Principal>,
    /// Password checks under way: each costs memory and time on purpose.
    pub password_checks: Semaphore,
    /// Each with the newest event when it was looked up: any later one may have changed which version is current.
    pub instances: Cache<Identity, (i64, Arc<StoredInstance>)>,
    /// Metadata as it was sent, by all that it depends on.
    pub bodies: Cache<String, Bytes>,
    /// Parsed metadata of instances whose frames are being decoded, by their id.
    pub metadata: Cache<i64, Arc<Value>>,
    /// Small rendered images, by entity tag.
    pub pictures: Cache<String, Bytes>,
    /// Frames encoded for a client, by instance, index and compression.
    pub encoded: Cache<(i64, u32, String), Bytes>,
    pub commitments: Transactions,
    /// Those who look into commitments: they read all that is asked about.
    pub judges: Semaphore,
    /// Requests that wait for them or are at work.
    pub commitments_waiting: Arc<Semaphore>,
    pub workers: Workers,
    pub subscribers: Arc<Semaphore>,
    audited: Cache<(String, String, Option<Uid>), ()>,
}

/// What a path and its parameters name: study, series, instance, version, time.
pub type Identity = (Uid, Uid, Uid, Option<u32>, Option<i64>);

/// A revoked session, token or password works for at most this long.
const PRINCIPAL_KEPT: Duration = Duration::from_secs(5);
/// Reads and queries of one user on one study give one audit row in this time.
const AUDIT_COALESCED: Duration = Duration::from_secs(60);
/// Streams of events at the same time.
const MAX_SUBSCRIBERS: usize = 512;

impl Deref for Web {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Web {
    pub fn new(archive: Archive, config: WebConfig, echo: Echo) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let decoders = if config.decoders == 0 { processors } else { config.decoders };
        let minute = Duration::from_secs(60);
        Self(Arc::new(Shared {
            archive,
            config,
            echo,
            principals: Cache::new(1024, PRINCIPAL_KEPT),
            password_checks: Semaphore::new(2),
            instances: Cache::new(2048, Duration::from_secs(30)),
            bodies: Cache::new(6, Duration::from_secs(600)),
            metadata: Cache::new(64, minute),
            pictures: Cache::new(1024, Duration::from_secs(600)),
            encoded: Cache::weighing(64 << 20, Duration::from_secs(600), Bytes::len),
            commitments: commitment::transactions(),
            judges: Semaphore::new(2),
            commitments_waiting: Arc::new(Semaphore::new(16)),
            workers: Workers::new(decoders),
            subscribers: Arc::new(Semaphore::new(MAX_SUBSCRIBERS)),
            audited: Cache::new(4096, AUDIT_COALESCED),
        }))
    }

    /// Where the DICOMweb resources start, as the client sees it: no slash at the end.
    pub fn base(&self, uri: &Uri, headers: &HeaderMap) -> Result<String, WebError> {
        if let Some(url) = &self.config.public_url {
            return Ok(format!("{}/dicom-web", url.trim_end_matches('/')));
        }
        let host = host(uri, headers).unwrap_or("localhost");
        let sound = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b));
        if !sound {
            return Err(WebError::bad_request("Host is malformed"));
        }
        // Behind a proxy the name is a public one; an address of this machine without a port is a sloppy client.
        let port = Some(self.config.port).filter(|port| *port != 0 && is_loopback(host));
        Ok(port.map_or_else(|| format!("http://{host}/dicom-web"), |port| format!("http://{host}:{port}/dicom-web")))
    }

    /// Writes an audit row unless the like was written a moment ago. A failing audit log does not keep a reader from an image; it is an error in the log.
    pub async fn audit(&self, caller: &Caller, action: AuditAction, study: Option<&Uid>, detail: String) {
        let key = (caller.principal.name.clone(), format!("{action:?} {}", caller.address), study.cloned());
        if self.audited.get(&key).is_some() {
            return;
        }
        self.audited.put(key, ());
        let record = AuditRecord {
            at: 0,
            action,
            actor: caller.principal.name.clone(),
            origin: caller.address.clone(),
            success: true,
            study: study.map(ToString::to_string),
            detail,
        };
        if let Err(error) = self.archive.audit(&record).await {
            tracing::error!(error = chain(&error), "audit row not written");
        }
    }
}

/// The host and port that the client addressed.
pub fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let authority = uri.authority().map(|a| a.as_str());
    authority.or_else(|| headers.get(header::HOST)?.to_str().ok())
}

/// Whether a host without port names this machine.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|a| a.is_loopback())
}
