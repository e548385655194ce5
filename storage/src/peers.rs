//! Configured application entities.

use crate::{archive::Archive, error::ArchiveError};
use pacs_core::{AeTitle, Fingerprint, query::View};
use sqlx::{Row, any::AnyRow};

/// A peer that may call us, and where it can be called.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    pub ae_title: AeTitle,
    /// Host name or address; when set, calls from other addresses are refused.
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub port: Option<u16>,
    #[serde(default)]
    pub may_store: bool,
    #[serde(default)]
    pub may_find: bool,
    /// C-GET, and C-MOVE to itself or to others.
    #[serde(default)]
    pub may_retrieve: bool,
    /// It is called by TLS.
    #[serde(default)]
    pub tls: bool,
    /// The client certificate that it shows; when set, calls without it are refused.
    #[serde(default)]
    pub certificate: Option<Fingerprint>,
    #[serde(default)]
    pub workflow: Workflow,
    /// The patients and studies that it sees.
    #[serde(default)]
    pub view: View,
    /// Associations that it may have at a time; `None`: as many as all may have together.
    #[serde(default)]
    pub max_associations: Option<u16>,
}

impl Peer {
    /// One that may call from anywhere, and do nothing but C-ECHO.
    pub fn new(ae_title: AeTitle) -> Self {
        Self {
            ae_title,
            host: None,
            port: None,
            may_store: false,
            may_find: false,
            may_retrieve: false,
            tls: false,
            certificate: None,
            workflow: Workflow::NONE,
            view: View::default(),
            max_associations: None,
        }
    }
}

/// What a peer has to do with orders and procedure steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Workflow {
    /// The steps that it may find on the worklist; `None`: it has no worklist.
    pub worklist: Option<WorklistScope>,
    /// Reports of procedure steps (MPPS).
    pub may_perform: bool,
    /// Unified Procedure Step: creates, searches, performs and watches workitems.
    pub may_workitems: bool,
    /// Is told of series that are complete (Instance Availability Notification).
    pub wants_availability: bool,
}

impl Workflow {
    /// All that there is to be allowed.
    pub const ALL: Self =
        Self { worklist: Some(WorklistScope::All), may_perform: true, may_workitems: true, wants_availability: false };
    pub const NONE: Self = Self { worklist: None, may_perform: false, may_workitems: false, wants_availability: false };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorklistScope {
    /// Those scheduled for its own AE title.
    Own,
    All,
}

impl WorklistScope {
    /// The word in the database and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::All => "all",
        }
    }
}

impl std::str::FromStr for WorklistScope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Own, Self::All].into_iter().find(|scope| scope.as_str() == text).ok_or("is neither own nor all")
    }
}

impl Archive {
    /// Adds a peer, or replaces the one with the same AE title.
    pub async fn put_peer(&self, peer: &Peer) -> Result<(), ArchiveError> {
        let statement = sqlx::query(PUT_PEER)
            .bind(peer.ae_title.as_str())
            .bind(peer.host.as_deref().unwrap_or_default())
            .bind(peer.port.map_or(0, i64::from))
            .bind(i64::from(peer.may_store))
            .bind(i64::from(peer.may_find))
            .bind(i64::from(peer.may_retrieve))
            .bind(i64::from(peer.tls))
            .bind(peer.certificate.map(String::from).unwrap_or_default())
            .bind(peer.workflow.worklist.map_or("", WorklistScope::as_str))
            .bind(i64::from(peer.workflow.may_perform))
            .bind(i64::from(peer.workflow.may_workitems))
            .bind(i64::from(peer.workflow.wants_availability))
            .bind(peer.view.to_string())
            .bind(peer.max_associations.map_or(0, i64::from));
        self.inner.database.execute(statement).await?;
        Ok(())
    }

    pub async fn remove_peer(&self, ae_title: &AeTitle) -> Result<(), ArchiveError> {
        let removed = self.inner.database.execute(sqlx::query(REMOVE_PEER).bind(ae_title.as_str())).await?;
        if removed.rows_affected() == 0 {
            return Err(ArchiveError::NotFound(format!("peer {ae_title}")));
        }
        Ok(())
    }

    /// All peers, by AE title.
    pub async fn peers(&self) -> Result<Vec<Peer>, ArchiveError> {
        sqlx::query(PEERS).fetch_all(&self.inner.database.pool).await?.iter().map(peer).collect()
    }
}

fn peer(row: &AnyRow) -> Result<Peer, ArchiveError> {
    let ae_title: String = row.try_get(0)?;
    let host: String = row.try_get(1)?;
    let port: i64 = row.try_get(2)?;
    let certificate: String = row.try_get(7)?;
    let view: String = row.try_get(12)?;
    let fault = |what: &str, why: &dyn std::fmt::Display| ArchiveError::Internal(format!("peer {what:?}: {why}"));
    Ok(Peer {
        ae_title: ae_title.parse().map_err(|e| fault(&ae_title, &e))?,
        host: Some(host).filter(|h| !h.is_empty()),
        port: u16::try_from(port).ok().filter(|&p| p != 0),
        may_store: row.try_get::<i64, _>(3)? != 0,
        may_find: row.try_get::<i64, _>(4)? != 0,
        may_retrieve: row.try_get::<i64, _>(5)? != 0,
        tls: row.try_get::<i64, _>(6)? != 0,
        certificate: match certificate.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|e| fault(&ae_title, &e))?),
        },
        workflow: Workflow {
            worklist: row.try_get::<String, _>(8)?.parse().ok(),
            may_perform: row.try_get::<i64, _>(9)? != 0,
            may_workitems: row.try_get::<i64, _>(10)? != 0,
            wants_availability: row.try_get::<i64, _>(11)? != 0,
        },
        view: view.parse().map_err(|e| fault(&ae_title, &e))?,
        max_associations: u16::try_from(row.try_get::<i64, _>(13)?).ok().filter(|&most| most != 0),
    })
}

const PUT_PEER: &str = "insert into peer (ae_title, host, port, may_store, may_find, may_retrieve, tls, certificate,
        worklist, may_perform, may_workitems, wants_availability, patient_view, max_associations)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    on conflict (ae_title) do update set host = excluded.host, port = excluded.port, may_store = excluded.may_store,
        may_find = excluded.may_find, may_retrieve = excluded.may_retrieve, tls = excluded.tls,
        certificate = excluded.certificate, worklist = excluded.worklist, may_perform = excluded.may_perform,
        may_workitems = excluded.may_workitems, wants_availability = excluded.wants_availability,
        patient_view = excluded.patient_view, max_associations = excluded.max_associations";

const REMOVE_PEER: &str = "delete from peer where ae_title = $1";

const PEERS: &str =
    "select ae_title, host, port, may_store, may_find, may_retrieve, tls, certificate, worklist, may_perform,
        may_workitems, wants_availability, patient_view, max_associations
    from peer
    order by ae_title";
