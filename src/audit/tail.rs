//! Shows a log: the last records that match a filter, then the new ones as they come, across rotation.
//!
//! Trusts nothing and checks nothing; `verify` does that. What it shows has no control characters, whatever is in the
//! file. Called by `cli`, which does the waiting between polls.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::lines::{Lines, Piece};
use super::segment;
use super::verify::segments_of;

/// Which records to show; what is `None` matches all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// The tenant.
    pub tenant: Option<String>,
    /// The reason code.
    pub reason: Option<String>,
    /// The action.
    pub action: Option<String>,
    /// The request id, or the correlation id.
    pub request: Option<String>,
    /// From this time on.
    pub since: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
}

/// One record as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The line as written, without its newline.
    pub raw: String,
    fields: Value,
}

impl Entry {
    fn read(line: &[u8]) -> Option<Self> {
        let raw = std::str::from_utf8(line).ok()?.to_owned();
        let fields = serde_json::from_str(&raw).ok()?;
        Some(Self { raw, fields })
    }

    /// The string at a JSON pointer (RFC 6901).
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.fields.pointer(pointer)?.as_str()
    }

    /// The whole number at a JSON pointer (RFC 6901).
    #[must_use]
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.fields.pointer(pointer)?.as_u64()
    }

    /// One line for people: time, tenant, model, action, reason, status, score, request id.
    #[must_use]
    pub fn pretty(&self) -> String {
        let model = self.text("/data/resource/id").or_else(|| self.text("/data/model"));
        let action = self.text("/data/action").or_else(|| self.text("/data/end"));
        let reason = self.text("/data/reason/code").or_else(|| self.text("/data/decision"));
        let status = self.number("/data/http/status").or_else(|| self.number("/data/status"));
        let mut out = String::with_capacity(160);
        put(&mut out, self.text("/time"), 27);
        put(&mut out, self.text("/tenantid"), 16);
        put(&mut out, model.or_else(|| self.text("/subject")), 28);
        put(&mut out, action, 20);
        put(&mut out, reason, 22);
        put(&mut out, status.map(|n| n.to_string()).as_deref(), 3);
        put(&mut out, self.number("/data/risk/score").map(|n| n.to_string()).as_deref(), 3);
        put(&mut out, self.text("/data/request_id"), 0);
        out.truncate(out.trim_end().len());
        out
    }
}

/// A column; what is missing is a dash, what a terminal might obey is a question mark.
fn put(out: &mut String, text: Option<&str>, width: usize) {
    let plain: String = text.unwrap_or("-").chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    // Writing into a string cannot fail.
    let _written = write!(out, "{plain:<width$} ");
}

impl Filter {
    /// Whether a record is to be shown.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<String>, pointers: &[&str]| {
            wanted.as_deref().is_none_or(|wanted| pointers.iter().any(|pointer| entry.text(pointer) == Some(wanted)))
        };
        is(&self.tenant, &["/tenantid"])
            && is(&self.reason, &["/data/reason/code"])
            && is(&self.action, &["/data/action"])
            && is(&self.request, &["/data/request_id", "/correlationid"])
            && self.is_in_time(entry)
    }

    fn is_in_time(&self, entry: &Entry) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let at = entry.text("/time").and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        at.is_some_and(|at| self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until))
    }
}

/// Reads a log's end and follows it.
#[derive(Debug)]
pub struct Tail {
    segments: PathBuf,
    filter: Filter,
    /// The segment that is being followed and how far it was read; `None` before the first exists.
    stand: Option<(u64, u64)>,
}

impl Tail {
    /// The last `count` matching records of the audit directory `dir`, oldest first, and the tail to follow from there.
    /// Reads back no more segments than it needs; keeps `count` records.
    ///
    /// # Errors
    /// When the directory or a segment cannot be read.
    pub fn open(dir: &Path, count: usize, filter: Filter) -> io::Result<(Vec<Entry>, Self)> {
        let segments = segments_of(dir);
        let mut tail = Self { segments, filter, stand: None };
        let mut found: VecDeque<Entry> = VecDeque::new();
        for first in segment::list(&tail.segments)?.into_iter().rev() {
            let (mut here, end) = tail.read(first, 0, count.saturating_sub(found.len()))?;
            tail.stand.get_or_insert((first, end));
            while let Some(entry) = here.pop_back() {
                found.push_front(entry);
            }
            if found.len() >= count {
                break;
            }
        }
        Ok((found.into(), tail))
    }

    /// The matching records that came since the last call, in order.
    ///
    /// # Errors
    /// When the directory or a segment cannot be read.
    pub fn poll(&mut self) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        // Listed before it is read: when a later segment is there already, this one has got all it will ever get.
        for first in segment::list(&self.segments)? {
            let offset = match self.stand {
                Some((current, _)) if first < current => continue,
                Some((current, offset)) if first == current => offset,
                _ => 0,
            };
            let (here, end) = self.read(first, offset, usize::MAX)?;
            found.extend(here);
            self.stand = Some((first, end));
        }
        Ok(found)
    }

    /// The last `most` matching records of one segment from `offset` on, and the offset after its last whole line.
    fn read(&self, first: u64, offset: u64, most: usize) -> io::Result<(VecDeque<Entry>, u64)> {
        let mut file = File::open(segment::path(&self.segments, first))?;
        // A start after a crash may have cut the tail that was read.
        let offset = offset.min(file.metadata()?.len());
        file.seek(SeekFrom::Start(offset))?;
        let mut lines = Lines::of(BufReader::new(file));
        let mut found = VecDeque::new();
        while let Some(Piece::Whole(line)) = lines.next()? {
            let Some(entry) = Entry::read(line).filter(|entry| self.filter.matches(entry)) else { continue };
            found.push_back(entry);
            if found.len() > most {
                found.pop_front();
            }
        }
        Ok((found, offset.saturating_add(lines.bytes())))
    }
}
