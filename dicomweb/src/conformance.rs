//! What DICOMweb says of itself: its part of the conformance statement (PS3.2 Annex N), from the table of transactions.

use crate::{
    WebConfig,
    transactions::{Kind, transactions},
};
use pacs_core::statement::{Statement, code};

/// Services with the section that their transactions are specified in.
const SERVICES: [(&str, &str); 6] = [
    ("Retrieve (WADO-RS)", "PS3.18 §10.4"),
    ("Store (STOW-RS)", "PS3.18 §10.5"),
    ("Search (QIDO-RS)", "PS3.18 §10.6"),
    ("Worklist (UPS-RS)", "PS3.18 Chapter 11"),
    ("Non-Patient Instances", "PS3.18 Chapter 12"),
    ("Storage Commitment", "PS3.18 Chapter 13"),
];

/// The services, at the front of the statement. We ask nothing of others by DICOMweb here: what is sent on is told elsewhere.
pub fn overview(statement: &mut Statement) {
    let served = |section: &str| {
        let count = transactions().iter().filter(|one| one.section() == Some(section)).count();
        format!("{count} transactions")
    };
    let rows = SERVICES.map(|(name, section)| [name.to_owned(), section.to_owned(), served(section)]);
    let others = [
        ["URI (WADO-URI)", "PS3.18 Chapter 9", "`GET /wado`"],
        ["Retrieve Capabilities", "PS3.18 §8.9", "`OPTIONS` on each resource"],
    ];
    let others = others.map(|row| row.map(str::to_owned));
    statement.table(["Web service", "Specified in", "Origin server"], rows.into_iter().chain(others));
}

/// Resources, methods, media types and parameters.
pub fn services(statement: &mut Statement, config: &WebConfig) {
    statement.paragraph(include_str!("conformance/services.md"));
    let limits = [
        ("Matches of a search", format!("{} (`web.max_results`); the rest by `offset`", config.max_results)),
        ("Bytes of a request to store", format!("{} (`web.max_upload_bytes`)", config.max_upload_bytes)),
        ("An upload may stand still for", format!("{} s (`web.idle_seconds`)", config.idle_seconds)),
    ];
    statement.table(["Limit", "Value"], limits.map(|(name, value)| [name.to_owned(), value]));
    let rows = transactions().into_iter().map(|one| {
        let section = one.section().unwrap_or("extension").to_owned();
        let (method, right) = (one.kind.method().to_string(), format!("{:?}", one.kind.right()).to_lowercase());
        [one.name, code(format!("{method} {}", one.path.replace("{*", "{"))), section, right]
    });
    statement.table(["Transaction", "Request", "Specified in", "Right needed"], rows);
    let kinds = [
        ("Search", Kind::Search),
        ("Search for non-patient objects", Kind::SearchNonPatient),
        ("Retrieve instances", Kind::Retrieve),
        ("Retrieve metadata", Kind::Metadata),
        ("Retrieve rendered", Kind::Rendered),
        ("Retrieve thumbnail", Kind::Thumbnail),
        ("Retrieve frames", Kind::Frames),
        ("Retrieve bulkdata", Kind::BulkData),
        ("Retrieve all bulkdata", Kind::AllBulkData),
        ("Retrieve non-patient objects", Kind::RetrieveNonPatient),
        ("Store", Kind::Store),
        ("Request storage commitment", Kind::RequestCommitment),
        ("Search for workitems", Kind::SearchWorkitems),
        ("Retrieve a workitem", Kind::RetrieveWorkitem),
        ("Create a workitem", Kind::CreateWorkitem),
        ("Update, or request the cancellation of, a workitem", Kind::ActOnWorkitem),
        ("Change the state of a workitem", Kind::ChangeWorkitemState),
        ("Subscribe", Kind::Subscribe),
    ];
    let list = |texts: Vec<String>| texts.iter().map(code).collect::<Vec<_>>().join(", ");
    let rows = kinds.map(|(name, kind)| {
        let parameters = kind.parameters().iter().map(|name| (*name).to_owned()).collect();
        [name.to_owned(), list(kind.takes()), list(kind.gives()), list(parameters)]
    });
    statement
        .table(["Transaction", "Media types taken", "Media types given, the default first", "Query parameters"], rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transaction_is_of_a_service() {
        for transaction in transactions() {
            let section = transaction.section();
            assert!(section.is_none_or(|own| SERVICES.iter().any(|(_, known)| *known == own)), "{}", transaction.name);
        }
    }
}
