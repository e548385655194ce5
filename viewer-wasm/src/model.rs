//! The whole state of the viewer, and the messages and effects by which it changes and acts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use pacs_core::Uid;
use pacs_core::finding::{Finding, Report};
use pacs_core::pixel::Frame;
use serde_json::Value;

use crate::camera::{Camera, Placement};
use crate::devices::{Device, Devices};
use crate::frames::{FrameStore, Held};
use crate::i18n::Language;
use crate::series::{FrameKey, SeriesRow, Slice};
use crate::shading::Shading;
use crate::study_list::{Column, Filter, Sort, StudyRow};

/// Everything the screen is made from.
#[derive(Debug)]
pub struct Model {
    pub language: Language,
    /// Local date, `YYYYMMDD`.
    pub today: String,
    /// Host name this page came from, to tell people where to push to.
    pub host: String,
    pub session: Session,
    pub server: Option<Server>,
    /// Whether the server's events arrive; `None` until the first attempt has come out.
    pub live: Option<bool>,
    pub list: StudyList,
    pub viewer: Option<Viewer>,
    pub frames: FrameStore,
    /// Frames that may be on their way at once.
    pub capacity: usize,
    pub help: bool,
    /// The page of application entities, while it is open.
    pub devices: Option<Devices>,
    /// What the address names, to be opened once signed in.
    pub destination: Option<Destination>,
    /// Grows with every search and every opened study; an answer to an older one is dropped.
    pub epoch: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Session {
    /// Not asked yet.
    Unknown,
    SignedOut {
        notice: Option<Notice>,
    },
    SigningIn,
    SignedIn {
        user: String,
        is_admin: bool,
    },
}

/// What an address leads to, beside the study list.
#[derive(Debug, Clone, PartialEq)]
pub enum Destination {
    Study(Uid),
    Devices,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    WrongPassword,
    SessionEnded,
    Problem(Problem),
}

/// `GET /api/status`.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(default)]
pub struct Server {
    pub version: String,
    pub ae_title: String,
    pub insecure: bool,
    pub dicom_port: Option<u16>,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// No answer at all.
    Offline,
    /// HTTP status and what the problem+json said (RFC 9457).
    Status { status: u16, detail: String },
    /// An answer that cannot be read.
    Answer,
}

#[derive(Debug, Default)]
pub struct StudyList {
    pub filter: Filter,
    pub sort: Sort,
    pub rows: Vec<StudyRow>,
    pub loading: bool,
    pub problem: Option<Problem>,
    pub selected: Option<Uid>,
    /// Studies that came while the list was open.
    pub fresh: BTreeSet<Uid>,
    /// Studies asked for per request; grows by "load more".
    pub limit: usize,
    /// There may be more than `limit`.
    pub more: bool,
    /// The first answer has come.
    pub loaded: bool,
    pub epoch: u64,
    /// A reload waits for the archive to calm down.
    pub stale: bool,
    /// Filter and limit that `rows` answer to.
    pub shown_filter: Option<(Filter, usize)>,
}

/// An open study.
#[derive(Debug)]
pub struct Viewer {
    pub epoch: u64,
    pub study: Uid,
    pub series: Vec<Series>,
    pub problem: Option<Problem>,
    /// The series list has come.
    pub loaded: bool,
    pub active: Option<Uid>,
    /// Index of the slice looked at.
    pub at: usize,
    pub forward: bool,
    pub shading: Shading,
    pub inverted: bool,
    pub smooth: bool,
    pub camera: Camera,
    /// Size of the viewport in CSS pixels, and device pixels per CSS pixel.
    pub size: [f64; 2],
    pub pixel_ratio: f64,
    pub cine: Option<Cine>,
    /// Frames on their way or failed.
    pub loads: HashMap<FrameKey, Load>,
    /// Loads that failed since one went well: prefetching stops when the server does.
    pub failures: u32,
    pub reports: Vec<StoredReport>,
    pub show_findings: bool,
    pub selected_finding: Option<(Uid, u32)>,
    /// Where to go once its series is there.
    pub target: Option<FrameKey>,
    pub gesture: Gesture,
    /// A reload waits for the archive to calm down.
    pub stale: bool,
}

#[derive(Debug)]
pub struct Series {
    pub row: SeriesRow,
    pub slices: Slices,
}

#[derive(Debug)]
pub enum Slices {
    Unasked,
    Loading,
    Ready(Arc<[Slice]>),
    Failed(Problem),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Load {
    /// `by_server`: our own decoder gave up and the server decodes.
    Underway {
        by_server: bool,
        attempts: u32,
    },
    Failed {
        error: LoadError,
        attempts: u32,
    },
}

/// A report and the SR instance it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReport {
    pub sop_instance: Uid,
    pub report: Report,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cine {
    pub frames_per_second: u32,
    /// Grows with each start, so that a stopped film's timer does nothing.
    pub run: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gesture {
    /// Pointers that are down, where they were last.
    pub pointers: Vec<(i32, [f64; 2])>,
    pub drag: Option<Drag>,
    /// Scrolling that was too little for a slice yet, in CSS pixels.
    pub rest: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Drag {
    Window,
    /// About the point where it began.
    Zoom([f64; 2]),
    Pan,
    Scroll,
    Pinch,
}

/// Which drag a pointer that goes down begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Grip {
    Finger,
    Left,
    Middle,
    Right,
    /// Left with Shift.
    LeftShift,
    /// Left with Space.
    LeftSpace,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Msg {
    Fetched(Fetch, Result<Vec<Value>, Problem>),
    SignIn {
        user: String,
        password: String,
    },
    SignOut,
    SwitchLanguage,
    ToggleHelp,
    /// The address changed: back, forward, or at the start.
    Navigated(Option<Destination>),
    /// The day as the browser knows it.
    Day(String),
    Live(bool),
    Archive(ArchiveEvent),
    List(ListMsg),
    OpenStudy(Uid),
    CloseStudy,
    OpenDevices,
    CloseDevices,
    Devices(DevicesMsg),
    Reading(ReadingMsg),
    /// A frame came, for the study opened at `epoch`.
    Frame {
        epoch: u64,
        key: FrameKey,
        result: Result<Frame, LoadError>,
    },
}

/// Why a frame did not come.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadError {
    Fetch(Problem),
    /// Fetched, but not decoded here.
    Decode(String),
}

/// `GET /api/events`: something changed in the archive.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct ArchiveEvent {
    pub kind: String,
    pub study: Option<Uid>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ListMsg {
    Text(String),
    Dates(crate::study_list::Dates),
    Modality(&'static str),
    ClearFilter,
    Sort(Column),
    /// Marks the study `steps` rows on.
    Move(i64),
    Select(Uid),
    OpenSelected,
    LoadMore,
    /// Time to ask, if nothing newer was typed since.
    Ask {
        epoch: u64,
    },
    Reload,
}

/// Application entities are named by their AE title.
#[derive(Debug, Clone, PartialEq)]
pub enum DevicesMsg {
    Add,
    Change(String),
    Cancel,
    Save(Device),
    Remove(String),
    Call(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum ReadingMsg {
    OpenSeries(Uid),
    Scroll(i64),
    GoTo(usize),
    Wheel { delta: f64 },
    ZoomBy { factor: f64, at: [f64; 2] },
    Down { id: i32, at: [f64; 2], grip: Grip },
    Moved { id: i32, at: [f64; 2] },
    Up { id: i32 },
    Resized { size: [f64; 2], pixel_ratio: f64 },
    Shade(Shading),
    Invert,
    Smooth,
    Fit,
    OneToOne,
    Reset,
    ToggleCine,
    CineSpeed(u32),
    CineTick { run: u64 },
    ShowFindings,
    GoToFinding { report: Uid, number: u32 },
    NextFinding(i64),
    Reload { epoch: u64 },
}

/// A request for JSON; it comes back with its answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Fetch {
    Session,
    SignIn { user: String, password: String },
    SignOut,
    Status,
    Studies { epoch: u64, urls: Vec<String> },
    Series { epoch: u64, study: Uid },
    Metadata { epoch: u64, study: Uid, series: Uid },
    Devices,
    PutDevice(Box<Device>),
    RemoveDevice(String),
    Echo(String),
}

/// What the browser is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Fetch(Fetch),
    LoadFrame(FrameRequest),
    /// Forget the frames on their way.
    DropFrames,
    After {
        milliseconds: u32,
        message: Box<Msg>,
    },
    /// Show this address.
    Address(String),
    /// Keep the language for the next visit and tell the page.
    KeepLanguage(Language),
    Subscribe(bool),
    /// Keep the selected row in sight.
    RevealSelected,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FrameRequest {
    pub epoch: u64,
    pub key: FrameKey,
    pub url: String,
    pub image_json: Arc<str>,
    /// Ask for decoded pixels.
    pub by_server: bool,
}

impl Model {
    pub fn new(language: Language, host: String, budget: usize, capacity: usize) -> Self {
        Self {
            language,
            today: String::new(),
            host,
            session: Session::Unknown,
            server: None,
            live: None,
            list: StudyList { limit: crate::study_list::PAGE, ..StudyList::default() },
            viewer: None,
            frames: FrameStore::new(budget),
            capacity,
            help: false,
            devices: None,
            destination: None,
            epoch: 0,
        }
    }

    pub fn next_epoch(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    pub fn signed_in(&self) -> bool {
        matches!(self.session, Session::SignedIn { .. })
    }

    pub fn is_admin(&self) -> bool {
        matches!(self.session, Session::SignedIn { is_admin: true, .. })
    }

    /// The slice looked at and its pixels, if they are there.
    pub fn shown(&self) -> Option<(&Slice, &Held)> {
        let slice = self.viewer.as_ref()?.slice()?;
        Some((slice, self.frames.get(&slice.key)?))
    }
}

impl Viewer {
    pub fn new(study: Uid, epoch: u64) -> Self {
        Self {
            epoch,
            study,
            series: Vec::new(),
            problem: None,
            loaded: false,
            active: None,
            at: 0,
            forward: true,
            shading: Shading::Default,
            inverted: false,
            smooth: true,
            camera: Camera::default(),
            size: [0.0; 2],
            pixel_ratio: 1.0,
            cine: None,
            loads: HashMap::new(),
            failures: 0,
            reports: Vec::new(),
            show_findings: true,
            selected_finding: None,
            target: None,
            gesture: Gesture::default(),
            stale: false,
        }
    }

    pub fn active_series(&self) -> Option<&Series> {
        let active = self.active.as_ref()?;
        self.series.iter().find(|series| &series.row.series == active)
    }

    pub fn slices(&self) -> &[Slice] {
        match self.active_series().map(|series| &series.slices) {
            Some(Slices::Ready(slices)) => slices,
            _ => &[],
        }
    }

    pub fn slice(&self) -> Option<&Slice> {
        self.slices().get(self.at)
    }

    pub fn placement(&self) -> Option<Placement> {
        Some(self.camera.place(self.slice()?.extent()?, self.size))
    }

    pub fn findings(&self) -> impl Iterator<Item = (&StoredReport, &Finding)> {
        self.reports.iter().flat_map(|stored| stored.report.findings.iter().map(move |finding| (stored, finding)))
    }

    /// Whether the report's millimetres are this slice's: same frame of reference (PS3.3 C.7.4.1), or same series.
    pub fn applies(&self, report: &Report, slice: &Slice) -> bool {
        slice.frame_of_reference.as_ref() == Some(&report.frame_of_reference)
            || self.active.as_ref() == Some(&report.series)
    }

    /// Index of the slice of the active series on which a finding's centre lies.
    pub fn slice_of(&self, report: &Report, finding: &Finding) -> Option<usize> {
        let slices = self.slices();
        slices.iter().position(|slice| slice.shows(finding)).or_else(|| self.nearest(report, finding))
    }

    /// Number, from 1, of the image that a finding lies on: of the series it was made from where that is here, whatever
    /// series is looked at.
    pub fn image_number(&self, report: &Report, finding: &Finding) -> Option<usize> {
        let own = self.series.iter().find(|series| series.row.series == report.series);
        let index = match own.map(|series| &series.slices) {
            Some(Slices::Ready(slices)) => slices.iter().position(|slice| slice.shows(finding)),
            _ => None,
        };
        index.or_else(|| self.slice_of(report, finding)).map(|index| index + 1)
    }

    fn nearest(&self, report: &Report, finding: &Finding) -> Option<usize> {
        let distance = |slice: &Slice| {
            let plane = slice.plane.filter(|_| self.applies(report, slice))?;
            Some(plane.to_index(finding.center_mm).2.abs())
        };
        let distances = self.slices().iter().enumerate().filter_map(|(index, slice)| Some((index, distance(slice)?)));
        distances.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
    }
}
