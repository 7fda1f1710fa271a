//! The files that hold the log: `segments/<first sequence, 20 digits>.jsonl`, and the device that appends to them.
//!
//! A segment is closed at its size limit or at the first record of another UTC day; a new file is created exclusively
//! and its directory synced before a byte goes in. Only the writer thread appends. No retries here: after a failed
//! write or sync the state of the page cache is unknown (see "fsyncgate"), so the log ends there.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};

use super::chain::parse_sequence;

/// What the writer appends to. The real one is [`Segments`]; tests put faults and gates in front of it.
pub(super) trait Device: Send + 'static {
    /// Makes sure that a segment is open for records from `next` on.
    fn ready(&mut self, next: u64, now: DateTime<Utc>) -> io::Result<()>;
    /// Appends in one call.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything appended is on stable storage.
    fn sync(&mut self) -> io::Result<()>;
}

/// The open segment and its directory.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    limit_bytes: u64,
    file: File,
    bytes: u64,
    day: Option<NaiveDate>,
}

impl Segments {
    /// Goes on with a segment whose good length is `bytes` and whose last record is of `day`.
    pub(super) const fn resume(dir: PathBuf, limit_bytes: u64, file: File, bytes: u64, day: Option<NaiveDate>) -> Self {
        Self { dir, limit_bytes, file, bytes, day }
    }

    fn is_due(&self, today: NaiveDate) -> bool {
        self.bytes > 0 && (self.bytes >= self.limit_bytes || self.day.is_some_and(|day| day != today))
    }
}

impl Device for Segments {
    fn ready(&mut self, next: u64, now: DateTime<Utc>) -> io::Result<()> {
        let today = now.date_naive();
        if self.is_due(today) {
            self.file = create(&self.dir, next)?;
            self.bytes = 0;
        }
        if self.bytes == 0 {
            self.day = Some(today);
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// A segment that was deleted under the writer takes bytes and syncs as before, and nobody will ever read them.
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if self.file.metadata()?.nlink() == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the open segment was deleted"));
        }
        Ok(())
    }
}

/// Where the segment that begins with `first` lies.
pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.jsonl"))
}

/// Creates the segment that begins with `first`, for this user only, and syncs its directory.
///
/// # Errors
/// When it exists already or the directory cannot be written or synced.
pub(super) fn create(dir: &Path, first: u64) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path(dir, first))?;
    sync_dir(dir)?;
    Ok(file)
}

/// Makes names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The first sequences of all segments, in order. A `.jsonl` file of another name is an error: it would be a part of
/// the log that nobody reads.
///
/// # Errors
/// When the directory cannot be read, or holds a `.jsonl` that is no segment (`InvalidData`).
pub(super) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".jsonl")) else { continue };
        // A link, pipe or device in the place of a segment could be read without end.
        match parse_sequence(stem).filter(|&first| first > 0 && entry.file_type().is_ok_and(|t| t.is_file())) {
            Some(first) => firsts.push(first),
            None => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("`{stem}.jsonl` is no segment"))),
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}
