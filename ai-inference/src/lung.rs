//! The lungs of a 1 mm volume: where the model looks, and which marks count. A gate, never an outline.

use crate::{
    card::Selects,
    error::Refusal,
    mask::{cut, largest_components, reached_from_border, within},
    volume::Isotropic,
};
use ndarray::{Array2, Array3, Axis, Slice};
use rayon::prelude::*;

/// Smoothed HU below which a voxel is air.
const AIR: f32 = -400.0;

/// Standard deviation of the smoothing is one voxel; the kernel ends at four.
const REACH: usize = 4;

/// A lung has more voxels (mm³) than this; two lungs and the trachea are kept at most.
const LEAST: usize = 20_000;
const PARTS: usize = 3;

/// Nodules on the pleura are taken in by a closing of this many 2 mm voxels.
const CLOSING: u8 = 4;

/// Less lung than this, mm³, is no scan of both lungs.
const BOTH_LUNGS: usize = 500_000;

/// Either side of the body holds at least this part of the lungs.
const LEAST_SIDE: f64 = 0.1;

/// Air inside the body, its largest parts, closed by about 8 mm: `(z, y, x)` as the volume.
pub fn mask(volume: &Isotropic) -> Array3<bool> {
    let lungs = largest_components(inner_air(&volume.hu), PARTS, LEAST);
    let closed = closed_at_2mm(&lungs);
    let mut mask = lungs;
    for ((z, y, x), inside) in mask.indexed_iter_mut() {
        *inside |= closed[(z / 2, y / 2, x / 2)];
    }
    mask
}

/// Refuses a volume without lungs, and one without both where the model needs both.
pub fn check(volume: &Isotropic, mask: &Array3<bool>, rules: &Selects) -> Result<(), Refusal> {
    let by_column: Vec<usize> =
        mask.axis_iter(Axis(2)).map(|plane| plane.iter().filter(|&&inside| inside).count()).collect();
    let total: usize = by_column.iter().sum();
    if total == 0 {
        return Err(Refusal::NoLungs("no lungs in the images"));
    }
    if !rules.both_lungs {
        return Ok(());
    }
    let middle = middle_of_body(volume).min(by_column.len());
    let right = by_column[..middle].iter().sum::<usize>() as f64 / total as f64;
    if total < BOTH_LUNGS || !(LEAST_SIDE..=1.0 - LEAST_SIDE).contains(&right) {
        return Err(Refusal::NoLungs("not both lungs are in the images"));
    }
    Ok(())
}

/// Mean x index of the voxels that are not air.
fn middle_of_body(volume: &Isotropic) -> usize {
    let solid = |x: usize| volume.hu.index_axis(Axis(2), x).iter().filter(|&&hu| hu > AIR).count() as f64;
    let weights: Vec<f64> = (0..volume.hu.dim().2).map(solid).collect();
    let moment: f64 = weights.iter().enumerate().map(|(x, weight)| x as f64 * weight).sum();
    (moment / weights.iter().sum::<f64>().max(1.0)) as usize
}

fn inner_air(hu: &Array3<f32>) -> Array3<bool> {
    let (nz, ny, nx) = hu.dim();
    let mut air = vec![false; nz * ny * nx];
    air.par_chunks_mut(ny * nx).enumerate().for_each(|(z, slice)| {
        let is_air = smoothed_slice(hu, z).mapv(|hu| hu < AIR);
        let outer = reached_from_border(is_air.view());
        slice.iter_mut().zip(is_air.iter().zip(&outer)).for_each(|(inner, (&air, &outer))| *inner = air && !outer);
    });
    Array3::from_shape_vec((nz, ny, nx), air).expect("the vector was made for this shape")
}

/// Slice `z` after a Gaussian over all three axes; beyond the border the volume is mirrored.
fn smoothed_slice(hu: &Array3<f32>, z: usize) -> Array2<f32> {
    let kernel = kernel();
    let mut slice = Array2::zeros((hu.dim().1, hu.dim().2));
    for (offset, &weight) in (0..).zip(&kernel) {
        slice.scaled_add(weight, &hu.index_axis(Axis(0), mirrored(z, offset, hu.dim().0)));
    }
    for axis in [0, 1] {
        for mut line in slice.lanes_mut(Axis(axis)) {
            let before = line.to_vec();
            for (at, value) in line.iter_mut().enumerate() {
                *value = smoothed(&before, at, &kernel);
            }
        }
    }
    slice
}

fn smoothed(line: &[f32], at: usize, kernel: &[f32]) -> f32 {
    if let Some(whole) = at.checked_sub(REACH).and_then(|first| line.get(first..=at + REACH)) {
        return whole.iter().zip(kernel).map(|(value, weight)| value * weight).sum();
    }
    (0..).zip(kernel).map(|(offset, weight)| line[mirrored(at, offset, line.len())] * weight).sum()
}

/// Index `at + offset - REACH`, mirrored at the borders of `len` samples with the border sample repeated.
fn mirrored(at: usize, offset: usize, len: usize) -> usize {
    let period = 2 * len;
    let index = (at + offset + period * REACH - REACH) % period;
    index.min(period - 1 - index)
}

fn kernel() -> Vec<f32> {
    let weight = |i: usize| (-0.5 * (i as f64 - REACH as f64).powi(2)).exp();
    let sum: f64 = (0..=2 * REACH).map(weight).sum();
    (0..=2 * REACH).map(|i| (weight(i) / sum) as f32).collect()
}

/// Every second voxel, closed, holes of each slice filled.
fn closed_at_2mm(lungs: &Array3<bool>) -> Array3<bool> {
    let half = lungs.slice_each_axis(|_| Slice::new(0, None, 2));
    let (nz, ny, nx) = half.dim();
    let margin = usize::from(CLOSING);
    let clamped = |at: usize, len: usize| at.saturating_sub(margin).min(len - 1);
    let padded = Array3::from_shape_fn((nz + 2 * margin, ny + 2 * margin, nx + 2 * margin), |(z, y, x)| {
        half[(clamped(z, nz), clamped(y, ny), clamped(x, nx))]
    });
    let grown = within(&padded, CLOSING, false);
    let shrunk_away = within(&grown.mapv(|inside| !inside), CLOSING, true);
    let inner = [nz, ny, nx].map(|len| margin..margin + len);
    let mut closed = cut(&shrunk_away, &inner).mapv(|away| !away);
    for mut slice in closed.axis_iter_mut(Axis(0)) {
        let background = reached_from_border(slice.mapv(|inside| !inside).view());
        slice.zip_mut_with(&background, |inside, &outer| *inside = !outer);
    }
    closed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Selects {
        Selects { modality: "CT".into(), axial: true, max_slice_gap_mm: 2.5, min_slices: 60, both_lungs: true }
    }

    /// A body of water, 180 × 132 mm, with lungs of air at the given x.
    fn body(lungs: &[f64]) -> Isotropic {
        let hu = Array3::from_shape_fn((90, 140, 200), |(z, y, x)| {
            let (y, x) = (y as f64 - 70.0, x as f64 - 100.0);
            let lung = |&at: &f64| ((x - at) / 32.0).powi(2) + (y / 45.0).powi(2) < 1.0 && z > 4;
            match (x / 90.0).powi(2) + (y / 66.0).powi(2) {
                r if r > 1.0 => -1000.0,
                _ if lungs.iter().any(lung) => -850.0,
                _ => 30.0,
            }
        });
        Isotropic { hu, origin: [0.0; 3] }
    }

    #[test]
    fn two_lungs_are_found_and_the_air_around_the_body_is_not() {
        let volume = body(&[-44.0, 44.0]);
        let mask = mask(&volume);
        assert!(mask[(40, 70, 56)] && mask[(40, 70, 144)]);
        assert!(!mask[(40, 2, 2)] && !mask[(40, 70, 100)]);
        assert_eq!(check(&volume, &mask, &rules()), Ok(()));
    }

    #[test]
    fn one_lung_and_none_are_refused() {
        for (lungs, reason) in [(&[-44.0][..], "not both lungs are in the images"), (&[], "no lungs in the images")] {
            let volume = body(lungs);
            assert_eq!(check(&volume, &mask(&volume), &rules()), Err(Refusal::NoLungs(reason)));
        }
    }

    #[test]
    fn a_nodule_in_the_lung_is_taken_in() {
        let mut volume = body(&[-44.0, 44.0]);
        for ((z, y, x), hu) in volume.hu.indexed_iter_mut() {
            let apart = |a: usize, b: f64| (a as f64 - b).powi(2);
            if apart(z, 40.0) + apart(y, 70.0) + apart(x, 56.0) < 64.0 {
                *hu = 20.0;
            }
        }
        assert!(mask(&volume)[(40, 70, 56)]);
    }

    #[test]
    fn mirroring_repeats_the_border_sample() {
        let at: Vec<_> = (0..9).map(|offset| mirrored(1, offset, 5)).collect();
        assert_eq!(at, [2, 1, 0, 0, 1, 2, 3, 4, 4]);
        assert!((0..9).all(|offset| mirrored(0, offset, 1) == 0));
    }
}
