//! OpenAI's `usage`, in the words of its chat, completion, embedding and response objects.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Tokens;

/// The largest count that is believed: every JSON reader can hold it exactly.
const MOST: u64 = 1 << 53;

/// `usage` of an answer or of a stream's event.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct UsageBody {
    prompt_tokens: Count,
    input_tokens: Count,
    completion_tokens: Count,
    output_tokens: Count,
    total_tokens: Count,
    prompt_tokens_details: Details,
    input_tokens_details: Details,
}

#[derive(Clone, Copy, Default)]
struct Details(Count);

/// A count of tokens; nothing where it is no whole number up to 2^53.
#[derive(Clone, Copy, Default)]
struct Count(Option<u64>);

impl UsageBody {
    /// What `json` says; `None` where it says nothing of prompt, answer or both.
    pub(super) fn tokens(json: &[u8]) -> Option<Tokens> {
        let body: Self = serde_json::from_slice(json).ok()?;
        let prompt = body.prompt_tokens.0.or(body.input_tokens.0);
        let completion = body.completion_tokens.0.or(body.output_tokens.0);
        let sum = || Some(prompt?.saturating_add(completion.unwrap_or(0)));
        let total = body.total_tokens.0.or_else(sum).or(completion)?;
        let cached = body
            .prompt_tokens_details
            .0
            .0
            .or(body.input_tokens_details.0.0);
        Some(Tokens {
            prompt: prompt.unwrap_or_else(|| total.saturating_sub(completion.unwrap_or(0))),
            cached: cached.unwrap_or(0),
            completion: completion.unwrap_or(0),
            total,
        })
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(AnyValue)
            .map(|(count, _)| Self(count))
    }
}

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(AnyValue)
            .map(|(_, cached)| Self(Count(cached)))
    }
}

/// Reads any value: a count, and what an object says of `cached_tokens`.
struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = (Option<u64>, Option<u64>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(((number <= MOST).then_some(number), None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok((None, None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok((None, None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok((None, None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok((None, None))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok((None, None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok((None, None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut cached = None;
        while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if name == "cached_tokens" {
                cached = map.next_value::<Count>()?.0;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok((None, cached))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::unnecessary_wraps,
        reason = "stands where what was read stands"
    )]
    fn tokens(prompt: u64, cached: u64, completion: u64, total: u64) -> Option<Tokens> {
        Some(Tokens {
            prompt,
            cached,
            completion,
            total,
        })
    }

    #[test]
    fn every_kind_of_answer_says_it_in_its_own_words() {
        let chat = br#"{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"audio_tokens":0,"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}"#;
        assert_eq!(UsageBody::tokens(chat), tokens(9, 4, 3, 12));
        let response = br#"{"input_tokens":9,"input_tokens_details":{"cached_tokens":4},"output_tokens":3,"total_tokens":12}"#;
        assert_eq!(UsageBody::tokens(response), tokens(9, 4, 3, 12));
        let embedding = br#"{"prompt_tokens":9,"total_tokens":9}"#;
        assert_eq!(UsageBody::tokens(embedding), tokens(9, 0, 0, 9));
        let without_total = br#"{"prompt_tokens":9,"completion_tokens":3}"#;
        assert_eq!(UsageBody::tokens(without_total), tokens(9, 0, 3, 12));
        assert_eq!(
            UsageBody::tokens(br#"{"total_tokens":7}"#),
            tokens(7, 0, 0, 7)
        );
    }

    #[test]
    fn what_is_no_count_is_not_said() {
        for odd in [
            "-1",
            "1.5",
            "\"9\"",
            "null",
            "[9]",
            "{}",
            "true",
            "9007199254740993",
            "1e3",
        ] {
            let json = format!(r#"{{"prompt_tokens":{odd},"completion_tokens":{odd}}}"#);
            assert_eq!(UsageBody::tokens(json.as_bytes()), None, "{odd}");
        }
        for odd in ["", "null", "[]", "{", "{}", "7", "\"x\""] {
            assert_eq!(UsageBody::tokens(odd.as_bytes()), None, "{odd}");
        }
    }
}
