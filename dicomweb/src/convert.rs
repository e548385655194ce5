//! A stored instance rewritten in Explicit VR Little Endian with native pixel data, for clients that ask for that.
//!
//! Everything but the pixel data is copied as it stands; long values and frames are read as the client takes them.

use crate::{decode, error::WebError, respond::Piece, scan, web::Web};
use bytes::Bytes;
use pacs_core::{
    Attributes, Failure, Tag, TransferSyntax, VR,
    data_set::{self, DataSet, Element, Stretch, Value},
    frame_layout::FrameLayout,
    part10,
    pixel::{ImagePixel, PixelError},
    tags,
    transfer_syntax::{Codec, EXPLICIT_VR_LITTLE_ENDIAN, Encoding},
};
use std::{ops::Range, sync::Arc};
use storage::StoredInstance;

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// Whether an instance can be sent in Explicit VR Little Endian at all.
pub fn is_possible(transfer_syntax: &TransferSyntax) -> bool {
    !matches!(transfer_syntax.codec(), Codec::Video | Codec::Unknown)
}

pub fn is_needed(transfer_syntax: &TransferSyntax) -> bool {
    transfer_syntax.uid().as_str() != EXPLICIT_VR_LITTLE_ENDIAN
}

/// The stretches of the new file, in order.
pub async fn explicit_little(web: &Web, instance: &Arc<StoredInstance>) -> Result<Vec<Piece>, WebError> {
    let mut scanned = scan::scan(web, instance).await?;
    instance.correct(&mut scanned.data_set);
    let syntax = TransferSyntax::explicit_little();
    let meta = part10::write_meta(&instance.sop_class, &instance.sop_instance, &syntax, None);
    if let Some(inflated) = scanned.inflated {
        let stretches = data_set::write(&scanned.data_set, &syntax).map_err(|error| too_large(error.to_string()))?;
        let stays = |range: &Range<u64>| inflated.get(range.start as usize..range.end as usize);
        let pieces = stretches.into_iter().map(|stretch| match stretch {
            Stretch::New(bytes) => Piece::Bytes(bytes.into()),
            Stretch::Old(range) => {
                Piece::Bytes(stays(&range).map(|bytes| inflated.slice_ref(bytes)).unwrap_or_default())
            }
        });
        return Ok([Piece::Bytes(meta.into())].into_iter().chain(pieces).collect());
    }
    let mut plan = Plan::new(instance, meta);
    if matches!(instance.frames, Some(FrameLayout::Encapsulated { .. })) {
        let metadata = decode::metadata(web, instance).await?;
        let attributes = Attributes::of(&metadata).ok_or(PixelError::Attribute("metadata"))?;
        plan.native = Some(native(&ImagePixel::of(attributes)?)?);
    }
    plan.data_set(&scanned.data_set)?;
    Ok(plan.finish())
}

/// What encapsulated pixel data becomes.
#[derive(Clone, Copy)]
struct Native {
    frame_len: u64,
    bits_allocated: u8,
    is_colour: bool,
}

fn native(image: &ImagePixel) -> Result<Native, WebError> {
    // Frames of one bit are packed without regard to bytes: not worth it for syntaxes that hardly anybody uses for them.
    if image.bits_allocated == 1 {
        return Err(PixelError::Unsupported("encapsulated pixel data of one bit".into()).into());
    }
    let samples = u64::from(image.rows) * u64::from(image.columns) * u64::from(image.samples_per_pixel);
    let frame_len = samples * u64::from(image.bits_allocated / 8);
    Ok(Native { frame_len, bits_allocated: image.bits_allocated, is_colour: image.samples_per_pixel == 3 })
}

struct Plan<'a> {
    instance: &'a Arc<StoredInstance>,
    pieces: Vec<Piece>,
    /// Bytes since the last piece.
    written: Vec<u8>,
    native: Option<Native>,
    is_big_endian: bool,
}

impl<'a> Plan<'a> {
    fn new(instance: &'a Arc<StoredInstance>, meta: Vec<u8>) -> Self {
        let is_big_endian = instance.transfer_syntax.encoding() == Encoding::ExplicitBig;
        Self { instance, pieces: Vec::new(), written: meta, native: None, is_big_endian }
    }

    fn finish(mut self) -> Vec<Piece> {
        self.flush();
        self.pieces
    }

    fn flush(&mut self) {
        if !self.written.is_empty() {
            self.pieces.push(Piece::Bytes(Bytes::from(std::mem::take(&mut self.written))));
        }
    }

    fn data_set(&mut self, data_set: &DataSet) -> Result<(), WebError> {
        data_set
            .elements
            .iter()
            .filter(|element| !is_dropped(element))
            .try_for_each(|element| self.root_element(element))
    }

    /// An element of the data set itself, where decoding changes what the Image Pixel module says.
    fn root_element(&mut self, element: &Element) -> Result<(), WebError> {
        match (self.native, element.tag) {
            (Some(native), tags::PIXEL_DATA) => self.frames(native),
            (Some(native), tags::PHOTOMETRIC_INTERPRETATION) if native.is_colour => {
                self.value(element.tag, VR::CS, b"RGB ")
            }
            (Some(native), tags::PLANAR_CONFIGURATION) if native.is_colour => self.value(element.tag, VR::US, &[0, 0]),
            (Some(_), tags::EXTENDED_OFFSET_TABLE | tags::EXTENDED_OFFSET_TABLE_LENGTHS) => Ok(()),
            _ => self.element(element),
        }
    }

    fn element(&mut self, element: &Element) -> Result<(), WebError> {
        match &element.value {
            Value::Bytes(bytes) => self.value(element.tag, element.vr, bytes),
            Value::Located => self.located(element),
            Value::Sequence(items) => self.sequence(element.tag, items),
            // Encapsulated pixel data inside a sequence has no native form that would fit its surroundings.
            Value::Fragments { .. } => Ok(()),
        }
    }

    fn sequence(&mut self, tag: Tag, items: &[DataSet]) -> Result<(), WebError> {
        self.header(tag, VR::SQ, UNDEFINED);
        for item in items {
            self.delimiter(ITEM, UNDEFINED);
            item.elements.iter().filter(|element| !is_dropped(element)).try_for_each(|e| self.element(e))?;
            self.delimiter(ITEM_END, 0);
        }
        self.delimiter(SEQUENCE_END, 0);
        Ok(())
    }

    fn value(&mut self, tag: Tag, vr: VR, bytes: &[u8]) -> Result<(), WebError> {
        self.header(tag, vr, length(bytes.len() as u64)?);
        self.written.extend_from_slice(bytes);
        self.pad(bytes.len() as u64);
        Ok(())
    }

    fn located(&mut self, element: &Element) -> Result<(), WebError> {
        self.header(element.tag, element.vr, length(element.len)?);
        self.flush();
        let range = element.offset..element.offset.saturating_add(element.len);
        let width = if self.is_big_endian { scan::value_width(element.vr) } else { 1 };
        self.pieces.push(Piece::Range(Arc::clone(self.instance), range, width));
        self.pad(element.len);
        Ok(())
    }

    fn frames(&mut self, native: Native) -> Result<(), WebError> {
        let count = self.instance.frames.as_ref().map_or(0, FrameLayout::frames);
        let len = native.frame_len.saturating_mul(count.into());
        let vr = if native.bits_allocated > 8 { VR::OW } else { VR::OB };
        self.header(tags::PIXEL_DATA, vr, length(len)?);
        self.flush();
        let frame = |index| Piece::Frame(Arc::clone(self.instance), index, native.frame_len);
        self.pieces.extend((0..count).map(frame));
        self.pad(len);
        Ok(())
    }

    /// PS3.5 §7.1.2: values have an even length; a value too long for its VR's 16-bit length is UN (§6.2.2).
    fn header(&mut self, tag: Tag, vr: VR, len: u32) {
        let is_long = matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::SQ | VR::SV)
            || matches!(vr, VR::UC | VR::UN | VR::UR | VR::UT | VR::UV);
        let vr = if !is_long && len > u32::from(u16::MAX) { VR::UN } else { vr };
        self.tag(tag);
        self.written.extend_from_slice(&vr.to_bytes());
        if is_long || vr == VR::UN {
            self.written.extend_from_slice(&[0, 0]);
            self.written.extend_from_slice(&len.to_le_bytes());
        } else {
            self.written.extend_from_slice(&(len as u16).to_le_bytes());
        }
    }

    fn delimiter(&mut self, tag: Tag, len: u32) {
        self.tag(tag);
        self.written.extend_from_slice(&len.to_le_bytes());
    }

    fn tag(&mut self, tag: Tag) {
        self.written.extend_from_slice(&tag.group().to_le_bytes());
        self.written.extend_from_slice(&tag.element().to_le_bytes());
    }

    fn pad(&mut self, len: u64) {
        if len % 2 == 1 {
            self.written.push(0);
        }
    }
}

/// Group lengths would be wrong in the new file; item tags out of place, which a tolerant scan lets pass, would break it.
fn is_dropped(element: &Element) -> bool {
    element.tag.element() == 0 || element.tag.group() == 0xFFFE
}

/// A value length, rounded up to even.
fn length(len: u64) -> Result<u32, WebError> {
    let even = u32::try_from(len.saturating_add(len % 2)).ok().filter(|len| *len < UNDEFINED);
    even.ok_or_else(|| too_large("pixel data is too large for Explicit VR Little Endian".into()))
}

fn too_large(why: String) -> WebError {
    WebError::Refused(Failure::NotAcceptable, why)
}
