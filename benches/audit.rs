//! How many records a second the audit log makes durable, and how long an append waits, for 1 to 128 writers at once
//! with `durability: group`. `AUDIT_BENCH_DIR` names the disk to measure (default: the system's temporary directory).

#![expect(clippy::expect_used, reason = "a bench has nobody to answer to")]

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portcullis::audit::{Action, Audit, Decision, Draft, Log};
use portcullis::clock::{Clock as _, SystemClock};
use portcullis::config::bootstrap::{self, Durability};
use portcullis::docket::{Docket, Resource};
use portcullis::id::{CorrelationId, RequestId, TenantId};
use portcullis::telemetry::Metrics;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

const SETTINGS: bootstrap::Audit = bootstrap::Audit {
    durability: Durability::Group,
    flood_threshold: 200,
    queue: 4096,
    segment_bytes: 64 * 1024 * 1024,
};
const WAIT: Duration = Duration::from_secs(2);

fn disk() -> PathBuf {
    std::env::var_os("AUDIT_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A draft of the usual size of a decision record, about 1.1 KB.
fn draft() -> Draft {
    let before = br#"{"specversion":"1.0","id":"x","type":"t","time":"2026-11-21T07:00:00.000000Z","#.to_vec();
    let split = before.len();
    let after = format!(r#""data":{{"padding":"{}"}}}}"#, "x".repeat(900));
    Draft::new([before, after.into_bytes()].concat(), split)
}

fn docket(clock: &SystemClock) -> Box<Docket> {
    let mut docket = Docket::open(
        RequestId::parse("req-1").expect("a name"),
        CorrelationId::parse("req-1").expect("a name"),
        http::Method::POST,
        clock.moment(),
        clock.utc(),
    );
    docket.tenant = TenantId::parse("acme").ok();
    docket.resource =
        Some(Resource { kind: "model", id: "gpt-4o".to_owned(), version: None, status: None, risk_level: None });
    Box::new(docket)
}

/// Appends `total` records from `writers` tasks at once; collects how long each waited.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
async fn append(log: &Arc<Log>, writers: u64, total: u64, waits: &Arc<Mutex<Vec<Duration>>>) -> Duration {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let (log, waits) = (Arc::clone(log), Arc::clone(waits));
        let mine = total / writers + u64::from(writer < total % writers);
        tasks.spawn(async move {
            let mut own = Vec::new();
            for _ in 0..mine {
                let asked = Instant::now();
                let [place] = log.room(WAIT).await.expect("room");
                black_box(place.write(draft()).await.expect("durable"));
                own.push(asked.elapsed());
            }
            waits.lock().expect("no panic").extend(own);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    start.elapsed()
}

#[expect(clippy::print_stderr, reason = "criterion knows means only; the tail matters here")]
fn report(writers: u64, waits: &Mutex<Vec<Duration>>) {
    let mut all = waits.lock().expect("no panic");
    all.sort_unstable();
    let at = |per_mille: usize| all.get(all.len() * per_mille / 1000).copied().unwrap_or_default();
    let (p50, p99) = (at(500), at(990));
    eprintln!("{writers} writers, {} appends: ack p50 {p50:?}, p99 {p99:?}", all.len());
}

fn appends(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("audit_append");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(3));
    for writers in [1_u64, 8, 32, 128] {
        let dir = tempfile::tempdir_in(disk()).expect("a directory");
        let (log, _) = Log::open(dir.path(), SETTINGS, Arc::new(SystemClock::new())).expect("a log");
        let (log, waits) = (Arc::new(log), Arc::default());
        group.bench_function(BenchmarkId::from_parameter(writers), |bench| {
            bench.iter_custom(|total| runtime.block_on(append(&log, writers, total, &waits)));
        });
        report(writers, &waits);
        runtime.block_on(log.close()).expect("closed");
    }
}

/// The whole way of one record, from docket to answer, without waiting for a disk: own time only.
fn record(criterion: &mut Criterion) {
    let runtime = runtime();
    let dir = tempfile::tempdir_in(disk()).expect("a directory");
    let clock = Arc::new(SystemClock::new());
    let settings = bootstrap::Audit { durability: Durability::Async, ..SETTINGS };
    let (log, _) = Log::open(dir.path(), settings, Arc::clone(&clock) as _).expect("a log");
    let metrics = Arc::new(Metrics::new().expect("families"));
    let audit = Audit::new(log, settings, Arc::clone(&clock) as _, metrics).expect("a room");
    criterion.bench_function("audit_record_queued", |bench| {
        bench.iter_custom(|total| {
            runtime.block_on(async {
                let mut spent = Duration::ZERO;
                for i in 0..total {
                    let docket = docket(&clock);
                    let start = clock.moment();
                    let recorded = audit.answered(docket, Action::Check, Decision::Allow, None, 200).await;
                    spent += clock.moment().since(start);
                    black_box(recorded.expect("queued"));
                    // The queue must not fill up, or its room would be measured.
                    while i % 1024 == 1023 && audit.log().state().queued > 1024 {
                        tokio::task::yield_now().await;
                    }
                }
                spent
            })
        });
    });
    runtime.block_on(audit.close()).expect("closed");
}

criterion_group!(benches, appends, record);
criterion_main!(benches);
