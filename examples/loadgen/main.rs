//! A load generator for HTTP/1.1 with keep-alive: one thread for the connections, one more for the pace.
//!
//! ```text
//! loadgen --url http://127.0.0.1:PORT/PATH --body FILE [--header 'NAME: VALUE']… --conns N
//!         [--rate PER_SECOND] [--warmup SECONDS] [--seconds SECONDS] [--pid PID]
//! ```
//!
//! Without `--rate` it is a closed loop: every connection sends its next request when the last one is answered. With
//! `--rate` it is an open loop: requests are due at fixed times, whatever the answers do, and latency counts from the
//! moment a request was released, the wait for a free connection included. `--pid` names the measured process; the
//! processor time and memory of it and all its descendants are read from `/proc`. Prints one JSON object.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command answers on its terminal")]
#![expect(clippy::disallowed_methods, reason = "it measures the machine's time, not an algorithm's")]

mod connection;
mod process;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinSet, LocalSet};

use connection::{Connection, Target};

/// Most requests that may wait for a connection in an open loop; more are counted as lost.
const BACKLOG: usize = 100_000;

/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Plan {
    target: Target,
    conns: usize,
    rate: Option<f64>,
    warmup: Duration,
    measured: Duration,
    pid: Option<u32>,
}

/// What was seen between warm-up and end.
#[derive(Default)]
struct Seen {
    statuses: BTreeMap<u16, u64>,
    latencies_ns: Vec<u64>,
    first_body_ns: Vec<u64>,
    io_errors: u64,
    timeouts: u64,
    incomplete_streams: u64,
}

fn main() -> ExitCode {
    let plan = match plan(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("loadgen: {why}");
            return ExitCode::from(2);
        }
    };
    let ran = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| why.to_string())
        .and_then(|runtime| LocalSet::new().block_on(&runtime, run(&plan)));
    match ran {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("loadgen: {why}");
            ExitCode::FAILURE
        }
    }
}

fn plan(mut arguments: impl Iterator<Item = String>) -> Result<Plan, String> {
    let (mut url, mut body, mut headers) = (None, Vec::new(), Vec::new());
    let (mut conns, mut rate, mut pid) = (1, None, None);
    let (mut warmup, mut measured) = (1.0, 3.0);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let bad = || format!("`{value}` does not fit {name}");
        match name.as_str() {
            "--url" => url = Some(value),
            "--body" => body = std::fs::read(&value).map_err(|why| format!("{value}: {why}"))?,
            "--header" => headers.push(value),
            "--conns" => conns = value.parse().map_err(|_| bad())?,
            "--rate" => rate = Some(value.parse().ok().filter(|r| (1.0..=1e6).contains(r)).ok_or_else(bad)?),
            "--warmup" => warmup = value.parse().map_err(|_| bad())?,
            "--seconds" => measured = value.parse().map_err(|_| bad())?,
            "--pid" => pid = Some(value.parse().map_err(|_| bad())?),
            _ => return Err(format!("{name} is not known")),
        }
    }
    let seconds = |s: f64| Duration::try_from_secs_f64(s).ok().filter(|d| *d <= Duration::from_mins(10));
    Ok(Plan {
        target: Target::new(&url.ok_or("--url is missing")?, &headers, &body)?,
        conns,
        rate,
        warmup: seconds(warmup).ok_or("--warmup must lie between 0 and 600")?,
        measured: seconds(measured).ok_or("--seconds must lie between 0 and 600")?,
        pid,
    })
}

async fn run(plan: &Plan) -> Result<Value, String> {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let (begin, end) = (Instant::now() + plan.warmup, Instant::now() + plan.warmup + plan.measured);
    let lost = Arc::new(AtomicU64::new(0));
    let pace = plan.rate.map(|rate| Rc::new(Mutex::new(release(rate, begin, end, Arc::clone(&lost)))));
    let mut workers = JoinSet::new();
    for _ in 0..plan.conns {
        workers.spawn_local(work(plan.target.clone(), pace.clone(), Rc::clone(&seen), begin, end));
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = plan.pid.map(process::tree_cpu).transpose()?;
    tokio::time::sleep_until(end.into()).await;
    let after = plan.pid.map(process::tree_cpu).transpose()?;
    let took = begin.elapsed();
    // Read before the stragglers are awaited: an answer that comes later is not counted, nor is its cost.
    let figures = std::mem::take(&mut *seen.borrow_mut());
    workers.shutdown().await;
    let memory = plan.pid.map(process::tree_memory).transpose()?;
    let mut figures = report(plan, figures, took, before.zip(after), memory);
    if let Some(members) = figures.as_object_mut() {
        members.insert("lost".to_owned(), json!(lost.load(Ordering::Relaxed)));
    }
    Ok(figures)
}

/// Releases requests at their fixed times, on a thread of its own, because the runtime's timer ticks in milliseconds.
/// What finds no room in the backlog is counted as lost.
fn release(rate: f64, begin: Instant, end: Instant, lost: Arc<AtomicU64>) -> mpsc::Receiver<Instant> {
    let (due, waiting) = mpsc::channel(BACKLOG);
    let start = Instant::now();
    std::thread::spawn(move || {
        for number in 0_u32.. {
            let at = start + Duration::from_secs_f64(f64::from(number) / rate);
            if at >= end {
                break;
            }
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            // Oversleeping is this thread's fault, not the target's; being far behind is a loaded machine's, and counts.
            let released = Instant::now();
            let counted = if released - at > Duration::from_millis(1) { at } else { released };
            if due.try_send(counted).is_err() && at >= begin {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    waiting
}

type Pace = Option<Rc<Mutex<mpsc::Receiver<Instant>>>>;

async fn work(target: Target, pace: Pace, seen: Rc<RefCell<Seen>>, begin: Instant, end: Instant) {
    let mut open = None;
    while Instant::now() < end {
        let due = match &pace {
            None => Instant::now(),
            Some(pace) => match pace.lock().await.recv().await {
                Some(due) => due,
                None => return,
            },
        };
        let exchange = async {
            let mut connection = match open.take() {
                Some(connection) => connection,
                None => Connection::open(&target).await?,
            };
            let answer = connection.exchange(&target).await?;
            Ok::<_, std::io::Error>((connection, answer))
        };
        let ended = tokio::time::timeout(PATIENCE, exchange).await;
        let now = Instant::now();
        let counts = due >= begin && now <= end;
        let mut seen = seen.borrow_mut();
        match ended {
            Ok(Ok((connection, answer))) => {
                open = answer.keeps_open.then_some(connection);
                if counts {
                    *seen.statuses.entry(answer.status).or_default() += 1;
                    seen.latencies_ns.push(nanos(now - due));
                    if let Some(first) = answer.first_event {
                        seen.first_body_ns.push(nanos(first - due));
                        seen.incomplete_streams += u64::from(!answer.done);
                    }
                }
            }
            Ok(Err(_)) => seen.io_errors += u64::from(counts),
            Err(_) => seen.timeouts += u64::from(counts),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(
    plan: &Plan,
    mut seen: Seen,
    took: Duration,
    cpu: Option<(process::Cpu, process::Cpu)>,
    memory: Option<process::Memory>,
) -> Value {
    let answered: u64 = seen.statuses.values().sum();
    let per_request = |ticks: u64| (answered > 0).then(|| ticks as f64 * process::TICK_US / answered as f64);
    json!({
        "loop": if plan.rate.is_some() { "open" } else { "closed" },
        "seconds": took.as_secs_f64(),
        "answered": answered,
        "per_second": answered as f64 / took.as_secs_f64(),
        "statuses": seen.statuses.iter().map(|(status, n)| (status.to_string(), *n)).collect::<BTreeMap<_, _>>(),
        "io_errors": seen.io_errors,
        "timeouts": seen.timeouts,
        "incomplete_streams": seen.incomplete_streams,
        "latency_us": quantiles(&mut seen.latencies_ns),
        "first_event_us": quantiles(&mut seen.first_body_ns),
        "cpu_us_per_request": cpu.and_then(|(a, b)| per_request(b.user + b.system - a.user - a.system)),
        "user_us_per_request": cpu.and_then(|(a, b)| per_request(b.user - a.user)),
        "system_us_per_request": cpu.and_then(|(a, b)| per_request(b.system - a.system)),
        "rss_kib": memory.map(|m| m.now_kib),
        "rss_peak_kib": memory.map(|m| m.peak_kib),
    })
}

/// The nearest-rank quantiles in microseconds, or null where nothing was seen.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn quantiles(nanos: &mut [u64]) -> Value {
    nanos.sort_unstable();
    let at = |per_mille: usize| {
        let rank = (nanos.len() * per_mille).div_ceil(1000).max(1);
        nanos.get(rank - 1).map(|n| *n as f64 / 1000.0)
    };
    if nanos.is_empty() {
        Value::Null
    } else {
        json!({"p50": at(500), "p90": at(900), "p99": at(990), "p999": at(999)})
    }
}
