//! Association policies and secure transport.

use crate::{
    NodeConfig,
    association::{negotiate::SMALLEST_PEER_MAX, roles::LARGEST_WINDOW},
    config::UnknownCallers,
    pdu::{APPLICATION_CONTEXT, AssociateRj},
    scu::{ANSWER_LIMIT, CONNECT_LIMIT},
    tls::offered,
};
use pacs_core::{
    part10::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME},
    statement::{Statement, code},
};

pub(super) fn parameters(statement: &mut Statement, config: &NodeConfig) {
    statement.section(2, "Association parameters");
    let seconds = |key: &str, seconds: u64| format!("{seconds} s (`dicom.{key}`)");
    let lengths = NodeConfig::PDU_LENGTHS;
    let rows = [
        ("Application Context Name", code(APPLICATION_CONTEXT)),
        ("Implementation Class UID", code(IMPLEMENTATION_CLASS_UID)),
        ("Implementation Version Name", code(IMPLEMENTATION_VERSION_NAME)),
        (
            "Maximum PDU length received",
            format!(
                "{} (`dicom.max_pdu_length`, from {} to {}); a longer P-DATA-TF is aborted",
                config.max_pdu_length,
                lengths.start(),
                lengths.end()
            ),
        ),
        (
            "Maximum PDU length sent",
            format!("that of the peer, at most our own; a peer that states less than {SMALLEST_PEER_MAX} is rejected"),
        ),
        (
            "Simultaneous associations as acceptor",
            format!(
                "{} (`dicom.max_associations`), and fewer for single peers (`pacs ae add`)",
                config.max_associations
            ),
        ),
        (
            "Connections that have no association yet",
            format!(
                "{} (`dicom.max_pending`), {} of them from one address (`dicom.max_pending_per_address`)",
                config.max_pending, config.max_pending_per_address
            ),
        ),
        (
            "Simultaneous associations as requestor",
            format!(
                "{} for each C-MOVE (`dicom.move_associations`); as each destination says for what is sent on by rule",
                config.move_associations
            ),
        ),
        (
            "Asynchronous operations window as acceptor",
            format!(
                "as many operations as proposed, at most {LARGEST_WINDOW}, are taken: of C-STORE; of ours there is 1 at a time"
            ),
        ),
        ("Asynchronous operations window as requestor", "not proposed".to_owned()),
        ("ARTIM time-out", seconds("artim_seconds", config.artim_seconds)),
        ("Association idle time-out", seconds("idle_seconds", config.idle_seconds)),
        ("A PDU must be complete after", seconds("pdu_seconds", config.pdu_seconds)),
        ("A peer must take some of our bytes in", seconds("write_seconds", config.write_seconds)),
        ("As requestor: a connection must open in", format!("{} s", CONNECT_LIMIT.as_secs())),
        ("As requestor: a response must come in", format!("{} s", ANSWER_LIMIT.as_secs())),
        ("At shutdown, messages under way get", seconds("shutdown_seconds", config.shutdown_seconds)),
    ];
    statement.table(["Parameter", "Value"], rows.map(|(name, value)| [name.to_owned(), value]));
}

pub(super) fn acceptance(statement: &mut Statement, config: &NodeConfig) {
    statement.section(2, "Association acceptance");
    let loopback =
        if config.open_to_loopback { "may do everything under any AE title" } else { "is one like any other" };
    statement.paragraph(format!("A caller on the loopback interface {loopback} (`dicom.open_to_loopback`)."));
    let unknown = match config.unknown_callers {
        UnknownCallers::Reject => "is rejected",
        UnknownCallers::Quarantine => {
            "may verify and store; what it stores is kept in quarantine, where nobody sees it, until an administrator decides"
        }
    };
    statement.paragraph(format!("Any other caller {unknown} (`dicom.unknown_callers`)."));
    statement.paragraph(include_str!("text/acceptance.md"));
    statement.paragraph("Associations are rejected with:");
    let row = |(rj, when): (AssociateRj, &str)| {
        let result = if rj.result == 1 { "1, rejected permanent" } else { "2, rejected transient" };
        let source = match rj.source {
            1 => "1, service user",
            2 => "2, service provider (ACSE)",
            _ => "3, service provider (presentation)",
        };
        let reason = format!("{}, {}", rj.reason, rj.reason_text());
        [result.to_owned(), source.to_owned(), reason, when.to_owned()]
    };
    statement.table(["Result", "Source", "Reason", "When"], AssociateRj::ALL.map(row));
    statement.paragraph(include_str!("text/aborts.md"));
}

pub(super) fn initiation(statement: &mut Statement) {
    statement.section(2, "Association initiation");
    statement.paragraph(include_str!("text/initiation.md"));
    let most = NodeConfig::default().max_pdu_length;
    statement.paragraph(format!("The maximum PDU length that we state is {most}, whatever is configured."));
}

/// TLS, as acceptor and as requestor.
pub fn secure_transport(statement: &mut Statement, config: &NodeConfig) {
    let (versions, suites, groups) = offered();
    let list = |names: Vec<String>| names.iter().map(code).collect::<Vec<_>>().join(", ");
    let set = |is_set: bool, yes: &str, no: &str| if is_set { yes } else { no }.to_owned();
    let tls = &config.tls;
    let callers = match (&tls.client_ca, tls.client_certificate_optional) {
        (None, _) => "none is asked for (`dicom.tls.client_ca` is not set)",
        (Some(_), false) => "required, signed by a CA of `dicom.tls.client_ca`",
        (Some(_), true) => "optional; one that is shown must be signed by a CA of `dicom.tls.client_ca`",
    };
    let rows = [
        ("Certificate of ours", set(tls.certificate.is_some(), "configured", "not configured (`dicom.tls.certificate`)")),
        ("Certificate of callers", callers.to_owned()),
        (
            "Calls to peers by TLS",
            set(
                tls.ca.is_some() || tls.client_ca.is_some(),
                "to those configured so (`pacs ae add --tls`); their certificate must bear the configured host as subjectAltName",
                "not possible: neither `dicom.tls.ca` nor `dicom.tls.client_ca` is set",
            ),
        ),
        ("Versions of TLS", list(versions)),
        ("Cipher suites", list(suites)),
        ("Key exchange groups", list(groups)),
        (
            "Certificates",
            "X.509 in PEM; ECDSA, Ed25519, RSA of 2048 bits and more; the chain is checked against the configured CAs; no revocation lists"
                .to_owned(),
        ),
        ("Resumption, renegotiation, early data", "none".to_owned()),
        ("Handshake", "within the ARTIM time-out".to_owned()),
        ("Certificate files are looked at again", format!("every {} s (`dicom.tls.reload_seconds`)", tls.reload_seconds)),
    ];
    statement.table(["Secure transport", "Value"], rows.map(|(name, value)| [name.to_owned(), value]));
}
