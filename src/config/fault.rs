//! What is wrong with a file, where, and what to do about it.
//!
//! [`Reading`] is one file while it is read: it collects flaws and turns them into [`Fault`]s with an excerpt in which
//! no secret shows. [`Faults`] is all that is wrong at once. Terminals get excerpts, logs and `/readyz` one line each.

use std::cell::OnceCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use super::mask;
use super::node::{Flaw, Place};

/// Most faults that are kept; more are counted.
pub const MOST_FAULTS: usize = 1000;

/// Longest line that is shown as an excerpt, in bytes.
const LONGEST_EXCERPT: usize = 4096;

/// Whether a finding refuses the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// They are not used.
    Error,
    /// They are used; somebody should look.
    Warning,
}

/// One thing wrong at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whether it refuses the files.
    pub severity: Severity,
    /// The file, as it was named to us, or `$NAME` for an environment variable.
    pub file: Arc<str>,
    /// Line from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// Column from 1, in characters; 0 when the file as a whole is meant.
    pub column: u32,
    /// The bytes of the file that are meant.
    pub span: Range<usize>,
    /// What is wrong: one line, no secret.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    excerpt: Option<Excerpt>,
}

/// The line that is meant, secrets hidden, and the bytes of it to point at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    line: String,
    span: Range<usize>,
}

impl Fault {
    /// A fault of a file as a whole: it cannot be read, or is not expected where it is.
    pub fn of_file(file: impl Into<Arc<str>>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.into(),
            line: 0,
            column: 0,
            span: 0..0,
            message: message.into(),
            help: None,
            excerpt: None,
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same as a warning.
    #[must_use]
    pub const fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// As a paragraph with excerpt and caret; `styled` adds terminal colours.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let group = level.primary_title(self.message.as_str());
        let mut group = match &self.excerpt {
            Some(excerpt) => group.element(
                Snippet::source(excerpt.line.as_str())
                    .line_start(self.line as usize)
                    .path(&*self.file)
                    .annotation(AnnotationKind::Primary.span(excerpt.span.clone())),
            ),
            None if self.line > 0 => {
                group.element(Origin::path(&*self.file).line(self.line as usize).char_column(self.column as usize))
            }
            None => group.element(Origin::path(&*self.file)),
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// One line: `file:line:column: message`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
        } else {
            write!(f, "{}: {}", self.file, self.message)
        }
    }
}

/// All that is wrong, in the order of files and lines once [`sorted`](Faults::sorted).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    list: Vec<Fault>,
    more: usize,
}

impl Faults {
    /// Keeps one more; beyond [`MOST_FAULTS`] it is only counted.
    pub fn push(&mut self, fault: Fault) {
        if self.list.len() < MOST_FAULTS {
            self.list.push(fault);
        } else {
            self.more += 1;
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are, the merely counted ones too.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.list.len() + self.more
    }

    /// The kept ones.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.list.iter()
    }

    /// The same, in the order of files, lines and columns.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.list.sort_by(|a, b| (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message)));
        self
    }

    /// All as paragraphs with excerpts, a blank line between; `styled` adds terminal colours.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let mut paragraphs: Vec<String> = self.list.iter().map(|fault| fault.render(styled)).collect();
        if self.more > 0 {
            paragraphs.push(format!("… and {} more", self.more));
        }
        paragraphs.join("\n\n")
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self { list: vec![fault], more: 0 }
    }
}

impl IntoIterator for Faults {
    type Item = Fault;
    type IntoIter = std::vec::IntoIter<Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The first fault in one line, and how many more there are.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.list.first() {
            None => f.write_str("no fault"),
            Some(first) if self.len() == 1 => write!(f, "{first}"),
            Some(first) => write!(f, "{first} (and {} more)", self.len() - 1),
        }
    }
}

impl std::error::Error for Faults {}

/// One file while it is read: its text and what was found wrong with it so far.
#[derive(Debug)]
pub struct Reading {
    file: Arc<str>,
    text: Arc<str>,
    origins: Vec<Arc<str>>,
    flaws: Vec<(Severity, Flaw)>,
    unshown: Vec<Range<usize>>,
    hidden: OnceCell<Vec<Range<usize>>>,
}

impl Reading {
    /// Opens a file that was read as `bytes` and is shown as `file`.
    ///
    /// # Errors
    /// A fault when it is larger than a mebibyte or not UTF-8.
    pub fn open(file: impl Into<Arc<str>>, bytes: &[u8]) -> Result<Self, Box<Fault>> {
        let file = file.into();
        if bytes.len() > super::yaml::LARGEST_FILE_BYTES {
            return Err(Box::new(Fault::of_file(file, "the file is larger than 1 MiB")));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self {
                file,
                text: Arc::from(text),
                origins: Vec::new(),
                flaws: Vec::new(),
                unshown: Vec::new(),
                hidden: OnceCell::new(),
            }),
            Err(error) => Err(Box::new(not_utf8(file, bytes, error.valid_up_to()))),
        }
    }

    /// The name the file is shown by.
    #[must_use]
    pub const fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A place that stands for an environment variable, which overrides what the file says.
    pub fn origin(&mut self, variable: &str) -> Place {
        self.origins.push(Arc::from(format!("${variable}")));
        Place { origin: u32::try_from(self.origins.len()).unwrap_or(u32::MAX), ..Place::default() }
    }

    /// Notes something wrong.
    pub fn fault(&mut self, flaw: Flaw) {
        self.flaws.push((Severity::Error, flaw));
    }

    /// Notes something worth a look.
    pub fn warn(&mut self, flaw: Flaw) {
        self.flaws.push((Severity::Warning, flaw));
    }

    /// Notes something wrong at `place`.
    pub fn wrong(&mut self, place: Place, message: impl Into<String>) {
        self.fault(Flaw::new(place, message));
    }

    /// Hides these bytes in every excerpt.
    pub fn hide(&mut self, place: Place) {
        if place.origin == 0 {
            self.unshown.push(place.start as usize..place.end as usize);
        }
    }

    /// Whether something wrong was noted, warnings apart.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.flaws.iter().any(|(severity, _)| *severity == Severity::Error)
    }

    /// What was found, with excerpts.
    pub fn close(mut self) -> impl Iterator<Item = Fault> {
        let flaws = std::mem::take(&mut self.flaws);
        flaws.into_iter().map(move |(severity, flaw)| self.placed(severity, flaw))
    }

    fn placed(&self, severity: Severity, flaw: Flaw) -> Fault {
        let Flaw { place, message, help } = flaw;
        let variable = (place.origin as usize).checked_sub(1).and_then(|at| self.origins.get(at));
        if let Some(variable) = variable {
            return Fault { severity, help, ..Fault::of_file(Arc::clone(variable), message) };
        }
        Fault {
            severity,
            file: Arc::clone(&self.file),
            line: place.line,
            column: place.column,
            span: place.start as usize..place.end as usize,
            message,
            help,
            excerpt: self.excerpt(place),
        }
    }

    /// The line of `place`, characters that may not be shown replaced one by one, so that columns stay true.
    fn excerpt(&self, place: Place) -> Option<Excerpt> {
        let (at, line) = line_of(&self.text, place)?;
        if line.len() > LONGEST_EXCERPT {
            return None;
        }
        let hidden = self.hidden.get_or_init(|| mask::hidden(&self.text));
        let end = at + line.len();
        let covers = |byte: usize| move |range: &&Range<usize>| range.contains(&byte);
        let first = hidden.partition_point(|range| range.end <= at);
        let here: Vec<&Range<usize>> = hidden.iter().skip(first).take_while(|r| r.start < end).collect();
        let from = (place.start as usize).clamp(at, end) - at;
        let to = (place.end as usize).clamp(at + from, end) - at;
        let mut shown = String::with_capacity(line.len());
        let (mut shown_from, mut shown_to) = (None, None);
        for (offset, c) in line.char_indices() {
            if offset >= from && shown_from.is_none() {
                shown_from = Some(shown.len());
            }
            if offset >= to && shown_to.is_none() {
                shown_to = Some(shown.len());
            }
            let byte = at + offset;
            let secret =
                here.iter().copied().any(|r| r.contains(&byte)) || self.unshown.iter().find(covers(byte)).is_some();
            shown.push(if secret { '*' } else { c });
        }
        let whole = shown.len();
        Some(Excerpt { span: shown_from.unwrap_or(whole)..shown_to.unwrap_or(whole), line: shown })
    }
}

/// The first byte and the text of the line that `place` begins in.
fn line_of(text: &str, place: Place) -> Option<(usize, &str)> {
    if place.line == 0 || text.is_empty() {
        return None;
    }
    let at = (place.start as usize).min(text.len());
    let start = text.get(..at)?.rfind('\n').map_or(0, |i| i + 1);
    let line = text.get(start..)?;
    let line = line.split('\n').next().unwrap_or(line);
    Some((start, line.trim_end_matches('\r')))
}

fn not_utf8(file: Arc<str>, bytes: &[u8], at: usize) -> Fault {
    let before = bytes.get(..at).unwrap_or_default();
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let column = before.get(start..).map_or(0, |tail| String::from_utf8_lossy(tail).chars().count()) + 1;
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Fault {
        line: narrow(line),
        column: narrow(column),
        span: at..at + 1,
        ..Fault::of_file(file, "the file is not UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Faults, MOST_FAULTS, Reading};
    use crate::config::node::{Flaw, Place};

    const fn place(line: u32, column: u32, start: u32, end: u32) -> Place {
        Place { line, column, start, end, origin: 0 }
    }

    fn only(reading: Reading) -> Fault {
        reading.close().next().unwrap()
    }

    #[test]
    fn a_fault_is_shown_with_its_line_a_caret_and_help() {
        let mut reading = Reading::open("a.yaml", b"x: 1\ncolour: red\n").unwrap();
        reading.fault(Flaw::new(place(2, 1, 5, 11), "unknown key `colour`").help("did you mean `color`?"));
        let fault = only(reading);
        assert_eq!(fault.to_string(), "a.yaml:2:1: unknown key `colour`");
        let text = fault.render(false);
        for part in [
            "error: unknown key `colour`",
            " --> a.yaml:2:1",
            "2 | colour: red",
            "| ^^^^^^",
            "help: did you mean `color`?",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "plain has no colour");
        assert!(fault.render(true).contains('\u{1b}'));
    }

    #[test]
    fn a_secret_never_shows_and_columns_stay_true() {
        let text = "a: {hash: \"S€CRET\", rolse: []}\n";
        let at = text.find("rolse").unwrap();
        let mut reading = Reading::open("a.yaml", text.as_bytes()).unwrap();
        let byte = u32::try_from(at).unwrap();
        reading.wrong(place(1, 21, byte, byte + 5), "unknown key `rolse`");
        let fault = only(reading);
        let shown = fault.render(false);
        assert!(!shown.contains("CRET"), "{shown}");
        assert!(shown.contains("a.yaml:1:21"), "{shown}");
        assert!(shown.contains("rolse"), "{shown}");
    }

    #[test]
    fn what_is_hidden_by_hand_does_not_show_either() {
        let mut reading = Reading::open("a.yaml", b"api_kye: S3CR3T\n").unwrap();
        reading.hide(place(1, 10, 9, 15));
        reading.wrong(place(1, 1, 0, 7), "unknown key `api_kye`");
        assert!(!only(reading).render(false).contains("S3CR3T"));
    }

    #[test]
    fn a_fault_of_an_override_names_the_variable() {
        let mut reading = Reading::open("a.yaml", b"x: 1\n").unwrap();
        let place = reading.origin("PORTCULLIS__X");
        reading.wrong(place, "`x` must be text");
        assert_eq!(only(reading).to_string(), "$PORTCULLIS__X: `x` must be text");
    }

    #[test]
    fn a_file_that_is_not_utf8_has_the_place_of_the_bad_byte() {
        let fault = Reading::open("a.yaml", b"a: 1\nb: \xff\n").unwrap_err();
        assert_eq!(fault.to_string(), "a.yaml:2:4: the file is not UTF-8");
    }

    #[test]
    fn a_huge_file_is_refused_unread() {
        Reading::open("a.yaml", &vec![b' '; 1024 * 1024 + 1]).unwrap_err();
    }

    #[test]
    fn a_place_at_the_end_of_a_file_is_shown() {
        let mut reading = Reading::open("a.yaml", b"a: [").unwrap();
        reading.wrong(place(2, 1, 4, 4), "unfinished");
        assert!(only(reading).render(false).contains("unfinished"));
    }

    #[test]
    fn faults_are_bounded_and_counted() {
        let mut faults = Faults::default();
        for _ in 0..MOST_FAULTS + 5 {
            faults.push(Fault::of_file("a.yaml", "bad"));
        }
        assert_eq!(faults.len(), MOST_FAULTS + 5);
        assert!(faults.render(false).ends_with("… and 5 more"));
        assert_eq!(faults.to_string(), "a.yaml: bad (and 1004 more)");
    }
}
