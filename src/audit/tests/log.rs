//! Group commit, failures, the queue's bound, closing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::audit::for_tests::{Faults, draft, faulty_log, lines, manual, settings, system};
use crate::audit::verify::verify;
use crate::audit::{Log, LogState, OpenFault, Unavailable};
use crate::config::bootstrap::{Audit, Durability};

const SOON: Duration = Duration::from_secs(5);

async fn append(log: &Log, n: u64) -> Result<u64, Unavailable> {
    let [place] = log.room(SOON).await?;
    place.write(draft(n)).await.map(|address| address.sequence)
}

#[tokio::test]
async fn records_stand_in_the_order_in_which_they_were_queued() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::shut();
    let log = faulty_log(dir.path(), settings(Durability::Group, 64), system(), &faults);
    let mut answers = Vec::new();
    for n in 0..20 {
        let [place] = log.room(SOON).await.unwrap();
        answers.push(place.write(draft(n)));
    }
    assert_eq!(log.state(), LogState { queued: 20, durable: 0, failed: false, lost: 0 });
    faults.release();
    for (answer, n) in answers.into_iter().zip(1_u64..) {
        let address = answer.await.unwrap();
        assert_eq!(address.sequence, n);
        assert_eq!(address.to_string(), format!("{}#{n}", log.origin()));
    }
    // The first may have been taken alone, all others went in one write.
    assert!(faults.writes.load(Ordering::SeqCst) <= 2);
    assert_eq!(faults.writes.load(Ordering::SeqCst), faults.syncs.load(Ordering::SeqCst));
    log.close().await.unwrap();
    let all = lines(dir.path());
    assert!((0..20).all(|n| all[n].contains(&format!(r#""data":{{"n":{n},"#))));
    assert_eq!(verify(dir.path()).unwrap().records, 20);
}

#[tokio::test]
async fn with_sync_every_record_has_a_sync_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::shut();
    let log = faulty_log(dir.path(), settings(Durability::Sync, 64), system(), &faults);
    for n in 0..10 {
        let [place] = log.room(SOON).await.unwrap();
        place.post(draft(n));
    }
    faults.release();
    log.close().await.unwrap();
    assert_eq!(faults.syncs.load(Ordering::SeqCst), 10);
}

#[tokio::test]
async fn with_async_the_answer_comes_before_the_disk_and_the_risk_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::shut();
    let log = faulty_log(dir.path(), settings(Durability::Async, 64), system(), &faults);
    assert_eq!(append(&log, 1).await, Ok(1));
    assert_eq!(append(&log, 2).await, Ok(2));
    assert_eq!(log.state().queued, 2);
    faults.release();
    log.close().await.unwrap();
    assert_eq!(log.state(), LogState { queued: 0, durable: 2, failed: false, lost: 0 });
}

#[tokio::test]
async fn nothing_is_answered_before_it_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::shut();
    let log = faulty_log(dir.path(), settings(Durability::Group, 64), system(), &faults);
    let [place] = log.room(SOON).await.unwrap();
    let mut answer = Box::pin(place.write(draft(1)));
    let early = tokio::time::timeout(Duration::from_millis(20), answer.as_mut()).await;
    assert!(early.is_err() && lines(dir.path()).is_empty());
    faults.release();
    answer.await.unwrap();
    assert_eq!(lines(dir.path()).len(), 1);
}

#[tokio::test]
async fn a_full_queue_answers_unavailable_at_the_deadline_and_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::shut();
    let log = faulty_log(dir.path(), settings(Durability::Group, 3), system(), &faults);
    let [one, two] = log.room(SOON).await.unwrap();
    one.post(draft(1));
    assert_eq!(log.room::<2>(Duration::from_millis(5)).await.unwrap_err(), Unavailable);
    let [three] = log.room::<1>(Duration::ZERO).await.unwrap();
    drop((two, three));
    assert_eq!(log.free_places(), 2);
    faults.release();
    log.close().await.unwrap();
    assert_eq!(log.free_places(), 3);
}

#[tokio::test]
async fn a_caller_that_waits_for_room_gets_it_when_the_writer_has_synced() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::shut();
    let log = faulty_log(dir.path(), settings(Durability::Group, 1), system(), &faults);
    let [place] = log.room(SOON).await.unwrap();
    place.post(draft(1));
    let (second, ()) = tokio::join!(append(&log, 2), async { faults.release() });
    assert_eq!(second, Ok(2));
}

#[tokio::test]
async fn a_failed_write_ends_the_log_and_what_was_acknowledged_is_there() {
    for failing_write in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::after_writes(failing_write);
        let log = faulty_log(dir.path(), settings(Durability::Group, 64), system(), &faults);
        let mut acknowledged = Vec::new();
        for n in 1..=6 {
            acknowledged.extend(append(&log, n).await.ok());
        }
        assert_eq!(acknowledged.len(), usize::try_from(failing_write).unwrap());
        assert!(log.has_failed() && log.state().lost > 0);
        assert_eq!(faults.writes.load(Ordering::SeqCst), failing_write + 1, "a failed device is not tried again");
        assert_eq!(log.close().await, Err(Unavailable));
        drop(log);
        let (log, opened) = Log::open(dir.path(), settings(Durability::Group, 64), system()).unwrap();
        assert_eq!(opened.torn.len(), 1);
        assert_eq!(opened.torn[0].complete_lines, 0);
        assert_eq!(append(&log, 9).await, Ok(u64::from(failing_write) + 2));
        log.close().await.unwrap();
        assert_eq!(verify(dir.path()).unwrap().records, u64::from(failing_write) + 2);
    }
}

#[tokio::test]
async fn a_failed_sync_ends_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::after_writes(100);
    let log = faulty_log(dir.path(), settings(Durability::Group, 64), system(), &faults);
    assert_eq!(append(&log, 1).await, Ok(1));
    faults.sync_fails.store(true, Ordering::SeqCst);
    assert_eq!(append(&log, 2).await, Err(Unavailable));
    faults.sync_fails.store(false, Ordering::SeqCst);
    assert_eq!(append(&log, 3).await, Err(Unavailable));
    assert_eq!(faults.writes.load(Ordering::SeqCst), 2);
    assert_eq!(log.room::<1>(SOON).await.unwrap_err(), Unavailable);
}

#[tokio::test]
async fn everyone_in_the_queue_of_a_failing_log_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::after_writes(0);
    let log = faulty_log(dir.path(), settings(Durability::Group, 64), system(), &faults);
    let places = log.room::<10>(SOON).await.unwrap();
    let answers: Vec<_> = places.into_iter().map(|place| place.write(draft(1))).collect();
    for answer in answers {
        assert_eq!(answer.await, Err(Unavailable));
    }
}

#[tokio::test]
async fn a_writer_that_dies_ends_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let log = faulty_log(dir.path(), settings(Durability::Group, 64), system(), &faults);
    faults.panics.store(true, Ordering::SeqCst);
    assert_eq!(append(&log, 1).await, Err(Unavailable));
    assert!(log.has_failed());
}

#[tokio::test]
async fn a_segment_that_cannot_be_created_ends_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let narrow = Audit { segment_bytes: 1, ..settings(Durability::Group, 64) };
    let (log, _) = Log::open(dir.path(), narrow, system()).unwrap();
    assert_eq!(append(&log, 1).await, Ok(1));
    std::fs::create_dir(dir.path().join("segments/00000000000000000002.jsonl")).unwrap();
    assert_eq!(append(&log, 2).await, Err(Unavailable));
}

#[tokio::test]
async fn closing_writes_what_is_queued_and_takes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (log, opened) = Log::open(dir.path(), settings(Durability::Group, 64), system()).unwrap();
    assert_eq!((opened.next, opened.torn.len()), (1, 0));
    let [one, two] = log.room(SOON).await.unwrap();
    one.post(draft(1));
    log.close().await.unwrap();
    log.close().await.unwrap();
    two.post(draft(2));
    assert_eq!(log.state(), LogState { queued: 0, durable: 1, failed: false, lost: 1 });
    assert_eq!(append(&log, 3).await, Err(Unavailable));
    drop(log);
    let (_log, again) = Log::open(dir.path(), settings(Durability::Group, 64), system()).unwrap();
    assert_eq!((again.next, again.origin), (2, opened.origin));
}

#[tokio::test]
async fn a_log_has_one_writer_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), settings(Durability::Group, 64), system()).unwrap();
    let second = Log::open(dir.path(), settings(Durability::Group, 64), system()).unwrap_err();
    assert!(matches!(second, OpenFault::Locked { .. }));
    assert!(second.to_string().contains(&dir.path().display().to_string()));
    log.close().await.unwrap();
    Log::open(dir.path(), settings(Durability::Group, 64), system()).unwrap();
}

#[test]
fn a_directory_that_cannot_be_written_is_one_clear_fault() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state");
    std::fs::write(&file, "").unwrap();
    let fault = Log::open(&file.join("audit"), settings(Durability::Group, 64), system()).unwrap_err();
    assert!(matches!(fault, OpenFault::Unwritable { .. }), "{fault}");
}

#[test]
fn files_are_for_this_user_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let audit = dir.path().join("var/audit");
    let (_log, _) = Log::open(&audit, settings(Durability::Group, 64), system()).unwrap();
    let mode = |name: &str| std::fs::metadata(audit.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("../../var"), mode("."), mode("segments")), (0o700, 0o700, 0o700));
    assert_eq!((mode("lock"), mode("origin"), mode("segments/00000000000000000001.jsonl")), (0o600, 0o600, 0o600));
}

#[tokio::test]
async fn a_segment_is_closed_at_its_size_and_at_midnight() {
    let dir = tempfile::tempdir().unwrap();
    let clock = manual();
    let narrow = Audit { segment_bytes: 400, ..settings(Durability::Group, 64) };
    let (log, _) = Log::open(dir.path(), narrow, Arc::clone(&clock) as _).unwrap();
    for n in 0..5 {
        append(&log, n).await.unwrap();
    }
    let names = || {
        let mut all: Vec<_> =
            std::fs::read_dir(dir.path().join("segments")).unwrap().collect::<Result<_, _>>().unwrap();
        all.sort_by_key(std::fs::DirEntry::file_name);
        all.into_iter().map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let before = names();
    assert!(before.len() >= 2 && before[0] == "00000000000000000001.jsonl", "{before:?}");
    clock.advance(Duration::from_hours(24));
    append(&log, 5).await.unwrap();
    assert_eq!(names().last().unwrap(), "00000000000000000006.jsonl");
    log.close().await.unwrap();
    let verified = verify(dir.path()).unwrap();
    assert_eq!((verified.records, verified.first, verified.last), (6, 1, 6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_at_once_get_each_its_own_place_in_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), settings(Durability::Group, 16), system()).unwrap();
    let log = Arc::new(log);
    let tasks = tokio_util::task::TaskTracker::new();
    let handles: Vec<_> = (0..32)
        .map(|_| {
            let log = Arc::clone(&log);
            tasks.spawn(async move {
                let mut mine = Vec::new();
                for n in 0..10 {
                    mine.push(append(&log, n).await.unwrap());
                }
                mine
            })
        })
        .collect();
    let mut all = Vec::new();
    for handle in handles {
        all.extend(handle.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (1..=320).collect::<Vec<_>>());
    log.close().await.unwrap();
    assert_eq!(verify(dir.path()).unwrap().records, 320);
    assert_eq!(log.free_places(), 16);
}

#[tokio::test]
async fn a_draft_that_would_make_too_long_a_line_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), settings(Durability::Group, 2), system()).unwrap();
    let [place] = log.room(SOON).await.unwrap();
    let too_much = crate::audit::Draft::new(vec![b'x'; 60 * 1024], 1);
    assert_eq!(place.write(too_much).await, Err(Unavailable));
    assert_eq!(log.free_places(), 2);
    assert_eq!(append(&log, 1).await, Ok(1));
}
