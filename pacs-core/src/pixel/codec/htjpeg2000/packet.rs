//! Packets of one layer, one precinct a resolution (ISO/IEC 15444-1 §B.10).

/// A sub-band of one component at one resolution, encoded.
pub(super) struct Band {
    /// Code-blocks in a row.
    pub across: usize,
    /// Length of each code-block, row by row; 0 where all samples are zero.
    pub lengths: Vec<usize>,
    /// The code-blocks one after the other.
    pub data: Vec<u8>,
    /// Bit-planes that no sample of the band has a bit in, the one that is coded left out.
    pub missing: u32,
}

/// Appends the packet of one resolution of one component.
pub(super) fn write(bands: &[Band], out: &mut Vec<u8>) {
    out.reserve(bands.iter().map(|band| band.data.len() + 8 * band.lengths.len()).sum());
    let mut bits = Bits { bytes: out, cache: 0, room: 8 };
    bits.put(1, 1);
    bands.iter().for_each(|band| header(band, &mut bits));
    bits.finish();
    bands.iter().for_each(|band| out.extend_from_slice(&band.data));
}

/// Of each code-block: whether it is there, its missing bit-planes, one coding pass, its length.
fn header(band: &Band, bits: &mut Bits<'_>) {
    let mut inclusion = Tree::of(band, |length| u32::from(length == 0));
    let mut missing = Tree::of(band, |_| band.missing);
    for (at, &length) in band.lengths.iter().enumerate() {
        let place = (at % band.across, at / band.across);
        inclusion.write(place, 1, bits);
        if length == 0 {
            continue;
        }
        missing.write(place, band.missing + 1, bits);
        bits.put(0, 1); // one coding pass
        // Lengths have three bits until ones say that they have more (§B.10.7.1).
        let width = (usize::BITS - length.leading_zeros()).max(3);
        (3..width).for_each(|_| bits.put(1, 1));
        bits.put(0, 1);
        bits.put(length as u32, width);
    }
}

/// A tag tree (§B.10.2).
struct Tree {
    /// From the leaves to the root.
    levels: Vec<Level>,
}

struct Level {
    across: usize,
    nodes: Vec<Node>,
}

#[derive(Clone, Copy)]
struct Node {
    value: u32,
    /// Values below are ruled out.
    low: u32,
    is_known: bool,
}

impl Tree {
    fn of(band: &Band, value: impl Fn(usize) -> u32) -> Self {
        let node = |value| Node { value, low: 0, is_known: false };
        let leaves = band.lengths.iter().map(|&length| node(value(length))).collect();
        let mut levels = vec![Level { across: band.across, nodes: leaves }];
        while let Some(level) = levels.last().filter(|level| level.nodes.len() > 1) {
            let (across, down) = (level.across.div_ceil(2), (level.nodes.len() / level.across).div_ceil(2));
            let mut nodes = vec![node(u32::MAX); across * down];
            for (at, child) in level.nodes.iter().enumerate() {
                let parent = &mut nodes[at / level.across / 2 * across + at % level.across / 2];
                parent.value = parent.value.min(child.value);
            }
            levels.push(Level { across, nodes });
        }
        Self { levels }
    }

    /// Tells whether the value at `place` is below `threshold`.
    fn write(&mut self, place: (usize, usize), threshold: u32, bits: &mut Bits<'_>) {
        let mut low = 0;
        for (depth, level) in self.levels.iter_mut().enumerate().rev() {
            let node = &mut level.nodes[(place.1 >> depth) * level.across + (place.0 >> depth)];
            low = low.max(node.low);
            while low < threshold && !(low >= node.value && node.is_known) {
                let is_reached = low >= node.value;
                bits.put(is_reached.into(), 1);
                if is_reached {
                    node.is_known = true;
                } else {
                    low += 1;
                }
            }
            node.low = low;
        }
    }
}

/// Bits from the highest on; the byte after 0xFF has seven (§B.10.1).
struct Bits<'a> {
    bytes: &'a mut Vec<u8>,
    cache: u32,
    room: u32,
}

impl Bits<'_> {
    fn put(&mut self, value: u32, count: u32) {
        for at in (0..count).rev() {
            self.cache = self.cache << 1 | (value >> at & 1);
            self.room -= 1;
            if self.room == 0 {
                self.bytes.push(self.cache as u8);
                self.room = if self.cache == 0xFF { 7 } else { 8 };
                self.cache = 0;
            }
        }
    }

    /// Fills up the last byte with zeros; one follows 0xFF in any case.
    fn finish(self) {
        if self.room < 8 {
            self.bytes.push((self.cache << self.room) as u8);
        }
    }
}
