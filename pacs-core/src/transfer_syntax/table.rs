//! The transfer syntaxes that can carry a stored instance, by UID, with the names of PS3.6 Table A-1.
//!
//! Left out: MIME and XML encodings and Papyrus, which are no PS3.5 encodings; SMPTE ST 2110, a real-time stream; JPIP in
//! its deflated forms.

use super::Codec;

/// A transfer syntax of the standard's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    pub uid: &'static str,
    pub name: &'static str,
    pub codec: Codec,
    /// By its definition; what was done to the frames before is not known.
    pub is_lossless: bool,
    pub is_retired: bool,
}

/// The transfer syntax of a UID, if it is one of these.
pub fn registered(uid: &str) -> Option<&'static Registered> {
    REGISTERED.iter().find(|syntax| syntax.uid == uid)
}

const fn lossy(codec: Codec, uid: &'static str, name: &'static str) -> Registered {
    Registered { uid, name, codec, is_lossless: false, is_retired: false }
}

const fn lossless(codec: Codec, uid: &'static str, name: &'static str) -> Registered {
    Registered { is_lossless: true, ..lossy(codec, uid, name) }
}

/// One that we do not decode, such as JPEG with arithmetic coding or in a hierarchy: kept and sent on as received.
const fn kept(uid: &'static str, name: &'static str) -> Registered {
    lossy(Codec::Unknown, uid, name)
}

impl Registered {
    const fn retired(self) -> Self {
        Self { is_retired: true, ..self }
    }
}

pub static REGISTERED: &[Registered] = &[
    lossless(Codec::Native, "1.2.840.10008.1.2", "Implicit VR Little Endian"),
    lossless(Codec::Native, "1.2.840.10008.1.2.1", "Explicit VR Little Endian"),
    lossless(Codec::Native, "1.2.840.10008.1.2.1.99", "Deflated Explicit VR Little Endian"),
    lossless(Codec::Native, "1.2.840.10008.1.2.2", "Explicit VR Big Endian").retired(),
    kept("1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian"),
    lossless(Codec::Rle, "1.2.840.10008.1.2.5", "RLE Lossless"),
    lossless(Codec::DeflatedFrame, "1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression"),
    lossy(Codec::JpegLossy, "1.2.840.10008.1.2.4.50", "JPEG Baseline (Process 1)"),
    lossy(Codec::JpegLossy, "1.2.840.10008.1.2.4.51", "JPEG Extended (Process 2 & 4)"),
    kept("1.2.840.10008.1.2.4.52", "JPEG Extended (Process 3 & 5)").retired(),
    lossy(Codec::JpegLossy, "1.2.840.10008.1.2.4.53", "JPEG Spectral Selection, Non-Hierarchical (Process 6 & 8)")
        .retired(),
    kept("1.2.840.10008.1.2.4.54", "JPEG Spectral Selection, Non-Hierarchical (Process 7 & 9)").retired(),
    lossy(Codec::JpegLossy, "1.2.840.10008.1.2.4.55", "JPEG Full Progression, Non-Hierarchical (Process 10 & 12)")
        .retired(),
    kept("1.2.840.10008.1.2.4.56", "JPEG Full Progression, Non-Hierarchical (Process 11 & 13)").retired(),
    lossless(Codec::JpegLossless, "1.2.840.10008.1.2.4.57", "JPEG Lossless, Non-Hierarchical (Process 14)"),
    kept("1.2.840.10008.1.2.4.58", "JPEG Lossless, Non-Hierarchical (Process 15)").retired(),
    kept("1.2.840.10008.1.2.4.59", "JPEG Extended, Hierarchical (Process 16 & 18)").retired(),
    kept("1.2.840.10008.1.2.4.60", "JPEG Extended, Hierarchical (Process 17 & 19)").retired(),
    kept("1.2.840.10008.1.2.4.61", "JPEG Spectral Selection, Hierarchical (Process 20 & 22)").retired(),
    kept("1.2.840.10008.1.2.4.62", "JPEG Spectral Selection, Hierarchical (Process 21 & 23)").retired(),
    kept("1.2.840.10008.1.2.4.63", "JPEG Full Progression, Hierarchical (Process 24 & 26)").retired(),
    kept("1.2.840.10008.1.2.4.64", "JPEG Full Progression, Hierarchical (Process 25 & 27)").retired(),
    kept("1.2.840.10008.1.2.4.65", "JPEG Lossless, Hierarchical (Process 28)").retired(),
    kept("1.2.840.10008.1.2.4.66", "JPEG Lossless, Hierarchical (Process 29)").retired(),
    lossless(
        Codec::JpegLossless,
        "1.2.840.10008.1.2.4.70",
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14, Selection Value 1)",
    ),
    lossless(Codec::JpegLs, "1.2.840.10008.1.2.4.80", "JPEG-LS Lossless Image Compression"),
    lossy(Codec::JpegLs, "1.2.840.10008.1.2.4.81", "JPEG-LS Lossy (Near-Lossless) Image Compression"),
    lossless(Codec::Jpeg2000, "1.2.840.10008.1.2.4.90", "JPEG 2000 Image Compression (Lossless Only)"),
    lossy(Codec::Jpeg2000, "1.2.840.10008.1.2.4.91", "JPEG 2000 Image Compression"),
    lossless(
        Codec::Jpeg2000,
        "1.2.840.10008.1.2.4.92",
        "JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)",
    ),
    lossy(Codec::Jpeg2000, "1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2 Multi-component Image Compression"),
    kept("1.2.840.10008.1.2.4.94", "JPIP Referenced"),
    lossless(
        Codec::HtJpeg2000,
        "1.2.840.10008.1.2.4.201",
        "High-Throughput JPEG 2000 Image Compression (Lossless Only)",
    ),
    lossless(
        Codec::HtJpeg2000,
        "1.2.840.10008.1.2.4.202",
        "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)",
    ),
    lossy(Codec::HtJpeg2000, "1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000 Image Compression"),
    kept("1.2.840.10008.1.2.4.204", "JPIP HTJ2K Referenced"),
    lossless(Codec::JpegXl, "1.2.840.10008.1.2.4.110", "JPEG XL Lossless"),
    lossy(Codec::JpegXl, "1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression"),
    lossy(Codec::JpegXl, "1.2.840.10008.1.2.4.112", "JPEG XL"),
    lossy(Codec::Video, "1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level"),
    lossy(Codec::Video, "1.2.840.10008.1.2.4.100.1", "Fragmentable MPEG2 Main Profile / Main Level"),
    lossy(Codec::Video, "1.2.840.10008.1.2.4.101", "MPEG2 Main Profile / High Level"),
    lossy(Codec::Video, "1.2.840.10008.1.2.4.101.1", "Fragmentable MPEG2 Main Profile / High Level"),
    lossy(Codec::Video, "1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1"),
    lossy(Codec::Video, "1.2.840.10008.1.2.4.102.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1"),
    lossy(Codec::Video, "1.2.840.10008.1.2.4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1"),
    lossy(
        Codec::Video,
        "1.2.840.10008.1.2.4.103.1",
        "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
    ),
    lossy(Codec::Video, "1.2.840.10008.1.2.4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video"),
    lossy(
        Codec::Video,
        "1.2.840.10008.1.2.4.104.1",
        "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
    ),
    lossy(Codec::Video, "1.2.840.10008.1.2.4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video"),
    lossy(
        Codec::Video,
        "1.2.840.10008.1.2.4.105.1",
        "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
    ),
    lossy(Codec::Video, "1.2.840.10008.1.2.4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2"),
    lossy(Codec::Video, "1.2.840.10008.1.2.4.106.1", "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2"),
    lossy(Codec::Video, "1.2.840.10008.1.2.4.107", "HEVC/H.265 Main Profile / Level 5.1"),
    lossy(Codec::Video, "1.2.840.10008.1.2.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_syntax_stands_once_and_what_is_not_decoded_is_not_called_lossless() {
        for (at, syntax) in REGISTERED.iter().enumerate() {
            assert!(!REGISTERED.iter().take(at).any(|other| other.uid == syntax.uid), "{}", syntax.uid);
            assert!(!syntax.is_lossless || !matches!(syntax.codec, Codec::Unknown | Codec::Video), "{}", syntax.uid);
        }
    }
}
