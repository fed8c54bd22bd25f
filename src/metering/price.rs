//! What a model's tokens cost: one price, read from TOML and reckoned with in whole numbers.
//!
//! Guarantees: a price is held exactly, and no sum overflows: it ends at the largest cost there is.

use toml::{Table, Value};

use super::tokens::{Cost, Tokens};

/// Micro-dollars in a dollar.
const MICRO: u64 = 1_000_000;

/// The highest price that is believed, in US dollars for a million tokens.
const MAX_USD: u64 = 1_000_000;

/// The price of one model, in micro-dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Of the prompt, what comes from no cache.
    pub prompt: u64,
    /// Of the prompt, what comes from a cache.
    pub cached: u64,
    /// Of the answer.
    pub completion: u64,
}

impl Price {
    /// Reads `prompt`, `cached` (default: as `prompt`) and `completion`, US dollars for a million tokens
    /// with 6 decimals at most.
    ///
    /// # Errors
    /// Every problem, with its fix; each begins with the key's name.
    pub fn parse(table: &Table) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut amount = |key: &str| match table.get(key).map(micro_dollars) {
            Some(Ok(amount)) => Some(amount),
            Some(Err(problem)) => {
                problems.push(format!("{key} {problem}"));
                None
            }
            None => None,
        };
        let (prompt, cached, completion) =
            (amount("prompt"), amount("cached"), amount("completion"));
        for key in ["prompt", "completion"] {
            if !table.contains_key(key) {
                problems.push(format!(
                    "{key} is missing: give US dollars for a million tokens, 0 for what is free"
                ));
            }
        }
        for key in table.keys() {
            if !matches!(key.as_str(), "prompt" | "cached" | "completion") {
                problems.push(format!(
                    "{} is unknown: a price has prompt, cached and completion",
                    key.escape_debug()
                ));
            }
        }
        match (prompt, completion) {
            (Some(prompt), Some(completion)) if problems.is_empty() => Ok(Self {
                prompt,
                cached: cached.unwrap_or(prompt),
                completion,
            }),
            _ => Err(problems),
        }
    }

    /// What `tokens` cost, rounded up to a whole nano-dollar. Cached tokens are part of the prompt; more
    /// of them than the prompt has are not believed.
    #[must_use]
    pub fn cost(&self, tokens: &Tokens) -> Cost {
        let cached = tokens.cached.min(tokens.prompt);
        let product = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let whole = product(tokens.prompt - cached, self.prompt)
            .saturating_add(product(cached, self.cached))
            .saturating_add(product(tokens.completion, self.completion));
        // Micro-dollars for a million tokens are pico-dollars for one.
        Cost(u64::try_from(whole.div_ceil(1000)).unwrap_or(u64::MAX))
    }
}

/// Dollars as micro-dollars; the error says what is wrong and how to mend it.
fn micro_dollars(value: &Value) -> Result<u64, &'static str> {
    const NO_NUMBER: &str = "is not a number: write it like 1.75, without quotes";
    let text = match value {
        // Written without an exponent, in the fewest digits that mean the same number.
        Value::Float(number) if number.is_finite() => number.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(_)
        | Value::String(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_) => return Err(NO_NUMBER),
    };
    let Some(text) = text.strip_prefix('-') else {
        return decimal(&text);
    };
    match decimal(text) {
        Ok(0) => Ok(0),
        _ => Err("is negative: give 0 for what is free"),
    }
}

/// Reads digits, with a point and more digits or without.
fn decimal(text: &str) -> Result<u64, &'static str> {
    const TOO_HIGH: &str =
        "is over 1000000: it is US dollars for a million tokens, not for one or in cents";
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 6 {
        return Err("has more than 6 decimals: round it to millionths of a dollar");
    }
    let whole: u64 = whole.parse().map_err(|_| TOO_HIGH)?;
    let decimals: u64 = format!("{decimals:0<6}").parse().unwrap_or(0);
    match whole.saturating_mul(MICRO).saturating_add(decimals) {
        amount if amount > MAX_USD * MICRO => Err(TOO_HIGH),
        amount => Ok(amount),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Price, Vec<String>> {
        Price::parse(&text.parse().unwrap())
    }

    fn tokens(prompt: u64, cached: u64, completion: u64) -> Tokens {
        Tokens {
            prompt,
            cached,
            completion,
            total: prompt.saturating_add(completion),
        }
    }

    #[test]
    fn a_price_is_held_exactly() {
        let price = parse("prompt = 1.75\ncached = 0.000001\ncompletion = 1000000").unwrap();
        let held = (price.prompt, price.cached, price.completion);
        assert_eq!(held, (1_750_000, 1, 1_000_000_000_000));
        assert_eq!(
            parse("prompt = 0.1\ncompletion = -0.0").unwrap().cached,
            100_000
        );
        assert_eq!(
            parse("prompt = 999999.999999\ncompletion = 0")
                .unwrap()
                .prompt,
            999_999_999_999
        );
    }

    #[test]
    fn every_problem_is_told_with_its_fix() {
        for (text, expected) in [
            ("prompt = -1\ncompletion = 1", "prompt is negative"),
            ("prompt = \"1\"\ncompletion = 1", "prompt is not a number"),
            ("prompt = nan\ncompletion = 1", "prompt is not a number"),
            ("prompt = 1\ncompletion = inf", "completion is not a number"),
            (
                "prompt = 1000000.000001\ncompletion = 1",
                "prompt is over 1000000",
            ),
            ("prompt = 1e300\ncompletion = 1", "prompt is over 1000000"),
            (
                "prompt = 1\ncompletion = 0.0000001",
                "completion has more than 6 decimals",
            ),
            ("prompt = 1", "completion is missing"),
            ("prompt = 1\ncompletion = 1\ncache = 1", "cache is unknown"),
        ] {
            let problems = parse(text).unwrap_err();
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].starts_with(expected), "{text}: {problems:?}");
            assert!(problems[0].contains(": "), "{text}: {problems:?}");
        }
        assert_eq!(parse("cached = true\nx = 1").unwrap_err().len(), 4);
    }

    #[test]
    fn cached_tokens_are_charged_once_at_their_own_price() {
        let price = parse("prompt = 2\ncached = 0.5\ncompletion = 8").unwrap();
        assert_eq!(price.cost(&tokens(1000, 0, 0)).to_string(), "0.002");
        assert_eq!(price.cost(&tokens(1000, 400, 0)).to_string(), "0.0014");
        assert_eq!(price.cost(&tokens(1000, 400, 100)).to_string(), "0.0022");
        assert_eq!(
            price.cost(&tokens(10, 400, 0)),
            price.cost(&tokens(10, 10, 0))
        );
    }

    #[test]
    fn what_is_not_free_costs_something_and_no_sum_overflows() {
        let tiny = parse("prompt = 0.000001\ncompletion = 0").unwrap();
        assert_eq!(tiny.cost(&tokens(1, 0, 0)), Cost(1));
        assert_eq!(tiny.cost(&tokens(0, 0, 9)), Cost(0));
        let dear = parse("prompt = 1000000\ncompletion = 1000000").unwrap();
        assert_eq!(dear.cost(&tokens(u64::MAX, 3, u64::MAX)), Cost(u64::MAX));
    }

    proptest! {
        #[test]
        fn any_price_of_six_decimals_is_read_back_exactly(micro in 0..=1_000_000_000_000_u64) {
            let text = format!("{}.{:06}", micro / MICRO, micro % MICRO);
            let price = parse(&format!("prompt = {text}\ncompletion = 0")).unwrap();
            prop_assert_eq!(price.prompt, micro);
        }
    }
}
