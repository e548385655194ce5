//! Decoded frames kept in memory, within a budget.

use std::collections::HashMap;
use std::sync::Arc;

use pacs_core::pixel::{Frame, Samples};

use crate::series::FrameKey;

/// A decoded frame and the range of its stored values.
#[derive(Debug, Clone)]
pub struct Held {
    pub frame: Arc<Frame>,
    pub range: (f64, f64),
}

/// Frames by key; never holds more than its budget, one frame aside.
#[derive(Debug)]
pub struct FrameStore {
    held: HashMap<FrameKey, Held>,
    bytes: usize,
    budget: usize,
}

impl FrameStore {
    pub fn new(budget: usize) -> Self {
        Self { held: HashMap::new(), bytes: 0, budget }
    }

    pub fn get(&self, key: &FrameKey) -> Option<&Held> {
        self.held.get(key)
    }

    pub fn contains(&self, key: &FrameKey) -> bool {
        self.held.contains_key(key)
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many frames of `frame_bytes` fit, at least one.
    pub fn room_for(&self, frame_bytes: usize) -> usize {
        (self.budget / frame_bytes.max(1)).max(1)
    }

    /// Keeps a frame, dropping those with the highest `distance` while the budget is exceeded.
    pub fn insert(&mut self, key: FrameKey, frame: Frame, distance: impl Fn(&FrameKey) -> usize) {
        let size = frame_bytes(&frame);
        self.remove(&key);
        if self.bytes + size > self.budget {
            self.make_room(size, distance);
        }
        let range = range(&frame.samples);
        self.bytes += size;
        self.held.insert(key, Held { frame: Arc::new(frame), range });
    }

    fn make_room(&mut self, size: usize, distance: impl Fn(&FrameKey) -> usize) {
        let mut farthest: Vec<(usize, FrameKey)> = self.held.keys().map(|key| (distance(key), key.clone())).collect();
        farthest.sort_by_key(|(distance, _)| std::cmp::Reverse(*distance));
        for (_, key) in farthest {
            if self.bytes + size <= self.budget {
                return;
            }
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &FrameKey) {
        if let Some(held) = self.held.remove(key) {
            self.bytes -= frame_bytes(&held.frame);
        }
    }

    /// Drops everything: a closed study leaves nothing behind.
    pub fn clear(&mut self) {
        self.held = HashMap::new();
        self.bytes = 0;
    }
}

fn frame_bytes(frame: &Frame) -> usize {
    match &frame.samples {
        Samples::U8(v) => v.len(),
        Samples::I8(v) => v.len(),
        Samples::U16(v) => v.len() * 2,
        Samples::I16(v) => v.len() * 2,
        Samples::U32(v) => v.len() * 4,
        Samples::I32(v) => v.len() * 4,
        Samples::F32(v) => v.len() * 4,
        Samples::F64(v) => v.len() * 8,
    }
}

/// Smallest and largest finite stored value; (0, 0) where there is none.
fn range(samples: &Samples) -> (f64, f64) {
    fn of<T: Copy + Into<f64>>(values: &[T]) -> (f64, f64) {
        let finite = values.iter().map(|v| (*v).into()).filter(|v: &f64| v.is_finite());
        let (min, max) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), v| (v.min(min), v.max(max)));
        if min <= max { (min, max) } else { (0.0, 0.0) }
    }
    match samples {
        Samples::U8(v) => of(v),
        Samples::I8(v) => of(v),
        Samples::U16(v) => of(v),
        Samples::I16(v) => of(v),
        Samples::U32(v) => of(v),
        Samples::I32(v) => of(v),
        Samples::F32(v) => of(v),
        Samples::F64(v) => of(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::tests::uid;

    fn key(frame: u32) -> FrameKey {
        FrameKey { sop_instance: uid("1.2"), frame }
    }

    fn frame(value: i16) -> Frame {
        Frame { rows: 2, columns: 2, samples_per_pixel: 1, samples: Samples::I16(vec![value; 4]) }
    }

    #[test]
    fn the_farthest_frames_make_room() {
        let mut store = FrameStore::new(24);
        let distance = |key: &FrameKey| key.frame.abs_diff(5) as usize;
        for number in [1, 5, 9, 4] {
            store.insert(key(number), frame(0), distance);
        }
        assert_eq!(store.bytes(), 24);
        assert!([4, 5].iter().all(|n| store.contains(&key(*n))));
        store.clear();
        assert_eq!((store.bytes(), store.contains(&key(5))), (0, false));
    }

    #[test]
    fn a_frame_larger_than_the_budget_is_still_shown() {
        let mut store = FrameStore::new(4);
        store.insert(key(1), frame(7), |_| 0);
        store.insert(key(2), frame(-3), |_| 0);
        assert!(store.contains(&key(2)) && !store.contains(&key(1)));
        assert_eq!(store.get(&key(2)).map(|held| held.range), Some((-3.0, -3.0)));
        assert_eq!(store.room_for(8), 1);
    }

    #[test]
    fn a_frame_that_comes_twice_counts_once() {
        let mut store = FrameStore::new(100);
        store.insert(key(1), frame(1), |_| 0);
        store.insert(key(1), frame(2), |_| 0);
        assert_eq!(store.bytes(), 8);
    }

    #[test]
    fn the_range_ignores_what_is_no_number() {
        assert_eq!(range(&Samples::F32(vec![f32::NAN, 2.0, -1.0, f32::INFINITY])), (-1.0, 2.0));
        assert_eq!(range(&Samples::U8(vec![])), (0.0, 0.0));
    }
}
