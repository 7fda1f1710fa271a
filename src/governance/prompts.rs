//! Prompt templates.

/// A prompt's text with `{{name}}` where a value goes, ready to be matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (open, close) = (text.matches("{{").count(), text.matches("}}").count());
        if open == close { Ok(Self(text.to_owned())) } else { Err("`{{` has no closing `}}`".to_owned()) }
    }
}
