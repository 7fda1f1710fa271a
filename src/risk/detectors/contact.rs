//! How to reach a person.

use std::ops::Range;

use crate::risk::detector::{Anchor, detector};
use crate::risk::site::{Site, alnum};

/// RFC 5321 §4.5.3.1: the longest local part and the longest domain, in bytes.
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 255;

detector!(
    EMAIL,
    ContactData,
    Anchor::At,
    confirm,
    [
        "Write to «jane.doe@mail.org».",
        "mailto:«jane+news@sub.mail.co.uk»?subject=x, <«a_b@c-d.io»>",
        "{\"email\": \"«x@mail.org»\"}",
        "his mail is «bob@firm.com»: call first",
        "git clone git@github.com:owner/repo.git and deploy@host.example.net:srv/app",
        "postgres://svc:secretword@db.firm.com/main and https://ci:word@git.firm.com/x",
        "@app.route(\"/v1\"), npm i @scope/pkg@1.2.3, nginx@sha256, pkg@2.0.1.4",
        "https://firm.com/unsubscribe?u=«bob@firm.com»",
        "name@localhost, a..b@mail.org, .a@-mail.org, x@mail..org, svc@proj.iam.gserviceaccount.com",
    ]
);

fn confirm(site: Site<'_>) -> Option<Range<usize>> {
    let start = local_part(site)?;
    let end = domain(site)?;
    (!is_remote_path(site, start, end) && !is_user_of_address(site, start)).then_some(start..end)
}

fn local_part(site: Site<'_>) -> Option<usize> {
    let in_local = |b: u8| alnum(b) || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-');
    let start = site.run_back(site.at, LONGEST_LOCAL, in_local);
    let local = site.bytes(start..site.at);
    let (first, last) = (local.first()?, local.last()?);
    (alnum(*first) || *first == b'_').then_some(())?;
    (*last != b'.' && !local.windows(2).any(|two| two == b"..")).then_some(start)
}

/// Labels with a dot between them, the last of at least two letters and nothing else.
fn domain(site: Site<'_>) -> Option<usize> {
    let from = site.at + 1;
    let mut end = site.run(from, LONGEST_DOMAIN, |b| alnum(b) || matches!(b, b'.' | b'-'));
    // A full stop or dash after the address belongs to the sentence.
    while end > from && matches!(site.before(end), Some(b'.' | b'-')) {
        end -= 1;
    }
    let labels = || site.bytes(from..end).split(|b| *b == b'.');
    let sound = |label: &[u8]| !label.is_empty() && label.first() != Some(&b'-') && label.last() != Some(&b'-');
    let top = labels().next_back()?;
    (labels().count() >= 2
        && end - from <= LONGEST_DOMAIN
        && labels().all(sound)
        && top.len() >= 2
        && top.iter().all(u8::is_ascii_alphabetic)
        && !site.bytes(from..end).ends_with(b".iam.gserviceaccount.com"))
    .then_some(end)
}

/// `git@host:path`, `user@host:dir/file`: where a repository or a file is.
fn is_remote_path(site: Site<'_>, start: usize, end: usize) -> bool {
    if site.byte(end) != Some(b':') {
        return false;
    }
    let path_end = site.run(end + 1, 64, |b| alnum(b) || matches!(b, b'.' | b'_' | b'-' | b'~'));
    site.bytes(start..site.at) == b"git" || (site.byte(path_end) == Some(b'/'))
}

/// `scheme://user:password@host`, `scheme://user@host`: the user part of an address.
fn is_user_of_address(site: Site<'_>, start: usize) -> bool {
    let from = site.run_back(start, LONGEST_LOCAL, |b| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b'<'));
    let before = site.bytes(from..start);
    let authority = before.windows(3).rposition(|three| three == b"://").and_then(|at| before.get(at + 3..));
    authority.is_some_and(|user| !user.iter().any(|b| matches!(b, b'/' | b'=')))
}
