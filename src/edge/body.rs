//! Taking a request body in: whole, within its own limit, the process-wide budget and its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;

use super::alarm::within;
use crate::verdict::Intake;

/// How much of an announced length is believed before it has arrived.
const BELIEVED_BYTES: u64 = 1 << 20;

/// How much of a refused body is read over, and for how long.
const MOST_LEFT_BYTES: usize = 256 * 1024;
const LONGEST_LEAVE: Duration = Duration::from_millis(500);

/// The process-wide budget for bodies in flight, in bytes. Full means `overloaded`, at once.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Room>);

#[derive(Debug)]
struct Room {
    limit: u64,
    used: AtomicU64,
}

/// A share of the budget; goes back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Room>,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self(Arc::new(Room { limit: limit_bytes, used: AtomicU64::new(0) }))
    }

    /// An empty share.
    pub(super) fn share(&self) -> Share {
        Share { room: Arc::clone(&self.0), bytes: 0 }
    }

    /// Bytes held now.
    pub(super) fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }
}

impl Share {
    /// Bytes it counts.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the share at least `bytes` large.
    pub(super) fn grow_to(&mut self, bytes: u64) -> Result<(), Intake> {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let used = self.room.used.fetch_add(more, Ordering::Relaxed);
        if used.saturating_add(more) > self.room.limit {
            self.room.used.fetch_sub(more, Ordering::Relaxed);
            return Err(Intake::NoRoom);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bounds of one body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) limit_bytes: u64,
    pub(super) time: Duration,
}

/// Reads a body to its end; its bytes are counted in `share` for as long as that lives.
///
/// # Errors
/// [`Intake`] when it is too long, comes too slowly, breaks off, or finds no room. Not cancel safe: what was read is
/// lost with the future.
pub(super) async fn take_in<B>(body: B, bounds: Bounds, share: &mut Share) -> Result<Bytes, Intake>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let announced = body.size_hint().exact();
    if announced.is_some_and(|bytes| bytes > bounds.limit_bytes) {
        return Err(Intake::BodyTooLarge);
    }
    within(bounds.time, gather(body, announced, bounds.limit_bytes, share)).await.unwrap_or(Err(Intake::TimedOut))
}

/// Reads what is left of a refused body and forgets it, as long as that is little and comes soon: then the connection
/// can go on, and a client that is still sending reads its answer instead of a reset. Answers whether it came to its
/// end.
pub(super) async fn leave<B>(body: &mut B) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    let rest = async {
        let mut left = MOST_LEFT_BYTES;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            let Some(now) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return false };
            left = now;
        }
        true
    };
    within(LONGEST_LEAVE, rest).await.unwrap_or(false)
}

async fn gather<B>(mut body: B, announced: Option<u64>, limit_bytes: u64, share: &mut Share) -> Result<Bytes, Intake>
where
    B: Body<Data = Bytes> + Unpin,
{
    // Memory follows what has arrived: an announcement alone costs an attacker nothing, so it is believed only once the
    // body comes in more than one piece, and up to a bound.
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers are not a part of what is judged and go nowhere.
        let Ok(data) = frame.map_err(|_| Intake::Broken)?.into_data() else { continue };
        let total = (first.len() + rest.len() + data.len()) as u64;
        if total > limit_bytes {
            return Err(Intake::BodyTooLarge);
        }
        share.grow_to(total)?;
        if rest.is_empty() && first.is_empty() {
            first = data;
            if body.is_end_stream() {
                break;
            }
            continue;
        }
        if rest.is_empty() {
            let expected = announced.unwrap_or(total).min(BELIEVED_BYTES).max(total);
            share.grow_to(expected)?;
            rest.reserve(usize::try_from(expected).unwrap_or(0));
            rest.extend_from_slice(&first);
            first = Bytes::new();
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::{Bounds, Budget, MOST_LEFT_BYTES, leave, take_in};
    use crate::verdict::Intake;

    const BOUNDS: Bounds = Bounds { limit_bytes: 10, time: Duration::from_secs(1) };

    fn pieces(texts: &[&'static str]) -> impl http_body::Body<Data = Bytes, Error = std::io::Error> + Unpin {
        let frames: Vec<_> = texts.iter().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))).collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_in_pieces_comes_out_whole_and_is_counted_while_held() {
        let budget = Budget::new(100);
        let mut share = budget.share();
        assert_eq!(take_in(pieces(&["abc", "", "de", "f"]), BOUNDS, &mut share).await, Ok(Bytes::from("abcdef")));
        assert_eq!(budget.used(), 6);
        drop(share);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn too_long_is_refused_announced_or_not() {
        let budget = Budget::new(100);
        let announced = Full::new(Bytes::from_static(b"0123456789a"));
        assert_eq!(take_in(announced, BOUNDS, &mut budget.share()).await, Err(Intake::BodyTooLarge));
        let chunked = pieces(&["0123456789", "a"]);
        assert_eq!(take_in(chunked, BOUNDS, &mut budget.share()).await, Err(Intake::BodyTooLarge));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_full_budget_refuses_at_once_and_keeps_nothing() {
        let budget = Budget::new(8);
        let mut held = budget.share();
        take_in(pieces(&["12345"]), BOUNDS, &mut held).await.unwrap();
        assert_eq!(take_in(pieces(&["1234"]), BOUNDS, &mut budget.share()).await, Err(Intake::NoRoom));
        assert_eq!(budget.used(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_body_is_read_over_when_it_is_short_and_soon_over() {
        assert!(leave(&mut pieces(&["abc", "de"])).await);
        let long = Full::new(Bytes::from(vec![0; MOST_LEFT_BYTES + 1]));
        assert!(!leave(&mut { long }).await);
        let mut stalled = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        assert!(!leave(&mut stalled).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_runs_out_of_time() {
        let stalled = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        assert_eq!(take_in(stalled, BOUNDS, &mut Budget::new(8).share()).await, Err(Intake::TimedOut));
    }
}
