//! Opening a connection to an upstream within its limit, TLS included.
//!
//! Resolving, racing address families and the TLS handshake are hyper-util's and hyper-rustls's. Their connect limit
//! ends with the TCP connection; a peer that accepts and then never finishes the handshake would hold a call until the
//! limit of the first byte.

use std::error::Error;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper::rt::Executor as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::link::Link;

/// What a connection goes over.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A sender of an HTTP/2 connection; all of its calls have one each.
pub(super) type Shared = http2::SendRequest<Full<Bytes>>;

type Fault = Box<dyn Error + Send + Sync>;

/// The way to one upstream.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    way: Way,
    url: Uri,
    limit: Duration,
}

#[derive(Debug, Clone)]
enum Way {
    Plain(HttpConnector),
    Tls(HttpsConnector<HttpConnector>),
}

/// A new connection.
#[derive(Debug)]
pub(super) enum Opened {
    /// HTTP/1: one call at a time, driven by that call.
    Link(Box<Link>),
    /// HTTP/2: many calls, driven by a task that ends with the last sender and stream.
    Shared(Shared),
}

impl Connector {
    /// The way to `url`, with TLS where there is a config for it. Nothing is opened yet.
    pub(super) fn new(url: Uri, tls: Option<ClientConfig>, limit: Duration) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.set_connect_timeout(Some(limit));
        let way = match tls {
            None => Way::Plain(http),
            Some(config) => {
                http.enforce_http(false);
                let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
                Way::Tls(builder.enable_all_versions().wrap_connector(http))
            }
        };
        Self { way, url, limit }
    }

    /// Opens a connection. Dropping the future drops it.
    ///
    /// # Errors
    /// What the system, the peer or the TLS library says, or that it took too long. No byte of a request was sent.
    pub(super) async fn open(&self) -> Result<Opened, Fault> {
        let stream = timeout(self.limit, self.stream()).await??;
        if !stream.connected().is_negotiated_h2() {
            return Ok(Opened::Link(Box::new(Link::over(stream).await?)));
        }
        let (sender, connection) =
            http2::Builder::new(TokioExecutor::new()).timer(TokioTimer::new()).handshake(stream).await?;
        // Many calls share it, so none of them can drive it.
        TokioExecutor::new().execute(async move {
            if let Err(fault) = connection.await {
                tracing::debug!(%fault, "an HTTP/2 connection to an upstream broke");
            }
        });
        Ok(Opened::Shared(sender))
    }

    async fn stream(&self) -> Result<Stream, Fault> {
        match self.way.clone() {
            Way::Plain(mut http) => {
                poll_fn(|cx| http.poll_ready(cx)).await?;
                Ok(MaybeHttpsStream::Http(http.call(self.url.clone()).await?))
            }
            Way::Tls(mut https) => {
                poll_fn(|cx| https.poll_ready(cx)).await?;
                https.call(self.url.clone()).await
            }
        }
    }
}
