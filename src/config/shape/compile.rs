//! JSON Schema → shape. Knows the keywords that our formats use; any other does not compile, as it would not be checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use regex_automata::meta::{BuildError, Config, Regex};
use serde_json::{Map, Value};

use super::{Field, Fields, Form, NAME_PATTERN, Pattern, Shape, Text, UnknownKeyword};

/// The shape of a whole schema, its definitions resolved.
pub(super) fn root(schema: &Value) -> Result<Shape, UnknownKeyword> {
    let empty = Map::new();
    let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
    Compiler { definitions }.shape(schema, 0)
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
        Some(other) => Pattern::Regex(compiled(other).map_err(|fault| UnknownKeyword(fault.to_string()))?),
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

/// The regex of a pattern. A handful of patterns stands in many places of many schemas, so each is kept once for the
/// process; what it is held against is short and seldom, so it goes without the engines that cost memory for speed.
fn compiled(pattern: &str) -> Result<Arc<Regex>, Box<BuildError>> {
    static KNOWN: Mutex<BTreeMap<String, Arc<Regex>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock();
    if let Some(regex) = known.get(pattern) {
        return Ok(Arc::clone(regex));
    }
    let plain = Config::new().hybrid(false).dfa(false).onepass(false);
    let regex = Arc::new(Regex::builder().configure(plain).build(pattern)?);
    known.insert(pattern.to_owned(), Arc::clone(&regex));
    Ok(regex)
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
