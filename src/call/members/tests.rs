//! The documented lists are the lists of the code.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::media::{
    BATCHES, FILES, IMAGE_EDITS, IMAGE_VARIATIONS, IMAGES, MESSAGE_BATCHES, MODERATIONS, SPEECH, TRANSCRIPTIONS,
    TRANSLATIONS,
};
use super::{
    CHAT, CHAT_SHAPE, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, Endpoint, MESSAGES, MESSAGES_SHAPE, REFUSED, RESPONSES,
    RESPONSES_SHAPE, Shape, cohere, ollama,
};

const DOCS: &str = include_str!("../../../docs/dialects.md");

type Column = (&'static str, &'static Endpoint);

/// The tables of the documentation: each a heading's endpoints, by the names in its columns.
const TABLES: [&[Column]; 6] = [
    &[("chat", &CHAT), ("completions", &COMPLETIONS), ("responses", &RESPONSES), ("embeddings", &EMBEDDINGS)],
    &[
        ("images", &IMAGES),
        ("edits", &IMAGE_EDITS),
        ("variations", &IMAGE_VARIATIONS),
        ("speech", &SPEECH),
        ("transcriptions", &TRANSCRIPTIONS),
        ("translations", &TRANSLATIONS),
    ],
    &[("moderations", &MODERATIONS), ("files", &FILES), ("batches", &BATCHES)],
    &[("messages", &MESSAGES), ("count_tokens", &COUNT_TOKENS), ("batches", &MESSAGE_BATCHES)],
    &[("chat", &cohere::CHAT), ("embed", &cohere::EMBED), ("rerank", &cohere::RERANK)],
    &[
        ("chat", &ollama::CHAT),
        ("generate", &ollama::GENERATE),
        ("embed", &ollama::EMBED),
        ("embeddings", &ollama::EMBEDDINGS),
    ],
];

fn table(columns: &[Column]) -> String {
    let heads: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
    let mut table = format!("| member | {} |\n|---|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    let names: BTreeSet<&str> =
        columns.iter().flat_map(|(_, endpoint)| endpoint.members).map(|(name, _)| *name).collect();
    for name in names {
        write!(table, "| `{name}` |").expect("memory");
        for (_, endpoint) in columns {
            let own = endpoint.members.iter().any(|(known, _)| *known == name);
            let words = endpoint.rule(name).filter(|_| own).map_or("–", |rule| rule.words());
            write!(table, " {words} |").expect("memory");
        }
        table.push('\n');
    }
    table
}

fn list(names: impl Iterator<Item = &'static str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn documents(what: &str) {
    assert!(DOCS.contains(what), "docs/dialects.md should have:\n{what}");
}

#[test]
fn the_members_of_each_endpoint_are_documented() {
    for columns in TABLES {
        documents(&table(columns));
    }
    documents(&list(ollama::OPTIONS.iter().map(|(name, _)| *name)));
}

#[test]
fn the_members_that_every_endpoint_refuses_are_documented() {
    for words in ["refused", "refused (reference)", "stored"] {
        documents(&list(REFUSED.iter().filter(|(_, rule)| rule.words() == words).map(|(name, _)| *name)));
    }
}

#[test]
fn the_types_of_content_and_tools_are_documented() {
    for Shape { parts, tools, .. } in [&CHAT_SHAPE, &RESPONSES_SHAPE, &MESSAGES_SHAPE, &cohere::SHAPE, &ollama::SHAPE] {
        documents(&list(parts.iter().copied()));
        documents(&list(tools.iter().copied()));
    }
}

#[test]
fn no_list_names_a_member_twice() {
    for (_, endpoint) in TABLES.into_iter().flatten() {
        let names: BTreeSet<&str> = endpoint.members.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), endpoint.members.len());
    }
    assert_eq!(REFUSED.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>().len(), REFUSED.len());
}
