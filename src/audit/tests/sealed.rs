//! A sealed call's life and every way it can end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use crate::audit::for_tests::{Fate, Faults, StandIn, faulty_audit, lines, manual};
use crate::audit::sealed::hold;
use crate::audit::verify::verify;
use crate::audit::{End, Outcome};
use crate::breaker::Health;
use crate::call::{Seen, Usage};

fn fates() -> Arc<Mutex<Vec<Fate>>> {
    Arc::default()
}

fn complete(usage: Usage) -> Outcome {
    Outcome {
        end: End::Complete,
        status: Some(200),
        seen: Seen { usage: Some(usage), bytes: 99, finished: true, ..Seen::default() },
        first_byte_after: Some(Duration::from_millis(12)),
        health: Health::Succeeded,
    }
}

#[tokio::test]
async fn a_finished_call_has_a_decision_an_outcome_tokens_and_a_cost() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, fate) = (manual(), fates());
    let audit = faulty_audit(dir.path(), 8, Arc::clone(&clock) as _, &Arc::new(Faults::default()));
    let (held, address) = hold(&audit, StandIn::new(&fate)).await.unwrap();
    assert_eq!(address.sequence, 1);
    assert_eq!(lines(dir.path()).len(), 1, "the decision is there before the call can move");
    clock.advance(Duration::from_millis(345));
    let settled = held.finish(complete(Usage { input: 1000, output: 500, ..Usage::default() }));
    assert_eq!(settled.cost.as_ref().unwrap().amount.to_string(), "0.00045");
    assert_eq!(settled.duration, Duration::from_millis(345));
    assert_eq!(*fate.lock(), [Fate::Closed(Some(1500), Health::Succeeded)]);
    audit.close().await.unwrap();
    let all = lines(dir.path());
    let [decision, outcome] = [0, 1].map(|i| serde_json::from_str::<Value>(&all[i]).unwrap());
    assert_eq!(decision["data"]["action"], "LLM_CALL");
    assert_eq!(decision["data"]["decision"], "allow");
    assert_eq!(decision["data"]["http"]["status"], Value::Null);
    assert_eq!(outcome["type"], "portcullis.outcome.v1");
    assert_eq!(outcome["causationid"], decision["id"]);
    assert_eq!(outcome["correlationid"], decision["correlationid"]);
    let data = &outcome["data"];
    assert_eq!(data["usage"]["input"], 1000);
    assert_eq!(data["usage"]["estimated"], false);
    assert_eq!(data["cost"], serde_json::json!({"amount": "0.00045", "currency": "USD"}));
    assert_eq!((&data["ttft_ms"], &data["duration_ms"]), (&12.into(), &345.into()));
    assert_eq!((&data["end"], &data["status"]), (&"complete".into(), &200.into()));
    assert_eq!((&data["model"], &data["tenant"]), (&"gpt-4o".into(), &"acme".into()));
    let verified = verify(dir.path()).unwrap();
    assert_eq!((verified.outcome_unknown, verified.outcome_without_decision), (0, 0));
}

#[tokio::test]
async fn a_call_that_is_dropped_after_sealing_ends_as_cancelled_and_is_charged_its_input() {
    let dir = tempfile::tempdir().unwrap();
    let fate = fates();
    let audit = faulty_audit(dir.path(), 8, manual(), &Arc::new(Faults::default()));
    drop(hold(&audit, StandIn::new(&fate)).await.unwrap());
    assert_eq!(*fate.lock(), [Fate::Closed(Some(40), Health::Unknown)]);
    audit.close().await.unwrap();
    let all = lines(dir.path());
    assert!(all[1].contains(r#""end":"cancelled""#) && all[1].contains(r#""estimated":true"#));
    assert_eq!(audit.log().free_places(), 8);
}

#[tokio::test]
async fn a_call_that_cannot_be_recorded_gives_everything_back() {
    let dir = tempfile::tempdir().unwrap();
    let fate = fates();
    let audit = faulty_audit(dir.path(), 8, manual(), &Faults::after_writes(0));
    let unsealed = hold(&audit, StandIn::new(&fate)).await.unwrap_err();
    assert_eq!(unsealed.docket().request_id.as_str(), "req-7f3a");
    hold(&audit, StandIn::new(&fate)).await.unwrap_err();
    assert_eq!(*fate.lock(), [Fate::Closed(None, Health::Unknown); 2]);
}

#[tokio::test]
async fn a_decision_that_stays_without_its_outcome_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let fate = fates();
    let audit = faulty_audit(dir.path(), 8, manual(), &Faults::after_writes(1));
    let (held, _) = hold(&audit, StandIn::new(&fate)).await.unwrap();
    let _settled = held.finish(complete(Usage::default()));
    audit.close().await.unwrap_err();
    assert_eq!(audit.log().state().lost, 1);
    let verified = verify(dir.path()).unwrap();
    assert_eq!((verified.outcome_unknown, verified.unknown.as_slice()), (1, &[1][..]));
    assert!(verified.in_progress > 0);
}

/// Drops the future of sealing at each of its awaits: while it waits for room, and while it waits for the disk.
#[tokio::test]
async fn a_client_that_leaves_at_any_await_leaves_no_place_and_no_open_decision_behind() {
    for (room, expected) in [(false, Fate::Dropped), (true, Fate::Closed(Some(0), Health::Unknown))] {
        let dir = tempfile::tempdir().unwrap();
        let fate = fates();
        let faults = Faults::shut();
        let audit = faulty_audit(dir.path(), 2, manual(), &faults);
        let taken = if room { None } else { Some(audit.log().room::<1>(Duration::ZERO).await.unwrap()) };
        {
            let mut sealing = pin!(hold(&audit, StandIn::new(&fate)));
            let mut context = Context::from_waker(Waker::noop());
            assert!(matches!(sealing.as_mut().poll(&mut context), Poll::Pending));
            assert_eq!(*fate.lock(), []);
        }
        assert_eq!(*fate.lock(), [expected]);
        drop(taken);
        faults.release();
        audit.close().await.unwrap();
        assert_eq!(audit.log().free_places(), 2);
        let all = lines(dir.path());
        assert_eq!(all.len(), if room { 2 } else { 0 });
        assert!(all.last().is_none_or(|last| last.contains(r#""end":"cancelled""#)));
        assert_eq!(verify(dir.path()).unwrap().outcome_unknown, 0);
    }
}
