//! Size and place of a nodule on the scanned voxels: local threshold, region growing, leak guard.

use crate::{
    mask::{take_component, within},
    volume::Volume,
};
use ndarray::{Array3, ArrayView2, Axis};

/// Edge of the cubes that are counted, mm: finer than any scanner's, so that a threshold surface keeps its place.
const CUBE_MM: f64 = 0.5;

/// At most this many cubes on either side of the centre; larger nodules get larger cubes.
const MOST_CUBES: f64 = 64.0;

/// HU of lung between vessels, where too few voxels around the mark tell.
const LUNG_HU: f32 = -850.0;

/// A voxel below this is lung, not nodule or wall.
const LUNG_BELOW: f32 = -500.0;

/// A nodule stands out from the lung by this, HU.
const LEAST_CONTRAST: f32 = 100.0;

/// Vessels up to about twice this radius, mm, are cut off.
const VESSEL_MM: f64 = 1.5;

/// A region of more than this many times the detector's sphere has leaked into its surroundings.
const LEAK: f64 = 4.0;

/// A region that fills this part of the surface of the searched ball has run into it.
const LEAK_SURFACE: f64 = 0.1;

/// A nodule as measured, patient mm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    pub center_mm: [f64; 3],
    pub long_axis_mm: f64,
    pub short_axis_mm: f64,
    pub volume_mm3: f64,
    /// The outline could not be traced: all is of a sphere of the detector's diameter at the detector's place.
    pub estimated: bool,
}

/// Measures the nodule that the detector marked at `center_mm` with an estimated diameter.
pub fn measure(volume: &Volume, center_mm: [f64; 3], diameter_mm: f64) -> Measured {
    let traced = Ball::sample(volume, center_mm, diameter_mm).and_then(|ball| ball.trace(diameter_mm));
    traced.unwrap_or(Measured {
        center_mm,
        long_axis_mm: diameter_mm,
        short_axis_mm: diameter_mm,
        volume_mm3: sphere_mm3(diameter_mm),
        estimated: true,
    })
}

fn sphere_mm3(diameter_mm: f64) -> f64 {
    std::f64::consts::PI / 6.0 * diameter_mm.powi(3)
}

/// Cubes around a mark, `(z, y, x)` along the patient axes; NaN outside of the ball or of the scan.
struct Ball {
    hu: Array3<f32>,
    center_mm: [f64; 3],
    cube_mm: f64,
    /// In cubes, also the index of the centre.
    radius: f64,
}

impl Ball {
    fn sample(volume: &Volume, center_mm: [f64; 3], diameter_mm: f64) -> Option<Self> {
        let radius_mm = 0.9 * diameter_mm + 3.0;
        if !(radius_mm.is_finite() && center_mm.iter().all(|mm| mm.is_finite())) {
            return None;
        }
        let cube_mm = CUBE_MM.max(radius_mm / MOST_CUBES);
        let radius = (radius_mm / cube_mm).floor();
        let side = 2 * radius as usize + 1;
        let hu = Array3::from_shape_fn((side, side, side), |(z, y, x)| {
            let offset = [x, y, z].map(|at| at as f64 - radius);
            let outside = offset.iter().map(|v| v * v).sum::<f64>() > radius * radius;
            let point = std::array::from_fn(|i| center_mm[i] + offset[i] * cube_mm);
            let value = if outside { None } else { volume.sample(volume.grid.to_index(point)) };
            value.unwrap_or(f32::NAN)
        });
        Some(Self { hu, center_mm, cube_mm, radius })
    }

    fn trace(&self, diameter_mm: f64) -> Option<Measured> {
        let threshold = self.threshold(diameter_mm)?;
        let above = self.hu.mapv(|hu| hu >= threshold);
        let region = self.without_vessels(&above, diameter_mm)?;
        let count = region.iter().filter(|&&inside| inside).count() as f64;
        let volume_mm3 = count * self.cube_mm.powi(3);
        if volume_mm3 > LEAK * sphere_mm3(diameter_mm) || self.runs_into_the_surface(&region) {
            return None;
        }
        let (long_axis_mm, short_axis_mm) = axes(largest_slice(&region)?, self.cube_mm);
        Some(Measured { center_mm: self.centroid(&region), long_axis_mm, short_axis_mm, volume_mm3, estimated: false })
    }

    /// Midway between the lung around and the core of the mark.
    fn threshold(&self, diameter_mm: f64) -> Option<f32> {
        let core = (0.25 * diameter_mm).max(1.5) / self.cube_mm;
        let near = self.hu.indexed_iter().filter(|(at, _)| self.off_center(*at) <= core).map(|(_, &hu)| hu);
        // The mark may lie beside the core: of its voxels the denser half is the nodule's.
        let nodule = quantile(near.collect(), 0.75)?;
        let lung = self.hu.iter().copied().filter(|&hu| hu < LUNG_BELOW.min(nodule - LEAST_CONTRAST)).collect();
        let lung = quantile(lung, 0.5).unwrap_or(LUNG_HU);
        (nodule - lung >= LEAST_CONTRAST).then_some((nodule + lung) / 2.0)
    }

    /// The connected part at the mark after an opening that cuts thin vessels, grown back to its own surface.
    fn without_vessels(&self, above: &Array3<bool>, diameter_mm: f64) -> Option<Array3<bool>> {
        let opening = (VESSEL_MM.min(0.2 * diameter_mm) / self.cube_mm).round() as u8;
        let mut core = within(&above.mapv(|inside| !inside), opening, true).mapv(|shell| !shell);
        let seed = self.nearest_to_center(&core)?;
        if self.off_center(seed) * self.cube_mm > (0.5 * diameter_mm).max(3.0) {
            return None;
        }
        let mut part = Array3::from_elem(core.dim(), false);
        take_component(&mut core, seed, &mut part);
        let mut grown = within(&part, opening.saturating_add(1), false);
        grown.zip_mut_with(above, |inside, &above| *inside &= above);
        Some(grown)
    }

    fn nearest_to_center(&self, mask: &Array3<bool>) -> Option<(usize, usize, usize)> {
        let inside = mask.indexed_iter().filter(|(_, inside)| **inside).map(|(at, _)| at);
        inside.min_by(|a, b| self.off_center(*a).total_cmp(&self.off_center(*b)))
    }

    fn runs_into_the_surface(&self, region: &Array3<bool>) -> bool {
        let surface = region.indexed_iter().filter(|(at, _)| self.off_center(*at) > self.radius - 1.0);
        let on_surface = surface.filter(|(at, _)| self.off_center(*at) <= self.radius);
        let (all, filled) =
            on_surface.fold((0, 0), |(all, filled), (_, &inside)| (all + 1, filled + u32::from(inside)));
        f64::from(filled) > LEAK_SURFACE * f64::from(all)
    }

    /// In cubes.
    fn off_center(&self, (z, y, x): (usize, usize, usize)) -> f64 {
        [z, y, x].into_iter().map(|at| (at as f64 - self.radius).powi(2)).sum::<f64>().sqrt()
    }

    fn centroid(&self, region: &Array3<bool>) -> [f64; 3] {
        let mut sum = [0.0; 3];
        let mut count = 0.0;
        for ((z, y, x), _) in region.indexed_iter().filter(|(_, inside)| **inside) {
            sum = std::array::from_fn(|i| sum[i] + [x, y, z][i] as f64);
            count += 1.0;
        }
        std::array::from_fn(|i| self.center_mm[i] + (sum[i] / count - self.radius) * self.cube_mm)
    }
}

/// The value below which `part` of the finite values lie.
fn quantile(mut values: Vec<f32>, part: f64) -> Option<f32> {
    values.retain(|value| value.is_finite());
    values.sort_by(f32::total_cmp);
    values.get((part * values.len() as f64) as usize).or(values.last()).copied()
}

fn largest_slice(region: &Array3<bool>) -> Option<ArrayView2<'_, bool>> {
    let area = |slice: &ArrayView2<'_, bool>| slice.iter().filter(|&&inside| inside).count();
    region.axis_iter(Axis(0)).max_by_key(area).filter(|slice| area(slice) > 0)
}

/// Longest diameter of a slice and the longest extent at right angles to it, mm.
fn axes(slice: ArrayView2<'_, bool>, cube_mm: f64) -> (f64, f64) {
    let border = border(slice);
    let mut longest = (0.0, [1.0, 0.0]);
    for (i, a) in border.iter().enumerate() {
        for b in &border[i + 1..] {
            let between = [b[0] - a[0], b[1] - a[1]];
            let length = between[0].hypot(between[1]);
            if length > longest.0 {
                longest = (length, between.map(|v| v / length));
            }
        }
    }
    let (long, [dy, dx]) = longest;
    let across = border.iter().map(|[y, x]| y * dx - x * dy);
    let (low, high) = across.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    // Centres of cubes were measured: half a cube is missing at either end.
    ((long + 1.0) * cube_mm, ((high - low).max(0.0) + 1.0) * cube_mm)
}

/// Cubes (y, x) of a slice that have a neighbour outside of it.
fn border(slice: ArrayView2<'_, bool>) -> Vec<[f64; 2]> {
    let inside = |y: usize, x: usize| slice.get((y, x)).is_some_and(|&inside| inside);
    let is_border = |y: usize, x: usize| {
        !(inside(y.wrapping_sub(1), x) && inside(y + 1, x) && inside(y, x.wrapping_sub(1)) && inside(y, x + 1))
    };
    let cubes = slice.indexed_iter().filter(|(_, inside)| **inside).map(|(at, _)| at);
    cubes.filter(|&(y, x)| is_border(y, x)).map(|(y, x)| [y as f64, x as f64]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Grid;
    use proptest::prelude::*;

    const SPACING: [f64; 3] = [0.7, 0.7, 1.25];

    /// Lung with what `inside` (signed distance to a surface, mm; negative inside) describes, blurred by partial volume.
    fn scan(inside: impl Fn([f64; 3]) -> f64, hu: f64) -> Volume {
        let [sx, sy, sz] = SPACING;
        let grid = Grid::new([-28.0, -28.0, -30.0], [[sx, 0.0, 0.0], [0.0, sy, 0.0], [0.0, 0.0, sz]]).unwrap();
        let hu = Array3::from_shape_fn((48, 80, 80), |(s, r, c)| {
            let depth = inside(grid.to_patient([c as f64, r as f64, s as f64]));
            let part = (0.5 - depth / 1.2).clamp(0.0, 1.0);
            (-860.0 + part * (hu + 860.0)) as i16
        });
        Volume { hu, grid }
    }

    fn ball(center: [f64; 3], diameter: f64) -> impl Fn([f64; 3]) -> f64 {
        move |p| (0..3).map(|i| (p[i] - center[i]).powi(2)).sum::<f64>().sqrt() - diameter / 2.0
    }

    #[test]
    fn spheres_are_measured_within_a_millimetre_and_fifteen_percent() {
        for diameter in [5.0, 6.0, 8.0, 12.0, 20.0] {
            for hu in [40.0, -600.0] {
                let center = [1.3, -0.4, 0.7];
                // The mark is off, and the detector's diameter too.
                let found = measure(&scan(ball(center, diameter), hu), [2.3, 0.4, 0.2], diameter + 1.5);
                let off = (0..3).map(|i| (found.center_mm[i] - center[i]).powi(2)).sum::<f64>().sqrt();
                assert!(!found.estimated && off < 0.5, "{diameter} mm, {hu} HU: {found:?}");
                assert!((found.long_axis_mm - diameter).abs() < 1.0, "{diameter} mm, {hu} HU: {found:?}");
                assert!((found.short_axis_mm - diameter).abs() < 1.0, "{diameter} mm, {hu} HU: {found:?}");
                assert!(
                    (found.volume_mm3 / sphere_mm3(diameter) - 1.0).abs() < 0.15,
                    "{diameter} mm, {hu} HU: {found:?}"
                );
            }
        }
    }

    #[test]
    fn a_vessel_is_cut_off() {
        let vessel = |p: [f64; 3]| p[0].hypot(p[2]) - 1.2;
        let nodule = ball([0.0; 3], 10.0);
        let found = measure(&scan(|p| nodule(p).min(vessel(p)), 40.0), [0.5, 0.0, 0.0], 10.0);
        assert!(!found.estimated && (found.volume_mm3 / sphere_mm3(10.0) - 1.0).abs() < 0.25, "{found:?}");
    }

    #[test]
    fn what_leaks_into_the_wall_is_only_estimated() {
        let found = measure(&scan(|p| -p[0], 40.0), [3.0, 0.0, 0.0], 8.0);
        assert!(found.estimated);
        assert_eq!((found.center_mm, found.long_axis_mm), ([3.0, 0.0, 0.0], 8.0));
    }

    #[test]
    fn plain_lung_is_only_estimated() {
        assert!(measure(&scan(|_| 9.0, 40.0), [0.0; 3], 8.0).estimated);
    }

    #[test]
    fn axes_follow_the_outline() {
        let slice = ndarray::Array2::from_shape_fn((30, 30), |(y, x)| (5..15).contains(&y) && (10..14).contains(&x));
        let (long, short) = axes(slice.view(), 0.5);
        assert!((long - 0.5 * (9_f64.hypot(3.0) + 1.0)).abs() < 1e-9 && short > 2.0 && short < 4.5, "{long} {short}");
    }

    proptest! {
        #[test]
        fn marks_anywhere_never_panic(center in prop::array::uniform3(-100.0..100.0_f64), diameter in 0.1..70.0_f64) {
            let found = measure(&scan(ball([0.0; 3], 10.0), 40.0), center, diameter);
            prop_assert!(found.long_axis_mm >= found.short_axis_mm - 1.0 && found.volume_mm3 > 0.0);
        }
    }
}
