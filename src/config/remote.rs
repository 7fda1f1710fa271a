//! Places that an upstream may be asked to fetch from, and addresses as clients write them: one strict form for both.
//!
//! The form is what every reader of addresses takes apart alike (RFC 3986 and WHATWG URL give one host and one path):
//! a scheme in small letters, a host of small ASCII letters, a port in plain digits, a path without dot segments. Whatever
//! needs decoding, folding or mending is no address here. `governance::references` compares.

use std::fmt;

/// Longest address, in bytes. Signed addresses of stored objects take about 2,000.
const LONGEST: usize = 4096;

/// What an address may begin with, and the port that stands for none.
const SCHEMES: [(&str, u16); 4] = [("https", 443), ("http", 80), ("s3", 0), ("gs", 0)];

/// A place in the one form: an entry of an allow list, or what a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotePlace(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    /// A connector that the provider runs, by its id.
    Connector(Box<str>),
    Address {
        scheme: &'static str,
        host: Box<str>,
        port: u16,
        path: Box<str>,
        has_query: bool,
    },
}

/// Shows the kind only: the address of a call is content.
impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connector(_) => "Connector",
            Self::Address { scheme, .. } => scheme,
        })
    }
}

/// Why a text is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    /// Another scheme, or none.
    #[error("it begins with none of `https://`, `http://`, `s3://`, `gs://` and `connector:`")]
    Scheme,
    /// The host is no plain name.
    #[error("its host is not a full name in small ASCII letters (no address in numbers, no user, no closing dot)")]
    Host,
    /// The port is no plain number.
    #[error("its port is not a plain number")]
    Port,
    /// The path or query has something that readers take differently.
    #[error("its path or query has characters, dots or slashes that readers of addresses take differently")]
    Path,
    /// An entry of an allow list says more than a beginning can.
    #[error("an entry has no `?`: it is a host and the beginning of a path")]
    Query,
    /// Not a connector's id.
    #[error("a connector's id is letters, digits, `_` and `-`")]
    Connector,
    /// Too long.
    #[error("it is longer than 4096 bytes")]
    Long,
}

impl RemotePlace {
    /// Reads a place that a call asks for.
    ///
    /// # Errors
    /// [`Misplaced`] with the first thing that is not in the one form.
    pub fn parse(text: &str) -> Result<Self, Misplaced> {
        if text.len() > LONGEST {
            return Err(Misplaced::Long);
        }
        if let Some(id) = text.strip_prefix("connector:") {
            let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
            return if (1..=128).contains(&id.len()) && id.bytes().all(good) {
                Ok(Self(Kind::Connector(id.into())))
            } else {
                Err(Misplaced::Connector)
            };
        }
        let (scheme, rest) = text.split_once("://").ok_or(Misplaced::Scheme)?;
        let (scheme, usual) = SCHEMES.into_iter().find(|(known, _)| *known == scheme).ok_or(Misplaced::Scheme)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at_checked(end).ok_or(Misplaced::Host)?;
        let (host, port) = match authority.split_once(':') {
            None => (authority, usual),
            Some((host, port)) => (host, self::port(port).filter(|_| usual != 0).ok_or(Misplaced::Port)?),
        };
        if !(if usual == 0 { is_bucket(host) } else { is_host(host) }) {
            return Err(Misplaced::Host);
        }
        let (path, query) = after.split_once('?').map_or((after, None), |(path, query)| (path, Some(query)));
        if !is_path(path) || !query.is_none_or(|query| is_plain(query, b"-._~!$&'()*+,;=:@/?")) {
            return Err(Misplaced::Path);
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self(Kind::Address { scheme, host: host.into(), port, path: path.into(), has_query: query.is_some() }))
    }

    /// Reads an entry of an allow list.
    ///
    /// # Errors
    /// As [`Self::parse`], and for a query.
    pub fn entry(text: &str) -> Result<Self, Misplaced> {
        let place = Self::parse(text)?;
        if matches!(&place.0, Kind::Address { has_query: true, .. }) { Err(Misplaced::Query) } else { Ok(place) }
    }

    /// Whether an entry permits `asked`: the same connector, or the same scheme, host and port, and a path that is the
    /// entry's or lies under it.
    #[must_use]
    pub fn covers(&self, asked: &Self) -> bool {
        match (&self.0, &asked.0) {
            (Kind::Connector(known), Kind::Connector(asked)) => known == asked,
            (
                Kind::Address { scheme, host, port, path, .. },
                Kind::Address { scheme: its_scheme, host: its_host, port: its_port, path: its_path, .. },
            ) => {
                let under = its_path
                    .strip_prefix(&**path)
                    .is_some_and(|rest| rest.is_empty() || path.ends_with('/') || rest.starts_with('/'));
                scheme == its_scheme && host == its_host && port == its_port && under
            }
            (Kind::Connector(_), Kind::Address { .. }) | (Kind::Address { .. }, Kind::Connector(_)) => false,
        }
    }
}

/// A host name with at least one dot (RFC 1123 section 2.1). Its last label begins with a letter, so that no reader takes
/// it for an address in numbers (WHATWG URL, "ends in a number").
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(good) && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.contains('.')
        && host.split('.').all(label)
        && last.starts_with(|c: char| c.is_ascii_lowercase())
        && last != "localhost"
}

/// The name of a bucket of stored objects.
fn is_bucket(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
    (3..=222).contains(&name.len()) && name.bytes().all(good) && !name.starts_with('.') && !name.contains("..")
}

fn port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if plain { digits.parse().ok() } else { None }
}

/// A path without empty or dot segments, in characters that nobody decodes to others that matter.
fn is_path(path: &str) -> bool {
    let mut segments = path.split('/');
    let first = segments.next();
    let mut segments = segments.peekable();
    let mut good = first == Some("") && is_plain(path, b"-._~!$&'()*+,=:@/");
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        good &= (is_last || !segment.is_empty()) && !matches!(segment, "." | "..");
    }
    good
}

/// Letters, digits, the marks of `more`, and escapes of what is none of them and no dot, slash or control.
fn is_plain(text: &str, more: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16);
            let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else { return false };
            let decoded = u8::try_from(high << 4 | low).unwrap_or_default();
            if matches!(decoded, 0..=0x1f | 0x7f | b'/' | b'\\' | b'.' | b'%' | b';' | b'#') {
                return false;
            }
        } else if !(b.is_ascii_alphanumeric() || more.contains(&b)) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::RemotePlace;

    fn permits(entry: &str, asked: &str) -> bool {
        let entry = RemotePlace::entry(entry).expect("an entry");
        RemotePlace::parse(asked).is_ok_and(|asked| entry.covers(&asked))
    }

    #[test]
    fn a_place_under_an_entry_is_permitted() {
        for (entry, asked) in [
            ("https://images.acme.example/", "https://images.acme.example/"),
            ("https://images.acme.example/", "https://images.acme.example/a/b@2x.png?sig=a%20b&x=1/2"),
            ("https://images.acme.example", "https://images.acme.example/a"),
            ("https://images.acme.example/", "https://images.acme.example:443/a"),
            ("https://images.acme.example:8443/", "https://images.acme.example:8443/a"),
            ("https://mcp.acme.example/sse", "https://mcp.acme.example/sse"),
            ("https://mcp.acme.example/sse", "https://mcp.acme.example/sse/x"),
            ("https://mcp.acme.example/sse", "https://mcp.acme.example/sse?x=1"),
            ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/x"),
            ("http://plain.acme.example/", "http://plain.acme.example/x"),
            ("s3://acme-files/in/", "s3://acme-files/in/a.pdf"),
            ("connector:connector_dropbox", "connector:connector_dropbox"),
        ] {
            assert!(permits(entry, asked), "{entry} {asked}");
        }
    }

    #[test]
    fn no_other_place_is() {
        for asked in [
            "",
            "http://images.acme.example/a",
            "https://images.acme.example:8443/a",
            "https://images.acme.example.evil.example/a",
            "https://evil.example/https://images.acme.example/",
            "https://images.acme.example@evil.example/",
            "https://evil.example@images.acme.example/",
            "https://user:pw@images.acme.example/",
            "https://images.acme.example:443@evil.example/",
            "https://IMAGES.acme.example/",
            "HTTPS://images.acme.example/",
            "https://images.acme.example./",
            "https://images%2eacme.example/",
            "https://images.acme.example%00.evil.example/",
            "https://images.acme.example\\@evil.example/",
            "https:\\\\images.acme.example/",
            "https:/images.acme.example/",
            "https:images.acme.example/",
            "//images.acme.example/",
            "https:///images.acme.example/",
            "https://images.acme.example/\t",
            "https://images.\tacme.example/",
            "https://images.\nacme.example/",
            " https://images.acme.example/",
            "https://images.acme.example/ ",
            "https://images.acme.example/a b",
            "https://images.acme.example/#x",
            "https://images.acme.example#@evil.example/",
            "https://images.acme.example/%2e%2e/x",
            "https://images.acme.example/../x",
            "https://images.acme.example/a/./x",
            "https://images.acme.example//x",
            "https://images.acme.example/..;/x",
            "https://images.acme.example/a%5cx",
            "https://images.acme.example/a\\x",
            "https://images.acme.example/a%252fx",
            "https://images.acme.example/a%2",
            "https://images.acme.example/?a=\"b\"",
            "https://images.acme.example:0443/",
            "https://images.acme.example:+443/",
            "https://images.acme.example:/",
            "https://images.acme.example:99999/",
            "https://\u{ff49}mages.acme.example/",
            "https://images\u{3002}acme\u{3002}example/",
            "https://images.acme.example/\u{e4}",
            "ftp://images.acme.example/",
            "file:///etc/passwd",
            "connector:images.acme.example",
            "gopher://images.acme.example/",
        ] {
            assert!(!permits("https://images.acme.example/", asked), "{asked:?}");
        }
        for asked in
            ["https://mcp.acme.example/ssex", "https://mcp.acme.example/", "https://mcp.acme.example/sse/../x", "x"]
        {
            assert!(!permits("https://mcp.acme.example/sse", asked), "{asked:?}");
        }
        assert!(!permits("connector:connector_dropbox", "connector:connector_gmail"));
        assert!(!permits("connector:connector_dropbox", "connector_dropbox"));
    }

    #[test]
    fn an_entry_is_a_plain_host_and_a_beginning() {
        for bad in [
            "https://localhost/",
            "https://x.localhost/",
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://1.2.3.0x4/",
            "https://[::1]/",
            "https://intranet/",
            "https://*.acme.example/",
            "https://acme.example/?x",
            "https://acme.example/a*b#",
            "acme.example",
            "*",
            "connector:",
            "connector:a b",
            "s3://ab",
            "s3://bucket:80/",
        ] {
            assert!(RemotePlace::entry(bad).is_err(), "{bad}");
        }
    }
}
