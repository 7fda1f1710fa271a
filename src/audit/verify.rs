//! Checks a log offline: every line well-formed, every sequence in its place, every hash right, over raw bytes and across
//! segments. Reads the files in order, once, in bounded memory; works beside a running gate. Called by `cli`.
//!
//! What it cannot see by itself is a tail that was cut at a line's end, or a change of the very last line: nothing after it
//! vouches for it. [`Verified::head`] is what to compare with a copy kept elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::chain::{BadLine, Head, Walk};
use super::lines::{Lines, Piece};
use super::segment;

/// Decisions without their outcome that are told apart at one time.
const MOST_OPEN: usize = 65_536;
/// Of these, how many are named in the answer.
const MOST_NAMED: usize = 100;
/// Kinds of records and actions that are counted apart; all beyond stand under `other`.
const MOST_KINDS: usize = 64;

/// A log that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Records.
    pub records: u64,
    /// Files.
    pub segments: u64,
    /// The first sequence; above 1, older segments were pruned and the chain begins here. 0 when there is none.
    pub first: u64,
    /// The last sequence; 0 when there is none.
    pub last: u64,
    /// Base64 SHA-256 of the last line.
    pub head: String,
    /// Records by action, or by type where they have none.
    pub by_action: BTreeMap<String, u64>,
    /// Calls that were let through and have no outcome: in flight, or lost to a crash ("outcome unknown").
    pub outcome_unknown: u64,
    /// The sequences of the first of these.
    pub unknown: Vec<u64>,
    /// Outcomes whose decision is not in this log: pruned, or more were open than are told apart.
    pub outcome_without_decision: u64,
    /// Bytes of a last line that has no end yet: being written, or torn by a crash that no start has recovered from.
    pub in_progress: u64,
}

/// Where a log is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {what} (sequence {sequence} was due)", file.display())]
pub struct Broken {
    /// The segment, or the directory.
    pub file: PathBuf,
    /// The line, counted from 1; 0 when no one line is meant.
    pub line: u64,
    /// The sequence that was due there; 0 when none is known.
    pub sequence: u64,
    /// What is wrong.
    pub what: Fault,
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line does not belong where it stands.
    #[error(transparent)]
    Line(#[from] BadLine),
    /// A segment that is not the last ends inside a line.
    #[error("the segment ends inside a line")]
    Cut,
    /// The next segment does not begin where this one ends.
    #[error("the segment should begin with another sequence: one before it is missing")]
    Gap,
    /// A file could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

/// Checks the log in the audit directory `dir`, or in its `segments/`.
///
/// # Errors
/// [`Broken`] at the first fault.
pub fn verify(dir: &Path) -> Result<Verified, Broken> {
    let segments = segments_of(dir);
    let firsts = segment::list(&segments).map_err(|cause| unreadable(&segments, &cause))?;
    let mut audit = Inspection::default();
    let mut walk = firsts.first().map(|&first| Walk::from(first));
    let last = firsts.last().copied();
    for &first in &firsts {
        let file = segment::path(&segments, first);
        let Some(walk) = walk.as_mut() else { break };
        if walk.next() != first {
            return Err(Broken { file, line: 0, sequence: walk.next(), what: Fault::Gap });
        }
        audit.segment(&file, walk, last == Some(first))?;
    }
    if let Some(link) = walk.and_then(|walk| walk.link()) {
        audit.so_far.head = link.to_string();
    }
    Ok(audit.conclude())
}

/// Both the audit directory and its `segments/` may be named.
pub(super) fn segments_of(dir: &Path) -> PathBuf {
    let inner = dir.join("segments");
    if inner.is_dir() { inner } else { dir.to_owned() }
}

fn unreadable(file: &Path, cause: &io::Error) -> Broken {
    Broken { file: file.to_owned(), line: 0, sequence: 0, what: Fault::Unreadable(cause.to_string()) }
}

#[derive(Debug, Default)]
struct Inspection {
    so_far: Verified,
    open: HashMap<Uuid, u64>,
    untracked: u64,
}

impl Inspection {
    fn segment(&mut self, file: &Path, walk: &mut Walk, is_last: bool) -> Result<(), Broken> {
        let mut lines = Lines::open(file).map_err(|cause| unreadable(file, &cause))?;
        self.so_far.segments = self.so_far.segments.saturating_add(1);
        let mut number = 0_u64;
        while let Some(piece) = lines.next().map_err(|cause| unreadable(file, &cause))? {
            number = number.saturating_add(1);
            let sequence = walk.next();
            let broken = |what: Fault| Broken { file: file.to_owned(), line: number, sequence, what };
            match piece {
                Piece::Whole(line) => {
                    let (sequence, head) = walk.step(line).map_err(|bad| broken(bad.into()))?;
                    self.record(sequence, &head);
                }
                Piece::Cut(rest) if is_last => {
                    self.so_far.in_progress = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                    break;
                }
                Piece::Cut(_) => return Err(broken(Fault::Cut)),
                Piece::TooLong => return Err(broken(BadLine::TooLong.into())),
            }
        }
        Ok(())
    }

    fn record(&mut self, sequence: u64, head: &Head<'_>) {
        let so_far = &mut self.so_far;
        so_far.records = so_far.records.saturating_add(1);
        so_far.last = sequence;
        if so_far.first == 0 {
            so_far.first = sequence;
        }
        let action = head.data.action.as_deref();
        let name = action.unwrap_or(&head.kind);
        let known = so_far.by_action.len() < MOST_KINDS || so_far.by_action.contains_key(name);
        let count = so_far.by_action.entry(if known { name } else { "other" }.to_owned()).or_default();
        *count = count.saturating_add(1);
        if action == Some("LLM_CALL") {
            self.opened(sequence, &head.id);
        } else if head.kind == "portcullis.outcome.v1" {
            self.closed(head.causationid.as_deref());
        }
    }

    fn opened(&mut self, sequence: u64, id: &str) {
        match Uuid::try_parse(id) {
            Ok(id) if self.open.len() < MOST_OPEN => drop(self.open.insert(id, sequence)),
            _ => self.untracked = self.untracked.saturating_add(1),
        }
    }

    fn closed(&mut self, decision: Option<&str>) {
        let decision = decision.and_then(|id| Uuid::try_parse(id).ok());
        if decision.and_then(|id| self.open.remove(&id)).is_some() {
            return;
        }
        if self.untracked > 0 {
            self.untracked = self.untracked.saturating_sub(1);
        } else {
            self.so_far.outcome_without_decision = self.so_far.outcome_without_decision.saturating_add(1);
        }
    }

    fn conclude(mut self) -> Verified {
        let mut unknown: Vec<u64> = self.open.into_values().collect();
        unknown.sort_unstable();
        let open = u64::try_from(unknown.len()).unwrap_or(u64::MAX);
        self.so_far.outcome_unknown = open.saturating_add(self.untracked);
        unknown.truncate(MOST_NAMED);
        self.so_far.unknown = unknown;
        self.so_far
    }
}
