//! `Retry-After`, as RFC 9110 section 10.2.3 has it: seconds or a date.
//!
//! Guarantees: at most 300 s, whatever it says.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::RETRY_AFTER;

use crate::clock::Now;

const LONGEST: Duration = Duration::from_mins(5);

/// The wait that `headers` ask for; `None` where they ask for none that can be read.
pub(crate) fn retry_after(headers: &HeaderMap, now: Now) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        let at = httpdate::parse_http_date(text).ok()?;
        at.duration_since(UNIX_EPOCH).ok()?.saturating_sub(now.unix)
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::clock::Clock;

    fn parse(text: &str) -> Option<Duration> {
        // 1994-11-06 08:49:30 UTC
        let now = Clock::manual(784_111_770).now();
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
        retry_after(&headers, now)
    }

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(parse("7"), seconds(7));
        assert_eq!(parse("0"), seconds(0));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), seconds(7));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:00 GMT"), seconds(0));
        assert_eq!(parse("Sat, 06 Nov 2094 08:49:37 GMT"), seconds(300));
        assert_eq!(parse("99999999999999999999999"), seconds(300));
    }

    #[test]
    fn anything_else_asks_for_nothing() {
        for text in ["", "-1", "1.5", "soon", "06 Nov 1994"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), Clock::manual(0).now()), None);
    }
}
