//! One zstd frame: its framing is read here, its blocks are decoded by `ruzstd`, one at a time.
//!
//! `ruzstd` decodes as many blocks as it is shown, and three bytes of a block can stand for 128 KiB; shown one block,
//! it gives one block. It also leaves the content's size and checksum to its caller.

use std::fmt;
use std::io::Read;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Flaw, STEP, Step};

/// Magic number of a frame (RFC 8878 section 3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Largest window of the content coding (RFC 9659 section 3), which one segment must fit as well.
const LARGEST_WINDOW: u64 = 8 << 20;
/// Largest block (RFC 8878 section 3.1.1.2.4).
const LARGEST_BLOCK: usize = 128 * 1024;
/// A block's header.
const BLOCK_HEADER: usize = 3;
/// A frame's checksum.
const CHECKSUM: usize = 4;

/// One frame on its way.
#[derive(Default)]
pub(super) struct Zstd {
    at: At,
    /// A header or block whose end has not come.
    kept: Vec<u8>,
    decoder: FrameDecoder,
    frame: Frame,
    /// Bytes that came out.
    given: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    #[default]
    Header,
    Blocks,
    /// The last block is decoded; up to a window of content waits to be taken.
    Rest,
    End,
}

/// What a frame's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Frame {
    window: u64,
    /// The size of the content, where it is said.
    content: Option<u64>,
    has_checksum: bool,
}

impl fmt::Debug for Zstd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zstd({:?}, {:?}, {} bytes given)", self.at, self.frame, self.given)
    }
}

impl Zstd {
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.at, At::End)
    }

    /// The decoder's ring grows by doubling beyond the window.
    pub(super) const fn holds(&self) -> u64 {
        2 * self.frame.window + 4 * LARGEST_BLOCK as u64
    }

    pub(super) fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Step, Flaw> {
        match self.at {
            At::Header | At::Blocks => {}
            At::Rest => {
                self.rest(out)?;
                return Ok(Step { consumed: 0, hungry: false });
            }
            At::End if input.is_empty() => return Ok(Step { consumed: 0, hungry: true }),
            At::End => return Err(Flaw::Trailing),
        }
        // What is whole in the input is decoded where it stands.
        let had = self.kept.len();
        if had == 0 {
            if let Some(used) = self.piece(input, out)? {
                return Ok(Step { consumed: used, hungry: false });
            }
            self.kept.extend_from_slice(input);
            return Ok(Step { consumed: input.len(), hungry: true });
        }
        let most = BLOCK_HEADER + LARGEST_BLOCK + CHECKSUM;
        let taken = input.get(..most.saturating_sub(had)).unwrap_or(input);
        self.kept.extend_from_slice(taken);
        let kept = std::mem::take(&mut self.kept);
        let Some(used) = self.piece(&kept, out)? else {
            self.kept = kept;
            return Ok(Step { consumed: taken.len(), hungry: true });
        };
        // All that was kept belongs to this piece, or it would have been whole before.
        Ok(Step { consumed: used.saturating_sub(had), hungry: false })
    }

    /// Takes the header or block that stands whole at the beginning of `bytes`; answers its length.
    fn piece(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, Flaw> {
        if self.at == At::Header {
            let Some((length, frame)) = header(bytes)? else { return Ok(None) };
            self.decoder.set_max_window_size(LARGEST_WINDOW);
            self.decoder.init(bytes.get(..length).unwrap_or_default()).map_err(|_| Flaw::Damaged)?;
            (self.frame, self.at) = (frame, At::Blocks);
            return Ok(Some(length));
        }
        let Some((length, is_last)) = block(bytes, self.frame.has_checksum)? else { return Ok(None) };
        let Some(block) = bytes.get(..length) else { return Ok(None) };
        self.decoder.decode_blocks(block, BlockDecodingStrategy::UptoBlocks(1)).map_err(|_| Flaw::Damaged)?;
        if is_last {
            self.at = At::Rest;
            return Ok(Some(length));
        }
        // All but a window of it, so no more than this block brought.
        let given = self.decoder.collect_to_writer(out).map_err(|_| Flaw::Damaged)?;
        self.count(given)?;
        Ok(Some(length))
    }

    fn count(&mut self, given: usize) -> Result<(), Flaw> {
        self.given = self.given.saturating_add(given as u64);
        if self.frame.content.is_some_and(|due| self.given > due) { Err(Flaw::Checksum) } else { Ok(()) }
    }

    /// Gives some of what waits; when it is all out, is it what the frame said?
    fn rest(&mut self, out: &mut Vec<u8>) -> Result<(), Flaw> {
        let given = (&mut self.decoder).take(STEP as u64).read_to_end(out).map_err(|_| Flaw::Damaged)?;
        self.count(given)?;
        if self.decoder.can_collect() > 0 {
            return Ok(());
        }
        let sums_agree =
            !self.frame.has_checksum || self.decoder.get_checksum_from_data() == self.decoder.get_calculated_checksum();
        if !sums_agree || self.frame.content.is_some_and(|due| due != self.given) {
            return Err(Flaw::Checksum);
        }
        self.at = At::End;
        self.decoder = FrameDecoder::default();
        self.frame.window = 0;
        Ok(())
    }
}

/// A frame's header that stands whole at the beginning of `bytes` (RFC 8878 section 3.1.1.1), or `None` while it does
/// not.
fn header(bytes: &[u8]) -> Result<Option<(usize, Frame)>, Flaw> {
    let begun = bytes.len().min(MAGIC.len());
    if bytes.get(..begun) != MAGIC.get(..begun) {
        return Err(Flaw::Damaged);
    }
    let Some(descriptor) = bytes.get(MAGIC.len()) else { return Ok(None) };
    // The reserved bit must be zero.
    if descriptor & 0x08 != 0 {
        return Err(Flaw::Damaged);
    }
    let is_one_segment = descriptor & 0x20 != 0;
    let window_at = MAGIC.len() + 1;
    let id_at = window_at + usize::from(!is_one_segment);
    let size_at = id_at + [0, 1, 2, 4].get(usize::from(descriptor & 3)).copied().unwrap_or(0);
    let size_length = match descriptor >> 6 {
        0 => usize::from(is_one_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let length = size_at + size_length;
    let (Some(id), Some(size)) = (bytes.get(id_at..size_at), bytes.get(size_at..length)) else { return Ok(None) };
    if id.iter().any(|byte| *byte != 0) {
        return Err(Flaw::Dictionary);
    }
    let size = size.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let content = match size_length {
        0 => None,
        2 => Some(size + 256),
        _ => Some(size),
    };
    let window = match bytes.get(window_at) {
        Some(window) if !is_one_segment => {
            let base = 1_u64 << (10 + u32::from(window >> 3));
            base + base / 8 * u64::from(window & 7)
        }
        _ => content.unwrap_or(0),
    };
    if window > LARGEST_WINDOW {
        return Err(Flaw::Greedy);
    }
    Ok(Some((length, Frame { window, content, has_checksum: descriptor & 4 != 0 })))
}

/// The length of the block at the beginning of `bytes`, the frame's checksum included where it is the last, and
/// whether it is; `None` while its header is not whole.
fn block(bytes: &[u8], has_checksum: bool) -> Result<Option<(usize, bool)>, Flaw> {
    let Some([low, middle, high]) = bytes.first_chunk::<BLOCK_HEADER>() else { return Ok(None) };
    let header = u32::from_le_bytes([*low, *middle, *high, 0]);
    let (is_last, size) = (header & 1 == 1, usize::try_from(header >> 3).unwrap_or(usize::MAX));
    if size > LARGEST_BLOCK {
        return Err(Flaw::Damaged);
    }
    let content = match header >> 1 & 3 {
        // Raw and compressed blocks hold their size; one repeated byte stands for it (RFC 8878 section 3.1.1.2.2).
        0 | 2 => size,
        1 => 1,
        _ => return Err(Flaw::Damaged),
    };
    let sum = if is_last && has_checksum { CHECKSUM } else { 0 };
    Ok(Some((BLOCK_HEADER + content + sum, is_last)))
}
