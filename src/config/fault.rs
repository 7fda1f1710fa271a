//! What is wrong with a file, where, and what to do about it.
//!
//! [`Faults`] is all that is wrong at once. Terminals get excerpts, logs and `/readyz` one line each. Faults are made by
//! `reading`, which sees to it that no secret stands in them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

/// Most faults that are kept; more are counted.
pub const MOST_FAULTS: usize = 1000;

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
    pub(super) excerpt: Option<Excerpt>,
}

/// The line that is meant, secrets hidden, and the bytes of it to point at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) line: String,
    pub(super) span: Range<usize>,
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

#[cfg(test)]
mod tests {
    use super::{Fault, Faults, MOST_FAULTS};

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
