//! Keys of the model vendors.

use std::ops::Range;

use crate::risk::detector::{Anchor, detector};
use crate::risk::site::{Site, alnum, base64url, is_mixed, is_placeholder};

/// Longest key that is looked at, in bytes after `sk-`.
const LONGEST: usize = 300;

/// What stands in the middle of every OpenAI key: `OpenAI` in base64.
const OPENAI_MARK: &[u8] = b"T3BlbkFJ";

detector!(
    ANTHROPIC_KEY,
    Credential,
    Anchor::Literal(&["sk-"]),
    anthropic_key,
    [
        concat!(
            "token=«sk-",
            "ant-api03-lWVVva83lrSuvvNZE1DI5iTsHpFUqnWBUJVaYs3DLQ-ViGrQ-2SICwIhEZpUUt6i19ZCVcT5M2ACZXLSQMxm2eu2Q8nFEAA» status=401"
        ),
        concat!(
            "'«sk-",
            "ant-admin01-5P3Fiv-spQZKmpXJvb2rfoLhvYk_dLpMyQ93T7xjgkuu-SHllT5BvS7fbub1RFmdByZMp7qrEZcr8WYSDvOIsZEMnuVfEAA»'"
        ),
        "sk-ant-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, sk-ant-api03-your-key-here, sk-ant-...",
    ]
);

/// `sk-ant-`, the kind (`api03`, `admin01`, `oat01`, `sid01`), and a long tail.
fn anthropic_key(site: Site<'_>) -> Option<Range<usize>> {
    let key = Key::read(site)?;
    let tail = key.body.strip_prefix(b"ant-")?;
    (tail.len() >= 40 && is_mixed(tail) && !is_placeholder(tail)).then_some(site.at..key.end)
}

detector!(
    OPENAI_KEY,
    Credential,
    Anchor::Literal(&["sk-"]),
    openai_key,
    [
        concat!("export key='«sk-", "O8JJQ5jdkrFjcXRHB9i3T3BlbkFJpVeKc7lfv9l6tq6hmzUb»'"),
        concat!(
            "«sk-",
            "svcacct-bxMTAmJEolZ8VPY_qJgeePBpdNgzjAzmTU6baiorRbJzgRlf2lBBYej2DFT3BlbkFJiN7l_qz4lBKOPqWqy_LVsh8B2lbnVu2-OV98Q1-kxmw» ok"
        ),
        concat!("of another make «sk-", "proj-Ab3dE5gH7jK9mN1pQ3sT5vX7zB2dF4hJ6lN8qR0tV2xZ4c»"),
        "OPENAI_API_KEY=sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, sk-your-key, sk-proj-..., risk-based, task-O8JJQ5jdkrFjcXRHB9i3T3BlbkFJpVeKc7lfv9l6tq6hmzUb",
        "sk-learn-pipeline-with-many-Words-in-2024-and-Long-names",
    ]
);

/// Either the mark in the middle, or one of the vendor's kinds and a long random tail, or 32 and more of base62 alone.
fn openai_key(site: Site<'_>) -> Option<Range<usize>> {
    let key = Key::read(site)?;
    if key.body.starts_with(b"ant-") || is_placeholder(key.body) || !is_mixed(key.body) {
        return None;
    }
    let kind =
        [b"proj-".as_slice(), b"svcacct-", b"admin-", b"None-"].iter().find_map(|kind| key.body.strip_prefix(*kind));
    let marked = key.body.len() >= 32 && key.body.windows(OPENAI_MARK.len()).any(|w| w == OPENAI_MARK);
    let random = key.body.len() >= 32 && key.body.iter().all(|b| alnum(*b));
    (marked || random || kind.is_some_and(|tail| tail.len() >= 32)).then_some(site.at..key.end)
}

/// What follows `sk-`.
struct Key<'t> {
    body: &'t [u8],
    end: usize,
}

impl<'t> Key<'t> {
    fn read(site: Site<'t>) -> Option<Self> {
        if !site.has(site.at, "sk-") || site.before(site.at).is_some_and(|b| alnum(b) || matches!(b, b'-' | b'_')) {
            return None;
        }
        let end = site.run(site.at + 3, LONGEST, base64url);
        Some(Self { body: site.bytes(site.at + 3..end), end })
    }
}
