//! Content codings undone, step by step and under the caller's eyes: gzip (RFC 1952), zstd (RFC 8878, RFC 9659) and
//! what HTTP calls `deflate` (RFC 1950).
//!
//! One body is one member or one frame and ends with the bytes. What two decoders could read differently is refused:
//! a second member, bytes behind the end, frames that are skipped, dictionaries, a checksum or length that is wrong.
//! Pure: `edge` feeds it, counts what comes out against its ceiling and the byte budget, and lets others work between
//! two steps. A step gives at most [`STEP`] bytes or one zstd block of 128 KiB, whatever its input promises.

mod deflate;
mod zstd;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use deflate::Inflate;
use zstd::Zstd;

/// Room that a step makes for its output, in bytes.
pub(crate) const STEP: usize = 32 * 1024;

/// A coding that the gate undoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// RFC 1950, as RFC 9110 section 8.4.1.2 has it. Taken from upstreams only.
    Deflate,
}

/// The codings of an answer are not ones that the gate undoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

impl Coding {
    /// The one coding of a request that the gate takes; `None` where there is none or another one. A head that is left
    /// as it is says so itself, and is refused by what reads it.
    #[must_use]
    pub fn of_request(head: &HeaderMap) -> Option<Self> {
        Self::only(head).ok().flatten().filter(|coding| *coding != Self::Deflate)
    }

    /// The one coding of an upstream's answer, or none.
    ///
    /// # Errors
    /// [`Unknown`] where it has several or another one.
    pub fn of_answer(head: &HeaderMap) -> Result<Option<Self>, Unknown> {
        Self::only(head)
    }

    fn only(head: &HeaderMap) -> Result<Option<Self>, Unknown> {
        let mut lines = head.get_all(CONTENT_ENCODING).iter();
        let Some(line) = lines.next() else { return Ok(None) };
        let is = |name: &str| line.as_bytes().eq_ignore_ascii_case(name.as_bytes());
        match lines.next() {
            None if is("identity") => Ok(None),
            None if is("gzip") => Ok(Some(Self::Gzip)),
            None if is("zstd") => Ok(Some(Self::Zstd)),
            None if is("deflate") => Ok(Some(Self::Deflate)),
            None | Some(_) => Err(Unknown),
        }
    }
}

/// Why coded bytes have no one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// They are not what the label says, or damaged.
    #[error("coded body: damaged, or not in this coding")]
    Damaged,
    /// They end before the coding does.
    #[error("coded body: cut off")]
    Cut,
    /// The coding ends before they do.
    #[error("coded body: bytes behind its end")]
    Trailing,
    /// Checksum or length do not fit what came out.
    #[error("coded body: checksum or length is wrong")]
    Checksum,
    /// A dictionary that nobody agreed on.
    #[error("coded body: needs a dictionary")]
    Dictionary,
    /// More memory than RFC 9659 allows, or a header that does not end.
    #[error("coded body: needs too much memory")]
    Greedy,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are used up.
    pub consumed: usize,
    /// Whether nothing more comes without more input.
    pub hungry: bool,
}

/// Undoes one coding, in any pieces.
#[derive(Debug)]
pub struct Decoder(Kind);

#[derive(Debug)]
enum Kind {
    Deflate(Box<Inflate>),
    Zstd(Box<Zstd>),
}

impl Decoder {
    /// For one body in this coding.
    #[must_use]
    pub fn new(coding: Coding) -> Self {
        Self(match coding {
            Coding::Gzip => Kind::Deflate(Box::new(Inflate::gzip())),
            Coding::Deflate => Kind::Deflate(Box::new(Inflate::zlib())),
            Coding::Zstd => Kind::Zstd(Box::default()),
        })
    }

    /// Uses up some of `input` and adds what comes of it to `out`.
    ///
    /// # Errors
    /// [`Flaw`]; what is in `out` by then is part of no body.
    pub fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Step, Flaw> {
        match &mut self.0 {
            Kind::Deflate(inflate) => inflate.step(input, out),
            Kind::Zstd(zstd) => zstd.step(input, out),
        }
    }

    /// Says that there is no more input.
    ///
    /// # Errors
    /// [`Flaw::Cut`] when the coding has not come to its end.
    pub const fn finish(&self) -> Result<(), Flaw> {
        let is_over = match &self.0 {
            Kind::Deflate(inflate) => inflate.is_over(),
            Kind::Zstd(zstd) => zstd.is_over(),
        };
        if is_over { Ok(()) } else { Err(Flaw::Cut) }
    }

    /// Bytes that it keeps for itself, at most.
    #[must_use]
    pub const fn holds(&self) -> u64 {
        match &self.0 {
            Kind::Deflate(inflate) => inflate.holds(),
            Kind::Zstd(zstd) => zstd.holds(),
        }
    }
}

#[cfg(test)]
mod tests;
