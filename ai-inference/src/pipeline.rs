//! Volume → nodules: resample, lungs, network, measurement. Pure compute; blocks.

use crate::{
    detect::{Candidate, Region, detect},
    engine::Engine,
    error::{ModelError, Refusal},
    lung,
    measure::{Measured, measure},
    models::Model,
    volume::Volume,
};

/// At most this many nodules are reported: more is noise, and no reader goes through it.
const MOST: usize = 50;

/// Two traced nodules with centres nearer than this, mm, are one that was marked twice.
const SAME_MM: f64 = 2.0;

/// A nodule at the operating point, best first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nodule {
    pub measured: Measured,
    /// The network's score, 0..=1.
    pub score: f32,
}

/// Finds and measures nodules, on the threads of the current rayon pool.
///
/// # Errors
/// The inner error says why the volume is not for the model.
pub fn find_nodules(
    volume: &Volume,
    model: &Model,
    engine: &Engine,
) -> Result<Result<Vec<Nodule>, Refusal>, ModelError> {
    let isotropic = volume.to_isotropic();
    let lungs = lung::mask(&isotropic);
    if let Err(refusal) = lung::check(&isotropic, &lungs, &model.card.selects) {
        return Ok(Err(refusal));
    }
    let Some(region) = Region::around(&isotropic.hu, &lungs) else {
        return Ok(Err(Refusal::NoLungs("no lungs in the images")));
    };
    drop(lungs);
    let candidates = detect(&region, &model.card, engine)?;
    let mut nodules: Vec<Nodule> = Vec::new();
    for candidate in candidates.into_iter().filter(|c| c.score >= model.operating_point.threshold).take(MOST) {
        let center_mm = to_patient(&region, isotropic.origin, &candidate);
        let measured = measure(volume, center_mm, candidate.diameter_mm);
        if nodules.iter().all(|better| !same(&better.measured, &measured)) {
            nodules.push(Nodule { measured, score: candidate.score });
        }
    }
    Ok(Ok(nodules))
}

fn same(a: &Measured, b: &Measured) -> bool {
    let distance = (0..3).map(|i| (a.center_mm[i] - b.center_mm[i]).powi(2)).sum::<f64>().sqrt();
    !a.estimated && !b.estimated && distance < SAME_MM
}

/// Region voxels are 1 mm along the patient axes, z, y, x; patient points are x, y, z.
fn to_patient(region: &Region, origin: [f64; 3], candidate: &Candidate) -> [f64; 3] {
    std::array::from_fn(|i| origin[i] + region.corner[2 - i] as f64 + candidate.center[2 - i])
}
