//! Every kind of flaw, by a small schema.

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
    assert_eq!(check("name:\ninner: {a: true}\n").0, ["1:1 `name` is empty | give it a value or leave the key out"]);
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
