//! Tokens, cost and models, as they are counted.

use std::fmt;
use std::sync::Arc;

/// The longest model name that is kept, in bytes.
pub(super) const MAX_MODEL: usize = 96;

/// What an answer says that it used (OpenAI's `usage`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// `prompt_tokens` (of `/v1/responses`: `input_tokens`), those from a cache included.
    pub prompt: u64,
    /// Of these, from a cache: `prompt_tokens_details.cached_tokens`.
    pub cached: u64,
    /// `completion_tokens` (of `/v1/responses`: `output_tokens`).
    pub completion: u64,
    /// `total_tokens`; where it is not said, prompt and completion together.
    pub total: u64,
}

/// How far an answer's tokens are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// The answer said.
    Known,
    /// The answer did not come to its end, and had not said.
    Partial,
    /// The answer came to its end and did not say.
    Unknown,
}

impl Certainty {
    /// Every one, as labels and records call it.
    pub const ALL: [Self; 3] = [Self::Known, Self::Partial, Self::Unknown];

    /// The word in records, on pages and in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Partial => "partial",
            Self::Unknown => "unknown",
        }
    }
}

/// What was read of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// `Some` exactly where it is [`Certainty::Known`].
    pub tokens: Option<Tokens>,
    /// How far they are known.
    pub certainty: Certainty,
    /// The model, as the answer calls it.
    pub model: Option<ModelName>,
}

/// A model's name: visible ASCII, 1 to 96 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(Arc<str>);

impl ModelName {
    /// Checks `text`; `None` if it is empty, over 96 bytes, or not visible ASCII.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_visible = text.bytes().all(|b| b.is_ascii_graphic());
        let fits = (1..=MAX_MODEL).contains(&text.len()) && is_visible;
        fits.then(|| Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Money, in billionths of a US dollar: `u64::MAX` is 18 billion dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cost(pub u64);

impl Cost {
    /// In US dollars, for people; not to be reckoned with.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "for people: 2^53 nano-dollars are 9 million"
    )]
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl fmt::Display for Cost {
    /// US dollars with as many decimals as there are, 2 at least and 9 at most.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, billionths) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let digits = format!("{billionths:09}");
        let kept = digits.trim_end_matches('0').len().max(2);
        write!(f, "{whole}.{}", digits.get(..kept).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_with_two_to_nine_decimals() {
        assert_eq!(Cost(0).to_string(), "0.00");
        assert_eq!(Cost(1_500_000_000).to_string(), "1.50");
        assert_eq!(Cost(37_500).to_string(), "0.0000375");
    }

    #[test]
    fn a_models_name_is_bounded_and_visible() {
        assert!(ModelName::parse("openai/gpt-5.2:free").is_some());
        for text in ["", "a b", "a\n", &"m".repeat(97)] {
            assert_eq!(ModelName::parse(text), None, "{text:?}");
        }
    }
}
