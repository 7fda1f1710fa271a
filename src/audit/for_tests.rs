//! What this room's tests share: a full docket, settings, a log with faults and gates in front of its device, and a
//! stand-in for the passage.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use parking_lot::{Condvar, Mutex};

use super::chain::Link;
use super::directory;
use super::log::Log;
use super::recovery;
use super::sealed::Carried;
use super::segment::{Device, Segments};
use super::writer::{Draft, Writer};
use super::{Audit, segment};
use crate::breaker::Health;
use crate::clock::{ManualClock, Moment, SharedClock, SystemClock};
use crate::config::bootstrap::{self, Durability};
use crate::config::policy::Price;
use crate::docket::{Actor, Binding, CheckVerdict, Checks, Docket, PromptUse, Resource, Role};
use crate::id::{CorrelationId, Digest, KeyId, PromptId, RequestId, Revision, TenantId, UpstreamId};
use crate::speech::{Dialect, Operation};
use crate::telemetry::Metrics;

pub(super) fn system() -> SharedClock {
    Arc::new(SystemClock::new())
}

pub(super) fn manual() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-11-21T07:00:01.123456Z".parse().unwrap()))
}

pub(super) const fn settings(durability: Durability, queue: usize) -> bootstrap::Audit {
    bootstrap::Audit { durability, flood_threshold: 200, queue, segment_bytes: 64 * 1024 * 1024 }
}

/// A draft that tells itself apart by `n`.
pub(super) fn draft(n: u64) -> Draft {
    let before = format!(r#"{{"id":"{n}","type":"t","time":"2026-11-21T07:00:00.000000Z","#);
    let after = format!(r#""data":{{"n":{n},"padding":"{}"}}}}"#, "x".repeat(usize::try_from(n % 97).unwrap()));
    let split = before.len();
    Draft::new((before + &after).into_bytes(), split)
}

/// A docket with something in most of its fields.
pub(super) fn docket() -> Box<Docket> {
    let at: DateTime<Utc> = "2026-11-21T07:00:01.123456Z".parse().unwrap();
    let mut docket = Docket::open(
        RequestId::parse("req-7f3a").unwrap(),
        CorrelationId::parse("corr-1").unwrap(),
        http::Method::POST,
        Moment::default(),
        at,
    );
    docket.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    docket.dialect = Dialect::OpenAi;
    docket.operation = Some(Operation::Chat);
    docket.route = Some("/v1/chat/completions");
    docket.bytes_in = 512;
    docket.actor = Actor::ApiKey { id: KeyId::parse("k1").unwrap(), roles: Arc::from([Role::Client]) };
    docket.tenant = Some(TenantId::parse("acme").unwrap());
    docket.registry = Some((Revision(1187), Digest([7; 32])));
    docket.checks = Checks { identity: CheckVerdict::Pass, model: CheckVerdict::Block, ..Checks::default() };
    docket.resource = Some(Resource {
        kind: "model",
        id: "gpt-4o".to_owned(),
        version: Some("2024-08-06".to_owned()),
        status: Some("pending"),
        risk_level: Some("limited"),
    });
    docket.prompt =
        Some(PromptUse { id: PromptId::parse("support-triage").unwrap(), version: 3, binding: Binding::Matched });
    docket.upstream = Some(UpstreamId::parse("openai").unwrap());
    docket.max_tokens = Some(800);
    docket.risk.score = 20;
    docket.risk.findings.insert("email_address", 2);
    docket.facts.insert("intent", serde_json::json!("triage"));
    Box::new(docket)
}

/// What a [`Faulty`] device does; shared with the test.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Writes that still succeed; what fails then leaves half of its bytes behind.
    pub(super) writes_left: Option<AtomicU32>,
    /// Whether syncs fail.
    pub(super) sync_fails: AtomicBool,
    /// Whether the device panics.
    pub(super) panics: AtomicBool,
    shut: Mutex<bool>,
    gate: Condvar,
    /// Syncs so far.
    pub(super) syncs: AtomicU32,
    /// Writes so far.
    pub(super) writes: AtomicU32,
}

impl Faults {
    pub(super) fn after_writes(writes: u32) -> Arc<Self> {
        Arc::new(Self { writes_left: Some(AtomicU32::new(writes)), ..Self::default() })
    }

    /// Nothing gets through until [`Faults::release`].
    pub(super) fn shut() -> Arc<Self> {
        Arc::new(Self { shut: Mutex::new(true), ..Self::default() })
    }

    pub(super) fn release(&self) {
        *self.shut.lock() = false;
        self.gate.notify_all();
    }
}

/// Real segments behind faults and a gate.
pub(super) struct Faulty {
    inner: Segments,
    faults: Arc<Faults>,
}

impl Device for Faulty {
    fn ready(&mut self, next: u64, now: DateTime<Utc>) -> io::Result<()> {
        assert!(!self.faults.panics.load(Ordering::SeqCst), "a device that panics");
        self.inner.ready(next, now)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut shut = self.faults.shut.lock();
        while *shut {
            self.faults.gate.wait(&mut shut);
        }
        drop(shut);
        self.faults.writes.fetch_add(1, Ordering::SeqCst);
        let left = self.faults.writes_left.as_ref();
        if left.is_some_and(|left| left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_err())
        {
            self.inner.append(&bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.faults.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("sync"));
        }
        self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        self.inner.sync()
    }
}

/// A log in `dir` whose device does as `faults` says.
pub(super) fn faulty_log(dir: &Path, settings: bootstrap::Audit, clock: SharedClock, faults: &Arc<Faults>) -> Log {
    let home = directory::enter(dir).unwrap();
    let end = recovery::recover(&home.segments, settings.segment_bytes).unwrap();
    let device = Faulty { inner: end.segments, faults: Arc::clone(faults) };
    let writer = Writer::new(device, Arc::clone(&clock), end.next, end.link);
    Log::start(home.origin, writer, settings, clock, home.lock).unwrap()
}

/// An audit room over such a log.
pub(super) fn faulty_audit(dir: &Path, queue: usize, clock: SharedClock, faults: &Arc<Faults>) -> Arc<Audit> {
    let settings = settings(Durability::Group, queue);
    Audit::new(
        faulty_log(dir, settings, Arc::clone(&clock), faults),
        settings,
        clock,
        Arc::new(Metrics::new().unwrap()),
    )
    .unwrap()
}

/// All lines of all segments of an audit directory.
pub(super) fn lines(dir: &Path) -> Vec<String> {
    let segments = dir.join("segments");
    let firsts = segment::list(&segments).unwrap();
    let texts = firsts.iter().map(|&first| std::fs::read_to_string(segment::path(&segments, first)).unwrap());
    texts.flat_map(|text| text.lines().map(ToOwned::to_owned).collect::<Vec<_>>()).collect()
}

/// Writes a well-formed log of `records` into `dir`, in segments of about `segment_bytes`.
pub(super) fn small_log(dir: &Path, records: u64, segment_bytes: u64) {
    let home = directory::enter(dir).unwrap();
    let end = recovery::recover(&home.segments, segment_bytes).unwrap();
    let mut writer = Writer::new(end.segments, manual(), end.next, end.link);
    let drafts: Vec<_> = (0..records).map(draft).collect();
    // One write each where a test may count segments, few where it wants many records.
    for group in drafts.chunks(if records < 100 { 1 } else { 500 }) {
        writer.commit(group.iter()).unwrap();
    }
    assert!(end.next > 1 || end.link == Link::FIRST);
}

/// How a stand-in passage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody closed it: its own guards free everything.
    Dropped,
    /// Closed with these tokens.
    Closed(Option<u64>, Health),
}

/// Stands in for a passage and tells what became of it.
#[derive(Debug)]
pub(super) struct StandIn {
    docket: Option<Box<Docket>>,
    price: Price,
    fate: Arc<Mutex<Vec<Fate>>>,
}

impl StandIn {
    pub(super) fn new(fate: &Arc<Mutex<Vec<Fate>>>) -> Self {
        let price = Price {
            currency: "USD".to_owned(),
            input_per_million: "0.15".parse().unwrap(),
            output_per_million: "0.60".parse().unwrap(),
        };
        Self { docket: Some(docket()), price, fate: Arc::clone(fate) }
    }
}

impl Carried for StandIn {
    fn docket(&self) -> &Docket {
        self.docket.as_ref().unwrap()
    }

    fn input_estimate(&self) -> u64 {
        40
    }

    fn later_output(&self) -> Option<u64> {
        None
    }

    fn price(&self) -> Option<&Price> {
        Some(&self.price)
    }

    fn close(mut self, tokens: Option<u64>, health: Health) -> Box<Docket> {
        self.fate.lock().push(Fate::Closed(tokens, health));
        self.docket.take().unwrap()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if self.docket.is_some() {
            self.fate.lock().push(Fate::Dropped);
        }
    }
}
