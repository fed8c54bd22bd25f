//! The headers in which OpenAI's API says how a caller's rates stand: `x-ratelimit-{limit,remaining,reset}-
//! {requests,tokens}` (platform.openai.com, "Rate limits in headers").

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::budget::{LimitKind, Standing};

/// The three headers of one thing that is counted.
struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

const REQUESTS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};
const TOKENS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
    reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
};

/// Says in `headers` how `standings` are at `now` (Unix seconds): of requests and of tokens each the
/// limit of which least is left.
pub fn tell(headers: &mut HeaderMap, standings: &[Standing], now: u64) {
    for (names, counts) in [
        (REQUESTS, is_of_requests as fn(LimitKind) -> bool),
        (TOKENS, is_of_tokens),
    ] {
        let of_these = standings.iter().filter(|standing| counts(standing.kind));
        let Some(tightest) = of_these.min_by_key(|standing| standing.remaining()) else {
            continue;
        };
        headers.insert(names.limit, HeaderValue::from(tightest.limit));
        headers.insert(names.remaining, HeaderValue::from(tightest.remaining()));
        let reset = lasting(tightest.resets_at.saturating_sub(now));
        if let Ok(reset) = HeaderValue::from_str(&reset) {
            headers.insert(names.reset, reset);
        }
    }
}

fn is_of_requests(kind: LimitKind) -> bool {
    matches!(
        kind,
        LimitKind::RequestsPerMinute | LimitKind::RequestsPerDay
    )
}

fn is_of_tokens(kind: LimitKind) -> bool {
    matches!(kind, LimitKind::TokensPerDay | LimitKind::TokensPerMonth)
}

/// Seconds as OpenAI writes them: `1s`, `6m0s`, `2h0m0s`.
fn lasting(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        (_, _) => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Scope;

    fn standing(kind: LimitKind, limit: u64, used: u64, resets_at: u64) -> Standing {
        Standing {
            scope: Scope::User,
            kind,
            limit,
            used,
            reserved: 0,
            resets_at,
        }
    }

    #[test]
    fn of_requests_and_tokens_each_the_tightest_is_told() {
        let standings = [
            standing(LimitKind::RequestsPerMinute, 60, 10, 1_030),
            standing(LimitKind::RequestsPerDay, 100, 95, 8_261),
            standing(LimitKind::TokensPerDay, 1000, 1200, 1_360),
            standing(LimitKind::CostPerDay, 1, 1, 1_001),
        ];
        let mut headers = HeaderMap::new();
        tell(&mut headers, &standings, 1_000);
        let expected = [
            ("x-ratelimit-limit-requests", "100"),
            ("x-ratelimit-remaining-requests", "5"),
            ("x-ratelimit-reset-requests", "2h1m1s"),
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ];
        assert_eq!(headers.len(), expected.len());
        for (name, value) in expected {
            assert_eq!(headers[name], value, "{name}");
        }
        assert_eq!(lasting(59), "59s");
    }

    #[test]
    fn where_nothing_is_limited_nothing_is_told() {
        let mut headers = HeaderMap::new();
        tell(&mut headers, &[standing(LimitKind::CostPerDay, 1, 0, 1)], 0);
        assert!(headers.is_empty());
    }
}
