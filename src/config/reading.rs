//! One file while it is read: its text, and what was found wrong with it so far.
//!
//! Flaws come in with places; faults go out with the file's name and an excerpt, in which no secret shows.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use super::fault::{Excerpt, Fault, Severity};
use super::mask;
use super::node::{Flaw, Place};

/// Most flaws that are kept of one file; more are counted.
const MOST_FLAWS: usize = 200;

/// Longest line that is shown as an excerpt, in bytes.
const LONGEST_EXCERPT: usize = 4096;

/// One file while it is read: its text and what was found wrong with it so far.
#[derive(Debug)]
pub struct Reading {
    file: Arc<str>,
    text: Arc<str>,
    origins: Vec<Arc<str>>,
    flaws: Vec<(Severity, Flaw)>,
    more: usize,
    faulty: bool,
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
                more: 0,
                faulty: false,
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
        self.faulty = true;
        self.keep(Severity::Error, flaw);
    }

    /// Notes something worth a look.
    pub fn warn(&mut self, flaw: Flaw) {
        self.keep(Severity::Warning, flaw);
    }

    fn keep(&mut self, severity: Severity, flaw: Flaw) {
        if self.flaws.len() < MOST_FLAWS {
            self.flaws.push((severity, flaw));
        } else {
            self.more += 1;
        }
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
    pub const fn is_faulty(&self) -> bool {
        self.faulty
    }

    /// What was found, with excerpts.
    pub fn close(mut self) -> impl Iterator<Item = Fault> {
        let flaws = std::mem::take(&mut self.flaws);
        let severity = if self.faulty { Severity::Error } else { Severity::Warning };
        let more = (self.more > 0).then(|| {
            let message = format!("{} more are not shown", self.more);
            Fault { severity, ..Fault::of_file(Arc::clone(&self.file), message) }
        });
        flaws.into_iter().map(move |(severity, flaw)| self.placed(severity, flaw)).chain(more)
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
        let hidden = self.hidden.get_or_init(|| {
            let all = mask::hidden(&self.text).into_iter().chain(self.unshown.iter().cloned());
            mask::merged(all.collect())
        });
        let end = at + line.len();
        let first = hidden.partition_point(|range| range.end <= at);
        let mut here = hidden.get(first..).unwrap_or_default();
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
            while here.first().is_some_and(|range| range.end <= byte) {
                here = here.get(1..).unwrap_or_default();
            }
            let secret = here.first().is_some_and(|range| range.contains(&byte));
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
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let start = memchr::memrchr(b'\n', before).map_or(0, |i| i + 1);
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
    use super::Reading;
    use crate::config::fault::Fault;
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
    fn a_file_of_nothing_but_faults_is_bounded_and_soon_done() {
        let text = "api_kye: x\n".repeat(50_000);
        let mut reading = Reading::open("a.yaml", text.as_bytes()).unwrap();
        for n in 0..50_000 {
            reading.hide(place(n + 1, 10, n * 11 + 9, n * 11 + 10));
            reading.wrong(place(n + 1, 1, n * 11, n * 11 + 7), "unknown key");
        }
        let faults: Vec<Fault> = reading.close().collect();
        assert_eq!(faults.len(), 201);
        assert_eq!(faults[200].to_string(), "a.yaml: 49800 more are not shown");
    }
}
