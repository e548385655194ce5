//! A small chest, drawn in patient millimetres, and a scanner that slices it in any direction.

use pacs_core::{TransferSyntax, Uid, VR, part10::write_meta, query::attribute, tags};
use std::collections::BTreeMap;

pub const STUDY: &str = "1.2.826.0.1.3680043.10.1.1";
pub const SERIES: &str = "1.2.826.0.1.3680043.10.1.2";
const CT_IMAGE_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2";

const SIDE: u16 = 208;
const SLICES: usize = 66;

/// Solid spheres: centre (LPS mm), diameter mm.
pub const NODULES: [([f64; 3], f64); 2] = [([-46.0, 6.0, -14.0], 12.0), ([41.0, -17.0, 22.0], 10.0)];

/// How the phantom is scanned: directions of rows, columns and slices in the patient, and whether the images are
/// numbered against the order of their positions.
#[derive(Clone, Copy)]
pub struct Scan {
    pub row: [f64; 3],
    pub column: [f64; 3],
    pub slice: [f64; 3],
    pub reversed: bool,
    pub gap_mm: f64,
    pub nodules: bool,
}

impl Scan {
    pub const AXIAL: Self = Self {
        row: [1.0, 0.0, 0.0],
        column: [0.0, 1.0, 0.0],
        slice: [0.0, 0.0, 1.0],
        reversed: false,
        gap_mm: 2.0,
        nodules: true,
    };

    /// The Part 10 files, one an image.
    pub fn files(&self) -> Vec<Vec<u8>> {
        (0..SLICES).map(|index| self.file(index)).collect()
    }

    fn file(&self, index: usize) -> Vec<u8> {
        let half = f64::from(SIDE - 1) / 2.0;
        let along = (index as f64 - (SLICES - 1) as f64 / 2.0) * self.gap_mm;
        let at = |c: f64, r: f64| std::array::from_fn(|i| along * self.slice[i] + c * self.row[i] + r * self.column[i]);
        let mut pixels = Vec::with_capacity(usize::from(SIDE).pow(2) * 2);
        for r in 0..SIDE {
            for c in 0..SIDE {
                let hu = self.hu(at(f64::from(c) - half, f64::from(r) - half)) + grain(index, r, c);
                pixels.extend(((hu + 1024.0).clamp(0.0, 4095.0) as u16).to_le_bytes());
            }
        }
        let number = if self.reversed { SLICES - index } else { index + 1 };
        part10(number, at(-half, -half), (self.row, self.column), &pixels)
    }

    fn hu(&self, p: [f64; 3]) -> f64 {
        let ellipse = |x: f64, y: f64, a: f64, b: f64| ((x / a).hypot(y / b) - 1.0) * a.min(b);
        let lung = |x: f64| ellipse(p[0] - x, p[1], 34.0, 52.0).max(p[2].abs() - 58.0);
        let mut hu = blend(-1000.0, 40.0, ellipse(p[0], p[1], 98.0, 74.0));
        hu = blend(hu, -860.0, lung(-46.0).min(lung(46.0)));
        for (center, diameter) in NODULES.iter().filter(|_| self.nodules) {
            let distance = (0..3).map(|i| (p[i] - center[i]).powi(2)).sum::<f64>().sqrt();
            hu = blend(hu, 40.0, distance - diameter / 2.0);
        }
        hu
    }
}

/// `inner` where the signed distance (mm) is negative, with a soft edge of 1 mm.
fn blend(outer: f64, inner: f64, distance: f64) -> f64 {
    let part = (0.5 - distance).clamp(0.0, 1.0);
    outer + (inner - outer) * part
}

/// Noise of about 20 HU, the same each time.
fn grain(index: usize, r: u16, c: u16) -> f64 {
    let seed = (index as u64) << 32 | u64::from(r) << 16 | u64::from(c);
    let mixed = (seed ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0x94D0_49BB_1331_11EB) >> 40;
    (mixed as f64 / 16_777_216.0 - 0.5) * 70.0
}

fn part10(number: usize, position: [f64; 3], (row, column): ([f64; 3], [f64; 3]), pixels: &[u8]) -> Vec<u8> {
    let decimals = |values: &[f64]| values.iter().map(|v| format!("{v:.6}")).collect::<Vec<_>>().join("\\");
    let sop_instance = format!("{SERIES}.{number}");
    let texts = BTreeMap::from([
        (tags::SPECIFIC_CHARACTER_SET, "ISO_IR 192".to_owned()),
        (tags::IMAGE_TYPE, "ORIGINAL\\PRIMARY\\AXIAL".to_owned()),
        (tags::SOP_CLASS_UID, CT_IMAGE_STORAGE.to_owned()),
        (tags::SOP_INSTANCE_UID, sop_instance.clone()),
        (tags::STUDY_DATE, "20260102".to_owned()),
        (tags::STUDY_TIME, "101112".to_owned()),
        (tags::MODALITY, "CT".to_owned()),
        (tags::PATIENT_NAME, "Phantom^Small=体模^小".to_owned()),
        (tags::PATIENT_ID, "PHANTOM".to_owned()),
        (tags::STUDY_INSTANCE_UID, STUDY.to_owned()),
        (tags::SERIES_INSTANCE_UID, SERIES.to_owned()),
        (tags::INSTANCE_NUMBER, number.to_string()),
        (tags::IMAGE_POSITION_PATIENT, decimals(&position)),
        (tags::IMAGE_ORIENTATION_PATIENT, decimals(&[row, column].concat())),
        (tags::FRAME_OF_REFERENCE_UID, format!("{SERIES}.0")),
        (tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME2".to_owned()),
        (tags::PIXEL_SPACING, "1\\1".to_owned()),
        (tags::RESCALE_INTERCEPT, "-1024".to_owned()),
        (tags::RESCALE_SLOPE, "1".to_owned()),
    ]);
    let numbers = [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, SIDE),
        (tags::COLUMNS, SIDE),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 12),
        (tags::HIGH_BIT, 11),
        (tags::PIXEL_REPRESENTATION, 0),
    ];
    let mut elements: BTreeMap<_, (VR, Vec<u8>)> = BTreeMap::new();
    for (tag, text) in texts {
        elements.insert(tag, (vr(tag), text.into_bytes()));
    }
    for (tag, number) in numbers {
        elements.insert(tag, (VR::US, number.to_le_bytes().to_vec()));
    }
    let uid = |text: &str| text.parse::<Uid>().expect("a UID");
    let mut file =
        write_meta(&uid(CT_IMAGE_STORAGE), &uid(&sop_instance), &TransferSyntax::explicit_little(), Some("TEST"));
    for (tag, (vr, value)) in elements {
        let pad = if vr == VR::UI { 0 } else { b' ' };
        file.extend([tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat());
        file.extend(vr.to_string().as_bytes());
        file.extend(u16::try_from(value.len().next_multiple_of(2)).expect("a short value").to_le_bytes());
        file.extend(&value);
        file.extend((value.len() % 2 == 1).then_some(pad));
    }
    file.extend(b"\xe0\x7f\x10\x00OW\0\0");
    file.extend(u32::try_from(pixels.len()).expect("a short value").to_le_bytes());
    file.extend(pixels);
    file
}

fn vr(tag: pacs_core::Tag) -> VR {
    match tag {
        tags::IMAGE_POSITION_PATIENT
        | tags::IMAGE_ORIENTATION_PATIENT
        | tags::PIXEL_SPACING
        | tags::RESCALE_INTERCEPT
        | tags::RESCALE_SLOPE => VR::DS,
        tags::FRAME_OF_REFERENCE_UID => VR::UI,
        tags::IMAGE_TYPE | tags::PHOTOMETRIC_INTERPRETATION | tags::SPECIFIC_CHARACTER_SET => VR::CS,
        indexed => attribute(indexed).map_or(VR::CS, |attribute| attribute.vr),
    }
}
