use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::{Coding, Decoder, Flaw, STEP, Unknown};

const TEXT: &[u8] = br#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi hi hi hi"}]}"#;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    compress_to_vec(text, CompressionLevel::Fastest)
}

/// A frame of raw blocks, written by hand.
fn raw_frame(head: &[u8], blocks: &[&[u8]]) -> Vec<u8> {
    let mut frame = [&[0x28, 0xb5, 0x2f, 0xfd], head].concat();
    for (number, block) in blocks.iter().enumerate() {
        let header = (u32::try_from(block.len()).unwrap() << 3) | u32::from(number + 1 == blocks.len());
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(block);
    }
    frame
}

/// Decodes in pieces of `size` bytes; no step may give more than it says.
fn decode(coding: Coding, bytes: &[u8], size: usize) -> Result<Vec<u8>, Flaw> {
    let (mut decoder, mut all) = (Decoder::new(coding), Vec::new());
    for piece in bytes.chunks(size.max(1)) {
        let mut rest = piece;
        loop {
            let mut out = Vec::new();
            let step = decoder.step(rest, &mut out)?;
            assert!(out.len() <= 4 * STEP, "a step gave {} bytes", out.len());
            all.extend_from_slice(&out);
            rest = &rest[step.consumed..];
            if rest.is_empty() && step.hungry {
                break;
            }
        }
    }
    decoder.finish().map(|()| all)
}

fn whole(coding: Coding, bytes: &[u8]) -> Result<Vec<u8>, Flaw> {
    decode(coding, bytes, bytes.len())
}

#[test]
fn one_coding_on_one_line_is_known() {
    let of = |lines: &[&'static str]| {
        let head: HeaderMap =
            lines.iter().map(|line| (http::header::CONTENT_ENCODING, HeaderValue::from_static(line))).collect();
        (Coding::of_request(&head), Coding::of_answer(&head))
    };
    assert_eq!(of(&[]), (None, Ok(None)));
    assert_eq!(of(&["Identity"]), (None, Ok(None)));
    assert_eq!(of(&["GZip"]), (Some(Coding::Gzip), Ok(Some(Coding::Gzip))));
    assert_eq!(of(&["zstd"]), (Some(Coding::Zstd), Ok(Some(Coding::Zstd))));
    assert_eq!(of(&["deflate"]), (None, Ok(Some(Coding::Deflate))));
    for lines in [&["br"][..], &["gzip, zstd"], &["gzip", "gzip"], &["identity", "gzip"], &[""], &["x-gzip"]] {
        assert_eq!(of(lines), (None, Err(Unknown)), "{lines:?}");
    }
}

#[test]
fn each_coding_is_undone_in_any_pieces() {
    let long: Vec<u8> = (0..400_000_u32).flat_map(|n| (n.wrapping_mul(n) % 251).to_string().into_bytes()).collect();
    for text in [TEXT, &long, b""] {
        for (coding, bytes) in [(Coding::Gzip, gzip(text)), (Coding::Deflate, zlib(text)), (Coding::Zstd, zstd(text))] {
            for size in [1, 7, 1000, 100_000, bytes.len()] {
                assert!(decode(coding, &bytes, size).as_deref() == Ok(text), "{coding:?} by {size}");
            }
        }
    }
}

#[test]
fn what_ends_early_or_late_is_no_body() {
    for (coding, bytes) in [(Coding::Gzip, gzip(TEXT)), (Coding::Deflate, zlib(TEXT)), (Coding::Zstd, zstd(TEXT))] {
        for end in 0..bytes.len() {
            assert_eq!(whole(coding, &bytes[..end]), Err(Flaw::Cut), "{coding:?} cut at {end}");
        }
        for behind in [&b"x"[..], b"\0", &bytes, &raw_frame(&[0x20, 1], &[b"x"]), b"\x50\x2a\x4d\x18\0\0\0\0"] {
            let long = [&bytes, behind].concat();
            assert_eq!(whole(coding, &long), Err(Flaw::Trailing), "{coding:?}");
            assert_eq!(decode(coding, &long, 1), Err(Flaw::Trailing), "{coding:?}");
        }
    }
}

#[test]
fn a_checksum_or_length_that_is_wrong_is_seen() {
    let gzip = gzip(TEXT);
    for at in 1..=8 {
        let mut bytes = gzip.clone();
        *bytes.iter_mut().rev().nth(at - 1).unwrap() ^= 1;
        assert_eq!(whole(Coding::Gzip, &bytes), Err(Flaw::Checksum));
    }
    let mut zlib = zlib(TEXT);
    *zlib.last_mut().unwrap() ^= 1;
    assert_eq!(whole(Coding::Deflate, &zlib), Err(Flaw::Damaged));
    // XXH64 of "abc" ends with 0x44bc2cf5ad770999's lower half.
    let good = [&raw_frame(&[0x24, 3], &[b"abc"])[..], &[0x99, 0x09, 0x77, 0xad]].concat();
    assert_eq!(whole(Coding::Zstd, &good).as_deref(), Ok(&b"abc"[..]));
    let mut bad = good;
    *bad.last_mut().unwrap() ^= 1;
    assert_eq!(whole(Coding::Zstd, &bad), Err(Flaw::Checksum));
    for said in [2, 4] {
        assert_eq!(whole(Coding::Zstd, &raw_frame(&[0x20, said], &[b"a", b"b", b"c"])), Err(Flaw::Checksum), "{said}");
    }
}

#[test]
fn gzip_headers_are_read_as_the_standard_says() {
    let plain = gzip(TEXT);
    let with = |flags: u8, fields: &[u8]| [&[0x1f, 0x8b, 8, flags], &plain[4..10], fields, &plain[10..]].concat();
    let read = |bytes: Vec<u8>| whole(Coding::Gzip, &bytes);
    assert_eq!(read(with(8, b"name\0")).as_deref(), Ok(TEXT));
    assert_eq!(read(with(4 | 8 | 16, b"\x02\x00xxname\0comment\0")).as_deref(), Ok(TEXT));
    let head = [&[0x1f, 0x8b, 8, 2], &plain[4..10]].concat();
    let mut sum = flate2::Crc::new();
    sum.update(&head);
    let sum = u16::try_from(sum.sum() & 0xffff).unwrap();
    assert_eq!(read(with(2, &sum.to_le_bytes())).as_deref(), Ok(TEXT));
    assert_eq!(read(with(2, &(!sum).to_le_bytes())), Err(Flaw::Checksum));
    for flags in [0x20, 0x40, 0x80] {
        assert_eq!(read(with(flags, b"")), Err(Flaw::Damaged));
    }
    assert_eq!(read(with(8, &[b'n'; 5000])), Err(Flaw::Greedy), "a name that does not end");
    assert_eq!(read(TEXT.to_vec()), Err(Flaw::Damaged));
    assert_eq!(read(zstd(TEXT)), Err(Flaw::Damaged));
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
    raw.write_all(TEXT).unwrap();
    assert_eq!(whole(Coding::Deflate, &raw.finish().unwrap()), Err(Flaw::Damaged), "deflate is zlib's");
}

#[test]
fn zstd_frames_that_are_greedy_or_odd_are_refused() {
    let read = |head: &[u8], blocks: &[&[u8]]| whole(Coding::Zstd, &raw_frame(head, blocks));
    // Windows of 1 KiB, 8 MiB, and one step more.
    assert_eq!(read(&[0, 0], &[b"a"]).as_deref(), Ok(&b"a"[..]));
    assert_eq!(read(&[0, 13 << 3], &[b"a"]).as_deref(), Ok(&b"a"[..]));
    assert_eq!(read(&[0, 13 << 3 | 1], &[b"a"]), Err(Flaw::Greedy));
    assert_eq!(read(&[0, 0xff], &[b"a"]), Err(Flaw::Greedy));
    assert_eq!(read(&[0xa0, 1, 0, 128, 0], &[b"a"]), Err(Flaw::Greedy), "one segment beyond it");
    assert_eq!(read(&[0x21, 7, 1], &[b"a"]), Err(Flaw::Dictionary));
    assert_eq!(read(&[0x21, 0, 1], &[b"a"]).as_deref(), Ok(&b"a"[..]), "dictionary 0 is none");
    assert_eq!(read(&[0x28, 1], &[b"a"]), Err(Flaw::Damaged), "the reserved bit");
    assert_eq!(whole(Coding::Zstd, b"\x50\x2a\x4d\x18\0\0\0\0"), Err(Flaw::Damaged), "a frame that is skipped");
    assert_eq!(whole(Coding::Zstd, &gzip(TEXT)), Err(Flaw::Damaged));
    // A block of the reserved kind, and one beyond the largest.
    let block = |header: u32| [&[0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3][..], &header.to_le_bytes()[..3], b"a"].concat();
    assert_eq!(whole(Coding::Zstd, &block(1 << 3 | 3 << 1 | 1)), Err(Flaw::Damaged));
    assert_eq!(whole(Coding::Zstd, &block(131_073 << 3 | 1 << 1 | 1)), Err(Flaw::Damaged));
}

#[test]
fn a_bomb_goes_off_a_step_at_a_time() {
    // 4,000 blocks of 128 KiB in four bytes each: 500 MB.
    let block = [&((131_072_u32 << 3) | 2).to_le_bytes()[..3], b"["].concat();
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3][..], &block.repeat(4000)].concat();
    let gzip = gzip(&vec![b'['; 50_000_000]);
    for (coding, bytes) in [(Coding::Zstd, zstd), (Coding::Gzip, gzip)] {
        let (mut decoder, mut out, mut rest) = (Decoder::new(coding), Vec::new(), bytes.as_slice());
        while out.len() < 1 << 20 {
            let (had, step) = (out.len(), decoder.step(rest, &mut out).unwrap());
            assert!(out.len() - had <= (128 * 1024).max(out.capacity() - had), "one step, one block");
            assert!(decoder.holds() <= 17 << 20);
            rest = &rest[step.consumed..];
        }
        assert!(out.len() <= (1 << 20) * 2 + 128 * 1024 && !rest.is_empty());
    }
}

proptest! {
    #[test]
    fn what_is_damaged_anywhere_never_passes_as_another_body_nor_panics(
        at in any::<prop::sample::Index>(), mask in 1..=255_u8, size in 1..60_usize) {
        let text = TEXT.repeat(3);
        for (coding, bytes) in
            [(Coding::Gzip, gzip(&text)), (Coding::Zstd, zstd(&text)), (Coding::Deflate, zlib(&text))] {
            let mut bytes = bytes;
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            if let Ok(read) = decode(coding, &bytes, size) {
                // What no checksum covers: time, level and system in a gzip header, the window of a zstd frame.
                prop_assert!(read == text, "{coding:?} at {at}");
            }
        }
    }

    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..300), size in 1..64_usize) {
        let frame = |head: &[u8]| [head, &noise].concat();
        for (coding, bytes) in [
            (Coding::Gzip, frame(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])),
            (Coding::Deflate, frame(&[0x78, 0x9c])),
            (Coding::Zstd, frame(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58])),
            // A compressed last block of its own length.
            (Coding::Zstd, {
                let header = (u32::try_from(noise.len()).unwrap() << 3) | 2 << 1 | 1;
                [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58][..], &header.to_le_bytes()[..3], &noise].concat()
            }),
        ] {
            drop(decode(coding, &bytes, size));
        }
    }
}
