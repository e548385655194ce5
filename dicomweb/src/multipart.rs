//! multipart/related (RFC 2046 §5.1, RFC 2387, PS3.18 §8.6): an incremental reader and a writer, both pure.
//!
//! Why not an existing crate: those made for form uploads read ahead without bound or want names for the parts.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;

/// A part's headers may have this many bytes.
const MAX_HEADERS: usize = 16 << 10;
/// White space allowed between a boundary and the end of its line.
const MAX_PADDING: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    #[error("the Content-Type has no usable boundary (1 to 70 characters)")]
    Boundary,
    #[error("headers of a part are longer than {MAX_HEADERS} bytes")]
    Headers,
    #[error("the body ends before its closing boundary")]
    Truncated,
}

/// What the next bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A part begins.
    Part(Headers),
    /// Content of the part.
    Data(Bytes),
    /// The part is complete.
    PartEnd,
    /// The closing boundary was read.
    End,
    /// Nothing to say before more bytes are fed.
    NeedMore,
}

/// Headers of a part; names are lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn parse(block: &[u8]) -> Self {
        let lines = block.split(|&b| b == b'\n').map(String::from_utf8_lossy);
        let field = |line: std::borrow::Cow<'_, str>| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        Self(lines.filter_map(field).collect())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    Headers,
    Body,
    /// The part's last content was given out; its end is said next.
    PartEnd,
    AfterDelimiter,
    End,
}

/// Reads multipart bytes as they come. It holds what was fed and not yet given out, so the caller bounds memory by feeding only on [`Event::NeedMore`].
#[derive(Debug)]
pub struct Reader {
    /// CR LF, two hyphens, the boundary.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    state: State,
}

/// How the bytes after a delimiter read.
enum Line {
    /// Two hyphens.
    Close,
    /// Padding and line end: this many bytes.
    Next(usize),
    Short,
    /// Something else: it was content that looked like a delimiter.
    Content,
}

impl Reader {
    /// `boundary` as in the Content-Type, without the hyphens.
    pub fn new(boundary: &str) -> Result<Self, MultipartError> {
        if boundary.is_empty() || boundary.len() > 70 {
            return Err(MultipartError::Boundary);
        }
        // The first boundary needs no line end before it: one is put there.
        let buffer = BytesMut::from(&b"\r\n"[..]);
        Ok(Self { delimiter: [b"\r\n--", boundary.as_bytes()].concat(), buffer, state: State::Preamble })
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// What to say when no more bytes will come.
    pub fn finish(&self) -> Result<(), MultipartError> {
        if self.state == State::End { Ok(()) } else { Err(MultipartError::Truncated) }
    }

    pub fn next(&mut self) -> Result<Event, MultipartError> {
        loop {
            match self.state {
                State::Preamble => match self.content() {
                    Event::Data(_) => {}
                    Event::PartEnd => self.state = State::AfterDelimiter,
                    event => return Ok(event),
                },
                State::Body => match self.content() {
                    Event::PartEnd => self.state = State::PartEnd,
                    event => return Ok(event),
                },
                State::PartEnd => {
                    self.state = State::AfterDelimiter;
                    return Ok(Event::PartEnd);
                }
                State::AfterDelimiter => match self.line() {
                    Line::Next(len) => {
                        self.buffer.advance(len);
                        self.state = State::Headers;
                    }
                    Line::Close => self.state = State::End,
                    // `content` stops only at delimiters whose line was seen whole.
                    Line::Short | Line::Content => return Ok(Event::NeedMore),
                },
                State::Headers => return self.headers(),
                State::End => {
                    self.buffer.clear();
                    return Ok(Event::End);
                }
            }
        }
    }

    /// Content up to the next delimiter; at one, drops it and says `PartEnd`.
    fn content(&mut self) -> Event {
        let Some(at) = memmem::find(&self.buffer, &self.delimiter) else {
            return self.give(self.buffer.len().saturating_sub(self.delimiter.len() - 1));
        };
        if at > 0 {
            return self.give(at);
        }
        match line_after(self.buffer.get(self.delimiter.len()..).unwrap_or_default()) {
            Line::Short => Event::NeedMore,
            Line::Content => self.give(1),
            Line::Close | Line::Next(_) => {
                self.buffer.advance(self.delimiter.len());
                Event::PartEnd
            }
        }
    }

    fn give(&mut self, len: usize) -> Event {
        if len == 0 { Event::NeedMore } else { Event::Data(self.buffer.split_to(len).freeze()) }
    }

    fn line(&self) -> Line {
        line_after(&self.buffer)
    }

    fn headers(&mut self) -> Result<Event, MultipartError> {
        if self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
            self.state = State::Body;
            return Ok(Event::Part(Headers::default()));
        }
        match memmem::find(&self.buffer, b"\r\n\r\n") {
            Some(at) if at <= MAX_HEADERS => {
                let block = self.buffer.split_to(at);
                self.buffer.advance(4);
                self.state = State::Body;
                Ok(Event::Part(Headers::parse(&block)))
            }
            None if self.buffer.len() <= MAX_HEADERS => Ok(Event::NeedMore),
            _ => Err(MultipartError::Headers),
        }
    }
}

fn line_after(bytes: &[u8]) -> Line {
    if bytes.starts_with(b"--") {
        return Line::Close;
    }
    let padding = bytes.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    match bytes.get(padding..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Line::Next(padding + 2),
        [] | [b'\r'] if padding <= MAX_PADDING => Line::Short,
        [b'-'] if padding == 0 => Line::Short,
        _ => Line::Content,
    }
}

/// Writes the lines between parts.
#[derive(Debug, Clone)]
pub struct Writer {
    boundary: String,
}

impl Writer {
    /// The boundary must not occur in the content: it is made of a number that nobody outside can foresee.
    pub fn new(number: u128) -> Self {
        Self { boundary: format!("yinghai-{number:032x}") }
    }

    /// Content-Type of the whole.
    pub fn content_type(&self, part: &str) -> String {
        format!("multipart/related; type=\"{part}\"; boundary={}", self.boundary)
    }

    /// What stands before a part's content. `location` is left out where there is none.
    pub fn head(&self, content_type: &str, location: Option<&str>, len: Option<u64>) -> Bytes {
        let location = location.map(|l| format!("Content-Location: {l}\r\n")).unwrap_or_default();
        let len = len.map(|l| format!("Content-Length: {l}\r\n")).unwrap_or_default();
        format!("\r\n--{}\r\nContent-Type: {content_type}\r\n{location}{len}\r\n", self.boundary).into()
    }

    pub fn close(&self) -> Bytes {
        format!("\r\n--{}--\r\n", self.boundary).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Content type and content of each part, fed in pieces.
    fn read(boundary: &str, body: &[u8], piece: usize) -> Result<Vec<(String, Vec<u8>)>, MultipartError> {
        let mut reader = Reader::new(boundary)?;
        let mut pieces = body.chunks(piece.max(1));
        let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
        loop {
            match reader.next()? {
                Event::Part(headers) => parts.push((headers.get("content-type").unwrap_or_default().into(), vec![])),
                Event::Data(bytes) => parts.last_mut().unwrap().1.extend_from_slice(&bytes),
                Event::PartEnd => {}
                Event::End => return Ok(parts),
                Event::NeedMore => match pieces.next() {
                    Some(bytes) => reader.feed(bytes),
                    None => return reader.finish().map(|()| parts),
                },
            }
        }
    }

    fn write(parts: &[(String, Vec<u8>)]) -> (String, Vec<u8>) {
        let writer = Writer::new(7);
        let mut body = Vec::new();
        for (content_type, content) in parts {
            body.extend_from_slice(&writer.head(content_type, None, None));
            body.extend_from_slice(content);
        }
        body.extend_from_slice(&writer.close());
        (writer.boundary, body)
    }

    #[test]
    fn preamble_padding_and_missing_headers_are_read() {
        let body = b"preamble\r\n--b  \r\n\r\none\r\n--b\r\nContent-Type: x/y\r\n\r\n\r\n--b--epilogue";
        let expected = vec![(String::new(), b"one".to_vec()), ("x/y".into(), vec![])];
        for piece in 1..body.len() {
            assert_eq!(read("b", body, piece).unwrap(), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn content_that_starts_like_a_delimiter_is_content() {
        let body = b"--b\r\n\r\na\r\n--bx\r\n-\r\n--b--";
        assert_eq!(read("b", body, 3).unwrap()[0].1, b"a\r\n--bx\r\n-");
    }

    #[test]
    fn a_body_without_closing_boundary_is_truncated() {
        for body in [&b""[..], b"--b", b"--b\r\n\r\nabc", b"--b\r\n\r\nabc\r\n--b\r\n"] {
            assert_eq!(read("b", body, 4), Err(MultipartError::Truncated));
        }
    }

    #[test]
    fn endless_headers_are_refused() {
        let body = [&b"--b\r\n"[..], &[b'x'; MAX_HEADERS + 2]].concat();
        assert_eq!(read("b", &body, 1000), Err(MultipartError::Headers));
    }

    #[test]
    fn a_boundary_has_1_to_70_characters() {
        assert!(Reader::new("").is_err() && Reader::new(&"b".repeat(71)).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4),
            piece in 1usize..200,
        ) {
            let parts: Vec<_> = contents.into_iter().map(|content| ("a/b".to_owned(), content)).collect();
            let (boundary, body) = write(&parts);
            prop_assert_eq!(read(&boundary, &body, piece).unwrap(), parts);
        }

        #[test]
        fn any_bytes_are_read_without_panic(body in prop::collection::vec(prop::sample::select(&b"\r\n-bx: "[..]), 0..200), piece in 1usize..50) {
            let whole = read("b", &body, body.len());
            prop_assert_eq!(read("b", &body, piece), whole);
        }
    }
}
