//! Rules: a typed subset of CEL over what is known of a call, compiled when the registry loads.
//!
//! `token` and `syntax` read `when`, `check` resolves names and types against the table in `variables`, `program` is
//! asked about `facts`. Rules that read nothing of `risk` are asked by `decide`, the others once the risk stage has
//! scored. A rule that cannot be answered for a call refuses it. The language is described in `docs/rules.md`.

mod check;
mod facts;
mod program;
mod syntax;
mod token;
mod variables;

pub(crate) use facts::{Facts, MaxTokens, Risk};
pub use variables::reference;

use crate::config::policy::{RuleAction, RuleEntry, RuleScope};
use crate::docket::CheckVerdict;
use crate::id::RuleId;
use crate::reason::Reason;

/// One rule as written.
#[derive(Debug)]
pub struct RuleSource<'a> {
    /// Its entry in the rules file.
    pub entry: &'a RuleEntry,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFault {
    /// Which of the sources.
    pub index: usize,
    /// Where in its `when`, in bytes.
    pub offset: usize,
    /// What, in words for its author.
    pub message: String,
}

/// The rules of one snapshot, compiled. Inactive ones are checked and left out.
#[derive(Debug, Default)]
pub struct Rules {
    gate: Box<[Rule]>,
    risk: Box<[Rule]>,
}

/// When a rule can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// From the call and the registry alone.
    Gate,
    /// Once the content is scored.
    Risk,
}

/// What the rules of one phase say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) verdict: CheckVerdict,
    /// Why the call is refused, if it is.
    pub(crate) denial: Option<Reason>,
    /// The rules that flagged or refused, in the order of the files.
    pub(crate) named: Vec<RuleId>,
}

/// A fault within one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    offset: usize,
    message: String,
}

impl Fault {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }
}

#[derive(Debug)]
struct Rule {
    name: RuleId,
    scope: Scope,
    program: program::Expr,
    action: RuleAction,
}

impl Rules {
    /// Compiles all rules.
    ///
    /// # Errors
    /// Every fault of every rule: bad grammar, unknown names, types that do not fit, too long, nested too deep.
    pub fn compile(sources: &[RuleSource<'_>]) -> Result<Self, Vec<RuleFault>> {
        let (mut gate, mut risk, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for (index, RuleSource { entry }) in sources.iter().enumerate() {
            match check::compile(&entry.when) {
                Ok(checked) if entry.active => {
                    let phase = if checked.needs_risk { &mut risk } else { &mut gate };
                    phase.push(Rule {
                        name: entry.name.clone(),
                        scope: Scope::of(&entry.scope),
                        program: checked.program,
                        action: entry.then,
                    });
                }
                Ok(_inactive) => {}
                Err(found) => faults.extend(found.into_iter().map(|Fault { offset, message }| RuleFault {
                    index,
                    offset,
                    message,
                })),
            }
        }
        if faults.is_empty() { Ok(Self { gate: gate.into(), risk: risk.into() }) } else { Err(faults) }
    }

    /// Whether a phase has no rule at all.
    pub(crate) const fn is_silent(&self, phase: Phase) -> bool {
        self.of(phase).is_empty()
    }

    const fn of(&self, phase: Phase) -> &[Rule] {
        match phase {
            Phase::Gate => &self.gate,
            Phase::Risk => &self.risk,
        }
    }

    /// Asks every rule of a phase that is in scope. The strictest answer counts, whatever the order: a block, then a
    /// rule that could not be answered, then an approval, then a flag. `allow` says that somebody thought of the case;
    /// it never outvotes another rule. Allocates only where a rule objects.
    pub(crate) fn judge(&self, phase: Phase, facts: &Facts<'_>) -> Ruling {
        let mut worst = Severity::NoneInScope;
        let mut named = Vec::new();
        for rule in self.of(phase).iter().filter(|rule| rule.scope.covers(facts)) {
            let severity = rule.ask(facts);
            if severity > Severity::Passes {
                named.push(rule.name.clone());
            }
            worst = worst.max(severity);
        }
        let (verdict, denial) = worst.ruling();
        Ruling { verdict, denial, named }
    }
}

/// How bad one rule's answer is; the order is the precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    NoneInScope,
    Passes,
    Flags,
    NeedsApproval,
    Errs,
    Blocks,
}

impl Severity {
    const fn ruling(self) -> (CheckVerdict, Option<Reason>) {
        match self {
            Self::NoneInScope => (CheckVerdict::NotApplicable, None),
            Self::Passes => (CheckVerdict::Pass, None),
            Self::Flags => (CheckVerdict::Flag, None),
            Self::NeedsApproval => (CheckVerdict::Block, Some(Reason::ApprovalRequired)),
            Self::Errs => (CheckVerdict::Error, Some(Reason::RuleDenied)),
            Self::Blocks => (CheckVerdict::Block, Some(Reason::RuleDenied)),
        }
    }
}

impl Rule {
    fn ask(&self, facts: &Facts<'_>) -> Severity {
        match (self.program.holds(facts), self.action) {
            (Ok(false), _) | (Ok(true), RuleAction::Allow) => Severity::Passes,
            (Ok(true), RuleAction::Flag) => Severity::Flags,
            (Ok(true), RuleAction::RequireApproval) => Severity::NeedsApproval,
            (Ok(true), RuleAction::Block) => Severity::Blocks,
            (Err(_), _) => Severity::Errs,
        }
    }
}

/// Whom a rule is for; an empty list = all. Lists are short, so they are walked.
#[derive(Debug)]
struct Scope {
    organizations: Box<[Box<str>]>,
    environments: Box<[Box<str>]>,
    tenants: Box<[Box<str>]>,
    models: Box<[Box<str>]>,
}

impl Scope {
    fn of(scope: &RuleScope) -> Self {
        let names = |set: &std::collections::BTreeSet<String>| -> Box<[Box<str>]> {
            if set.contains("*") { Box::default() } else { set.iter().map(|name| name.as_str().into()).collect() }
        };
        Self {
            organizations: names(&scope.organizations),
            environments: names(&scope.environments),
            tenants: names(&scope.tenants),
            models: names(&scope.models),
        }
    }

    fn covers(&self, facts: &Facts<'_>) -> bool {
        covers(&self.tenants, Some(facts.tenant))
            && covers(&self.models, Some(facts.model.model.as_str()))
            && covers(&self.environments, facts.environment)
            && covers(&self.organizations, facts.organization)
    }
}

fn covers(names: &[Box<str>], name: Option<&str>) -> bool {
    names.is_empty() || name.is_some_and(|name| names.iter().any(|listed| **listed == *name))
}

#[cfg(test)]
mod tests;
