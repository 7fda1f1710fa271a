//! Tools that the provider runs, and what they need of the world: things it has stored, or places it would call.
//!
//! A tool or item comes here once its dialect's list has its `type`. What it needs is noted; `governance` judges it by
//! the tenant's policy. Sources: OpenAI API reference, `Responses` tools; Anthropic API reference, "MCP connector" and
//! "Code execution tool".

use super::{Walk, ambiguous, elements, fault, fold, present, reference, sense, steering};
use crate::call::Unreadable;
use crate::call::content::sense::Sense;
use crate::call::json::{Kind, Name, Value};
use crate::reason::Reason;
use crate::speech::Source;

/// Items that stand for something the provider keeps.
const KEPT: [&str; 8] = [
    "item_reference",
    "file_search_call",
    "code_interpreter_call",
    "mcp_approval_response",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "container_upload",
];

impl Walk<'_> {
    /// Notes what an item of this type refers to.
    pub(super) fn note_item(&mut self, kind: &str, item: Value<'_>) {
        if KEPT.contains(&kind) {
            self.needs.store(item.range().start);
        }
    }

    /// Reads a tool that is on its dialect's list.
    pub(super) fn listed_tool(&mut self, kind: &str, tool: Value<'_>) -> Result<(), Unreadable> {
        match kind {
            "file_search" | "code_interpreter" => self.needs.store(tool.range().start),
            kind if kind.starts_with("code_execution_2") => self.needs.store(tool.range().start),
            "mcp" => return self.server(tool, &["type", "server_label"], "server_url", "authorization"),
            "mcp_toolset" => self.needs.toolset(tool.range().start),
            _ => {}
        }
        self.object(Source::Tool, tool)
    }

    /// Reads Anthropic's `mcp_servers`.
    pub(crate) fn servers(&mut self, list: Value<'_>) -> Result<(), Unreadable> {
        elements(list, "mcp_servers")?.try_for_each(|server| {
            if present(server, "type").and_then(Value::text).as_deref() != Some("url") {
                return Err(fault(Reason::ReferenceNotPermitted, "server of a type that is not governed", server));
            }
            self.needs.server();
            self.server(server, &["type", "name"], "url", "authorization_token")
        })
    }

    /// Reads where a server is and how it may be used. Its address or connector is a place that is fetched from; the
    /// credential that the client has for it goes along unread.
    fn server(&mut self, server: Value<'_>, labels: &[&str], url: &str, token: &str) -> Result<(), Unreadable> {
        if server.kind() != Kind::Object {
            return Err(fault(Reason::MalformedRequest, "no object where one is due", server));
        }
        let mut places = 0;
        for (name, value) in server.members().filter(|(_, value)| !value.is_null()) {
            let key = name.text();
            match key.as_ref() {
                key if labels.contains(&key) => self.label(Source::Tool, value),
                key if key == url || (key == "connector_id" && url == "server_url") => {
                    let place = value.text().ok_or_else(|| reference(name))?;
                    let place = if key == url { place.into_owned() } else { format!("connector:{place}") };
                    places += 1;
                    self.needs.fetch(place, value.range().start);
                    self.texts.add(Source::Tool, value);
                }
                key if key == token && value.is_text() => {}
                "headers" if url == "server_url" => self.strings(name, value)?,
                "allowed_tools" | "require_approval" | "tool_configuration" | "allowed_callers" | "defer_loading"
                | "cache_control" => {
                    Self::settings(value)?;
                    self.label(Source::Tool, value);
                }
                "server_description" => self.texts.add(Source::Tool, value),
                other
                    if fold::folds_to(other, |folded| {
                        sense(folded) != Sense::Unknown || labels.contains(&folded) || folded == url || folded == token
                    }) =>
                {
                    return Err(ambiguous(name));
                }
                _ => return Err(reference(name)),
            }
        }
        // Two places in one server: which of them is called, two readers may see differently.
        if places == 1 { Ok(()) } else { Err(fault(Reason::ReferenceNotPermitted, "server without one place", server)) }
    }

    fn strings(&mut self, name: Name<'_>, value: Value<'_>) -> Result<(), Unreadable> {
        if value.kind() != Kind::Object || !value.members().all(|(_, value)| value.is_text()) {
            return Err(reference(name));
        }
        self.label(Source::Tool, value);
        Ok(())
    }

    /// Reads a stored thing's name: an id, or a structure of ids and settings.
    pub(crate) fn stored(&mut self, source: Source, value: Value<'_>) -> Result<(), Unreadable> {
        value.elements().try_for_each(|element| self.stored(source, element))?;
        for (name, inner) in value.members().filter(|(_, inner)| !inner.is_null()) {
            let key = name.text();
            match sense(&key) {
                Sense::Steering => return Err(steering(name)),
                Sense::Server if key == "network_policy" && is_off(inner) => {}
                Sense::Server => return Err(reference(name)),
                Sense::Place => self.place(source, name, inner)?,
                Sense::Unknown if fold::folds_to(&key, |folded| sense(folded) != Sense::Unknown) => {
                    return Err(ambiguous(name));
                }
                Sense::Label
                | Sense::Text
                | Sense::Parts
                | Sense::LooseParts
                | Sense::Free
                | Sense::Blob
                | Sense::Origin
                | Sense::Audio
                | Sense::Media
                | Sense::Document
                | Sense::Images
                | Sense::Reference
                | Sense::Unknown => {
                    self.label(source, name.value());
                    self.stored(source, inner)?;
                }
            }
        }
        if value.is_text() {
            self.label(source, value);
        }
        Ok(())
    }
}

/// `{"type": "disabled"}` and nothing besides.
fn is_off(policy: Value<'_>) -> bool {
    policy.members().count() == 1 && present(policy, "type").and_then(Value::text).as_deref() == Some("disabled")
}
