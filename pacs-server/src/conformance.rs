//! The conformance statement (PS3.2 Annex N) of the program as it is configured: each room tells its part.

use crate::config::{Config, Room};
use pacs_core::{
    AeTitle,
    character_set::defined_terms,
    query::View,
    statement::{Statement, code},
};

const NOTE: &str =
    "Made by `pacs conformance` from what the program registers and from the configuration that runs; do not edit.
After PS3.2 Annex N.";

/// The statement, in Markdown.
pub fn statement(config: &Config) -> String {
    let mut statement = Statement::new("DICOM conformance statement");
    statement.paragraph(format!("Yinghai {}. {NOTE}", env!("CARGO_PKG_VERSION")));
    overview(&mut statement, config);
    statement.section(1, "Introduction");
    statement.paragraph(include_str!("conformance/introduction.md"));
    statement.section(1, "Implementation model");
    statement.paragraph(include_str!("conformance/model.md"));
    configuration(&mut statement, config);
    statement.section(1, "Service and interoperability description");
    dicom_node::conformance::services(&mut statement, &config.dicom);
    statement.section(1, "Network communication details");
    dicom_node::conformance::network(&mut statement, &config.dicom);
    statement.section(1, "Web services");
    dicomweb::conformance::services(&mut statement, &config.web);
    statement.section(1, "Support of character sets");
    character_sets(&mut statement);
    statement.section(1, "Security");
    security(&mut statement, config);
    statement.section(1, "Storage SOP Classes");
    dicom_node::conformance::storage_classes(&mut statement, &config.dicom);
    statement.into_text()
}

fn overview(statement: &mut Statement, config: &Config) {
    statement.section(1, "Conformance statement overview");
    statement.paragraph(include_str!("conformance/overview.md"));
    statement.section(2, "Network services");
    dicom_node::conformance::overview(statement, &config.dicom);
    statement.section(2, "Web services");
    dicomweb::conformance::overview(statement);
    statement.section(2, "Media services");
    statement.paragraph(include_str!("conformance/media.md"));
}

fn configuration(statement: &mut Statement, config: &Config) {
    statement.section(1, "Configuration");
    statement.paragraph(include_str!("conformance/configuration.md"));
    statement.section(2, "Application entity titles");
    let dicom = &config.dicom;
    let own = [(&dicom.ae_title, "`dicom.ae_title`: ours, also as requestor")].into_iter();
    let aliases = dicom.aliases.iter().map(|title| (title, "`dicom.aliases`"));
    let whole = own.chain(aliases).map(|(title, from)| title_row(title, &View::EVERYTHING, from));
    let parts = dicom.virtual_archives.iter();
    let parts = parts.map(|part| title_row(&part.ae_title, &part.view, "`dicom.virtual_archives`"));
    statement.table(["AE title", "What is seen under it", "Setting"], whole.chain(parts));
    statement.section(2, "Where we listen");
    let runs =
        |room, place: String| if config.roles.contains(&room) { place } else { "not in this process".to_owned() };
    let secure = config.dicom_tls_listen.map_or_else(|| "nowhere".to_owned(), |address| address.to_string());
    let rows = [
        ("DICOM", runs(Room::Dicom, config.dicom_listen.to_string()), "`dicom_listen`"),
        ("DICOM over TLS", runs(Room::Dicom, secure), "`dicom_tls_listen`; 2762 is the standard's"),
        ("DICOMweb, the viewer and its API", runs(Room::Web, config.http_listen.to_string()), "`http_listen`"),
    ];
    statement.table(["Service", "Address", "Setting"], rows.map(|(name, place, key)| [name.into(), place, key.into()]));
    stored(statement, config);
}

fn title_row(title: &AeTitle, view: &View, setting: &str) -> [String; 3] {
    let seen = if view.is_open() { "the whole archive".to_owned() } else { code(view) };
    [code(title), seen, setting.to_owned()]
}

fn stored(statement: &mut Statement, config: &Config) {
    statement.section(2, "What is stored");
    let rows = [
        ("Largest instance, in bytes", config.storage.max_instance_bytes.to_string(), "`storage.max_instance_bytes`"),
        (
            "Other content under a held SOP Instance UID",
            serde_json::to_value(config.storage.same_uid_other_content)
                .ok()
                .and_then(|value| value.as_str().map(code))
                .unwrap_or_default(),
            "`storage.same_uid_other_content`",
        ),
        (
            "A series is complete when nothing came for",
            format!("{} s", config.storage.quiet_seconds),
            "`storage.quiet_seconds`",
        ),
        (
            "Lossless recompression, by rule",
            if config.storage.recompression.is_empty() { "no" } else { "yes" }.to_owned(),
            "`storage.recompression`",
        ),
    ];
    statement.table(["", "Value", "Setting"], rows.map(|(name, value, key)| [name.into(), value, key.into()]));
}

fn character_sets(statement: &mut Statement) {
    statement.paragraph(include_str!("conformance/character_sets.md"));
    let (without, with) = defined_terms();
    let list = |terms: Vec<String>| terms.iter().map(code).collect::<Vec<_>>().join(", ");
    let rows = [
        ["without code extensions".to_owned(), list(without)],
        ["with code extensions (ISO 2022)".to_owned(), list(with)],
    ];
    statement.table(["Specific Character Set", "Defined Terms, beside the default repertoire"], rows);
}

fn security(statement: &mut Statement, config: &Config) {
    statement.paragraph(include_str!("conformance/security.md"));
    statement.section(2, "Secure transport");
    let port = match config.dicom_tls_listen {
        Some(address) => format!("Associations by TLS are accepted at {address}, beside the plain port."),
        None => "No port for TLS is configured (`dicom_tls_listen`).".to_owned(),
    };
    statement.paragraph(format!("{}\n\n{port}", include_str!("conformance/tls.md").trim()));
    dicom_node::conformance::secure_transport(statement, &config.dicom);
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_node::config::VirtualArchive;

    #[test]
    fn the_statement_in_docs_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/dicom-conformance.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        let is_up_to_date = written == statement(&Config::default());
        assert!(is_up_to_date, "run `pacs conformance --default > docs/dicom-conformance.md`");
    }

    fn check(change: impl FnOnce(&mut Config), lines: &[&str]) {
        let mut config = Config::default();
        let before = statement(&config);
        change(&mut config);
        let text = statement(&config);
        for line in lines {
            assert!(text.contains(line) && !before.contains(line), "{line}");
        }
    }

    #[test]
    fn the_statement_follows_the_configuration() {
        check(|config| config.dicom.ae_title = "WARD".parse().unwrap(), &["| `WARD` | the whole archive |"]);
        check(|config| config.dicom.artim_seconds = 7, &["| ARTIM time-out | 7 s"]);
        check(|config| config.dicom.max_find_results = 77, &["at most 77 matches"]);
        check(|config| config.dicom.accept_unknown_sop_classes = true, &["| private Storage SOP Classes | yes |"]);
        check(|config| config.dicom_tls_listen = "0.0.0.0:2762".parse().ok(), &["| DICOM over TLS | 0.0.0.0:2762 |"]);
        check(|config| config.dicom.tls.client_ca = Some("ca.pem".into()), &["| Certificate of callers | required"]);
        check(|config| config.web.max_results = 78, &["| Matches of a search | 78"]);
        let part = VirtualArchive { ae_title: "ECHO".parse().unwrap(), view: "ModalitiesInStudy=US".parse().unwrap() };
        check(|config| config.dicom.virtual_archives.push(part), &["| `ECHO` | `ModalitiesInStudy=US` |"]);
        check(|config| config.storage.max_instance_bytes = 79, &["| Largest instance, in bytes | 79 |"]);
    }

    #[test]
    fn retired_classes_are_listed_while_they_are_taken() {
        let mut config = Config::default();
        assert!(statement(&config).contains("Hardcopy Color Image Storage (Retired)"));
        config.dicom.accept_retired_sop_classes = false;
        let text = statement(&config);
        assert!(!text.contains("Hardcopy Color") && text.contains("| retired Storage SOP Classes | no |"));
    }
}
