//! What the environment says in the bootstrap config: `${VAR}` in its values, and `PORTCULLIS__A__B=value` over them.
//!
//! Values are filled in after parsing, so no variable can change the structure of the file, and what came from the
//! environment is never shown in a message.

use super::node::{Entry, Flaw, Kind, Node, Scalar, Style, quoted};
use super::reading::Reading;
use super::shape::Shape;

/// Beginning of a variable that overrides a key.
pub(super) const PREFIX: &str = "PORTCULLIS__";

/// Looks a variable up.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Fills `${VAR}` and `${VAR:-default}` into every scalar; `$$` stands for a dollar sign.
pub(super) fn fill(node: &mut Node, env: Lookup<'_>, reading: &mut Reading) {
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(|item| fill(item, env, reading)),
        Kind::Map(entries) => entries.iter_mut().for_each(|entry| fill(&mut entry.value, env, reading)),
        Kind::Scalar(scalar) if scalar.text.contains('$') => match expanded(&scalar.text, env) {
            Ok((text, true)) => *scalar = Scalar { text, style: Style::Filled },
            Ok((text, false)) => scalar.text = text,
            Err(Unfillable { message, help }) => {
                scalar.style = Style::Unset;
                reading.fault(Flaw::new(node.place, message).help(help));
            }
        },
        Kind::Scalar(_) => {}
    }
}

struct Unfillable {
    message: String,
    help: String,
}

/// The text with its variables filled in, and whether it had any.
fn expanded(text: &str, env: Lookup<'_>) -> Result<(String, bool), Unfillable> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut filled = false;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = from.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some(after) = from.strip_prefix("${") {
            let (inner, after) = after.split_once('}').ok_or_else(|| Unfillable {
                message: "`${` has no closing `}`".to_owned(),
                help: "for a dollar sign write `$$`".to_owned(),
            })?;
            out.push_str(&variable(inner, env)?);
            filled = true;
            rest = after;
        } else {
            let after = from.get(1..).unwrap_or_default();
            if after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                return Err(Unfillable {
                    message: "`$` before a word is neither a variable nor a dollar sign".to_owned(),
                    help: "a variable is written `${NAME}`, a dollar sign `$$`".to_owned(),
                });
            }
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok((out, filled))
}

/// The value of `NAME` or `NAME:-default`; the default stands for an unset and for an empty variable, as in a shell.
fn variable(inner: &str, env: Lookup<'_>) -> Result<String, Unfillable> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !named || default.is_some_and(|d| d.contains('$')) {
        return Err(Unfillable {
            message: "this is not a variable".to_owned(),
            help: "write `${NAME}` or `${NAME:-default}`; a default cannot hold another variable".to_owned(),
        });
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Unfillable {
            message: format!("the environment variable {} is not set", quoted(name)),
            help: format!("set it, or give a default: `${{{name}:-default}}`"),
        }),
    }
}

/// Puts the values of `PORTCULLIS__…` variables over those of the file. A variable that names no key is a fault.
pub(super) fn override_keys(
    root: &mut Node,
    shape: &Shape,
    variables: impl IntoIterator<Item = (String, String)>,
    reading: &mut Reading,
) {
    let mut ours: Vec<(String, String)> = variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort();
    for (name, value) in ours {
        let place = reading.origin(&name);
        let path: Vec<String> =
            name.strip_prefix(PREFIX).unwrap_or_default().split("__").map(str::to_ascii_lowercase).collect();
        let leaf = Node { place, kind: Kind::Scalar(Scalar { text: value, style: Style::Filled }) };
        if let Err(flaw) = put(root, shape, &path, leaf) {
            reading.fault(flaw);
        }
    }
}

/// Puts `leaf` where `path` leads.
fn put(node: &mut Node, shape: &Shape, path: &[String], leaf: Node) -> Result<(), Flaw> {
    let place = leaf.place;
    let Some((segment, rest)) = path.split_first() else {
        if !shape.takes_scalar() {
            return Err(Flaw::new(place, "the variable names a map or a list: only single values can be overridden"));
        }
        if node.place.origin != 0 && node.place != place {
            return Err(Flaw::new(place, "another variable sets the same key"));
        }
        *node = leaf;
        return Ok(());
    };
    let Kind::Map(entries) = &mut node.kind else {
        return Err(Flaw::new(place, "the variable names a key inside of what is a single value in the file"));
    };
    let key = key_for(segment, shape, entries).ok_or_else(|| {
        Flaw::new(place, format!("the variable names no key: {} is not known there", quoted(segment)))
    })?;
    let unknown = || Flaw::new(place, format!("the variable names no key: {} has no keys", quoted(segment)));
    let inner = shape.field(&key).ok_or_else(unknown)?;
    if let Some(entry) = entries.iter_mut().find(|entry| entry.key == key) {
        return put(&mut entry.value, inner, rest, leaf);
    }
    let mut value = if rest.is_empty() { leaf.clone() } else { Node::empty_map(place) };
    put(&mut value, inner, rest, leaf)?;
    entries.push(Entry { key, key_place: place, value });
    Ok(())
}

/// The key that a segment means: a known one, or one of the file where keys are free (an upstream's name). Letters'
/// case and what cannot stand in a variable's name make no difference.
fn key_for(segment: &str, shape: &Shape, entries: &[Entry]) -> Option<String> {
    let known = shape.keys();
    let free = entries.iter().map(|entry| entry.key.as_str());
    known.into_iter().chain(free).find(|key| folded(key) == folded(segment)).map(str::to_owned)
}

fn folded(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::{expanded, fill};
    use crate::config::node::{Node, Style};
    use crate::config::reading::Reading;
    use crate::config::yaml::parse;

    fn env(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("4100".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("x\nadmin: evil ${PORT}".to_owned()),
            _ => None,
        }
    }

    fn text(input: &str) -> Result<String, String> {
        expanded(input, &env).map(|(text, _)| text).map_err(|e| e.message)
    }

    #[test]
    fn variables_defaults_and_escapes_are_filled_in() {
        assert_eq!(text("127.0.0.1:${PORT}").unwrap(), "127.0.0.1:4100");
        assert_eq!(text("${NONE:-local}").unwrap(), "local");
        assert_eq!(text("${NONE:-}").unwrap(), "");
        assert_eq!(text("${EMPTY}").unwrap(), "");
        assert_eq!(text("${EMPTY:-x}").unwrap(), "x");
        assert_eq!(text("$${PORT} costs 5$").unwrap(), "${PORT} costs 5$");
        assert_eq!(text("${PORT}${PORT}").unwrap(), "41004100");
    }

    #[test]
    fn an_unset_variable_and_odd_forms_are_flaws() {
        assert_eq!(text("${NONE}").unwrap_err(), "the environment variable `NONE` is not set");
        for odd in ["$PORT", "${PORT", "${}", "${1X}", "${A:-${B}}", "${A B}"] {
            text(odd).unwrap_err();
        }
    }

    #[test]
    fn a_value_cannot_change_the_structure_and_is_not_expanded_again() {
        let mut tree = parse("listen: ${TRICK}\nn: ${PORT}\nq: \"${PORT}\"\n").unwrap();
        let mut reading = Reading::open("t.yaml", b"").unwrap();
        fill(&mut tree, &env, &mut reading);
        let scalar = |key: &str| tree.get(key).and_then(Node::scalar).unwrap();
        assert_eq!(scalar("listen").text, "x\nadmin: evil ${PORT}");
        assert!(tree.get("admin").is_none());
        assert_eq!(scalar("n").integer(), Some(4100));
        assert_eq!(scalar("q").integer(), Some(4100), "in flow maps a variable must stand in quotes");
        assert_eq!(scalar("n").style, Style::Filled);
    }
}
