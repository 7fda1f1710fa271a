//! Checks a tree against a format and tells everything that is wrong at once, each at its place.
//!
//! A [`Shape`] is compiled from the format's JSON Schema, of which it knows the keywords that our own formats use.
//! What is wrong is also taken out of the tree where the format allows (an unknown or optional key, an item of a list),
//! so that later checks go on with the rest instead of stopping at the first file that has a typo.

mod compile;

use std::sync::Arc;

use regex_automata::meta::Regex;
use serde_json::Value;

use super::mask::is_secret_key;
use super::nearest;
use super::node::{Entry, Flaw, Kind, Node, Place, Scalar, Style, quoted};
use crate::id::is_plain_name;

/// The pattern of every name (`crate::id`).
const NAME_PATTERN: &str = "^[A-Za-z0-9._:/@-]{1,128}$";

/// Longest list of words that a message repeats.
const MOST_WORDS_LISTED: usize = 16;

/// Flaws of one file beyond which a misspelt key gets no advice any more: it costs more than the flaw.
const MOST_ADVICE: usize = 200;

/// What a value may look like.
#[derive(Debug)]
pub(crate) struct Shape {
    form: Form,
    /// The map form exists in the contract, not in this build.
    map_later: bool,
}

#[derive(Debug)]
enum Form {
    Any,
    Map(Fields),
    List { item: Box<Shape>, least: u64 },
    Text(Text),
    Integer { least: i128, most: i128 },
    Bool,
    Choice(Vec<Shape>),
}

#[derive(Debug)]
struct Fields {
    known: Vec<Field>,
    /// What other keys must look like, and their values; `None` = there are no others.
    others: Option<(Text, Box<Shape>)>,
    least: u64,
    /// Keys of the contract that this build does not enforce.
    later: Vec<String>,
}

#[derive(Debug)]
struct Field {
    name: String,
    required: bool,
    shape: Shape,
}

#[derive(Debug, Default)]
struct Text {
    words: Vec<String>,
    later: Vec<String>,
    pattern: Pattern,
    expected: Option<String>,
    least: u64,
    most: Option<u64>,
}

#[derive(Debug, Default)]
enum Pattern {
    #[default]
    Any,
    Name,
    Regex(Arc<Regex>),
}

/// A schema that uses what this room does not know; found by the tests of the formats.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema keyword {0} is not known here")]
pub(crate) struct UnknownKeyword(String);

impl Shape {
    /// Compiles a schema.
    ///
    /// # Errors
    /// [`UnknownKeyword`] when it says something that would not be checked.
    pub(crate) fn compile(schema: &Value) -> Result<Self, UnknownKeyword> {
        compile::root(schema)
    }

    /// The shape of the value under `key`, when this is a map that may have it.
    #[must_use]
    pub(crate) fn field(&self, key: &str) -> Option<&Self> {
        match &self.form {
            Form::Map(fields) => fields
                .known
                .iter()
                .find(|f| f.name == key)
                .map(|f| &f.shape)
                .or_else(|| fields.others.as_ref().map(|(_, shape)| &**shape)),
            Form::Choice(options) => options.iter().find_map(|option| option.field(key)),
            Form::Any | Form::List { .. } | Form::Text(_) | Form::Integer { .. } | Form::Bool => None,
        }
    }

    /// The known keys, when this is a map.
    pub(crate) fn keys(&self) -> Vec<&str> {
        match &self.form {
            Form::Map(fields) => fields.known.iter().map(|f| f.name.as_str()).collect(),
            Form::Choice(options) => options.iter().flat_map(Self::keys).collect(),
            Form::Any | Form::List { .. } | Form::Text(_) | Form::Integer { .. } | Form::Bool => Vec::new(),
        }
    }

    /// Whether a single value may stand here.
    #[must_use]
    pub(crate) fn takes_scalar(&self) -> bool {
        match &self.form {
            Form::Any | Form::Text(_) | Form::Integer { .. } | Form::Bool => true,
            Form::Choice(options) => options.iter().any(Self::takes_scalar),
            Form::Map(_) | Form::List { .. } => false,
        }
    }

    /// Checks a whole file; what is wrong and can be left out is taken out of `root`.
    #[must_use]
    pub(crate) fn check(&self, root: &mut Node) -> Findings {
        let mut findings = Findings { flaws: Vec::new(), hidden: Vec::new(), usable: false };
        findings.usable = self.judge(root, &Label::Root, root.place, &mut findings);
        findings
    }

    /// Whether what is left of `node` fits.
    fn judge(&self, node: &mut Node, label: &Label<'_>, at: Place, out: &mut Findings) -> bool {
        if node.scalar().is_some_and(|scalar| scalar.style == Style::Unset) {
            return false;
        }
        if node.scalar().is_some_and(Scalar::is_null) {
            let help = "give it a value or leave the key out";
            out.flaws.push(Flaw::new(at, format!("{label} is empty")).help(help));
            return false;
        }
        match (&self.form, &mut node.kind) {
            (Form::Any, _) => true,
            (Form::Choice(options), kind) => match options.iter().find(|o| o.form.suits(kind)) {
                Some(option) => option.judge(node, label, at, out),
                None => self.wrong_kind(node, label, out),
            },
            (Form::Map(fields), Kind::Map(entries)) => fields.judge(entries, node.place, label, out),
            (Form::List { item, least }, Kind::List(items)) => {
                let enough = items.len() as u64 >= *least;
                if !enough {
                    out.flaws.push(Flaw::new(node.place, format!("{label} must not be an empty list")));
                }
                items.retain_mut(|node| item.judge(node, &Label::ItemOf(label.key()), node.place, out));
                enough && items.len() as u64 >= *least
            }
            (Form::Text(text), Kind::Scalar(scalar)) => text.judge(scalar, node.place, label, out),
            (Form::Integer { least, most }, Kind::Scalar(scalar)) => match scalar.integer() {
                Some(number) => in_range(number, *least, *most, node.place, label, out),
                None => self.wrong_kind(node, label, out),
            },
            (Form::Bool, Kind::Scalar(scalar)) if scalar.boolean().is_some() => true,
            (Form::Map(_) | Form::List { .. } | Form::Text(_) | Form::Integer { .. } | Form::Bool, _) => {
                self.wrong_kind(node, label, out)
            }
        }
    }

    fn wrong_kind(&self, node: &Node, label: &Label<'_>, out: &mut Findings) -> bool {
        let found = match &node.kind {
            Kind::Map(_) if self.map_later => {
                let message = format!("a map for {label} is not enforced by this build yet, so it is refused");
                out.flaws.push(Flaw::new(node.place, message));
                return false;
            }
            Kind::Map(_) => ", not a map".to_owned(),
            Kind::List(_) => ", not a list".to_owned(),
            Kind::Scalar(scalar) => shown(scalar, label).map(|shown| format!(", not {shown}")).unwrap_or_default(),
        };
        let mut flaw = Flaw::new(node.place, format!("{label} must be {}{found}", self.form.names()));
        if matches!(self.form, Form::List { .. }) && matches!(node.kind, Kind::Scalar(_)) {
            flaw = flaw.help("a list is written [a, b]");
        }
        if let (Form::Integer { .. } | Form::Bool, Kind::Scalar(Scalar { style: Style::Quoted, .. })) =
            (&self.form, &node.kind)
        {
            flaw = flaw.help("write it without quotes");
        }
        out.flaws.push(flaw);
        false
    }
}

fn in_range(number: i128, least: i128, most: i128, place: Place, label: &Label<'_>, out: &mut Findings) -> bool {
    let message = if number < least {
        format!("{label} must be at least {least}")
    } else if number > most {
        format!("{label} must be at most {most}")
    } else {
        return true;
    };
    out.flaws.push(Flaw::new(place, message));
    false
}

/// What a check found.
#[derive(Debug)]
pub(crate) struct Findings {
    /// What is wrong.
    pub(crate) flaws: Vec<Flaw>,
    /// Values that no excerpt may show, because nobody knows what they are.
    pub(crate) hidden: Vec<Place>,
    /// Whether what is left of the tree fits the format.
    pub(crate) usable: bool,
}

/// How a message names a value.
enum Label<'a> {
    Root,
    Key(&'a str),
    ItemOf(&'a str),
}

impl<'a> Label<'a> {
    const fn key(&self) -> &'a str {
        match self {
            Self::Root => "the file",
            Self::Key(key) | Self::ItemOf(key) => key,
        }
    }
}

impl std::fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => f.write_str("the file"),
            Self::Key(key) => f.write_str(&quoted(key)),
            Self::ItemOf(key) => write!(f, "an item of {}", quoted(key)),
        }
    }
}

/// The value as a message may show it; `None` for secrets and what came from the environment.
fn shown(scalar: &Scalar, label: &Label<'_>) -> Option<String> {
    let open = scalar.style != Style::Filled && !is_secret_key(label.key());
    open.then(|| quoted(&scalar.text))
}

impl Form {
    /// Whether a node of this kind is meant for this form, right or wrong inside.
    fn suits(&self, kind: &Kind) -> bool {
        match (self, kind) {
            (Self::Any, _)
            | (Self::Map(_), Kind::Map(_))
            | (Self::List { .. }, Kind::List(_))
            | (Self::Text(_), Kind::Scalar(_)) => true,
            (Self::Integer { .. }, Kind::Scalar(scalar)) => scalar.integer().is_some(),
            (Self::Bool, Kind::Scalar(scalar)) => scalar.boolean().is_some(),
            (Self::Choice(options), kind) => options.iter().any(|o| o.form.suits(kind)),
            (Self::Map(_) | Self::List { .. } | Self::Text(_) | Self::Integer { .. } | Self::Bool, _) => false,
        }
    }

    fn names(&self) -> String {
        match self {
            Self::Any => "anything".to_owned(),
            Self::Map(_) => "a map".to_owned(),
            Self::List { .. } => "a list".to_owned(),
            Self::Text(text) => text.expected.clone().unwrap_or_else(|| "text".to_owned()),
            Self::Integer { .. } => "a whole number".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Choice(options) => options.iter().map(|o| o.form.names()).collect::<Vec<_>>().join(" or "),
        }
    }
}

impl Fields {
    fn judge(&self, entries: &mut Vec<Entry>, map: Place, label: &Label<'_>, out: &mut Findings) -> bool {
        let mut usable = true;
        if (entries.len() as u64) < self.least {
            out.flaws.push(Flaw::new(map, format!("{label} must not be empty")));
        }
        for field in self.known.iter().filter(|f| f.required) {
            if !entries.iter().any(|e| e.key == field.name) {
                out.flaws.push(Flaw::new(map, format!("missing key {}", quoted(&field.name))));
                usable = false;
            }
        }
        entries.retain_mut(|entry| {
            let place = entry.value_place();
            let label = Label::Key(&entry.key);
            match self.known.iter().find(|f| f.name == entry.key) {
                Some(field) => {
                    let fits = field.shape.judge(&mut entry.value, &label, place, out);
                    usable &= fits || !field.required;
                    fits
                }
                None => self.other(entry, out),
            }
        });
        usable && entries.len() as u64 >= self.least
    }

    /// Whether an entry under a free key fits; where there are none, its key is unknown.
    fn other(&self, entry: &mut Entry, out: &mut Findings) -> bool {
        let Some((keys, values)) = &self.others else {
            self.refuse(entry, out);
            return false;
        };
        let key = Scalar { text: entry.key.clone(), style: Style::Quoted };
        let right = keys.judge(&key, entry.key_place, &Label::Root, out);
        let place = entry.value_place();
        values.judge(&mut entry.value, &Label::Key(&entry.key), place, out) && right
    }

    /// An unknown key: its value may be a secret under a misspelt name, so it is not shown.
    fn refuse(&self, entry: &Entry, out: &mut Findings) {
        let key = &entry.key;
        if self.later.contains(key) {
            let message = format!("{} is not enforced by this build yet, so it is refused", quoted(key));
            out.flaws.push(Flaw::new(entry.key_place, message));
            return;
        }
        if entry.value.scalar().is_some() {
            out.hidden.push(entry.value.place);
        }
        let flaw = Flaw::new(entry.key_place, format!("unknown key {}", quoted(key)));
        if out.flaws.len() >= MOST_ADVICE {
            out.flaws.push(flaw);
            return;
        }
        let names: Vec<&str> = self.known.iter().map(|f| f.name.as_str()).collect();
        out.flaws.push(match nearest::to(key, &names) {
            Some(near) => flaw.help(format!("did you mean `{near}`?")),
            None => flaw.help(format!("known here: {}", names.join(", "))),
        });
    }
}

impl Entry {
    /// Where a message about the value points: at the key when there is no value to point at.
    const fn value_place(&self) -> Place {
        if self.value.place.start == self.value.place.end && matches!(self.value.kind, Kind::Scalar(_)) {
            self.key_place
        } else {
            self.value.place
        }
    }
}

impl Text {
    fn judge(&self, scalar: &Scalar, place: Place, label: &Label<'_>, out: &mut Findings) -> bool {
        let Some(problem) = self.problem(scalar, label) else { return true };
        out.flaws.push(Flaw { place, ..problem });
        false
    }

    fn problem(&self, scalar: &Scalar, label: &Label<'_>) -> Option<Flaw> {
        let text = scalar.text.as_str();
        let value = || shown(scalar, label).unwrap_or_else(|| "the value".to_owned());
        let flaw = |message: String| Some(Flaw::new(Place::default(), message));
        let length = text.chars().count() as u64;
        if self.later.iter().any(|word| word == text) {
            return flaw(format!("{} is not enforced by this build yet, so it is refused", quoted(text)));
        }
        if !self.words.is_empty() && !self.words.iter().any(|word| word == text) {
            let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
            let expected = match &self.expected {
                Some(expected) if words.len() > MOST_WORDS_LISTED => expected.clone(),
                Some(_) | None => format!("one of: {}", words.join(", ")),
            };
            let flaw = Flaw::new(Place::default(), format!("{} is not {expected}", value()));
            return Some(match nearest::to(text, &words) {
                Some(near) => flaw.help(format!("did you mean `{near}`?")),
                None => flaw,
            });
        }
        if length < self.least {
            return flaw(format!("{label} must not be empty"));
        }
        if self.most.is_some_and(|most| length > most) {
            return flaw(format!("{label} is longer than {} characters", self.most.unwrap_or_default()));
        }
        let expected = || self.expected.as_deref().unwrap_or("of the form expected here");
        match &self.pattern {
            Pattern::Any => None,
            Pattern::Name if is_plain_name(text) => None,
            Pattern::Name => Some(
                Flaw::new(Place::default(), format!("{} is not a name", value()))
                    .help("a name has 1 to 128 of the characters A-Z a-z 0-9 . _ : / @ -"),
            ),
            Pattern::Regex(regex) if regex.is_match(text) => None,
            Pattern::Regex(_) => flaw(format!("{} is not {}", value(), expected())),
        }
    }
}

#[cfg(test)]
mod tests;
