//! What the strict reader accepts and refuses, and that it never disagrees with `serde_json`.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value as Serde;

use super::{DEPTH_LIMIT, Document, FlawKind, Kind, NODE_LIMIT, Value};

fn flaw(bytes: &[u8]) -> FlawKind {
    Document::read(bytes).expect_err("must be refused").kind
}

fn to_serde(value: Value<'_>) -> Serde {
    match value.kind() {
        Kind::Null => Serde::Null,
        Kind::True => Serde::Bool(true),
        Kind::False => Serde::Bool(false),
        Kind::Number => serde_json::from_str(value.raw()).expect("a number"),
        Kind::Text | Kind::EscapedText => Serde::String(value.text().expect("text").into_owned()),
        Kind::List => Serde::Array(value.elements().map(to_serde).collect()),
        Kind::Object => Serde::Object(value.members().map(|(n, v)| (n.text().into_owned(), to_serde(v))).collect()),
    }
}

#[test]
fn flaws_are_named_by_kind() {
    for (text, kind) in [
        (&b""[..], FlawKind::Truncated),
        (b"  ", FlawKind::Truncated),
        (b"{\"a\":1", FlawKind::Truncated),
        (b"\"abc", FlawKind::Truncated),
        (b"{\"a\"", FlawKind::Truncated),
        (b"\xEF\xBB\xBF{}", FlawKind::ByteOrderMark),
        (b"{} {}", FlawKind::TrailingData),
        (b"{}\0", FlawKind::TrailingData),
        (b"[1,]", FlawKind::Unexpected),
        (b"[,1]", FlawKind::Unexpected),
        (b"[1 2]", FlawKind::Unexpected),
        (b"{\"a\":1,}", FlawKind::Unexpected),
        (b"{,}", FlawKind::Unexpected),
        (b"{a:1}", FlawKind::Unexpected),
        (b"{'a':1}", FlawKind::Unexpected),
        (b"{\"a\" 1}", FlawKind::Unexpected),
        (b"{1:1}", FlawKind::Unexpected),
        (b"[1}", FlawKind::Unexpected),
        (b"{\"a\":1]", FlawKind::Unexpected),
        (b"]", FlawKind::Unexpected),
        (b"NaN", FlawKind::Unexpected),
        (b"Infinity", FlawKind::Unexpected),
        (b"-Infinity", FlawKind::BadNumber),
        (b"tru", FlawKind::Unexpected),
        (b"truex", FlawKind::TrailingData),
        (b"/**/1", FlawKind::Unexpected),
        (b"\x0b1", FlawKind::Unexpected),
        ("\u{a0}1".as_bytes(), FlawKind::Unexpected),
        (b"01", FlawKind::BadNumber),
        (b"-01", FlawKind::BadNumber),
        (b"1.", FlawKind::BadNumber),
        (b"1e", FlawKind::BadNumber),
        (b"1e+", FlawKind::BadNumber),
        (b"-", FlawKind::BadNumber),
        (b"1e999", FlawKind::BadNumber),
        (b"+1", FlawKind::Unexpected),
        (b".5", FlawKind::Unexpected),
        (b"0x10", FlawKind::TrailingData),
        (b"\"a\nb\"", FlawKind::ControlCharacter),
        (b"\"a\0b\"", FlawKind::ControlCharacter),
        (b"\"\\x41\"", FlawKind::BadEscape),
        (b"\"\\u12g4\"", FlawKind::BadEscape),
        (b"\"\\u12\"", FlawKind::BadEscape),
        (b"\"\\u+123\"", FlawKind::BadEscape),
        (b"\"\\ud800\"", FlawKind::LoneSurrogate),
        (b"\"\\ud800\\u0041\"", FlawKind::LoneSurrogate),
        (b"\"\\ud800\\ud800\"", FlawKind::LoneSurrogate),
        (b"\"\\udc00\"", FlawKind::LoneSurrogate),
        (b"{\"\\udc00\":1}", FlawKind::LoneSurrogate),
        (b"\"\xff\"", FlawKind::NotUtf8),
        (b"\"\xed\xa0\x80\"", FlawKind::NotUtf8),
        (b"\"\xc0\x80\"", FlawKind::NotUtf8),
        (b"\xfe\xff\0{\0}", FlawKind::NotUtf8),
        (b"{\0}\0", FlawKind::Unexpected),
        (b"{\"a\":1,\"a\":2}", FlawKind::DuplicateName),
        (b"{\"model\":1,\"\\u006dodel\":2}", FlawKind::DuplicateName),
        (b"[{\"x\":{\"a\":1,\"b\":2,\"a\":3}}]", FlawKind::DuplicateName),
        (b"{\"\":1,\"\":2}", FlawKind::DuplicateName),
    ] {
        assert_eq!(flaw(text), kind, "{}", text.escape_ascii());
    }
}

#[test]
fn a_flaw_says_where_and_never_what() {
    let flaw = Document::read(br#"{"secret":1,"other":2,"secret":3}"#).expect_err("a duplicate");
    assert_eq!(flaw.to_string(), "duplicate member name at byte 22");
}

#[test]
fn depth_is_bounded_on_the_way_in() {
    let nest = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
    assert!(Document::read(&nest(DEPTH_LIMIT)).is_ok());
    assert_eq!(flaw(&nest(DEPTH_LIMIT + 1)), FlawKind::TooDeep);
    assert_eq!(flaw(&vec![b'['; 10_000_000]), FlawKind::TooDeep);
}

#[test]
fn the_number_of_values_is_bounded() {
    let mut text = vec![b'['];
    text.extend(std::iter::repeat_n(*b"0,", NODE_LIMIT).flatten());
    text.extend(*b"0]");
    assert_eq!(flaw(&text), FlawKind::TooManyNodes);
}

#[test]
fn many_names_cost_linear_time_and_a_late_duplicate_is_found() {
    let names: Vec<String> = (0..200_000).map(|i| format!("\"k{i}\":0")).collect();
    let good = format!("{{{}}}", names.join(","));
    assert!(Document::read(good.as_bytes()).is_ok());
    let bad = format!("{{{},\"k199999\":1}}", names.join(","));
    assert_eq!(flaw(bad.as_bytes()), FlawKind::DuplicateName);
    let escaped = format!("{{{},\"\\u006b7\":1}}", names.join(","));
    assert_eq!(flaw(escaped.as_bytes()), FlawKind::DuplicateName);
}

#[test]
fn seventeen_members_are_checked_as_sixteen_are() {
    for count in [2, 15, 16, 17, 18] {
        let mut names: Vec<String> = (0..count).map(|i| format!("\"n{i}\":0")).collect();
        assert!(Document::read(format!("{{{}}}", names.join(",")).as_bytes()).is_ok());
        names.push("\"n0\":1".to_owned());
        assert_eq!(flaw(format!("{{{}}}", names.join(",")).as_bytes()), FlawKind::DuplicateName, "{count}");
    }
}

#[test]
fn ranges_point_into_the_bytes() {
    let text = r#" {"model" : "gpt\u002d4o", "n":[1, {"a":true}]} "#;
    let document = Document::read(text.as_bytes()).expect("good");
    let model = document.root().member("model").expect("there");
    assert_eq!(&text[model.range()], r#""gpt\u002d4o""#);
    assert_eq!(model.text().as_deref(), Some("gpt-4o"));
    assert_eq!(document.root().member("n").expect("there").raw(), r#"[1, {"a":true}]"#);
}

fn json() -> impl Strategy<Value = Serde> {
    let leaf = prop_oneof![
        Just(Serde::Null),
        any::<bool>().prop_map(Serde::Bool),
        any::<i64>().prop_map(Serde::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Serde::from),
        ".*".prop_map(Serde::String),
        "[a-z\"\\\\\n]{0,40}".prop_map(Serde::String),
    ];
    leaf.prop_recursive(6, 64, 20, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..20).prop_map(Serde::Array),
            proptest::collection::btree_map(".{0,12}", inner, 0..20)
                .prop_map(|m: BTreeMap<String, Serde>| Serde::Object(m.into_iter().collect())),
        ]
    })
}

/// Text that is nearly JSON: good tokens in any order.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\"a\""),
        Just("\"b\""),
        Just("\"\\u0061\""),
        Just("\"\\ud83d\\ude00\""),
        Just("\"\\ud83d\""),
        Just("1"),
        Just("-0"),
        Just("1.5e3"),
        Just("1e400"),
        Just("true"),
        Just("null"),
        Just(" "),
        Just("\n"),
        Just("\""),
        Just("\\"),
        Just("\u{e9}"),
        Just("0"),
        Just("{\"a\":"),
        Just("\"a\":1"),
    ];
    proptest::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_serde_json_writes_is_read_as_it_was(value in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.expect("text");
        let document = Document::read(&text).expect("good JSON");
        let reread: Serde = serde_json::from_slice(&text).expect("good JSON");
        prop_assert_eq!(to_serde(document.root()), reread);
    }

    #[test]
    fn what_serde_json_refuses_is_refused(bytes in prop_oneof![
        nearly_json(), proptest::collection::vec(any::<u8>(), 0..40)]) {
        let theirs = serde_json::from_slice::<Serde>(&bytes);
        if let Ok(document) = Document::read(&bytes) {
            prop_assert_eq!(to_serde(document.root()), theirs.expect("what is accepted here is accepted there"));
        }
    }

    #[test]
    fn a_changed_byte_is_read_as_serde_json_reads_it_or_refused(
        value in json(), place in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut text = serde_json::to_vec(&value).expect("text");
        let place = place.index(text.len());
        text[place] = byte;
        if let Ok(document) = Document::read(&text) {
            let theirs = serde_json::from_slice::<Serde>(&text).expect("accepted here, so accepted there");
            prop_assert_eq!(to_serde(document.root()), theirs);
        }
    }

    #[test]
    fn the_first_and_the_last_member_of_a_name_are_the_same(bytes in nearly_json()) {
        if let Ok(document) = Document::read(&bytes) {
            let first = document.root().member("a").map(Value::range);
            let last = document.root().members().filter(|(name, _)| name.text() == "a").last().map(|(_, v)| v.range());
            prop_assert_eq!(first, last);
        }
    }
}
