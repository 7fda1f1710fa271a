//! Embeddings: vectors of length one that depend on nothing but the input.
//!
//! Shape: OpenAI's API reference, "Embeddings". Its Python SDK asks for `base64`, which is the vector's 32-bit
//! floats in little-endian order.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::simulator::ask::Ask;
use crate::simulator::reply::Answer;

/// Numbers in a vector unless the caller says otherwise, as `text-embedding-3-small` has them.
const DIMENSIONS: usize = 1536;

/// Most numbers that a caller may ask for.
pub(in crate::simulator) const MOST_DIMENSIONS: usize = 4096;

/// Most inputs that are answered, OpenAI's own limit.
const MOST_INPUTS: usize = 2048;

/// `POST /v1/embeddings`.
pub(in crate::simulator) fn embeddings(ask: &Ask<'_>) -> Answer {
    let dimensions = ask.body.get("dimensions").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let dimensions = dimensions.unwrap_or(DIMENSIONS).min(MOST_DIMENSIONS);
    let coded = ask.body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let data: Vec<Value> = (0..)
        .zip(inputs(ask.body.get("input").unwrap_or(&Value::Null)))
        .map(|(index, input): (usize, String)| {
            let numbers = vector(&input, dimensions);
            let embedding = if coded { json!(pack(&numbers)) } else { json!(numbers) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let tokens = ask.input_tokens();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Answer::ok(json!({"object": "list", "data": data, "model": ask.model, "usage": usage}))
}

/// One text an input: a string, a list of strings, a list of tokens or a list of those.
fn inputs(input: &Value) -> Vec<String> {
    match input.as_array() {
        Some(list) if !list.iter().all(Value::is_number) => list.iter().take(MOST_INPUTS).map(plain).collect(),
        Some(_) | None => vec![plain(input)],
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// A vector of length one from a hash of the text (FNV-1a) that seeds a generator (`SplitMix64`, Steele et al. 2014).
pub(in crate::simulator) fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut state = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let numbers: Vec<f32> = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let [high, low, ..] = (mixed ^ (mixed >> 27)).to_be_bytes();
        f32::from(i16::from_be_bytes([high, low])) + 0.5
    })
    .take(dimensions)
    .collect();
    let length = numbers.iter().map(|n| n * n).sum::<f32>().sqrt();
    numbers.iter().map(|n| n / length).collect()
}

/// A vector as OpenAI and Cohere write it in base64.
pub(in crate::simulator) fn pack(numbers: &[f32]) -> String {
    STANDARD.encode(numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::{inputs, pack, vector};
    use serde_json::json;

    #[test]
    fn a_vector_has_length_one_and_depends_on_the_text_alone() {
        let v = vector("hello", 1536);
        assert!((v.iter().map(|n| n * n).sum::<f32>() - 1.0).abs() < 1e-4);
        assert_eq!(v, vector("hello", 1536));
        assert_ne!(v, vector("hullo", 1536));
    }

    #[test]
    fn base64_is_the_little_endian_floats() {
        assert_eq!(pack(&[1.0, -2.0]), "AACAPwAAAMA=");
    }

    #[test]
    fn every_form_of_input_is_counted_as_the_vendor_does() {
        assert_eq!(inputs(&json!("a")).len(), 1);
        assert_eq!(inputs(&json!(["a", "b"])), ["a", "b"]);
        assert_eq!(inputs(&json!([1, 2, 3])).len(), 1);
        assert_eq!(inputs(&json!([[1, 2], [3]])).len(), 2);
    }
}
