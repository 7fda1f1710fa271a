//! Private keys in PEM and OpenPGP armour (RFC 7468, RFC 4880 §6.2).

use std::ops::Range;

use crate::risk::detector::{Anchor, detector};
use crate::risk::site::{Site, base64};

/// Longest armoured key that is read to its end line, in bytes. A longer one is still found, its span cut here.
const LONGEST: usize = 16 * 1024;

const END: &[u8] = b"-----END ";

detector!(
    PRIVATE_KEY,
    Credential,
    Anchor::Literal(&["private key"]),
    confirm,
    [
        "this key:\n«-----BEGIN RSA PRIVATE KEY-----\nutYtZWjMO/Y7eu2Xsm7r9NHxCvSYka58j6Z5OTP+Dub+iYe1\nw==\n-----END RSA PRIVATE KEY-----»\nwhat now?",
        "\"key\": \"«-----BEGIN PRIVATE KEY-----\\nutYtZWjMO/Y7eu2Xsm7r9NHxCvSYka58j6Z5OTP+Dub+iYe1\\nw==\\n-----END PRIVATE KEY-----»\\n\"",
        "cut off: «-----BEGIN OPENSSH PRIVATE KEY-----\nTtr6PXA3aFAvCfZqzwnFK4qeYDVXN65HKdDLkEKcJ1EcRBsHyKt2xZSl7»",
        "-----BEGIN PUBLIC KEY-----\nAX50FhTrjnUoeFcCbkf2iJA3aBDcRVFulf8HPOFNIiaUpc4hPLlx4yTWo8M\n-----END PUBLIC KEY-----",
        "A private key file starts with -----BEGIN PRIVATE KEY----- and ends with -----END PRIVATE KEY-----.",
    ]
);

fn confirm(site: Site<'_>) -> Option<Range<usize>> {
    let start = begin_line(site)?;
    let after = site.at + b"PRIVATE KEY".len();
    let body = [" BLOCK-----", "-----"].iter().find(|end| site.has(after, end)).map(|end| after + end.len())?;
    // Some key must follow, or its headers: a mere mention of the line is none.
    let first = site.run(body, 8, is_break);
    let material = site.run(first, 40, base64) - first >= 40 || site.bytes(first..first + 24).contains(&b':');
    (first > body && material).then(|| start..end_of(site, body))
}

/// Where `-----BEGIN <label> ` starts that leads up to the anchor.
fn begin_line(site: Site<'_>) -> Option<usize> {
    if !site.has(site.at, "PRIVATE KEY") {
        return None;
    }
    let label = site.run_back(site.at, 24, |b| b.is_ascii_uppercase() || matches!(b, b' ' | b'0'..=b'9'));
    let line = label.checked_sub(5).filter(|start| site.bytes(*start..label) == b"-----")?;
    site.bytes(label..site.at).starts_with(b"BEGIN ").then_some(line)
}

/// A line break, also as JSON writes it.
const fn is_break(b: u8) -> bool {
    matches!(b, b'\n' | b'\r' | b'\\' | b'n' | b'r' | b' ')
}

/// The end of the end line, or of the key material where that is cut off. Looks no further than the next line of five
/// dashes, so that many begin lines in a row cost no more than their bytes.
fn end_of(site: Site<'_>, body: usize) -> usize {
    let window = site.bytes(body..body + LONGEST);
    let next = memchr::memmem::find(window, b"-----").unwrap_or(window.len());
    let line = site.bytes(body + next..body + next + END.len() + 48);
    if let Some(rest) = line.strip_prefix(END)
        && let Some(dashes) = rest.windows(5).position(|five| five == b"-----")
    {
        return body + next + END.len() + dashes + 5;
    }
    let end = site.run(body, next, |b| base64(b) || matches!(b, b'\n' | b'\r' | b'\\' | b'=')).min(body + next);
    let cut = site.bytes(body..end);
    body + cut.iter().rposition(|b| base64(*b) || *b == b'=').map_or(0, |last| last + 1)
}
