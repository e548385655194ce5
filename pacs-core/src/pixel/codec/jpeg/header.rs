//! Frame and scan headers and tables (T.81 §B.2).

use super::huffman::HuffmanTable;
use crate::pixel::PixelError;
use crate::pixel::codec::segments::Fields;

/// Zigzag order → row by row (T.81 Figure 5).
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    Dct { progressive: bool },
    Lossless,
}

#[derive(Debug, Clone)]
pub(super) struct FrameHeader {
    pub process: Process,
    pub precision: u8,
    pub rows: u16,
    pub columns: u16,
    pub components: Vec<Component>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Component {
    id: u8,
    /// Horizontal and vertical sampling factors, 1..=4.
    pub across: usize,
    pub down: usize,
    pub quantisation: usize,
}

impl FrameHeader {
    /// `code` is the marker SOF0..SOF15.
    pub fn read(code: u8, payload: &[u8]) -> Result<Self, PixelError> {
        let process = match code {
            0xC0 | 0xC1 => Process::Dct { progressive: false },
            0xC2 => Process::Dct { progressive: true },
            0xC3 => Process::Lossless,
            _ => return Err(PixelError::codec("hierarchical or arithmetic coding")),
        };
        let mut fields = Fields(payload);
        let (precision, rows, columns, count) = (fields.u8()?, fields.u16()?, fields.u16()?, fields.u8()?);
        let possible = match process {
            Process::Dct { .. } => matches!(precision, 8 | 12),
            Process::Lossless => (2..=16).contains(&precision),
        };
        if !possible || count == 0 {
            return Err(PixelError::Codec(format!("sample precision {precision}, {count} components")));
        }
        let mut components = Vec::new();
        for _ in 0..count {
            components.push(component(&mut fields)?);
        }
        // A single component is never interleaved, so its factors have no meaning (T.81 §A.2.2).
        if let [only] = components.as_mut_slice() {
            (only.across, only.down) = (1, 1);
        }
        Ok(Self { process, precision, rows, columns, components })
    }

    /// Largest sampling factors: the size of an MCU in blocks.
    pub fn largest_factors(&self) -> (usize, usize) {
        let across = self.components.iter().map(|c| c.across).max().unwrap_or(1);
        let down = self.components.iter().map(|c| c.down).max().unwrap_or(1);
        (across, down)
    }

    /// Columns and rows of a component in samples (T.81 §A.1.1).
    pub fn component_size(&self, component: &Component) -> (usize, usize) {
        let (across, down) = self.largest_factors();
        let columns = (usize::from(self.columns) * component.across).div_ceil(across);
        (columns, (usize::from(self.rows) * component.down).div_ceil(down))
    }
}

fn component(fields: &mut Fields<'_>) -> Result<Component, PixelError> {
    let (id, (across, down), quantisation) = (fields.u8()?, fields.nibbles()?, fields.u8()?);
    match (1..=4).contains(&across) && (1..=4).contains(&down) && quantisation < 4 {
        true => Ok(Component { id, across: across.into(), down: down.into(), quantisation: quantisation.into() }),
        false => Err(PixelError::codec("a component out of range")),
    }
}

/// Which components a scan has and which part of their data (T.81 §B.2.3).
#[derive(Debug, Clone)]
pub(super) struct ScanHeader {
    /// Index of the component in the frame, its DC and its AC table.
    pub components: Vec<(usize, usize, usize)>,
    /// First coefficient; for lossless frames the predictor.
    pub start: usize,
    pub end: usize,
    /// Successive approximation: earlier and present bit position; for lossless frames `low` is the point transform.
    pub high: u8,
    pub low: u8,
}

impl ScanHeader {
    pub fn read(payload: &[u8], frame: &FrameHeader) -> Result<Self, PixelError> {
        let mut fields = Fields(payload);
        let mut components = Vec::new();
        for _ in 0..fields.u8()? {
            let (id, (dc, ac)) = (fields.u8()?, fields.nibbles()?);
            let index = frame.components.iter().position(|component| component.id == id);
            let index = index.ok_or_else(|| PixelError::codec("a scan of an unknown component"))?;
            components.push((index, dc.into(), ac.into()));
        }
        let (start, end, (high, low)) = (fields.u8()?.into(), fields.u8()?.into(), fields.nibbles()?);
        let progressive = frame.process == Process::Dct { progressive: true };
        let scan = match frame.process {
            Process::Dct { progressive: false } => Self { components, start: 0, end: 63, high: 0, low: 0 },
            _ => Self { components, start, end, high, low },
        };
        // AC coefficients come one component a scan (T.81 §G.1.1.1.1).
        let in_range = scan.start <= scan.end && scan.end < 64 && scan.low < 14;
        let one_kind = (scan.start == 0) == (scan.end == 0) && (scan.start == 0 || scan.components.len() == 1);
        match !scan.components.is_empty() && (!progressive || in_range && one_kind) && scan.low < 16 {
            true => Ok(scan),
            false => Err(PixelError::codec("a scan header out of range")),
        }
    }
}

/// What the marker segments between scans define.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub dc: [Option<HuffmanTable>; 4],
    pub ac: [Option<HuffmanTable>; 4],
    /// In zigzag order.
    pub quantisation: [Option<[u16; 64]>; 4],
    /// MCUs; 0 for none.
    pub restart_interval: usize,
}

impl Tables {
    pub fn read_huffman(&mut self, payload: &[u8]) -> Result<(), PixelError> {
        let mut fields = Fields(payload);
        while !fields.0.is_empty() {
            let (class, slot) = fields.nibbles()?;
            let table = HuffmanTable::read(&mut fields)?;
            let slots = match class {
                0 => &mut self.dc,
                _ => &mut self.ac,
            };
            *slots.get_mut(usize::from(slot)).ok_or_else(|| PixelError::codec("a Huffman table out of range"))? =
                Some(table);
        }
        Ok(())
    }

    pub fn read_quantisation(&mut self, payload: &[u8]) -> Result<(), PixelError> {
        let mut fields = Fields(payload);
        while !fields.0.is_empty() {
            let (wide, slot) = fields.nibbles()?;
            let mut table = [0; 64];
            for step in &mut table {
                *step = if wide == 0 { fields.u8()?.into() } else { fields.u16()? };
            }
            let place = self.quantisation.get_mut(usize::from(slot));
            *place.ok_or_else(|| PixelError::codec("a quantisation table out of range"))? = Some(table);
        }
        Ok(())
    }

    pub fn dc(&self, slot: usize) -> Result<&HuffmanTable, PixelError> {
        table(&self.dc, slot)
    }

    pub fn ac(&self, slot: usize) -> Result<&HuffmanTable, PixelError> {
        table(&self.ac, slot)
    }
}

fn table(slots: &[Option<HuffmanTable>], slot: usize) -> Result<&HuffmanTable, PixelError> {
    slots.get(slot).and_then(Option::as_ref).ok_or_else(|| PixelError::codec("a Huffman table is missing"))
}
