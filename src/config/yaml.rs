//! YAML text → a tree that remembers where everything stands.
//!
//! A strict subset of YAML 1.2: one document of maps, lists and scalars with text keys. What makes two readers
//! disagree or a small file large (duplicate keys, anchors, aliases, merge keys, tags, several documents) is refused.
//! Meaning is not looked for here: `shape` checks the tree against a format, `de` turns it into values.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::node::{Entry, Flaw, Kind, Node, Place, Scalar, Style, quoted};

/// Largest file that is read, in bytes.
pub(crate) const LARGEST_FILE_BYTES: usize = 1024 * 1024;

/// Deepest nesting of maps and lists.
pub(crate) const DEEPEST: usize = 64;

/// Reads one document.
///
/// # Errors
/// Every flaw of the tree itself; a syntax error is the last of them, as nothing after it can be read.
pub(crate) fn parse(text: &str) -> Result<Node, Vec<Flaw>> {
    let mut grower = Grower::new(text);
    // A byte order mark is no content, and its width would shift the first line's columns.
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    for event in Parser::new_from_str(body) {
        match event {
            Ok((event, span)) => {
                let place = grower.ruler.place(&span);
                grower.take(event, place);
                if grower.too_deep {
                    break;
                }
            }
            Err(error) => {
                let mark = *error.marker();
                let mut place = grower.ruler.place(&Span::empty(mark));
                // Where the last line has no end, the parser's mark stands on the line that would follow.
                place.line = place.line.min(last_line(body));
                let mut flaw = Flaw::new(place, format!("this is not YAML: {}", error.info()));
                if text.contains("${") {
                    flaw = flaw.help("inside { } or [ ], `${…}` must stand in quotes");
                }
                grower.flaws.push(flaw);
                break;
            }
        }
    }
    grower.finish()
}

/// The number of the line on which a text ends.
fn last_line(text: &str) -> u32 {
    narrow(1 + memchr::memchr_iter(b'\n', text.as_bytes()).count())
}

/// Turns the parser's marks, which count characters, into places, which also count bytes.
struct Ruler {
    /// Byte of each character and of the end; `None` where both counts agree.
    bytes: Option<Vec<u32>>,
    /// Width of a byte order mark.
    skipped: u32,
}

impl Ruler {
    fn new(text: &str) -> Self {
        let body = text.strip_prefix('\u{feff}').unwrap_or(text);
        let skipped = narrow(text.len() - body.len());
        let bytes = (!body.is_ascii())
            .then(|| body.char_indices().map(|(at, _)| narrow(at)).chain([narrow(body.len())]).collect());
        Self { bytes, skipped }
    }

    fn byte(&self, index: usize) -> u32 {
        let byte = match &self.bytes {
            None => narrow(index),
            Some(bytes) => bytes.get(index).or(bytes.last()).copied().unwrap_or_default(),
        };
        byte + self.skipped
    }

    fn place(&self, span: &Span) -> Place {
        Place {
            line: narrow(span.start.line()),
            column: narrow(span.start.col() + 1),
            start: self.byte(span.start.index()),
            end: self.byte(span.end.index().max(span.start.index())),
            origin: 0,
        }
    }
}

/// Files are at most a mebibyte, so nothing is lost.
fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A container whose end was not seen yet.
enum Open {
    List(Place, Vec<Node>),
    Map(Place, Vec<Entry>, Key),
}

/// What a map waits for.
enum Key {
    /// The next key.
    Awaited,
    /// The value of this key.
    Seen(String, Place),
    /// The value of a key that cannot be one.
    Bad,
}

struct Grower {
    ruler: Ruler,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    flaws: Vec<Flaw>,
    too_deep: bool,
}

impl Grower {
    fn new(text: &str) -> Self {
        Self { ruler: Ruler::new(text), open: Vec::new(), root: None, documents: 0, flaws: Vec::new(), too_deep: false }
    }

    fn take(&mut self, event: Event<'_>, place: Place) {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => self.start_document(place),
            Event::Alias(_) => {
                self.flaw(place, "aliases are not read here: write the value out");
                self.place_node(Node { place, kind: scalar(String::new(), Style::Quoted) });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(place, anchor, tag.is_some());
                let style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted };
                self.place_node(Node { place, kind: scalar(text.into_owned(), style) });
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_properties(place, anchor, tag.is_some());
                self.enter(Open::List(place, Vec::new()), place);
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_properties(place, anchor, tag.is_some());
                self.enter(Open::Map(place, Vec::new(), Key::Awaited), place);
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
        }
    }

    fn flaw(&mut self, place: Place, message: impl Into<String>) {
        self.flaws.push(Flaw::new(place, message));
    }

    fn start_document(&mut self, place: Place) {
        self.documents += 1;
        if self.documents == 2 {
            self.flaw(place, "a file holds one document: put the second into a file of its own");
        }
    }

    fn refuse_properties(&mut self, place: Place, anchor: usize, tagged: bool) {
        if anchor > 0 {
            self.flaw(place, "anchors are not read here: write the value out where it is needed");
        }
        if tagged {
            self.flaw(place, "tags are not read here: write the value alone");
        }
    }

    fn enter(&mut self, open: Open, place: Place) {
        if self.open.len() >= DEEPEST {
            self.flaw(place, format!("maps and lists nest deeper than {DEEPEST}"));
            self.too_deep = true;
        }
        self.open.push(open);
    }

    fn leave(&mut self) {
        match self.open.pop() {
            Some(Open::List(place, items)) => self.place_node(Node { place, kind: Kind::List(items) }),
            Some(Open::Map(place, entries, _)) => {
                let entries = self.without_duplicates(entries);
                self.place_node(Node { place, kind: Kind::Map(entries) });
            }
            None => {}
        }
    }

    fn place_node(&mut self, node: Node) {
        match self.open.last_mut() {
            None if self.documents <= 1 => self.root = Some(node),
            None => {}
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, key)) => match std::mem::replace(key, Key::Awaited) {
                Key::Seen(name, key_place) => entries.push(Entry { key: name, key_place, value: node }),
                Key::Bad => {}
                Key::Awaited => match key_of(node) {
                    Ok((name, place)) => *key = Key::Seen(name, place),
                    Err(flaw) => {
                        *key = Key::Bad;
                        self.flaws.push(flaw);
                    }
                },
            },
        }
    }

    fn without_duplicates(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut first: HashMap<&str, u32> = HashMap::with_capacity(entries.len());
        let mut twice = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            if let Some(line) = first.get(entry.key.as_str()) {
                let message = format!("the key {} stands here a second time", quoted(&entry.key));
                self.flaws.push(Flaw::new(entry.key_place, message).help(format!("it stands first in line {line}")));
                twice.push(at);
            } else {
                first.insert(&entry.key, entry.key_place.line);
            }
        }
        if twice.is_empty() {
            return entries;
        }
        entries.into_iter().enumerate().filter(|(at, _)| twice.binary_search(at).is_err()).map(|(_, e)| e).collect()
    }

    fn finish(mut self) -> Result<Node, Vec<Flaw>> {
        match self.root {
            Some(root) if self.flaws.is_empty() => Ok(root),
            None if self.flaws.is_empty() => {
                self.flaws.push(Flaw::new(Place { line: 1, column: 1, ..Place::default() }, "the file is empty"));
                Err(self.flaws)
            }
            _ => Err(self.flaws),
        }
    }
}

const fn scalar(text: String, style: Style) -> Kind {
    Kind::Scalar(Scalar { text, style })
}

fn key_of(node: Node) -> Result<(String, Place), Flaw> {
    match node.kind {
        Kind::Scalar(Scalar { text, style: Style::Plain }) if text == "<<" => {
            Err(Flaw::new(node.place, "merge keys are not read here: write the keys out"))
        }
        Kind::Scalar(scalar) if scalar.is_not_text() => {
            Err(Flaw::new(node.place, "a key must be text").help("put it in quotes"))
        }
        Kind::Scalar(scalar) => Ok((scalar.text, node.place)),
        Kind::List(_) | Kind::Map(_) => Err(Flaw::new(node.place, "a key must be text, not a list or a map")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::node::{Kind, Node, Place, Scalar, Style};
    use super::parse;

    fn flaws(text: &str) -> Vec<(u32, u32, String)> {
        parse(text).unwrap_err().into_iter().map(|f| (f.place.line, f.place.column, f.message)).collect()
    }

    fn only_flaw(text: &str, line: u32, column: u32, part: &str) {
        let found = flaws(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].0, found[0].1), (line, column), "{found:?}");
        assert!(found[0].2.contains(part), "{found:?}");
    }

    fn slice(text: &str, place: Place) -> &str {
        &text[place.start as usize..place.end as usize]
    }

    #[test]
    fn places_count_lines_columns_and_bytes_also_past_wide_characters() {
        for text in ["a: ü\nkey: é x # c\n", "\u{feff}a: ü\r\nkey: é x\r\n"] {
            let root = parse(text).unwrap();
            let node = root.get("key").unwrap();
            assert_eq!((node.place.line, node.place.column), (2, 6));
            assert_eq!(slice(text, node.place), "é x");
            let Kind::Map(entries) = &root.kind else { panic!("a map") };
            assert_eq!(slice(text, entries[1].key_place), "key");
        }
    }

    #[test]
    fn a_duplicate_key_is_a_flaw_at_the_second() {
        only_flaw("a: 1\nb: 2\na: 3\n", 3, 1, "second time");
        only_flaw("x: {a: 1, \"a\": 2}\n", 1, 11, "second time");
    }

    #[test]
    fn anchors_aliases_merge_keys_and_tags_are_refused() {
        assert_eq!(flaws("a: &x [1]\nb: *x\n").len(), 2);
        only_flaw("<<: {a: 1}\n", 1, 1, "merge");
        only_flaw("a: !!str 1\n", 1, 4, "tags");
        only_flaw("a: !env X\n", 1, 4, "tags");
    }

    #[test]
    fn a_second_document_is_refused() {
        only_flaw("a: 1\n---\nb: 1\n", 2, 1, "one document");
        parse("---\na: 1\n...\n").unwrap();
    }

    #[test]
    fn keys_are_text() {
        for bad in ["1: a\n", "true: a\n", "~: a\n", "1.5: a\n", "? [x]\n: a\n", "? {x: y}\n: a\n"] {
            let found = flaws(bad);
            assert_eq!(found.len(), 1, "{bad:?} {found:?}");
            assert!(found[0].2.contains("a key must be text"), "{bad:?}");
        }
        parse("\"1\": a\nno: b\n").unwrap();
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        parse(&deep(64)).unwrap();
        only_flaw(&deep(65), 1, 65, "deeper than 64");
        only_flaw(&"[".repeat(200), 1, 65, "deeper than 64");
        only_flaw(&"- ".repeat(200), 1, 129, "deeper than 64");
        assert_eq!(flaws(&"[".repeat(500_000)).len(), 1);
    }

    #[test]
    fn an_empty_file_is_a_flaw() {
        only_flaw("", 1, 1, "empty");
        only_flaw("# only a comment\n", 1, 1, "empty");
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        only_flaw("a: b: c\n", 1, 5, "not YAML");
        let flaw = parse("a: {b: ${X}}\n").unwrap_err().remove(0);
        assert!(flaw.help.unwrap().contains("quotes"));
    }

    #[test]
    fn all_flaws_of_a_tree_are_told_at_once() {
        assert_eq!(flaws("a: &x 1\nb: !t 2\na: 3\n1: x\n").len(), 4);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_places_are_inside(text in "[ -~\\n\\t\u{e4}\u{1f600}{}\\[\\]:,'\"|>&*!#%@-]{0,200}") {
            fn walk(node: &Node, len: usize) {
                assert!(node.place.start <= node.place.end && node.place.end as usize <= len);
                match &node.kind {
                    Kind::Scalar(_) => {}
                    Kind::List(items) => items.iter().for_each(|n| walk(n, len)),
                    Kind::Map(entries) => entries.iter().for_each(|e| walk(&e.value, len)),
                }
            }
            if let Ok(root) = parse(&text) {
                walk(&root, text.len());
            }
        }

        #[test]
        fn a_bare_scalar_is_what_its_source_slice_says(word in "[a-z][a-z0-9.]{0,20}") {
            let text = format!("key: {word}\n");
            let root = parse(&text).unwrap();
            let node = root.get("key").unwrap();
            prop_assert_eq!(slice(&text, node.place), &word);
            prop_assert_eq!(node.scalar().unwrap(), &Scalar { text: word, style: Style::Plain });
        }
    }
}
