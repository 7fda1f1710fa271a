//! Finds the good end of a log that may have ended in the middle of a write.
//!
//! There is at most one write between two syncs and nothing of it was acknowledged, so what a crash can tear is at most
//! [`LONGEST_WRITE`] bytes at the end of the last segment. That tail is copied beside the segment before it is cut, and a
//! record says what was lost. More than that is no torn tail but damage, and the gate does not go on over it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate};

use super::OpenFault;
use super::chain::{LONGEST_LINE, Link, Walk};
use super::directory::private;
use super::lines::{Lines, Piece};
use super::segment::{self, Segments, sync_dir};
use super::writer::LONGEST_WRITE;
use crate::id::Digest;

/// Where the log goes on.
#[derive(Debug)]
pub(super) struct End {
    /// The sequence of the next record.
    pub(super) next: u64,
    /// The link to the last record.
    pub(super) link: Link,
    /// The segment to append to.
    pub(super) segments: Segments,
    /// The tails that were cut and stand in no record yet.
    pub(super) torn: Vec<Torn>,
}

/// A tail that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The sequence that the first lost line had or would have had.
    pub first: u64,
    /// How long it is.
    pub bytes: u64,
    /// Complete lines in it. None of them was acknowledged.
    pub complete_lines: u64,
    /// Of its bytes.
    pub digest: Digest,
    /// Where it lies.
    pub file: PathBuf,
}

impl Torn {
    fn read(first: u64, file: PathBuf) -> io::Result<Self> {
        let tail = std::fs::read(&file)?;
        let bytes = u64::try_from(tail.len()).unwrap_or(u64::MAX);
        let newlines = memchr::memchr_iter(b'\n', &tail).count();
        let complete_lines = u64::try_from(newlines).unwrap_or(u64::MAX);
        Ok(Self { first, bytes, complete_lines, digest: Digest::of(&tail), file })
    }

    /// Gives the tail its final name, once the record of it is durable.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let Some(dir) = self.file.parent().map(Path::to_owned) else { return Ok(()) };
        let settled = unused(&dir, self.first, "torn");
        std::fs::rename(&self.file, &settled)?;
        self.file = settled;
        sync_dir(&dir)
    }
}

/// Scans the last segment, cuts a torn tail off and opens the segment for appending; makes the first one in an
/// empty directory.
///
/// # Errors
/// [`OpenFault::Corrupt`] when the log is damaged where no crash can have torn it; [`OpenFault::Unwritable`] for
/// I/O errors.
pub(super) fn recover(dir: &Path, limit_bytes: u64) -> Result<End, OpenFault> {
    let unwritable = |cause| OpenFault::Unwritable { dir: dir.to_owned(), cause };
    let firsts = segment::list(dir).map_err(unwritable)?;
    let Some((&last, before)) = firsts.split_last() else {
        let file = segment::create(dir, 1).map_err(unwritable)?;
        let segments = Segments::resume(dir.to_owned(), limit_bytes, file, 0, None);
        return Ok(End { next: 1, link: Link::FIRST, segments, torn: Vec::new() });
    };
    let walk = match before.last() {
        Some(&previous) => after_segment(dir, previous, last)?,
        None => Walk::from(last),
    };
    let path = segment::path(dir, last);
    let scan = Scan::of(&path, walk).map_err(unwritable)?;
    let Some(link) = scan.walk.link() else {
        return Err(corrupt(&path, scan.lines, "it has no good record and nothing before it to go on from"));
    };
    if scan.tail_bytes > LONGEST_WRITE {
        return Err(corrupt(
            &path,
            scan.lines.saturating_add(1),
            "it is bad, and more follows than one write can tear",
        ));
    }
    let next = scan.walk.next();
    let mut torn = interrupted(dir, &path, &scan).map_err(unwritable)?;
    if scan.tail_bytes > 0 {
        torn.push(cut(dir, &path, next, scan.good_bytes).map_err(unwritable)?);
    }
    write_again(&path, scan.good_bytes).map_err(unwritable)?;
    let file = OpenOptions::new().append(true).open(&path).map_err(unwritable)?;
    let segments = Segments::resume(dir.to_owned(), limit_bytes, file, scan.good_bytes, scan.day);
    Ok(End { next, link, segments, torn })
}

/// What a scan of the last segment found.
struct Scan {
    walk: Walk,
    lines: u64,
    good_bytes: u64,
    tail_bytes: u64,
    day: Option<NaiveDate>,
}

impl Scan {
    fn of(path: &Path, mut walk: Walk) -> io::Result<Self> {
        let (mut count, mut good_bytes, mut day) = (0_u64, 0, None);
        let mut lines = Lines::open(path)?;
        while let Some(Piece::Whole(line)) = lines.next()? {
            let Ok((_, head)) = walk.step(line) else { break };
            day = DateTime::parse_from_rfc3339(&head.time).ok().map(|time| time.to_utc().date_naive());
            count = count.saturating_add(1);
            good_bytes = lines.bytes();
        }
        let tail_bytes = std::fs::metadata(path)?.len().saturating_sub(good_bytes);
        Ok(Self { walk, lines: count, good_bytes, tail_bytes, day })
    }
}

/// The walk onwards from the last line of the segment before the last.
fn after_segment(dir: &Path, previous: u64, last: u64) -> Result<Walk, OpenFault> {
    let path = segment::path(dir, previous);
    let line = last_line(&path).map_err(|cause| OpenFault::Unwritable { dir: dir.to_owned(), cause })?;
    let end = line.and_then(|line| {
        let sequence = last.checked_sub(1)?;
        // Its own link is not checked here, only that it is a record of the sequence before.
        Walk::resume_at(sequence).step(&line).ok()?;
        Some(Walk::after(sequence, Link::to(&line)))
    });
    end.ok_or_else(|| corrupt(&path, 0, "its last line is not the record before the next segment's first"))
}

/// The last line of a file, without its newline; `None` when the file does not end in a whole line of legal length.
fn last_line(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let window = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX).saturating_add(2);
    file.seek(SeekFrom::Start(length.saturating_sub(window)))?;
    let mut end = Vec::new();
    file.take(window).read_to_end(&mut end)?;
    if end.pop() != Some(b'\n') {
        return Ok(None);
    }
    match memchr::memrchr(b'\n', &end) {
        Some(at) => Ok(end.get(at.saturating_add(1)..).map(<[u8]>::to_vec)),
        None => Ok(Some(end)),
    }
}

/// Copies the tail beside the segment, durably, and only then cuts it off.
fn cut(dir: &Path, segment: &Path, first: u64, good_bytes: u64) -> io::Result<Torn> {
    let tail = read_from(segment, good_bytes)?;
    let part = unused(dir, first, "torn.part");
    let mut copy = private().create_new(true).write(true).open(&part)?;
    copy.write_all(&tail)?;
    copy.sync_all()?;
    sync_dir(dir)?;
    let file = OpenOptions::new().write(true).open(segment)?;
    file.set_len(good_bytes)?;
    file.sync_all()?;
    Torn::read(first, part)
}

/// Writes the good bytes that the last write may have left again, and syncs them. What was read may stand in the page
/// cache only: written but not synced before a crash of the process, or marked clean by a sync that failed, and then
/// no later sync would ever write it.
fn write_again(segment: &Path, good_bytes: u64) -> io::Result<()> {
    let from = good_bytes.saturating_sub(LONGEST_WRITE);
    let mut last = read_from(segment, from)?;
    last.truncate(usize::try_from(good_bytes.saturating_sub(from)).unwrap_or(usize::MAX));
    let file = OpenOptions::new().write(true).open(segment)?;
    file.write_all_at(&last, from)?;
    file.sync_all()
}

/// The tails of recoveries that were themselves interrupted: copied, but not yet in a record. A copy of (the beginning
/// of) what is still in the segment is dropped; it will be made again.
fn interrupted(dir: &Path, segment: &Path, scan: &Scan) -> io::Result<Vec<Torn>> {
    let tail = read_from(segment, scan.good_bytes)?;
    let mut torn = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(stem) = name.strip_suffix(".torn.part") else { continue };
        let first = stem.split('-').next().and_then(super::chain::parse_sequence).unwrap_or_default();
        if !tail.is_empty() && tail.starts_with(&std::fs::read(&path)?) {
            std::fs::remove_file(&path)?;
        } else {
            torn.push(Torn::read(first, path)?);
        }
    }
    torn.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(torn)
}

fn read_from(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(tail)
}

/// A name that nothing has yet: an earlier tail is never overwritten.
fn unused(dir: &Path, first: u64, suffix: &str) -> PathBuf {
    let plain = dir.join(format!("{first:020}.{suffix}"));
    let others = (2_u64..).map(|n| dir.join(format!("{first:020}-{n}.{suffix}")));
    std::iter::once(plain).chain(others).find(|path| !path.exists()).unwrap_or_default()
}

fn corrupt(file: &Path, line: u64, what: &'static str) -> OpenFault {
    OpenFault::Corrupt { file: file.to_owned(), line, what }
}
