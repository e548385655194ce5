//! Bytes to scan: buffered, bounded, read forward only.

use flate2::bufread::{DeflateDecoder, ZlibDecoder};
use std::io::{self, BufRead, BufReader, Read, Seek};

/// Passing over bytes without keeping them.
pub(crate) trait Skip: Read {
    fn skip(&mut self, len: u64) -> io::Result<()>;
}

impl<R: Read + Seek> Skip for BufReader<R> {
    // A jump inside the buffer costs nothing; past it, one seek.
    fn skip(&mut self, len: u64) -> io::Result<()> {
        self.seek_relative(i64::try_from(len).map_err(io::Error::other)?)
    }
}

impl<R: Read> Skip for Inflater<R> {
    fn skip(&mut self, len: u64) -> io::Result<()> {
        io::copy(&mut self.take(len), &mut io::sink()).map(drop)
    }
}

/// A deflate stream being inflated; buffered, for the scan reads a few bytes at a time.
pub(crate) enum Inflater<R: Read> {
    Raw(BufReader<DeflateDecoder<BufReader<R>>>),
    Zlib(BufReader<ZlibDecoder<BufReader<R>>>),
}

impl<R: Read> Inflater<R> {
    /// PS3.5 §A.5 asks for a bare deflate stream; some writers wrap it in a zlib header, which is told by its check bits.
    pub(crate) fn new(reader: R) -> io::Result<Self> {
        let mut reader = BufReader::new(reader);
        let zlib = match reader.fill_buf()? {
            [method, flags, ..] => {
                method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31) && flags & 0x20 == 0
            }
            _ => false,
        };
        Ok(if zlib {
            Self::Zlib(BufReader::new(ZlibDecoder::new(reader)))
        } else {
            Self::Raw(BufReader::new(DeflateDecoder::new(reader)))
        })
    }
}

impl<R: Read> Read for Inflater<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Raw(reader) => reader.read(buffer),
            Self::Zlib(reader) => reader.read(buffer),
        }
    }
}

/// A reader that knows where it is and how much is left.
pub(crate) struct Source<R> {
    reader: R,
    position: u64,
    end: u64,
    pushed_back: Option<[u8; 8]>,
}

impl<R: Skip> Source<R> {
    pub(crate) fn new(reader: R, position: u64, end: u64) -> Self {
        Self { reader, position, end, pushed_back: None }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn left(&self) -> u64 {
        self.end.saturating_sub(self.position)
    }

    /// The eight bytes that every element and item starts with.
    pub(crate) fn head(&mut self) -> io::Result<[u8; 8]> {
        match self.pushed_back.take() {
            Some(bytes) => {
                self.position += 8;
                Ok(bytes)
            }
            None => self.array(),
        }
    }

    /// Gives back what [`Self::head`] returned last.
    pub(crate) fn push_back(&mut self, head: [u8; 8]) {
        self.position -= 8;
        self.pushed_back = Some(head);
    }

    pub(crate) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.position += N as u64;
        Ok(bytes)
    }

    /// `len` bytes; the caller has checked that they are there and few.
    pub(crate) fn bytes(&mut self, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        self.reader.read_exact(&mut bytes)?;
        self.position += len;
        Ok(bytes)
    }

    pub(crate) fn skip(&mut self, len: u64) -> io::Result<()> {
        self.reader.skip(len)?;
        self.position += len;
        Ok(())
    }

    /// Whether nothing but zeros is left; reads to the end unless not.
    pub(crate) fn only_zeros_left(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        loop {
            match self.reader.read(&mut buffer)? {
                0 => return Ok(true),
                n if buffer.iter().take(n).any(|b| *b != 0) => return Ok(false),
                _ => {}
            }
        }
    }
}
