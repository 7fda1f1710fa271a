//! The one pass over a JSON text that makes its tape: strict RFC 8259, no recursion, every bound checked.
//!
//! Refuses what two parsers could read differently: names that repeat within an object (compared decoded, at any
//! depth), lone surrogates, numbers that do not fit a double, anything after the document.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{DEPTH_LIMIT, Flaw, FlawKind, Kind, NODE_LIMIT, Node, text};

/// Objects of up to so many members have their names compared pairwise; larger ones are hashed.
const FEW: usize = 16;

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Value,
    FirstValue,
    Name,
    FirstName,
    After,
}

pub(super) struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// Indices of the containers that are open, outermost first.
    open: Vec<u32>,
    /// The kind of the innermost open container.
    inside: Kind,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // A node for 16 bytes is generous for prose and about right for schemas; the cap keeps a large body of one
        // long string from costing as much again.
        let nodes = Vec::with_capacity((text.len() / 16 + 8).min(4096));
        Self { text, bytes: text.as_bytes(), at: 0, nodes, open: Vec::with_capacity(16), inside: Kind::Null }
    }

    pub(super) fn run(mut self) -> Result<Vec<Node>, Flaw> {
        if self.bytes.starts_with(b"\xEF\xBB\xBF") {
            return Err(self.flaw(FlawKind::ByteOrderMark));
        }
        let mut step = Step::Value;
        loop {
            self.skip_blanks();
            let Some(byte) = self.peek() else { return Err(self.flaw(FlawKind::Truncated)) };
            step = match (step, byte) {
                (Step::Value | Step::FirstValue, b'{') => self.open(Kind::Object).map(|()| Step::FirstName),
                (Step::Value | Step::FirstValue, b'[') => self.open(Kind::List).map(|()| Step::FirstValue),
                (Step::FirstValue | Step::After, b']') => self.close(Kind::List).map(|()| Step::After),
                (Step::FirstName | Step::After, b'}') => self.close(Kind::Object).map(|()| Step::After),
                (Step::Name | Step::FirstName, b'"') => self.name().map(|()| Step::Value),
                (Step::After, b',') => {
                    self.at += 1;
                    Ok(if self.inside == Kind::Object { Step::Name } else { Step::Value })
                }
                (Step::Value | Step::FirstValue, _) => self.scalar(byte).map(|()| Step::After),
                (Step::Name | Step::FirstName | Step::After, _) => Err(self.flaw(FlawKind::Unexpected)),
            }?;
            if step == Step::After && self.open.is_empty() {
                break;
            }
        }
        self.skip_blanks();
        if self.at < self.bytes.len() { Err(self.flaw(FlawKind::TrailingData)) } else { Ok(self.nodes) }
    }

    const fn flaw(&self, kind: FlawKind) -> Flaw {
        Flaw { at: self.at, kind }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Writes a node that begins here and ends at `end`.
    #[inline]
    fn push(&mut self, kind: Kind, end: usize) -> Result<(), Flaw> {
        if self.nodes.len() >= NODE_LIMIT {
            return Err(self.flaw(FlawKind::TooManyNodes));
        }
        let next = narrow(self.nodes.len() + 1);
        self.nodes.push(Node { kind, start: narrow(self.at), end: narrow(end), next });
        self.at = end;
        Ok(())
    }

    fn open(&mut self, kind: Kind) -> Result<(), Flaw> {
        if self.open.len() >= DEPTH_LIMIT {
            return Err(self.flaw(FlawKind::TooDeep));
        }
        self.open.push(narrow(self.nodes.len()));
        self.inside = kind;
        self.push(kind, self.at + 1)
    }

    fn close(&mut self, kind: Kind) -> Result<(), Flaw> {
        let closed = if self.inside == kind { self.open.pop() } else { None };
        let Some(index) = closed else { return Err(self.flaw(FlawKind::Unexpected)) };
        self.at += 1;
        let (end, next) = (narrow(self.at), narrow(self.nodes.len()));
        if let Some(node) = self.nodes.get_mut(index as usize) {
            node.end = end;
            node.next = next;
        }
        if kind == Kind::Object {
            self.check_names(index as usize)?;
        }
        let outer = self.open.last().and_then(|index| self.nodes.get(*index as usize));
        self.inside = outer.map_or(Kind::Null, |node| node.kind);
        Ok(())
    }

    fn name(&mut self) -> Result<(), Flaw> {
        self.string()?;
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return Err(self.flaw(if self.at < self.bytes.len() { FlawKind::Unexpected } else { FlawKind::Truncated }));
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn string(&mut self) -> Result<(), Flaw> {
        let skipped = text::skip(self.bytes, self.at + 1).map_err(|(at, kind)| Flaw { at, kind })?;
        self.push(if skipped.escaped { Kind::EscapedText } else { Kind::Text }, skipped.end)
    }

    fn scalar(&mut self, byte: u8) -> Result<(), Flaw> {
        match byte {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true", Kind::True),
            b'f' => self.word(b"false", Kind::False),
            b'n' => self.word(b"null", Kind::Null),
            _ => Err(self.flaw(FlawKind::Unexpected)),
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), Flaw> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(word) {
            self.push(kind, self.at + word.len())
        } else {
            Err(self.flaw(FlawKind::Unexpected))
        }
    }

    /// RFC 8259 section 6: `[-] int [frac] [exp]`, and within the range of a double, since a parser may read it as one.
    fn number(&mut self) -> Result<(), Flaw> {
        let start = self.at;
        let bad = Flaw { at: start, kind: FlawKind::BadNumber };
        let mut end = start + usize::from(self.peek() == Some(b'-'));
        let digits = self.digits_from(end);
        if digits == 0 || (digits > 1 && self.bytes.get(end) == Some(&b'0')) {
            return Err(bad);
        }
        end += digits;
        if self.bytes.get(end) == Some(&b'.') {
            let digits = self.digits_from(end + 1);
            if digits == 0 {
                return Err(bad);
            }
            end += 1 + digits;
        }
        let mut wide = digits > 300;
        if let Some(b'e' | b'E') = self.bytes.get(end) {
            let sign = usize::from(matches!(self.bytes.get(end + 1), Some(b'+' | b'-')));
            let digits = self.digits_from(end + 1 + sign);
            if digits == 0 {
                return Err(bad);
            }
            end += 1 + sign + digits;
            wide = true;
        }
        if wide && !self.text.get(start..end).and_then(|n| n.parse::<f64>().ok()).is_some_and(f64::is_finite) {
            return Err(bad);
        }
        self.push(Kind::Number, end)
    }

    fn digits_from(&self, at: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len())
    }

    /// Refuses two members of one decoded name. Linear in the object's size.
    fn check_names(&self, object: usize) -> Result<(), Flaw> {
        let mut seen: [&[u8]; FEW] = [&[]; FEW];
        for (count, name) in self.names(object).enumerate() {
            let raw = self.bytes.get(name.inside()).unwrap_or_default();
            let (Some(before), Kind::Text) = (seen.get(..count), name.kind) else { return self.check_many(object) };
            if before.contains(&raw) {
                return Err(Flaw { at: name.start as usize, kind: FlawKind::DuplicateName });
            }
            if let Some(place) = seen.get_mut(count) {
                *place = raw;
            }
        }
        Ok(())
    }

    /// The same for objects of many members or with escaped names. The hasher is keyed at random, so that no body can
    /// be made of names that collide.
    fn check_many(&self, object: usize) -> Result<(), Flaw> {
        let mut seen: HashSet<Cow<'_, str>> = HashSet::new();
        for name in self.names(object) {
            let raw = self.text.get(name.inside()).unwrap_or_default();
            let decoded = if name.kind == Kind::EscapedText {
                let mut decoded = String::new();
                text::decode(raw, &mut decoded);
                Cow::Owned(decoded)
            } else {
                Cow::Borrowed(raw)
            };
            if !seen.insert(decoded) {
                return Err(Flaw { at: name.start as usize, kind: FlawKind::DuplicateName });
            }
        }
        Ok(())
    }

    /// The nodes of an object's names.
    fn names(&self, object: usize) -> impl Iterator<Item = Node> + '_ {
        let mut at = object + 1;
        std::iter::from_fn(move || {
            let name = self.nodes.get(at).copied()?;
            at = self.nodes.get(at + 1)?.next as usize;
            Some(name)
        })
    }
}

/// Positions fit: a text of 4 GiB or more is refused before its tape is made.
#[expect(clippy::cast_possible_truncation, reason = "the text's length was checked to fit u32")]
const fn narrow(position: usize) -> u32 {
    position as u32
}
