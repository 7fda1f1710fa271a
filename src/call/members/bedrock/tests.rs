//! The documented lists are the lists of the code.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{CLAUDE, COMMAND, CONVERSE, COUNT, EMBED, Endpoint, NOVA, PROMPT, RERANK, TITAN, forms};

const DOCS: &str = include_str!("../../../../docs/dialects.md");

const BODIES: [(&str, &Endpoint); 9] = [
    ("Converse", &CONVERSE),
    ("count-tokens", &COUNT),
    ("Anthropic", &CLAUDE),
    ("Nova", &NOVA),
    ("Titan", &TITAN),
    ("prompt", &PROMPT),
    ("Command R", &COMMAND),
    ("Embed", &EMBED),
    ("Rerank", &RERANK),
];

#[test]
fn the_members_of_each_body_are_documented() {
    let mut table = "| body | governed | read | passes | off only | refused |\n|---|---|---|---|---|---|\n".to_owned();
    for (name, endpoint) in BODIES {
        write!(table, "| {name} |").expect("memory");
        for words in ["governed", "read", "passes", "off only", "refused"] {
            let members = endpoint.members.iter().filter(|(_, rule)| rule.words().starts_with(words));
            let names: Vec<String> = members.map(|(name, _)| format!("`{name}`")).collect();
            write!(table, " {} |", if names.is_empty() { "–".to_owned() } else { names.join(", ") }).expect("memory");
        }
        table.push('\n');
    }
    assert!(DOCS.contains(&table), "docs/dialects.md should have:\n{table}");
}

#[test]
fn the_kinds_of_content_are_documented() {
    let list = forms::BLOCKS.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    assert!(DOCS.contains(&list), "docs/dialects.md should have:\n{list}");
}

#[test]
fn no_list_names_a_member_twice() {
    for (_, endpoint) in BODIES {
        let names: BTreeSet<&str> = endpoint.members.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), endpoint.members.len());
    }
}
