//! The audit directory: made for this user only, locked for one writer, and given its origin's name.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::rand;

use super::OpenFault;
use super::segment;

/// Longest origin, in bytes.
const LONGEST_ORIGIN: usize = 100;

/// An audit directory that this process alone writes.
#[derive(Debug)]
pub(super) struct Directory {
    /// `segments/` in it.
    pub(super) segments: PathBuf,
    /// Who writes this log.
    pub(super) origin: Arc<str>,
    /// Held as long as the log is open.
    pub(super) lock: File,
}

/// Makes the directory where it is missing, takes its lock, and reads or makes the origin.
///
/// # Errors
/// [`OpenFault`] when it cannot be written, another process has it, or segments lie there without an origin.
pub(super) fn enter(dir: &Path) -> Result<Directory, OpenFault> {
    let unwritable = |cause| OpenFault::Unwritable { dir: dir.to_owned(), cause };
    let segments = dir.join("segments");
    DirBuilder::new().recursive(true).mode(0o700).create(&segments).map_err(unwritable)?;
    let lock = private().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(unwritable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenFault::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(cause)) => return Err(unwritable(cause)),
    }
    let origin = match read_origin(&dir.join("origin")) {
        Ok(origin) => origin,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            if !segment::list(&segments).map_err(unwritable)?.is_empty() {
                return Err(OpenFault::OriginMissing { dir: dir.to_owned() });
            }
            let origin = make_origin(dir).map_err(unwritable)?;
            sync_above(dir);
            origin
        }
        Err(cause) => return Err(unwritable(cause)),
    };
    Ok(Directory { segments, origin, lock })
}

/// A file for this user only.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn is_origin(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !text.is_empty() && text.len() <= LONGEST_ORIGIN && text.bytes().all(plain)
}

fn read_origin(path: &Path) -> io::Result<Arc<str>> {
    let mut text = String::new();
    let bound = u64::try_from(LONGEST_ORIGIN).unwrap_or(u64::MAX).saturating_add(2);
    File::open(path)?.take(bound).read_to_string(&mut text)?;
    let text = text.trim_ascii_end();
    if is_origin(text) {
        Ok(Arc::from(text))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "`origin` does not hold an origin's name"))
    }
}

/// Names this log: the host and eight random hex digits, so that two instances of a host differ.
fn make_origin(dir: &Path) -> io::Result<Arc<str>> {
    let mut random = [0_u8; 4];
    rand::fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
    let origin = format!("{}-{}", host(), hex::encode(random));
    let draft = dir.join("origin.part");
    let mut file = private().create(true).truncate(true).write(true).open(&draft)?;
    file.write_all(format!("{origin}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, dir.join("origin"))?;
    segment::sync_dir(dir)?;
    Ok(Arc::from(origin))
}

/// Makes the names of new directories durable, as far as those above may be read.
fn sync_above(dir: &Path) {
    for above in dir.ancestors().skip(1).take(2) {
        // Not ours, and not every file system syncs directories: the log's own are synced with errors reported.
        let _best_effort = segment::sync_dir(above);
    }
}

/// The host's name where the system tells it in a file, in the characters of an origin.
fn host() -> String {
    let told = ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(|f| std::fs::read_to_string(f).ok());
    let plain: String = told
        .unwrap_or_default()
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' })
        .take(63)
        .collect();
    if plain.is_empty() { "gate".to_owned() } else { plain }
}
