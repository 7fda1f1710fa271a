//! Broken HTTP/1.1 answers, written by hand because a correct server cannot be made to send them.

/// One way in which an upstream's message can be malformed or unexpected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A chunk whose size is no number.
    BadChunkSize,
    /// `transfer-encoding: chunked` next to a `content-length`: the smuggler's pair (RFC 9112, 6.3).
    LengthAndChunked,
    /// Two `content-length` fields that differ.
    TwoLengths,
    /// A second answer that nobody asked for, right behind the first.
    TwoAnswers,
    /// 101 to a request that asked for no upgrade.
    UnaskedUpgrade,
    /// Fewer bytes than `content-length` says.
    ShortBody,
    /// A chunked body without its last chunk.
    NoLastChunk,
    /// Two interim answers before the real one; well-formed, and to be skipped.
    Interim,
    /// A status line that is none.
    Garbage,
    /// The connection ends before a byte was sent.
    Silence,
}

impl Framing {
    /// Every kind with its name in orders.
    pub const ALL: &[(&str, Self)] = &[
        ("bad_chunk_size", Self::BadChunkSize),
        ("length_and_chunked", Self::LengthAndChunked),
        ("two_lengths", Self::TwoLengths),
        ("two_answers", Self::TwoAnswers),
        ("unasked_upgrade", Self::UnaskedUpgrade),
        ("short_body", Self::ShortBody),
        ("no_last_chunk", Self::NoLastChunk),
        ("interim", Self::Interim),
        ("garbage", Self::Garbage),
        ("silence", Self::Silence),
    ];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, framing)| *framing)
    }

    /// The bytes on the wire of an answer that would have had this body.
    pub(super) fn spoil(self, media: &str, body: &[u8]) -> Vec<u8> {
        let length = body.len();
        let (head, tail) = match self {
            Self::BadChunkSize => ("transfer-encoding: chunked\r\n\r\n0x1f\r\n".to_owned(), "\r\n0\r\n\r\n"),
            Self::LengthAndChunked => (
                format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n"),
                "\r\n0\r\n\r\n",
            ),
            Self::TwoLengths => (format!("content-length: {length}\r\ncontent-length: {}\r\n\r\n", length + 9), ""),
            Self::TwoAnswers => {
                (format!("content-length: {length}\r\n\r\n"), "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
            }
            Self::UnaskedUpgrade => {
                return b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
                    .to_vec();
            }
            Self::ShortBody => (format!("content-length: {}\r\n\r\n", length + 64), ""),
            Self::NoLastChunk => (format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n"), "\r\n"),
            Self::Interim => (format!("content-length: {length}\r\nconnection: close\r\n\r\n"), ""),
            Self::Garbage => return b"\x00\x01 this is not HTTP\r\n\r\n".to_vec(),
            Self::Silence => return Vec::new(),
        };
        let interim = if self == Self::Interim {
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
        } else {
            ""
        };
        let head = format!("{interim}HTTP/1.1 200 OK\r\ncontent-type: {media}\r\n{head}");
        [head.as_bytes(), body, tail.as_bytes()].concat()
    }
}
