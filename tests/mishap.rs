//! A defect of the gate's own: the call that meets it is answered 500 and recorded, and nothing else notices.
//!
//! The fault is injected from outside, through the clock that the gate is given: it panics at the reading it is told to.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's helpers fail the test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::ThreadId;

use chrono::{DateTime, Utc};
use portcullis::app::App;
use portcullis::clock::{Clock, Moment, SystemClock};
use portcullis::config::bootstrap::Config;
use portcullis::id::Digest;
use serde_json::Value;
use support::wire::{Line, Upstream, post};
use support::{ACME, CHAT, eventually, is, policy_directory, records};

const BODY: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}"#;
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// A clock that stops at one of its readings, counted down from when it is told.
#[derive(Debug)]
struct Faulty {
    clock: SystemClock,
    left: AtomicI64,
    /// The gate's event loop is the test's; the audit log's writer has a thread of its own.
    thread: ThreadId,
}

impl Faulty {
    fn read(&self) {
        let here = std::thread::current().id() == self.thread;
        assert!(!(here && self.left.fetch_sub(1, Ordering::SeqCst) == 1), "secret content of a call");
    }
}

impl Clock for Faulty {
    fn moment(&self) -> Moment {
        self.read();
        self.clock.moment()
    }

    fn utc(&self) -> DateTime<Utc> {
        self.read();
        self.clock.utc()
    }
}

#[tokio::test]
async fn a_panic_anywhere_in_an_exchange_is_a_500_with_one_record_and_harms_nobody_else() {
    let upstream = Upstream::open().await;
    let dir = policy_directory(&upstream.url());
    let text = |name: &str| match name {
        "DIR" => Some(dir.path().display().to_string()),
        "PORT" | "ADMIN_PORT" => Some("0".to_owned()),
        _ => None,
    };
    let config = Config::load(&dir.path().join("portcullis.yaml"), &text, std::iter::empty())
        .unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    let clock =
        Arc::new(Faulty { clock: SystemClock::new(), left: AtomicI64::new(0), thread: std::thread::current().id() });
    let given: Arc<Faulty> = Arc::clone(&clock);
    let app = App::start(config, Digest::of(b"test"), given).await.unwrap();
    let audit = dir.path().join("var/audit");
    let of_call = |name: &str| -> Vec<Value> {
        records(&audit).into_iter().filter(|record| record["correlationid"] == name).collect()
    };

    let (mut failed, mut passed) = (0, 0);
    for reading in 1..40 {
        let name = format!("call-{reading}");
        let mut client = Line::open(app.listen()).await;
        clock.left.store(reading, Ordering::SeqCst);
        client.say(post(CHAT, ACME, &format!("x-request-id: {name}\r\n"), BODY)).await;
        let head = tokio::select! {
            head = client.head() => head,
            (mut line, _, _) = upstream.called() => {
                clock.left.store(0, Ordering::SeqCst);
                line.say(ANSWER).await;
                passed += 1;
                client.head().await
            }
        };
        clock.left.store(0, Ordering::SeqCst);
        if head.starts_with("http/1.1 200") {
            assert!(passed > 0, "{head}");
            if passed > 2 {
                break;
            }
            continue;
        }
        assert!(head.starts_with("http/1.1 500"), "{reading}: {head}");
        failed += 1;
        // Only when the head itself could not be taken is there nothing to record.
        if !head.contains("x-portcullis-reason: internal") {
            continue;
        }
        let body = String::from_utf8(client.rest().await).unwrap();
        assert!(body.contains("\"code\":\"internal\"") && !body.contains("secret"), "{body}");
        let decisions = eventually("its decision is recorded", async || {
            let found: Vec<Value> = of_call(&name).into_iter().filter(|record| is(record, "decision")).collect();
            (!found.is_empty()).then_some(found)
        })
        .await;
        let (calls, others): (Vec<_>, Vec<_>) =
            decisions.iter().partition(|decision| decision["data"]["action"] == "LLM_CALL");
        assert!(calls.len() <= 1 && others.len() <= 1, "{decisions:?}");
        for other in others {
            assert_eq!(other["data"]["reason"]["code"], "internal", "{other}");
            assert_eq!(other["data"]["action"], "UNAVAILABLE", "{other}");
        }
    }
    assert!(failed >= 3 && passed >= 2, "{failed} readings failed, {passed} calls passed");
    // The gate is whole: the same key and a new connection.
    let mut client = Line::open(app.listen()).await;
    client.say(post(CHAT, ACME, "", BODY)).await;
    let (mut line, _, _) = upstream.called().await;
    line.say(ANSWER).await;
    assert!(client.head().await.starts_with("http/1.1 200"));
    app.shutdown().await;
    let all = records(&audit);
    let calls = all.iter().filter(|record| record["data"]["action"] == "LLM_CALL");
    for call in calls {
        let ends = all.iter().filter(|record| is(record, "outcome") && record["causationid"] == call["id"]).count();
        assert_eq!(ends, 1, "{call}");
    }
}
