//! The documented lists are the lists of the code.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{
    CHAT, CHAT_SHAPE, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, Endpoint, MESSAGES, MESSAGES_SHAPE, REFUSED, RESPONSES,
    RESPONSES_SHAPE, Shape,
};

const DOCS: &str = include_str!("../../../docs/dialects.md");

const ENDPOINTS: [&Endpoint; 6] = [&CHAT, &COMPLETIONS, &RESPONSES, &EMBEDDINGS, &MESSAGES, &COUNT_TOKENS];

fn table() -> String {
    let mut table = "| member | chat | completions | responses | embeddings | messages | count_tokens |\n".to_owned();
    table.push_str("|---|---|---|---|---|---|---|\n");
    let names: BTreeSet<&str> = ENDPOINTS.iter().flat_map(|endpoint| endpoint.members).map(|(name, _)| *name).collect();
    for name in names {
        write!(table, "| `{name}` |").expect("memory");
        for endpoint in ENDPOINTS {
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
    documents(&table());
}

#[test]
fn the_members_that_every_endpoint_refuses_are_documented() {
    for words in ["refused", "refused (reference)"] {
        documents(&list(REFUSED.iter().filter(|(_, rule)| rule.words() == words).map(|(name, _)| *name)));
    }
}

#[test]
fn the_types_of_content_and_tools_are_documented() {
    for Shape { parts, tools, .. } in [&CHAT_SHAPE, &RESPONSES_SHAPE, &MESSAGES_SHAPE] {
        documents(&list(parts.iter().copied()));
        documents(&list(tools.iter().copied()));
    }
}

#[test]
fn no_list_names_a_member_twice() {
    for endpoint in ENDPOINTS {
        let names: BTreeSet<&str> = endpoint.members.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), endpoint.members.len());
    }
    assert_eq!(REFUSED.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>().len(), REFUSED.len());
}
