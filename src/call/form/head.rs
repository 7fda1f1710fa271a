//! The heads of a form: the boundary in its `Content-Type`, and `Content-Disposition` and `Content-Type` of its parts.

use std::ops::Range;

/// Longest boundary (RFC 2046 section 5.1.1).
const LONGEST_BOUNDARY: usize = 70;

/// Longest name of a field.
const LONGEST_NAME: usize = 64;

/// What stands between the parts of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Boundary(Box<str>);

impl Boundary {
    /// The boundary of exactly `multipart/form-data; boundary=…`; the case of the words does not matter.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        let (essence, parameter) = media_type.split_once(';')?;
        if !essence.trim_matches([' ', '\t']).eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let (name, value) = parameter.trim_matches([' ', '\t']).split_once('=')?;
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let text = quoted.unwrap_or(value);
        // Without quotes only what is a token (RFC 9110 section 5.6.2).
        let good = |b: u8| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'\'' | b'+' | b'_' | b'-' | b'.')
                || quoted.is_some() && matches!(b, b'(' | b')' | b',' | b'/' | b':' | b'=' | b'?')
        };
        let is_good = name.eq_ignore_ascii_case("boundary")
            && (1..=LONGEST_BOUNDARY).contains(&text.len())
            && text.bytes().all(good);
        is_good.then(|| Self(text.into()))
    }

    /// The boundary without its dashes.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The media type of a form with this boundary, written anew.
    pub(crate) fn media_type(&self) -> String {
        let is_token = self.0.bytes().all(|b| !matches!(b, b'(' | b')' | b',' | b'/' | b':' | b'=' | b'?'));
        if is_token {
            format!("multipart/form-data; boundary={}", self.0)
        } else {
            format!("multipart/form-data; boundary=\"{}\"", self.0)
        }
    }
}

/// What a `Content-Disposition` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disposition<'v> {
    pub(super) name: &'v str,
    /// Where in the value the file's name stands.
    pub(super) filename: Option<Range<usize>>,
}

/// Reads `form-data; name="…"` and `form-data; name="…"; filename="…"`, and nothing else.
pub(super) fn disposition(value: &str) -> Option<Disposition<'_>> {
    let rest = value.trim_start_matches([' ', '\t']);
    let (kind, rest) = rest.split_at_checked("form-data".len())?;
    if !kind.eq_ignore_ascii_case("form-data") {
        return None;
    }
    let (name, rest) = parameter(rest, "name")?;
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']');
    if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(is_name) {
        return None;
    }
    if rest.trim_matches([' ', '\t']).is_empty() {
        return Some(Disposition { name, filename: None });
    }
    let (filename, rest) = parameter(rest, "filename")?;
    // A reader that does not know quotes would find a parameter behind a semicolon.
    let plain = !filename.is_empty() && !filename.split(';').skip(1).any(|part| part.contains('='));
    if !plain || !rest.trim_matches([' ', '\t']).is_empty() {
        return None;
    }
    let start = value.len() - rest.len() - 1 - filename.len();
    Some(Disposition { name, filename: Some(start..start + filename.len()) })
}

/// One parameter of exactly this name with a quoted value that has neither quotes nor backslashes, and what follows it.
fn parameter<'v>(rest: &'v str, expected: &str) -> Option<(&'v str, &'v str)> {
    let rest = rest.trim_start_matches([' ', '\t']).strip_prefix(';')?.trim_start_matches([' ', '\t']);
    let (name, rest) = rest.split_once('=')?;
    let (value, rest) = rest.strip_prefix('"')?.split_once('"')?;
    (name.eq_ignore_ascii_case(expected) && !value.contains('\\')).then_some((value, rest))
}

/// Whether a field's type is text in UTF-8.
pub(super) fn is_text(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(|part| part.trim_matches([' ', '\t']));
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("text/plain")
        && parts.all(|parameter| {
            parameter.eq_ignore_ascii_case("charset=utf-8") || parameter.eq_ignore_ascii_case("charset=\"utf-8\"")
        })
}

/// Whether a file's type is one plain type that makes no reader look for parts inside.
pub(super) fn is_plain_type(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(|part| part.trim_matches([' ', '\t']));
    let essence = parts.next().unwrap_or_default();
    let token = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_');
    let is_type = essence.split_once('/').is_some_and(|(kind, sub)| {
        let holds_parts = ["multipart", "message"].iter().any(|holder| kind.eq_ignore_ascii_case(holder));
        !holds_parts && !kind.is_empty() && !sub.is_empty() && kind.bytes().chain(sub.bytes()).all(token)
    });
    is_type
        && parts.all(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
                let is_charset = name.eq_ignore_ascii_case("charset");
                !name.is_empty()
                    && name.bytes().chain(value.bytes()).all(token)
                    && (!is_charset || value.eq_ignore_ascii_case("utf-8"))
            })
        })
}
