//! Series → stack: which images belong, in which order, and whether they make one even volume.

use crate::{card::Selects, error::Refusal, volume::Grid};
use pacs_core::{Attributes, geometry::Plane, pixel::ModalityLut, tags};

/// A slice may lie this part of the gap off its even place, or [`OFF_MM`] if that is more.
const OFF_PART: f64 = 0.05;
const OFF_MM: f64 = 0.05;

/// Slices nearer to each other than this, mm, are the same position twice.
const SAME_MM: f64 = 0.01;

/// No scan of a chest has more; what claims to would only cost memory.
const MOST_SLICES: usize = 20_000;

/// The slice direction of an axial stack is at most 25° off the patient's long axis; gantries tilt as far.
const AXIAL_COSINE: f64 = 0.9;

/// One image, or one frame of a multi-frame image.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Index into the series' instances.
    pub instance: usize,
    /// From 0.
    pub frame: u32,
    pub plane: Plane,
    pub modality_lut: ModalityLut,
}

/// Slices in the order of the normal of their common orientation, evenly spaced.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    pub slices: Vec<Slice>,
    pub rows: usize,
    pub columns: usize,
    pub grid: Grid,
}

impl Stack {
    pub fn voxels(&self) -> u64 {
        (self.slices.len() * self.rows * self.columns) as u64
    }

    /// The slice that a patient point lies on, or nearest to.
    pub fn nearest(&self, point: [f64; 3]) -> Option<&Slice> {
        let off = |slice: &&Slice| slice.plane.to_index(point).2.abs();
        self.slices.iter().min_by(|a, b| off(a).total_cmp(&off(b)))
    }
}

/// Makes a stack of a whole series, or says why it is none that the model reads.
///
/// `series`: the metadata of each instance.
pub fn select(series: &[Attributes<'_>], rules: &Selects) -> Result<Stack, Refusal> {
    let (rows, columns) = common_size(series, rules)?;
    let mut slices = slices(series)?;
    check_orientation(&slices)?;
    slices.sort_by(|a, b| a.plane.distance().total_cmp(&b.plane.distance()));
    drop_repeated(&mut slices)?;
    if slices.len() < rules.min_slices.max(2) {
        return Err(Refusal::TooFewSlices { actual: slices.len(), needed: rules.min_slices.max(2) });
    }
    let grid = even_grid(&slices, rules)?;
    Ok(Stack { slices, rows, columns, grid })
}

fn common_size(series: &[Attributes<'_>], rules: &Selects) -> Result<(usize, usize), Refusal> {
    let mut common = None;
    for image in series {
        check_kind(*image, rules)?;
        let size = (image.integer(tags::ROWS), image.integer(tags::COLUMNS));
        if *common.get_or_insert(size) != size {
            return Err(Refusal::Mixed("size"));
        }
    }
    let (rows, columns) = common.unwrap_or_default();
    let side = |n: Option<i64>| n.and_then(|n| usize::try_from(n).ok()).filter(|n| (2..=65_535).contains(n));
    side(rows).zip(side(columns)).ok_or(Refusal::Mixed("size"))
}

fn check_kind(image: Attributes<'_>, rules: &Selects) -> Result<(), Refusal> {
    let modality = image.text(tags::MODALITY).unwrap_or("not stated");
    if modality != rules.modality {
        return Err(Refusal::Modality(modality.chars().take(16).collect()));
    }
    if image.texts(tags::IMAGE_TYPE).contains(&"LOCALIZER") {
        return Err(Refusal::ImageType("localizers".into()));
    }
    if image.integer(tags::SAMPLES_PER_PIXEL) != Some(1) {
        return Err(Refusal::ImageType("in colour or without pixels".into()));
    }
    Ok(())
}

fn slices(series: &[Attributes<'_>]) -> Result<Vec<Slice>, Refusal> {
    let mut slices = Vec::with_capacity(series.len());
    for (instance, image) in series.iter().enumerate() {
        let frames = image.integer(tags::NUMBER_OF_FRAMES).and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        for frame in 0..frames.clamp(1, 65_535) {
            if slices.len() == MOST_SLICES {
                return Err(Refusal::TooManySlices(MOST_SLICES));
            }
            let uid = || image.text(tags::SOP_INSTANCE_UID).unwrap_or_default().to_owned();
            let plane = Plane::of(*image, frame).ok_or_else(|| Refusal::NoGeometry(uid()))?;
            slices.push(Slice { instance, frame, plane, modality_lut: ModalityLut::of(*image, frame) });
        }
    }
    Ok(slices)
}

fn check_orientation(slices: &[Slice]) -> Result<(), Refusal> {
    let Some(first) = slices.first() else { return Ok(()) };
    let close = |a: f64, b: f64| (a - b).abs() < 1e-3;
    let same = |a: [f64; 3], b: [f64; 3]| (0..3).all(|i| close(a[i], b[i]));
    for Slice { plane, .. } in slices {
        if !(same(plane.row, first.plane.row) && same(plane.column, first.plane.column)) {
            return Err(Refusal::Mixed("orientation"));
        }
        if !(close(plane.row_spacing_mm, first.plane.row_spacing_mm)
            && close(plane.column_spacing_mm, first.plane.column_spacing_mm))
        {
            return Err(Refusal::Mixed("pixel spacing"));
        }
    }
    Ok(())
}

/// An image sent twice under two UIDs is dropped; several phases at each position are not one volume.
fn drop_repeated(slices: &mut Vec<Slice>) -> Result<(), Refusal> {
    let before = slices.len();
    slices.dedup_by(|b, a| (b.plane.distance() - a.plane.distance()).abs() < SAME_MM);
    let dropped = before - slices.len();
    if dropped * 10 > before { Err(Refusal::RepeatedSlices(dropped)) } else { Ok(()) }
}

/// The grid from the first to the last slice; all slices between must lie on it.
fn even_grid(slices: &[Slice], rules: &Selects) -> Result<Grid, Refusal> {
    let (Some(first), Some(last)) = (slices.first(), slices.last()) else { return Err(Refusal::NotAxial) };
    let gaps = (slices.len() - 1) as f64;
    let step: [f64; 3] = std::array::from_fn(|i| (last.plane.position[i] - first.plane.position[i]) / gaps);
    let gap_mm = step.iter().map(|v| v * v).sum::<f64>().sqrt();
    let allowed = OFF_MM.max(gap_mm * OFF_PART);
    for (number, slice) in slices.iter().enumerate() {
        let even = std::array::from_fn::<f64, 3, _>(|i| first.plane.position[i] + number as f64 * step[i]);
        let off_mm = (0..3).map(|i| (slice.plane.position[i] - even[i]).powi(2)).sum::<f64>().sqrt();
        if off_mm > allowed {
            return Err(Refusal::UnevenSlices { number: number + 1, off_mm, gap_mm });
        }
    }
    if rules.axial && (step[2].abs() < AXIAL_COSINE * gap_mm || first.plane.normal()[2].abs() < AXIAL_COSINE) {
        return Err(Refusal::NotAxial);
    }
    if gap_mm > rules.max_slice_gap_mm + 1e-3 {
        return Err(Refusal::SlicesTooFarApart { actual_mm: gap_mm, allowed_mm: rules.max_slice_gap_mm });
    }
    let plane = first.plane;
    let steps = [plane.row.map(|v| v * plane.column_spacing_mm), plane.column.map(|v| v * plane.row_spacing_mm), step];
    Grid::new(plane.position, steps).ok_or(Refusal::NotAxial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const AXIAL: [f64; 6] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];

    fn rules() -> Selects {
        Selects { modality: "CT".into(), axial: true, max_slice_gap_mm: 2.5, min_slices: 10, both_lungs: true }
    }

    fn image(position: [f64; 3], orientation: [f64; 6]) -> Value {
        json!({
            "00080060": {"vr": "CS", "Value": ["CT"]},
            "00080008": {"vr": "CS", "Value": ["ORIGINAL", "PRIMARY", "AXIAL"]},
            "00280002": {"vr": "US", "Value": [1]},
            "00280010": {"vr": "US", "Value": [64]},
            "00280011": {"vr": "US", "Value": [64]},
            "00280030": {"vr": "DS", "Value": [0.7, 0.7]},
            "00200032": {"vr": "DS", "Value": position},
            "00200037": {"vr": "DS", "Value": orientation},
        })
    }

    fn series(n: usize) -> Vec<Value> {
        (0..n).map(|i| image([-20.0, -20.0, -2.0 * i as f64], AXIAL)).collect()
    }

    fn stack(images: &[Value]) -> Result<Stack, Refusal> {
        select(&images.iter().filter_map(Attributes::of).collect::<Vec<_>>(), &rules())
    }

    fn refused(images: &[Value]) -> &'static str {
        stack(images).unwrap_err().code()
    }

    #[test]
    fn slices_are_put_in_order_whatever_the_order_they_came_in() {
        let (down, mut up) = (series(20), series(20));
        up.reverse();
        let (down, up) = (stack(&down).unwrap(), stack(&up).unwrap());
        assert_eq!(down.grid, up.grid);
        assert_eq!(down.grid.to_patient([0.0; 3]), [-20.0, -20.0, -38.0]);
        assert_eq!(up.nearest([0.0, 0.0, -5.1]).map(|slice| slice.plane.position[2]), Some(-6.0));
    }

    #[test]
    fn a_tilted_gantry_makes_a_slanted_grid() {
        let (sin, cos) = 15_f64.to_radians().sin_cos();
        let tilted: Vec<_> =
            (0..20).map(|i| image([0.0, 0.0, 2.0 * i as f64], [1.0, 0.0, 0.0, 0.0, cos, -sin])).collect();
        let point = stack(&tilted).unwrap().grid.to_patient([0.0, 10.0, 1.0]);
        assert!((point[1] - 7.0 * cos).abs() < 1e-9 && (point[2] - (2.0 - 7.0 * sin)).abs() < 1e-9);
    }

    #[test]
    fn a_missing_slice_is_refused() {
        let mut images = series(40);
        images.remove(17);
        assert_eq!(refused(&images), "uneven-slices");
    }

    #[test]
    fn an_image_sent_twice_is_read_once_and_two_phases_are_refused() {
        let mut images = series(20);
        images.push(images[3].clone());
        assert_eq!(stack(&images).unwrap().slices.len(), 20);
        let both = [series(20), series(20)].concat();
        assert_eq!(refused(&both), "repeated-slices");
    }

    #[test]
    fn what_the_model_does_not_read_is_refused_with_the_reason() {
        let changed = |tag: &str, value: Value| {
            let mut images = series(20);
            images[7][tag] = json!({"vr": "CS", "Value": value});
            refused(&images)
        };
        assert_eq!(changed("00080060", json!(["MR"])), "modality");
        assert_eq!(changed("00080008", json!(["ORIGINAL", "PRIMARY", "LOCALIZER"])), "image-type");
        assert_eq!(changed("00280002", json!([3])), "image-type");
        assert_eq!(changed("00280010", json!([128])), "mixed");
        assert_eq!(changed("00280030", json!([0.9, 0.9])), "mixed");
        assert_eq!(changed("00200037", json!([0.0, 1.0, 0.0, 1.0, 0.0, 0.0])), "mixed");
        assert_eq!(changed("00200032", json!([])), "no-geometry");
        assert_eq!(changed("00200032", json!([0.0, 0.0])), "no-geometry");
        assert_eq!(refused(&series(1)), "too-few-slices");
        assert_eq!(refused(&[]), "mixed");
        let thick: Vec<_> = (0..20).map(|i| image([0.0, 0.0, 5.0 * i as f64], AXIAL)).collect();
        assert_eq!(refused(&thick), "slices-too-far-apart");
        let mut boundless = image([0.0; 3], AXIAL);
        boundless["00280008"] = json!({"vr": "IS", "Value": [60_000]});
        let axial = boundless.clone();
        boundless["52009229"] = json!({"vr": "SQ", "Value": [{
            "00209113": {"vr": "SQ", "Value": [{"00200032": axial["00200032"]}]},
            "00209116": {"vr": "SQ", "Value": [{"00200037": axial["00200037"]}]},
            "00289110": {"vr": "SQ", "Value": [{"00280030": axial["00280030"]}]},
        }]});
        assert_eq!(refused(&[boundless]), "too-many-slices");
        let coronal = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0];
        let coronal: Vec<_> = (0..20).map(|i| image([0.0, 2.0 * i as f64, 0.0], coronal)).collect();
        assert_eq!(refused(&coronal), "not-axial");
    }

    proptest! {
        #[test]
        fn odd_positions_never_panic(positions in prop::collection::vec(prop::array::uniform3(any::<f64>()), 0..30)) {
            let images: Vec<_> = positions.into_iter().map(|position| image(position, AXIAL)).collect();
            let _ = stack(&images);
        }
    }
}
