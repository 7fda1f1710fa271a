//! The documented lists are the lists of the code.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{
    CHAT, CHAT_SHAPE, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, Endpoint, MESSAGES, MESSAGES_SHAPE, REFUSED, RESPONSES,
    RESPONSES_SHAPE, Shape, cohere, ollama,
};

const DOCS: &str = include_str!("../../../docs/dialects.md");

type Column = (&'static str, &'static Endpoint);

const OPENAI_AND_ANTHROPIC: &[Column] = &[
    ("chat", &CHAT),
    ("completions", &COMPLETIONS),
    ("responses", &RESPONSES),
    ("embeddings", &EMBEDDINGS),
    ("messages", &MESSAGES),
    ("count_tokens", &COUNT_TOKENS),
];

const COHERE: &[Column] = &[("chat", &cohere::CHAT), ("embed", &cohere::EMBED), ("rerank", &cohere::RERANK)];

const OLLAMA: &[Column] = &[
    ("chat", &ollama::CHAT),
    ("generate", &ollama::GENERATE),
    ("embed", &ollama::EMBED),
    ("embeddings", &ollama::EMBEDDINGS),
];

const TABLES: [&[Column]; 3] = [OPENAI_AND_ANTHROPIC, COHERE, OLLAMA];

fn table(columns: &[Column]) -> String {
    let mut table = "| member |".to_owned();
    for (title, _) in columns {
        write!(table, " {title} |").expect("memory");
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(columns.len()));
    table.push('\n');
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
    for words in ["refused", "refused (reference)"] {
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
