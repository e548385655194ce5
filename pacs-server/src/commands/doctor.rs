//! `pacs doctor`: is everything there that `pacs serve` needs, and if not, what to do.

use super::replica::words;
use crate::config::{Config, Room};
use dicom_node::{
    Tls,
    scu::{self, Remote},
    tls::RENEW_BEFORE,
};
use std::{net::SocketAddr, process::ExitCode, time::SystemTime};
use storage::{Archive, ArchiveError, KeyUse};
use time::UtcDateTime;
use tokio::net::TcpListener;

/// What was looked at, and a fact or a remedy.
type Check = (&'static str, Result<String, String>);

/// Bytes of a reason that are shown.
const LONGEST_REASON: usize = 400;

/// Exit code 0 if `pacs serve` would run, 1 otherwise.
pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    // Whoever runs doctor has a configuration that was read without error.
    let mut checks: Vec<Check> =
        vec![("configuration", Ok("read and sound; `pacs serve --print-config` shows it".to_owned()))];
    checks.push(("data folder", data_folder(config)));
    checks.extend(archive(config).await);
    if config.roles.contains(&Room::Dicom) {
        checks.push(("DICOM port", dicom_port(config).await));
        checks.push(("DICOM TLS", certificate(config)));
        if let Some(address) = config.dicom_tls_listen {
            checks.push(("TLS port", port(address, "--dicom-tls-listen").await));
        }
    }
    if config.roles.contains(&Room::Web) {
        checks.push(("HTTP port", port(config.http_listen, "--http-listen").await));
        checks.push(("viewer", viewer()));
    }
    if config.roles.contains(&Room::Ai) {
        checks.push(("AI model", model(config).await));
    }
    let failed = checks.iter().filter(|(_, found)| found.is_err()).count();
    for (what, found) in checks {
        match found {
            Ok(fact) => println!("ok    {what:14} {fact}"),
            Err(remedy) => println!("FAIL  {what:14} {remedy}"),
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn data_folder(config: &Config) -> Result<String, String> {
    let folder = &config.storage.data_dir;
    std::fs::create_dir_all(folder)
        .map_err(|e| format!("{} cannot be made ({e}): choose another with --data-dir", folder.display()))?;
    tempfile::tempfile_in(folder)
        .map_err(|e| format!("{} cannot be written ({e}): mend its owner or mode", folder.display()))?;
    Ok(folder.display().to_string())
}

async fn archive(config: &Config) -> Vec<Check> {
    let place = config.storage.database_url.as_ref().map_or("SQLite in the data folder", |_| "by database_url");
    match Archive::open(&config.storage).await {
        Err(error) => vec![("archive", Err(remedy(error, "check --database-url and --store-url")))],
        Ok(archive) => {
            let checked = archive.check().await.map(|()| format!("{}: written, read and removed", store(config)));
            let checked = checked.map_err(|e| remedy(e, "check --store-url, its bucket and credentials"));
            vec![
                ("database", Ok(place.to_owned())),
                ("object store", checked),
                ("cold store", cold_store(&archive).await),
                ("encryption", encryption(&archive).await),
                ("damage", damage(&archive).await),
                ("replica", replica(&archive, config).await),
            ]
        }
    }
}

async fn cold_store(archive: &Archive) -> Result<String, String> {
    match archive.check_cold_store().await {
        None => Ok("none (storage.cold_url)".to_owned()),
        Some(Ok(())) => Ok("written, read and removed".to_owned()),
        Some(Err(error)) => Err(remedy(error, "check storage.cold_url, its bucket and credentials")),
    }
}

/// More than so long behind is worth a look.
const LATE_MILLISECONDS: i64 = 600_000;

async fn replica(archive: &Archive, config: &Config) -> Result<String, String> {
    let status = archive.replica_status().await.map_err(|e| format!("{:#}", anyhow::Error::from(e)))?;
    match status {
        None if config.storage.replica_url.is_none() => Ok("none is kept (storage.replica_url)".to_owned()),
        None => Ok("it begins when `pacs serve` runs".to_owned()),
        Some(status) if status.error.is_empty() && status.lag_milliseconds < LATE_MILLISECONDS => Ok(words(&status)),
        Some(status) => Err(format!("{}: see that it can be reached and written", words(&status))),
    }
}

async fn damage(archive: &Archive) -> Result<String, String> {
    let found = archive.damage(false).await.map_err(|e| format!("{:#}", anyhow::Error::from(e)))?;
    match found.iter().filter(|damage| damage.what.hides()).count() {
        0 if found.is_empty() => Ok("none is known".to_owned()),
        0 => Ok(format!("{} packs are to be made anew; no instance is damaged", found.len())),
        instances => {
            Err(format!("{instances} instances cannot be read: `pacs damage list`, then `pacs damage repair`"))
        }
    }
}

/// Whether the key ring opens what is in the store.
async fn encryption(archive: &Archive) -> Result<String, String> {
    let uses = archive.key_uses().await.map_err(|e| format!("{:#}", anyhow::Error::from(e)))?;
    let new =
        archive.new_packs_lock().map_or_else(|| "new packs are plain".to_owned(), |lock| format!("new packs: {lock}"));
    let mut facts = vec![new];
    for KeyUse { lock, is_for_new, packs, opened } in uses {
        let lock = lock.unwrap_or_else(|| "plain".to_owned());
        opened.map_err(|e| format!("{packs} packs are {lock}, and one does not open: {e}"))?;
        let due = if is_for_new { "" } else { " (`pacs rekey` makes them as new ones)" };
        facts.push(format!("{packs} packs {lock}{due}"));
    }
    Ok(facts.join("; "))
}

fn store(config: &Config) -> String {
    let url = config.storage.store_url.as_deref().map(|url| url.split('?').next().unwrap_or_default().to_owned());
    url.unwrap_or_else(|| "a folder in the data folder".to_owned())
}

fn remedy(error: ArchiveError, otherwise: &str) -> String {
    let remedy = error.remedy().unwrap_or(otherwise).to_owned();
    // An answer of a store may be a page of XML.
    let mut reason = format!("{:#}", anyhow::Error::from(error)).replace(['\n', '\r'], " ");
    reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
    format!("{reason}: {remedy}")
}

/// A port that a running server of ours holds is as good as a free one.
async fn dicom_port(config: &Config) -> Result<String, String> {
    let ae_title = config.dicom.ae_title.clone();
    let (address, calling, called) = (config.dicom_listen.to_string(), ae_title.clone(), ae_title);
    let remote = Remote { address, calling, called, tls: None };
    if scu::echo(&remote).await.is_ok() {
        return Ok(format!("{} answers C-ECHO at {}", remote.called, remote.address));
    }
    port(config.dicom_listen, "--dicom-listen").await
}

/// Whether the files of `dicom.tls` can be used, and for how long still.
fn certificate(config: &Config) -> Result<String, String> {
    let tls = Tls::load(&config.dicom.tls).map_err(|e| format!("{:#}", anyhow::Error::from(e)))?;
    let Some(certificate) = tls.next_to_end() else {
        return Ok("no certificate of ours (dicom.tls.certificate)".to_owned());
    };
    let now = SystemTime::now();
    let end = certificate.not_after.map(|end| UtcDateTime::from(end).date().to_string()).unwrap_or_default();
    match certificate.remaining(now) {
        Some(left) if left.is_zero() => Err(format!("{certificate} ended on {end}: {RENEWAL}")),
        Some(left) if left < RENEW_BEFORE => Err(format!("{certificate} ends on {end}: {RENEWAL}")),
        _ => Ok(format!("{certificate}, until {end}")),
    }
}

/// What to do about a certificate that ends.
const RENEWAL: &str = "put a new one in place of dicom.tls.certificate; a running server takes it up by itself";

async fn port(address: SocketAddr, flag: &str) -> Result<String, String> {
    match TcpListener::bind(address).await {
        Ok(_) => Ok(format!("{address} is free")),
        Err(_) if tokio::net::TcpStream::connect(address).await.is_ok() => Ok(format!("{address} is served already")),
        Err(error) => Err(format!("{address}: {error}; choose another with {flag}")),
    }
}

fn viewer() -> Result<String, String> {
    if dicomweb::viewer_is_built() {
        Ok("built in".to_owned())
    } else {
        Err("this binary was built without it: run scripts/build-viewer, then build the server again".to_owned())
    }
}

async fn model(config: &Config) -> Result<String, String> {
    if !config.ai.enabled {
        return Ok("switched off (ai.enabled)".to_owned());
    }
    let ai = config.ai.clone();
    let loaded = tokio::task::spawn_blocking(move || {
        let model = ai_inference::models::load(&ai)?;
        model.engine().map(|_| model)
    })
    .await;
    match loaded {
        Ok(Ok(model)) => {
            Ok(format!("{} {} passed its self-test; {}", model.card.id, model.card.version, model.card.status.words()))
        }
        Ok(Err(error)) => {
            Err(format!("{:#}: see ai.models_dir and ai.model in docs/configuration.md", anyhow::Error::from(error)))
        }
        Err(_) => Err("loading the model crashed: replace the model folder".to_owned()),
    }
}
