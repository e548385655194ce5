//! The transactions of PS3.18 that there are: one table for the router, the Capabilities Description and the conformance
//! statement.

use crate::{
    auth::Right,
    bulkdata, commitment, frames, metadata, non_patient,
    qido::{self, EVENT_STREAM},
    rendered::{self, RENDERED, THUMBNAIL},
    respond::{FORMS, JSON_TYPES},
    stow, wado,
    web::Web,
    workitems,
    xml::DICOM_XML,
    zipped::ZIP,
};
use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    http::Method,
    routing::{MethodFilter, MethodRouter, on},
};
use pacs_core::{TransferSyntax, query::Level, sop_class::NonPatient, transfer_syntax::REGISTERED};
use std::collections::BTreeSet;

/// A workitem names every instance that is its input.
const MAX_WORKITEM: usize = 4 << 20;
/// Some 200 bytes an instance.
const MAX_COMMITMENT: usize = 32 << 20;

const PATIENTS: &str = "/patients";
const INSTANCE: &str = "/studies/{study}/series/{series}/instances/{instance}";

/// What a client may ask.
pub struct Transaction {
    /// As PS3.18 names it; unique.
    pub name: String,
    pub kind: Kind,
    /// Below the base, with the names of its variable parts in braces.
    pub path: String,
    /// Of objects of no patient.
    is_non_patient: bool,
    handler: MethodRouter<Web>,
}

impl Transaction {
    /// Where it is specified; an extension is not.
    pub fn section(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Delete | Kind::Count | Kind::Put => None,
            Kind::Search if self.path == PATIENTS => None,
            _ if self.is_non_patient => Some("PS3.18 Chapter 12"),
            Kind::RequestCommitment | Kind::CommitmentResult => Some("PS3.18 Chapter 13"),
            _ if self.kind.is_of_workitems() => Some("PS3.18 Chapter 11"),
            Kind::Search => Some("PS3.18 §10.6"),
            Kind::Store => Some("PS3.18 §10.5"),
            _ => Some("PS3.18 §10.4"),
        }
    }
}

/// What transactions of a kind ask for, take and give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Search,
    Count,
    Retrieve,
    Metadata,
    Rendered,
    Thumbnail,
    Frames,
    BulkData,
    /// Of a whole study, series or instance.
    AllBulkData,
    Store,
    /// One instance, as the current version.
    Put,
    Delete,
    RequestCommitment,
    CommitmentResult,
    SearchNonPatient,
    RetrieveNonPatient,
    SearchWorkitems,
    RetrieveWorkitem,
    /// With a body.
    CreateWorkitem,
    ActOnWorkitem,
    ChangeWorkitemState,
    Subscribe,
    Unsubscribe,
    OpenChannel,
}

impl Kind {
    pub fn method(self) -> Method {
        match self {
            Self::Store | Self::CreateWorkitem | Self::ActOnWorkitem | Self::Subscribe => Method::POST,
            Self::RequestCommitment => Method::POST,
            Self::ChangeWorkitemState | Self::Put => Method::PUT,
            Self::Delete | Self::Unsubscribe => Method::DELETE,
            _ => Method::GET,
        }
    }

    /// What its caller must be allowed to.
    pub const fn right(self) -> Right {
        match self {
            Self::Search | Self::Count | Self::SearchNonPatient => Right::Search,
            Self::SearchWorkitems | Self::RetrieveWorkitem => Right::Search,
            Self::Store | Self::CreateWorkitem | Self::ActOnWorkitem | Self::ChangeWorkitemState => Right::Store,
            Self::RequestCommitment | Self::CommitmentResult => Right::Store,
            // Who hears takes the events of the subscriber.
            Self::Subscribe | Self::Unsubscribe | Self::OpenChannel => Right::Store,
            // Who replaces what is seen takes the other from sight.
            Self::Delete | Self::Put => Right::Delete,
            _ => Right::Read,
        }
    }

    /// Media types of the request's body.
    pub fn takes(self) -> Vec<String> {
        match self {
            Self::Store => stow::TAKEN.map(str::to_owned).to_vec(),
            Self::Put => vec![wado::DICOM.to_owned()],
            Self::RequestCommitment => ONE.map(str::to_owned).to_vec(),
            Self::CreateWorkitem | Self::ActOnWorkitem | Self::ChangeWorkitemState => {
                JSON_TYPES.map(str::to_owned).to_vec()
            }
            _ => Vec::new(),
        }
    }

    const fn is_of_workitems(self) -> bool {
        matches!(
            self,
            Self::SearchWorkitems
                | Self::RetrieveWorkitem
                | Self::CreateWorkitem
                | Self::ActOnWorkitem
                | Self::ChangeWorkitemState
                | Self::Subscribe
                | Self::Unsubscribe
                | Self::OpenChannel
        )
    }

    /// Media types of the answer's body, the default first.
    pub fn gives(self) -> Vec<String> {
        let json = || JSON_TYPES.map(str::to_owned).to_vec();
        let multipart = |essence: &str| format!("multipart/related; type=\"{essence}\"");
        match self {
            Self::Search => FORMS.into_iter().chain([EVENT_STREAM]).map(str::to_owned).collect(),
            Self::Metadata => FORMS.map(str::to_owned).to_vec(),
            Self::Count => vec![JSON_TYPES[1].to_owned()],
            Self::SearchNonPatient => json(),
            Self::SearchWorkitems | Self::RetrieveWorkitem => json(),
            Self::Store | Self::Put | Self::RequestCommitment | Self::CommitmentResult => {
                ONE.map(str::to_owned).to_vec()
            }
            Self::Retrieve => vec![multipart(wado::DICOM), wado::DICOM.to_owned(), ZIP.to_owned()],
            Self::RetrieveNonPatient => {
                vec![wado::DICOM.to_owned(), multipart(wado::DICOM), JSON_TYPES[0].to_owned()]
            }
            Self::Rendered => RENDERED.map(|format| format.media_type().to_owned()).to_vec(),
            Self::Thumbnail => THUMBNAIL.map(|format| format.media_type().to_owned()).to_vec(),
            Self::AllBulkData => frame_types().into_iter().map(multipart).collect(),
            Self::Frames => {
                frame_types().into_iter().flat_map(|essence| [multipart(essence), essence.to_owned()]).collect()
            }
            Self::BulkData => vec![bulkdata::OCTET_STREAM.to_owned(), multipart(bulkdata::OCTET_STREAM)],
            Self::Delete | Self::CreateWorkitem | Self::ActOnWorkitem | Self::ChangeWorkitemState => Vec::new(),
            Self::Subscribe | Self::Unsubscribe | Self::OpenChannel => Vec::new(),
        }
    }

    /// Query parameters; those of a search are attributes too.
    pub const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Search => SEARCH,
            Self::Count => &["fuzzymatching", "emptyvaluematching"],
            Self::SearchWorkitems => &["accept", "limit", "offset", "fuzzymatching", "includefield"],
            Self::SearchNonPatient => &["accept", "limit", "offset", "includefield"],
            Self::Retrieve => &["accept", "version", "asOf", "quality"],
            Self::Frames => &["accept", "version", "asOf", "quality", "resolution"],
            Self::Metadata | Self::BulkData | Self::AllBulkData => &["accept", "version", "asOf"],
            Self::Rendered | Self::Thumbnail => &["accept", "version", "asOf", "viewport", "window", "quality"],
            Self::RetrieveNonPatient => &["accept", "version"],
            Self::RetrieveWorkitem => &["accept"],
            Self::CreateWorkitem => &["AffectedSOPInstanceUID"],
            Self::ActOnWorkitem => &["transaction-uid"],
            Self::Subscribe => &["deletionlock", "filter"],
            Self::Store | Self::Put | Self::Delete | Self::ChangeWorkitemState => &[],
            Self::Unsubscribe | Self::OpenChannel | Self::RequestCommitment | Self::CommitmentResult => &[],
        }
    }
}

/// One data set.
const ONE: [&str; 3] = [JSON_TYPES[0], JSON_TYPES[1], DICOM_XML];

const SEARCH: &[&str] =
    &["accept", "limit", "offset", "fuzzymatching", "emptyvaluematching", "includefield", "orderby", "cursor"];

/// Of single frames and of several, in whichever transfer syntax they are stored; decoded first.
fn frame_types() -> Vec<&'static str> {
    let stored = REGISTERED.iter().filter_map(|syntax| syntax.uid.parse().ok().map(TransferSyntax::new));
    let stored: BTreeSet<_> = stored.map(|syntax| syntax.media_type()).collect();
    let decoded = bulkdata::OCTET_STREAM;
    [decoded].into_iter().chain(stored.into_iter().filter(|essence| *essence != decoded)).collect()
}

/// All of them.
pub fn transactions() -> Vec<Transaction> {
    let mut all = studies();
    all.extend(workitems_of());
    all.extend(NonPatient::ALL.into_iter().flat_map(non_patient_of));
    all
}

/// A router of the transactions, each behind its right.
pub fn router(behind: impl Fn(Right, Router<Web>) -> Router<Web>) -> Router<Web> {
    let mut all = transactions();
    let rights = [Right::Search, Right::Read, Right::Store, Right::Delete];
    rights.into_iter().fold(Router::new(), |router, right| {
        let of_right = all.extract_if(.., |transaction| transaction.kind.right() == right);
        let routes = of_right.fold(Router::new(), |routes, one| routes.route(&one.path, one.handler));
        router.merge(behind(right, routes))
    })
}

fn transaction<H, T>(name: &str, kind: Kind, path: &str, handler: H) -> Transaction
where
    H: Handler<T, Web>,
    T: 'static,
{
    let method = MethodFilter::try_from(kind.method()).expect("a method of HTTP");
    Transaction {
        name: name.to_owned(),
        kind,
        path: path.to_owned(),
        is_non_patient: false,
        handler: on(method, handler),
    }
}

fn studies() -> Vec<Transaction> {
    let mut all = vec![
        transaction("Search for Studies", Kind::Search, "/studies", qido::studies),
        transaction("Search for Series", Kind::Search, "/series", qido::series),
        transaction("Search for Instances", Kind::Search, "/instances", qido::instances),
        transaction("Search for Study Series", Kind::Search, "/studies/{study}/series", qido::series),
        transaction("Search for Study Instances", Kind::Search, "/studies/{study}/instances", qido::instances),
        transaction(
            "Search for Study Series Instances",
            Kind::Search,
            "/studies/{study}/series/{series}/instances",
            qido::instances,
        ),
        transaction("Search for Patients", Kind::Search, PATIENTS, qido::patients),
        transaction("Store Instances", Kind::Store, "/studies", stow::store),
        transaction("Store Study Instances", Kind::Store, "/studies/{study}", stow::store),
        transaction("Put Instance", Kind::Put, INSTANCE, stow::put),
    ];
    for (what, path) in
        [("Study", "/studies/{study}"), ("Series", "/studies/{study}/series/{series}"), ("Instance", INSTANCE)]
    {
        all.extend(retrievals(what, path));
    }
    all.extend(frames_and_bulk_data());
    all.extend(counts());
    all.extend(commitments());
    all
}

fn commitments() -> [Transaction; 2] {
    let path = "/commitment-requests/{transaction}";
    let request = transaction("Request Storage Commitment", Kind::RequestCommitment, path, commitment::request);
    let handler = request.handler.layer(DefaultBodyLimit::max(MAX_COMMITMENT));
    [
        Transaction { handler, ..request },
        transaction("Retrieve Storage Commitment Result", Kind::CommitmentResult, path, commitment::result),
    ]
}

/// Each of a search, of its level.
fn counts() -> impl Iterator<Item = Transaction> {
    [
        ("Patients", PATIENTS, Level::Patient),
        ("Studies", "/studies", Level::Study),
        ("Series", "/series", Level::Series),
        ("Instances", "/instances", Level::Instance),
        ("Study Series", "/studies/{study}/series", Level::Series),
        ("Study Instances", "/studies/{study}/instances", Level::Instance),
        ("Study Series Instances", "/studies/{study}/series/{series}/instances", Level::Instance),
    ]
    .into_iter()
    .map(|(what, path, level)| {
        let one = transaction(&format!("Count {what}"), Kind::Count, &format!("{path}/count"), qido::count);
        Transaction { handler: one.handler.layer(Extension(level)), ..one }
    })
}

fn retrievals(what: &str, path: &str) -> [Transaction; 7] {
    let below = |name: &str| format!("{path}/{name}");
    [
        transaction(&format!("Retrieve {what}"), Kind::Retrieve, path, wado::retrieve),
        transaction(&format!("Retrieve {what} Metadata"), Kind::Metadata, &below("metadata"), metadata::retrieve),
        transaction(&format!("Retrieve Rendered {what}"), Kind::Rendered, &below("rendered"), rendered::rendered),
        transaction(&format!("Retrieve {what} Thumbnail"), Kind::Thumbnail, &below("thumbnail"), rendered::thumbnail),
        transaction(
            &format!("Retrieve {what} Bulkdata"),
            Kind::AllBulkData,
            &below("bulkdata"),
            bulkdata::retrieve_all,
        ),
        transaction(
            &format!("Retrieve {what} Pixel Data"),
            Kind::AllBulkData,
            &below("pixeldata"),
            bulkdata::retrieve_pixel_data,
        ),
        transaction(&format!("Delete {what}"), Kind::Delete, path, wado::delete),
    ]
}

fn frames_and_bulk_data() -> [Transaction; 4] {
    let frames = format!("{INSTANCE}/frames/{{frames}}");
    let bulk_data = format!("{INSTANCE}/bulkdata/{{*path}}");
    [
        transaction("Retrieve Frames", Kind::Frames, &frames, frames::retrieve),
        transaction("Retrieve Rendered Frames", Kind::Rendered, &format!("{frames}/rendered"), rendered::rendered),
        transaction("Retrieve Frame Thumbnail", Kind::Thumbnail, &format!("{frames}/thumbnail"), rendered::thumbnail),
        transaction("Retrieve Bulkdata", Kind::BulkData, &bulk_data, bulkdata::retrieve),
    ]
}

/// Those of UPS-RS.
fn workitems_of() -> impl Iterator<Item = Transaction> {
    let subscriber = "/workitems/{workitem}/subscribers/{subscriber}";
    let suspend = format!("{subscriber}/suspend");
    let (state, cancel) = ("/workitems/{workitem}/state", "/workitems/{workitem}/cancelrequest");
    let by = |path: &str| format!("{path}/{{requester}}");
    let (act, set) = (Kind::ActOnWorkitem, Kind::ChangeWorkitemState);
    [
        transaction("Create Workitem", Kind::CreateWorkitem, "/workitems", workitems::create),
        transaction("Search for Workitems", Kind::SearchWorkitems, "/workitems", workitems::search),
        transaction("Retrieve Workitem", Kind::RetrieveWorkitem, "/workitems/{workitem}", workitems::retrieve),
        transaction("Update Workitem", act, "/workitems/{workitem}", workitems::update),
        transaction("Change Workitem State", set, state, workitems::change_state),
        transaction("Change Workitem State by a requester", set, &by(state), workitems::change_state),
        transaction("Request Cancellation", act, cancel, workitems::request_cancel),
        transaction("Request Cancellation by a requester", act, &by(cancel), workitems::request_cancel),
        transaction("Subscribe", Kind::Subscribe, subscriber, workitems::subscribe),
        transaction("Unsubscribe", Kind::Unsubscribe, subscriber, workitems::unsubscribe),
        transaction("Suspend Global Subscription", Kind::Subscribe, &suspend, workitems::suspend),
        transaction("Open Event Channel", Kind::OpenChannel, "/subscribers/{subscriber}", workitems::open),
    ]
    .into_iter()
    .map(|transaction| {
        let handler = transaction.handler.layer(DefaultBodyLimit::max(MAX_WORKITEM));
        Transaction { handler, ..transaction }
    })
}

/// Those of a kind of Non-Patient Instance (PS3.18 §12.1.1), which the handlers are told.
fn non_patient_of(kind: NonPatient) -> impl Iterator<Item = Transaction> {
    let resource = kind.resource();
    let (all, one) = (format!("/{resource}"), format!("/{resource}/{{object}}"));
    let bulk_data = format!("{one}/bulkdata/{{*path}}");
    let name = |does: &str| format!("{does} {resource}");
    [
        transaction(&name("Search for"), Kind::SearchNonPatient, &all, non_patient::search),
        transaction(&name("Retrieve"), Kind::RetrieveNonPatient, &one, non_patient::retrieve),
        transaction(&name("Retrieve Bulkdata of"), Kind::BulkData, &bulk_data, non_patient::bulk_data),
        transaction(&name("Store"), Kind::Store, &all, non_patient::store),
        transaction(&name("Store one of"), Kind::Store, &one, non_patient::store),
        transaction(&name("Delete"), Kind::Delete, &one, non_patient::delete),
    ]
    .into_iter()
    .map(move |transaction| Transaction {
        is_non_patient: true,
        handler: transaction.handler.layer(Extension(kind)),
        ..transaction
    })
}
