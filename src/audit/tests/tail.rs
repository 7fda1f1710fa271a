//! The last records, and the next ones across rotation.

use std::io::Write as _;
use std::path::Path;

use crate::audit::for_tests::small_log;
use crate::audit::segment;
use crate::audit::tail::{Filter, Tail};

fn append(dir: &Path, first: u64, text: &str) {
    let path = segment::path(&dir.join("segments"), first);
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn the_last_records_come_in_order_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 9, 300);
    let (last, _) = Tail::open(dir.path(), 4, Filter::default()).unwrap();
    let numbers: Vec<_> = last.iter().map(|entry| entry.number("/data/n").unwrap()).collect();
    assert_eq!(numbers, [5, 6, 7, 8]);
    let (none, _) = Tail::open(dir.path(), 0, Filter::default()).unwrap();
    assert!(none.is_empty());
    let (all, _) = Tail::open(dir.path(), 100, Filter::default()).unwrap();
    assert_eq!(all.len(), 9);
}

#[test]
fn new_records_are_followed_across_rotation_and_only_when_whole() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("segments")).unwrap();
    append(dir.path(), 1, "{\"tenantid\":\"a\",\"data\":{\"n\":1}}\n");
    let (shown, mut tail) = Tail::open(dir.path(), 5, Filter::default()).unwrap();
    assert_eq!(shown.len(), 1);
    append(dir.path(), 1, "{\"tenantid\":\"a\",");
    assert_eq!(tail.poll().unwrap(), []);
    append(dir.path(), 1, "\"data\":{\"n\":2}}\n{\"data\":{\"n\":3}}\n");
    append(dir.path(), 4, "{\"data\":{\"n\":4}}\n");
    append(dir.path(), 5, "{\"data\":{\"n\":5}}\n");
    let numbers: Vec<_> = tail.poll().unwrap().iter().map(|entry| entry.number("/data/n").unwrap()).collect();
    assert_eq!(numbers, [2, 3, 4, 5]);
    assert_eq!(tail.poll().unwrap(), []);
}

#[test]
fn a_filter_shows_only_what_it_names() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("segments")).unwrap();
    for (tenant, code, time) in [("a", "rule_denied", "07"), ("b", "rule_denied", "08"), ("a", "request_limit", "09")] {
        let line = format!(
            r#"{{"time":"2026-11-21T{time}:00:00.000000Z","tenantid":"{tenant}","data":{{"reason":{{"code":"{code}"}}}}}}"#
        );
        append(dir.path(), 1, &(line + "\n"));
    }
    let count = |filter: Filter| Tail::open(dir.path(), 10, filter).unwrap().0.len();
    assert_eq!(count(Filter { tenant: Some("a".to_owned()), ..Filter::default() }), 2);
    assert_eq!(count(Filter { reason: Some("rule_denied".to_owned()), ..Filter::default() }), 2);
    assert_eq!(count(Filter { since: Some("2026-11-21T08:00:00Z".parse().unwrap()), ..Filter::default() }), 2);
    assert_eq!(count(Filter { until: Some("2026-11-21T08:00:00Z".parse().unwrap()), ..Filter::default() }), 1);
    assert_eq!(count(Filter { action: Some("LIST".to_owned()), ..Filter::default() }), 0);
}

#[test]
fn what_is_shown_has_columns_and_no_control_characters() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("segments")).unwrap();
    append(
        dir.path(),
        1,
        concat!(
            r#"{"time":"2026-11-21T07:00:01.123456Z","tenantid":"ac\u001b[31mme","data":{"action":"LLM_CALL","#,
            r#""decision":"allow","resource":{"id":"gpt-4o"},"http":{"status":null},"risk":{"score":7},"request_id":"r-1"}}"#,
            "\n"
        ),
    );
    let (shown, _) = Tail::open(dir.path(), 1, Filter::default()).unwrap();
    let pretty = shown[0].pretty();
    let words: Vec<_> = pretty.split_whitespace().collect();
    assert_eq!(words, ["2026-11-21T07:00:01.123456Z", "ac?[31mme", "gpt-4o", "LLM_CALL", "allow", "-", "7", "r-1"]);
}
