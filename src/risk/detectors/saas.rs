//! Services that programs talk to: Slack, Stripe.

use std::ops::Range;

use crate::risk::detector::{Anchor, detector};
use crate::risk::site::{Site, alnum, is_placeholder};

// docs.slack.dev, "Tokens": bot, user, workspace, refresh, configuration, app-level and legacy tokens.
detector!(
    SLACK_TOKEN,
    Credential,
    Anchor::Literal(&["xox", "xapp-"]),
    slack_token,
    [
        concat!("token: \"«xo", "xb-599499047079-1926318715846-Hk18lT8maguez3pb8MKK75tX»\""),
        concat!("«xo", "xp-158041845533-817323651373-5157520495850-7e48246e5bd69e704d23b0489df9be2c»\nok"),
        concat!(
            "«xa",
            "pp-1-AIVJVB0F21V-7702309466273-5abad61a3cfeb5ad02e9586c273be45f778ef4c8b84f54d7b2fe31ac1c8aa01b» ok"
        ),
        "xoxb-your-token-here-please, xoxb-xxxxxxxxxxxx-xxxxxxxxxxxx-xxxxxxxxxxxxxxxx, xoxo-123456789012-123456789012",
    ]
);

fn slack_token(site: Site<'_>) -> Option<Range<usize>> {
    let body = site.at + 5;
    let known = site.has(site.at, "xapp-")
        || site.has(site.at, "xox")
            && matches!(site.byte(site.at + 3), Some(b'a'..=b'e' | b'p' | b'r' | b's'))
            && matches!(site.byte(site.at + 4), Some(b'-' | b'.'));
    // What the token is made of may not stand before it: that also keeps a chain of prefixes from being read over and over.
    if !known || site.before(site.at).is_some_and(|b| alnum(b) || b == b'-') {
        return None;
    }
    let end = site.run(body, 400, |b| alnum(b) || b == b'-');
    let token = site.bytes(body..end);
    let digits = token.iter().filter(|b| b.is_ascii_digit()).count();
    (token.len() >= 24 && digits >= 8 && token.contains(&b'-') && !is_placeholder(token)).then_some(site.at..end)
}

detector!(
    SLACK_WEBHOOK,
    Credential,
    Anchor::Literal(&["hooks.slack.com/"]),
    slack_webhook,
    [
        concat!(
            "TOKEN=«https://hooks.slack.",
            "com/services/TMH6WMMZ03U/BPFF7M8MCBW/HbNFQ3ybPcjfyk6XvBFl5cSd»\nDEBUG=true"
        ),
        concat!("«hooks.slack.", "com/services/TMH6WMMZ03U/BPFF7M8MCBW/HbNFQ3ybPcjfyk6XvBFl5cSd»"),
        "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX, https://hooks.slack.com/docs",
    ]
);

/// `services/T…/B…/…` (docs.slack.dev, "Sending messages using incoming webhooks").
fn slack_webhook(site: Site<'_>) -> Option<Range<usize>> {
    let path = site.at + 16;
    if !site.has(site.at, "hooks.slack.com/services/T") {
        return None;
    }
    let team = site.run(path + 10, 16, alnum);
    let channel = site.has(team, "/B").then(|| site.run(team + 2, 16, alnum))?;
    let end = (site.byte(channel) == Some(b'/')).then(|| site.run(channel + 1, 64, alnum))?;
    let secret = site.bytes(channel + 1..end);
    let scheme = b"https://";
    let start =
        site.at.checked_sub(scheme.len()).filter(|from| site.bytes(*from..site.at) == scheme).unwrap_or(site.at);
    (secret.len() >= 20 && !is_placeholder(secret)).then_some(start..end)
}

// docs.stripe.com/keys: secret and restricted keys, live and test; publishable keys (`pk_`) are no secret.
detector!(
    STRIPE_KEY,
    Credential,
    Anchor::Literal(&["k_live_", "k_test_"]),
    stripe_key,
    [
        concat!("key = «sk_", "live_51CIx9ibCye6IpP4C0UE0JCf65»"),
        concat!("token: \"«rk_", "live_ixc7mVl37kyv2PQZPFVMqRFE»\""),
        concat!("STRIPE_PUBLISHABLE=pk_", "live_Yb7YCbzbcWVQdtpEEo66H3Sk"),
        "sk_live_xxxxxxxxxxxxxxxxxxxxxxxx, sk_test_suite_of_ours, task_live_51CIx9ibCye6IpP4C0UE0JCf65",
    ]
);

fn stripe_key(site: Site<'_>) -> Option<Range<usize>> {
    let start = site.at.checked_sub(1)?;
    let body = site.at + 7;
    let end = site.run(body, 247, alnum);
    let prefixed =
        matches!(site.byte(start), Some(b's' | b'r')) && (site.has(site.at, "k_live_") || site.has(site.at, "k_test_"));
    let free = !site.before(start).is_some_and(|b| alnum(b) || b == b'_');
    let key = site.bytes(body..end);
    let random = key.len() >= 16 && key.iter().any(u8::is_ascii_digit) && !is_placeholder(key);
    (prefixed && free && random).then_some(start..end)
}
