//! One line of `portcullis scan`: `{id, text}` in, `{id, findings, injection_score, risk_score}` out.
//!
//! Offsets are in Unicode code points here, and only here: what Python's indexing gives.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::policy::Profile;

use super::finding::Findings;
use super::scanner::Scanner;
use super::score::{Facts, default_score, score};

/// A line that is not `{"id": …, "text": "…"}`; other fields are left alone.
#[derive(Debug, thiserror::Error)]
#[error("not a JSON object with `id` and a string `text`")]
pub struct BadLine(#[source] serde_json::Error);

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    id: Value,
    text: String,
}

#[derive(Serialize)]
struct Answered {
    id: Value,
    findings: Vec<Found>,
    injection_score: u8,
    risk_score: u8,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Found {
    #[serde(rename = "type")]
    kind: &'static str,
    start: usize,
    end: usize,
}

/// Answers one line, without a line break. The risk score is that of `profile`, or of the default weights without one.
///
/// # Errors
/// [`BadLine`] when the line is not of that form.
pub fn answer(scanner: &Scanner, profile: Option<&Profile>, line: &str) -> Result<String, BadLine> {
    let asked: Asked = serde_json::from_str(line).map_err(BadLine)?;
    let mut findings = Findings::new();
    scanner.scan(&asked.text, &mut findings);
    let found = in_code_points(&asked.text, &findings);
    let injection_score = findings.injection_score();
    let counts = findings.into_counts();
    let risk_score = match profile {
        None => default_score(&counts),
        Some(profile) => score(profile, &Facts { counts, ..Facts::default() }).score,
    };
    let answered = Answered { id: asked.id, findings: found, injection_score, risk_score };
    serde_json::to_string(&answered).map_err(BadLine)
}

/// The findings with their offsets counted in code points, in one pass over the text.
fn in_code_points(text: &str, findings: &Findings) -> Vec<Found> {
    let (mut byte, mut point) = (0, 0);
    let mut point_at = |offset: usize| {
        point += text.get(byte..offset).map_or(0, |passed| passed.chars().count());
        byte = offset;
        point
    };
    let found =
        |f: &super::finding::Finding| Found { kind: f.kind.name(), start: point_at(f.start), end: point_at(f.end) };
    findings.list().iter().map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_in_code_points() {
        let line = r#"{"id": 7, "text": "é☃ 4111 1111 1111 1111 — ☃ «a@mail.org»", "labels": []}"#;
        let answered = answer(&Scanner::new().unwrap(), None, line).unwrap();
        let expected = concat!(
            r#"{"id":7,"findings":[{"type":"CREDIT_CARD","start":3,"end":22},{"type":"EMAIL","start":28,"end":38}],"#,
            r#""injection_score":0,"risk_score":90}"#
        );
        assert_eq!(answered, expected);
    }

    #[test]
    fn a_line_without_text_is_a_fault_that_does_not_repeat_it() {
        for line in ["", "[]", r#"{"id":1}"#, r#"{"id":1,"text":4111111111111111}"#] {
            let fault = answer(&Scanner::new().unwrap(), None, line).unwrap_err();
            assert!(!fault.to_string().contains("4111"));
        }
    }
}
