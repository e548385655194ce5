//! Opens the archive, starts the rooms, stops them in order.

use crate::{
    config::{Config, Room},
    http,
};
use anyhow::Context;
use dicom_node::scu::{self, Remote};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use storage::{Archive, ArchiveError, AuditAction, AuditRecord, Peer, Replicator};
use tokio::{net::TcpListener, task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often quiet series are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// How long the replica rests when it has all, and after a failure.
const REPLICATE: Duration = Duration::from_secs(2);
const REPLICATE_AGAIN: Duration = Duration::from_secs(10);

/// How often a stretch of what is stored is checked, and how long it rests when all was.
const SCRUB: Duration = Duration::from_secs(10);
const SCRUB_AGAIN: Duration = Duration::from_secs(3600);

/// How often damage is looked at again, or sooner when there is new.
const MEND: Duration = Duration::from_secs(600);

/// How often what has expired is looked for, where it is to be deleted unasked.
const EXPIRE: Duration = Duration::from_secs(3600);
/// How often it is asked whether the round of the day to the cold store is due.
const COOL: Duration = Duration::from_secs(600);

/// Studies deleted in one go.
const EXPIRED_AT_ONCE: usize = 1000;

/// How long requests under way may take to finish when the program stops.
const GRACE: Duration = Duration::from_secs(5);

/// Runs until `shutdown`, or until a room fails.
pub async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    make_room_for_files();
    let archive = Archive::open(&config.storage).await.with_context(|| archive_remedy(&config))?;
    let mut listeners = Listeners::bind(&config).await?;
    archive.audit(&application(AuditAction::ApplicationStart)).await?;
    let mut rooms = JoinSet::new();
    // First of all: a modality that waits for us need not wait for a password to be made.
    if let Some(ports) = listeners.dicom.take() {
        let node = dicom_node::serve(ports, archive.clone(), config.dicom.clone(), shutdown.clone());
        start(&mut rooms, "DICOM node", node);
    }
    let password = archive.first_admin().await?;
    println!("{}", banner(&config, password.as_deref()));
    start_rooms(&mut rooms, &config, &archive, listeners, &shutdown);
    let failed = tokio::select! {
        () = shutdown.cancelled() => None,
        ended = rooms.join_next() => ended,
    };
    shutdown.cancel();
    // The wires stop first and finish what is in flight; only then does the archive close.
    while let Some(ended) = rooms.join_next().await {
        if let Err(error) = ended.context("a room stopped badly").and_then(|r| r) {
            tracing::error!(error = %format!("{error:#}"), "room failed while stopping");
        }
    }
    archive.audit(&application(AuditAction::ApplicationStop)).await?;
    archive.close().await;
    tracing::info!("stopped");
    failed.map_or(Ok(()), |ended| ended.context("a room stopped badly")?)
}

/// Each association is an open file, and many systems give a program 1,024 unless it asks for more.
fn make_room_for_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "files that may be open"),
        Err(error) => tracing::warn!(%error, "the number of files that may be open could not be raised"),
    }
}

#[derive(Default)]
struct Listeners {
    dicom: Option<dicom_node::Ports>,
    http: Option<TcpListener>,
}

impl Listeners {
    /// Every port is taken before any room starts, so that a busy one is an error at once.
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        let mut listeners = Self::default();
        if config.roles.contains(&Room::Dicom) {
            let plain = bind(config.dicom_listen, "--dicom-listen").await?;
            let tls = match config.dicom_tls_listen {
                Some(address) => Some(bind(address, "--dicom-tls-listen").await?),
                None => None,
            };
            // Read for its errors: the node reads it again when it starts.
            dicom_node::Tls::load(&config.dicom.tls)?;
            listeners.dicom = Some(dicom_node::Ports { plain, tls });
        }
        if config.roles.contains(&Room::Web) {
            config.web.check_apps().map_err(anyhow::Error::msg)?;
            listeners.http = Some(bind(config.http_listen, "--http-listen").await?);
        }
        Ok(listeners)
    }
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let taken = || format!("cannot listen on {address}: is another pacs running? Choose another address with {flag}");
    TcpListener::bind(address).await.with_context(taken)
}

fn start_rooms(
    rooms: &mut JoinSet<anyhow::Result<()>>,
    config: &Config,
    archive: &Archive,
    listeners: Listeners,
    shutdown: &CancellationToken,
) {
    let own = || (archive.clone(), shutdown.clone());
    rooms.spawn(again(SWEEP, own(), "looking for quiet series", sweep));
    rooms.spawn(again(SWEEP, own(), "removing objects", care));
    rooms.spawn(again(SWEEP, own(), "queueing by rule what arrived", route));
    if !config.storage.recompression.is_empty() {
        rooms.spawn(again(SWEEP, own(), "recompression", recompress));
    }
    rooms.spawn(mend(archive.clone(), shutdown.clone()));
    if config.storage.delete_expired {
        rooms.spawn(again(EXPIRE, own(), "deleting what has expired", expire));
    }
    if !config.storage.cold.is_empty() {
        rooms.spawn(again(COOL, own(), "moving packs to the cold store", cool));
    }
    if let Some(replicator) = Replicator::new(archive) {
        rooms.spawn(replicate(archive.clone(), replicator, shutdown.clone()));
    }
    if config.storage.scrub_megabytes_per_second > 0 {
        rooms.spawn(scrub(archive.clone(), config.storage.scrub_megabytes_per_second, shutdown.clone()));
    }
    if let Some(listener) = listeners.http {
        rooms.spawn(web(listener, config.clone(), archive.clone(), shutdown.clone()));
    }
    if config.roles.contains(&Room::Ai) {
        start(rooms, "AI worker", ai_inference::work(archive.clone(), config.ai.clone(), shutdown.clone()));
    }
    if config.roles.contains(&Room::Integration) {
        let relay = integration::relay(archive.clone(), config.integration.clone(), shutdown.clone());
        start(rooms, "integration relay", relay);
        start(rooms, "forwarding to DICOMweb", integration::forward(archive.clone(), shutdown.clone()));
    }
}

fn start<E>(
    rooms: &mut JoinSet<anyhow::Result<()>>,
    name: &'static str,
    room: impl Future<Output = Result<(), E>> + Send + 'static,
) where
    E: std::error::Error + Send + Sync + 'static,
{
    rooms.spawn(async move { room.await.with_context(|| format!("{name} failed")) });
}

async fn web(
    listener: TcpListener,
    config: Config,
    archive: Archive,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let ae_title = config.dicom.ae_title.to_string();
    let web = dicomweb::WebConfig {
        insecure_no_auth: config.insecure_no_auth,
        ae_title,
        dicom_port: config.dicom_listen.port(),
        port: config.http_listen.port(),
        ..config.web
    };
    let router = dicomweb::router(archive, web, echo(config.dicom));
    http::serve(listener, router, config.http, shutdown, GRACE).await;
    Ok(())
}

/// How an administrator at the browser has a peer called.
fn echo(config: dicom_node::NodeConfig) -> dicomweb::Echo {
    Arc::new(move |peer| {
        let config = config.clone();
        Box::pin(async move { call(&config, &peer).await.map_err(|error| format!("{error:#}")) })
    })
}

async fn call(config: &dicom_node::NodeConfig, peer: &Peer) -> anyhow::Result<()> {
    let tls = dicom_node::Tls::load(&config.tls)?;
    let remote = Remote::of(peer, &config.ae_title, &tls).context("it has no host and port")?;
    Ok(scu::echo(&remote).await?)
}

/// Does something each `every` while anything happens in the archive, and else from time to time. What fails is told and done
/// again; what the end breaks off is done after the next start.
async fn again<F>(
    every: Duration,
    (archive, shutdown): (Archive, CancellationToken),
    what: &'static str,
    step: impl Fn(Archive) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = Result<(), ArchiveError>>,
{
    let mut stirrings = archive.stirrings();
    loop {
        stirrings.begin();
        let round = async {
            tell(what, step(archive.clone()).await);
            stirrings.rest(every).await;
        };
        if shutdown.run_until_cancelled(round).await.is_none() {
            return Ok(());
        }
    }
}

fn tell(what: &str, done: Result<(), ArchiveError>) {
    if let Err(error) = done {
        tracing::warn!(error = %format!("{:#}", anyhow::Error::from(error)), "{what} failed");
    }
}

/// Announces series that have gone quiet: this is what makes the AI look at them.
async fn sweep(archive: Archive) -> Result<(), ArchiveError> {
    archive.announce_quiet_series().await.map(drop)
}

/// Queues what arrived for the destinations to which rules send it.
async fn route(archive: Archive) -> Result<(), ArchiveError> {
    while archive.route_arrivals().await? {}
    archive.route_priors().await
}

/// Moves packs from the spool into the store, makes them anew where that is due, and removes what nothing points to. One of
/// these that fails holds up no other.
async fn care(archive: Archive) -> Result<(), ArchiveError> {
    archive.seal_quiet_packs().await;
    tell("looking for rejection notes", archive.heed_rejection_notes().await.map(drop));
    tell("storing corrections", archive.store_corrections().await.map(drop));
    tell("making packs anew", archive.compact_one_series().await.map(drop));
    archive.remove_doomed_objects().await
}

/// Mends what was found damaged, from the replica or backup that the configuration names; finds too what is whole again.
async fn mend(archive: Archive, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut clock = tokio::time::interval(SWEEP);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut known, mut last) = (0, Instant::now());
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = clock.tick() => {}
        }
        let found = archive.damage_count();
        if found == 0 || found <= known && last.elapsed() < MEND {
            known = known.min(found);
            continue;
        }
        tokio::select! {
            // What was not mended is tried at the next start.
            () = shutdown.cancelled() => return Ok(()),
            mended = archive.mend(None, |_| ()) => match mended {
                Ok(done) => tracing::info!(mended = done.mended, whole = done.whole, left = done.left.len(), "damage looked at"),
                Err(error) => {
                    tracing::warn!(error = %format!("{:#}", anyhow::Error::from(error)), "mending damage failed")
                }
            }
        }
        (known, last) = (archive.damage_count(), Instant::now());
    }
}

/// Deletes studies whose term is over.
async fn expire(archive: Archive) -> Result<(), ArchiveError> {
    let done = archive.delete_expired_unasked("retention", EXPIRED_AT_ONCE).await?;
    if done.studies > 0 {
        tracing::info!(run = done.run, studies = done.studies, "expired studies were deleted");
    }
    Ok(())
}

/// Moves packs to the cold store.
async fn cool(archive: Archive) -> Result<(), ArchiveError> {
    archive.cool_daily().await
}

/// Copies to the replica what is not there yet.
async fn replicate(archive: Archive, replicator: Replicator, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut stirrings = archive.stirrings();
    loop {
        stirrings.begin();
        let stepped = tokio::select! {
            // What is broken off here is made again.
            () = shutdown.cancelled() => return Ok(()),
            stepped = replicator.step() => stepped,
        };
        let rest = match stepped {
            Ok(true) => continue,
            Ok(false) => REPLICATE,
            Err(error) => {
                tracing::warn!(error = %format!("{:#}", anyhow::Error::from(error)), "copying to the replica failed");
                REPLICATE_AGAIN
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = stirrings.rest(rest) => {}
        }
    }
}

/// Encodes frames of sealed packs anew, one pack after the other.
async fn recompress(archive: Archive) -> Result<(), ArchiveError> {
    while archive.recompress_one_pack().await? {}
    Ok(())
}

/// Reads what is stored, slowly and for ever, and checks that it is as it was received.
async fn scrub(archive: Archive, megabytes: u32, shutdown: CancellationToken) -> anyhow::Result<()> {
    let step = u64::from(megabytes) * 1_000_000 * SCRUB.as_secs();
    let mut clock = tokio::time::interval(SCRUB);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = (0, 0);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = clock.tick() => {}
        }
        match archive.scrub(step).await {
            Ok(done) => {
                round = (round.0 + done.instances, round.1 + done.damaged.len() + done.damaged_packs.len());
                if done.is_round_over {
                    if round.0 > 0 {
                        tracing::info!(instances = round.0, damaged = round.1, "every stored instance was checked");
                    }
                    round = (0, 0);
                    clock.reset_after(SCRUB_AGAIN);
                }
            }
            Err(error) => {
                tracing::warn!(error = %format!("{:#}", anyhow::Error::from(error)), "checking stored instances failed")
            }
        }
    }
}

fn application(action: AuditAction) -> AuditRecord {
    AuditRecord {
        at: 0,
        action,
        actor: "pacs".to_owned(),
        origin: "localhost".to_owned(),
        success: true,
        study: None,
        detail: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn banner(config: &Config, password: Option<&str>) -> String {
    let mut lines = vec![format!("影海 Yinghai {}", env!("CARGO_PKG_VERSION"))];
    if config.roles.contains(&Room::Web) {
        lines.push(format!("  viewer   http://{}/", config.http_listen));
    }
    if config.roles.contains(&Room::Dicom) {
        let tls = config.dicom_tls_listen.map(|address| format!(", by TLS at {address}")).unwrap_or_default();
        lines.push(format!("  DICOM    {} at {}{tls}", config.dicom.ae_title, config.dicom_listen));
    }
    lines.push(format!("  data     {}", config.storage.data_dir.display()));
    match password {
        Some(password) => {
            lines.push(format!("  sign in  admin / {password}   (shown only now; change it: pacs user passwd admin)"))
        }
        None if config.insecure_no_auth => {
            lines.push("  sign in  switched off: everybody on this machine is an administrator".to_owned())
        }
        None => {}
    }
    lines.join("\n")
}

fn archive_remedy(config: &Config) -> String {
    format!(
        "cannot open the archive (data folder {}); `pacs doctor` says which part is at fault",
        config.storage.data_dir.display()
    )
}
