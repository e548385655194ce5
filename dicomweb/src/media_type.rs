//! Media types and the Accept header (RFC 9110 §12.5.1, PS3.18 §8.7).
//!
//! Clients disagree on quoting: `type="application/dicom"`, `type=application/dicom` and
//! `transfer-syntax="*"` all occur and are read alike.

/// One media type or range with its parameters; names are lower case, values as sent without quotes.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaType {
    /// `type/subtype`, lower case, possibly with `*`.
    pub essence: String,
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// `None` if there is no `type/subtype`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut pieces = split(text, b';').into_iter();
        let essence = pieces.next()?.trim().to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        let is_token =
            |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&b));
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let parameters = pieces.filter_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            Some((name.trim().to_ascii_lowercase(), unquote(value.trim())))
        });
        Some(Self { parameters: parameters.collect(), essence })
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether this range covers a media type, e.g. `image/*` covers `image/jpeg`.
    pub fn covers(&self, essence: &str) -> bool {
        let kind = self.essence.strip_suffix("/*");
        self.essence == "*/*" || self.essence == essence || kind.is_some_and(|k| essence.split('/').next() == Some(k))
    }

    /// Weight of the range (RFC 9110 §12.4.2), in thousandths.
    fn quality(&self) -> u32 {
        let weight = self.parameter("q").and_then(|q| q.parse::<f32>().ok()).filter(|q| (0.0..=1.0).contains(q));
        weight.map_or(1000, |q| (q * 1000.0).round() as u32)
    }
}

/// One representation that the client takes: a media type alone or in parts of multipart/related.
#[derive(Debug, Clone, PartialEq)]
pub struct Acceptable {
    pub multipart: bool,
    /// Of the content or of each part.
    pub media: MediaType,
    /// `None` where the client names none: the default of the service.
    pub transfer_syntax: Option<String>,
}

/// What the client takes, best first. Nothing sent is `*/*`; a weight of 0 is left out.
///
/// `headers` are the values of all Accept headers, `parameter` that of the `accept` query parameter (PS3.18 §8.3.3.1),
/// which goes first.
pub fn accept<'a>(headers: impl Iterator<Item = &'a str>, parameter: Option<&str>) -> Vec<Acceptable> {
    let header = headers.collect::<Vec<_>>().join(",");
    let read = |text: &str| split(text, b',').iter().filter_map(|t| MediaType::parse(t)).collect::<Vec<_>>();
    let mut ranges = read(parameter.unwrap_or_default());
    if ranges.is_empty() {
        ranges = read(&header);
        ranges.sort_by_key(|range| std::cmp::Reverse(range.quality()));
    }
    if ranges.is_empty() && header.trim().is_empty() {
        ranges.extend(MediaType::parse("*/*"));
    }
    ranges.into_iter().filter(|range| range.quality() > 0).map(Acceptable::of).collect()
}

impl Acceptable {
    fn of(range: MediaType) -> Self {
        let transfer_syntax = |media: &MediaType| media.parameter("transfer-syntax").map(str::to_owned);
        if range.essence != "multipart/related" {
            return Self { multipart: false, transfer_syntax: transfer_syntax(&range), media: range };
        }
        let any = || MediaType { essence: "*/*".into(), parameters: Vec::new() };
        let media = range.parameter("type").and_then(MediaType::parse).unwrap_or_else(any);
        Self { multipart: true, transfer_syntax: transfer_syntax(&range).or_else(|| transfer_syntax(&media)), media }
    }
}

/// Splits at a separator outside quoted strings.
fn split(text: &str, separator: u8) -> Vec<&str> {
    let (mut pieces, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => {
                pieces.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.extend(text.get(start..));
    pieces
}

fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut escaped = false;
    inner
        .chars()
        .filter(|&c| {
            escaped = c == '\\' && !escaped;
            !escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(header: &str, expected: &[(bool, &str, Option<&str>)]) {
        let found = accept([header].into_iter(), None);
        let found: Vec<_> =
            found.iter().map(|a| (a.multipart, a.media.essence.as_str(), a.transfer_syntax.as_deref())).collect();
        assert_eq!(found, expected, "{header}");
    }

    #[test]
    fn quoted_and_bare_parameters_read_alike() {
        let expected = [(true, "application/dicom", Some("*"))];
        check(r#"multipart/related; type="application/dicom"; transfer-syntax=*"#, &expected);
        check(r#"multipart/related; type=application/dicom; transfer-syntax="*""#, &expected);
        check(r#"Multipart/Related;TYPE="application/dicom;transfer-syntax=*""#, &expected);
    }

    #[test]
    fn a_missing_accept_is_anything() {
        check("", &[(false, "*/*", None)]);
    }

    #[test]
    fn weights_order_and_zero_excludes() {
        check("image/png;q=0.5, image/jpeg, image/gif;q=0", &[(false, "image/jpeg", None), (false, "image/png", None)]);
    }

    #[test]
    fn a_comma_in_quotes_does_not_split() {
        check(
            r#"multipart/related; type="image/jls"; x="a,b", image/jls"#,
            &[(true, "image/jls", None), (false, "image/jls", None)],
        );
    }

    #[test]
    fn the_query_parameter_goes_before_the_header() {
        let found = accept(["text/html"].into_iter(), Some("image/png"));
        assert_eq!(found[0].media.essence, "image/png");
    }

    #[test]
    fn ranges_cover_their_types() {
        let covers = |range: &str, essence| MediaType::parse(range).unwrap().covers(essence);
        assert!(covers("*/*", "image/png") && covers("image/*", "image/png") && covers("image/png", "image/png"));
        assert!(!covers("image/*", "application/dicom") && !covers("image/png", "image/jpeg"));
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_panic(text in any::<String>()) {
            for acceptable in accept([text.as_str()].into_iter(), Some(&text)) {
                prop_assert!(acceptable.media.essence.contains('/'));
            }
        }
    }
}
