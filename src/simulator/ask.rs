//! What a call asks for, as far as an answer depends on it.

use serde_json::Value;

use super::orders::Orders;

/// A call that is going to be answered.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    /// The JSON body.
    pub(super) body: &'a Value,
    /// Its `model`.
    pub(super) model: &'a str,
    /// What is to be different.
    pub(super) orders: &'a Orders,
    /// The body's size, from which the input tokens are made.
    pub(super) bytes: usize,
    /// Which request this is, counted from 1; makes ids.
    pub(super) number: u64,
}

impl Ask<'_> {
    /// Whether the caller wants a stream.
    pub(super) fn streamed(&self) -> bool {
        self.flag("/stream")
    }

    /// Whether a boolean stands at this JSON pointer and is true.
    pub(super) fn flag(&self, pointer: &str) -> bool {
        self.body.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The text of the answer, in the pieces that a stream has.
    pub(super) fn pieces(&self) -> Vec<String> {
        let mut pieces = match (&self.orders.say, self.orders.chunks) {
            (None, Some(count)) => (1..=count).map(|n| format!("word{n} ")).collect(),
            (Some(text), Some(count)) => cut(text, count),
            (Some(text), None) => text.split_inclusive(' ').map(ToOwned::to_owned).collect(),
            (None, None) => {
                let text = format!("This is the simulated answer of {}.", self.model);
                text.split_inclusive(' ').map(ToOwned::to_owned).collect::<Vec<_>>()
            }
        };
        pieces.truncate(self.most_pieces());
        pieces
    }

    /// Whether [`Ask::pieces`] ended early because the caller's maximum was reached.
    pub(super) fn cut_short(&self) -> bool {
        self.pieces().len() == self.most_pieces()
    }

    fn most_pieces(&self) -> usize {
        let places = [
            "/max_completion_tokens",
            "/max_output_tokens",
            "/max_tokens",
            "/max_gen_len",
            "/generationConfig/maxOutputTokens",
            "/inferenceConfig/maxTokens",
            "/textGenerationConfig/maxTokenCount",
            "/options/num_predict",
        ];
        let most = places.iter().find_map(|place| self.body.pointer(place)?.as_u64());
        most.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)
    }

    /// Input tokens to report: as ordered, else a quarter of the body's bytes.
    pub(super) fn input_tokens(&self) -> u64 {
        self.orders.input_tokens.unwrap_or_else(|| (self.bytes as u64).div_ceil(4))
    }

    /// Output tokens to report: as ordered, else one a piece.
    pub(super) fn output_tokens(&self) -> u64 {
        self.orders.output_tokens.unwrap_or_else(|| self.pieces().len() as u64)
    }

    /// The tool that the answer calls: the first one declared, unless the caller forbids tools or brings a result.
    ///
    /// `results` are the marks of a tool's result in the dialect at hand, as they stand in the last turn.
    pub(super) fn tool(&self, turns: &str, results: &[(&str, &str)]) -> Option<&str> {
        let forbidden = ["/tool_choice", "/tool_choice/type"];
        if forbidden.iter().any(|at| self.body.pointer(at).and_then(Value::as_str) == Some("none")) {
            return None;
        }
        let last = self.body.get(turns).and_then(Value::as_array).and_then(|turns| turns.last());
        let answered =
            |part: &Value| results.iter().any(|(name, value)| part.get(name).and_then(Value::as_str) == Some(value));
        if last.is_some_and(|turn| {
            answered(turn) || turn.get("content").and_then(Value::as_array).is_some_and(|c| c.iter().any(answered))
        }) {
            return None;
        }
        let first = self.body.pointer("/tools/0")?;
        first.pointer("/function/name").or_else(|| first.get("name"))?.as_str()
    }
}

/// `text` in at most `count` pieces of about the same number of characters.
fn cut(text: &str, count: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let size = letters.len().div_ceil(count.max(1)).max(1);
    letters.chunks(size).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Ask, Orders, cut};
    use serde_json::{Value, json};

    fn ask<'a>(body: &'a Value, orders: &'a Orders) -> Ask<'a> {
        Ask { body, model: "m", orders, bytes: 9, number: 1 }
    }

    #[test]
    fn an_ordered_text_is_cut_into_the_ordered_number_of_pieces() {
        assert_eq!(cut("äbcdefg", 3), ["äbc", "def", "g"]);
        assert_eq!(cut("ab", 5), ["a", "b"]);
        assert_eq!(cut("", 2), Vec::<String>::new());
    }

    #[test]
    fn the_callers_maximum_cuts_the_answer_short() {
        let (orders, body) = (Orders { chunks: Some(5), ..Orders::default() }, json!({"max_tokens": 2}));
        assert_eq!(ask(&body, &orders).pieces(), ["word1 ", "word2 "]);
        assert!(ask(&body, &orders).cut_short());
        assert!(!ask(&json!({}), &orders).cut_short());
    }

    #[test]
    fn a_tool_is_called_until_its_result_is_there() {
        let orders = Orders::default();
        let marks = [("role", "tool"), ("type", "tool_result")];
        let tools = json!([{"type": "function", "function": {"name": "now"}}]);
        for (turn, choice, expected) in [
            (json!({"role": "user", "content": "x"}), json!("auto"), Some("now")),
            (json!({"role": "user", "content": "x"}), json!("none"), None),
            (json!({"role": "tool", "content": "noon"}), json!("auto"), None),
            (json!({"role": "user", "content": [{"type": "tool_result"}]}), json!({"type": "auto"}), None),
        ] {
            let body = json!({"messages": [turn], "tools": tools, "tool_choice": choice});
            assert_eq!(ask(&body, &orders).tool("messages", &marks), expected);
        }
    }
}
