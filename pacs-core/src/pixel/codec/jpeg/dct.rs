//! Scans of DCT coefficients, sequential and progressive (T.81 §F.2, §G.2).

use super::bits::Bits;
use super::header::{FrameHeader, Process, ScanHeader, Tables, ZIGZAG};
use super::huffman::HuffmanTable;
use crate::pixel::PixelError;

/// Coefficients of a block, row by row.
pub(super) type Block = [i16; 64];

/// The coefficients of all components, which progressive scans add to.
pub(super) struct Coefficients {
    pub components: Vec<BlockGrid>,
}

pub(super) struct BlockGrid {
    /// Blocks in a row, whole MCUs.
    pub stride: usize,
    pub blocks: Vec<Block>,
    /// Blocks across and down that hold samples of the image (T.81 §A.2.3).
    used: (usize, usize),
}

impl Coefficients {
    pub fn of(frame: &FrameHeader) -> Self {
        let (mcus_across, mcus_down) = mcus(frame);
        let grid = |component: &super::header::Component| {
            let (columns, rows) = frame.component_size(component);
            let stride = mcus_across * component.across;
            let blocks = vec![[0; 64]; stride * mcus_down * component.down];
            BlockGrid { stride, blocks, used: (columns.div_ceil(8), rows.div_ceil(8)) }
        };
        Self { components: frame.components.iter().map(grid).collect() }
    }
}

/// MCUs of an interleaved scan, across and down.
fn mcus(frame: &FrameHeader) -> (usize, usize) {
    let (across, down) = frame.largest_factors();
    (usize::from(frame.columns).div_ceil(8 * across), usize::from(frame.rows).div_ceil(8 * down))
}

/// Decodes one scan into `coefficients`.
pub(super) fn decode(
    data: &[u8],
    frame: &FrameHeader,
    scan: &ScanHeader,
    tables: &Tables,
    coefficients: &mut Coefficients,
) -> Result<(), PixelError> {
    let mut intervals = Bits::intervals(data);
    let mut decoders = decoders(frame, scan, tables)?;
    let (across, down) = match scan.components.as_slice() {
        &[(index, ..)] => coefficients.components.get(index).map_or((0, 0), |grid| grid.used),
        _ => mcus(frame),
    };
    let interval = if tables.restart_interval == 0 { across * down } else { tables.restart_interval };
    let mut bits = Bits::of(&[]);
    for mcu in 0..across * down {
        if mcu % interval == 0 {
            bits = intervals.next().ok_or_else(|| PixelError::codec("a restart interval is missing"))?;
            decoders.iter_mut().for_each(BlockDecoder::restart);
        }
        let (x, y) = (mcu % across, mcu / across);
        for decoder in &mut decoders {
            let grid = coefficients.components.get_mut(decoder.component);
            let grid = grid.ok_or_else(|| PixelError::codec("a scan of an unknown component"))?;
            decoder.mcu(&mut bits, grid, x, y)?;
        }
        bits.check()?;
    }
    Ok(())
}

fn decoders<'a>(
    frame: &FrameHeader,
    scan: &ScanHeader,
    tables: &'a Tables,
) -> Result<Vec<BlockDecoder<'a>>, PixelError> {
    let progressive = frame.process == Process::Dct { progressive: true };
    let interleaved = scan.components.len() > 1;
    let decoder = |&(component, dc, ac): &(usize, usize, usize)| {
        let header = frame.components.get(component).ok_or_else(|| PixelError::codec("an unknown component"))?;
        let kind = match (progressive, scan.start, scan.high) {
            (false, ..) => Kind::Sequential { dc: tables.dc(dc)?, ac: tables.ac(ac)? },
            (true, 0, 0) => Kind::DcFirst(tables.dc(dc)?),
            (true, 0, _) => Kind::DcRefine,
            (true, _, 0) => Kind::AcFirst(tables.ac(ac)?),
            (true, _, _) => Kind::AcRefine(tables.ac(ac)?),
        };
        let size = if interleaved { (header.across, header.down) } else { (1, 1) };
        let band = (scan.start, scan.end);
        Ok(BlockDecoder { component, kind, size, band, low: scan.low.into(), predicted: 0, end_of_band: 0 })
    };
    scan.components.iter().map(decoder).collect()
}

enum Kind<'a> {
    Sequential { dc: &'a HuffmanTable, ac: &'a HuffmanTable },
    DcFirst(&'a HuffmanTable),
    DcRefine,
    AcFirst(&'a HuffmanTable),
    AcRefine(&'a HuffmanTable),
}

/// Decodes the blocks of one component of a scan.
struct BlockDecoder<'a> {
    component: usize,
    kind: Kind<'a>,
    /// Blocks of an MCU across and down.
    size: (usize, usize),
    /// First and last coefficient, in zigzag order.
    band: (usize, usize),
    /// Bit position of what this scan adds.
    low: u32,
    /// DC coefficient of the block before.
    predicted: i32,
    /// Blocks still to come whose band is known to have ended.
    end_of_band: u32,
}

impl BlockDecoder<'_> {
    fn restart(&mut self) {
        self.predicted = 0;
        self.end_of_band = 0;
    }

    fn mcu(&mut self, bits: &mut Bits<'_>, grid: &mut BlockGrid, x: usize, y: usize) -> Result<(), PixelError> {
        let (across, down) = self.size;
        for row in y * down..(y + 1) * down {
            for column in x * across..(x + 1) * across {
                let block = grid.blocks.get_mut(row * grid.stride + column);
                self.block(bits, block.ok_or_else(|| PixelError::codec("a block outside the image"))?)?;
            }
        }
        Ok(())
    }

    fn block(&mut self, bits: &mut Bits<'_>, block: &mut Block) -> Result<(), PixelError> {
        match self.kind {
            Kind::Sequential { dc, ac } => {
                block[0] = self.dc(bits, dc)?;
                sequential_ac(bits, ac, block)
            }
            Kind::DcFirst(dc) => {
                block[0] = self.dc(bits, dc)?.wrapping_shl(self.low);
                Ok(())
            }
            Kind::DcRefine => {
                block[0] |= (bits.take(1) as i16) << self.low;
                Ok(())
            }
            Kind::AcFirst(ac) => self.ac_first(bits, ac, block),
            Kind::AcRefine(ac) => self.ac_refine(bits, ac, block),
        }
    }

    /// The DC coefficient: predicted from the block before.
    fn dc(&mut self, bits: &mut Bits<'_>, table: &HuffmanTable) -> Result<i16, PixelError> {
        let size = table.decode(bits)?;
        if size > 15 {
            return Err(PixelError::codec("a DC difference out of range"));
        }
        self.predicted = self.predicted.wrapping_add(bits.signed(size.into()));
        Ok(self.predicted as i16)
    }

    fn ac_first(&mut self, bits: &mut Bits<'_>, table: &HuffmanTable, block: &mut Block) -> Result<(), PixelError> {
        if self.end_of_band > 0 {
            self.end_of_band -= 1;
            return Ok(());
        }
        let (mut k, end) = self.band;
        while k <= end {
            let (run, size) = run_and_size(table.decode(bits)?);
            match (run, size) {
                (15, 0) => k += 16,
                (run, 0) => {
                    self.end_of_band = (1 << run) - 1 + bits.take(run as u32);
                    break;
                }
                (run, size) => {
                    k += run;
                    *coefficient(block, k)? = (bits.signed(size) as i16).wrapping_shl(self.low);
                    k += 1;
                }
            }
        }
        Ok(())
    }

    /// Adds one bit to every coefficient met before, and new ones of size 1 (T.81 §G.1.2.3).
    fn ac_refine(&mut self, bits: &mut Bits<'_>, table: &HuffmanTable, block: &mut Block) -> Result<(), PixelError> {
        let bit = 1i16 << self.low;
        let (mut k, end) = self.band;
        while self.end_of_band == 0 && k <= end {
            let (run, size) = run_and_size(table.decode(bits)?);
            let new = match size {
                0 => 0,
                _ if bits.take(1) == 1 => bit,
                _ => -bit,
            };
            if size == 0 && run < 15 {
                self.end_of_band = (1 << run) + bits.take(run as u32);
                break;
            }
            k = refine(bits, block, k, end, run, bit)?;
            if new != 0 {
                *coefficient(block, k)? = new;
            }
            k += 1;
        }
        if self.end_of_band > 0 {
            refine(bits, block, k, end, usize::MAX, bit)?;
            self.end_of_band -= 1;
        }
        Ok(())
    }
}

/// Refines coefficients from `k` on until `zeros` that are 0 were passed; returns the place of the next 0.
fn refine(
    bits: &mut Bits<'_>,
    block: &mut Block,
    mut k: usize,
    end: usize,
    mut zeros: usize,
    bit: i16,
) -> Result<usize, PixelError> {
    while k <= end {
        let value = coefficient(block, k)?;
        if *value == 0 {
            if zeros == 0 {
                break;
            }
            zeros -= 1;
        } else if bits.take(1) == 1 && *value & bit == 0 {
            *value = value.wrapping_add(if *value > 0 { bit } else { -bit });
        }
        k += 1;
    }
    Ok(k)
}

fn sequential_ac(bits: &mut Bits<'_>, table: &HuffmanTable, block: &mut Block) -> Result<(), PixelError> {
    let mut k = 1;
    while k < 64 {
        match run_and_size(table.decode(bits)?) {
            (15, 0) => k += 16,
            (_, 0) => break,
            (run, size) => {
                k += run;
                *coefficient(block, k)? = bits.signed(size) as i16;
                k += 1;
            }
        }
    }
    Ok(())
}

fn run_and_size(value: u8) -> (usize, u32) {
    (usize::from(value >> 4), u32::from(value & 0xF))
}

/// The coefficient at `k` in zigzag order.
#[inline]
fn coefficient(block: &mut Block, k: usize) -> Result<&mut i16, PixelError> {
    let place = ZIGZAG.get(k).and_then(|&place| block.get_mut(usize::from(place)));
    place.ok_or_else(|| PixelError::codec("too many coefficients in a block"))
}
