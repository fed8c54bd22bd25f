//! Reads a moment as the libraries write it: seconds or milliseconds since 1970, or text.

use std::time::UNIX_EPOCH;

use serde_json::value::RawValue;

use super::json;

/// From here on a number is of milliseconds: as seconds it would be the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// Unix seconds: of a number of seconds or milliseconds, or of a text as RFC 3339 has it
/// (`2026-11-23T20:00:00.000Z`, which is JavaScript's `toISOString`); `None` of anything else.
pub(super) fn seconds(raw: &RawValue) -> Option<f64> {
    if let Some(text) = json::text(raw) {
        let time = humantime::parse_rfc3339_weak(&text).ok()?;
        return time
            .duration_since(UNIX_EPOCH)
            .ok()
            .map(|since| since.as_secs_f64());
    }
    let number: f64 = raw.get().parse().ok()?;
    let number = if number.abs() >= MILLISECONDS_FROM {
        number / 1000.0
    } else {
        number
    };
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_seconds_milliseconds_or_rfc_3339() {
        for (json, expected) in [
            ("1795430000", Some(1_795_430_000.0)),
            ("1795430000.5", Some(1_795_430_000.5)),
            ("1795430000500", Some(1_795_430_000.5)),
            ("\"2026-11-23T09:53:20.500Z\"", Some(1_795_427_600.5)),
            ("\"2026-11-23T09:53:20Z\"", Some(1_795_427_600.0)),
            ("\"soon\"", None),
            ("null", None),
            ("true", None),
            ("[1]", None),
            ("1e999", None),
        ] {
            let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
            assert_eq!(seconds(&raw), expected, "{json}");
        }
    }
}
