//! International bank account numbers.

use std::ops::Range;

use crate::risk::detector::{Anchor, detector};
use crate::risk::site::{Site, alnum};

detector!(
    IBAN,
    PersonalData,
    Anchor::Number,
    confirm,
    [
        "Pay to «GB82 WEST 1234 5698 7654 32», thanks",
        "IBAN:«DE89370400440532013000».",
        "iban «NL91ABNA0417164300» and «FR14 2004 1010 0505 0001 3M02 606»",
        "small letters: «gb82west12345698765432»",
        "check digits wrong: GB82 WEST 1234 5698 7654 33",
        "too long for its country DE893704004405320130001, no country ZZ89370400440532013000",
    ]
);

/// Countries of the IBAN registry and the length of their numbers (SWIFT IBAN Registry, ISO 13616-1).
#[rustfmt::skip]
const LENGTHS: &[([u8; 2], usize)] = &[
    (*b"AD", 24), (*b"AE", 23), (*b"AL", 28), (*b"AT", 20), (*b"AZ", 28), (*b"BA", 20), (*b"BE", 16), (*b"BG", 22),
    (*b"BH", 22), (*b"BI", 27), (*b"BR", 29), (*b"BY", 28), (*b"CH", 21), (*b"CR", 22), (*b"CY", 28), (*b"CZ", 24),
    (*b"DE", 22), (*b"DJ", 27), (*b"DK", 18), (*b"DO", 28), (*b"EE", 20), (*b"EG", 29), (*b"ES", 24), (*b"FI", 18),
    (*b"FK", 18), (*b"FO", 18), (*b"FR", 27), (*b"GB", 22), (*b"GE", 22), (*b"GI", 23), (*b"GL", 18), (*b"GR", 27),
    (*b"GT", 28), (*b"HR", 21), (*b"HU", 28), (*b"IE", 22), (*b"IL", 23), (*b"IQ", 23), (*b"IS", 26), (*b"IT", 27),
    (*b"JO", 30), (*b"KW", 30), (*b"KZ", 20), (*b"LB", 28), (*b"LC", 32), (*b"LI", 21), (*b"LT", 20), (*b"LU", 20),
    (*b"LV", 21), (*b"LY", 25), (*b"MC", 27), (*b"MD", 24), (*b"ME", 22), (*b"MK", 19), (*b"MN", 20), (*b"MR", 27),
    (*b"MT", 31), (*b"MU", 30), (*b"NI", 28), (*b"NL", 18), (*b"NO", 15), (*b"OM", 23), (*b"PK", 24), (*b"PL", 28),
    (*b"PS", 29), (*b"PT", 25), (*b"QA", 29), (*b"RO", 24), (*b"RS", 22), (*b"RU", 33), (*b"SA", 24), (*b"SC", 31),
    (*b"SD", 18), (*b"SE", 24), (*b"SI", 19), (*b"SK", 24), (*b"SM", 27), (*b"SO", 23), (*b"ST", 25), (*b"SV", 28),
    (*b"TL", 23), (*b"TN", 24), (*b"TR", 26), (*b"UA", 29), (*b"VA", 22), (*b"VG", 24), (*b"XK", 20), (*b"YE", 30),
];

fn confirm(site: Site<'_>) -> Option<Range<usize>> {
    let start = site.at.checked_sub(2)?;
    let &[a, b] = site.bytes(start..site.at) else { return None };
    if !(a.is_ascii_alphabetic() && b.is_ascii_alphabetic()) || site.before(start).is_some_and(alnum) {
        return None;
    }
    let country = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
    let (_, length) = LENGTHS.iter().find(|(code, _)| *code == country)?;
    let end = end_of(site, start, *length)?;
    (mod_97(site.bytes(start..end)) == 1).then_some(start..end)
}

/// Where `length` letters and digits end, single spaces or dashes between them left out.
fn end_of(site: Site<'_>, start: usize, length: usize) -> Option<usize> {
    let (mut at, mut read) = (start, 0);
    while read < length {
        let b = site.byte(at)?;
        if alnum(b) {
            read += 1;
        } else if !matches!(b, b' ' | b'-') || !site.byte(at + 1).is_some_and(alnum) {
            return None;
        }
        at += 1;
    }
    (!site.byte(at).is_some_and(alnum)).then_some(at)
}

/// ISO 7064 mod 97-10 of an IBAN whose first four characters are moved to its end; 1 when the check digits fit.
fn mod_97(iban: &[u8]) -> u32 {
    let plain = || iban.iter().copied().filter(|b| alnum(*b));
    plain().skip(4).chain(plain().take(4)).fold(0, |rest, b| match b {
        b'0'..=b'9' => (rest * 10 + u32::from(b - b'0')) % 97,
        letter => (rest * 100 + u32::from(letter.to_ascii_uppercase() - b'A') + 10) % 97,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registrys_examples_check_out() {
        for iban in [
            "AT611904300234573201",
            "BE68539007547034",
            "CH9300762011623852957",
            "ES9121000418450200051332",
            "MT84MALT011000012345MTLCAST001S",
            "NO9386011117947",
            "SA0380000000608010167519",
        ] {
            assert_eq!(mod_97(iban.as_bytes()), 1, "{iban}");
            assert_eq!(confirm(Site { text: iban.as_bytes(), at: 2 }), Some(0..iban.len()));
        }
        assert_ne!(mod_97(b"AT611904300234573202"), 1);
    }

    #[test]
    fn the_countries_are_in_order_and_named_once() {
        assert!(LENGTHS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
