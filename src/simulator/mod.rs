//! A simulated LLM: an upstream that answers as the vendors do, misbehaves on demand and remembers what it
//! was sent.
//!
//! `portcullis demo` runs it so that a first look needs no account anywhere; the integration tests and the SDK suites
//! run it as their scripted upstream. It is no part of the gate: nothing here judges, and nothing on the request path
//! calls it. Answers are deterministic: no clock, no randomness.
//!
//! What a request gets instead of the plain answer is said by [`Orders`]: queued with [`Simulator::next`], standing
//! with [`Simulator::always`], or carried by the request itself (`"user": "sim:status=503"`) in OpenAI's `user`,
//! Anthropic's `metadata.user_id`, Google's `labels.user` or Amazon's `requestMetadata.user`, since client headers do
//! not pass the gate. Tests in other languages steer it over HTTP under `/sim/` (see `control.rs`).

mod anthropic;
mod ask;
mod azure;
mod bedrock;
mod body;
mod cohere;
mod control;
mod form;
mod framing;
mod google;
mod gzip;
mod ledger;
mod ollama;
mod openai;
mod orders;
mod reply;
mod server;
mod sigv4;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use framing::Framing;
pub use ledger::{Heard, Stats};
pub use orders::{BadOrder, Orders};

use server::State;

/// A running simulated LLM. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Simulator {
    addr: SocketAddr,
    state: Arc<State>,
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl Simulator {
    /// Binds `addr` (port 0 picks a free one) and begins to answer, HTTP/1.1 with keep-alive and HTTP/2 with prior
    /// knowledge.
    ///
    /// Bounded: 2,048 connections, 32 MiB a body, 256 remembered requests of 16 MiB together; beyond them a connection
    /// waits, a body is refused 413 and the oldest memory goes.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(addr: SocketAddr) -> io::Result<Self> {
        let (listener, addr) = server::bind(addr).await?;
        let state = Arc::new(State::default());
        let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(server::accept(listener, Arc::clone(&state), tasks.clone(), ending.clone()));
        Ok(Self { addr, state, tasks, ending })
    }

    /// Answers 401 from now on to what does not carry exactly `key`, in whichever header a vendor's SDK would put it, and
    /// is not signed with it as AWS Signature Version 4 has it.
    #[must_use]
    pub fn expecting_key(self, key: &str) -> Self {
        self.state.expect_key(key);
        self
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as a base URL without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it counted since it began.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.state.ledger.stats()
    }

    /// The last requests, oldest first, at most 256; those to `/sim/` are not among them.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.state.ledger.heard()
    }

    /// Forgets the requests heard so far; the counts stay.
    pub fn forget(&self) {
        self.state.ledger.forget();
    }

    /// Gives the next `times` requests these orders, after what is queued already.
    pub fn next(&self, times: usize, orders: Orders) {
        self.state.queue(times, orders);
    }

    /// Lets the next `times` requests fail with `status`.
    pub fn fail_next(&self, times: usize, status: u16) {
        self.next(times, Orders { status: Some(status), ..Orders::default() });
    }

    /// Gives these orders to every request that has none of its own, in place of the ones that stood.
    pub fn always(&self, orders: Orders) {
        self.state.stand(orders);
    }

    /// Stops accepting, cuts what is in flight and waits until every task has ended.
    ///
    /// Cancel safe: dropped early it has still begun to stop.
    pub async fn stop(&self) {
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Waits until it is stopped from elsewhere; for a command that runs nothing else.
    ///
    /// Cancel safe.
    pub async fn ended(&self) {
        self.ending.cancelled().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}
