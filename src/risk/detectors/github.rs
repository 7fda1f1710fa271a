//! GitHub.

use std::ops::Range;

use crate::risk::detector::{Anchor, detector};
use crate::risk::site::{Site, alnum, is_placeholder};

// "Behind GitHub's new authentication token formats" (github.blog, 5 April 2021): prefix, 30 characters of base62, and
// CRC-32 of those in 6 digits of base62.
detector!(
    GITHUB_TOKEN,
    Credential,
    Anchor::Literal(&["ghp_", "gho_", "ghu_", "ghs_", "ghr_"]),
    token,
    [
        concat!("TOKEN=«gh", "p_sYd4ZR3q806LPRXm8PySRRVuTZrz0p1cxGJP»"),
        concat!("Look up «gh", "s_uSgVr36snM8rm55uVOB8PVFQJGm0LQ2dQY3Z» for me"),
        concat!("its check digits are wrong: gh", "p_sYd4ZR3q806LPRXm8PySRRVuTZrz0p1cxGJQ"),
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, high_score, ghp_short",
    ]
);

fn token(site: Site<'_>) -> Option<Range<usize>> {
    let prefixed = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"].iter().any(|prefix| site.has(site.at, prefix));
    let end = site.run(site.at + 4, 36, alnum);
    let (random, check) = site.bytes(site.at + 4..end).split_at_checked(30)?;
    let free = !site.before(site.at).is_some_and(alnum);
    (prefixed && free && check == base62_of_crc32(random)).then_some(site.at..end)
}

/// CRC-32 (ISO 3309, reflected, as in zlib) of `bytes`, in six digits of base62: `0-9A-Za-z`, the highest first.
fn base62_of_crc32(bytes: &[u8]) -> [u8; 6] {
    let mut rest = !bytes.iter().fold(!0_u32, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    });
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        let value = u8::try_from(rest % 62).unwrap_or_default();
        *digit = match value {
            0..=9 => b'0' + value,
            10..=35 => b'A' + value - 10,
            _ => b'a' + value - 36,
        };
        rest /= 62;
    }
    digits
}

detector!(
    GITHUB_FINE_GRAINED_PAT,
    Credential,
    Anchor::Literal(&["github_pat_"]),
    fine_grained,
    [
        concat!(
            "«github",
            "_pat_nhgRnUZtSp1N9m122hoUqJ_EMO948stq3jVuGXdtRIMDu3Dm56KwXhHsO2vbo58zqXrHAXhwscrEfNP8v3» ok"
        ),
        "github_pat_0000000000000000000000_00000000000000000000000000000000000000000000000000000000000, github_pat_short",
    ]
);

/// 22 characters, a line, 59 characters.
fn fine_grained(site: Site<'_>) -> Option<Range<usize>> {
    let middle = site.run(site.at + 11, 22, alnum);
    let end = site.run(middle + 1, 59, alnum);
    let free = !site.before(site.at).is_some_and(alnum);
    let shaped = site.has(site.at, "github_pat_")
        && middle == site.at + 33
        && site.byte(middle) == Some(b'_')
        && end == middle + 60;
    (free && shaped && !is_placeholder(site.bytes(middle + 1..end))).then_some(site.at..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_zlib_in_base62() {
        // CRC-32 of "123456789" is 0xCBF43926 (the usual check value) = 3421780262.
        assert_eq!(&base62_of_crc32(b"123456789"), b"3jZRME");
    }
}
