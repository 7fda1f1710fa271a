//! The policy directory as files: which count, what is in them, and whether anything moved.
//!
//! Symbolic links are followed, as Kubernetes mounts files through `..data`; hidden entries (`.git`, `..data`,
//! `..2026_01_01…`) are not entered themselves. Only `.yaml` and `.yml` files count.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use crate::config::fault::Fault;
use crate::id::Digest;

/// Deepest folder.
const DEEPEST: usize = 16;

/// Most files and folders of a policy directory.
const MOST_ENTRIES: usize = 200_000;

/// Bytes read of one file: one more than a format takes, so that a larger one is known to be too large.
const READ_AT_MOST: u64 = 1024 * 1024 + 1;

/// How often the files are read before they are said to keep changing.
const TRIES: usize = 6;

/// One policy file.
#[derive(Debug)]
pub(super) struct PolicyFile {
    /// Its path below the policy directory, with `/`.
    pub(super) path: String,
    /// What is in it.
    pub(super) bytes: Vec<u8>,
}

/// The files of one reading, by path, and what could not be read.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) list: Vec<PolicyFile>,
    pub(super) faults: Vec<Fault>,
}

impl Files {
    /// SHA-256 over the sorted paths and bytes, each led by its length as eight bytes, least significant first.
    pub(super) fn digest(&self) -> Digest {
        let mut context = Context::new(&SHA256);
        for file in &self.list {
            for part in [file.path.as_bytes(), &file.bytes] {
                context.update(&(part.len() as u64).to_le_bytes());
                context.update(part);
            }
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        Digest(out)
    }
}

/// Reads the directory until two readings agree, so that no state between two writes is taken for one.
pub(super) fn settled(root: &Path) -> Result<Files, Box<Fault>> {
    let mut last = read(root);
    for _ in 1..TRIES {
        let next = read(root);
        if last.digest() == next.digest() && last.faults == next.faults {
            return Ok(next);
        }
        last = next;
    }
    let message = "the policy files keep changing while they are read";
    Err(Box::new(Fault::of_file(root.display().to_string(), message)))
}

fn read(root: &Path) -> Files {
    let mut files = Files::default();
    let mut walk = Walk { root, entries: 0, above: Vec::new() };
    walk.folder("", &mut |path, full, metadata| {
        let name = full.display().to_string();
        match metadata.and_then(|metadata| contents(full, &metadata)) {
            Ok(bytes) => files.list.push(PolicyFile { path: path.to_owned(), bytes }),
            Err(error) => {
                let fault = Fault::of_file(name, format!("the file cannot be read: {error}"));
                files.faults.push(fault.help("what is named .yaml here is policy: make it readable, or take it away"));
            }
        }
    })
    .unwrap_or_else(|(path, error)| {
        let name = path.display().to_string();
        let fault = Fault::of_file(name, format!("the policy directory cannot be read: {error}"));
        files.faults.push(fault.help("`policies` in the bootstrap config names it"));
    });
    files.list.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn contents(path: &Path, metadata: &Metadata) -> io::Result<Vec<u8>> {
    if metadata.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    // A pipe or device would hold the reload up for ever.
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(READ_AT_MOST)).unwrap_or(0));
    File::open(path)?.take(READ_AT_MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the file system says of every file and folder, without reading any. Two that are equal mean that nothing was
/// written in between, but for writes within one tick of the file system's clock.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    entries: Vec<(PathBuf, Option<Stamp>)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Listing {
    /// Lists a policy directory.
    pub(super) fn of(root: &Path) -> Self {
        let mut entries = Vec::new();
        let mut walk = Walk { root, entries: 0, above: Vec::new() };
        let walked = walk.folder("", &mut |_, full, metadata| {
            entries.push((full.to_path_buf(), metadata.ok().as_ref().map(Stamp::from)));
        });
        if let Err((path, _)) = walked {
            entries.push((path, None));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Self { entries }
    }
}

/// The folders of a policy directory, itself included.
pub(super) fn folders(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    let mut walk = Walk { root, entries: 0, above: Vec::new() };
    // What cannot be walked cannot be watched either; the poll sees it when it comes back.
    let _unwatched = walk.each("", &mut |_, full, metadata| {
        if metadata.is_ok_and(|metadata| metadata.is_dir()) {
            found.push(full.to_path_buf());
        }
    });
    found
}

/// Called for each policy file with its path below the root, its full path, and what the file system says.
type Visit<'a> = &'a mut dyn FnMut(&str, &Path, io::Result<Metadata>);

/// What stopped a walk, and where.
type Stopped = (PathBuf, io::Error);

struct Walk<'a> {
    root: &'a Path,
    entries: usize,
    /// The folders entered, by device and inode: one that is met again inside itself is a loop of links.
    above: Vec<(u64, u64)>,
}

impl Walk<'_> {
    /// Visits the policy files below `relative`.
    fn folder(&mut self, relative: &str, visit: Visit<'_>) -> Result<(), Stopped> {
        self.each(relative, &mut |path, full, metadata| {
            // Folders too: where a mounted file is missing, some runtimes make a folder of its name.
            if is_yaml(full) {
                visit(path, full, metadata);
            }
        })
    }

    /// Visits every file and folder below `relative` that is not hidden.
    fn each(&mut self, relative: &str, visit: Visit<'_>) -> Result<(), Stopped> {
        let folder = self.root.join(relative);
        let stop = |error: io::Error| (folder.clone(), error);
        let here = fs::metadata(&folder).map(|m| (m.dev(), m.ino())).map_err(stop)?;
        if self.above.contains(&here) || self.above.len() > DEEPEST {
            return Err(stop(io::Error::other("its folders are nested too deep, or in a loop of links")));
        }
        self.above.push(here);
        for entry in fs::read_dir(&folder).map_err(stop)? {
            let name = entry.map_err(stop)?.file_name();
            let Some(name) = name.to_str() else {
                return Err(stop(io::Error::other("a file's name is not UTF-8")));
            };
            if name.starts_with('.') {
                continue;
            }
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return Err(stop(io::Error::other("it has more than 200,000 entries")));
            }
            let path = if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
            let full = folder.join(name);
            let metadata = fs::metadata(&full);
            let enter = metadata.as_ref().is_ok_and(Metadata::is_dir);
            visit(&path, &full, metadata);
            if enter {
                self.each(&path, visit)?;
            }
        }
        self.above.pop();
        Ok(())
    }
}

/// Also in capitals: a `.YAML` that were passed over would be a policy that nobody enforces.
fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("yaml") || e.eq_ignore_ascii_case("yml"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::{Listing, folders, read, settled};

    fn paths(root: &Path) -> Vec<String> {
        read(root).list.into_iter().map(|file| file.path).collect()
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn yaml_files_count_and_hidden_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["models/a.yaml", "models/b.YML", "people.yaml", ".git/x.yaml", "models/.swp.yaml", "README.md"] {
            write(dir.path(), path, "x");
        }
        assert_eq!(paths(dir.path()), ["models/a.yaml", "models/b.YML", "people.yaml"]);
        assert_eq!(folders(dir.path()).len(), 2);
    }

    #[test]
    fn a_kubernetes_volume_is_followed_through_its_links_once() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "..2026_01_01_a/models/a.yaml", "one");
        write(dir.path(), "..2026_01_02_b/models/a.yaml", "two");
        symlink("..2026_01_01_a", dir.path().join("..data")).unwrap();
        symlink("..data/models", dir.path().join("models")).unwrap();
        let (files, before) = (settled(dir.path()).unwrap(), Listing::of(dir.path()));
        assert_eq!((files.list.len(), files.list[0].bytes.as_slice()), (1, &b"one"[..]));
        symlink("..2026_01_02_b", dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
        assert_ne!(Listing::of(dir.path()), before);
        assert_eq!(settled(dir.path()).unwrap().list[0].bytes, b"two");
    }

    #[test]
    fn a_loop_of_links_and_a_broken_link_are_faults() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "models/a.yaml", "x");
        symlink("..", dir.path().join("models/loop")).unwrap();
        assert_eq!(read(dir.path()).faults.len(), 1);
        fs::remove_file(dir.path().join("models/loop")).unwrap();
        symlink("nowhere.yaml", dir.path().join("models/b.yaml")).unwrap();
        assert_eq!(read(dir.path()).faults.len(), 1);
    }

    #[test]
    fn a_missing_directory_is_a_fault() {
        assert_eq!(read(Path::new("/nowhere/policies")).faults.len(), 1);
    }

    #[test]
    fn the_digest_tells_paths_from_contents() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(a.path(), "a.yaml", "b.yaml");
        write(b.path(), "a.yamlb.yaml", "");
        assert_ne!(read(a.path()).digest(), read(b.path()).digest());
        assert_eq!(read(a.path()).digest(), read(a.path()).digest());
    }

    #[test]
    fn a_rewrite_of_the_same_size_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.yaml", "one");
        let before = Listing::of(dir.path());
        assert_eq!(Listing::of(dir.path()), before);
        fs::write(dir.path().join("b"), "two").unwrap();
        fs::rename(dir.path().join("b"), dir.path().join("a.yaml")).unwrap();
        assert_ne!(Listing::of(dir.path()), before);
    }
}
