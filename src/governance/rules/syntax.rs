//! Grammar of a rule: tokens → a tree that remembers places. Names and types are `check`'s business.
//!
//! CEL's precedences: `||`, then `&&`, then the comparisons and `in`, then `!` and `-`. Comparisons do not chain here:
//! `a == b == c` is a mistake far more often than a meaning.

use crate::governance::rules::Fault;
use crate::governance::rules::token::{Lexeme, Token, read};

/// How deep parentheses and `!` may nest.
pub(super) const DEEPEST: usize = 64;

/// Part of an expression, and where it begins.
#[derive(Debug)]
pub(super) struct Syntax<'a> {
    pub(super) at: usize,
    pub(super) kind: Kind<'a>,
}

/// What a part is.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    Bool(bool),
    Int(i64),
    Text(String),
    /// `a.b`, each name with its place.
    Path(Vec<(&'a str, usize)>),
    /// `a["b"]`.
    Index(Vec<(&'a str, usize)>, String),
    /// `a.b(…)`.
    Call(Vec<(&'a str, usize)>, Vec<Syntax<'a>>),
    List(Vec<Syntax<'a>>),
    Not(Box<Syntax<'a>>),
    Negate(Box<Syntax<'a>>),
    All(Vec<Syntax<'a>>),
    Any(Vec<Syntax<'a>>),
    /// The operator's own place is kept for messages about both sides.
    Compare(Comparison, usize, Box<(Syntax<'a>, Syntax<'a>)>),
}

/// What is asked of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Comparison {
    /// As it is written.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }

    fn of(token: &Token<'_>) -> Option<Self> {
        Some(match token {
            Token::Symbol("==") => Self::Equal,
            Token::Symbol("!=") => Self::NotEqual,
            Token::Symbol("<") => Self::Less,
            Token::Symbol("<=") => Self::LessOrEqual,
            Token::Symbol(">") => Self::Greater,
            Token::Symbol(">=") => Self::GreaterOrEqual,
            Token::Name("in") => Self::In,
            Token::Name(_) | Token::Int(_) | Token::Text(_) | Token::Symbol(_) | Token::End => return None,
        })
    }
}

/// Reads a whole expression.
pub(super) fn parse(source: &str) -> Result<Syntax<'_>, Fault> {
    let mut parser = Parser { words: read(source)?, next: 0, depth: 0 };
    let whole = parser.any()?;
    if *parser.peek() == Token::End {
        return Ok(whole);
    }
    Err(Fault::new(parser.at(), format!("{} does not belong here", shown(parser.peek()))))
}

struct Parser<'a> {
    words: Vec<Lexeme<'a>>,
    next: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &Token<'a> {
        self.words.get(self.next).map_or(&Token::End, |word| &word.token)
    }

    fn at(&self) -> usize {
        self.words.get(self.next).or(self.words.last()).map_or(0, |word| word.at)
    }

    fn take(&mut self, symbol: &'static str) -> bool {
        let there = *self.peek() == Token::Symbol(symbol);
        self.next += usize::from(there);
        there
    }

    fn expect(&mut self, symbol: &'static str) -> Result<(), Fault> {
        if self.take(symbol) {
            return Ok(());
        }
        Err(Fault::new(self.at(), format!("expected `{symbol}` instead of {}", shown(self.peek()))))
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth == DEEPEST {
            return Err(Fault::new(self.at(), format!("nested deeper than {DEEPEST} levels")));
        }
        self.depth += 1;
        let out = inner(self);
        self.depth -= 1;
        out
    }

    fn any(&mut self) -> Result<Syntax<'a>, Fault> {
        self.joined("||", Self::all, Kind::Any)
    }

    fn all(&mut self) -> Result<Syntax<'a>, Fault> {
        self.joined("&&", Self::comparison, Kind::All)
    }

    fn joined(
        &mut self,
        symbol: &'static str,
        part: fn(&mut Self) -> Result<Syntax<'a>, Fault>,
        kind: fn(Vec<Syntax<'a>>) -> Kind<'a>,
    ) -> Result<Syntax<'a>, Fault> {
        let first = part(self)?;
        if *self.peek() != Token::Symbol(symbol) {
            return Ok(first);
        }
        let at = first.at;
        let mut parts = vec![first];
        while self.take(symbol) {
            parts.push(part(self)?);
        }
        Ok(Syntax { at, kind: kind(parts) })
    }

    fn comparison(&mut self) -> Result<Syntax<'a>, Fault> {
        let left = self.unary()?;
        let Some(comparison) = Comparison::of(self.peek()) else { return Ok(left) };
        let operator_at = self.at();
        self.next += 1;
        let right = self.unary()?;
        if let Some(second) = Comparison::of(self.peek()) {
            let message = format!(
                "comparisons do not chain: join them with `&&`, or put parentheses before `{}`",
                second.as_str()
            );
            return Err(Fault::new(self.at(), message));
        }
        Ok(Syntax { at: left.at, kind: Kind::Compare(comparison, operator_at, Box::new((left, right))) })
    }

    fn unary(&mut self) -> Result<Syntax<'a>, Fault> {
        let at = self.at();
        if self.take("!") {
            let inner = self.deeper(Self::unary)?;
            return Ok(Syntax { at, kind: Kind::Not(Box::new(inner)) });
        }
        if !self.take("-") {
            return self.primary();
        }
        if let Token::Int(magnitude) = *self.peek() {
            self.next += 1;
            let value = 0i64.checked_sub_unsigned(magnitude).ok_or_else(|| too_large(at))?;
            return Ok(Syntax { at, kind: Kind::Int(value) });
        }
        let inner = self.deeper(Self::unary)?;
        Ok(Syntax { at, kind: Kind::Negate(Box::new(inner)) })
    }

    fn primary(&mut self) -> Result<Syntax<'a>, Fault> {
        let at = self.at();
        let token = self.peek().clone();
        self.next += 1;
        let kind = match token {
            Token::Int(magnitude) => Kind::Int(i64::try_from(magnitude).map_err(|_| too_large(at))?),
            Token::Text(text) => Kind::Text(text),
            Token::Name("true") => Kind::Bool(true),
            Token::Name("false") => Kind::Bool(false),
            Token::Name(name @ ("null" | "in")) => {
                return Err(Fault::new(at, format!("`{name}` is not a value that a rule knows")));
            }
            Token::Name(name) => return self.path(name, at),
            Token::Symbol("(") => {
                let inner = self.deeper(Self::any)?;
                self.expect(")")?;
                inner.kind
            }
            Token::Symbol("[") => Kind::List(self.list("]")?),
            Token::Symbol(_) | Token::End => {
                return Err(Fault::new(at, format!("expected a value instead of {}", shown(&token))));
            }
        };
        if let Token::Symbol(symbol @ ("." | "[" | "(")) = self.peek() {
            return Err(Fault::new(self.at(), format!("`{symbol}` may follow a name only")));
        }
        Ok(Syntax { at, kind })
    }

    fn path(&mut self, first: &'a str, at: usize) -> Result<Syntax<'a>, Fault> {
        let mut path = vec![(first, at)];
        while self.take(".") {
            let Token::Name(name) = *self.peek() else {
                return Err(Fault::new(
                    self.at(),
                    format!("expected a name after `.` instead of {}", shown(self.peek())),
                ));
            };
            path.push((name, self.at()));
            self.next += 1;
        }
        let kind = if self.take("(") {
            Kind::Call(path, self.list(")")?)
        } else if self.take("[") {
            let Token::Text(key) = self.peek().clone() else {
                return Err(Fault::new(self.at(), "expected a string between `[` and `]`"));
            };
            self.next += 1;
            self.expect("]")?;
            Kind::Index(path, key)
        } else {
            Kind::Path(path)
        };
        if let Token::Symbol(symbol @ ("." | "[" | "(")) = self.peek() {
            return Err(Fault::new(self.at(), format!("`{symbol}` may follow a name only")));
        }
        Ok(Syntax { at, kind })
    }

    /// The rest of a list, up to `end`; CEL allows one comma before it.
    fn list(&mut self, end: &'static str) -> Result<Vec<Syntax<'a>>, Fault> {
        let mut items = Vec::new();
        loop {
            if self.take(end) {
                return Ok(items);
            }
            items.push(self.deeper(Self::any)?);
            if !self.take(",") {
                self.expect(end)?;
                return Ok(items);
            }
        }
    }
}

fn too_large(at: usize) -> Fault {
    Fault::new(at, "the number does not fit in 64 bits with a sign")
}

fn shown(token: &Token<'_>) -> String {
    match token {
        Token::Name(name) => format!("`{name}`"),
        Token::Int(n) => format!("`{n}`"),
        Token::Text(_) => "a string".to_owned(),
        Token::Symbol(symbol) => format!("`{symbol}`"),
        Token::End => "the end".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{DEEPEST, Kind, parse};

    #[test]
    fn bad_grammar_is_refused_at_its_place() {
        for (source, at, part) in [
            ("", 0, "expected a value instead of the end"),
            ("a.b ==", 6, "instead of the end"),
            ("a.b c", 4, "`c` does not belong here"),
            ("(a.b", 4, "expected `)`"),
            ("a.b == 1 == true", 9, "do not chain"),
            ("a. == 1", 3, "a name after `.`"),
            ("\"x\".size()", 3, "may follow a name only"),
            ("metadata[1]", 9, "expected a string"),
            ("null == 1", 0, "`null`"),
            ("9223372036854775808 == 1", 0, "64 bits"),
            ("-9223372036854775809 == 1", 0, "64 bits"),
        ] {
            let fault = parse(source).unwrap_err();
            assert_eq!((fault.offset, fault.message.contains(part)), (at, true), "{source}: {}", fault.message);
        }
    }

    #[test]
    fn the_smallest_number_is_a_number() {
        assert!(matches!(parse("-9223372036854775808").unwrap().kind, Kind::Int(i64::MIN)));
    }

    #[test]
    fn and_binds_closer_than_or() {
        let Kind::Any(parts) = parse("a || b && c || d").unwrap().kind else { panic!() };
        assert!(matches!(parts.as_slice(), [_, super::Syntax { kind: Kind::All(_), .. }, _]));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n| format!("{}true{}", "(".repeat(n), ")".repeat(n));
        parse(&nested(DEEPEST)).unwrap();
        parse(&nested(DEEPEST + 1)).unwrap_err();
        parse(&format!("{}true", "!".repeat(DEEPEST + 1))).unwrap_err();
        parse(&format!("{}true", "(!".repeat(2000))).unwrap_err();
    }

    proptest! {
        #[test]
        fn any_words_are_parsed_or_refused(
            words in prop::collection::vec(prop::sample::select(&[
                "a", ".", "(", ")", "[", "]", "!", "-", "==", "in", "&&", "||", "1", "'x'", ",", "true", "<",
            ]), 0..40),
        ) {
            let source = words.join(" ");
            if let Err(fault) = parse(&source) {
                prop_assert!(fault.offset <= source.len());
            }
        }
    }
}
