//! Connecting to an upstream within its limit, TLS included.
//!
//! hyper's own connect limit ends with the TCP connection; a peer that accepts and then never finishes the handshake
//! would hold a call until the limit of the first byte.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use tower_service::Service;

/// A connector that gives up after `limit`.
#[derive(Debug, Clone)]
pub(super) struct Timely<C> {
    connector: C,
    limit: Duration,
}

impl<C> Timely<C> {
    pub(super) const fn new(connector: C, limit: Duration) -> Self {
        Self { connector, limit }
    }
}

impl<C> Service<Uri> for Timely<C>
where
    C: Service<Uri, Error = Box<dyn Error + Send + Sync>>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, C::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connected = tokio::time::timeout(self.limit, self.connector.call(target));
        Box::pin(async move { connected.await? })
    }
}
