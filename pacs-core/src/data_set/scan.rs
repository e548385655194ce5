//! The scanner: a loop over an explicit stack of open sequences.

use super::header::{self, Header, ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION, Syntax, UNDEFINED};
use super::source::{Inflater, Skip, Source};
use super::{DataSet, Element, Fragment, Limits, ScanError, Value};
use crate::character_set::CharacterSet;
use crate::transfer_syntax::{Encoding, TransferSyntax};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use std::io::{BufReader, Read, Seek, SeekFrom};

/// Most headers fit; a larger buffer would read pixel data for nothing.
const BUFFER: usize = 16 << 10;
/// (FFFC,FFFC) Data Set Trailing Padding (PS3.10 §7.2).
/// First bytes of JPEG and JPEG-LS (SOI), JPEG 2000 (SOC) and JPEG XL codestreams.
const CODESTREAMS: [[u8; 2]; 3] = [[0xFF, 0xD8], [0xFF, 0x4F], [0xFF, 0x0A]];

const TRAILING_PADDING: Tag = Tag(0xFFFC, 0xFFFC);

/// Scans the data set that `reader` holds from its present position to its end.
///
/// Offsets in the result are absolute positions of `reader` (deflated: of the inflated stream, which starts at 0).
/// `reader` needs no buffer of its own.
pub fn scan(
    reader: &mut (impl Read + Seek),
    transfer_syntax: &TransferSyntax,
    limits: Limits,
) -> Result<DataSet, ScanError> {
    let syntax = match transfer_syntax.encoding() {
        Encoding::ImplicitLittle => Syntax::IMPLICIT,
        Encoding::ExplicitLittle => Syntax::EXPLICIT,
        Encoding::ExplicitBig => Syntax::BIG_ENDIAN,
        Encoding::Deflated => return scan_deflated(reader, limits),
    };
    let start = reader.stream_position()?;
    let end = reader.seek(SeekFrom::End(0))?;
    reader.seek(SeekFrom::Start(start))?;
    let source = Source::new(BufReader::with_capacity(BUFFER, reader), start, end);
    Scanner::new(source, syntax, limits).run()
}

/// Inflates twice, to count and to scan: this way memory does not grow with the inflated data set.
fn scan_deflated(reader: &mut (impl Read + Seek), limits: Limits) -> Result<DataSet, ScanError> {
    let start = reader.stream_position()?;
    let counted = Inflater::new(&mut *reader)?;
    let len = std::io::copy(&mut counted.take(limits.inflated + 1), &mut std::io::sink());
    let len = len.map_err(|_| ScanError::Inflate)?;
    if len > limits.inflated {
        return Err(ScanError::TooMany(limits.inflated, "inflated bytes"));
    }
    reader.seek(SeekFrom::Start(start))?;
    Scanner::new(Source::new(Inflater::new(reader)?, 0, len), Syntax::EXPLICIT, limits).run()
}

/// Inflates a deflated data set (PS3.5 §A.5), refusing to make more than `limit` bytes.
pub fn inflate(deflated: impl Read, limit: u64) -> Result<Vec<u8>, ScanError> {
    let mut inflated = Vec::new();
    let inflater = Inflater::new(deflated)?;
    inflater.take(limit.saturating_add(1)).read_to_end(&mut inflated).map_err(|_| ScanError::Inflate)?;
    if inflated.len() as u64 > limit {
        return Err(ScanError::TooMany(limit, "inflated bytes"));
    }
    Ok(inflated)
}

/// A data set or item being read.
struct OpenDataSet {
    data_set: DataSet,
    syntax: Syntax,
    /// Where it ends at the latest.
    end: u64,
    /// Of undefined length: ends with an Item Delimitation Item.
    delimited: bool,
    /// Pixel Representation in force: some VRs hang on it.
    signed: bool,
}

/// A sequence being read, and its item if one is open.
struct OpenSequence {
    tag: Tag,
    offset: u64,
    syntax: Syntax,
    end: u64,
    delimited: bool,
    items: Vec<DataSet>,
    item: Option<OpenDataSet>,
}

struct Scanner<R> {
    source: Source<R>,
    limits: Limits,
    root: OpenDataSet,
    nest: Vec<OpenSequence>,
    elements: usize,
    kept: u64,
    fragments: usize,
}

impl<R: Skip> Scanner<R> {
    fn new(source: Source<R>, syntax: Syntax, limits: Limits) -> Self {
        let data_set = DataSet::default();
        let root = OpenDataSet { data_set, syntax, end: source.end(), delimited: false, signed: false };
        Self { source, limits, root, nest: Vec::new(), elements: 0, kept: 0, fragments: 0 }
    }

    fn run(mut self) -> Result<DataSet, ScanError> {
        while !self.step()? {}
        Ok(self.root.data_set)
    }

    /// Reads one element or item header with what belongs to it; `true` at the end of the root data set.
    fn step(&mut self) -> Result<bool, ScanError> {
        match self.nest.last() {
            None => self.root_element(),
            Some(sequence) if sequence.item.is_some() => self.item_element().map(|()| false),
            Some(_) => self.item().map(|()| false),
        }
    }

    fn root_element(&mut self) -> Result<bool, ScanError> {
        if self.source.left() == 0 {
            return Ok(true);
        }
        if self.source.left() < 8 && !self.root.data_set.elements.is_empty() && self.source.only_zeros_left()? {
            return Ok(true);
        }
        let header = self.header()?;
        match header.tag {
            // Padding to a block size, as tapes and some exports leave it.
            Tag(0, 0) if header.len == 0 && !self.root.data_set.elements.is_empty() => {
                if self.source.only_zeros_left()? { Ok(true) } else { Err(self.malformed("zeros in the middle")) }
            }
            // A delimiter that closes nothing, left behind by writers that mix length forms.
            ITEM_DELIMITATION | SEQUENCE_DELIMITATION if header.len == 0 => Ok(false),
            _ => self.element(header).map(|()| false),
        }
    }

    fn item_element(&mut self) -> Result<(), ScanError> {
        let open = self.open();
        let (end, delimited) = (open.end, open.delimited);
        if self.source.position() >= end {
            return if delimited { Err(self.truncated(ITEM_DELIMITATION)) } else { self.close_item() };
        }
        let header = self.header()?;
        match header.tag {
            ITEM_DELIMITATION if delimited => self.close_item(),
            ITEM_DELIMITATION => Ok(()),
            // The item's own delimiter is missing.
            SEQUENCE_DELIMITATION if delimited => {
                self.close_item()?;
                self.close_sequence(8)
            }
            SEQUENCE_DELIMITATION => Ok(()),
            _ => self.element(header),
        }
    }

    /// Between the items of a sequence: the next item, or the end.
    fn item(&mut self) -> Result<(), ScanError> {
        let Some(sequence) = self.nest.last() else { return Ok(()) };
        let (end, delimited, syntax) = (sequence.end, sequence.delimited, sequence.syntax);
        if self.source.position() >= end {
            return if delimited { Err(self.truncated(SEQUENCE_DELIMITATION)) } else { self.close_sequence(0) };
        }
        if self.source.left() < 8 {
            return Err(self.truncated(ITEM));
        }
        let head = self.source.head()?;
        match syntax.tag(head) {
            ITEM => self.open_item(syntax.len32(head), end, syntax),
            SEQUENCE_DELIMITATION if delimited => self.close_sequence(8),
            SEQUENCE_DELIMITATION => Ok(()),
            _ => Err(self.malformed("an item is expected here")),
        }
    }

    fn open_item(&mut self, len: u32, end: u64, syntax: Syntax) -> Result<(), ScanError> {
        self.count_element()?;
        let end = self.end_of(ITEM, len, end)?;
        let enclosing = self.enclosing();
        let data_set = DataSet { elements: Vec::new(), character_set: enclosing.data_set.character_set.clone() };
        let item = OpenDataSet { data_set, syntax, end, delimited: len == UNDEFINED, signed: enclosing.signed };
        if let Some(sequence) = self.nest.last_mut() {
            sequence.item = Some(item);
        }
        Ok(())
    }

    /// The data set that holds the innermost sequence.
    fn enclosing(&self) -> &OpenDataSet {
        self.nest.iter().rev().find_map(|sequence| sequence.item.as_ref()).unwrap_or(&self.root)
    }

    /// The innermost open data set.
    fn open(&mut self) -> &mut OpenDataSet {
        self.nest.last_mut().and_then(|sequence| sequence.item.as_mut()).unwrap_or(&mut self.root)
    }

    fn close_item(&mut self) -> Result<(), ScanError> {
        if let Some(sequence) = self.nest.last_mut() {
            sequence.items.extend(sequence.item.take().map(|item| item.data_set));
        }
        Ok(())
    }

    /// `delimiter`: bytes of the delimiter just read, which are not the value's.
    fn close_sequence(&mut self, delimiter: u64) -> Result<(), ScanError> {
        if let Some(OpenSequence { tag, offset, items, .. }) = self.nest.pop() {
            let len = self.source.position().saturating_sub(offset + delimiter);
            self.push(Element { tag, vr: VR::SQ, offset, len, value: Value::Sequence(items) });
        }
        Ok(())
    }

    fn header(&mut self) -> Result<Header, ScanError> {
        let open = self.open();
        let (first, mut syntax, end) = (open.data_set.elements.is_empty(), open.syntax, open.end);
        if first && !syntax.explicit && self.source.left() >= 8 {
            let head = self.source.head()?;
            self.source.push_back(head);
            if header::looks_explicit(head, end.saturating_sub(self.source.position())) {
                syntax = Syntax::EXPLICIT;
                self.open().syntax = syntax;
            }
        }
        header::read(&mut self.source, syntax)
    }

    fn element(&mut self, header: Header) -> Result<(), ScanError> {
        self.count_element()?;
        let Header { tag, len, .. } = header;
        let open = self.open();
        let (syntax, end, signed) = (open.syntax, open.end, open.signed);
        let vr = match header.vr {
            Some(vr) if vr != VR::UN => vr,
            _ => header::dictionary_vr(tag, signed).unwrap_or(VR::UN),
        };
        if tag == TRAILING_PADDING {
            let end = self.end_of(tag, len, end)?;
            return Ok(self.source.skip(end - self.source.position())?);
        }
        match vr {
            VR::OB | VR::OW if len == UNDEFINED => self.encapsulated(tag, vr, syntax),
            VR::SQ => self.open_sequence(header, syntax, end),
            // UN of undefined length holds implicit VR items whatever surrounds it (PS3.5 §6.2.2, CP-246).
            _ if len == UNDEFINED => self.open_sequence(header, syntax, end),
            _ => self.plain(tag, vr, len, syntax, end),
        }
    }

    fn open_sequence(&mut self, header: Header, syntax: Syntax, end: u64) -> Result<(), ScanError> {
        if self.nest.len() >= self.limits.depth {
            return Err(ScanError::TooDeep(self.limits.depth));
        }
        let Header { tag, vr, len } = header;
        let syntax = if vr == Some(VR::UN) { Syntax::IMPLICIT } else { syntax };
        let end = self.end_of(tag, len, end)?;
        let delimited = len == UNDEFINED;
        let offset = self.source.position();
        self.nest.push(OpenSequence { tag, offset, syntax, end, delimited, items: Vec::new(), item: None });
        Ok(())
    }

    fn plain(&mut self, tag: Tag, vr: VR, len: u32, syntax: Syntax, end: u64) -> Result<(), ScanError> {
        let offset = self.source.position();
        let end = self.end_of(tag, len, end)?;
        let len = end - offset;
        let keep = len <= self.limits.kept_value && self.kept + len <= self.limits.kept_total && !is_pixel_data(tag);
        let value = if keep {
            self.kept += len;
            let mut bytes = self.source.bytes(len)?;
            if syntax.big_endian {
                bytes.chunks_exact_mut(header::unit(vr)).for_each(<[u8]>::reverse);
            }
            Value::Bytes(bytes.into())
        } else {
            self.source.skip(len)?;
            Value::Located
        };
        self.push(Element { tag, vr, offset, len, value });
        Ok(())
    }

    /// Encapsulated pixel data: a Basic Offset Table and fragments (PS3.5 §A.4).
    fn encapsulated(&mut self, tag: Tag, vr: VR, syntax: Syntax) -> Result<(), ScanError> {
        let offset = self.source.position();
        let mut basic_offset_table = None;
        let mut fragments = Vec::new();
        let mut codestreams = Vec::new();
        let mut delimiter = 8;
        loop {
            // Files cut off right after the last fragment are common and lose nothing.
            if self.source.left() == 0 {
                delimiter = 0;
                break;
            }
            if self.source.left() < 8 {
                return Err(self.truncated(tag));
            }
            let head = self.source.head()?;
            match syntax.tag(head) {
                ITEM if basic_offset_table.is_none() => {
                    basic_offset_table = Some(self.offset_table(syntax.len32(head), syntax)?);
                }
                ITEM => {
                    let (fragment, begins) = self.fragment(syntax.len32(head))?;
                    fragments.push(fragment);
                    codestreams.extend(begins.then_some(fragment.offset));
                }
                SEQUENCE_DELIMITATION => break,
                // The delimiter is missing and the next element follows.
                _ if !fragments.is_empty() => {
                    self.source.push_back(head);
                    delimiter = 0;
                    break;
                }
                _ => return Err(self.malformed("a fragment is expected here")),
            }
        }
        let len = self.source.position() - offset - delimiter;
        let basic_offset_table = basic_offset_table.filter(|table| !table.is_empty());
        let basic_offset_table = basic_offset_table.unwrap_or_else(|| offsets_of(&codestreams, &fragments));
        self.push(Element { tag, vr, offset, len, value: Value::Fragments { basic_offset_table, fragments } });
        Ok(())
    }

    /// A fragment, and whether a codestream begins in it.
    fn fragment(&mut self, len: u32) -> Result<(Fragment, bool), ScanError> {
        self.fragments += 1;
        if self.fragments > self.limits.fragments {
            return Err(ScanError::TooMany(self.limits.fragments as u64, "fragments"));
        }
        let offset = self.source.position();
        let end = self.end_of(ITEM, len, self.source.end())?;
        if len == UNDEFINED {
            return Err(self.malformed("a fragment has no length"));
        }
        let first = self.source.bytes(len.min(2).into())?;
        self.source.skip(end - offset - first.len() as u64)?;
        Ok((Fragment { offset, len }, CODESTREAMS.iter().any(|begin| first == begin)))
    }

    fn offset_table(&mut self, len: u32, syntax: Syntax) -> Result<Vec<u32>, ScanError> {
        let end = self.end_of(ITEM, len, self.source.end())?;
        let len = end - self.source.position();
        if len > 4 * self.limits.fragments as u64 {
            return Err(ScanError::TooMany(self.limits.fragments as u64, "offsets"));
        }
        let bytes = self.source.bytes(len)?;
        let (offsets, _) = bytes.as_chunks();
        Ok(offsets.iter().map(|offset| syntax.u32(*offset)).collect())
    }

    /// Where a value of `len` bytes from here ends, if that is within `end`; `end` for undefined length.
    fn end_of(&self, tag: Tag, len: u32, end: u64) -> Result<u64, ScanError> {
        let offset = self.source.position();
        let left = end.saturating_sub(offset);
        match u64::from(len) {
            _ if len == UNDEFINED => Ok(end),
            len if len > left => Err(ScanError::TooLong { tag, offset, len, left }),
            len => Ok(offset + len),
        }
    }

    fn push(&mut self, element: Element) {
        let open = self.open();
        if let (tags::SPECIFIC_CHARACTER_SET, Value::Bytes(bytes)) = (element.tag, &element.value) {
            open.data_set.character_set = CharacterSet::from_value(bytes);
        }
        if let (tags::PIXEL_REPRESENTATION, Value::Bytes(bytes)) = (element.tag, &element.value) {
            open.signed = bytes.first() == Some(&1);
        }
        open.data_set.elements.push(element);
    }

    fn count_element(&mut self) -> Result<(), ScanError> {
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(ScanError::TooMany(self.limits.elements as u64, "elements"));
        }
        Ok(())
    }

    fn truncated(&self, tag: Tag) -> ScanError {
        ScanError::Truncated { tag, offset: self.source.position() }
    }

    fn malformed(&self, what: &'static str) -> ScanError {
        ScanError::Malformed { offset: self.source.position(), what }
    }
}

/// What a Basic Offset Table would say of the codestreams that begin at `starts`. Many writers leave the table empty;
/// it is then the only way to tell frames of several fragments apart.
fn offsets_of(starts: &[u64], fragments: &[Fragment]) -> Vec<u32> {
    let base = fragments.first().map_or(0, |fragment| fragment.offset);
    let offsets: Option<_> = starts.iter().map(|start| u32::try_from(start - base).ok()).collect();
    offsets.unwrap_or_default()
}

/// Pixel Data, Float and Double Float Pixel Data.
fn is_pixel_data(tag: Tag) -> bool {
    matches!(tag, tags::PIXEL_DATA | tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA)
}
