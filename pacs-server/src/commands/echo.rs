//! `pacs echo`: is a peer there?

use crate::config::Config;
use anyhow::Context;
use dicom_node::{
    Tls,
    scu::{self, Remote},
};
use pacs_core::AeTitle;
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// AE title to call: one of `pacs ae list`, or any together with --address; without it the running server is called
    #[arg(id = "peer", value_name = "AE_TITLE")]
    ae_title: Option<AeTitle>,
    /// host:port
    #[arg(long)]
    address: Option<String>,
    /// By TLS; a peer that `pacs ae add --tls` set so is called so without it
    #[arg(long)]
    tls: bool,
}

pub async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<()> {
    let remote = remote(config, arguments).await?;
    let start = Instant::now();
    let remedy = || {
        format!(
            "C-ECHO of {} at {} failed; check its address, AE title and whether it knows ours ({})",
            remote.called, remote.address, remote.calling
        )
    };
    scu::echo(&remote).await.with_context(remedy)?;
    println!("{} at {} answered in {} ms", remote.called, remote.address, start.elapsed().as_millis());
    Ok(())
}

async fn remote(config: &Config, arguments: Arguments) -> anyhow::Result<Remote> {
    let calling = config.dicom.ae_title.clone();
    let called = arguments.ae_title.clone().unwrap_or_else(|| calling.clone());
    let (address, by_tls) = match (arguments.address, arguments.ae_title) {
        (Some(address), _) => (address, arguments.tls),
        (None, Some(called)) => {
            let (address, by_tls) = configured(config, &called).await?;
            (address, by_tls || arguments.tls)
        }
        (None, None) => (our_own(config, arguments.tls)?, arguments.tls),
    };
    let tls = if by_tls { Some(Tls::load(&config.dicom.tls)?) } else { None };
    Ok(Remote { address, calling, called, tls })
}

/// Where the running server listens.
fn our_own(config: &Config, tls: bool) -> anyhow::Result<String> {
    let address = if tls { config.dicom_tls_listen } else { Some(config.dicom_listen) };
    Ok(address.context("there is no TLS port of ours: set it with --dicom-tls-listen")?.to_string())
}

/// Where a peer listens, and whether for TLS.
async fn configured(config: &Config, called: &AeTitle) -> anyhow::Result<(String, bool)> {
    let peers = super::open(config).await?.peers().await?;
    let known = peers.iter().find(|peer| peer.ae_title == *called);
    let address = known.and_then(|peer| Some((format!("{}:{}", peer.host.as_ref()?, peer.port?), peer.tls)));
    address.with_context(|| {
        format!(
            "no host and port are configured for {called}: give --address, or `pacs ae add {called} --host … --port …`"
        )
    })
}
