//! A real process that is killed, and a real disk that is full: what was acknowledged is there after the next start.
//!
//! The process is this test binary, run again with only the first test below, told by a variable that it is the child.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::audit::for_tests::{draft, settings, system};
use crate::audit::verify::verify;
use crate::audit::{Log, Unavailable};
use crate::config::bootstrap::Durability;

const CHILD: &str = "audit::tests::crash::what_was_acknowledged_before_a_kill_is_there_after_it";
const IS_CHILD: &str = "PORTCULLIS_TEST_APPENDS";

/// The child: appends with eight writers and says each acknowledged sequence; ends with `failed` when the log does.
async fn append_until_ended() {
    let (log, _) = Log::open(Path::new("."), settings(Durability::Group, 64), system()).unwrap();
    let log = Arc::new(log);
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let log = Arc::clone(&log);
        writers.spawn(async move {
            loop {
                let [place] = log.room(Duration::from_secs(2)).await?;
                let address = place.write(draft(n * 7)).await?;
                writeln!(std::io::stdout(), "acknowledged {}", address.sequence).unwrap();
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        let ended: Result<(), Unavailable> = ended.unwrap();
        assert_eq!(ended, Err(Unavailable));
    }
    writeln!(std::io::stdout(), "failed").unwrap();
}

/// Runs the child in `dir` after `before` in a shell; kills it when it has acknowledged `enough`. Gives the highest
/// acknowledged sequence, and whether its log failed.
fn run_child(dir: &Path, before: &str, enough: usize) -> (u64, bool) {
    let binary = std::env::current_exe().unwrap();
    let script = format!("{before} exec '{}' --exact --nocapture {CHILD}", binary.display());
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", &script]).env(IS_CHILD, "1").current_dir(dir).stdout(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    let (mut highest, mut count, mut failed) = (0, 0, false);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        failed |= line == "failed";
        if let Some(sequence) = line.strip_prefix("acknowledged ") {
            highest = highest.max(sequence.parse().unwrap());
            count += 1;
        }
        if count == enough {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    (highest, failed)
}

fn start_again(dir: &Path) -> u64 {
    let (log, opened) = Log::open(dir, settings(Durability::Group, 64), system()).unwrap();
    drop(log);
    std::fs::File::open(dir.join("lock")).unwrap().lock().unwrap();
    let verified = verify(dir).unwrap();
    assert_eq!((verified.in_progress, verified.last + 1), (0, opened.next));
    // The records of torn tails take up sequences too; what was acknowledged lies before them.
    verified.last - u64::try_from(opened.torn.len()).unwrap()
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    if std::env::var_os(IS_CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(append_until_ended());
    }
    let dir = tempfile::tempdir().unwrap();
    for enough in [1, 13, 40, 90, 200] {
        let (acknowledged, failed) = run_child(dir.path(), "", enough);
        assert!(acknowledged > 0 && !failed);
        let recovered = start_again(dir.path());
        assert!(acknowledged <= recovered, "{acknowledged} was acknowledged, {recovered} is there");
    }
}

#[test]
fn on_a_full_disk_the_log_fails_and_what_was_acknowledged_is_there() {
    let dir = tempfile::tempdir().unwrap();
    // Writes beyond the limit fail with EFBIG after a part of them landed, like those on a full disk.
    let (acknowledged, failed) = run_child(dir.path(), "trap '' XFSZ; ulimit -f 33;", usize::MAX);
    assert!(failed && acknowledged > 50, "{acknowledged}");
    let recovered = start_again(dir.path());
    assert!(acknowledged <= recovered, "{acknowledged} was acknowledged, {recovered} is there");
}
