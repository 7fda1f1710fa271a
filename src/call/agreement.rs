//! A property over the reader: whatever it accepts, parsers of every laxness name the same model.
//!
//! The parsers here are written for the test and know nothing of the reader: a tree that keeps repeated names in their
//! order, and the ways in which parsers are known to choose among them.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use unicode_normalization::UnicodeNormalization as _;

use super::members::CHAT;
use super::reader;
use crate::route::Streaming;

/// A document whose objects keep every member.
#[derive(Debug, Clone)]
enum Tree {
    Text(String),
    Object(Vec<(String, Self)>),
    Other,
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Tree;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("any JSON")
            }

            fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
                Ok(Tree::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Tree::Object(members))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
                while list.next_element::<Tree>()?.is_some() {}
                Ok(Tree::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
                Ok(Tree::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
                Ok(Tree::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
                Ok(Tree::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
                Ok(Tree::Other)
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Other)
            }
        }
        from.deserialize_any(All)
    }
}

/// Whether a parser takes a name for `model`, from strict to lax.
const NAMES: [fn(&str) -> bool; 6] = [
    |name| name == "model",
    |name| name.eq_ignore_ascii_case("model"),
    |name| name.trim() == "model",
    |name| name.split('\0').next() == Some("model"),
    |name| name.nfkc().flat_map(char::to_lowercase).eq("model".chars()),
    |name| name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).eq("model".chars()),
];

/// Every model that one of the parsers finds, by taking the first or the last member that it takes for `model`.
fn models(body: &[u8]) -> Vec<String> {
    let Ok(Tree::Object(members)) = serde_json::from_slice(body) else { return Vec::new() };
    let text = |member: Option<&(String, Tree)>| match member {
        Some((_, Tree::Text(text))) => Some(text.clone()),
        Some((_, Tree::Object(_) | Tree::Other)) | None => None,
    };
    let finds = |is_model: fn(&str) -> bool| {
        let named = || members.iter().filter(move |(name, _)| is_model(name));
        [text(named().next()), text(named().next_back())]
    };
    NAMES.into_iter().flat_map(finds).flatten().collect()
}

/// A string token with some of its characters escaped.
fn token(text: &str, escapes: &[bool]) -> String {
    let mut out = String::from("\"");
    for (i, c) in text.chars().enumerate() {
        if escapes.get(i % escapes.len().max(1)).copied().unwrap_or(false) || c < ' ' || c == '"' || c == '\\' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").unwrap();
            }
        } else {
            out.push(c);
        }
    }
    out.push('"');
    out
}

/// A member whose name is, looks like, or has nothing to do with `model`.
fn member() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        3 => Just("model".to_owned()),
        3 => proptest::sample::select(vec![
            "Model", "MODEL", "mOdel", " model", "model ", "model\0", "model\0x", "mo\u{200b}del", "\u{ff4d}odel",
            "model\u{a0}", "mod\u{212f}l", "model[]", "m.odel", "\u{1d426}odel", "models", "model_id", "mod el", "model\t",
        ]).prop_map(str::to_owned),
        1 => "[mM][oO][dD][eE][lL][ \\x00]{0,2}",
        4 => proptest::sample::select(vec!["temperature", "user", "n", "seed", "top_p", "metadata"]).prop_map(str::to_owned),
    ];
    let value = prop_oneof![
        3 => proptest::sample::select(vec!["gpt-4o-mini", "rogue-model", "gpt-4o-mini ", "GPT-4o-mini"])
            .prop_flat_map(|text| proptest::collection::vec(any::<bool>(), 1..4).prop_map(move |e| token(text, &e))),
        1 => Just("1".to_owned()),
        1 => Just("null".to_owned()),
        1 => Just("[\"rogue-model\"]".to_owned()),
        1 => Just("{\"model\":\"rogue-model\"}".to_owned()),
    ];
    (name, value, proptest::collection::vec(any::<bool>(), 1..4), "[ \n\t]{0,2}").prop_map(
        |(name, value, escapes, blank)| format!("{blank}{}{blank}:{blank}{value}{blank}", token(&name, &escapes)),
    )
}

fn accepted(body: &[u8]) -> Option<String> {
    reader::read(&CHAT, None, Streaming::Asked, body).ok().map(|reading| reading.model.as_str().to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn whatever_is_accepted_names_one_model_to_every_parser(
        mut members in proptest::collection::vec(member(), 0..4),
        model in proptest::option::weighted(0.8, proptest::collection::vec(any::<bool>(), 1..4)),
        at in any::<proptest::sample::Index>(),
        messages in any::<proptest::sample::Index>(),
    ) {
        if let Some(escapes) = model {
            let at = at.index(members.len() + 1);
            members.insert(at, format!("{}:\"gpt-4o-mini\"", token("model", &escapes)));
        }
        let at = messages.index(members.len() + 1);
        members.insert(at, r#""messages":[{"role":"user","content":"{\"model\":\"rogue-model\"}"}]"#.to_owned());
        let body = format!("{{{}}}", members.join(","));
        if let Some(model) = accepted(body.as_bytes()) {
            for named in models(body.as_bytes()) {
                prop_assert_eq!(&named, &model, "{}", body);
            }
        }
    }

    #[test]
    fn no_bytes_are_accepted_that_parsers_read_differently(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let body = [br#"{"model":"gpt-4o-mini","messages":[],"user":""#.as_slice(), &bytes, br#""}"#].concat();
        if let Some(model) = accepted(&body) {
            for named in models(&body) {
                prop_assert_eq!(&named, &model);
            }
        }
    }
}

#[test]
fn the_parsers_of_this_test_do_differ() {
    let body = br#"{"model":"a","Model":"b","\u006dodel":"c"}"#;
    let found: std::collections::BTreeSet<String> = models(body).into_iter().collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(accepted(body), None);
    let good = br#"{"\u006dodel":"gpt-4o-mini","messages":[]}"#;
    assert_eq!(accepted(good).as_deref(), Some("gpt-4o-mini"));
}
