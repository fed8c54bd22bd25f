//! Embeddings: unit vectors that depend on the input's text and on nothing else.
//!
//! `encoding_format` is honoured, since OpenAI's SDKs ask for base64 unless told otherwise.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::data_plane::Call;
use super::refusal::Refusal;

const DIMENSIONS: usize = 256;
const MOST_DIMENSIONS: usize = 3072;
const MOST_INPUTS: usize = 2048;

#[derive(Deserialize)]
struct Request {
    model: String,
    input: Value,
    #[serde(default)]
    encoding_format: Option<String>,
    #[serde(default)]
    dimensions: Option<usize>,
}

/// Answers `POST /v1/embeddings`.
pub(super) fn answer(call: &Call<'_>) -> Result<Answer, Refusal> {
    let request: Request = serde_json::from_slice(call.body).map_err(|error| {
        Refusal::invalid(&format!("the body is not an embeddings request: {error}"))
    })?;
    let inputs = inputs(&request.input).ok_or_else(|| {
        Refusal::unprocessable("input is a text, tokens, or a list of either, not empty")
    })?;
    let dimensions = request.dimensions.unwrap_or(DIMENSIONS);
    if dimensions == 0 || dimensions > MOST_DIMENSIONS || inputs.len() > MOST_INPUTS {
        let text = "dimensions or the number of inputs is out of range";
        return Err(Refusal::unprocessable(text));
    }
    let as_base64 = match request.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(Refusal::unprocessable("encoding_format is float or base64")),
    };
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let vector = vector(input, dimensions);
            let embedding = if as_base64 {
                packed(&vector)
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let tokens: usize = inputs.iter().map(|i| i.split_whitespace().count()).sum();
    let _bill = call
        .behest
        .ledger
        .bill(&call.claims.uid, u64::try_from(tokens).unwrap_or_default());
    Ok(Answer::ok(&json!({
        "object": "list", "data": data, "model": request.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })))
}

/// Each input as text; token lists count as their numbers.
fn inputs(input: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned).filter(|s| !s.is_empty());
    let tokens = |value: &Value| {
        let list = value.as_array().filter(|list| !list.is_empty())?;
        let numbers: Option<Vec<String>> = list
            .iter()
            .map(|number| number.as_u64().map(|number| number.to_string()))
            .collect();
        Some(numbers?.join(" "))
    };
    if let Some(one) = text(input).or_else(|| tokens(input)) {
        return Some(vec![one]);
    }
    let list = input.as_array().filter(|list| !list.is_empty())?;
    list.iter()
        .map(|one| text(one).or_else(|| tokens(one)))
        .collect()
}

/// A unit vector from the SHA-256 of the text and a counter.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let raw: Vec<f32> = (0_u32..)
        .flat_map(|block| {
            let seed = [&block.to_be_bytes(), text.as_bytes()].concat();
            digest(&SHA256, &seed).as_ref().to_vec()
        })
        .map(|byte| f32::from(byte) - 127.5)
        .take(dimensions)
        .collect();
    let length = raw.iter().map(|part| part * part).sum::<f32>().sqrt();
    raw.iter().map(|part| part / length).collect()
}

/// Little-endian 32-bit floats in base64, as OpenAI packs them.
fn packed(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|part| part.to_le_bytes()).collect();
    json!(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_of_unit_length_and_depends_on_the_text_alone() {
        let one = vector("one", 300);
        assert_eq!(one, vector("one", 300));
        assert_ne!(one, vector("two", 300));
        let length: f32 = one.iter().map(|part| part * part).sum();
        assert!((length - 1.0).abs() < 1e-4);
    }

    #[test]
    fn every_form_of_input_is_read_and_an_empty_one_refused() {
        assert_eq!(inputs(&json!("a b")).unwrap(), ["a b"]);
        assert_eq!(inputs(&json!(["a", "b"])).unwrap(), ["a", "b"]);
        assert_eq!(inputs(&json!([1, 2])).unwrap(), ["1 2"]);
        assert_eq!(inputs(&json!([[1], [2]])).unwrap(), ["1", "2"]);
        for wrong in [json!(""), json!([]), json!([""]), json!(1), json!([-1])] {
            assert_eq!(inputs(&wrong), None, "{wrong}");
        }
    }
}
