//! A stack of slices as one volume in Hounsfield units, and its place in the patient.

use ndarray::Array3;
use rayon::prelude::*;

/// HU of air outside of everything scanned.
pub const OUTSIDE: f32 = -1024.0;

/// (column, row, slice) index ↔ patient millimetres (LPS): whatever the orientation, slice order or gantry tilt of a
/// series, all coordinates go through here.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    origin: [f64; 3],
    /// Patient step of one column, row, slice.
    steps: [[f64; 3]; 3],
    /// Rows give column, row, slice from a patient vector.
    inverse: [[f64; 3]; 3],
}

impl Grid {
    /// `origin`: centre of the first voxel; `steps`: patient step of one column, row, slice. `None` where the steps lie
    /// in a plane.
    pub fn new(origin: [f64; 3], steps: [[f64; 3]; 3]) -> Option<Self> {
        let [a, b, c] = steps;
        let volume = dot(a, cross(b, c));
        let usable = volume.abs() > 1e-9 && volume.is_finite();
        let inverse = [cross(b, c), cross(c, a), cross(a, b)].map(|row| row.map(|v| v / volume));
        usable.then_some(Self { origin, steps, inverse })
    }

    pub fn to_patient(&self, [column, row, slice]: [f64; 3]) -> [f64; 3] {
        let [a, b, c] = self.steps;
        std::array::from_fn(|i| self.origin[i] + column * a[i] + row * b[i] + slice * c[i])
    }

    pub fn to_index(&self, point: [f64; 3]) -> [f64; 3] {
        let from_first = std::array::from_fn(|i| point[i] - self.origin[i]);
        self.inverse.map(|row| dot(row, from_first))
    }

    /// Volume of a voxel, mm³.
    pub fn voxel_mm3(&self) -> f64 {
        let [a, b, c] = self.steps;
        dot(a, cross(b, c)).abs()
    }
}

/// A series as scanned: `hu[(slice, row, column)]`.
#[derive(Debug, Clone)]
pub struct Volume {
    pub hu: Array3<i16>,
    pub grid: Grid,
}

/// A volume of 1 mm cubes along the patient axes: `hu[(z, y, x)]`, the first voxel's centre at `origin` (x, y, z).
#[derive(Debug, Clone)]
pub struct Isotropic {
    pub hu: Array3<f32>,
    pub origin: [f64; 3],
}

impl Volume {
    /// Trilinear value at a (column, row, slice) index; `None` more than half a voxel outside.
    pub fn sample(&self, [column, row, slice]: [f64; 3]) -> Option<f32> {
        let (slices, rows, columns) = self.hu.dim();
        let (c, r, s) = (Bracket::of(column, columns)?, Bracket::of(row, rows)?, Bracket::of(slice, slices)?);
        let along_row = |s: usize, r: usize| c.mix(self.hu[(s, r, c.low)].into(), self.hu[(s, r, c.high)].into());
        let in_slice = |s: usize| r.mix(along_row(s, r.low), along_row(s, r.high));
        Some(s.mix(in_slice(s.low), in_slice(s.high)))
    }

    /// Millimetres that [`Volume::to_isotropic`] would cover along x, y, z: its voxels, rounded.
    pub fn extent_mm(&self) -> [f64; 3] {
        let ([low, high], voxel) = (self.bounds(), self.grid.steps);
        std::array::from_fn(|i| high[i] - low[i] + voxel.iter().map(|step| step[i].abs()).sum::<f64>())
    }

    /// Resamples to 1 mm, trilinear; what was not scanned is [`OUTSIDE`].
    pub fn to_isotropic(&self) -> Isotropic {
        let [origin, _] = self.bounds();
        let [nx, ny, nz] = self.extent_mm().map(|mm| (mm.round_ties_even() as usize).max(1));
        let mut hu = vec![OUTSIDE; nx * ny * nz];
        hu.par_chunks_mut(ny * nx).enumerate().for_each(|(z, plane)| {
            for (y, line) in plane.chunks_mut(nx).enumerate() {
                self.fill_line(line, [origin[0], origin[1] + y as f64, origin[2] + z as f64]);
            }
        });
        let hu = Array3::from_shape_vec((nz, ny, nx), hu).expect("the vector was made for this shape");
        Isotropic { hu, origin }
    }

    fn fill_line(&self, line: &mut [f32], start: [f64; 3]) {
        let first = self.grid.to_index(start);
        let step = self.grid.inverse.map(|row| row[0]);
        for (x, value) in line.iter_mut().enumerate() {
            if let Some(hu) = self.sample(std::array::from_fn(|i| first[i] + x as f64 * step[i])) {
                *value = hu;
            }
        }
    }

    /// Lowest and highest patient coordinates of voxel centres.
    fn bounds(&self) -> [[f64; 3]; 2] {
        let (slices, rows, columns) = self.hu.dim();
        let ends = |n: usize| [0.0, n.saturating_sub(1) as f64];
        let mut bounds = [[f64::INFINITY; 3], [f64::NEG_INFINITY; 3]];
        for c in ends(columns) {
            for r in ends(rows) {
                for s in ends(slices) {
                    let corner = self.grid.to_patient([c, r, s]);
                    bounds[0] = std::array::from_fn(|i| bounds[0][i].min(corner[i]));
                    bounds[1] = std::array::from_fn(|i| bounds[1][i].max(corner[i]));
                }
            }
        }
        bounds
    }
}

/// The two indices around a coordinate, and how far it is towards the upper one.
struct Bracket {
    low: usize,
    high: usize,
    part: f32,
}

impl Bracket {
    fn of(at: f64, len: usize) -> Option<Self> {
        if !(at >= -0.5 && at < len as f64 - 0.5) {
            return None;
        }
        let at = at.clamp(0.0, (len - 1) as f64);
        let low = at as usize;
        Some(Self { low, high: (low + 1).min(len - 1), part: (at - low as f64) as f32 })
    }

    fn mix(&self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.part
    }
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn cross([a, b, c]: [f64; 3], [d, e, f]: [f64; 3]) -> [f64; 3] {
    [b * f - c * e, c * d - a * f, a * e - b * d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A bright voxel at index (c, r, s) of a 12 × 10 × 8 stack.
    fn bright(grid: Grid, at: (usize, usize, usize)) -> Volume {
        let mut hu = Array3::from_elem((8, 10, 12), -1000);
        hu[(at.2, at.1, at.0)] = 1000;
        Volume { hu, grid }
    }

    fn brightest(iso: &Isotropic) -> [f64; 3] {
        let ((z, y, x), _) = iso.hu.indexed_iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        [iso.origin[0] + x as f64, iso.origin[1] + y as f64, iso.origin[2] + z as f64]
    }

    #[test]
    fn a_bright_voxel_stays_where_it_is_in_the_patient_in_every_orientation() {
        let steps = [
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]],
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -2.0]],
            [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]],
            [[0.8, 0.6, 0.0], [-0.6, 0.8, 0.0], [0.0, 0.0, 1.5]],
            // gantry tilt: slices step along z, but lie slanted
            [[1.0, 0.0, 0.0], [0.0, 0.96, -0.28], [0.0, 0.0, 2.0]],
        ];
        for steps in steps {
            let grid = Grid::new([10.0, -20.0, 30.0], steps).unwrap();
            let there = grid.to_patient([5.0, 4.0, 3.0]);
            let found = brightest(&bright(grid, (5, 4, 3)).to_isotropic());
            let off = (0..3).map(|i| (there[i] - found[i]).abs()).fold(0.0, f64::max);
            assert!(off <= 0.51, "{steps:?}: {there:?} {found:?}");
        }
    }

    #[test]
    fn a_plain_axial_stack_keeps_its_first_voxel_and_covers_its_last() {
        let grid = Grid::new([0.0; 3], [[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 2.0]]).unwrap();
        let iso = bright(grid, (0, 0, 0)).to_isotropic();
        assert_eq!((iso.hu.dim(), iso.hu[(0, 0, 0)], iso.origin), ((16, 5, 6), 1000.0, [0.0; 3]));
    }

    #[test]
    fn flat_steps_are_no_grid() {
        assert_eq!(Grid::new([0.0; 3], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]), None);
        assert_eq!(Grid::new([0.0; 3], [[f64::NAN; 3]; 3]), None);
    }

    proptest! {
        #[test]
        fn index_and_point_map_there_and_back(index in prop::array::uniform3(-50.0..50.0_f64)) {
            let grid = Grid::new([3.0, 4.0, 5.0], [[0.7, 0.1, 0.0], [-0.1, 0.7, 0.05], [0.0, 0.3, 2.5]]).unwrap();
            let back = grid.to_index(grid.to_patient(index));
            prop_assert!((0..3).all(|i| (back[i] - index[i]).abs() < 1e-9));
        }

        #[test]
        fn sampling_anywhere_never_panics(index in prop::array::uniform3(any::<f64>())) {
            let grid = Grid::new([0.0; 3], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).unwrap();
            let _ = bright(grid, (1, 1, 1)).sample(index);
        }
    }
}
