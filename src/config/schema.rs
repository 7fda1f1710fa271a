//! JSON Schemas of the formats, from the raw shapes: what editors get is what the gate checks by (`shape`).
//!
//! Three keywords are our own. `x-not-enforced-yet` lists keys or words of the contract that this build refuses because
//! it would not act on them; `x-map-not-enforced-yet` says the same of the map form of a value; `title` of a text
//! names in half a sentence what is expected, for messages.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

/// The schema of `T`, without `null`: a key that has nothing to say is left out.
#[must_use]
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let schema = SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>();
    let mut value = schema.to_value();
    without_null(&mut value);
    value
}

/// Removes `null` as an alternative everywhere.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(map) => {
            strip_null(map);
            map.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn strip_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|t| t != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            map.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(words)) = map.get_mut("enum") {
        words.retain(|w| !w.is_null());
    }
    if map.get("default").is_some_and(|d| d.is_null() || d == &Value::Array(Vec::new())) {
        map.remove("default");
    }
    if let Some(Value::Array(options)) = map.get_mut("anyOf") {
        options.retain(|o| o.get("type").is_none_or(|t| t != "null"));
        if let [Value::Object(only)] = options.as_mut_slice() {
            let only = std::mem::take(only);
            map.remove("anyOf");
            for (key, value) in only {
                map.entry(key).or_insert(value);
            }
        }
    }
}

/// Lets a word list also take the words of imported registries (`under_review`, `PENDING`).
pub(crate) fn also_imported_words(schema: &mut Schema) {
    if let Some(Value::Array(words)) = schema.get_mut("oneOf") {
        for word in ["under_review", "PENDING"] {
            words.push(
                serde_json::json!({"description": "Imported word for `pending`.", "type": "string", "const": word}),
            );
        }
    }
}
