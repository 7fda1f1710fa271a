//! gzip and zlib around DEFLATE: header and trailer are read here, the rest by `flate2`.
//!
//! `flate2`'s own readers take any number of members or leave what follows unread; one member and nothing behind it
//! is simpler to say than to configure.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Flaw, STEP, Step};

/// Longest gzip header that is taken, file name and comment included.
const LONGEST_HEADER: usize = 4096;

/// CRC-32 and length (RFC 1952 section 2.3.1).
const TRAILER: usize = 8;

/// What an inflater keeps: the window of 32 KiB, tables and this room's own.
const HOLDS: u64 = 64 * 1024;

/// One gzip member or one zlib stream.
#[derive(Debug)]
pub(super) struct Inflate {
    at: At,
    /// A header or trailer whose end has not come.
    kept: Vec<u8>,
    inflater: Decompress,
    /// Counts what came out, where the trailer says what must have.
    sum: Option<Crc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Header,
    Blocks,
    Trailer,
    End,
}

impl Inflate {
    pub(super) fn gzip() -> Self {
        Self { at: At::Header, kept: Vec::new(), inflater: Decompress::new(false), sum: Some(Crc::new()) }
    }

    pub(super) fn zlib() -> Self {
        Self { at: At::Blocks, kept: Vec::new(), inflater: Decompress::new(true), sum: None }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.at, At::End)
    }

    #[expect(clippy::unused_self, reason = "the sibling's answer depends on its frame")]
    pub(super) const fn holds(&self) -> u64 {
        HOLDS
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Step, Flaw> {
        match self.at {
            At::Header => self.header(input),
            At::Blocks => self.blocks(input, out),
            At::Trailer => self.trailer(input),
            At::End if input.is_empty() => Ok(Step { consumed: 0, hungry: true }),
            At::End => Err(Flaw::Trailing),
        }
    }

    fn header(&mut self, input: &[u8]) -> Result<Step, Flaw> {
        let had = self.kept.len();
        let taken = input.get(..LONGEST_HEADER.saturating_sub(had)).unwrap_or(input);
        self.kept.extend_from_slice(taken);
        if let Some(length) = header_length(&self.kept)? {
            self.kept.clear();
            self.at = At::Blocks;
            return Ok(Step { consumed: length.saturating_sub(had), hungry: false });
        }
        if self.kept.len() >= LONGEST_HEADER {
            Err(Flaw::Greedy)
        } else {
            Ok(Step { consumed: taken.len(), hungry: true })
        }
    }

    fn blocks(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Step, Flaw> {
        out.reserve(STEP);
        let (had, took) = (out.len(), self.inflater.total_in());
        let status = self
            .inflater
            .decompress_vec(input, out, FlushDecompress::None)
            .map_err(|why| if why.needs_dictionary().is_some() { Flaw::Dictionary } else { Flaw::Damaged })?;
        if let Some(sum) = &mut self.sum {
            sum.update(out.get(had..).unwrap_or_default());
        }
        let consumed = usize::try_from(self.inflater.total_in() - took).unwrap_or(usize::MAX);
        if status == Status::StreamEnd {
            self.at = if self.sum.is_some() { At::Trailer } else { At::End };
            return Ok(Step { consumed, hungry: false });
        }
        // With room left in `out`, it has given all that it could.
        let hungry = out.len() < out.capacity() && consumed == input.len();
        if !hungry && consumed == 0 && out.len() == had {
            return Err(Flaw::Damaged);
        }
        Ok(Step { consumed, hungry })
    }

    fn trailer(&mut self, input: &[u8]) -> Result<Step, Flaw> {
        let taken = input.get(..TRAILER.saturating_sub(self.kept.len())).unwrap_or(input);
        self.kept.extend_from_slice(taken);
        let Some((sum, length)) = self.kept.first_chunk::<4>().zip(self.kept.last_chunk::<4>()) else {
            return Ok(Step { consumed: taken.len(), hungry: true });
        };
        if self.kept.len() < TRAILER {
            return Ok(Step { consumed: taken.len(), hungry: true });
        }
        let due = self.sum.as_ref().map(|due| (due.sum(), due.amount()));
        if due != Some((u32::from_le_bytes(*sum), u32::from_le_bytes(*length))) {
            return Err(Flaw::Checksum);
        }
        self.at = At::End;
        Ok(Step { consumed: taken.len(), hungry: taken.len() == input.len() })
    }
}

/// The length of a gzip header that stands whole at the beginning of `bytes` (RFC 1952 section 2.3), or `None` while
/// it does not.
fn header_length(bytes: &[u8]) -> Result<Option<usize>, Flaw> {
    let Some([magic @ .., method, flags]) = bytes.first_chunk::<4>() else { return Ok(None) };
    // The upper three flags are reserved, and must be refused (section 2.3.1.2).
    if *magic != [0x1f, 0x8b] || *method != 8 || flags & 0xe0 != 0 {
        return Err(Flaw::Damaged);
    }
    let mut at = 10;
    if flags & 4 != 0 {
        let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()) else { return Ok(None) };
        at += 2 + usize::from(u16::from_le_bytes(*length));
    }
    // File name and comment, each ended by a zero.
    for flag in [8, 16] {
        if flags & flag != 0 {
            let Some(end) = bytes.get(at..).and_then(|rest| memchr::memchr(0, rest)) else { return Ok(None) };
            at += end + 1;
        }
    }
    let Some(head) = bytes.get(..at) else { return Ok(None) };
    if flags & 2 != 0 {
        let Some(said) = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()) else { return Ok(None) };
        let mut sum = Crc::new();
        sum.update(head);
        // The lower half of the header's CRC-32.
        if sum.sum() & 0xffff != u32::from(u16::from_le_bytes(*said)) {
            return Err(Flaw::Checksum);
        }
        at += 2;
    }
    Ok(Some(at))
}
