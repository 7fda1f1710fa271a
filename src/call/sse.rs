//! Server-sent events, found in bytes that arrive in any pieces (WHATWG HTML, section 9.2.6).
//!
//! An event whose one `data` line lies whole in one piece is lent out without a copy; only what straddles pieces is
//! kept, up to a bound. Relays nothing: the bytes go by untouched.

use memchr::memchr2;

/// Largest event that is looked into, in bytes of its lines.
pub(crate) const LARGEST_EVENT: usize = 1 << 20;

/// Longest event name that is kept.
const LONGEST_NAME: usize = 64;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a> {
    /// Its `event` field, empty when it has none.
    pub(crate) name: &'a [u8],
    /// Its `data` lines, joined by line feeds.
    pub(crate) data: &'a [u8],
}

/// Splits a stream into events.
#[derive(Clone, Default)]
pub(crate) struct Events {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The data of an event whose end has not come, or that has several lines.
    data: Vec<u8>,
    name: Vec<u8>,
    has_data: bool,
    /// The last piece ended with CR: an LF that begins the next one belongs to it.
    after_return: bool,
    /// Past the stream's first line, before which a byte order mark may stand.
    begun: bool,
    /// Bytes of the current event's lines, kept or not.
    size: usize,
    /// Events that were too large to look into.
    oversized: u64,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Events({} bytes kept)", self.line.len() + self.data.len())
    }
}

impl Events {
    /// Takes the next bytes and hands out the events that end in them.
    pub(crate) fn feed<'c>(&mut self, chunk: &'c [u8], mut seen: impl FnMut(Event<'_>)) {
        let mut rest = chunk;
        if self.after_return && !rest.is_empty() {
            self.after_return = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        let mut lent: Option<&'c [u8]> = None;
        while let Some(at) = memchr2(b'\n', b'\r', rest) {
            let (line, ending) = rest.split_at(at);
            self.after_return = ending == b"\r";
            rest = ending.get(if ending.starts_with(b"\r\n") { 2 } else { 1 }..).unwrap_or_default();
            self.size = self.size.saturating_add(line.len());
            if self.line.is_empty() {
                self.take_line(self.without_mark(line), Some(&mut lent), &mut seen);
            } else {
                self.keep(line);
                let line = std::mem::take(&mut self.line);
                self.take_line(self.without_mark(&line), None, &mut seen);
                // Give the room back for the next line that straddles.
                self.line = line;
                self.line.clear();
            }
            self.begun = true;
        }
        self.size = self.size.saturating_add(rest.len());
        self.keep(rest);
        if let Some(data) = lent {
            self.hold(data);
        }
    }

    /// Events that were too large to look into.
    pub(crate) const fn oversized(&self) -> u64 {
        self.oversized
    }

    /// Keeps part of a line. Of an event that is too large, only so much that the line is not taken for a blank one.
    fn keep(&mut self, part: &[u8]) {
        if self.size <= LARGEST_EVENT {
            self.line.extend_from_slice(part);
        } else if self.line.is_empty() {
            self.line.extend_from_slice(part.get(..1).unwrap_or_default());
        }
    }

    fn without_mark<'l>(&self, line: &'l [u8]) -> &'l [u8] {
        if self.begun { line } else { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) }
    }

    /// Takes a whole line. `lent` is where the event's first data line may stay in the chunk; a line that was kept has
    /// none.
    fn take_line<'l>(&mut self, line: &'l [u8], lent: Option<&mut Option<&'l [u8]>>, seen: &mut impl FnMut(Event<'_>)) {
        if line.is_empty() {
            self.end_event(lent.and_then(Option::take), seen);
        } else if let Some(value) = field(line, b"data") {
            match lent {
                Some(lent) if !self.has_data => *lent = Some(value),
                Some(lent) => {
                    if let Some(first) = lent.take() {
                        self.hold(first);
                    }
                    self.hold_line(value);
                }
                None => self.hold_line(value),
            }
            self.has_data = true;
        } else if let Some(value) = field(line, b"event") {
            self.name.clear();
            self.name.extend_from_slice(value.get(..LONGEST_NAME).unwrap_or(value));
        }
    }

    /// Keeps one more data line.
    fn hold_line(&mut self, value: &[u8]) {
        if self.has_data {
            self.hold(b"\n");
        }
        self.hold(value);
    }

    fn hold(&mut self, data: &[u8]) {
        if self.size <= LARGEST_EVENT {
            self.data.extend_from_slice(data);
        } else {
            self.data = Vec::new();
        }
    }

    fn end_event(&mut self, lent: Option<&[u8]>, seen: &mut impl FnMut(Event<'_>)) {
        if self.size > LARGEST_EVENT {
            self.oversized += 1;
        } else if self.has_data {
            seen(Event { name: &self.name, data: lent.unwrap_or(&self.data) });
        }
        self.data.clear();
        self.name.clear();
        self.has_data = false;
        self.size = 0;
    }
}

/// The value of a line that is this field: after the colon, without one leading space.
fn field<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest.strip_prefix(b":") {
        Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        None if rest.is_empty() => Some(rest),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Events, LARGEST_EVENT};
    use proptest::prelude::*;

    fn events<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<(String, String)>, u64) {
        let (mut events, mut found) = (Events::default(), Vec::new());
        for chunk in chunks {
            events.feed(chunk, |event| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                found.push((text(event.name), text(event.data)));
            });
        }
        (found, events.oversized())
    }

    fn data(text: &str) -> Vec<String> {
        events([text.as_bytes()]).0.into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn lines_end_in_any_of_the_three_ways() {
        for text in ["data: a\n\ndata: b\n\n", "data: a\r\rdata: b\r\r", "data: a\r\n\r\ndata: b\r\n\r\n"] {
            assert_eq!(data(text), ["a", "b"], "{text:?}");
        }
        assert_eq!(data("data: a\r\n\ndata: b\n\r\n"), ["a", "b"]);
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        assert_eq!(data("data: a\ndata\ndata:  b\ndata:c\n\n"), ["a\n\n b\nc"]);
        assert_eq!(data(": comment\nid: 1\nretry: 5\ndatum: x\ndata : x\n\n"), [""; 0]);
        assert_eq!(data("\u{feff}data: a\n\n\u{feff}data: b\n\n"), ["a"]);
        assert_eq!(data("data: unfinished\n"), [""; 0]);
        assert_eq!(data("data: \u{2028}\u{85}\n\n"), ["\u{2028}\u{85}"]);
        assert_eq!(
            events([&b"event: x\ndata: 1\n\ndata: 2\n\n"[..]]).0,
            [("x".to_owned(), "1".to_owned()), (String::new(), "2".to_owned())]
        );
    }

    #[test]
    fn an_event_that_is_too_large_is_counted_and_the_next_one_is_read() {
        let large = format!("data: {}\n\ndata: b\n\n", "x".repeat(LARGEST_EVENT));
        let expected = (vec![(String::new(), "b".to_owned())], 1);
        assert_eq!(events([large.as_bytes()]), expected);
        assert_eq!(events(large.as_bytes().chunks(1000)), expected);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_events(
            text in proptest::collection::vec(prop_oneof![
                Just("data: a"), Just("data:"), Just("event: x"), Just("\n"), Just("\r"), Just("\r\n"), Just(": c"),
                Just("\u{feff}"), Just("\u{e9}"), Just("data")], 0..40),
            size in 1..12usize) {
            let text = text.concat();
            prop_assert_eq!(events([text.as_bytes()]), events(text.as_bytes().chunks(size)));
        }
    }
}
