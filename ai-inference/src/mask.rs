//! Steps on masks of voxels, `(z, y, x)`: floods, distances, components.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis, Slice};
use std::ops::Range;

/// The box of a volume that spans `ranges` along z, y, x; each must lie inside.
pub fn cut<'a, T>(volume: &'a Array3<T>, ranges: &[Range<usize>; 3]) -> ArrayView3<'a, T> {
    volume.slice_each_axis(|axis| Slice::from(ranges[axis.axis.index()].clone()))
}

/// Pixels that a 4-connected flood over `passable` reaches from the border of the slice.
pub fn reached_from_border(passable: ArrayView2<'_, bool>) -> Array2<bool> {
    let (rows, columns) = passable.dim();
    let mut reached = Array2::from_elem((rows, columns), false);
    let mut open: Vec<(usize, usize)> = Vec::new();
    let sides = (0..rows).flat_map(|y| [(y, 0), (y, columns - 1)]);
    let ends = (0..columns).flat_map(|x| [(0, x), (rows - 1, x)]);
    let visit = |at: (usize, usize), reached: &mut Array2<bool>, open: &mut Vec<_>| {
        if passable[at] && !reached[at] {
            reached[at] = true;
            open.push(at);
        }
    };
    sides.chain(ends).for_each(|at| visit(at, &mut reached, &mut open));
    while let Some((y, x)) = open.pop() {
        for (y, x) in [(y.wrapping_sub(1), x), (y + 1, x), (y, x.wrapping_sub(1)), (y, x + 1)] {
            if y < rows && x < columns {
                visit((y, x), &mut reached, &mut open);
            }
        }
    }
    reached
}

/// Moves the 6-connected component of `from` that holds `seed` into `to`; returns its size in voxels.
pub fn take_component(from: &mut Array3<bool>, seed: (usize, usize, usize), to: &mut Array3<bool>) -> usize {
    let (nz, ny, nx) = from.dim();
    let mut open = vec![seed];
    let mut size = 0;
    while let Some((z, y, x)) = open.pop() {
        if z >= nz || y >= ny || x >= nx || !std::mem::take(&mut from[(z, y, x)]) {
            continue;
        }
        to[(z, y, x)] = true;
        size += 1;
        open.extend([(z.wrapping_sub(1), y, x), (z + 1, y, x), (z, y.wrapping_sub(1), x), (z, y + 1, x)]);
        open.extend([(z, y, x.wrapping_sub(1)), (z, y, x + 1)]);
    }
    size
}

/// The `count` largest 6-connected components of more than `least` voxels.
pub fn largest_components(mut mask: Array3<bool>, count: usize, least: usize) -> Array3<bool> {
    let mut kept = Array3::from_elem(mask.dim(), false);
    let mut found = Vec::new();
    for index in 0..mask.len() {
        let seed = position(index, mask.dim());
        if mask[seed] {
            found.push((take_component(&mut mask, seed, &mut kept), seed));
        }
    }
    found.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    // `kept` now holds every component, and `mask` none: the largest go back.
    for (_, seed) in found.into_iter().take(count).take_while(|(size, _)| *size > least) {
        take_component(&mut kept, seed, &mut mask);
    }
    mask
}

fn position(index: usize, (_, ny, nx): (usize, usize, usize)) -> (usize, usize, usize) {
    (index / (ny * nx), index / nx % ny, index % nx)
}

/// Voxels with a set voxel within `radius` steps along the axes (city-block distance).
///
/// `outside`: whether what lies beyond the border counts as set.
pub fn within(mask: &Array3<bool>, radius: u8, outside: bool) -> Array3<bool> {
    let beyond = if outside { 0 } else { u8::MAX };
    let mut distance = mask.mapv(|set| if set { 0 } else { u8::MAX });
    for axis in 0..3 {
        for mut line in distance.lanes_mut(Axis(axis)) {
            let mut last = beyond;
            line.iter_mut().for_each(|d| last = step(d, last));
            last = beyond;
            line.iter_mut().rev().for_each(|d| last = step(d, last));
        }
    }
    distance.mapv(|d| d <= radius)
}

fn step(distance: &mut u8, neighbour: u8) -> u8 {
    *distance = (*distance).min(neighbour.saturating_add(1));
    *distance
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_flood_from_the_border_leaves_closed_rooms_dry() {
        let wall = |y: usize, x: usize| {
            (y == 2 || y == 6) && (2..=6).contains(&x) || (x == 2 || x == 6) && (2..=6).contains(&y)
        };
        let passable = Array2::from_shape_fn((9, 9), |(y, x)| !wall(y, x));
        let reached = reached_from_border(passable.view());
        assert!(reached[(0, 0)] && !reached[(4, 4)] && !reached[(2, 2)]);
    }

    #[test]
    fn only_the_largest_components_stay() {
        let mut mask = Array3::from_elem((1, 1, 20), false);
        for x in (0..6).chain(8..12).chain(14..16).chain(18..19) {
            mask[(0, 0, x)] = true;
        }
        let kept = largest_components(mask, 2, 2);
        assert_eq!(kept.iter().filter(|&&set| set).count(), 10);
        assert!(kept[(0, 0, 0)] && kept[(0, 0, 8)] && !kept[(0, 0, 14)]);
    }

    proptest! {
        #[test]
        fn distances_are_those_of_the_definition(bits in prop::collection::vec(prop::bool::weighted(0.1), 60), radius in 0..5_u8, outside in any::<bool>()) {
            let mask = Array3::from_shape_vec((3, 4, 5), bits).unwrap();
            let near = within(&mask, radius, outside);
            for ((z, y, x), &actual) in near.indexed_iter() {
                let apart = |(a, b, c): (usize, usize, usize)| a.abs_diff(z) + b.abs_diff(y) + c.abs_diff(x);
                let inside = mask.indexed_iter().filter(|(_, set)| **set).map(|(at, _)| apart(at)).min();
                let border = [z + 1, 3 - z, y + 1, 4 - y, x + 1, 5 - x].into_iter().min().filter(|_| outside);
                let nearest = inside.into_iter().chain(border).min();
                prop_assert_eq!(actual, nearest.is_some_and(|d| d <= usize::from(radius)));
            }
        }
    }
}
