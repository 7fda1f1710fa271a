//! A strict reader of `multipart/form-data` (RFC 7578, RFC 2046 section 5.1): one boundary, CRLF only, and nothing that two
//! parsers could take apart in two ways.
//!
//! Own code because strictness is the product: parsers that mend are what a form slips past. It takes what the vendors'
//! SDKs write and refuses preambles, epilogues, folded or repeated part headers, extended parameters, transfer encodings
//! and a boundary inside of data. Ranges are positions in the very bytes that are sent. What a field means is `fields`'.

pub(super) mod fields;
mod head;

pub(crate) use head::Boundary;

use std::ops::Range;

use memchr::memmem;

use self::head::disposition;
use super::Unreadable;
use crate::reason::Reason;

/// Most parts of a form.
const MOST_PARTS: usize = 256;

/// Longest head of a part, in bytes.
const LONGEST_HEAD: usize = 4096;

/// One field of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'b> {
    /// Its name.
    pub(crate) name: &'b str,
    /// Where its file's name stands, when it is a file.
    pub(crate) filename: Option<Range<usize>>,
    /// Where its data stands.
    pub(crate) data: Range<usize>,
}

/// The parts of a form, in order.
///
/// # Errors
/// [`Unreadable`] with the byte at which it stops being a form that all readers take apart alike.
pub(crate) fn read<'b>(boundary: &Boundary, body: &'b [u8]) -> Result<Vec<Part<'b>>, Unreadable> {
    let dashes = format!("--{}", boundary.as_str());
    let finder = memmem::Finder::new(&dashes);
    let mut found = finder.find_iter(body);
    let mut parts = Vec::new();
    // Every place that has the boundary must be a delimiter, so that no reader finds one more.
    let mut at =
        found.next().filter(|at| *at == 0).ok_or_else(|| bad("form that does not begin with its boundary", 0))?;
    loop {
        let after = at + dashes.len();
        let rest = body.get(after..).unwrap_or_default();
        if let Some(end) = rest.strip_prefix(b"--") {
            return match (end, found.next(), parts.is_empty()) {
                (b"" | b"\r\n", None, false) => Ok(parts),
                _ => Err(bad("data after the form, or no part", after)),
            };
        }
        if !rest.starts_with(b"\r\n") {
            return Err(bad("boundary in data, or a line that does not end as due", at));
        }
        let next = found.next().ok_or_else(|| bad("form without an end", after))?;
        let part = part(body, after + 2, next)?;
        if parts.len() == MOST_PARTS {
            return Err(bad("too many parts", at));
        }
        parts.push(part);
        at = next;
    }
}

/// The part whose head begins at `start` and whose data ends before the delimiter at `next`.
fn part(body: &[u8], start: usize, next: usize) -> Result<Part<'_>, Unreadable> {
    let end = next.checked_sub(2).filter(|end| body.get(*end..next) == Some(b"\r\n"));
    let end = end.ok_or_else(|| bad("boundary in data", next))?;
    let whole = body.get(start..end).ok_or_else(|| bad("part without a head", start))?;
    let length = memmem::find(whole.get(..whole.len().min(LONGEST_HEAD)).unwrap_or_default(), b"\r\n\r\n");
    let length = length.ok_or_else(|| bad("part without a head, or with one too long", start))?;
    let head = whole.get(..length).and_then(|head| std::str::from_utf8(head).ok());
    let head = head.ok_or_else(|| bad("head of a part that is no UTF-8", start))?;
    let data = start + length + 4..end;
    let (mut name, mut filename, mut media, mut size) = (None, None, None, None);
    let mut at = start;
    for line in head.split("\r\n") {
        let (field, value) = line.split_once(':').ok_or_else(|| bad("head line of a part without a colon", at))?;
        let value_at = at + field.len() + 1;
        let again = || bad("head line of a part that stands twice", at);
        if line.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
            return Err(bad("control character in the head of a part", at));
        }
        match field.to_ascii_lowercase().as_str() {
            "content-disposition" if name.is_some() => return Err(again()),
            "content-disposition" => {
                let found =
                    disposition(value).ok_or_else(|| bad("content disposition that is read in two ways", at))?;
                name = Some(found.name);
                filename = found.filename.map(|range| range.start + value_at..range.end + value_at);
            }
            "content-type" if media.is_some() => return Err(again()),
            "content-type" => media = Some(value),
            "content-length" if size.is_some() => return Err(again()),
            "content-length" => size = Some(value.trim_matches([' ', '\t'])),
            _ => return Err(bad("head line of a part that is not governed", at)),
        }
        at = value_at + value.len() + 2;
    }
    let name = name.ok_or_else(|| bad("part without a name", start))?;
    if size.is_some_and(|size| size != data.len().to_string()) {
        return Err(bad("part that says another length", start));
    }
    // A field that is labelled as something else than text is a file to some readers, and a file without a name none.
    if !media.is_none_or(|media| if filename.is_some() { head::is_plain_type(media) } else { head::is_text(media) }) {
        return Err(bad("content type of a part that is not governed", start));
    }
    Ok(Part { name, filename, data })
}

fn bad(what: &'static str, at: usize) -> Unreadable {
    Unreadable::at(Reason::MalformedRequest, what, at)
}

#[cfg(test)]
mod tests;
