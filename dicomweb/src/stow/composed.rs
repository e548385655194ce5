//! Instances that come as metadata and bulk data (PS3.18 §10.5.2, §8.6.1.2.2), put together as files.
//!
//! Bulk data goes to a file as it comes, so that memory does not grow with it; what is in it is found by Content-Location.

use super::{jpeg::Jpeg, upload::Uploads};
use crate::{error::WebError, media_type::MediaType, model::Model, multipart::Headers, web::Web};
use image::{ColorType, DynamicImage, ImageReader, Limits};
use pacs_core::{
    Failure, Tag, TransferSyntax, Uid,
    attributes::key,
    data_set::{self, Stretch},
    from_json::from_json,
    part10, tags,
    transfer_syntax::{Codec, Encoding, REGISTERED},
};
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    io::{Cursor, SeekFrom},
    ops::Range,
};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
};

/// All metadata of a request, in bytes; it is in memory, and as a tree some ten times as much.
const MAX_METADATA: usize = 32 << 20;
/// Parts of a request that are bulk data.
const MAX_BULK: usize = 50_000;
/// Bulk data is copied in pieces of this many bytes.
const STEP: u64 = 1 << 20;
/// A picture that is stored as native pixel data may have this many bytes, as it comes and decoded.
const MAX_PICTURE: u64 = 256 << 20;
/// In so many bytes the header of a JPEG is, behind what a camera says of itself.
const JPEG_HEAD: u64 = 4 << 20;

/// The parts of a request, on the way to instances.
pub struct Composition<'a> {
    web: &'a Web,
    items: Vec<Map<String, Value>>,
    metadata: usize,
    part: Option<Part>,
    bulk: Vec<Bulk>,
    /// Where each location's parts are among them.
    places: HashMap<String, Vec<usize>>,
    scratch: Option<File>,
    len: u64,
    /// Bytes that may yet be written: a part may be named by any number of instances.
    left: u64,
}

enum Part {
    Metadata(Model, Vec<u8>),
    Bulk,
}

/// A part that is bulk data.
struct Bulk {
    media: Option<MediaType>,
    range: Range<u64>,
}

impl<'a> Composition<'a> {
    pub fn new(web: &'a Web) -> Self {
        Self {
            web,
            items: Vec::new(),
            metadata: 0,
            part: None,
            bulk: Vec::new(),
            places: HashMap::new(),
            scratch: None,
            len: 0,
            left: web.config.max_upload_bytes,
        }
    }

    pub async fn begin(&mut self, headers: &Headers) -> Result<(), WebError> {
        let media = headers.get("content-type").and_then(MediaType::parse);
        if let Some(model) = media.as_ref().and_then(Model::of) {
            self.begin_metadata(model);
            return Ok(());
        }
        let location = headers.get("content-location").map(path).unwrap_or_default();
        if location.is_empty() || self.bulk.len() >= MAX_BULK {
            return Err(WebError::bad_request("a part of bulk data needs a Content-Location, or there are too many"));
        }
        if self.scratch.is_none() {
            self.scratch = Some(File::from_std(self.web.archive.scratch().await?));
        }
        self.places.entry(location).or_default().push(self.bulk.len());
        self.bulk.push(Bulk { media, range: self.len..self.len });
        self.part = Some(Part::Bulk);
        Ok(())
    }

    pub fn begin_metadata(&mut self, model: Model) {
        self.part = Some(Part::Metadata(model, Vec::new()));
    }

    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WebError> {
        match &mut self.part {
            Some(Part::Metadata(_, text)) => {
                self.metadata += bytes.len();
                if self.metadata > MAX_METADATA {
                    return Err(WebError::Refused(Failure::TooLarge, "the metadata is too large".into()));
                }
                text.extend_from_slice(bytes);
            }
            Some(Part::Bulk) => {
                if let Some(scratch) = &mut self.scratch {
                    scratch.write_all(bytes).await.map_err(unwritten)?;
                }
                self.len += bytes.len() as u64;
            }
            None => {}
        }
        Ok(())
    }

    pub fn end(&mut self) -> Result<(), WebError> {
        match self.part.take() {
            Some(Part::Metadata(model, text)) => self.items.extend(model.read(&text)?),
            Some(Part::Bulk) => {
                if let Some(bulk) = self.bulk.last_mut() {
                    bulk.range.end = self.len;
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Puts the instances together, one after the other, and hands them on.
    pub async fn store(mut self, uploads: &mut Uploads<'_>) -> Result<(), WebError> {
        if let Some(scratch) = &mut self.scratch {
            scratch.flush().await.map_err(unwritten)?;
        }
        for item in std::mem::take(&mut self.items) {
            let item: Map<_, _> =
                item.into_iter().map(|(name, element)| (name.to_ascii_uppercase(), element)).collect();
            let names = uid(&item, tags::SOP_CLASS_UID).zip(uid(&item, tags::SOP_INSTANCE_UID));
            if uploads.is_full() {
                // Reported, so that the sender does not take the rest for stored.
                uploads.refuse(Failure::TooLarge, names);
                return Err(WebError::Refused(Failure::TooLarge, "too many instances in one request".into()));
            }
            match self.file(item).await {
                Ok(pieces) => {
                    uploads.begin(None).await;
                    self.send(pieces, uploads).await?;
                    uploads.end().await;
                }
                Err((failure, reason)) => {
                    tracing::warn!(reason, "an instance could not be put together");
                    uploads.refuse(failure, names);
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, pieces: Vec<Piece>, uploads: &mut Uploads<'_>) -> Result<(), WebError> {
        let len = pieces.iter().map(Piece::len).sum();
        let over = || WebError::Refused(Failure::TooLarge, "the instances are larger than the server takes".into());
        self.left = self.left.checked_sub(len).ok_or_else(over)?;
        for piece in pieces {
            match piece {
                Piece::Bytes(bytes) => uploads.write(&bytes).await,
                Piece::Scratch(range) => {
                    for at in range.clone().step_by(STEP as usize) {
                        let bytes = self.read(at..range.end.min(at + STEP)).await?;
                        uploads.write(&bytes).await;
                    }
                }
            }
        }
        Ok(())
    }

    async fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, WebError> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        if let Some(scratch) = &mut self.scratch {
            scratch.seek(SeekFrom::Start(range.start)).await.map_err(unwritten)?;
            scratch.read_exact(&mut bytes).await.map_err(unwritten)?;
        }
        Ok(bytes)
    }

    /// The file of an instance.
    async fn file(&mut self, mut item: Map<String, Value>) -> Result<Vec<Piece>, (Failure, String)> {
        let pixels = self.pixels(&mut item).await?;
        let missing = |name: &str| (Failure::MissingAttribute, format!("{name} is missing"));
        let class = uid(&item, tags::SOP_CLASS_UID).ok_or_else(|| missing("SOP Class UID"))?;
        let instance = uid(&item, tags::SOP_INSTANCE_UID).ok_or_else(|| missing("SOP Instance UID"))?;
        self.complete_document(&mut item);
        let mut lost = None;
        let mut find = |_: Tag, uri: &str| {
            let found = self.located(uri).next().map(|bulk| bulk.range.clone());
            if found.is_none() {
                lost = Some(uri.to_owned());
            }
            found
        };
        let cannot = |reason: String| (Failure::CannotUnderstand, reason);
        let mut data_set = from_json(&Value::Object(item), &mut find).map_err(|error| cannot(error.to_string()))?;
        if pixels.is_some() {
            // Pixel Data comes last; what might come after it is about the file that this was made from.
            data_set.elements.retain(|element| element.tag < tags::PIXEL_DATA);
        }
        if let Some(uri) = lost {
            return Err(cannot(format!("no part has the Content-Location {uri}")));
        }
        let syntax = pixels.as_ref().map_or_else(TransferSyntax::explicit_little, Pixels::transfer_syntax);
        let meta = part10::write_meta(&class, &instance, &syntax, None);
        let stretches = data_set::write(&data_set, &TransferSyntax::explicit_little());
        let stretches = stretches.map_err(|error| cannot(error.to_string()))?;
        let written = stretches.into_iter().map(|stretch| match stretch {
            Stretch::New(bytes) => Piece::Bytes(bytes),
            Stretch::Old(range) => Piece::Scratch(range),
        });
        let pixels = pixels.map(Pixels::pieces).unwrap_or_default();
        Ok([Piece::Bytes(meta)].into_iter().chain(written).chain(pixels).collect())
    }

    /// The pixel data of an item, which is taken out of it; what the picture says of itself is put in where the item
    /// does not say it.
    async fn pixels(&mut self, item: &mut Map<String, Value>) -> Result<Option<Pixels>, (Failure, String)> {
        let name = key(tags::PIXEL_DATA);
        let Some(uri) = item.get(&name).and_then(|element| element["BulkDataURI"].as_str()).map(path) else {
            return Ok(None);
        };
        item.remove(&name);
        let bulk: Vec<_> = self.located(&uri).map(|bulk| (bulk.media.clone(), bulk.range.clone())).collect();
        let cannot = |reason: String| (Failure::CannotUnderstand, reason);
        let Some((media, first)) = bulk.first().cloned() else {
            return Err(cannot(format!("no part has the Content-Location {uri}")));
        };
        let named = media.as_ref().and_then(|media| media.parameter("transfer-syntax")?.parse().ok());
        let named = named.map(TransferSyntax::new);
        let essence = media.as_ref().map_or("application/octet-stream", |media| media.essence.as_str());
        let frames = bulk.iter().map(|(_, range)| range.clone()).collect::<Vec<_>>();
        let syntax = match (essence, named) {
            ("image/png", _) if frames.len() > 1 => return Err(cannot(SEVERAL.into())),
            ("image/png", _) => return self.picture(item, first).await.map(Some),
            ("image/jpeg", named) => {
                let head = self.read(first.start..first.end.min(first.start + JPEG_HEAD)).await;
                let head = head.map_err(|error| (error.failure(), error.to_string()))?;
                let jpeg = Jpeg::read(&head).ok_or_else(|| cannot("the JPEG has no header".into()))?;
                jpeg.describe(item);
                named
                    .or_else(|| jpeg.transfer_syntax())
                    .ok_or_else(|| cannot("a process of JPEG not in DICOM".into()))?
            }
            ("application/octet-stream", None) => TransferSyntax::explicit_little(),
            (_, Some(named)) => named,
            (other, None) => default_syntax(other).ok_or_else(|| {
                (
                    Failure::UnsupportedMediaType,
                    format!("{other} is no media type of pixel data; name a transfer-syntax"),
                )
            })?,
        };
        if syntax.codec() == Codec::Native {
            if !matches!(syntax.encoding(), Encoding::ExplicitLittle | Encoding::ImplicitLittle) {
                return Err((Failure::TransferSyntax, format!("bulk data in {syntax} is not taken")));
            }
            return if frames.len() == 1 { Ok(Some(Pixels::Native(first))) } else { Err(cannot(SEVERAL.into())) };
        }
        if frames.len() > 1 {
            put(item, tags::NUMBER_OF_FRAMES, "IS", json!(frames.len().to_string()));
        }
        Ok(Some(Pixels::Encapsulated(syntax, frames)))
    }

    /// A picture that no transfer syntax has: decoded.
    async fn picture(&mut self, item: &mut Map<String, Value>, range: Range<u64>) -> Result<Pixels, (Failure, String)> {
        if range.end - range.start > MAX_PICTURE {
            return Err((Failure::TooLarge, "the picture is too large".into()));
        }
        let bytes = self.read(range).await.map_err(|error| (error.failure(), error.to_string()))?;
        let decoded = self.web.workers.run(MAX_PICTURE, move || Ok(decode(bytes))).await;
        let picture = decoded.map_err(|error| (error.failure(), error.to_string()))?;
        let picture = picture.map_err(|error| (Failure::CannotUnderstand, error.to_string()))?;
        let (picture, bits) = match picture.color() {
            ColorType::L8 | ColorType::La8 => (DynamicImage::ImageLuma8(picture.into_luma8()), 8),
            ColorType::L16 | ColorType::La16 => (DynamicImage::ImageLuma16(picture.into_luma16()), 16),
            _ => (DynamicImage::ImageRgb8(picture.into_rgb8()), 8),
        };
        let samples = u64::from(picture.color().channel_count());
        // What the item says of pixels may be of what they were before.
        PIXELS.iter().for_each(|tag| _ = item.remove(&key(*tag)));
        describe(item, picture.width(), picture.height(), samples, bits, if samples == 1 { GREY } else { "RGB" });
        Ok(Pixels::Decoded(picture.into_bytes()))
    }

    /// An encapsulated document says what it is and how long (PS3.3 C.24.2).
    fn complete_document(&self, item: &mut Map<String, Value>) {
        let uri = item.get(&key(tags::ENCAPSULATED_DOCUMENT)).and_then(|element| element["BulkDataURI"].as_str());
        let Some(bulk) = uri.map(path).and_then(|uri| self.located(&uri).next()) else { return };
        let (media, len) = (bulk.media.as_ref().map(|media| media.essence.clone()), bulk.range.end - bulk.range.start);
        if let Some(media) = media.filter(|media| media != "application/octet-stream") {
            put(item, tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, "LO", json!(media));
        }
        put(item, tags::ENCAPSULATED_DOCUMENT_LENGTH, "UL", json!(len));
    }

    /// The parts that an address leads to, the frames of one image in order.
    fn located(&self, uri: &str) -> impl Iterator<Item = &Bulk> {
        let places = self.places.get(&path(uri)).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|place| self.bulk.get(*place))
    }
}

const SEVERAL: &str = "several parts have one Content-Location: frames without compression are one value";
/// What describes pixel data.
const PIXELS: [Tag; 9] = [
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::ROWS,
    tags::COLUMNS,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::PLANAR_CONFIGURATION,
];
pub const GREY: &str = "MONOCHROME2";

/// Puts in what describes an image (PS3.3 C.7.6.3), unless the item does itself.
pub fn describe(item: &mut Map<String, Value>, columns: u32, rows: u32, samples: u64, bits: u64, photometric: &str) {
    for (tag, vr, value) in [
        (tags::SAMPLES_PER_PIXEL, "US", json!(samples)),
        (tags::PHOTOMETRIC_INTERPRETATION, "CS", json!(photometric)),
        (tags::ROWS, "US", json!(rows)),
        (tags::COLUMNS, "US", json!(columns)),
        (tags::BITS_ALLOCATED, "US", json!(if bits > 8 { 16 } else { 8 })),
        (tags::BITS_STORED, "US", json!(bits)),
        (tags::HIGH_BIT, "US", json!(bits.saturating_sub(1))),
        (tags::PIXEL_REPRESENTATION, "US", json!(0)),
    ] {
        put(item, tag, vr, value);
    }
    if samples > 1 {
        put(item, tags::PLANAR_CONFIGURATION, "US", json!(0));
    }
}

/// Gives an attribute a value unless it has one.
pub fn put(item: &mut Map<String, Value>, tag: Tag, vr: &str, value: Value) {
    let has_value = item.get(&key(tag)).is_some_and(|element| element["Value"][0] != Value::Null);
    if !has_value {
        item.insert(key(tag), json!({ "vr": vr, "Value": [value] }));
    }
}

fn decode(bytes: Vec<u8>) -> image::ImageResult<DynamicImage> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), image::ImageFormat::Png);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_PICTURE);
    reader.limits(limits);
    reader.decode()
}

fn uid(item: &Map<String, Value>, tag: Tag) -> Option<Uid> {
    item.get(&key(tag))?["Value"][0].as_str()?.parse().ok()
}

/// An address without scheme and host: some clients write them in one place and not in the other.
fn path(uri: &str) -> String {
    let uri = uri.trim();
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest.split_once('/').map_or(rest, |(_, path)| path));
    rest.trim_start_matches('/').to_owned()
}

/// Of a media type that says no transfer syntax (PS3.18 Table 8.7.3-2 ff.).
fn default_syntax(essence: &str) -> Option<TransferSyntax> {
    let preferred = match essence {
        "image/jphc" => Some("1.2.840.10008.1.2.4.203"),
        "image/jxl" => Some("1.2.840.10008.1.2.4.112"),
        "image/jp2" => Some("1.2.840.10008.1.2.4.91"),
        "image/jls" => Some("1.2.840.10008.1.2.4.81"),
        "video/mp4" => Some("1.2.840.10008.1.2.4.102"),
        _ => None,
    };
    let of_type = |uid: &str| uid.parse().ok().map(TransferSyntax::new).filter(|syntax| syntax.media_type() == essence);
    let is_picture = essence.starts_with("image/") || essence.starts_with("video/");
    let any = || REGISTERED.iter().find_map(|known| of_type(known.uid)).filter(|_| is_picture);
    preferred.and_then(of_type).or_else(any)
}

fn unwritten(error: std::io::Error) -> WebError {
    storage::ArchiveError::from(error).into()
}

enum Piece {
    Bytes(Vec<u8>),
    /// A stretch of the bulk data.
    Scratch(Range<u64>),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Scratch(range) => range.end - range.start,
        }
    }
}

/// The value of Pixel Data.
enum Pixels {
    Native(Range<u64>),
    /// Samples in little endian.
    Decoded(Vec<u8>),
    /// A frame each.
    Encapsulated(TransferSyntax, Vec<Range<u64>>),
}

impl Pixels {
    fn transfer_syntax(&self) -> TransferSyntax {
        match self {
            Self::Encapsulated(syntax, _) => syntax.clone(),
            _ => TransferSyntax::explicit_little(),
        }
    }

    fn pieces(self) -> Vec<Piece> {
        match self {
            Self::Native(range) => native(range.end - range.start, Piece::Scratch(range)),
            Self::Decoded(bytes) => native(bytes.len() as u64, Piece::Bytes(bytes)),
            Self::Encapsulated(_, frames) => encapsulated(frames),
        }
    }
}

/// The header of Pixel Data (PS3.5 §7.1.2), of this length.
fn header(vr: &[u8; 2], len: u32) -> Vec<u8> {
    [&[0xE0, 0x7F, 0x10, 0x00][..], vr, &[0, 0], &len.to_le_bytes()].concat()
}

fn native(len: u64, content: Piece) -> Vec<Piece> {
    let padding = (len % 2) as usize;
    let even = u32::try_from(len + padding as u64).unwrap_or(u32::MAX);
    vec![Piece::Bytes(header(b"OW", even)), content, Piece::Bytes(vec![0; padding])]
}

/// An empty Basic Offset Table, a fragment a frame, and the end (PS3.5 §A.4).
fn encapsulated(frames: Vec<Range<u64>>) -> Vec<Piece> {
    let mut pieces = vec![Piece::Bytes([header(b"OB", u32::MAX), item(0)].concat())];
    for frame in frames {
        let len = frame.end - frame.start;
        let padding = (len % 2) as usize;
        pieces.push(Piece::Bytes(item(u32::try_from(len + padding as u64).unwrap_or(u32::MAX))));
        pieces.push(Piece::Scratch(frame));
        pieces.push(Piece::Bytes(vec![0; padding]));
    }
    pieces.push(Piece::Bytes([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0].to_vec()));
    pieces
}

fn item(len: u32) -> Vec<u8> {
    [&[0xFE, 0xFF, 0x00, 0xE0][..], &len.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_with_and_without_its_host() {
        for text in ["http://h:80/a/b", "/a/b", "a/b", " a/b "] {
            assert_eq!(path(text), "a/b", "{text}");
        }
        assert_eq!(path("urn:uuid:1"), "urn:uuid:1");
    }

    #[test]
    fn a_media_type_of_pixels_stands_for_a_transfer_syntax() {
        for (essence, expected) in [
            ("image/jls", Some("1.2.840.10008.1.2.4.81")),
            ("image/dicom-rle", Some("1.2.840.10008.1.2.5")),
            ("video/mp4", Some("1.2.840.10008.1.2.4.102")),
            ("video/mpeg2", Some("1.2.840.10008.1.2.4.100")),
            ("application/pdf", None),
            ("image/tiff", None),
        ] {
            assert_eq!(default_syntax(essence).map(|syntax| syntax.to_string()).as_deref(), expected, "{essence}");
        }
    }

    #[test]
    fn what_is_said_already_stays_as_it_is() {
        let mut item = Map::new();
        put(&mut item, tags::ROWS, "US", json!(5));
        describe(&mut item, 7, 9, 1, 12, GREY);
        assert_eq!(item["00280010"]["Value"], json!([5]));
        assert_eq!(item["00280011"]["Value"], json!([7]));
        assert_eq!((&item["00280100"]["Value"], &item["00280102"]["Value"]), (&json!([16]), &json!([11])));
    }
}
