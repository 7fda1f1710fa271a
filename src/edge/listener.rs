//! Connections in: TCP or Unix socket, TLS or plaintext, HTTP/1.1 or HTTP/2, bounded in number and time, drained at
//! the end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::alarm::Heads;
use super::exchange::Gate;
use super::patience::Patient;
use super::preface::{self, Protocol};
use super::stall::{Stall, Streams};
use super::tls::Certificates;
use crate::config::bootstrap::Address;

/// Header fields of one head.
const MOST_HEADERS: usize = 100;
/// Streams at once on one HTTP/2 connection.
const STREAMS: u32 = 100;
/// Streams that a client may reset before they were looked at, and that we may reset (CVE-2023-44487 and kin).
const RESETS: usize = 20;
/// How long the accept loop rests when the system has no descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A listening socket.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket, and the path that is removed at the end.
    Unix(UnixListener, PathBuf),
}

/// How the data plane comes to its end: `stop` asks for it, `cut` does not ask any more.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    /// Stop accepting, finish what is open.
    pub stop: CancellationToken,
    /// Drop what is still open.
    pub cut: CancellationToken,
    /// Everything that has to be over before the process may end.
    pub tasks: TaskTracker,
}

impl Bound {
    /// Binds, refusing a path that is in use or is not a socket.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            Address::Unix(path) => {
                clear_stale(path).await?;
                let listener = UnixListener::bind(path)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
                Ok(Self::Unix(listener, path.clone()))
            }
        }
    }

    /// Where it listens, as `host:port` or `unix:path`.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string()),
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            drop(std::fs::remove_file(path));
        }
    }
}

/// Removes a socket that nobody listens on any more.
async fn clear_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)
        }
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of this name that is not a socket")),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(fault) => Err(fault),
    }
}

/// Accepts until `drain.stop`. When the configured number of connections is open, the next ones wait in the
/// system's backlog.
pub async fn serve(bound: Bound, gate: Arc<Gate>, certificates: Option<Arc<Certificates>>, drain: Drain) {
    let places = Arc::new(Semaphore::new(gate.bounds.connections));
    loop {
        let place = tokio::select! {
            biased;
            () = drain.stop.cancelled() => return,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { return };
        let stream = tokio::select! {
            biased;
            () = drain.stop.cancelled() => return,
            accepted = accept(&bound) => accepted,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(fault) => {
                tracing::warn!(%fault, "a connection could not be accepted");
                sleep(ACCEPT_REST).await;
                continue;
            }
        };
        let (peer, started) = (stream.peer(), Arc::default());
        let connection = Connection { gate: Arc::clone(&gate), drain: drain.clone(), peer, started };
        let certificates = certificates.clone();
        drain.tasks.spawn(async move {
            let _counted = Counted::one(&connection.gate.metrics.connections);
            let _place = place;
            match stream {
                Stream::Tcp(stream, _) => connection.open(stream, certificates).await,
                Stream::Unix(stream) => connection.open(stream, certificates).await,
            }
        });
    }
}

/// One in a gauge for as long as it lives, however that ends.
struct Counted(IntGauge);

impl Counted {
    fn one(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

enum Stream {
    Tcp(TcpStream, IpAddr),
    Unix(UnixStream),
}

impl Stream {
    /// Where the client is; `None` on a Unix socket.
    const fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, peer) => Some(*peer),
            Self::Unix(_) => None,
        }
    }
}

async fn accept(bound: &Bound) -> io::Result<Stream> {
    match bound {
        Bound::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            // Without it, Nagle and delayed acknowledgements put 40 ms gaps into streams.
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream, peer.ip()))
        }
        Bound::Unix(listener, _) => Ok(Stream::Unix(listener.accept().await?.0)),
    }
}

/// One client connection.
struct Connection {
    gate: Arc<Gate>,
    drain: Drain,
    /// Where the client is; `None` on a Unix socket.
    peer: Option<IpAddr>,
    /// Requests begun and requests answered or left by their client; both only grow.
    started: Arc<Activity>,
}

#[derive(Debug, Default)]
struct Activity {
    begun: AtomicU64,
    answered: AtomicU64,
}

/// One request under way: no longer owed when it is dropped, answered or not.
struct Owed(Arc<Activity>);

impl Owed {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// Settles TLS and the protocol within the header timeout, then serves.
    async fn open<S>(&self, stream: S, certificates: Option<Arc<Certificates>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limit = self.gate.bounds.header_timeout;
        let stream = Patient::new(stream, self.gate.bounds.idle_timeout);
        match certificates {
            Some(certificates) => {
                let acceptor = TlsAcceptor::from(certificates.current());
                if let Ok(Ok(stream)) = timeout(limit, acceptor.accept(stream)).await {
                    let protocol = match stream.get_ref().1.alpn_protocol() {
                        Some(b"h2") => Protocol::Http2,
                        _ => Protocol::Http1,
                    };
                    self.serve(protocol, stream).await;
                }
            }
            None => {
                if let Ok(Ok((protocol, stream))) = timeout(limit, preface::tell(stream)).await {
                    self.serve(protocol, stream).await;
                }
            }
        }
    }

    async fn serve<S>(&self, protocol: Protocol, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::clone(&self.started);
        let gate = Arc::clone(&self.gate);
        let peer = self.peer;
        let service = service_fn(move |request: Request<Incoming>| {
            let (gate, owed) = (Arc::clone(&gate), Owed::begin(&activity));
            async move {
                let reply = gate.answer(request, peer).await;
                drop(owed);
                if let Some(stall) = Stall::here() {
                    stall.given();
                }
                Ok::<_, Infallible>(reply)
            }
        });
        match protocol {
            Protocol::Http1 => {
                let stall = Stall::new(None);
                let connection = self.http1().serve_connection(TokioIo::new(stream), service);
                let mut connection = pin!(connection);
                let work = async {
                    tokio::select! {
                        biased;
                        _ended = &mut connection => return,
                        () = self.stopped() => connection.as_mut().graceful_shutdown(),
                        () = self.no_first_request() => return,
                        () = stall.overdue() => return,
                    }
                    tokio::select! {
                        biased;
                        _ended = &mut connection => {}
                        () = self.drain.cut.cancelled() => {}
                        () = stall.overdue() => {}
                    }
                };
                stall.around(work).await;
            }
            Protocol::Http2 => {
                let streams = Streams::new(self.gate.bounds.idle_timeout);
                let census = streams.census();
                let connection = self.http2(streams).serve_connection(TokioIo::new(stream), service);
                let mut connection = pin!(connection);
                let is_idle = tokio::select! {
                    biased;
                    _ended = &mut connection => return,
                    () = self.stopped() => false,
                    () = self.no_first_request() => return,
                    () = self.idle() => true,
                };
                connection.as_mut().graceful_shutdown();
                let cut = async {
                    if is_idle {
                        // Answers under way go on; what is left behind them is a rest that the client does not take.
                        census.none_for(self.gate.bounds.idle_timeout).await;
                    } else {
                        self.drain.stop.cancelled().await;
                        self.drain.cut.cancelled().await;
                    }
                };
                tokio::select! { _ended = connection => {}, () = cut => {} }
            }
        }
    }

    fn http1(&self) -> http1::Builder {
        let bounds = &self.gate.bounds;
        let mut builder = http1::Builder::new();
        builder
            .timer(Heads::default())
            .header_read_timeout(bounds.idle_timeout)
            .max_buf_size(usize::try_from(bounds.header_limit_bytes).unwrap_or(usize::MAX).max(8192))
            .max_headers(MOST_HEADERS);
        builder
    }

    fn http2(&self, streams: Streams) -> http2::Builder<Streams> {
        let bounds = &self.gate.bounds;
        let mut builder = http2::Builder::new(streams);
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(bounds.header_limit_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(RESETS)
            .max_local_error_reset_streams(Some(RESETS))
            .keep_alive_interval(Some(bounds.idle_timeout))
            .keep_alive_timeout(bounds.header_timeout);
        builder
    }

    /// Ends when the drain begins. Polled with every step of the connection, so it asks the token for no second
    /// wake-up of the same task.
    async fn stopped(&self) {
        let stop = &self.drain.stop;
        let mut cancelled = pin!(stop.cancelled());
        let mut told: Option<Waker> = None;
        poll_fn(|cx| {
            if told.as_ref().is_some_and(|told| told.will_wake(cx.waker())) && !stop.is_cancelled() {
                return Poll::Pending;
            }
            told = Some(cx.waker().clone());
            cancelled.as_mut().poll(cx)
        })
        .await;
    }

    /// Ends when the connection had its time for a first whole head and has not used it. Between later requests the
    /// idle timeout counts, their heads included.
    async fn no_first_request(&self) {
        let mut time = pin!(sleep(self.gate.bounds.header_timeout));
        poll_fn(
            |cx| {
                if self.started.begun.load(Ordering::Relaxed) > 0 { Poll::Pending } else { time.as_mut().poll(cx) }
            },
        )
        .await;
    }

    /// Ends when nothing was asked and nothing was owed for the idle timeout.
    async fn idle(&self) {
        let mut seen = 0;
        let mut since = Instant::now();
        loop {
            sleep_until(since + self.gate.bounds.idle_timeout).await;
            let begun = self.started.begun.load(Ordering::Relaxed);
            if begun == seen && begun == self.started.answered.load(Ordering::Relaxed) {
                return;
            }
            seen = begun;
            since = Instant::now();
        }
    }
}
