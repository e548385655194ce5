//! Series of a study and the slices in them, read from QIDO-RS answers and WADO-RS metadata.

use std::cmp::Ordering;
use std::sync::Arc;

use pacs_core::finding::Finding;
use pacs_core::geometry::Plane;
use pacs_core::person_name::PersonName;
use pacs_core::pixel::{ImagePixel, ModalityLut, VoiLut};
use pacs_core::{Attributes, Tag, Uid, tags};
use serde_json::{Map, Value};

use crate::camera::{EdgeLetters, Extent};

/// Modalities whose objects are no images (PS3.3 C.7.3.1.1.1).
const WITHOUT_IMAGES: &[&str] = &[
    "SR",
    "PR",
    "KO",
    "AU",
    "DOC",
    "ECG",
    "EPS",
    "FID",
    "HC",
    "HD",
    "M3D",
    "PLAN",
    "REG",
    "RESP",
    "RTPLAN",
    "RTRECORD",
    "RTSTRUCT",
    "RWV",
    "SMR",
    "STAIN",
    "TEXTUREMAP",
    "ASMT",
    "ANN",
];

/// A series as the rail shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesRow {
    pub series: Uid,
    pub modality: String,
    pub number: Option<i64>,
    pub description: String,
    pub instances: u32,
}

impl SeriesRow {
    /// `None` if the answer has no valid Series Instance UID.
    pub fn of(attributes: Attributes<'_>) -> Option<Self> {
        let text = |tag| attributes.text(tag).unwrap_or_default().trim().to_owned();
        Some(Self {
            series: attributes.text(tags::SERIES_INSTANCE_UID)?.parse().ok()?,
            modality: text(tags::MODALITY),
            number: attributes.integer(tags::SERIES_NUMBER),
            description: text(tags::SERIES_DESCRIPTION),
            instances: attributes
                .integer(tags::NUMBER_OF_SERIES_RELATED_INSTANCES)
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or_default(),
        })
    }

    pub fn may_have_images(&self) -> bool {
        !WITHOUT_IMAGES.contains(&self.modality.as_str())
    }

    /// Drawn from other images (segmentations, dose): shown after those.
    fn is_derived(&self) -> bool {
        matches!(self.modality.as_str(), "SEG" | "RTDOSE")
    }

    pub fn is_report(&self) -> bool {
        self.modality == "SR"
    }
}

/// The rows of a QIDO-RS answer: images before what was made from them, documents last, then by series number.
pub fn rows(answer: &Value) -> Vec<SeriesRow> {
    let items = answer.as_array().map_or(&[][..], Vec::as_slice);
    let mut rows: Vec<_> = items.iter().filter_map(Attributes::of).filter_map(SeriesRow::of).collect();
    let order = |row: &SeriesRow| (!row.may_have_images(), row.is_derived(), row.number.unwrap_or(i64::MAX));
    rows.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.series.cmp(&b.series)));
    rows
}

/// One frame of one instance; frames count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameKey {
    pub sop_instance: Uid,
    pub frame: u32,
}

/// What the corners of the viewport say about an instance.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    pub patient_name: PersonName,
    pub patient_id: String,
    pub birth_date: String,
    pub sex: String,
    pub study_date: String,
    pub study_time: String,
    pub study_description: String,
    pub institution: String,
    pub series_description: String,
    pub series_number: Option<i64>,
    pub modality: String,
    pub thickness_mm: Option<f64>,
    /// Lossy Image Compression (0028,2110) is 01; PS3.3 C.7.6.1.1.5 wants readers told.
    pub lossy: bool,
}

impl Facts {
    fn of(attributes: Attributes<'_>) -> Self {
        let text = |tag| attributes.text(tag).unwrap_or_default().trim().to_owned();
        Self {
            patient_name: attributes.person_name(tags::PATIENT_NAME).unwrap_or_default(),
            patient_id: text(tags::PATIENT_ID),
            birth_date: text(tags::PATIENT_BIRTH_DATE),
            sex: text(tags::PATIENT_SEX),
            study_date: text(tags::STUDY_DATE),
            study_time: text(tags::STUDY_TIME),
            study_description: text(tags::STUDY_DESCRIPTION),
            institution: text(tags::INSTITUTION_NAME),
            series_description: text(tags::SERIES_DESCRIPTION),
            series_number: attributes.integer(tags::SERIES_NUMBER),
            modality: text(tags::MODALITY),
            thickness_mm: attributes.number(tags::SLICE_THICKNESS),
            lossy: attributes.text(tags::LOSSY_IMAGE_COMPRESSION) == Some("01"),
        }
    }
}

/// Millimetres between pixel centres and where they hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spacing {
    pub row_mm: f64,
    pub column_mm: f64,
    /// Imager Pixel Spacing: true at the detector, larger than in the patient (PS3.3 C.8.11.1.1).
    pub at_detector: bool,
}

/// One image of the stack.
#[derive(Debug, Clone)]
pub struct Slice {
    pub key: FrameKey,
    pub instance_number: i64,
    pub facts: Arc<Facts>,
    pub frame_of_reference: Option<Uid>,
    /// How the pixels are laid out, or why they cannot be.
    pub image: Result<Arc<ImagePixel>, String>,
    /// The attributes `image` was read from, as DICOM JSON, for the worker that decodes.
    pub image_json: Arc<str>,
    pub plane: Option<Plane>,
    pub edges: EdgeLetters,
    pub spacing: Option<Spacing>,
    pub pixel_aspect: f64,
    pub modality_lut: ModalityLut,
    pub voi_luts: Vec<VoiLut>,
}

impl Slice {
    pub fn extent(&self) -> Option<Extent> {
        let image = self.image.as_ref().ok()?;
        Some(Extent { columns: f64::from(image.columns), rows: f64::from(image.rows), pixel_aspect: self.pixel_aspect })
    }

    /// Whether a finding's report names this image, or this frame of it.
    pub fn shows(&self, finding: &Finding) -> bool {
        self.key.sop_instance == finding.sop_instance && finding.frame.is_none_or(|frame| frame == self.key.frame)
    }
}

/// The slices of a series in reading order. Instances that say they belong to another study or series are left out:
/// showing them would put one patient's image under another's name.
pub fn slices(metadata: &Value, study: &Uid, series: &Uid) -> Vec<Slice> {
    let instances = metadata.as_array().map_or(&[][..], Vec::as_slice);
    let belongs = |attributes: &Attributes<'_>| {
        attributes.text(tags::STUDY_INSTANCE_UID) == Some(study.as_str())
            && attributes.text(tags::SERIES_INSTANCE_UID) == Some(series.as_str())
    };
    let mut slices: Vec<Slice> =
        instances.iter().filter(|i| Attributes::of(i).is_some_and(|a| belongs(&a))).flat_map(frames).collect();
    sort(&mut slices);
    slices
}

/// Frames of one instance are not more than this, whatever it claims.
const MOST_FRAMES: u32 = 20_000;

fn frames(instance: &Value) -> Vec<Slice> {
    let Some(attributes) = Attributes::of(instance) else { return Vec::new() };
    let Some(sop_instance) = attributes.text(tags::SOP_INSTANCE_UID).and_then(|uid| uid.parse::<Uid>().ok()) else {
        return Vec::new();
    };
    if !attributes.contains(tags::ROWS) {
        return Vec::new();
    }
    let image = ImagePixel::of(attributes).map(Arc::new).map_err(|e| e.to_string());
    let count = image.as_ref().map_or(1, |image| image.frames.clamp(1, MOST_FRAMES));
    let facts = Arc::new(Facts::of(attributes));
    let image_json: Arc<str> = image_attributes(instance).into();
    let frame_of_reference = attributes.text(tags::FRAME_OF_REFERENCE_UID).and_then(|uid| uid.parse().ok());
    let frame = |index: u32| {
        let plane = Plane::of(attributes, index);
        let spacing = spacing(attributes, plane.as_ref());
        Slice {
            key: FrameKey { sop_instance: sop_instance.clone(), frame: index + 1 },
            instance_number: attributes.integer(tags::INSTANCE_NUMBER).unwrap_or_default(),
            facts: facts.clone(),
            frame_of_reference: frame_of_reference.clone(),
            image: image.clone(),
            image_json: image_json.clone(),
            edges: edges(attributes, plane.as_ref()),
            pixel_aspect: pixel_aspect(attributes, spacing),
            plane,
            spacing,
            modality_lut: ModalityLut::of(attributes, index),
            voi_luts: VoiLut::of(attributes, index),
        }
    };
    (0..count).map(frame).collect()
}

/// The Image Pixel module and what goes with it, as JSON text (groups 0028 and 7FE0).
fn image_attributes(instance: &Value) -> String {
    let members = instance.as_object().into_iter().flatten();
    let wanted = members.filter(|(key, _)| key.starts_with("0028") || key.starts_with("7FE0"));
    Value::Object(wanted.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>()).to_string()
}

fn spacing(attributes: Attributes<'_>, plane: Option<&Plane>) -> Option<Spacing> {
    if let Some(plane) = plane {
        return Some(Spacing { row_mm: plane.row_spacing_mm, column_mm: plane.column_spacing_mm, at_detector: false });
    }
    let read = |tag: Tag, at_detector| match attributes.numbers(tag)[..] {
        [row_mm, column_mm] if row_mm > 0.0 && column_mm > 0.0 => Some(Spacing { row_mm, column_mm, at_detector }),
        _ => None,
    };
    read(tags::PIXEL_SPACING, false).or_else(|| read(tags::IMAGER_PIXEL_SPACING, true))
}

/// Height over width of a pixel: from the spacing, else Pixel Aspect Ratio (vertical, horizontal; PS3.3 C.7.6.3.1.7).
fn pixel_aspect(attributes: Attributes<'_>, spacing: Option<Spacing>) -> f64 {
    let ratio = match (spacing, &attributes.numbers(tags::PIXEL_ASPECT_RATIO)[..]) {
        (Some(spacing), _) => spacing.row_mm / spacing.column_mm,
        (None, [vertical, horizontal]) => vertical / horizontal,
        _ => 1.0,
    };
    if ratio.is_finite() && (0.01..=100.0).contains(&ratio) { ratio } else { 1.0 }
}

fn edges(attributes: Attributes<'_>, plane: Option<&Plane>) -> EdgeLetters {
    match (plane, &attributes.texts(tags::PATIENT_ORIENTATION)[..]) {
        (Some(plane), _) => EdgeLetters::of_plane(plane),
        (None, [row, column]) => EdgeLetters::of_directions(row, column),
        _ => EdgeLetters::default(),
    }
}

/// Sorts by position along the normal where all planes are parallel, else by Instance Number; the direction is that of
/// the instance numbers, and from the head where they do not tell.
fn sort(slices: &mut [Slice]) {
    let number = |slice: &Slice| (slice.instance_number, slice.key.frame);
    let by_number = |a: &Slice, b: &Slice| number(a).cmp(&number(b)).then_with(|| a.key.cmp(&b.key));
    let Some(distances) = distances(slices) else {
        slices.sort_by(by_number);
        return;
    };
    let sign = if runs_backwards(slices, &distances) { -1.0 } else { 1.0 };
    let Some(normal) = slices.first().and_then(|slice| slice.plane).map(|plane| plane.normal()) else { return };
    let position = |slice: &Slice| slice.plane.map_or(0.0, |plane| sign * dot(normal, plane.position));
    // Positions within 0.01 mm are the same place (repeated acquisitions): there the number decides.
    let place = |slice: &Slice| (position(slice) * 100.0).round();
    slices.sort_by(|a, b| place(a).partial_cmp(&place(b)).unwrap_or(Ordering::Equal).then_with(|| by_number(a, b)));
}

/// Distances along the first slice's normal; `None` unless there are several places on parallel planes.
fn distances(slices: &[Slice]) -> Option<Vec<f64>> {
    let normal = slices.first()?.plane?.normal();
    let distance = |slice: &Slice| {
        let plane = slice.plane?;
        (dot(normal, plane.normal()) > 0.999).then(|| dot(normal, plane.position))
    };
    let distances: Vec<f64> = slices.iter().map(distance).collect::<Option<_>>()?;
    let first = *distances.first()?;
    distances.iter().any(|d| (d - first).abs() > 0.01).then_some(distances)
}

fn runs_backwards(slices: &[Slice], distances: &[f64]) -> bool {
    let numbers: Vec<f64> =
        slices.iter().map(|s| s.instance_number as f64 * f64::from(MOST_FRAMES) + f64::from(s.key.frame)).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_number, mean_distance) = (mean(&numbers), mean(distances));
    let covariance: f64 = numbers.iter().zip(distances).map(|(n, d)| (n - mean_number) * (d - mean_distance)).sum();
    match covariance.partial_cmp(&0.0) {
        Some(Ordering::Less) => true,
        Some(Ordering::Greater) => false,
        _ => slices.first().and_then(|slice| slice.plane).is_some_and(|plane| plane.normal()[2] > 0.0),
    }
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    pub const STUDY: &str = "1.2.3";
    pub const SERIES: &str = "1.2.3.4";

    pub fn uid(text: &str) -> Uid {
        text.parse().expect("a UID")
    }

    /// Metadata of a small axial CT image.
    pub fn ct(number: i64, z: f64) -> Value {
        json!({
            "00080018": {"vr": "UI", "Value": [format!("1.2.3.4.{number}")]},
            "00080060": {"vr": "CS", "Value": ["CT"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Zhang^San", "Ideographic": "张^三"}]},
            "0020000D": {"vr": "UI", "Value": [STUDY]},
            "0020000E": {"vr": "UI", "Value": [SERIES]},
            "00200013": {"vr": "IS", "Value": [number]},
            "00200032": {"vr": "DS", "Value": [-10.0, -20.0, z]},
            "00200037": {"vr": "DS", "Value": [1, 0, 0, 0, 1, 0]},
            "00200052": {"vr": "UI", "Value": ["1.2.9"]},
            "00280002": {"vr": "US", "Value": [1]},
            "00280004": {"vr": "CS", "Value": ["MONOCHROME2"]},
            "00280010": {"vr": "US", "Value": [4]},
            "00280011": {"vr": "US", "Value": [6]},
            "00280030": {"vr": "DS", "Value": [0.5, 0.5]},
            "00280100": {"vr": "US", "Value": [16]},
            "00280101": {"vr": "US", "Value": [16]},
            "00280102": {"vr": "US", "Value": [15]},
            "00280103": {"vr": "US", "Value": [1]},
            "00281050": {"vr": "DS", "Value": [40]},
            "00281051": {"vr": "DS", "Value": [400]},
            "00281052": {"vr": "DS", "Value": [-1024]},
            "00281053": {"vr": "DS", "Value": [1]}
        })
    }

    fn numbers(metadata: Value) -> Vec<i64> {
        slices(&metadata, &uid(STUDY), &uid(SERIES)).iter().map(|slice| slice.instance_number).collect()
    }

    fn without(mut instance: Value, key: &str) -> Value {
        instance.as_object_mut().expect("an object").remove(key);
        instance
    }

    #[test]
    fn slices_sort_by_position_in_the_direction_of_their_numbers() {
        assert_eq!(numbers(json!([ct(2, 5.0), ct(3, 2.5), ct(1, 7.5)])), [1, 2, 3]);
        assert_eq!(numbers(json!([ct(2, 5.0), ct(3, 7.5), ct(1, 2.5)])), [1, 2, 3]);
        // A wrong number does not move a slice out of its place.
        assert_eq!(numbers(json!([ct(1, 1.0), ct(9, 2.0), ct(3, 3.0), ct(4, 4.0), ct(15, 5.0)])), [1, 9, 3, 4, 15]);
    }

    #[test]
    fn slices_without_a_place_sort_by_number() {
        let placeless = |number, z| without(ct(number, z), "00200032");
        assert_eq!(numbers(json!([placeless(3, 1.0), placeless(1, 2.0), ct(2, 3.0)])), [1, 2, 3]);
    }

    #[test]
    fn without_numbers_the_head_comes_first() {
        let numberless = |number, z| without(ct(number, z), "00200013");
        let metadata = json!([numberless(1, 1.0), numberless(2, 3.0), numberless(3, 2.0)]);
        let slices = slices(&metadata, &uid(STUDY), &uid(SERIES));
        let z: Vec<_> = slices.iter().filter_map(|slice| slice.plane).map(|plane| plane.position[2]).collect();
        assert_eq!(z, [3.0, 2.0, 1.0]);
    }

    #[test]
    fn an_instance_of_another_study_is_never_shown() {
        let mut foreign = ct(2, 2.0);
        foreign["0020000D"]["Value"][0] = json!("9.9.9");
        assert_eq!(numbers(json!([ct(1, 1.0), foreign])), [1]);
    }

    #[test]
    fn a_slice_knows_its_spacing_window_and_sides() {
        let slices = slices(&json!([ct(1, 1.0)]), &uid(STUDY), &uid(SERIES));
        let slice = &slices[0];
        assert_eq!(slice.spacing, Some(Spacing { row_mm: 0.5, column_mm: 0.5, at_detector: false }));
        assert_eq!(slice.edges.right, "L");
        assert_eq!(slice.voi_luts.len(), 1);
        assert_eq!(slice.facts.patient_name.display(), "张 三");
        assert!(slice.image_json.contains("00280010") && !slice.image_json.contains("00100010"));
    }

    #[test]
    fn a_radiograph_says_its_spacing_is_the_detectors() {
        let mut radiograph = without(without(ct(1, 1.0), "00200037"), "00280030");
        radiograph["00181164"] = json!({"vr": "DS", "Value": [0.2, 0.1]});
        radiograph["00200020"] = json!({"vr": "CS", "Value": ["L", "F"]});
        let slices = slices(&json!([radiograph]), &uid(STUDY), &uid(SERIES));
        assert_eq!(slices[0].spacing, Some(Spacing { row_mm: 0.2, column_mm: 0.1, at_detector: true }));
        assert_eq!(slices[0].pixel_aspect, 2.0);
        assert_eq!((slices[0].edges.left.as_str(), slices[0].edges.top.as_str()), ("R", "H"));
    }

    #[test]
    fn multi_frame_instances_give_a_slice_a_frame_and_reports_give_none() {
        let mut cine = without(ct(1, 1.0), "00200032");
        cine["00280008"] = json!({"vr": "IS", "Value": [3]});
        let frames = slices(&json!([cine, without(ct(2, 1.0), "00280010")]), &uid(STUDY), &uid(SERIES));
        assert_eq!(frames.iter().map(|slice| slice.key.frame).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn the_rail_lists_images_before_documents() {
        let row = |uid: &str, modality: &str, number: i64| {
            json!({
                "0020000E": {"vr": "UI", "Value": [uid]},
                "00080060": {"vr": "CS", "Value": [modality]},
                "00200011": {"vr": "IS", "Value": [number]}
            })
        };
        let rows = rows(
            &json!([row("1.1", "SR", 1), row("1.4", "SEG", 1), row("1.3", "CT", 3), row("1.2", "CT", 2), {"x": 1}]),
        );
        assert_eq!(rows.iter().map(|row| row.series.as_str()).collect::<Vec<_>>(), ["1.2", "1.3", "1.4", "1.1"]);
    }
}
