//! Which frames to fetch next: the one looked at, then where the reader is going, then what the AI marked, then the rest.

use std::collections::HashSet;

/// Frames around the one looked at that come before all others.
const NEIGHBOURHOOD: usize = 24;

/// A reader at a place in a stack.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    pub count: usize,
    pub at: usize,
    /// Scrolls towards higher indices.
    pub forward: bool,
    /// Slices with findings.
    pub marked: &'a [usize],
    /// Frames that fit into memory: nothing beyond is fetched.
    pub room: usize,
}

impl Reading<'_> {
    /// The first `free` of the wanted frames that `is_absent` says still have to be fetched.
    pub fn next(&self, free: usize, is_absent: impl Fn(usize) -> bool) -> Vec<usize> {
        self.wanted().into_iter().filter(|index| is_absent(*index)).take(free).collect()
    }

    /// All frames worth having, most wanted first, each once, at most `room`.
    pub fn wanted(&self) -> Vec<usize> {
        let around: Vec<usize> = self.around().collect();
        let (near, far) = around.split_at(around.len().min(NEIGHBOURHOOD));
        let marked = self.marked.iter().copied().filter(|index| *index < self.count);
        let mut seen = HashSet::new();
        let all = near.iter().copied().chain(marked).chain(far.iter().copied());
        all.filter(|index| seen.insert(*index)).take(self.room).collect()
    }

    /// Outwards from the place, two ahead for one behind.
    fn around(&self) -> impl Iterator<Item = usize> {
        let Self { count, at, forward, .. } = *self;
        let step = move |distance: usize, ahead: bool| {
            let index = if ahead == forward { at.checked_add(distance) } else { at.checked_sub(distance) };
            index.filter(|index| *index < count)
        };
        let rounds = (1..=count).flat_map(move |n| [step(2 * n - 1, true), step(2 * n, true), step(n, false)]);
        (at < count).then_some(at).into_iter().chain(rounds.flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reading(count: usize, at: usize, forward: bool) -> Reading<'static> {
        Reading { count, at, forward, marked: &[], room: usize::MAX }
    }

    #[test]
    fn the_visible_frame_comes_first_then_two_ahead_for_one_behind() {
        assert_eq!(reading(100, 10, true).wanted()[..7], [10, 11, 12, 9, 13, 14, 8]);
        assert_eq!(reading(100, 10, false).wanted()[..4], [10, 9, 8, 11]);
    }

    #[test]
    fn marked_slices_come_before_the_far_ones() {
        let wanted = Reading { marked: &[90, 700], ..reading(100, 10, true) }.wanted();
        assert_eq!(wanted[NEIGHBOURHOOD], 90);
        assert_eq!(wanted.len(), 100);
    }

    #[test]
    fn nothing_is_fetched_that_does_not_fit() {
        let reading = Reading { room: 3, ..reading(100, 50, true) };
        assert_eq!(reading.next(10, |index| index != 50), [51, 52]);
    }

    proptest! {
        #[test]
        fn every_frame_is_wanted_exactly_once(count in 0usize..200, at in 0usize..200, forward: bool) {
            prop_assume!(at < count);
            let mut wanted = reading(count, at, forward).wanted();
            wanted.sort_unstable();
            prop_assert_eq!(wanted, (0..count).collect::<Vec<_>>());
        }
    }
}
