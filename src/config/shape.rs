//! Checks a tree against a format and tells everything that is wrong at once, each at its place.
//!
//! A [`Shape`] is compiled from the format's JSON Schema, of which it knows the keywords that our own formats use.
//! What is wrong is also taken out of the tree where the format allows (an unknown or optional key, an item of a list),
//! so that later checks go on with the rest instead of stopping at the first file that has a typo.

use regex_automata::meta::Regex;
use serde_json::{Map, Value};

use super::mask::is_secret_key;
use super::nearest;
use super::node::{Entry, Flaw, Kind, Node, Place, Scalar, Style, quoted};
use crate::id::is_plain_name;

/// The pattern of every name (`crate::id`).
const NAME_PATTERN: &str = "^[A-Za-z0-9._:/@-]{1,128}$";

/// Longest list of words that a message repeats.
const MOST_WORDS_LISTED: usize = 16;

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
    Regex(Box<Regex>),
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
        let empty = Map::new();
        let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
        Compiler { definitions }.shape(schema, 0)
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
                None => match &self.others {
                    Some((key, value)) => {
                        let scalar = Scalar { text: entry.key.clone(), style: Style::Quoted };
                        let right = key.judge(&scalar, entry.key_place, &Label::Root, out);
                        value.judge(&mut entry.value, &label, place, out) && right
                    }
                    None => {
                        self.refuse(entry, out);
                        false
                    }
                },
            }
        });
        usable && entries.len() as u64 >= self.least
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
        let names: Vec<&str> = self.known.iter().map(|f| f.name.as_str()).collect();
        let flaw = Flaw::new(entry.key_place, format!("unknown key {}", quoted(key)));
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

/// Turns schema values into shapes.
struct Compiler<'a> {
    definitions: &'a Map<String, Value>,
}

/// Keywords that describe and do not constrain, or are read together with another.
const DESCRIBING: [&str; 9] =
    ["$schema", "$id", "$defs", "title", "description", "default", "examples", "uniqueItems", "format"];

impl Compiler<'_> {
    fn shape(&self, schema: &Value, depth: usize) -> Result<Shape, UnknownKeyword> {
        let unknown = |what: &str| Err(UnknownKeyword(what.to_owned()));
        if depth > 32 {
            return unknown("$ref (recursive)");
        }
        let Value::Object(map) = schema else {
            return if schema == &Value::Bool(true) {
                Ok(Shape { form: Form::Any, map_later: false })
            } else {
                unknown("false")
            };
        };
        let map_later = map.get("x-map-not-enforced-yet") == Some(&Value::Bool(true));
        if let Some(name) = map.get("$ref").and_then(Value::as_str) {
            known(map, &["$ref", "x-map-not-enforced-yet"])?;
            let target = name.strip_prefix("#/$defs/").and_then(|name| self.definitions.get(name));
            let shape = target.map_or_else(|| unknown(name), |target| self.shape(target, depth + 1))?;
            return Ok(Shape { map_later: shape.map_later || map_later, ..shape });
        }
        let form = match map.get("type").and_then(Value::as_str) {
            Some("object") => self.fields(map, depth)?,
            Some("array") => self.list(map, depth)?,
            Some("string") => Form::Text(text(map)?),
            Some("integer") => integer(map)?,
            Some("boolean") => known(map, &["type"]).map(|()| Form::Bool)?,
            Some(other) => return unknown(other),
            None => self.choice(map, depth)?,
        };
        Ok(Shape { form, map_later })
    }

    fn fields(&self, map: &Map<String, Value>, depth: usize) -> Result<Form, UnknownKeyword> {
        known(
            map,
            &[
                "type",
                "properties",
                "required",
                "additionalProperties",
                "propertyNames",
                "minProperties",
                "x-not-enforced-yet",
                "x-map-not-enforced-yet",
            ],
        )?;
        let required = strings(map.get("required"));
        let empty = Map::new();
        let properties = map.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let mut fields = Vec::with_capacity(properties.len());
        for (name, schema) in properties {
            let shape = self.shape(schema, depth + 1)?;
            fields.push(Field { name: name.clone(), required: required.contains(name), shape });
        }
        let others = match map.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(values @ Value::Object(_)) => {
                let values = self.shape(values, depth + 1)?;
                let keys = match map.get("propertyNames").map(|names| self.shape(names, depth + 1)).transpose()? {
                    Some(Shape { form: Form::Text(text), .. }) => text,
                    Some(_) => return Err(UnknownKeyword("propertyNames".to_owned())),
                    None => Text::default(),
                };
                Some((keys, Box::new(values)))
            }
            Some(_) | None => return Err(UnknownKeyword("additionalProperties (missing)".to_owned())),
        };
        let least = map.get("minProperties").and_then(Value::as_u64).unwrap_or(0);
        Ok(Form::Map(Fields { known: fields, others, least, later: strings(map.get("x-not-enforced-yet")) }))
    }

    fn list(&self, map: &Map<String, Value>, depth: usize) -> Result<Form, UnknownKeyword> {
        known(map, &["type", "items", "minItems"])?;
        let item = map.get("items").ok_or_else(|| UnknownKeyword("items (missing)".to_owned()))?;
        let least = map.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        Ok(Form::List { item: Box::new(self.shape(item, depth + 1)?), least })
    }

    fn choice(&self, map: &Map<String, Value>, depth: usize) -> Result<Form, UnknownKeyword> {
        known(map, &["anyOf", "oneOf", "x-not-enforced-yet", "x-map-not-enforced-yet"])?;
        let options = map.get("anyOf").or_else(|| map.get("oneOf")).and_then(Value::as_array);
        let Some(options) = options else {
            return Err(UnknownKeyword("a schema without type".to_owned()));
        };
        let words: Vec<String> =
            options.iter().filter_map(|o| o.get("const").and_then(Value::as_str)).map(str::to_owned).collect();
        if words.len() == options.len() {
            let later = strings(map.get("x-not-enforced-yet"));
            return Ok(Form::Text(Text { words, later, ..Text::default() }));
        }
        let shapes: Result<Vec<_>, _> = options.iter().map(|option| self.shape(option, depth + 1)).collect();
        let mut shapes = shapes?;
        // Numbers before text, as every bare number is also text.
        shapes.sort_by_key(|shape| matches!(shape.form, Form::Text(_)));
        Ok(Form::Choice(shapes))
    }
}

fn text(map: &Map<String, Value>) -> Result<Text, UnknownKeyword> {
    known(
        map,
        &["type", "enum", "const", "pattern", "minLength", "maxLength", "x-not-enforced-yet", "x-map-not-enforced-yet"],
    )?;
    let mut words = strings(map.get("enum"));
    words.extend(map.get("const").and_then(Value::as_str).map(str::to_owned));
    let pattern = match map.get("pattern").and_then(Value::as_str) {
        None => Pattern::Any,
        Some(NAME_PATTERN) => Pattern::Name,
        Some(other) => Pattern::Regex(Box::new(Regex::new(other).map_err(|e| UnknownKeyword(e.to_string()))?)),
    };
    Ok(Text {
        words,
        later: strings(map.get("x-not-enforced-yet")),
        pattern,
        expected: map.get("title").and_then(Value::as_str).map(str::to_owned),
        least: map.get("minLength").and_then(Value::as_u64).unwrap_or(0),
        most: map.get("maxLength").and_then(Value::as_u64),
    })
}

fn integer(map: &Map<String, Value>) -> Result<Form, UnknownKeyword> {
    known(map, &["type", "minimum", "maximum"])?;
    let bound = |key: &str| map.get(key).and_then(|v| v.as_i64().map(i128::from).or(v.as_u64().map(i128::from)));
    let (low, high) = match map.get("format").and_then(Value::as_str) {
        Some("uint8") => (0, i128::from(u8::MAX)),
        Some("uint16") => (0, i128::from(u16::MAX)),
        Some("uint32") => (0, i128::from(u32::MAX)),
        Some("uint64" | "uint") => (0, i128::from(u64::MAX)),
        Some(other) => return Err(UnknownKeyword(other.to_owned())),
        None => (i128::from(i64::MIN), i128::from(i64::MAX)),
    };
    Ok(Form::Integer {
        least: bound("minimum").unwrap_or(low).max(low),
        most: bound("maximum").unwrap_or(high).min(high),
    })
}

fn known(map: &Map<String, Value>, keywords: &[&str]) -> Result<(), UnknownKeyword> {
    let strange = map.keys().find(|key| !keywords.contains(&key.as_str()) && !DESCRIBING.contains(&key.as_str()));
    strange.map_or(Ok(()), |key| Err(UnknownKeyword(key.clone())))
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Shape;
    use crate::config::node::Node;
    use crate::config::yaml::parse;

    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "inner"],
            "x-not-enforced-yet": ["budget"],
            "properties": {
                "name": {"$ref": "#/$defs/Name", "description": "the name"},
                "api_key": {"type": "string", "pattern": "^x+$", "title": "a row of x"},
                "mode": {"oneOf": [{"type": "string", "const": "on_paper"}, {"type": "string", "const": "off"}],
                         "x-not-enforced-yet": ["redact"]},
                "points": {"type": "integer", "format": "uint8", "minimum": 1, "maximum": 100},
                "rate": {"anyOf": [{"type": "integer", "format": "uint32"}, {"$ref": "#/$defs/Rate"}]},
                "flags": {"type": "array", "minItems": 1, "items": {"type": "boolean"}},
                "source": {"type": "string", "x-map-not-enforced-yet": true},
                "inner": {"type": "object", "minProperties": 1,
                          "propertyNames": {"$ref": "#/$defs/Name"}, "additionalProperties": {"type": "boolean"}}
            },
            "$defs": {
                "Name": {"type": "string", "pattern": "^[A-Za-z0-9._:/@-]{1,128}$"},
                "Rate": {"type": "object", "additionalProperties": false, "required": ["rate"],
                         "properties": {"rate": {"type": "integer", "format": "uint32", "minimum": 1}}}
            }
        })
    }

    fn check(text: &str) -> (Vec<String>, bool, Node) {
        let mut root = parse(text).unwrap();
        let findings = Shape::compile(&schema()).unwrap().check(&mut root);
        let lines = findings
            .flaws
            .into_iter()
            .map(|f| {
                format!(
                    "{}:{} {}{}",
                    f.place.line,
                    f.place.column,
                    f.message,
                    f.help.map_or(String::new(), |h| format!(" | {h}"))
                )
            })
            .collect();
        (lines, findings.usable, root)
    }

    #[test]
    fn what_fits_has_no_flaw() {
        let (flaws, usable, _) =
            check("name: a\napi_key: xx\nmode: off\npoints: 3\nrate: {rate: 2}\nflags: [true]\ninner: {a: true}\n");
        assert_eq!((flaws, usable), (vec![], true));
    }

    #[test]
    fn everything_wrong_is_told_at_once_at_its_place() {
        let (flaws, usable, left) = check(
            "nmae: a\nmode: of\npoints: 101\nrate: {rate: 0}\nflags: [1, true]\nbudget: 3\nsource: {url: x}\ninner: {a b: true}\n",
        );
        assert_eq!(
            flaws,
            [
                "1:1 missing key `name`",
                "1:1 unknown key `nmae` | did you mean `name`?",
                "2:7 `of` is not one of: on_paper, off | did you mean `off`?",
                "3:9 `points` must be at most 100",
                "4:14 `rate` must be at least 1",
                "5:9 an item of `flags` must be true or false, not `1`",
                "6:1 `budget` is not enforced by this build yet, so it is refused",
                "7:9 a map for `source` is not enforced by this build yet, so it is refused",
                "8:9 `a b` is not a name | a name has 1 to 128 of the characters A-Z a-z 0-9 . _ : / @ -",
            ]
        );
        assert!(!usable);
        assert!(left.get("nmae").is_none() && left.get("points").is_none() && left.get("flags").is_some());
    }

    #[test]
    fn what_is_optional_and_wrong_is_taken_out_and_the_rest_is_usable() {
        let (flaws, usable, left) = check("name: a\npoints: x\ninner: {a: true, b: 1}\n");
        assert_eq!(flaws, ["2:9 `points` must be a whole number, not `x`", "3:21 `b` must be true or false, not `1`"]);
        assert!(usable && left.get("points").is_none());
    }

    #[test]
    fn kinds_that_do_not_fit_are_named() {
        let (flaws, ..) = check("name: [a]\npoints: \"3\"\nrate: fast\nflags: true\nmode: redact\ninner: {}\n");
        assert_eq!(
            flaws,
            [
                "1:7 `name` must be text, not a list",
                "2:9 `points` must be a whole number, not `3` | write it without quotes",
                "3:7 `rate` must be a whole number or a map, not `fast`",
                "4:8 `flags` must be a list, not `true` | a list is written [a, b]",
                "5:7 `redact` is not enforced by this build yet, so it is refused",
                "6:8 `inner` must not be empty",
            ]
        );
        assert_eq!(check("- a\n").0, ["1:1 the file must be a map, not a list"]);
    }

    #[test]
    fn an_empty_value_is_a_flaw_at_its_key() {
        assert_eq!(
            check("name:\ninner: {a: true}\n").0,
            ["1:1 `name` is empty | give it a value or leave the key out"]
        );
    }

    #[test]
    fn a_secret_or_an_unknown_value_is_not_repeated() {
        let (flaws, ..) = check("name: a\napi_key: sk-live\ninner: {a: true}\n");
        assert_eq!(flaws, ["2:10 the value is not a row of x"]);
        let mut root = parse("name: a\napi_kye: sk-live\ninner: {a: true}\n").unwrap();
        let findings = Shape::compile(&schema()).unwrap().check(&mut root);
        assert_eq!(findings.hidden.len(), 1);
        assert!(!findings.flaws[0].message.contains("sk-live"));
    }

    #[test]
    fn a_keyword_that_would_not_be_checked_does_not_compile() {
        for odd in [
            json!({"type": "string", "contentEncoding": "base64"}),
            json!({"type": "object", "properties": {}}),
            json!({"type": "object", "additionalProperties": false, "properties": {"a": {"type": "number"}}}),
            json!({"$ref": "#/$defs/Missing"}),
        ] {
            Shape::compile(&odd).unwrap_err();
        }
    }
}
