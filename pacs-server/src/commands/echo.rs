//! `pacs echo`: is a peer there?

use crate::config::Config;
use anyhow::Context;
use dicom_node::scu::{self, Remote};
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
    let Some(called) = arguments.ae_title else {
        let address = arguments.address.unwrap_or_else(|| config.dicom_listen.to_string());
        return Ok(Remote { address, called: calling.clone(), calling });
    };
    let address = match arguments.address {
        Some(address) => address,
        None => configured(config, &called).await?,
    };
    Ok(Remote { address, calling, called })
}

async fn configured(config: &Config, called: &AeTitle) -> anyhow::Result<String> {
    let peers = super::open(config).await?.peers().await?;
    let known = peers.iter().find(|peer| peer.ae_title == *called);
    let address = known.and_then(|peer| Some(format!("{}:{}", peer.host.as_ref()?, peer.port?)));
    address.with_context(|| {
        format!(
            "no host and port are configured for {called}: give --address, or `pacs ae add {called} --host … --port …`"
        )
    })
}
