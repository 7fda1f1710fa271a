//! The floor plan holds: a room imports only rooms declared above it in `src/lib.rs`.
//!
//! Read are all files under `src/` but `main.rs`, the door, which may use every room. Looked for is every path that
//! leaves its room: `crate::room`, `crate::{a, b::c}`, `super::…::room` that climbs to the top, in imports and in
//! code, macros and `#[cfg(test)]` modules included: a test that needs a higher room belongs into `tests/`. Comments
//! and literals are not code. A glob over the crate is a fault, because it hides what it takes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a file that cannot be read is a failed test")]

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// One import that goes up.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Upward {
    file: PathBuf,
    line: usize,
    room: String,
    taken: String,
}

impl fmt::Display for Upward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, room, taken } = self;
        write!(f, "{}:{line}: `{room}` takes `{taken}`, which is not below it", file.display())
    }
}

#[test]
fn every_room_imports_only_rooms_below_it() {
    let faults = survey(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} imports go up:\n{}", shown.len(), shown.join("\n"));
}

#[test]
fn the_ways_of_reaching_up_are_all_found() {
    for (taken, line, code) in [
        ("top", 1, "use crate::top::Thing;"),
        ("top", 1, "pub(crate) use crate::top;"),
        ("top", 2, "use crate::{\n    ground::{Word, other::{Deep}}, top::{A, B}};"),
        ("top", 1, "use crate::{ground as g, top as t};"),
        ("top", 1, "fn f() { crate::top::f() }"),
        ("top", 1, "macro_rules! m { () => { $crate::top::f() } }"),
        ("top", 3, "/* a\n /* nested */ b */\nuse crate :: top;"),
        ("top", 2, "const A: &str = r#\"\n\"#; use crate::top;"),
        ("top", 1, "const Q: char = '\"'; use crate::top;"),
        ("top", 1, "#[cfg(test)] mod tests { use crate::top::f; }"),
        ("top", 1, "use super::top;"),
        ("top", 1, "mod inner { use super::super::top; }"),
        ("top", 1, "use super::{ground, top};"),
        ("*", 1, "use crate::*;"),
    ] {
        let found = read(Path::new("middle.rs"), code, &["ground", "middle", "top"]);
        let found: Vec<_> = found.iter().map(|up| (up.taken.as_str(), up.line)).collect();
        assert_eq!(found, [(taken, line)], "{code}");
    }
}

#[test]
fn what_stays_below_or_inside_or_is_no_code_is_let_be() {
    for code in [
        "use crate::ground::{self, Word};",
        "use crate::middle::part::Own;",
        "use crate::{ground, middle::part};",
        "// use crate::top;\n/// [`crate::top`]\n//! crate::top",
        "/* crate::top */",
        "const A: &str = \"crate::top\"; const B: &[u8] = b\"crate::top \\\" crate::top\";",
        "fn f<'a>(x: &'a str) -> &'a str { x } // crate::top",
        "use top::Foreign;",
        "mod inner { use super::top_level_of_this_file; }",
        "use mycrate::top;",
    ] {
        assert_eq!(read(Path::new("middle.rs"), code, &["ground", "middle", "top"]), [], "{code}");
    }
    let deep = read(Path::new("middle/part.rs"), "use super::top; use super::super::top;", &["middle", "top"]);
    assert_eq!(deep.len(), 1, "only the second one leaves the room: {deep:?}");
}

#[test]
fn a_room_without_a_place_in_the_plan_is_found() {
    assert_eq!(read(Path::new("stray.rs"), "", &["ground"]).len(), 1);
}

#[test]
fn the_plan_is_read_in_its_order() {
    assert_eq!(plan("pub mod b;\n// mod not;\npub mod a;\nmod c;"), ["b", "a", "c"]);
}

/// All faults of the tree at `src`.
fn survey(src: &Path) -> BTreeSet<Upward> {
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let plan = plan(&text(&src.join("lib.rs")));
    let plan: Vec<&str> = plan.iter().map(String::as_str).collect();
    assert!(plan.len() > 10, "the mod list of lib.rs was not understood: {plan:?}");
    let mut faults = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for file in files_under(src) {
        let inside = file.strip_prefix(src).unwrap();
        if inside == Path::new("lib.rs") || inside == Path::new("main.rs") {
            continue;
        }
        seen.insert(room_of(inside));
        faults.extend(read(inside, &text(&file), &plan));
    }
    let rooms: BTreeSet<String> = plan.iter().map(|room| (*room).to_owned()).collect();
    assert_eq!(rooms.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new(), "rooms without a file");
    faults
}

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_under(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// The rooms in the order of the mod list.
fn plan(lib: &str) -> Vec<String> {
    let code = code_of(lib);
    let line =
        |line: &str| Some(line.trim().trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')?.to_owned());
    code.lines().filter_map(line).collect()
}

/// The room a file belongs to: the first part of its path inside `src`.
fn room_of(inside: &Path) -> String {
    let first = inside.iter().next().unwrap_or_default();
    Path::new(first).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// How many modules deep the file's own items lie below the crate.
fn depth_of(inside: &Path) -> usize {
    inside.iter().count() - usize::from(inside.file_name().is_some_and(|name| name == "mod.rs"))
}

/// The upward imports of one file.
fn read(inside: &Path, text: &str, plan: &[&str]) -> Vec<Upward> {
    let room = room_of(inside);
    let fault = |line, taken: &str| Upward { file: inside.into(), line, room: room.clone(), taken: taken.to_owned() };
    let Some(own_floor) = plan.iter().position(|known| *known == room) else {
        return vec![fault(1, "no place in the mod list")];
    };
    let code = code_of(text);
    let is_up = |taken: &str| {
        taken == "*" || plan.iter().position(|known| *known == taken).is_some_and(|floor| floor > own_floor)
    };
    crate_paths(&code, depth_of(inside))
        .into_iter()
        .flat_map(|at| first_names(&code, at))
        .filter(|(_, taken)| is_up(taken))
        .map(|(at, taken)| fault(code[..at].matches('\n').count() + 1, &taken))
        .collect()
}

/// Where, behind a `::`, a path goes on at the top of the crate.
fn crate_paths(code: &str, file_depth: usize) -> Vec<usize> {
    let mut found = Vec::new();
    // The braces open around the current place, and whether each one is an inline module's.
    let mut braces: Vec<bool> = Vec::new();
    let mut last_words = ["", ""];
    let mut at = 0;
    while let Some(c) = code[at..].chars().next() {
        if is_word(c) {
            let word = word_at(code, at);
            let end = at + word.len();
            // `super::super::x` is read as a whole from its first `super`.
            if word == "crate" {
                found.extend(after_colons(code, end));
            } else if word == "super" {
                let (climbed, behind, next) = climb(code, at);
                let depth = file_depth + braces.iter().filter(|module| **module).count();
                found.extend(behind.filter(|_| climbed >= depth));
                at = next;
                continue;
            }
            last_words = [last_words[1], word];
            at = end;
            continue;
        }
        match c {
            '{' => braces.push(last_words[0] == "mod"),
            '}' => drop(braces.pop()),
            _ => {}
        }
        if !c.is_whitespace() {
            // Only whitespace may stand between `mod name` and its brace.
            last_words = ["", ""];
        }
        at += c.len_utf8();
    }
    found
}

/// Follows `super::super::`: how far it climbs, where the path goes on, and where reading goes on.
fn climb(code: &str, mut at: usize) -> (usize, Option<usize>, usize) {
    let mut climbed = 0;
    loop {
        climbed += 1;
        let end = at + "super".len();
        match after_colons(code, end) {
            Some(next) if word_at(code, next) == "super" => at = next,
            behind => return (climbed, behind, behind.unwrap_or(end)),
        }
    }
}

/// The place behind `::`, if that is what follows.
fn after_colons(code: &str, at: usize) -> Option<usize> {
    let rest = code[at..].trim_start().strip_prefix("::")?;
    Some(code.len() - rest.trim_start().len())
}

/// The first names of a path or of each path in a group, with their places.
fn first_names(code: &str, at: usize) -> Vec<(usize, String)> {
    let rest = &code[at..];
    if !rest.starts_with('{') {
        let name = if rest.starts_with('*') { "*" } else { word_at(code, at) };
        return vec![(at, name.to_owned())];
    }
    let mut names = Vec::new();
    let (mut depth, mut expects_name) = (0_usize, false);
    let mut here = at;
    while let Some(c) = code[here..].chars().next() {
        match c {
            '{' => {
                depth += 1;
                expects_name = depth == 1;
            }
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => expects_name = true,
            '*' if expects_name => {
                names.push((here, "*".to_owned()));
                expects_name = false;
            }
            _ if is_word(c) => {
                let word = word_at(code, here);
                if expects_name {
                    names.push((here, word.to_owned()));
                    expects_name = false;
                }
                here += word.len();
                continue;
            }
            _ => {}
        }
        here += c.len_utf8();
    }
    names
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word_at(code: &str, at: usize) -> &str {
    let rest = &code[at..];
    &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
}

/// The text with comments and literals blanked; lines and byte positions stay what they are.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let behind_word = code.chars().next_back().is_some_and(is_word);
        let length = not_code(&text[at..], behind_word);
        if length == 0 {
            code.push(c);
            at += c.len_utf8();
            continue;
        }
        code.extend(text[at..at + length].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        at += length;
    }
    code
}

/// How many bytes of a comment or literal stand at the start of `rest`; 0 where there is code.
fn not_code(rest: &str, behind_word: bool) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if !behind_word {
        for prefix in ["r", "br", "cr"] {
            if let Some(length) = rest.strip_prefix(prefix).and_then(raw_text) {
                return prefix.len() + length;
            }
        }
    }
    match rest.as_bytes() {
        [b'"', ..] => quoted(rest, '"'),
        // A lifetime is code, a character is not: `'a'` and `'\n'` against `'a`.
        [b'\'', b'\\', ..] => quoted(rest, '\''),
        [b'\'', ..] => {
            let inner = rest[1..].chars().next().map_or(0, char::len_utf8);
            if rest[1 + inner..].starts_with('\'') { inner + 2 } else { 0 }
        }
        _ => 0,
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of `#"…"#` with any number of hashes, at the start.
fn raw_text(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let inner = rest[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(hashes + 1 + inner.find(&close).map_or(inner.len(), |end| end + close.len()))
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, c)) = letters.next() {
        if c == '\\' {
            letters.next();
        } else if c == quote {
            return at + 1;
        }
    }
    rest.len()
}
