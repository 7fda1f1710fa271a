//! Torn tails, interrupted recoveries, and damage that is none.

use std::path::{Path, PathBuf};

use crate::audit::for_tests::{lines, settings, small_log, system};
use crate::audit::verify::verify;
use crate::audit::{Log, OpenFault, Opened};
use crate::config::bootstrap::Durability;
use crate::id::Digest;

fn open(dir: &Path) -> Result<Opened, OpenFault> {
    let (log, opened) = Log::open(dir, settings(Durability::Group, 8), system())?;
    // Without a runtime: the drop closes, and the lock is free when the thread is done.
    drop(log);
    let lock = std::fs::File::open(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    Ok(opened)
}

fn only_segment(dir: &Path) -> PathBuf {
    dir.join("segments/00000000000000000001.jsonl")
}

#[test]
fn a_tail_cut_at_any_byte_of_the_last_record_is_recovered_and_recorded() {
    let whole = tempfile::tempdir().unwrap();
    small_log(whole.path(), 3, 1 << 20);
    let bytes = std::fs::read(only_segment(whole.path())).unwrap();
    let before_last = bytes[..bytes.len() - 1].iter().rposition(|&b| b == b'\n').unwrap() + 1;
    let origin = std::fs::read(whole.path().join("origin")).unwrap();
    for cut in before_last..=bytes.len() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("segments")).unwrap();
        std::fs::write(dir.path().join("origin"), &origin).unwrap();
        std::fs::write(only_segment(dir.path()), &bytes[..cut]).unwrap();
        let opened = open(dir.path()).unwrap();
        let verified = verify(dir.path()).unwrap();
        if cut == before_last || cut == bytes.len() {
            assert!(opened.torn.is_empty());
            assert_eq!(opened.next, verified.last + 1);
            continue;
        }
        let [torn] = &opened.torn[..] else { panic!("{:?}", opened.torn) };
        assert_eq!((torn.first, torn.complete_lines), (3, 0));
        assert_eq!(torn.digest, Digest::of(&bytes[before_last..cut]));
        assert_eq!(std::fs::read(&torn.file).unwrap(), &bytes[before_last..cut]);
        assert!(torn.file.ends_with("segments/00000000000000000003.torn"));
        assert_eq!((verified.records, opened.next), (3, 4));
        let record = lines(dir.path()).pop().unwrap();
        assert!(
            record.contains("portcullis.log.recovered.v1") && record.contains(&torn.digest.to_string()),
            "{record}"
        );
        assert!(open(dir.path()).unwrap().torn.is_empty(), "a second start finds nothing more");
    }
}

#[test]
fn complete_lines_after_a_bad_one_are_counted_as_lost() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 6, 1 << 20);
    let mut bytes = std::fs::read(only_segment(dir.path())).unwrap();
    let third = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(2).unwrap().0;
    bytes[third + 20] ^= 0x80;
    std::fs::write(only_segment(dir.path()), &bytes).unwrap();
    let opened = open(dir.path()).unwrap();
    assert_eq!((opened.torn[0].first, opened.torn[0].complete_lines, opened.next), (4, 3, 5));
    assert_eq!(verify(dir.path()).unwrap().records, 4);
}

#[test]
fn more_than_one_write_can_tear_is_damage_and_nothing_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 8000, 1 << 30);
    let mut bytes = std::fs::read(only_segment(dir.path())).unwrap();
    bytes[300] ^= 1;
    std::fs::write(only_segment(dir.path()), &bytes).unwrap();
    let fault = open(dir.path()).unwrap_err();
    assert!(matches!(fault, OpenFault::Corrupt { .. }), "{fault}");
    assert_eq!(std::fs::read(only_segment(dir.path())).unwrap(), bytes);
}

#[test]
fn a_missing_or_cut_segment_before_the_last_is_damage() {
    for damage in ["remove", "cut"] {
        let dir = tempfile::tempdir().unwrap();
        small_log(dir.path(), 6, 300);
        let mut all: Vec<_> =
            std::fs::read_dir(dir.path().join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort();
        assert!(all.len() >= 3);
        let before_last = &all[all.len() - 2];
        let bytes = std::fs::read(before_last).unwrap();
        match damage {
            "remove" => std::fs::remove_file(before_last).unwrap(),
            _ => std::fs::write(before_last, &bytes[..bytes.len() - 1]).unwrap(),
        }
        let fault = open(dir.path()).unwrap_err();
        assert!(matches!(fault, OpenFault::Corrupt { .. }), "{damage}: {fault}");
        verify(dir.path()).unwrap_err();
    }
}

#[test]
fn a_segment_created_just_before_the_crash_is_used() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 2, 1 << 20);
    std::fs::write(dir.path().join("segments/00000000000000000003.jsonl"), "").unwrap();
    assert_eq!(open(dir.path()).unwrap().next, 3);
    small_log(dir.path(), 1, 1 << 20);
    assert_eq!(verify(dir.path()).unwrap().last, 3);
}

#[test]
fn a_recovery_that_was_itself_interrupted_is_finished() {
    // Interrupted after the cut: the copy is there, the record is not.
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 2, 1 << 20);
    let part = dir.path().join("segments/00000000000000000003.torn.part");
    std::fs::write(&part, "half a li").unwrap();
    let opened = open(dir.path()).unwrap();
    assert_eq!((opened.torn.len(), opened.torn[0].first, opened.next), (1, 3, 4));
    assert!(!part.exists() && opened.torn[0].file.exists());

    // Interrupted before the cut: the copy may be partial, the tail still stands in the segment.
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 2, 1 << 20);
    let mut bytes = std::fs::read(only_segment(dir.path())).unwrap();
    bytes.extend_from_slice(b"half a line");
    std::fs::write(only_segment(dir.path()), bytes).unwrap();
    std::fs::write(dir.path().join("segments/00000000000000000003.torn.part"), "half").unwrap();
    let opened = open(dir.path()).unwrap();
    assert_eq!((opened.torn.len(), opened.torn[0].digest), (1, Digest::of(b"half a line")));

    // The record of the first recovery was torn as well: both tails are kept.
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 2, 1 << 20);
    let mut bytes = std::fs::read(only_segment(dir.path())).unwrap();
    bytes.extend_from_slice(b"{\"specversion\":");
    std::fs::write(only_segment(dir.path()), bytes).unwrap();
    std::fs::write(dir.path().join("segments/00000000000000000003.torn.part"), "half").unwrap();
    let opened = open(dir.path()).unwrap();
    assert_eq!((opened.torn.len(), opened.next), (2, 5));
    assert!(opened.torn.iter().all(|torn| torn.file.exists()));
    assert_eq!(verify(dir.path()).unwrap().records, 4);
}

#[test]
fn segments_without_an_origin_are_not_continued_under_a_new_name() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 1, 1 << 20);
    std::fs::remove_file(dir.path().join("origin")).unwrap();
    assert!(matches!(open(dir.path()).unwrap_err(), OpenFault::OriginMissing { .. }));
}

#[test]
fn a_link_in_the_place_of_a_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap();
    std::os::unix::fs::symlink("/dev/full", dir.path().join("segments/00000000000000000002.jsonl")).unwrap();
    assert!(matches!(open(dir.path()).unwrap_err(), OpenFault::Unwritable { .. }));
}
