//! The writer: one thread that owns the open segment and alone knows the hash of the last line.
//!
//! It takes everything that has queued, writes it in one call, syncs once, and answers all (group commit, no artificial
//! delay for what somebody waits for: while it syncs, the next group gathers). A failed write or sync is final: the same descriptor is never
//! tried again, because after a failed `fdatasync` the kernel may have dropped the pages and say "fine" the next time.

use std::io;

use super::chain::{LONGEST_LINE, Link, SEQUENCE_DIGITS};
use super::queue::{Item, Shared};
use super::segment::Device;
use crate::clock::SharedClock;
use crate::config::bootstrap::Durability;

/// Most bytes that one write call appends. Bounds what a crash can tear, see `recovery`.
pub(super) const LONGEST_WRITE: u64 = 1024 * 1024;

/// What the writer puts between the halves of a draft, in bytes.
const SPLICE_BYTES: usize = br#""sequence":"","prevhash":"","#.len() + SEQUENCE_DIGITS + 44;

/// Longest draft that makes a line of legal length, in bytes.
pub(super) const LONGEST_DRAFT: usize = LONGEST_LINE - SPLICE_BYTES;

/// A record without its place in the chain: a line in two halves, before and after `"sequence":"…","prevhash":"…",`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    line: Vec<u8>,
    split: usize,
}

impl Draft {
    /// `line` is a JSON object on one line that lacks sequence and prevhash; they go in at `split`, where another field
    /// follows. A draft of more than 60 KiB is not taken by the log.
    #[must_use]
    pub const fn new(line: Vec<u8>, split: usize) -> Self {
        Self { line, split }
    }

    /// Its length, in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.line.is_empty()
    }
}

/// Turns drafts into linked lines and puts them on the device.
#[derive(Debug)]
pub(super) struct Writer<D> {
    device: D,
    clock: SharedClock,
    next: u64,
    link: Link,
    buffer: Vec<u8>,
}

impl<D: Device> Writer<D> {
    /// Goes on after the line that `link` is the hash of.
    pub(super) const fn new(device: D, clock: SharedClock, next: u64, link: Link) -> Self {
        Self { device, clock, next, link, buffer: Vec::new() }
    }

    /// The sequence of the next record.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Writes drafts in one call and syncs. After an error this writer must not be used again.
    pub(super) fn commit<'a>(&mut self, drafts: impl Iterator<Item = &'a Draft>) -> io::Result<()> {
        self.device.ready(self.next, self.clock.utc())?;
        self.buffer.clear();
        for draft in drafts {
            self.splice(draft);
        }
        self.device.append(&self.buffer)?;
        self.device.sync()
    }

    fn splice(&mut self, draft: &Draft) {
        let start = self.buffer.len();
        let (before, after) = draft.line.split_at_checked(draft.split).unwrap_or((&draft.line, b""));
        self.buffer.extend_from_slice(before);
        self.buffer.extend_from_slice(br#""sequence":""#);
        self.buffer.extend_from_slice(&digits(self.next));
        self.buffer.extend_from_slice(br#"","prevhash":""#);
        self.buffer.extend_from_slice(self.link.as_bytes());
        self.buffer.extend_from_slice(br#"","#);
        self.buffer.extend_from_slice(after);
        self.link = Link::to(self.buffer.get(start..).unwrap_or_default());
        self.buffer.push(b'\n');
        self.next = self.next.saturating_add(1);
    }

    /// The thread's life: until the log is closed and everything queued is written, or the device fails.
    pub(super) fn run(mut self, shared: &Shared, durability: Durability) {
        // Declared first so that it is dropped last: who waits learns of a failure only once the log says so itself.
        let mut items = Vec::new();
        let farewell = Farewell(shared);
        while shared.take(&mut items) {
            let mut rest = items.as_mut_slice();
            while !rest.is_empty() {
                let (group, later) = rest.split_at_mut(group_length(rest, durability));
                if let Err(fault) = self.commit(group.iter().map(|item| &item.draft)) {
                    tracing::error!(%fault, "the audit log cannot be written; every call is refused until a restart");
                    return;
                }
                shared.acknowledge(group, self.clock.moment());
                rest = later;
            }
            items.clear();
        }
        std::mem::forget(farewell);
    }
}

/// Ends the log for everybody when the writer ends in any other way than by a clean close, a panic included.
struct Farewell<'a>(&'a Shared);

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        self.0.fail();
    }
}

/// How many items go into the next write: one with `sync`, else as many as a write may hold; at least one.
fn group_length(items: &[Item], durability: Durability) -> usize {
    if durability == Durability::Sync {
        return items.len().min(1);
    }
    let mut bytes = 0_u64;
    let fitting = items.iter().take_while(|item| {
        let line = item.draft.len().saturating_add(SPLICE_BYTES).saturating_add(1);
        bytes = bytes.saturating_add(u64::try_from(line).unwrap_or(u64::MAX));
        bytes <= LONGEST_WRITE
    });
    fitting.count().max(1).min(items.len())
}

/// A number as twenty digits.
fn digits(mut number: u64) -> [u8; SEQUENCE_DIGITS] {
    let mut out = [b'0'; SEQUENCE_DIGITS];
    for digit in out.iter_mut().rev() {
        *digit = b'0'.saturating_add(u8::try_from(number % 10).unwrap_or_default());
        number /= 10;
    }
    out
}
