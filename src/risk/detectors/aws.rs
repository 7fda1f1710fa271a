//! Amazon Web Services.

use std::ops::Range;

use crate::risk::detector::{Anchor, detector};
use crate::risk::site::{Site, alnum, base64, is_mixed, is_placeholder};

// Prefixes of long-term, temporary, STS bearer and context-specific keys
// (AWS IAM User Guide, "IAM identifiers: understanding unique ID prefixes").
detector!(
    AWS_ACCESS_KEY_ID,
    Credential,
    Anchor::Literal(&["AKIA", "ASIA", "ABIA", "ACCA"]),
    access_key_id,
    [
        concat!("key=«AK", "IAQ3EGRIZ7MC5NXLPT»"),
        concat!("export token='«AS", "IAXKITIOJBS5VXNFNG»'"),
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
        "AKIAXXXXXXXXXXXXXXXX, akiaq3egriz7mc5nxlpt, SLOVAKIAQ3EGRIZ7MC5NXLPT, Asia, AKIAQ3EGRIZ7MC5NXLPTT",
    ]
);

fn access_key_id(site: Site<'_>) -> Option<Range<usize>> {
    let end = site.run(site.at, 20, |b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let tail = site.bytes(site.at + 4..end);
    let prefixed = ["AKIA", "ASIA", "ABIA", "ACCA"].iter().any(|prefix| site.has(site.at, prefix));
    let free = !site.before(site.at).is_some_and(alnum) && !site.byte(end).is_some_and(alnum);
    (prefixed && tail.len() == 16 && free && !is_placeholder(tail)).then_some(site.at..end)
}

detector!(
    AWS_SECRET_ACCESS_KEY,
    Credential,
    Anchor::Literal(&["secret"]),
    secret_access_key,
    [
        concat!("AWS_SECRET_ACCESS_KEY=«dkDFk6fCMX8mXk4EVAWf", "YV2kJeC4r3uNTCRh/tb1» status=401"),
        concat!("{ \"secretAccessKey\": \"«pv5zi4eqDrJlAibSsFra", "W8AlY6pBk61PQQCCnz0q»\" }"),
        concat!("export aws secret key='«AoWshUrT5klSfzg4HR1V", "jiwmWU4brE1gH9hR7+3e»'"),
        concat!("my AWS secret access key is «AoWshUrT5klSfzg4HR1V", "jiwmWU4brE1gH9hR7+3e», ok?"),
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "the secret access key is 5c8b10370d6cf2d25b76a81cb5d4e5bccd0ca7df",
        "client_secret=dkDFk6fCMX8mXk4EVAWfYV2kJeC4r3uNTCRhXtb1",
    ]
);

/// Forty characters of base64 shortly after a name such as `aws_secret_access_key`, `SecretAccessKey`, `aws secret key`.
fn secret_access_key(site: Site<'_>) -> Option<Range<usize>> {
    if !site.bytes(site.at..site.at + 6).eq_ignore_ascii_case(b"secret") {
        return None;
    }
    let named_access = site.bytes(site.at + 6..site.at + 13).iter().filter(|b| alnum(**b)).map(u8::to_ascii_lowercase);
    let named_aws = site.bytes(site.at.saturating_sub(4)..site.at).windows(3).any(|w| w.eq_ignore_ascii_case(b"aws"));
    if !named_aws && !named_access.take(6).eq(*b"access") {
        return None;
    }
    let (mut from, limit) = (site.at + 6, site.at + 40);
    while from < limit {
        let end = site.run(from, 40, base64);
        let secret = site.bytes(from..end);
        if secret.len() == 40 && site.byte(end) != Some(b'=') && is_mixed(secret) && !is_placeholder(secret) {
            return Some(from..end);
        }
        from = end + 1;
    }
    None
}
