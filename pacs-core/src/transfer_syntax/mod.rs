//! Transfer syntaxes: how a data set and its pixels are encoded (PS3.5 §10, PS3.6 Table A-1).

mod table;

pub use table::{REGISTERED, Registered, registered};

use crate::uid::Uid;
use std::fmt;

/// Encoding of the data set outside pixel data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
    /// Explicit VR little endian inside one raw deflate stream (PS3.5 §A.5).
    Deflated,
}

/// Encoding of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Native,
    Rle,
    /// Any DCT process: baseline, extended, progressive; 8 or 12 bits.
    JpegLossy,
    JpegLossless,
    JpegLs,
    Jpeg2000,
    HtJpeg2000,
    JpegXl,
    /// Deflated Image Frame Compression (PS3.5 §A.4.13): one deflate stream a frame.
    DeflatedFrame,
    /// MPEG-2, MPEG-4, HEVC: passed on, never decoded here.
    Video,
    /// Encapsulated in a way we do not know: kept as received.
    Unknown,
}

/// A transfer syntax by UID. Private and future ones can be held too: they read as explicit VR little endian
/// with encapsulated frames (PS3.5 §A.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransferSyntax(Uid);

pub const IMPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
pub const EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
pub const DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1.99";
pub const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
pub const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";
pub const JPEG_LOSSLESS_SV1: &str = "1.2.840.10008.1.2.4.70";
pub const JPEG_LS_LOSSLESS: &str = "1.2.840.10008.1.2.4.80";
pub const JPEG_LS_NEAR_LOSSLESS: &str = "1.2.840.10008.1.2.4.81";
pub const HTJ2K_LOSSLESS: &str = "1.2.840.10008.1.2.4.201";
pub const HTJ2K_LOSSLESS_RPCL: &str = "1.2.840.10008.1.2.4.202";
pub const HTJ2K: &str = "1.2.840.10008.1.2.4.203";
pub const JPEG_XL_LOSSLESS: &str = "1.2.840.10008.1.2.4.110";
pub const RLE_LOSSLESS: &str = "1.2.840.10008.1.2.5";
pub const DEFLATED_IMAGE_FRAME: &str = "1.2.840.10008.1.2.8.1";
/// Implicit VR with big endian pixel data, of old GE scanners (their conformance statements).
const GE_PRIVATE_DLX: &str = "1.2.840.113619.5.2";

impl TransferSyntax {
    pub fn new(uid: Uid) -> Self {
        Self(uid)
    }

    pub fn explicit_little() -> Self {
        Self(EXPLICIT_VR_LITTLE_ENDIAN.parse().expect("a valid UID"))
    }

    pub fn implicit_little() -> Self {
        Self(IMPLICIT_VR_LITTLE_ENDIAN.parse().expect("a valid UID"))
    }

    pub fn uid(&self) -> &Uid {
        &self.0
    }

    pub fn encoding(&self) -> Encoding {
        match self.0.as_str() {
            IMPLICIT_VR_LITTLE_ENDIAN | GE_PRIVATE_DLX => Encoding::ImplicitLittle,
            DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => Encoding::Deflated,
            EXPLICIT_VR_BIG_ENDIAN => Encoding::ExplicitBig,
            _ => Encoding::ExplicitLittle,
        }
    }

    pub fn codec(&self) -> Codec {
        registered(self.0.as_str()).map_or(Codec::Unknown, |known| known.codec)
    }

    /// Whether pixel data is a sequence of fragments (PS3.5 §A.4).
    pub fn is_encapsulated(&self) -> bool {
        self.codec() != Codec::Native
    }

    /// Whether the frames are surely as they were before they were encoded so: native, or a syntax that is lossless by its
    /// definition. What was done to them before that is not known.
    pub fn is_lossless(&self) -> bool {
        registered(self.0.as_str()).is_some_and(|known| known.is_lossless)
    }

    /// Media type of one frame or fragment stream (PS3.18 Table 8.7.3-1 ff.).
    pub fn media_type(&self) -> &'static str {
        match self.codec() {
            Codec::Native | Codec::DeflatedFrame | Codec::Unknown => "application/octet-stream",
            Codec::Rle => "image/dicom-rle",
            Codec::JpegLossy | Codec::JpegLossless => "image/jpeg",
            Codec::JpegLs => "image/jls",
            Codec::Jpeg2000 if self.0.as_str().ends_with(['2', '3']) => "image/jpx",
            Codec::Jpeg2000 => "image/jp2",
            Codec::HtJpeg2000 => "image/jphc",
            Codec::JpegXl => "image/jxl",
            Codec::Video if self.0.as_str().starts_with("1.2.840.10008.1.2.4.100") => "video/mpeg2",
            Codec::Video if self.0.as_str().starts_with("1.2.840.10008.1.2.4.101") => "video/mpeg2",
            Codec::Video if self.0.as_str().contains(".4.107") || self.0.as_str().contains(".4.108") => "video/H265",
            Codec::Video => "video/mp4",
        }
    }
}

impl fmt::Display for TransferSyntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_tells_encoding_codec_and_media_type() {
        for (uid, encoding, codec, media_type) in [
            ("1.2.840.10008.1.2", Encoding::ImplicitLittle, Codec::Native, "application/octet-stream"),
            ("1.2.840.10008.1.2.1", Encoding::ExplicitLittle, Codec::Native, "application/octet-stream"),
            ("1.2.840.10008.1.2.1.99", Encoding::Deflated, Codec::Native, "application/octet-stream"),
            ("1.2.840.10008.1.2.2", Encoding::ExplicitBig, Codec::Native, "application/octet-stream"),
            ("1.2.840.10008.1.2.4.50", Encoding::ExplicitLittle, Codec::JpegLossy, "image/jpeg"),
            ("1.2.840.10008.1.2.4.70", Encoding::ExplicitLittle, Codec::JpegLossless, "image/jpeg"),
            ("1.2.840.10008.1.2.4.80", Encoding::ExplicitLittle, Codec::JpegLs, "image/jls"),
            ("1.2.840.10008.1.2.4.90", Encoding::ExplicitLittle, Codec::Jpeg2000, "image/jp2"),
            ("1.2.840.10008.1.2.4.92", Encoding::ExplicitLittle, Codec::Jpeg2000, "image/jpx"),
            ("1.2.840.10008.1.2.4.201", Encoding::ExplicitLittle, Codec::HtJpeg2000, "image/jphc"),
            ("1.2.840.10008.1.2.4.110", Encoding::ExplicitLittle, Codec::JpegXl, "image/jxl"),
            ("1.2.840.10008.1.2.5", Encoding::ExplicitLittle, Codec::Rle, "image/dicom-rle"),
            ("1.2.840.10008.1.2.4.100.1", Encoding::ExplicitLittle, Codec::Video, "video/mpeg2"),
            ("1.2.840.10008.1.2.4.102", Encoding::ExplicitLittle, Codec::Video, "video/mp4"),
            ("1.2.840.10008.1.2.4.107", Encoding::ExplicitLittle, Codec::Video, "video/H265"),
            ("1.2.840.10008.1.2.4.999", Encoding::ExplicitLittle, Codec::Unknown, "application/octet-stream"),
            ("1.2.840.113619.5.2", Encoding::ImplicitLittle, Codec::Unknown, "application/octet-stream"),
        ] {
            let syntax = TransferSyntax::new(uid.parse().expect("a UID"));
            assert_eq!(
                (syntax.encoding(), syntax.codec(), syntax.media_type()),
                (encoding, codec, media_type),
                "{uid}"
            );
            assert_eq!(syntax.is_encapsulated(), codec != Codec::Native);
        }
    }
}
