//! `pacs ae …`.

use crate::config::Config;
use clap::Subcommand;
use pacs_core::{AeTitle, Fingerprint, query::View};
use storage::{AuditAction, Peer, Workflow, WorklistScope};

#[derive(Debug, Subcommand)]
pub enum PeerCommand {
    /// Let an application entity in, or change it
    ///
    /// Examples:
    ///   pacs ae add CT1 --host 10.0.0.7 --port 104 --store
    ///   pacs ae add WARD --host 10.0.1.20 --port 11112 --find --retrieve --sees 'InstitutionName=East*'
    #[command(verbatim_doc_comment)]
    Add {
        // Not `ae_title`: that is the id of the flag that says our own, and clap would take one for the other.
        #[arg(id = "peer", value_name = "AE_TITLE")]
        ae_title: AeTitle,
        /// Only calls from this host are taken, and it is called there
        #[arg(long)]
        host: Option<String>,
        #[arg(long)]
        port: Option<u16>,
        /// May send instances (C-STORE)
        #[arg(long)]
        store: bool,
        /// May search (C-FIND)
        #[arg(long)]
        find: bool,
        /// May fetch instances (C-GET), and have them sent to application entities that are listed here (C-MOVE)
        #[arg(long)]
        retrieve: bool,
        /// May look at the worklist (C-FIND of Modality Worklist): at the steps scheduled for its own AE title, or at all
        #[arg(long, value_name = "own|all")]
        worklist: Option<WorklistScope>,
        /// May report what it performs (Modality Performed Procedure Step)
        #[arg(long)]
        mpps: bool,
        /// May create, search, perform and watch workitems (Unified Procedure Step)
        #[arg(long)]
        ups: bool,
        /// Is told of every series that is complete (Instance Availability Notification), at --host and --port
        #[arg(long, requires = "port")]
        availability: bool,
        /// It is called by TLS; its certificate must bear --host (dicom.tls.ca says whose certificates are trusted)
        #[arg(long)]
        tls: bool,
        /// Its calls are taken only by TLS and with this client certificate, as `openssl x509 -noout -fingerprint -sha256`
        /// prints it
        #[arg(long, value_name = "SHA-256")]
        certificate: Option<Fingerprint>,
        /// Shows it those patients and studies only that match these keys, joined by &: 'ModalitiesInStudy=US&PatientSex=F'
        #[arg(long, value_name = "KEYS", default_value_t, hide_default_value = true)]
        sees: View,
        /// It may have so many associations at a time
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
        max_associations: Option<u16>,
    },
    /// Shut an application entity out
    Remove {
        #[arg(id = "peer", value_name = "AE_TITLE")]
        ae_title: AeTitle,
    },
    /// List application entities
    List,
}

pub async fn run(config: &Config, command: PeerCommand) -> anyhow::Result<()> {
    let archive = super::open(config).await?;
    match command {
        PeerCommand::Add {
            ae_title,
            host,
            port,
            store: may_store,
            find: may_find,
            retrieve: may_retrieve,
            worklist,
            mpps: may_perform,
            ups: may_workitems,
            availability: wants_availability,
            tls,
            certificate,
            sees: view,
            max_associations,
        } => {
            let workflow = Workflow { worklist, may_perform, may_workitems, wants_availability };
            let peer = Peer {
                ae_title,
                host,
                port,
                may_store,
                may_find,
                may_retrieve,
                tls,
                certificate,
                workflow,
                view,
                max_associations,
            };
            archive.put_peer(&peer).await?;
            super::audit(&archive, AuditAction::Configuration, format!("AE {} set", peer.ae_title)).await?;
            println!("{}", line(&peer));
            if !(may_store || may_find || may_retrieve) && workflow == Workflow::NONE {
                println!("it may only C-ECHO; `pacs ae add --help` tells what more can be allowed");
            }
        }
        PeerCommand::Remove { ae_title } => {
            archive.remove_peer(&ae_title).await?;
            super::audit(&archive, AuditAction::Configuration, format!("AE {ae_title} removed")).await?;
            println!("AE {ae_title} removed");
        }
        PeerCommand::List => {
            let peers = archive.peers().await?;
            peers.iter().for_each(|peer| println!("{}", line(peer)));
            if peers.is_empty() {
                println!("no application entity is configured; on loopback anyone may do everything");
            }
        }
    }
    Ok(())
}

fn line(peer: &Peer) -> String {
    let host = peer.host.as_deref().unwrap_or("any host");
    let port = peer.port.map(|p| format!(":{p}")).unwrap_or_default();
    let tls = if peer.tls { " by TLS" } else { "" };
    let bound = peer.certificate.map(|bound| format!("  with certificate {bound}")).unwrap_or_default();
    let worklist = |scope| peer.workflow.worklist == Some(scope);
    let may = [
        ("store", peer.may_store),
        ("find", peer.may_find),
        ("retrieve", peer.may_retrieve),
        ("look at its own worklist", worklist(WorklistScope::Own)),
        ("look at the worklist", worklist(WorklistScope::All)),
        ("report procedure steps", peer.workflow.may_perform),
        ("work on workitems", peer.workflow.may_workitems),
        ("echo", true),
    ];
    let may: Vec<_> = may.into_iter().filter(|(_, yes)| *yes).map(|(what, _)| what).collect();
    let told = if peer.workflow.wants_availability { "; is told of complete series" } else { "" };
    let view = if peer.view.is_open() { String::new() } else { format!("  sees {}", peer.view) };
    let most = peer.max_associations.map(|most| format!("  {most} associations at a time")).unwrap_or_default();
    format!("{:16} {host}{port}{tls}  may {}{told}{view}{most}{bound}", peer.ae_title.as_str(), may.join(", "))
}
