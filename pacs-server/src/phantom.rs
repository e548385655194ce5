//! A deterministic synthetic chest CT with planted nodules.
//!
//! Body, lungs, heart, ribs, airways and a branching vessel tree are analytic shapes in patient millimetres (LPS);
//! noise is added on top. The same [`Phantom`] gives the same bytes: UIDs are hashed from its seed, dates are fixed.

use anyhow::Context;
use dicom_core::{DataElement, PrimitiveValue, VR, dicom_value};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use pacs_core::{Uid, sop_class::CT_IMAGE_STORAGE, tags, transfer_syntax::EXPLICIT_VR_LITTLE_ENDIAN};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};

/// A planted nodule: a solid ball.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nodule {
    /// Patient millimetres, LPS.
    pub center_mm: [f64; 3],
    pub diameter_mm: f64,
}

/// What to make.
#[derive(Debug, Clone)]
pub struct Phantom {
    pub seed: u64,
    /// DICOM person name, e.g. `Zhang^Wei=张^伟`.
    pub patient_name: String,
    pub patient_id: String,
    pub sex: &'static str,
    pub birth_date: &'static str,
    pub study_description: String,
    /// Rows and columns.
    pub size: u16,
    pub slices: u16,
    pub nodules: Vec<Nodule>,
}

const FIELD_OF_VIEW_MM: f64 = 380.0;
const HEIGHT_MM: f64 = 290.0;
const NOISE_HU: f64 = 18.0;
/// Nodules of the demonstration: patient millimetres, LPS, and diameter.
const PLANTED: [([f64; 3], f64); 3] =
    [([-78.0, -20.0, -120.0], 14.0), ([82.0, 18.0, -150.0], 10.0), ([-92.0, 22.0, -165.0], 18.0)];

impl Phantom {
    /// The studies of `pacs demo`: one patient with a Chinese name, one with an English one.
    pub fn demonstration() -> Vec<Self> {
        let nodules = PLANTED.map(|(center_mm, diameter_mm)| Nodule { center_mm, diameter_mm });
        let chinese = Self {
            seed: 1,
            patient_name: "Zhang^Xiaoming=张^晓明".to_owned(),
            patient_id: "DEMO-0001".to_owned(),
            sex: "M",
            birth_date: "19620314",
            study_description: "胸部CT平扫 Chest CT (synthetic)".to_owned(),
            size: 512,
            slices: 145,
            nodules: nodules.to_vec(),
        };
        let english = Self {
            seed: 2,
            patient_name: "Doe^Jane".to_owned(),
            patient_id: "DEMO-0002".to_owned(),
            sex: "F",
            birth_date: "19710902",
            study_description: "Chest CT (synthetic)".to_owned(),
            size: 256,
            nodules: nodules[..1].to_vec(),
            ..chinese.clone()
        };
        vec![chinese, english]
    }

    pub fn study_uid(&self) -> Uid {
        self.uid("study")
    }

    pub fn series_uid(&self) -> Uid {
        self.uid("series")
    }

    fn uid(&self, what: &str) -> Uid {
        let digest = Sha256::digest(format!(
            "yinghai phantom|{}|{}|{}|{}|{what}",
            self.patient_id, self.seed, self.size, self.slices
        ));
        let number = digest.iter().take(15).fold(0u128, |n, byte| n << 8 | u128::from(*byte));
        Uid::from_uuid(number)
    }

    fn slice_gap_mm(&self) -> f64 {
        HEIGHT_MM / f64::from(self.slices)
    }

    /// Slice `index` (from 0, head first) as a Part 10 file, explicit VR little endian.
    pub fn slice(&self, index: u16) -> anyhow::Result<Vec<u8>> {
        let chest = Chest::new(self);
        self.slice_of(&chest, index)
    }

    /// All slices, head first; `each` gets index and file.
    pub fn slices(&self, mut each: impl FnMut(u16, Vec<u8>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let chest = Chest::new(self);
        (0..self.slices).try_for_each(|index| each(index, self.slice_of(&chest, index)?))
    }

    fn slice_of(&self, chest: &Chest, index: u16) -> anyhow::Result<Vec<u8>> {
        let spacing = FIELD_OF_VIEW_MM / f64::from(self.size);
        let first = -FIELD_OF_VIEW_MM / 2.0 + spacing / 2.0;
        let z = -f64::from(index) * self.slice_gap_mm();
        let mut noise = StdRng::seed_from_u64(self.seed << 20 | u64::from(index));
        let mut pixels = Vec::with_capacity(usize::from(self.size).pow(2));
        let plane = chest.plane(z, spacing);
        for row in 0..self.size {
            let y = first + f64::from(row) * spacing;
            for column in 0..self.size {
                let x = first + f64::from(column) * spacing;
                let hu = plane.hu(x, y) + NOISE_HU * gaussian(&mut noise);
                pixels.push((hu + 1024.0).clamp(0.0, 4095.0) as u16);
            }
        }
        let object = self.attributes(index, [first, first, z], spacing, pixels);
        let meta = FileMetaTableBuilder::new().transfer_syntax(EXPLICIT_VR_LITTLE_ENDIAN);
        let mut file = Vec::new();
        object.with_meta(meta).context("file meta information")?.write_all(&mut file).context("writing a slice")?;
        Ok(file)
    }

    fn attributes(&self, index: u16, position: [f64; 3], spacing: f64, pixels: Vec<u16>) -> InMemDicomObject {
        let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
        let number = |tag, value: u16| DataElement::new(tag, VR::US, dicom_value!(U16, [value]));
        let [x, y, z] = position;
        let gap = self.slice_gap_mm();
        let mut elements = vec![
            text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
            text(tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY\\AXIAL"),
            text(tags::SOP_CLASS_UID, VR::UI, CT_IMAGE_STORAGE),
            text(tags::SOP_INSTANCE_UID, VR::UI, self.uid(&format!("slice {index}")).as_str()),
            text(tags::ACCESSION_NUMBER, VR::SH, &format!("DEMO{:04}", self.seed)),
            text(tags::MODALITY, VR::CS, "CT"),
            text(tags::MANUFACTURER, VR::LO, "Yinghai"),
            text(tags::MANUFACTURER_MODEL_NAME, VR::LO, "synthetic chest"),
            text(tags::REFERRING_PHYSICIAN_NAME, VR::PN, ""),
            text(tags::STUDY_DESCRIPTION, VR::LO, &self.study_description),
            text(tags::SERIES_DESCRIPTION, VR::LO, "Synthetic chest, lung"),
            text(tags::PATIENT_NAME, VR::PN, &self.patient_name),
            text(tags::PATIENT_ID, VR::LO, &self.patient_id),
            text(tags::PATIENT_BIRTH_DATE, VR::DA, self.birth_date),
            text(tags::PATIENT_SEX, VR::CS, self.sex),
            text(tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
            text(tags::SLICE_THICKNESS, VR::DS, &format!("{gap:.4}")),
            text(tags::KVP, VR::DS, "120"),
            text(tags::PATIENT_POSITION, VR::CS, "HFS"),
            text(tags::STUDY_INSTANCE_UID, VR::UI, self.study_uid().as_str()),
            text(tags::SERIES_INSTANCE_UID, VR::UI, self.series_uid().as_str()),
            text(tags::STUDY_ID, VR::SH, "1"),
            text(tags::SERIES_NUMBER, VR::IS, "2"),
            text(tags::ACQUISITION_NUMBER, VR::IS, "1"),
            text(tags::INSTANCE_NUMBER, VR::IS, &(index + 1).to_string()),
            text(tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("{x:.4}\\{y:.4}\\{z:.4}")),
            text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
            text(tags::FRAME_OF_REFERENCE_UID, VR::UI, self.uid("frame of reference").as_str()),
            text(tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
            text(tags::SLICE_LOCATION, VR::DS, &format!("{z:.4}")),
            number(tags::SAMPLES_PER_PIXEL, 1),
            text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            number(tags::ROWS, self.size),
            number(tags::COLUMNS, self.size),
            text(tags::PIXEL_SPACING, VR::DS, &format!("{spacing:.6}\\{spacing:.6}")),
            number(tags::BITS_ALLOCATED, 16),
            number(tags::BITS_STORED, 12),
            number(tags::HIGH_BIT, 11),
            number(tags::PIXEL_REPRESENTATION, 0),
            text(tags::WINDOW_CENTER, VR::DS, "-600\\40"),
            text(tags::WINDOW_WIDTH, VR::DS, "1500\\400"),
            text(tags::WINDOW_CENTER_WIDTH_EXPLANATION, VR::LO, "LUNG\\MEDIASTINUM"),
            text(tags::RESCALE_INTERCEPT, VR::DS, "-1024"),
            text(tags::RESCALE_SLOPE, VR::DS, "1"),
            text(tags::RESCALE_TYPE, VR::LO, "HU"),
        ];
        for (date, time) in DATES_AND_TIMES {
            elements.push(text(date, VR::DA, "20260105"));
            elements.push(text(time, VR::TM, "093000"));
        }
        elements.push(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into())));
        InMemDicomObject::from_element_iter(elements)
    }
}

const DATES_AND_TIMES: [(dicom_core::Tag, dicom_core::Tag); 4] = [
    (tags::STUDY_DATE, tags::STUDY_TIME),
    (tags::SERIES_DATE, tags::SERIES_TIME),
    (tags::ACQUISITION_DATE, tags::ACQUISITION_TIME),
    (tags::CONTENT_DATE, tags::CONTENT_TIME),
];

/// Half axes and centres of one lung, mm.
struct Lung {
    center: [f64; 2],
    axes: [f64; 2],
    hu: f64,
}

/// A vessel segment: tapering capsule.
struct Vessel {
    from: [f64; 3],
    to: [f64; 3],
    radius_mm: f64,
}

struct Chest {
    lungs: [Lung; 2],
    vessels: Vec<Vessel>,
    nodules: Vec<Nodule>,
}

const BODY_AXES: [f64; 2] = [172.0, 116.0];
const HEART: ([f64; 3], [f64; 3]) = ([22.0, -26.0, -195.0], [52.0, 46.0, 52.0]);
const CARINA_Z: f64 = -110.0;

impl Chest {
    fn new(phantom: &Phantom) -> Self {
        let mut random = StdRng::seed_from_u64(phantom.seed);
        let lung = |side: f64| Lung { center: [side * 74.0, -2.0], axes: [56.0, 78.0], hu: -860.0 };
        let mut chest = Self { lungs: [lung(-1.0), lung(1.0)], vessels: Vec::new(), nodules: phantom.nodules.clone() };
        for side in [-1.0, 1.0] {
            for _ in 0..14 {
                chest.grow_tree(side, &mut random);
            }
        }
        chest
    }

    /// One branching vessel from the hilum outwards.
    fn grow_tree(&mut self, side: f64, random: &mut StdRng) {
        let root = [side * 26.0, random.random_range(-8.0..14.0), CARINA_Z - random.random_range(5.0..35.0)];
        let heading = unit([side * random.random_range(0.5..1.0), 0.8 * gaussian(random), 0.9 * gaussian(random)]);
        let mut open = vec![(root, heading, random.random_range(3.0..4.5))];
        while let Some((mut point, mut heading, mut radius_mm)) = open.pop() {
            for _ in 0..random.random_range(2..5) {
                let to = add(point, scale(heading, random.random_range(7.0..13.0)));
                if self.lung_distance(to) > -2.0 && radius_mm < 2.8 {
                    radius_mm = 0.0;
                    break;
                }
                self.vessels.push(Vessel { from: point, to, radius_mm });
                (point, radius_mm) = (to, radius_mm * 0.93);
                heading = unit(add(heading, scattered(random, 0.16)));
            }
            let branches = if radius_mm > 1.0 { 2 } else { usize::from(radius_mm > 0.6) };
            for _ in 0..branches {
                open.push((
                    point,
                    unit(add(heading, scattered(random, 0.6))),
                    radius_mm * random.random_range(0.62..0.84),
                ));
            }
        }
    }

    /// Distance-like value in mm, negative inside a lung.
    fn lung_distance(&self, [x, y, z]: [f64; 3]) -> f64 {
        let apex = (1.0 + z / 70.0).clamp(0.0, 1.0);
        let size = (1.0 - apex.powf(2.6)).max(0.0).sqrt().mul_add(0.7, 0.3);
        let mut nearest = f64::MAX;
        for lung in &self.lungs {
            let [cx, cy] = lung.center;
            let [ax, ay] = [lung.axes[0] * size, lung.axes[1] * size];
            let mut distance = (((x - cx) / ax).hypot((y - cy) / ay) - 1.0) * ax.min(ay);
            distance = distance.max(18.0 - x * cx.signum());
            let dome = -HEIGHT_MM + 24.0 + 30.0 * (-((x - cx) / 55.0).powi(2) - ((y - cy + 10.0) / 70.0).powi(2)).exp();
            nearest = nearest.min(distance.max(dome - z).max(z + 8.0));
        }
        nearest.max((1.0 - ellipsoid([x, y, z], HEART)) * 46.0)
    }

    fn plane(&self, z: f64, soft: f64) -> Plane<'_> {
        let near = |v: &&Vessel| {
            v.from[2].min(v.to[2]) - v.radius_mm - 2.0 < z && v.from[2].max(v.to[2]) + v.radius_mm + 2.0 > z
        };
        let nodules = self.nodules.iter().filter(|n| (n.center_mm[2] - z).abs() < n.diameter_mm / 2.0 + 3.0);
        Plane {
            chest: self,
            z,
            soft: soft.max(0.6),
            vessels: self.vessels.iter().filter(near).collect(),
            nodules: nodules.collect(),
        }
    }
}

/// One axial plane, with only the vessels and nodules that it cuts.
struct Plane<'a> {
    chest: &'a Chest,
    z: f64,
    soft: f64,
    vessels: Vec<&'a Vessel>,
    nodules: Vec<&'a Nodule>,
}

impl Plane<'_> {
    fn hu(&self, x: f64, y: f64) -> f64 {
        let body = ((x / BODY_AXES[0]).hypot(y / BODY_AXES[1]) - 1.0) * BODY_AXES[1];
        if body > 3.0 {
            return -1000.0;
        }
        let lung = self.chest.lung_distance([x, y, self.z]);
        let wall = self.wall(x, y, body, lung);
        let inside = self.inside(lung);
        let air = self.airway(x, y);
        let tissue = mix(wall, self.chest.lungs[0].hu + 25.0 * (y / 80.0).clamp(-1.0, 1.0), inside);
        let with_vessels = if lung < 12.0 { self.vessels_at(x, y, tissue) } else { tissue };
        self.nodules_at(x, y, mix(with_vessels, -990.0, air))
    }

    fn inside(&self, distance: f64) -> f64 {
        (0.5 - distance / (2.0 * self.soft)).clamp(0.0, 1.0)
    }

    /// Fat, muscle, ribs, spine and heart.
    fn wall(&self, x: f64, y: f64, body: f64, lung: f64) -> f64 {
        let mut hu = mix(-1000.0, -100.0, self.inside(body));
        hu = mix(hu, 45.0, self.inside(body + 14.0));
        if lung > 2.0 && lung < 14.0 && body < -8.0 && x.abs() > 14.0 {
            let phase = ((self.z + 34.0 * x.atan2(-(y + 5.0)).abs() / std::f64::consts::PI) / 27.0).rem_euclid(1.0);
            let rib = self.inside((phase - 0.5).abs() * 27.0 - 4.5) * self.inside((lung - 8.0).abs() - 3.5);
            hu += 330.0 * rib;
        }
        let spine = x.hypot(y - BODY_AXES[1] * 0.62);
        hu += 150.0 * self.inside(spine - 19.0) + 350.0 * self.inside((spine - 17.5).abs() - 1.6);
        hu
    }

    fn airway(&self, x: f64, y: f64) -> f64 {
        if self.z > CARINA_Z {
            return self.inside(x.hypot(y - 12.0) - 9.0);
        }
        let apart = (CARINA_Z - self.z) * 0.75 + 4.0;
        let bronchus = |center: f64| (x - center).hypot(y - 12.0) - 6.5;
        if apart < 30.0 { self.inside(bronchus(apart).min(bronchus(-apart))) } else { 0.0 }
    }

    fn vessels_at(&self, x: f64, y: f64, hu: f64) -> f64 {
        let point = [x, y, self.z];
        let weight = self.vessels.iter().map(|v| {
            let thin = (v.radius_mm / self.soft).min(1.0).sqrt();
            thin * self.inside(distance_to_segment(point, v.from, v.to) - v.radius_mm)
        });
        hu.max(mix(hu, 40.0, weight.fold(0.0, f64::max)))
    }

    fn nodules_at(&self, x: f64, y: f64, hu: f64) -> f64 {
        let weight =
            self.nodules.iter().map(|n| self.inside(length(sub([x, y, self.z], n.center_mm)) - n.diameter_mm / 2.0));
        hu.max(mix(hu, 40.0, weight.fold(0.0, f64::max)))
    }
}

fn ellipsoid(point: [f64; 3], (center, radii): ([f64; 3], [f64; 3])) -> f64 {
    (0..3).map(|i| ((point[i] - center[i]) / radii[i]).powi(2)).sum::<f64>().sqrt()
}

fn distance_to_segment(point: [f64; 3], from: [f64; 3], to: [f64; 3]) -> f64 {
    let along = sub(to, from);
    let offset = sub(point, from);
    let square = dot(along, along).max(1e-9);
    let t = (dot(offset, along) / square).clamp(0.0, 1.0);
    length(sub(offset, scale(along, t)))
}

fn mix(from: f64, to: f64, weight: f64) -> f64 {
    from + (to - from) * weight
}

fn add(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

fn sub(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    add(a, scale(b, -1.0))
}

fn scale(a: [f64; 3], by: f64) -> [f64; 3] {
    a.map(|c| c * by)
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn length(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

fn unit(a: [f64; 3]) -> [f64; 3] {
    scale(a, 1.0 / length(a).max(1e-9))
}

fn scattered(random: &mut StdRng, sigma: f64) -> [f64; 3] {
    std::array::from_fn(|_| sigma * gaussian(random))
}

/// Sum of uniforms: near enough to normal for noise, and the same on every platform.
fn gaussian(random: &mut StdRng) -> f64 {
    (0..4).map(|_| random.random_range(-1.0..1.0)).sum::<f64>() * (3.0f64 / 4.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Phantom {
        Phantom { size: 64, slices: 30, ..Phantom::demonstration().remove(0) }
    }

    #[test]
    fn the_same_phantom_gives_the_same_bytes() {
        assert_eq!(small().slice(12).unwrap(), small().slice(12).unwrap());
        assert_ne!(small().slice(12).unwrap(), small().slice(13).unwrap());
    }

    #[test]
    fn planted_nodules_lie_in_the_lungs() {
        for phantom in Phantom::demonstration() {
            let chest = Chest::new(&phantom);
            for nodule in &phantom.nodules {
                let margin = -chest.lung_distance(nodule.center_mm);
                assert!(margin > nodule.diameter_mm / 2.0, "{nodule:?}: {margin} mm");
            }
        }
    }

    #[test]
    fn a_slice_through_a_nodule_is_dense_there() {
        let phantom = Phantom::demonstration().remove(0);
        let chest = Chest::new(&phantom);
        let [x, y, z] = phantom.nodules[0].center_mm;
        assert_eq!(chest.plane(z, 0.7).hu(x, y), 40.0);
    }
}
