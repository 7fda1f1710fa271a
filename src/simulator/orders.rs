//! What a request gets instead of the plain answer, and the small language in which tests say so.
//!
//! `sim:status=503,delay_ms=200` in a request, or the same without `sim:` over `/sim/`. An order that is not known is
//! an error, never ignored: a test whose fault did not happen must not pass.

use std::time::Duration;

use super::framing::Framing;

/// What marks an end-user id as orders for the simulator.
const MARK: &str = "sim:";

/// Most pieces that one stream may be told to have.
const MOST_CHUNKS: usize = 10_000;

/// Departures from the plain answer; the default has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orders {
    /// `status=503`: this status with the vendor's error shape; a 3xx carries a `location` to a path that is not
    /// served, so that following it shows.
    pub status: Option<u16>,
    /// `delay_ms=200`: wait before the response head.
    pub delay: Duration,
    /// `pause_ms=5`: wait before each piece of a stream but the first.
    pub pause: Duration,
    /// `chunks=50`: how many text pieces the answer has.
    pub chunks: Option<usize>,
    /// `cut_after=3`: break the connection after so many pieces of a stream, or inside a plain body.
    pub cut_after: Option<usize>,
    /// `framing=two_lengths`: answer with this broken HTTP/1.1 message.
    pub framing: Option<Framing>,
    /// `gzip`: send the body with `content-encoding: gzip`, asked for or not.
    pub gzip: bool,
    /// `usage_in=100`: report so many input tokens.
    pub input_tokens: Option<u64>,
    /// `usage_out=50`: report so many output tokens.
    pub output_tokens: Option<u64>,
    /// `no_usage`: report no usage at all.
    pub no_usage: bool,
    /// `say=…`: answer with this text; everything behind it belongs to it, so it comes last.
    pub say: Option<String>,
}

/// An order that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no order this simulator knows")]
pub struct BadOrder(String);

impl Orders {
    /// Reads the orders in an end-user id; `None` when it carries none.
    ///
    /// # Errors
    /// [`BadOrder`] when it begins with `sim:` and something behind it is not an order.
    pub fn in_user(user: &str) -> Result<Option<Self>, BadOrder> {
        user.strip_prefix(MARK).map(Self::parse).transpose()
    }

    /// Reads `name=value,name=value`.
    ///
    /// # Errors
    /// [`BadOrder`] names the first one that is not known or whose value does not fit.
    pub fn parse(text: &str) -> Result<Self, BadOrder> {
        let mut orders = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(words) = rest.strip_prefix("say=") {
                orders.say = Some(words.to_owned());
                break;
            }
            let (order, tail) = rest.split_once(',').unwrap_or((rest, ""));
            orders.add(order.trim()).ok_or_else(|| BadOrder(order.to_owned()))?;
            rest = tail.trim_start();
        }
        Ok(orders)
    }

    fn add(&mut self, order: &str) -> Option<()> {
        let (name, value) = order.split_once('=').unwrap_or((order, ""));
        match name {
            "status" => self.status = Some(value.parse().ok().filter(|s| (200..600).contains(s))?),
            "delay_ms" => self.delay = Duration::from_millis(value.parse().ok()?),
            "pause_ms" => self.pause = Duration::from_millis(value.parse().ok()?),
            "chunks" => self.chunks = Some(value.parse().ok().filter(|n| *n <= MOST_CHUNKS)?),
            "cut_after" => self.cut_after = Some(value.parse().ok()?),
            "framing" => self.framing = Some(Framing::parse(value)?),
            "usage_in" => self.input_tokens = Some(value.parse().ok()?),
            "usage_out" => self.output_tokens = Some(value.parse().ok()?),
            "gzip" if value.is_empty() => self.gzip = true,
            "no_usage" if value.is_empty() => self.no_usage = true,
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::{BadOrder, Orders};
    use crate::simulator::Framing;
    use std::time::Duration;

    #[test]
    fn a_user_without_the_mark_carries_no_orders() {
        assert_eq!(Orders::in_user("alice"), Ok(None));
        assert_eq!(Orders::in_user("sim:"), Ok(Some(Orders::default())));
    }

    #[test]
    fn every_order_reads_back() {
        let text = "status=503,delay_ms=200, pause_ms=5,chunks=50,cut_after=3,framing=two_lengths,gzip,usage_in=7,usage_out=9,no_usage,say=a, b=c";
        let expected = Orders {
            status: Some(503),
            delay: Duration::from_millis(200),
            pause: Duration::from_millis(5),
            chunks: Some(50),
            cut_after: Some(3),
            framing: Some(Framing::TwoLengths),
            gzip: true,
            input_tokens: Some(7),
            output_tokens: Some(9),
            no_usage: true,
            say: Some("a, b=c".to_owned()),
        };
        assert_eq!(Orders::parse(text), Ok(expected));
    }

    #[test]
    fn an_order_that_is_not_known_or_does_not_fit_is_an_error() {
        for bad in ["stauts=503", "status=99", "status=x", "chunks=10001", "framing=odd", "gzip=yes", "delay_ms=-1"] {
            assert_eq!(Orders::parse(bad), Err(BadOrder(bad.to_owned())), "{bad}");
        }
    }
}
