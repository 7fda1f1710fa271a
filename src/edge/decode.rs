//! A request body in a coding made plain before anybody judges it: within the limit for bodies, counted in the budget,
//! and without keeping the event loop from other calls.

use bytes::Bytes;

use super::body::{Budget, Share};
use crate::call::coding::{Coding, Decoder};
use crate::verdict::Intake;

/// Room for what one step may give: a zstd block of 128 KiB and some.
const ROOM: usize = 160 * 1024;

/// Bytes read and given between two turns of the event loop.
const TURN: usize = 256 * 1024;

/// Undoes `coding`. What comes out counts against `limit_bytes` and, like what came in, in `share`; what the decoder
/// needs is counted while it works.
///
/// # Errors
/// [`Intake`] when it becomes too long, finds no room, or has no one reading. Cancel safe: what was decoded is lost
/// with the future.
pub(super) async fn undo(
    coding: Coding,
    received: &Bytes,
    limit_bytes: u64,
    budget: &Budget,
    share: &mut Share,
) -> Result<Bytes, Intake> {
    let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
    let (mut decoder, mut work, counted) = (Decoder::new(coding), budget.share(), share.bytes());
    let (mut out, mut rest, mut since) = (Vec::<u8>::new(), received.as_ref(), 0_usize);
    loop {
        let had = out.len();
        if out.capacity() - had < ROOM {
            // Counted before it is there, and never more than can be needed.
            let room = (2 * out.capacity()).clamp(ROOM, limit.saturating_add(ROOM)).max(had + ROOM);
            share.grow_to(counted.saturating_add(room as u64))?;
            out.reserve_exact(room - had);
        }
        let step = decoder.step(rest, &mut out).map_err(Intake::Coded)?;
        if out.len() > limit {
            return Err(Intake::BodyTooLarge);
        }
        work.grow_to(decoder.holds())?;
        rest = rest.get(step.consumed..).unwrap_or_default();
        if rest.is_empty() && step.hungry {
            break;
        }
        since += step.consumed + (out.len() - had);
        if since >= TURN {
            since = 0;
            tokio::task::yield_now().await;
        }
    }
    decoder.finish().map_err(Intake::Coded)?;
    // Most bodies are small; the room for the next step goes back.
    out.shrink_to_fit();
    Ok(Bytes::from(out))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use bytes::Bytes;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::undo;
    use crate::call::coding::{Coding, Flaw};
    use crate::edge::body::Budget;
    use crate::verdict::Intake;

    fn gzip(text: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        Bytes::from(encoder.finish().unwrap())
    }

    #[tokio::test]
    async fn what_comes_out_is_counted_besides_what_came_in() {
        let (budget, text) = (Budget::new(1 << 20), vec![b'x'; 100_000]);
        let mut share = budget.share();
        share.grow_to(500).unwrap();
        let plain = undo(Coding::Gzip, &gzip(&text), 100_000, &budget, &mut share).await.unwrap();
        assert_eq!(plain, text);
        assert!((100_500..500_000).contains(&budget.used()), "{}", budget.used());
        drop(share);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_bomb_is_refused_at_the_limit_and_by_the_budget() {
        let bomb = gzip(&vec![b'['; 20_000_000]);
        let wide = Budget::new(1 << 30);
        let long = undo(Coding::Gzip, &bomb, 1 << 20, &wide, &mut wide.share()).await;
        assert_eq!((long, wide.used()), (Err(Intake::BodyTooLarge), 0));
        let narrow = Budget::new(1 << 20);
        let none = undo(Coding::Gzip, &bomb, 1 << 30, &narrow, &mut narrow.share()).await;
        assert_eq!((none, narrow.used()), (Err(Intake::NoRoom), 0));
    }

    #[tokio::test]
    async fn a_cut_body_has_no_reading() {
        let (budget, bytes) = (Budget::new(1 << 20), gzip(b"{}"));
        let cut = undo(Coding::Gzip, &bytes.slice(..bytes.len() - 1), 1 << 20, &budget, &mut budget.share()).await;
        assert_eq!(cut, Err(Intake::Coded(Flaw::Cut)));
    }
}
