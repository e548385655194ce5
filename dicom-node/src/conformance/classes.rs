//! SOP Classes and transfer syntaxes, in both roles.

use super::yes_no;
use crate::{
    NodeConfig,
    association::{
        roles::{NEGOTIATED, granted},
        supported::{PROVIDED, Service, is_query_transfer_syntax},
    },
    scu::{REQUESTED, Requested},
};
use pacs_core::{
    TransferSyntax,
    native::is_convertible,
    sop_class::{NonPatient, STORAGE_CLASSES, StorageClass},
    statement::{Statement, code},
    transfer_syntax::{Codec, REGISTERED, Registered},
};

impl Service {
    /// The service class (PS3.4).
    const fn class(self) -> &'static str {
        match self {
            Self::Verification => "Verification",
            Self::Storage => "Storage",
            Self::Find(_) | Self::Move(_) | Self::Get(_) => "Query/Retrieve",
            Self::Commitment => "Storage Commitment",
            Self::Worklist => "Basic Worklist Management",
            Self::Performed => "Modality Performed Procedure Step",
            Self::Workitems => "Unified Procedure Step",
        }
    }

    /// What a configured peer must be given to ask for it (`pacs ae add`).
    const fn needs(self) -> &'static str {
        match self {
            Self::Verification => "nothing",
            Self::Storage => "`--store`; as SCP `--retrieve`",
            Self::Commitment => "`--store`",
            Self::Find(_) => "`--find`",
            Self::Move(_) | Self::Get(_) => "`--retrieve`",
            Self::Worklist => "`--worklist`",
            Self::Performed => "`--mpps`",
            Self::Workitems => "`--ups`",
        }
    }
}

/// Which services there are, as SCU and SCP: the table at the front of the statement.
pub fn overview(statement: &mut Statement, config: &NodeConfig) {
    let requests = |uid: &str| REQUESTED.iter().any(|requested| requested.uid == uid && !requested.is_scp);
    let provided = PROVIDED.iter().map(|class| {
        [class.service.class().to_owned(), class.name.to_owned(), yes_no(requests(class.uid)), "yes".to_owned()]
    });
    let only_requested = REQUESTED.iter().filter(|requested| !PROVIDED.iter().any(|class| class.uid == requested.uid));
    let only_requested = only_requested
        .map(|requested| ["Notification".to_owned(), requested.name.to_owned(), "yes".to_owned(), "no".to_owned()]);
    let storage = [
        ("Storage", taken(config, false).count(), "yes"),
        ("Non-Patient Object Storage", taken(config, true).count(), "no"),
    ];
    let storage = storage.map(|(service, count, requests)| {
        let classes = format!("the {count} SOP Classes of the last chapter");
        [service.to_owned(), classes, requests.to_owned(), "yes".to_owned()]
    });
    statement.table(
        ["Service class", "SOP Class", "User (SCU)", "Provider (SCP)"],
        storage.into_iter().chain(provided).chain(only_requested),
    );
}

/// The Storage SOP Classes that are taken: of patients, or not.
fn taken(config: &NodeConfig, is_non_patient: bool) -> impl Iterator<Item = &'static StorageClass> {
    let retired = config.accept_retired_sop_classes;
    STORAGE_CLASSES
        .iter()
        .filter(move |class| (retired || !class.is_retired) && NonPatient::of(class.uid).is_some() == is_non_patient)
}

/// The presentation contexts that we accept.
pub(super) fn accepted(statement: &mut Statement, config: &NodeConfig) {
    statement.section(2, "Presentation contexts accepted");
    statement.paragraph(include_str!("text/contexts.md"));
    let plain = REGISTERED.iter().filter(|syntax| is_query_transfer_syntax(syntax.uid)).map(|syntax| syntax.name);
    let plain = plain.collect::<Vec<_>>().join(", ");
    let rows = PROVIDED.iter().map(|class| {
        let roles = if class.service.may_be_reversed() { "SCU, SCP" } else { "SCU" };
        let needs = class.service.needs();
        [class.name.to_owned(), code(class.uid), plain.clone(), roles.to_owned(), needs.to_owned()]
    });
    let storage = [
        "Storage SOP Classes".to_owned(),
        "see the last chapter".to_owned(),
        format!("any of the {} listed below", REGISTERED.len()),
        if Service::Storage.may_be_reversed() { "SCU, SCP" } else { "SCU" }.to_owned(),
        Service::Storage.needs().to_owned(),
    ];
    statement.table(
        ["Abstract syntax", "UID", "Transfer syntaxes", "Roles of the requestor", "Right needed"],
        rows.chain([storage]),
    );
    let private = [
        ("`dicom.accept_retired_sop_classes`", config.accept_retired_sop_classes, "retired Storage SOP Classes"),
        ("`dicom.accept_unknown_sop_classes`", config.accept_unknown_sop_classes, "private Storage SOP Classes"),
        (
            "`dicom.accept_unknown_transfer_syntaxes`",
            config.accept_unknown_transfer_syntaxes,
            "private transfer syntaxes, and ones newer than this version; read as Explicit VR Little Endian",
        ),
    ];
    let rows = private.map(|(key, is_on, what)| [what.to_owned(), yes_no(is_on), key.to_owned()]);
    statement.table(["Also for storage", "Accepted", "Setting"], rows);
    if !config.preferred_transfer_syntaxes.is_empty() {
        let order = config.preferred_transfer_syntaxes.iter().map(code).collect::<Vec<_>>().join(", ");
        statement.paragraph(format!("Preferred transfer syntaxes, in this order: {order}."));
    }
}

/// Extended negotiation.
pub(super) fn negotiated(statement: &mut Statement) {
    statement.section(2, "Extended negotiation");
    statement.paragraph(include_str!("text/negotiation.md"));
    let rows = PROVIDED.iter().filter_map(|class| {
        let granted = granted(class.service)?;
        let names = |wanted: u8| {
            let names = NEGOTIATED.iter().zip(granted).filter(|(_, granted)| **granted == wanted);
            names.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
        };
        Some([class.name.to_owned(), names(1), names(0)])
    });
    statement.table(["SOP Class", "Granted", "Not granted"], rows);
}

/// The presentation contexts that we propose.
pub(super) fn requested(statement: &mut Statement) {
    let names = |requested: &Requested| {
        let name =
            |uid: &&'static str| REGISTERED.iter().find(|known| known.uid == *uid).map_or(*uid, |known| known.name);
        requested.transfer_syntaxes.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let rows = REQUESTED.iter().map(|requested| {
        let role = if requested.is_scp { "SCP" } else { "SCU" };
        let (name, uid) = (requested.name.to_owned(), code(requested.uid));
        [name, uid, names(requested), role.to_owned(), requested.when.to_owned()]
    });
    let storage = [
        "SOP Class of the instance".to_owned(),
        "any that is stored".to_owned(),
        "that of the instance, in a context of its own; in another Explicit and Implicit VR Little Endian where we can decode it"
            .to_owned(),
        "SCU".to_owned(),
        "C-MOVE, what is sent on by rule, `pacs demo`".to_owned(),
    ];
    statement.table(["Abstract syntax", "UID", "Transfer syntaxes", "Our role", "Proposed for"], rows.chain([storage]));
}

/// Transfer syntaxes of stored instances.
pub(super) fn transfer_syntaxes(statement: &mut Statement, config: &NodeConfig) {
    statement.section(2, "Transfer syntaxes for storage");
    statement.paragraph(include_str!("text/transfer_syntaxes.md"));
    statement.table(["Transfer syntax", "UID", "Decoded", "Lossless"], REGISTERED.iter().map(transfer_syntax));
    if config.accept_unknown_transfer_syntaxes {
        statement.paragraph("Any other transfer syntax is accepted too, and kept as it is.");
    }
}

fn transfer_syntax(syntax: &Registered) -> [String; 4] {
    let retired = if syntax.is_retired { " (Retired)" } else { "" };
    let is_decoded = syntax.uid.parse().is_ok_and(|uid| is_convertible(&TransferSyntax::new(uid)));
    let lossless = match syntax.codec {
        Codec::Unknown => "not decoded".to_owned(),
        _ => yes_no(syntax.is_lossless),
    };
    [format!("{}{retired}", syntax.name), code(syntax.uid), yes_no(is_decoded), lossless]
}

/// The list of Storage SOP Classes.
pub fn storage_classes(statement: &mut Statement, config: &NodeConfig) {
    statement.paragraph(include_str!("text/storage_classes.md"));
    let rows = taken(config, false).chain(taken(config, true)).map(|class| {
        let service = if NonPatient::of(class.uid).is_some() { "Non-Patient Object Storage" } else { "Storage" };
        let retired = if class.is_retired { " (Retired)" } else { "" };
        [format!("{}{retired}", class.name), code(class.uid), service.to_owned()]
    });
    statement.table(["SOP Class", "UID", "Service class"], rows);
}
