//! The revision counter of a directory source: `state/registry/revision.json`.
//!
//! A revision names one content of the policy files in records and reports, so it must outlive the process: it is on
//! disk before anyone sees a snapshot that carries it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::id::{Digest, Revision};

/// The counter and the content it last counted.
#[derive(Debug)]
pub(super) struct Counter {
    folder: PathBuf,
    last: Option<(Revision, Digest)>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    revision: u64,
    digest: String,
}

impl Counter {
    /// Opens the counter of a state directory; it begins at one where there is none yet.
    ///
    /// # Errors
    /// Where the file is there and cannot be read as a counter: guessing would use a revision twice.
    pub(super) fn open(state: &Path) -> io::Result<Self> {
        let folder = state.join("registry");
        let last = match fs::read(folder.join("revision.json")) {
            Ok(bytes) => Some(parse(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { folder, last })
    }

    /// The state directory.
    pub(super) fn state(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }

    /// The revision that `digest` has, or will have once it is stored.
    pub(super) fn revision_for(&self, digest: Digest) -> Revision {
        match self.last {
            Some((revision, last)) if last == digest => revision,
            Some((Revision(revision), _)) => Revision(revision.saturating_add(1)),
            None => Revision(1),
        }
    }

    /// Makes `digest` the current content, durably; the content that is current already costs nothing.
    ///
    /// # Errors
    /// Where it cannot be written; the counter then stays as it is.
    pub(super) fn store(&mut self, digest: Digest) -> io::Result<()> {
        let revision = self.revision_for(digest);
        if self.last == Some((revision, digest)) {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        let text = serde_json::to_vec(&Written { revision: revision.0, digest: digest.to_string() })?;
        let temporary = self.folder.join("revision.json.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&temporary, self.folder.join("revision.json"))?;
        File::open(&self.folder)?.sync_all()?;
        self.last = Some((revision, digest));
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> io::Result<(Revision, Digest)> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "registry/revision.json is not a revision counter");
    let written: Written = serde_json::from_slice(bytes).map_err(|_| bad())?;
    Ok((Revision(written.revision), Digest::parse(&written.digest).ok_or_else(bad)?))
}

#[cfg(test)]
mod tests {
    use super::Counter;
    use crate::id::{Digest, Revision};

    #[test]
    fn the_counter_goes_on_after_a_restart_and_the_same_content_keeps_its_revision() {
        let state = tempfile::tempdir().unwrap();
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let mut counter = Counter::open(state.path()).unwrap();
        assert_eq!(counter.revision_for(a), Revision(1));
        counter.store(a).unwrap();
        assert_eq!((counter.revision_for(a), counter.revision_for(b)), (Revision(1), Revision(2)));
        let mut counter = Counter::open(state.path()).unwrap();
        assert_eq!((counter.revision_for(a), counter.revision_for(b)), (Revision(1), Revision(2)));
        counter.store(b).unwrap();
        assert_eq!(counter.revision_for(a), Revision(3));
    }

    #[test]
    fn a_damaged_counter_is_not_guessed() {
        let state = tempfile::tempdir().unwrap();
        std::fs::create_dir(state.path().join("registry")).unwrap();
        std::fs::write(state.path().join("registry/revision.json"), b"{\"revision\":").unwrap();
        Counter::open(state.path()).unwrap_err();
    }
}
