//! Names and types of a rule: a syntax tree → a program, or every fault that it has, each at its place.

use crate::config::{finding, nearest};
use crate::governance::rules::Fault;
use crate::governance::rules::program::Expr;
use crate::governance::rules::syntax::{Comparison, Kind, Syntax, parse};
use crate::governance::rules::variables::{Line, TABLE, Type, find};

/// Longest rule, in bytes.
pub(super) const LONGEST_SOURCE: usize = 4 * 1024;

/// A checked rule and what it reads.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) program: Expr,
    /// Whether it reads anything of `risk`.
    pub(super) needs_risk: bool,
}

/// Compiles `source`.
pub(super) fn compile(source: &str) -> Result<Checked, Vec<Fault>> {
    if source.len() > LONGEST_SOURCE {
        return Err(vec![Fault::new(LONGEST_SOURCE, format!("longer than {LONGEST_SOURCE} bytes"))]);
    }
    let tree = parse(source).map_err(|fault| vec![fault])?;
    let mut checker = Checker::default();
    let program = checker.bool(&tree, "a rule");
    match program {
        Some(program) if checker.faults.is_empty() => Ok(Checked { program, needs_risk: checker.needs_risk }),
        Some(_) | None => Err(checker.faults),
    }
}

#[derive(Default)]
struct Checker {
    faults: Vec<Fault>,
    needs_risk: bool,
}

/// A checked part: its program, its type, and all the words it can be, where they are few.
struct Part {
    expr: Expr,
    of: Type,
    words: &'static [&'static str],
}

impl Part {
    const fn new(expr: Expr, of: Type) -> Self {
        Self { expr, of, words: &[] }
    }
}

impl Checker {
    fn fault<T>(&mut self, at: usize, message: impl Into<String>) -> Option<T> {
        self.faults.push(Fault::new(at, message));
        None
    }

    fn bool(&mut self, node: &Syntax<'_>, whose: &str) -> Option<Expr> {
        let part = self.part(node)?;
        match part.of {
            Type::Bool | Type::Declared => Some(part.expr),
            Type::Int | Type::Text | Type::Texts => {
                self.fault(node.at, format!("{whose} needs a bool, and this is {}", part.of.as_str()))
            }
        }
    }

    fn part(&mut self, node: &Syntax<'_>) -> Option<Part> {
        Some(match &node.kind {
            Kind::Bool(yes) => Part::new(Expr::Bool(*yes), Type::Bool),
            Kind::Int(n) => Part::new(Expr::Int(*n), Type::Int),
            Kind::Text(text) => Part::new(Expr::Text(text.as_str().into()), Type::Text),
            Kind::Path(path) => return self.path(path),
            Kind::Index(path, key) => return self.index(path, key),
            Kind::Call(path, arguments) => return self.call(node.at, path, arguments),
            Kind::List(_) => return self.fault(node.at, "a list may stand only after `in`"),
            Kind::Not(inner) => Part::new(Expr::Not(Box::new(self.bool(inner, "`!`")?)), Type::Bool),
            Kind::Negate(inner) => return self.negate(node.at, inner),
            Kind::All(parts) => Part::new(Expr::All(self.bools(parts, "`&&`")?), Type::Bool),
            Kind::Any(parts) => Part::new(Expr::Any(self.bools(parts, "`||`")?), Type::Bool),
            Kind::Compare(Comparison::In, at, sides) => return self.member(*at, &sides.0, &sides.1),
            Kind::Compare(how, at, sides) => return self.compare(*how, *at, &sides.0, &sides.1),
        })
    }

    fn bools(&mut self, parts: &[Syntax<'_>], whose: &str) -> Option<Box<[Expr]>> {
        // All parts are checked before giving up, so that all their faults are told.
        let checked: Vec<Option<Expr>> = parts.iter().map(|part| self.bool(part, whose)).collect();
        checked.into_iter().collect()
    }

    fn negate(&mut self, at: usize, inner: &Syntax<'_>) -> Option<Part> {
        let part = self.part(inner)?;
        if !matches!(part.of, Type::Int | Type::Declared) {
            return self.fault(at, format!("`-` needs an int, and this is {}", part.of.as_str()));
        }
        Some(Part::new(Expr::Negate(Box::new(part.expr)), Type::Int))
    }

    fn path(&mut self, path: &[(&str, usize)]) -> Option<Part> {
        if let Some(name) = declared(path) {
            return Some(Part::new(Expr::Declared(name.into()), Type::Declared));
        }
        let line = self.variable(path)?;
        Some(Part { expr: Expr::Load(line.variable), of: line.of, words: line.words })
    }

    fn variable(&mut self, path: &[(&str, usize)]) -> Option<&'static Line> {
        let written = join(path);
        if let Some(line) = find(&written) {
            self.needs_risk |= line.variable.needs_risk();
            return Some(line);
        }
        let at = path.first().map_or(0, |(_, at)| *at);
        let message = if let [(root, _)] = path
            && (*root == "metadata" || TABLE.iter().any(|line| line.path.split('.').next() == Some(root)))
        {
            format!("`{root}` has no value of its own: name one of its fields")
        } else if written == "risk.count" {
            "`risk.count` is asked with a name: `risk.count(\"…\")`".to_owned()
        } else {
            format!("`{written}` is not a name that rules know{}", meant(&written, TABLE.iter().map(|line| line.path)))
        };
        self.fault(at, message)
    }

    fn index(&mut self, path: &[(&str, usize)], key: &str) -> Option<Part> {
        if let [("metadata", _)] = path {
            return Some(Part::new(Expr::Declared(key.into()), Type::Declared));
        }
        let at = path.first().map_or(0, |(_, at)| *at);
        self.fault(at, "only `metadata` is asked with `[…]`")
    }

    fn call(&mut self, at: usize, path: &[(&str, usize)], arguments: &[Syntax<'_>]) -> Option<Part> {
        let written = join(path);
        match (written.as_str(), arguments) {
            ("has", [Syntax { kind: Kind::Path(of), .. }]) => match declared(of) {
                Some(name) => Some(Part::new(Expr::IsDeclared(name.into()), Type::Bool)),
                None => Some(Part::new(Expr::Has(self.variable(of)?.variable), Type::Bool)),
            },
            ("has", [Syntax { kind: Kind::Index(of, key), .. }]) => {
                self.index(of, key)?;
                Some(Part::new(Expr::IsDeclared(key.as_str().into()), Type::Bool))
            }
            ("has", _) => self.fault(at, "`has` takes one name"),
            ("risk.count", [Syntax { kind: Kind::Text(name), at }]) => self.count(*at, name),
            ("risk.count", _) => {
                self.fault(at, "`risk.count` takes the name of one finding type or class, as a string")
            }
            _ => {
                let meant = meant(&written, ["has", "risk.count"].into_iter());
                self.fault(at, format!("`{written}` is not a function that rules know{meant}"))
            }
        }
    }

    /// A word that findings are counted by. One that can never be found would make a rule that never applies.
    fn count(&mut self, at: usize, word: &str) -> Option<Part> {
        self.needs_risk = true;
        let shown = word.escape_debug();
        match finding::canonical(word) {
            Some(finding::EXTERNAL_MODEL) => {
                self.fault(at, "`external_model` is found in no text: ask `model.external`")
            }
            Some(word) => Some(Part::new(Expr::Count(word), Type::Int)),
            None if finding::is_later(word) => {
                self.fault(at, format!("`{shown}` is not detected by this build yet, so it cannot be counted"))
            }
            None => {
                let known = finding::CLASSES.into_iter().chain(finding::TYPES);
                self.fault(at, format!("`{shown}` is no finding type or class{}", meant(word, known)))
            }
        }
    }

    fn both(&mut self, left: &Syntax<'_>, right: &Syntax<'_>) -> Option<(Part, Part)> {
        let (left, right) = (self.part(left), self.part(right));
        left.zip(right)
    }

    fn compare(&mut self, how: Comparison, at: usize, left: &Syntax<'_>, right: &Syntax<'_>) -> Option<Part> {
        let (a, b) = self.both(left, right)?;
        let ordered = !matches!(how, Comparison::Equal | Comparison::NotEqual);
        for (of, node) in [(a.of, left), (b.of, right)] {
            if of == Type::Texts || (ordered && of == Type::Bool) {
                return self.fault(node.at, format!("`{}` does not compare {}", how.as_str(), of.as_str()));
            }
        }
        if a.of != b.of && a.of != Type::Declared && b.of != Type::Declared {
            let message = format!("`{}` compares {} with {}", how.as_str(), a.of.as_str(), b.of.as_str());
            return self.fault(at, message);
        }
        self.word(&a, &b, right.at)?;
        self.word(&b, &a, left.at)?;
        Some(Part::new(Expr::Compare(how, Box::new((a.expr, b.expr))), Type::Bool))
    }

    /// A literal that is compared with a variable of few words must be one of them.
    fn word(&mut self, variable: &Part, literal: &Part, at: usize) -> Option<()> {
        let Expr::Text(text) = &literal.expr else { return Some(()) };
        if variable.words.is_empty() || variable.words.contains(&&**text) {
            return Some(());
        }
        let meant = meant(text, variable.words.iter().copied());
        let all = variable.words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        self.fault(at, format!("`{}` is none of its values{meant}: {all}", text.escape_debug()))
    }

    fn member(&mut self, at: usize, item: &Syntax<'_>, list: &Syntax<'_>) -> Option<Part> {
        let Kind::List(candidates) = &list.kind else { return self.member_of_value(at, item, list) };
        let item = self.part(item)?;
        if item.of == Type::Texts {
            return self.fault(at, "a list is not in a list");
        }
        let mut literals = Vec::with_capacity(candidates.len());
        for node in candidates {
            let literal = self.part(node)?;
            if !matches!(literal.expr, Expr::Bool(_) | Expr::Int(_) | Expr::Text(_)) {
                return self.fault(node.at, "a list holds literals only");
            }
            let first_of = literals.first().map_or(literal.of, |first: &Part| first.of);
            if literal.of != first_of || (item.of != Type::Declared && literal.of != item.of) {
                let wanted = if item.of == Type::Declared { first_of } else { item.of };
                return self.fault(node.at, format!("{} in a list for {}", literal.of.as_str(), wanted.as_str()));
            }
            self.word(&item, &literal, node.at)?;
            literals.push(literal);
        }
        let literals = literals.into_iter().map(|literal| literal.expr).collect();
        Some(Part::new(Expr::Among(Box::new(item.expr), literals), Type::Bool))
    }

    fn member_of_value(&mut self, at: usize, item: &Syntax<'_>, list: &Syntax<'_>) -> Option<Part> {
        let (item_part, list_part) = self.both(item, list)?;
        if !matches!(list_part.of, Type::Texts | Type::Declared) {
            return self.fault(list.at, format!("`in` needs a list, and this is {}", list_part.of.as_str()));
        }
        if !matches!(item_part.of, Type::Text | Type::Declared) {
            return self.fault(at, format!("{} is in no list of strings", item_part.of.as_str()));
        }
        self.word(&list_part, &item_part, item.at)?;
        Some(Part::new(Expr::Compare(Comparison::In, Box::new((item_part.expr, list_part.expr))), Type::Bool))
    }
}

fn declared<'a>(path: &[(&'a str, usize)]) -> Option<&'a str> {
    match path {
        [("metadata", _), (name, _)] => Some(name),
        _ => None,
    }
}

fn join(path: &[(&str, usize)]) -> String {
    path.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(".")
}

fn meant<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.collect();
    nearest::to(word, &candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}
