//! What the simulator was sent and how often: the assertions of every test that asks "did it reach the upstream?".

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use parking_lot::Mutex;

/// Most requests remembered.
const MOST: usize = 256;

/// Most bytes of bodies remembered.
const MOST_BYTES: usize = 16 << 20;

/// One request as it arrived. Its `Debug` shows no header value and no content.
#[derive(Clone)]
pub struct Heard {
    /// The method.
    pub method: Method,
    /// Path and query as sent.
    pub target: String,
    /// The HTTP version.
    pub version: Version,
    /// The fields as sent; names in lower case.
    pub headers: HeaderMap,
    /// The body's bytes, framing removed.
    pub body: Bytes,
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Requests whose body was read, `/sim/` apart.
    pub requests: u64,
    /// Among them: without the expected key.
    pub unauthorized: u64,
    /// Among them: to a path that is not served.
    pub unknown_paths: u64,
    /// Requests being answered now.
    pub in_flight: u64,
    /// Most that were answered at once.
    pub peak_in_flight: u64,
}

/// The memory and the counters.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    heard: Mutex<VecDeque<Heard>>,
    connections: AtomicU64,
    requests: AtomicU64,
    unauthorized: AtomicU64,
    unknown_paths: AtomicU64,
    in_flight: AtomicU64,
    peak_in_flight: AtomicU64,
}

impl Ledger {
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers a request and gives its number, counted from 1.
    pub(super) fn hear(&self, request: Heard) -> u64 {
        let mut heard = self.heard.lock();
        heard.push_back(request);
        let mut bytes: usize = heard.iter().map(|r| r.body.len()).sum();
        while heard.len() > MOST || bytes > MOST_BYTES {
            let Some(oldest) = heard.pop_front() else { break };
            bytes -= oldest.body.len();
        }
        drop(heard);
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn unauthorized(&self) {
        self.unauthorized.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn unknown_path(&self) {
        self.unknown_paths.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one more answer in flight until the value is dropped.
    pub(super) fn answering(self: &Arc<Self>) -> Answering {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak_in_flight.fetch_max(now, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().iter().cloned().collect()
    }

    pub(super) fn forget(&self) {
        self.heard.lock().clear();
    }

    pub(super) fn stats(&self) -> Stats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Stats {
            connections: read(&self.connections),
            requests: read(&self.requests),
            unauthorized: read(&self.unauthorized),
            unknown_paths: read(&self.unknown_paths),
            in_flight: read(&self.in_flight),
            peak_in_flight: read(&self.peak_in_flight),
        }
    }
}

/// One answer in flight.
#[derive(Debug)]
pub(super) struct Answering(Arc<Ledger>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Heard, Ledger, MOST, MOST_BYTES};
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, Method, Version};

    fn request(target: &str, body_bytes: usize) -> Heard {
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"))]);
        let body = Bytes::from(vec![b'x'; body_bytes]);
        Heard { method: Method::POST, target: target.to_owned(), version: Version::HTTP_11, headers, body }
    }

    #[test]
    fn the_oldest_requests_are_forgotten_first() {
        let ledger = Ledger::default();
        for n in 0..=MOST {
            ledger.hear(request(&format!("/{n}"), 1));
        }
        let heard = ledger.heard();
        assert_eq!((heard.len(), heard[0].target.as_str()), (MOST, "/1"));
        ledger.hear(request("/large", MOST_BYTES));
        assert_eq!(ledger.heard().len(), 1);
        assert_eq!(ledger.stats().requests, MOST as u64 + 2);
    }

    #[test]
    fn the_debug_output_of_a_request_shows_neither_key_nor_content() {
        let shown = format!("{:?}", request("/v1/messages", 3));
        assert!(shown.contains("authorization") && !shown.contains("s3cret") && !shown.contains("xxx"), "{shown}");
    }
}
