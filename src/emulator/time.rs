//! The emulator's own clock reads and random ids.
//!
//! It shares no code with the gateway, so that a mistake there is not repeated here unseen.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;

const SECONDS_PER_DAY: u64 = 86_400;

/// The monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a double has no request to take `now` from, and shares no clock with the gateway"
)]
pub(super) fn monotonic() -> Instant {
    Instant::now()
}

/// The wall clock since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "a double has no request to take `now` from, and shares no clock with the gateway"
)]
pub(super) fn unix_time() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The wall clock in whole seconds, as JWT claims count it.
pub(super) fn unix_seconds() -> u64 {
    unix_time().as_secs()
}

/// Today in UTC, in days since the Unix epoch.
pub(super) fn today() -> u64 {
    unix_seconds() / SECONDS_PER_DAY
}

/// `prefix` and 32 random hex digits.
pub(super) fn fresh_id(prefix: &str) -> String {
    let mut bytes = [0_u8; 16];
    // aws-lc's generator does not fail once it is seeded; an id of zeroes would still be an answer.
    let _ = rand::fill(&mut bytes);
    format!("{prefix}{}", hex(&bytes))
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// `YYYY-MM-DD` as days since the Unix epoch; `None` if no such day exists from 1970 on.
pub(super) fn parse_day(text: &str) -> Option<u64> {
    if text.len() != 10 {
        return None;
    }
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    let digits = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| part.parse::<u64>().ok())
            .flatten()
    };
    let (year, month, day) = (digits(year)?, digits(month)?, digits(day)?);
    if year < 1970 || day == 0 || day > days_in_month(year, month)? {
        return None;
    }
    let years: u64 = (1970..year).map(days_in_year).sum();
    let months: u64 = (1..month).filter_map(|m| days_in_month(year, m)).sum();
    Some(years + months + day - 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_year(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

fn days_in_month(year: u64, month: u64) -> Option<u64> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(28 + u64::from(is_leap(year))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_counted_from_the_epoch() {
        assert_eq!(parse_day("1970-01-01"), Some(0));
        assert_eq!(parse_day("2000-03-01"), Some(11_017));
        assert_eq!(parse_day("2024-02-29"), Some(19_782));
    }

    #[test]
    fn a_day_that_does_not_exist_is_refused() {
        for text in [
            "2023-02-29",
            "2023-13-01",
            "2023-00-10",
            "2023-1-01",
            "20230101",
            "+123-01-01",
            "",
        ] {
            assert_eq!(parse_day(text), None, "{text}");
        }
    }

    #[test]
    fn ids_differ() {
        assert_ne!(fresh_id("req_"), fresh_id("req_"));
        assert_eq!(fresh_id("req_").len(), 36);
    }
}
