//! Any change of any byte that something after it vouches for is found, and the second checker agrees.

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use crate::audit::for_tests::{lines, small_log};
use crate::audit::segment;
use crate::audit::verify::{Fault, verify};

/// A small log as one list of lines, to be changed and written again as two segments.
fn pristine() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 7, 1 << 20);
    lines(dir.path()).into_iter().map(String::into_bytes).collect()
}

fn write(dir: &Path, all: &[Vec<u8>]) {
    let text = |lines: &[Vec<u8>]| lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect::<Vec<u8>>();
    std::fs::write(segment::path(dir, 1), text(&all[..4])).unwrap();
    std::fs::write(segment::path(dir, 5), text(&all[4..])).unwrap();
}

fn is_found(all: &[Vec<u8>]) -> bool {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), all);
    verify(dir.path()).is_err()
}

#[test]
fn the_pristine_log_is_whole_in_two_segments() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &pristine());
    let verified = verify(dir.path()).unwrap();
    assert_eq!((verified.records, verified.segments, verified.first, verified.last), (7, 2, 1, 7));
}

#[test]
fn every_flipped_bit_before_the_last_line_is_found() {
    let all = pristine();
    let dir = tempfile::tempdir().unwrap();
    for (i, line) in all[..6].iter().enumerate() {
        for byte in 0..line.len() {
            for bit in 0..8 {
                let mut changed = all.clone();
                changed[i][byte] ^= 1 << bit;
                write(dir.path(), &changed);
                assert!(verify(dir.path()).is_err(), "line {i}, byte {byte}, bit {bit}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_a_newline_before_the_last_line_is_found() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &pristine());
    for first in [1, 5] {
        let path = segment::path(dir.path(), first);
        let good = std::fs::read(&path).unwrap();
        let newlines = good.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at);
        for at in newlines.filter(|&at| first == 1 || at + 1 < good.len()) {
            for bit in 0..8 {
                let mut changed = good.clone();
                changed[at] ^= 1 << bit;
                std::fs::write(&path, &changed).unwrap();
                assert!(verify(dir.path()).is_err(), "byte {at}, bit {bit}");
            }
        }
        std::fs::write(&path, good).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_dropped_repeated_swapped_or_moved_line_is_found(a in 0_usize..7, b in 0_usize..7, kind in 0_u8..4) {
        let all = pristine();
        let mut changed = all.clone();
        match kind {
            // The very last line may be missing without anything after it to tell.
            0 if a < 6 => drop(changed.remove(a)),
            1 => changed.insert(b, all[a].clone()),
            2 if a != b => changed.swap(a, b),
            3 if a != b => { let line = changed.remove(a); changed.insert(b, line); }
            _ => return Ok(()),
        }
        prop_assert!(is_found(&changed));
    }

    #[test]
    fn a_replaced_byte_is_found(line in 0_usize..6, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let all = pristine();
        let mut changed = all.clone();
        let at = at.index(changed[line].len());
        changed[line][at] = byte;
        prop_assert_eq!(is_found(&changed), changed != all);
    }
}

#[test]
fn a_missing_segment_and_a_cut_inner_one_are_found_by_name() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 9, 300);
    let segments = dir.path().join("segments");
    let firsts = segment::list(&segments).unwrap();
    let second = segment::path(&segments, firsts[1]);
    let bytes = std::fs::read(&second).unwrap();
    std::fs::write(&second, &bytes[..bytes.len() - 3]).unwrap();
    assert_eq!(verify(dir.path()).unwrap_err().what, Fault::Cut);
    std::fs::remove_file(&second).unwrap();
    let broken = verify(dir.path()).unwrap_err();
    assert_eq!((broken.what, broken.sequence), (Fault::Gap, firsts[1]));
}

#[test]
fn a_pruned_log_verifies_from_where_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 9, 300);
    let segments = dir.path().join("segments");
    let firsts = segment::list(&segments).unwrap();
    std::fs::remove_file(segment::path(&segments, 1)).unwrap();
    let verified = verify(dir.path()).unwrap();
    assert_eq!((verified.first, verified.last), (firsts[1], 9));
}

#[test]
fn a_line_that_is_being_written_is_told_and_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 2, 1 << 20);
    let path = segment::path(&dir.path().join("segments"), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"spec");
    std::fs::write(&path, bytes).unwrap();
    let verified = verify(dir.path()).unwrap();
    assert_eq!((verified.records, verified.in_progress), (2, 6));
}

#[test]
fn an_empty_log_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(verify(dir.path()).unwrap().records, 0);
    verify(&dir.path().join("missing")).unwrap_err();
}

#[test]
fn the_checker_in_another_language_agrees() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify_chain.py");
    let run = |dir: &Path| Command::new("python3").arg(&script).arg(dir).output().unwrap();
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 30, 1000);
    let answer = run(dir.path());
    let verified = verify(dir.path()).unwrap();
    let expected = format!("30 records, {} segments, 1..30, head {}\n", verified.segments, verified.head);
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), expected);
    assert_eq!(answer.status.code(), Some(0));
    let first = segment::path(&dir.path().join("segments"), 1);
    let mut bytes = std::fs::read(&first).unwrap();
    let at = bytes.iter().position(|&b| b == b'x').unwrap();
    bytes[at] = b'y';
    std::fs::write(first, bytes).unwrap();
    assert_eq!(run(dir.path()).status.code(), Some(1));
}
