//! Identifiers of the United States.

use std::ops::Range;

use crate::risk::detector::{Anchor, detector};
use crate::risk::site::{Site, alnum};

/// Words that say a number is a social security number.
const SSN_WORDS: &[&str] = &["ssn", "ssns", "ss#", "ss", "social", "socialsecurity"];

detector!(
    US_SSN,
    PersonalData,
    Anchor::Number,
    confirm,
    [
        "My SSN is «536-22-1234».",
        "rows: 1,«219-45-6789»,ok",
        "social security number: «536221234»",
        "SSN «536 22 1234» on file",
        "SSN 000-12-3456 and 666-12-3456 and 536-00-1234 and 536-22-0000 are none, nor is an ITIN 912-70-1234",
        "Compute 75 * 88610 + 723843118, or 536 22 1234",
        "phone 1-536-22-1234-5, part 536-22-1234-99, SSN 536-22 1234",
    ]
);

/// The dashed form stands alone; nine digits in a row or with spaces need a word.
fn confirm(site: Site<'_>) -> Option<Range<usize>> {
    let (digits, end, dashed) = read(site)?;
    let &[a1, a2, a3, g1, g2, s1, s2, s3, s4] = &digits;
    let area = [a1, a2, a3];
    let possible =
        area != *b"000" && area != *b"666" && a1 != b'9' && [g1, g2] != *b"00" && [s1, s2, s3, s4] != *b"0000";
    let free = |b: Option<u8>| !b.is_some_and(|b| alnum(b) || b == b'_' || (dashed && b == b'-'));
    (possible
        && free(site.before(site.at))
        && free(site.byte(end))
        && (dashed || site.mentions(site.at, 40, SSN_WORDS)))
    .then_some(site.at..end)
}

/// Nine digits, as one group or as 3-2-4 with one kind of separator; where they end; whether with dashes.
fn read(site: Site<'_>) -> Option<([u8; 9], usize, bool)> {
    let first = site.run(site.at, 9, |b| b.is_ascii_digit()) - site.at;
    if first == 9 {
        return Some((site.bytes(site.at..site.at + 9).try_into().ok()?, site.at + 9, false));
    }
    let &[a1, a2, a3, x, g1, g2, y, s1, s2, s3, s4] = site.bytes(site.at..site.at + 11) else { return None };
    let digits = [a1, a2, a3, g1, g2, s1, s2, s3, s4];
    let grouped = first == 3 && x == y && matches!(x, b'-' | b' ') && digits.iter().all(u8::is_ascii_digit);
    grouped.then_some((digits, site.at + 11, x == b'-'))
}
