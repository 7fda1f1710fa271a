//! The smallest gzip there is: one member of stored blocks, so that a coded answer needs no compression crate.

/// Most bytes of one stored block (RFC 1951, 3.2.4: a 16-bit length).
const BLOCK: usize = 0xFFFF;

/// `bytes` as one gzip member (RFC 1952) that compresses nothing.
pub(super) fn member(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let last = bytes.len().div_ceil(BLOCK).max(1);
    let blocks = if bytes.is_empty() { vec![bytes] } else { bytes.chunks(BLOCK).collect() };
    for (number, block) in (1..).zip(blocks) {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(number == last));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&crc32(bytes).to_le_bytes());
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out
}

/// CRC-32 as RFC 1952, section 8 defines it, bit by bit: eight steps a byte are fast enough for test answers.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::{crc32, member};

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        // The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn only_the_last_of_many_blocks_is_marked_last() {
        let long = member(&vec![7; 70_000]);
        assert_eq!((long[10], long[10 + 5 + 0xFFFF]), (0, 1));
        assert_eq!(long.len(), 10 + 5 + 0xFFFF + 5 + (70_000 - 0xFFFF) + 8);
        assert_eq!(member(b"").len(), 10 + 5 + 8);
    }
}
