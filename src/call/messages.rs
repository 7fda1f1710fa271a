//! Amazon's event stream messages, found in bytes that arrive in any pieces, and written.
//!
//! Source: Smithy specification, "Amazon Event Stream": a prelude of two lengths and their CRC-32, headers, a payload,
//! and a CRC-32 over all of it. Both sums are checked. A message that lies whole in one piece is lent out without a
//! copy; only what straddles pieces is kept, up to a bound. Relays nothing: the bytes go by untouched.

use crc32fast::Hasher;

/// Largest message that is looked into, in bytes; a larger one is followed to its end and only counted.
pub(crate) const LARGEST_MESSAGE: usize = 1 << 20;

/// Two lengths and their sum.
const PRELUDE: usize = 12;
const SUM: usize = 4;
/// Longest headers and payload that Amazon's own SDKs take.
const LONGEST_HEADERS: usize = 128 << 10;
const LONGEST_PAYLOAD: usize = 24 << 20;

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Message<'a> {
    /// `event`, `exception` or `error`.
    pub(crate) kind: &'a [u8],
    /// Which event or exception.
    pub(crate) name: &'a [u8],
    /// What it says.
    pub(crate) payload: &'a [u8],
}

/// Splits a stream into messages.
#[derive(Clone, Default)]
pub(crate) struct Messages {
    /// The current message so far, unless it is larger than is looked into.
    kept: Vec<u8>,
    /// Bytes of the current message so far, kept or not.
    size: usize,
    /// What its prelude says, once that has come.
    lengths: Option<Lengths>,
    /// Over the current message but its last four bytes.
    sum: Hasher,
    /// These four.
    stated: [u8; SUM],
    oversized: u64,
    broken: bool,
}

#[derive(Debug, Clone, Copy)]
struct Lengths {
    total: usize,
    headers: usize,
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Messages({} bytes kept)", self.kept.len())
    }
}

impl Messages {
    /// Takes the next bytes and hands out the messages that end in them. Nothing is found behind a message that is
    /// broken: where the next one begins, nobody knows.
    pub(crate) fn feed(&mut self, chunk: &[u8], mut seen: impl FnMut(Message<'_>)) {
        let mut rest = chunk;
        while !rest.is_empty() && !self.broken {
            if self.size == 0
                && let Some(lengths) = rest.first_chunk::<PRELUDE>().and_then(lengths)
                && let Some((message, after)) = rest.split_at_checked(lengths.total)
            {
                self.whole(message, lengths, &mut seen);
                rest = after;
                continue;
            }
            rest = self.piece(rest, &mut seen);
        }
        if self.broken {
            self.size = self.size.saturating_add(rest.len());
        }
    }

    /// Bytes of the message whose end has not come; 0 between two.
    pub(crate) const fn unfinished(&self) -> usize {
        self.size
    }

    /// Whether a message's sums or lengths were wrong.
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Messages that were too large to look into.
    pub(crate) const fn oversized(&self) -> u64 {
        self.oversized
    }

    fn whole(&mut self, message: &[u8], lengths: Lengths, seen: &mut impl FnMut(Message<'_>)) {
        let Some((summed, stated)) = message.split_last_chunk::<SUM>() else { return };
        let read = (crc32fast::hash(summed) == u32::from_be_bytes(*stated)).then(|| parse(summed, lengths)).flatten();
        match read {
            Some(_) if message.len() > LARGEST_MESSAGE => self.oversized += 1,
            Some(message) => seen(message),
            None => {
                self.broken = true;
                self.size = message.len();
            }
        }
    }

    /// Takes the next piece of a message that straddles; answers what is left.
    fn piece<'c>(&mut self, rest: &'c [u8], seen: &mut impl FnMut(Message<'_>)) -> &'c [u8] {
        let end = self.lengths.map_or(PRELUDE, |lengths| lengths.total);
        let (now, after) = rest.split_at(rest.len().min(end.saturating_sub(self.size)));
        self.add(now);
        match (self.lengths, self.size == end) {
            (_, false) => {}
            (None, true) => {
                self.lengths = self.kept.first_chunk::<PRELUDE>().and_then(lengths);
                self.broken = self.lengths.is_none();
            }
            (Some(lengths), true) => self.end(lengths, seen),
        }
        after
    }

    fn add(&mut self, now: &[u8]) {
        let summed_end = self.lengths.map_or(PRELUDE, |lengths| lengths.total - SUM);
        let (summed, stated) = now.split_at(now.len().min(summed_end.saturating_sub(self.size)));
        self.sum.update(summed);
        let offset = (self.size + summed.len()).saturating_sub(summed_end);
        for (to, byte) in self.stated.iter_mut().skip(offset).zip(stated) {
            *to = *byte;
        }
        self.size += now.len();
        if self.lengths.is_none_or(|lengths| lengths.total <= LARGEST_MESSAGE) {
            self.kept.extend_from_slice(now);
        }
    }

    fn end(&mut self, lengths: Lengths, seen: &mut impl FnMut(Message<'_>)) {
        let sum = std::mem::take(&mut self.sum).finalize();
        let kept = std::mem::take(&mut self.kept);
        let is_whole = sum == u32::from_be_bytes(self.stated);
        if !is_whole {
            self.broken = true;
        } else if kept.len() != lengths.total {
            self.oversized += 1;
        } else if let Some(message) = kept.split_last_chunk::<SUM>().and_then(|(summed, _)| parse(summed, lengths)) {
            seen(message);
        } else {
            self.broken = true;
        }
        if !self.broken {
            self.size = 0;
        }
        self.lengths = None;
        // The room is given back for the next message that straddles.
        self.kept = kept;
        self.kept.clear();
    }
}

/// What a prelude says, if its sum is right and it can be so.
fn lengths(prelude: &[u8; PRELUDE]) -> Option<Lengths> {
    let (summed, stated) = prelude.split_last_chunk::<SUM>()?;
    if crc32fast::hash(summed) != u32::from_be_bytes(*stated) {
        return None;
    }
    let (total, headers) = (summed.first_chunk::<4>()?, summed.last_chunk::<4>()?);
    let length = |bytes: &[u8; 4]| usize::try_from(u32::from_be_bytes(*bytes)).ok();
    let (total, headers) = (length(total)?, length(headers)?);
    let payload = total.checked_sub(PRELUDE + SUM)?.checked_sub(headers)?;
    (headers <= LONGEST_HEADERS && payload <= LONGEST_PAYLOAD).then_some(Lengths { total, headers })
}

/// The message in these bytes, which end before its sum; `None` where its headers are none.
fn parse(summed: &[u8], lengths: Lengths) -> Option<Message<'_>> {
    let (mut headers, payload) = summed.get(PRELUDE..)?.split_at_checked(lengths.headers)?;
    let mut message = Message { payload, ..Message::default() };
    while !headers.is_empty() {
        let name = take_short(&mut headers)?;
        let [kind] = *take(&mut headers, 1)?.first_chunk::<1>()?;
        let value = match kind {
            0 | 1 => &[],
            2 => take(&mut headers, 1)?,
            3 => take(&mut headers, 2)?,
            4 => take(&mut headers, 4)?,
            5 | 8 => take(&mut headers, 8)?,
            6 | 7 => {
                let length = take(&mut headers, 2)?.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))?;
                take(&mut headers, usize::from(length))?
            }
            9 => take(&mut headers, 16)?,
            _ => return None,
        };
        match name {
            b":message-type" => message.kind = value,
            b":event-type" | b":exception-type" | b":error-code" => message.name = value,
            _ => {}
        }
    }
    Some(message)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn take_short<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = *take(rest, 1)?.first()?;
    take(rest, usize::from(length))
}

/// A message with these headers, all of them strings. Names are at most 255 bytes long, and values and payload at most
/// as long as the format can say; what is longer is cut.
#[must_use]
pub fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    const STRING: u8 = 7;
    let mut block = Vec::new();
    for (name, value) in headers {
        let name = name.as_bytes().iter().take(usize::from(u8::MAX));
        let value = value.as_bytes().iter().take(usize::from(u16::MAX));
        block.push(u8::try_from(name.len()).unwrap_or_default());
        block.extend(name);
        block.push(STRING);
        block.extend(u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
        block.extend(value);
    }
    let payload = payload.get(..payload.len().min(LONGEST_PAYLOAD)).unwrap_or_default();
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or_default().to_be_bytes();
    let mut message = Vec::with_capacity(PRELUDE + block.len() + payload.len() + SUM);
    message.extend(length(PRELUDE + block.len() + payload.len() + SUM));
    message.extend(length(block.len()));
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message.extend(block);
    message.extend(payload);
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LARGEST_MESSAGE, Messages, message};

    type Owned = (Vec<u8>, Vec<u8>, Vec<u8>);

    fn read(chunks: &[&[u8]]) -> (Vec<Owned>, Messages) {
        let (mut messages, mut found) = (Messages::default(), Vec::new());
        for chunk in chunks {
            messages.feed(chunk, |m| found.push((m.kind.to_vec(), m.name.to_vec(), m.payload.to_vec())));
        }
        (found, messages)
    }

    fn event(name: &str, payload: &[u8]) -> Vec<u8> {
        message(&[(":message-type", "event"), (":event-type", name)], payload)
    }

    /// The prelude and sums of the specification's test vectors: an empty message, and one with a payload.
    #[test]
    fn the_vectors_of_the_specification_are_read() {
        let empty = [0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(message(&[], b""), empty);
        let payload = b"{'foo':'bar'}";
        let bytes = message(&[], payload);
        assert_eq!(bytes[..12], [0, 0, 0, 0x1d, 0, 0, 0, 0, 0xfd, 0x52, 0x8c, 0x5a]);
        assert_eq!(bytes[25..], [0xc3, 0x65, 0x39, 0x36]);
        let (found, messages) = read(&[&empty, &bytes]);
        assert_eq!(found.iter().map(|(_, _, payload)| payload.as_slice()).collect::<Vec<_>>(), [&b""[..], payload]);
        assert!(!messages.is_broken());
    }

    #[test]
    fn headers_of_every_type_are_passed_over() {
        let mut block = Vec::new();
        for (kind, length) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)] {
            block.extend([1, b'x', kind]);
            block.extend(vec![0; length]);
        }
        block.extend([1, b'y', 6, 0, 2, 0xFF, 0xFE]);
        let mut bytes = event("chunk", b"p");
        let own = usize::from(bytes[7]);
        let tail = bytes.split_off(12 + own);
        bytes.extend(&block);
        bytes.extend(tail);
        let total = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&total.to_be_bytes());
        bytes[4..8].copy_from_slice(&u32::try_from(own + block.len()).unwrap().to_be_bytes());
        let sum = crc32fast::hash(&bytes[..8]);
        bytes[8..12].copy_from_slice(&sum.to_be_bytes());
        let end = bytes.len() - 4;
        let sum = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum.to_be_bytes());
        let (found, messages) = read(&[&bytes]);
        assert_eq!(found, [(b"event".to_vec(), b"chunk".to_vec(), b"p".to_vec())]);
        assert!(!messages.is_broken());
    }

    #[test]
    fn nothing_is_found_behind_a_broken_message() {
        let good = event("a", b"payload");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            for size in [1, 7, 4096] {
                let bytes = [bad.as_slice(), &good].concat();
                let (found, messages) = read(&bytes.chunks(size).collect::<Vec<_>>());
                assert!(found.is_empty() && messages.is_broken(), "{at} {size}");
                assert!(messages.unfinished() > 0);
            }
        }
    }

    #[test]
    fn a_message_that_is_too_large_is_followed_and_not_kept() {
        let large = event("large", &vec![b'x'; LARGEST_MESSAGE]);
        let bytes = [large.as_slice(), &event("small", b"")].concat();
        for size in [1 << 14, bytes.len()] {
            let (mut messages, mut names) = (Messages::default(), Vec::new());
            for chunk in bytes.chunks(size) {
                messages.feed(chunk, |m| names.push(m.name.to_vec()));
                assert!(messages.kept.capacity() <= 2 * LARGEST_MESSAGE);
            }
            assert_eq!((names, messages.oversized()), (vec![b"small".to_vec()], 1));
        }
        let mut bad = large;
        let end = bad.len() - 1;
        bad[end] ^= 1;
        assert!(read(&bad.chunks(1 << 14).collect::<Vec<_>>()).1.is_broken());
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_messages(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..90), 0..6),
            sizes in proptest::collection::vec(1..70usize, 1..9),
            cut in 0..40usize,
        ) {
            let mut bytes: Vec<u8> = payloads.iter().flat_map(|payload| event("e", payload)).collect();
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            let (whole, at_once) = read(&[&bytes]);
            let (mut messages, mut found, mut rest) = (Messages::default(), Vec::new(), bytes.as_slice());
            for size in sizes.iter().cycle() {
                let (now, after) = rest.split_at(rest.len().min(*size));
                messages.feed(now, |m| found.push((m.kind.to_vec(), m.name.to_vec(), m.payload.to_vec())));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(&found, &whole);
            prop_assert_eq!(messages.unfinished(), at_once.unfinished());
            let consumed: usize = whole.iter().map(|(_, _, payload)| event("e", payload).len()).sum();
            prop_assert_eq!(messages.unfinished(), bytes.len() - consumed);
            prop_assert!(!messages.is_broken());
        }

        #[test]
        fn no_bytes_make_it_panic_or_keep_without_bound(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1..50usize) {
            let (_, messages) = read(&bytes.chunks(size).collect::<Vec<_>>());
            prop_assert!(messages.kept.len() <= bytes.len());
        }
    }
}
