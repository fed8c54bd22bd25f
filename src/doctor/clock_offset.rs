//! This machine's clock against another server's, by the `Date` of an answer.
//!
//! Tokens and sessions are judged by the clock: Behest refuses a token that is not valid yet or no
//! longer, and the gateway an old session.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{AGE, DATE};

use super::finding::Finding;
use crate::clock::Now;

const CHECK: &str = "clock";

/// A locally signed token begins 30 s back: a clock that is further ahead makes it invalid.
const WORTH_A_WARNING: Duration = Duration::from_secs(30);

/// From here on tokens are refused, whoever made them.
const BREAKS: Duration = Duration::from_mins(5);

const FIX: &str = "set the machine's clock by NTP (systemd-timesyncd or chrony; on a virtual \
    machine the host's too)";

/// What the `Date` in `headers`, which came at `now`, says of the clock.
pub(super) fn judge(headers: &HeaderMap, now: Now) -> Finding {
    let Some(theirs) = date(headers) else {
        return Finding::info(
            CHECK,
            "not compared: Behest's answer has no Date header that can be read",
        );
    };
    let offset = now.unix.abs_diff(theirs);
    let shown = humantime::format_duration(Duration::from_secs(offset.as_secs()));
    let side = if now.unix > theirs {
        "ahead of"
    } else {
        "behind"
    };
    if offset > BREAKS {
        let what = format!(
            "this machine's clock is {shown} {side} Behest's: tokens are rejected, and sessions end \
             at the wrong time"
        );
        Finding::error(CHECK, what, FIX)
    } else if offset > WORTH_A_WARNING {
        let what = format!(
            "this machine's clock is {shown} {side} Behest's: if it goes on, tokens will be rejected"
        );
        Finding::warning(CHECK, what, FIX)
    } else if offset.as_secs() < 2 {
        Finding::ok(CHECK, "agrees with Behest's to within 2 s")
    } else {
        Finding::ok(CHECK, format!("{shown} {side} Behest's"))
    }
}

/// When the answer was made (RFC 9110 section 6.6.1), plus what a cache says it has aged since.
fn date(headers: &HeaderMap) -> Option<Duration> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let age = headers
        .get(AGE)
        .and_then(|age| age.to_str().ok()?.parse().ok());
    let age = Duration::from_secs(age.unwrap_or(0));
    date.duration_since(UNIX_EPOCH).ok()?.checked_add(age)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::super::finding::Level;
    use super::*;
    use crate::clock::Clock;

    /// 1994-11-06 08:49:37 UTC
    const THEIRS: u64 = 784_111_777;

    fn at(ours: u64, age: Option<&'static str>) -> Finding {
        let mut headers = HeaderMap::new();
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        headers.insert(DATE, date);
        if let Some(age) = age {
            headers.insert(AGE, HeaderValue::from_static(age));
        }
        judge(&headers, Clock::manual(ours).now())
    }

    #[test]
    fn the_level_follows_the_offset_in_both_directions() {
        for (offset, level) in [
            (0, Level::Ok),
            (30, Level::Ok),
            (31, Level::Warning),
            (300, Level::Warning),
            (301, Level::Error),
            (86_400, Level::Error),
        ] {
            for ours in [THEIRS + offset, THEIRS - offset] {
                let finding = at(ours, None);
                assert_eq!(finding.level, level, "{finding:?}");
            }
        }
        assert!(at(THEIRS + 400, None).what.contains("6m 40s ahead of"));
        assert!(at(THEIRS - 400, None).what.contains("6m 40s behind"));
    }

    #[test]
    fn an_answer_from_a_cache_is_as_old_as_it_says() {
        assert_eq!(at(THEIRS + 400, Some("400")).level, Level::Ok);
        assert_eq!(at(THEIRS, Some("400")).level, Level::Error);
    }

    #[test]
    fn without_a_readable_date_nothing_is_judged() {
        let mut headers = HeaderMap::new();
        let now = Clock::manual(THEIRS).now();
        assert_eq!(judge(&headers, now).level, Level::Info);
        headers.insert(DATE, HeaderValue::from_static("yesterday"));
        assert_eq!(judge(&headers, now).level, Level::Info);
    }
}
