//! The connections of one upstream that have no call, and the one that has many.
//!
//! One upstream is one pool, so nothing is looked up. The connection that was used last is used first: it is the one
//! least likely to be closed by the other side, and the others grow old and go. There is no queue: a call that finds
//! none opens one, and calls are bounded before they come here.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::connect::{Opened, Shared};
use super::link::Link;

/// Idle connections are dropped before a typical upstream (60 s and more) drops them, so that a call rarely meets a
/// connection that is just being closed.
const IDLE: Duration = Duration::from_secs(30);
/// Idle connections kept; one more is closed.
const MOST_IDLE: usize = 256;

/// The connections of one upstream.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// The oldest first.
    idle: Vec<Idle>,
    shared: Option<(Shared, Instant)>,
}

#[derive(Debug)]
struct Idle {
    link: Box<Link>,
    since: Instant,
}

impl Pool {
    /// A connection for one call: a share of the common one, or the last that came back.
    pub(super) fn take(&self) -> Option<Opened> {
        let mut kept = self.0.lock();
        match &mut kept.shared {
            Some((shared, used)) if shared.is_ready() => {
                *used = Instant::now();
                return Some(Opened::Shared(shared.clone()));
            }
            gone => *gone = None,
        }
        kept.idle.pop().map(|idle| Opened::Link(idle.link))
    }

    /// Takes a connection back that had its call. One that is not free for another is closed.
    pub(super) fn give_back(&self, mut link: Box<Link>) {
        if !link.rest() {
            return;
        }
        let since = Instant::now();
        let mut kept = self.0.lock();
        if kept.idle.len() < MOST_IDLE {
            kept.idle.push(Idle { link, since });
        }
    }

    /// Lets other calls share a connection. Where two calls opened one each, the first stays.
    pub(super) fn share(&self, shared: &Shared) {
        let kept = &mut self.0.lock().shared;
        if kept.as_ref().is_none_or(|(kept, _)| !kept.is_ready()) {
            *kept = Some((shared.clone(), Instant::now()));
        }
    }

    /// Shares the common connection no further: an answer did not come through it in time.
    pub(super) fn distrust(&self) {
        self.0.lock().shared = None;
    }

    /// Closes what was idle too long, and what the upstream closed. Costs a lock where there is nothing to do, so it
    /// may be called every second.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let is_old = |since: Instant| since + IDLE <= now;
        let mut kept = self.0.lock();
        let shared = kept.shared.take_if(|(_, used)| is_old(*used));
        let gone: Vec<Idle> = kept.idle.extract_if(.., |idle| is_old(idle.since) || !idle.link.is_good()).collect();
        drop(kept);
        // Sockets are closed outside the lock.
        drop((shared, gone));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;

    use super::{IDLE, MOST_IDLE, Pool};
    use crate::edge::upstream::connect::{Connector, Opened};
    use crate::edge::upstream::flow::Flow;
    use crate::edge::upstream::link::Link;
    use crate::edge::upstream::{Request, Unanswered};

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    struct Upstream {
        listener: TcpListener,
        connector: Connector,
    }

    impl Upstream {
        async fn open() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
            Self { listener, connector: Connector::new(url, None, Duration::from_secs(5)) }
        }

        async fn link(&self) -> (Box<Link>, TcpStream) {
            let Opened::Link(link) = self.connector.open().await.unwrap() else { panic!("it is HTTP/1") };
            (link, self.listener.accept().await.unwrap().0)
        }
    }

    fn request() -> Request {
        http::Request::post("/").header("host", "h").body(Full::new(Bytes::from_static(b"body"))).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    fn taken(pool: &Pool) -> Option<Box<Link>> {
        match pool.take() {
            Some(Opened::Link(link)) => Some(link),
            Some(Opened::Shared(_)) => panic!("there is no common connection"),
            None => None,
        }
    }

    /// Reads one request and says something.
    async fn serve(peer: &mut TcpStream, said: &[u8]) {
        let mut heard = Vec::new();
        while !heard.ends_with(b"body") {
            assert!(peer.read_buf(&mut heard).await.unwrap() > 0);
        }
        peer.write_all(said).await.unwrap();
    }

    async fn call(mut link: Box<Link>, peer: &mut TcpStream, pool: &std::sync::Arc<Pool>) -> Bytes {
        let (answer, ()) = tokio::join!(link.ask(request(), soon()), serve(peer, ANSWER));
        Flow::over(answer.unwrap().into_body(), link, pool).collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_connection_has_one_call_after_the_other() {
        let (upstream, pool) = (Upstream::open().await, std::sync::Arc::default());
        let (link, mut peer) = upstream.link().await;
        assert_eq!(call(link, &mut peer, &pool).await, "ok");
        for _ in 0..3 {
            let link = taken(&pool).expect("it came back");
            assert!(taken(&pool).is_none(), "it is there once");
            assert_eq!(call(link, &mut peer, &pool).await, "ok");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_not_read_to_its_end_costs_the_connection() {
        let (upstream, pool) = (Upstream::open().await, std::sync::Arc::default());
        let (mut link, mut peer) = upstream.link().await;
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nok";
        let (answer, ()) = tokio::join!(link.ask(request(), soon()), serve(&mut peer, half));
        drop(Flow::over(answer.unwrap().into_body(), link, &pool));
        assert!(taken(&pool).is_none());
        assert_eq!(peer.read(&mut [0; 8]).await.unwrap(), 0, "it is closed at once");
    }

    #[tokio::test]
    async fn what_was_not_sent_is_told_from_what_may_have_been() {
        let (upstream, pool) = (Upstream::open().await, std::sync::Arc::default());
        let (link, mut peer) = upstream.link().await;
        call(link, &mut peer, &pool).await;
        drop(peer);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let unanswered = taken(&pool).unwrap().ask(request(), soon()).await.unwrap_err();
        assert!(matches!(unanswered, Unanswered::Unsent(_)), "{unanswered:?}");

        let (mut link, mut peer) = upstream.link().await;
        let closing = async {
            serve(&mut peer, b"").await;
            drop(peer);
        };
        let (unanswered, ()) = tokio::join!(link.ask(request(), soon()), closing);
        let unanswered = unanswered.unwrap_err();
        assert!(matches!(unanswered, Unanswered::Broken(_)), "{unanswered:?}");
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_ends_in_time() {
        let (mut link, _peer) = {
            let upstream = Upstream::open().await;
            upstream.link().await
        };
        let due = Instant::now() + Duration::from_millis(50);
        assert!(matches!(link.ask(request(), due).await, Err(Unanswered::TimedOut)));
        assert!(Instant::now() >= due);
    }

    #[tokio::test]
    async fn the_last_one_used_is_used_first_and_no_more_are_kept_than_the_limit() {
        let (upstream, pool) = (Upstream::open().await, std::sync::Arc::new(Pool::default()));
        let mut peers = Vec::new();
        for _ in 0..=MOST_IDLE {
            let (link, mut peer) = upstream.link().await;
            call(link, &mut peer, &pool).await;
            // Used one after the other, the pool would have but one.
            peers.push((taken(&pool).unwrap(), peer));
        }
        let (links, mut peers): (Vec<_>, Vec<_>) = peers.into_iter().unzip();
        for link in links {
            pool.give_back(link);
        }
        assert_eq!(call(taken(&pool).unwrap(), &mut peers[MOST_IDLE - 1], &pool).await, "ok");
        assert_eq!(peers[MOST_IDLE].read(&mut [0; 8]).await.unwrap(), 0, "the one too many is closed");
    }

    #[tokio::test]
    async fn a_sweep_closes_what_is_old_and_what_the_upstream_closed() {
        let (upstream, pool) = (Upstream::open().await, std::sync::Arc::new(Pool::default()));
        let (first, mut first_peer) = upstream.link().await;
        let (second, mut second_peer) = upstream.link().await;
        call(first, &mut first_peer, &pool).await;
        call(second, &mut second_peer, &pool).await;
        drop(second_peer);
        tokio::time::sleep(Duration::from_millis(20)).await;
        pool.sweep();
        assert_eq!(pool.0.lock().idle.len(), 1);
        assert_eq!(call(taken(&pool).unwrap(), &mut first_peer, &pool).await, "ok", "the good one stays");

        tokio::time::pause();
        tokio::time::advance(IDLE).await;
        pool.sweep();
        assert!(taken(&pool).is_none());
        assert_eq!(first_peer.read(&mut [0; 8]).await.unwrap(), 0, "the old one is closed");
    }
}
