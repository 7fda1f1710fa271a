//! A checked rule, ready to be asked: an expression whose names are resolved and whose types are known to fit, but for
//! what clients declare. Evaluation allocates nothing and takes time linear in the expression's size (at most 4 KiB).

use crate::docket::Role;
use crate::governance::rules::facts::Facts;
use crate::governance::rules::syntax::Comparison;
use crate::governance::rules::variables::Variable;

/// A checked expression.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expr {
    Bool(bool),
    Int(i64),
    Text(Box<str>),
    Load(Variable),
    Has(Variable),
    Declared(Box<str>),
    IsDeclared(Box<str>),
    Count(&'static str),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    All(Box<[Expr]>),
    Any(Box<[Expr]>),
    Compare(Comparison, Box<(Expr, Expr)>),
    /// In a list that the rule writes out.
    Among(Box<Expr>, Box<[Expr]>),
}

/// What an expression is worth.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int(i64),
    Text(&'a str),
    Roles(&'a [Role]),
    Labels(&'a [String]),
}

/// Why an expression has no value for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It reads what is not there.
    Absent,
    /// A declared value is of another type than the rule needs.
    Type,
    /// A number left 64 bits.
    Overflow,
}

impl Expr {
    /// Whether it is true.
    pub(super) fn holds(&self, facts: &Facts<'_>) -> Result<bool, Trouble> {
        match self {
            Self::Not(inner) => inner.holds(facts).map(|yes| !yes),
            Self::All(parts) => decided_by(parts, facts, false),
            Self::Any(parts) => decided_by(parts, facts, true),
            Self::Compare(how, sides) => compare(*how, sides.0.value(facts)?, sides.1.value(facts)?),
            Self::Among(item, list) => among(item.value(facts)?, list, facts),
            Self::Has(variable) => Ok(facts.has(*variable)),
            Self::IsDeclared(name) => Ok(facts.is_declared(name)),
            Self::Bool(_)
            | Self::Int(_)
            | Self::Text(_)
            | Self::Load(_)
            | Self::Declared(_)
            | Self::Count(_)
            | Self::Negate(_) => match self.value(facts)? {
                Value::Bool(yes) => Ok(yes),
                Value::Int(_) | Value::Text(_) | Value::Roles(_) | Value::Labels(_) => Err(Trouble::Type),
            },
        }
    }

    fn value<'a>(&'a self, facts: &Facts<'a>) -> Result<Value<'a>, Trouble> {
        Ok(match self {
            Self::Bool(yes) => Value::Bool(*yes),
            Self::Int(n) => Value::Int(*n),
            Self::Text(text) => Value::Text(text),
            Self::Load(variable) => return facts.value(*variable),
            Self::Declared(name) => return facts.declared(name),
            Self::Count(name) => Value::Int(facts.count(name)?),
            Self::Negate(inner) => match inner.value(facts)? {
                Value::Int(n) => Value::Int(n.checked_neg().ok_or(Trouble::Overflow)?),
                Value::Bool(_) | Value::Text(_) | Value::Roles(_) | Value::Labels(_) => return Err(Trouble::Type),
            },
            Self::Has(_)
            | Self::IsDeclared(_)
            | Self::Not(_)
            | Self::All(_)
            | Self::Any(_)
            | Self::Compare(..)
            | Self::Among(..) => Value::Bool(self.holds(facts)?),
        })
    }
}

/// CEL's `&&` and `||` (language definition, "Logical Operators"): one part with the deciding value decides, even
/// beside an error and whatever the order; without one, an error makes the whole an error.
fn decided_by(parts: &[Expr], facts: &Facts<'_>, deciding: bool) -> Result<bool, Trouble> {
    let mut trouble = None;
    for part in parts {
        match part.holds(facts) {
            Ok(yes) if yes == deciding => return Ok(deciding),
            Ok(_) => {}
            Err(why) => trouble = Some(why),
        }
    }
    trouble.map_or(Ok(!deciding), Err)
}

fn compare(how: Comparison, left: Value<'_>, right: Value<'_>) -> Result<bool, Trouble> {
    let order = match (left, right) {
        (Value::Int(a), Value::Int(b)) => a.cmp(&b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) if matches!(how, Comparison::Equal | Comparison::NotEqual) => a.cmp(&b),
        (Value::Text(a), Value::Roles(roles)) if how == Comparison::In => {
            return Ok(roles.iter().any(|role| role.as_str() == a));
        }
        (Value::Text(a), Value::Labels(labels)) if how == Comparison::In => {
            return Ok(labels.iter().any(|label| label == a));
        }
        // CEL answers false for values of two types. Here that would let a call pass because a client declared
        // "true" instead of true, so it is an error, which refuses.
        (Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::Roles(_) | Value::Labels(_), _) => {
            return Err(Trouble::Type);
        }
    };
    match how {
        Comparison::Equal => Ok(order.is_eq()),
        Comparison::NotEqual => Ok(order.is_ne()),
        Comparison::Less => Ok(order.is_lt()),
        Comparison::LessOrEqual => Ok(order.is_le()),
        Comparison::Greater => Ok(order.is_gt()),
        Comparison::GreaterOrEqual => Ok(order.is_ge()),
        Comparison::In => Err(Trouble::Type),
    }
}

fn among(item: Value<'_>, list: &[Expr], facts: &Facts<'_>) -> Result<bool, Trouble> {
    for candidate in list {
        if compare(Comparison::Equal, item, candidate.value(facts)?)? {
            return Ok(true);
        }
    }
    Ok(false)
}
