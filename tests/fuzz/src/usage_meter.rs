//! What an answer says that it used, read as it passes: the same however it is cut, nothing that it does
//! not say, and of a whole JSON object what a naive reading of it says.
//!
//! Input: a byte that chooses (bit 0: an event stream, bit 1: long, by repeating it), a byte with the size
//! of the pieces, and the answer, cut into pieces of its own at `|`.

use bytes::Bytes;
use serde_json::Value;

use super::gateway::metering::{Certainty, Measured, Meter, Tokens};

/// An event that waits is no longer than this.
const LONGEST: usize = 16 * 1024;

/// The largest count that is believed.
const MOST: u64 = 1 << 53;

/// Checks one answer.
pub fn check(data: &[u8]) {
    let [choice, size, body @ ..] = data else {
        return;
    };
    let size = usize::from(*size).max(1);
    let is_stream = choice & 1 == 1;
    let pieces: Vec<&[u8]> = body.split(|byte| *byte == b'|').collect();
    let whole = pieces.concat();
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| measured(is_stream, pieces);
    let (first, count) = read(&mut [whole.as_slice()].into_iter());
    let (again, same) = read(&mut whole.chunks(size));
    assert_eq!((&again, same), (&first, count), "it depends on the size");
    let (again, same) = read(&mut pieces.into_iter());
    assert_eq!((&again, same), (&first, count), "it depends on the pieces");
    assert_eq!(first.tokens.is_some(), first.certainty == Certainty::Known);
    if occurrences(&whole, b"\"usage\"") == 0 {
        assert_eq!(first.tokens, None, "it was invented");
    }
    if !is_stream {
        naive(&whole, &first);
    } else if choice & 2 == 2 && occurrences(&whole, b"usage") == 0 {
        waits_little(&whole, size);
    }
}

fn measured(is_stream: bool, pieces: &mut dyn Iterator<Item = &[u8]>) -> (Measured, u64) {
    let mut meter = if is_stream {
        Meter::events(false)
    } else {
        Meter::json()
    };
    for piece in pieces {
        let passed = meter.passed(Bytes::copy_from_slice(piece));
        assert_eq!(passed, piece, "something is held back or changed");
    }
    assert!(!meter.has_rest());
    let count = meter.count();
    (meter.finish(true), count)
}

/// Where the whole is a JSON object and says it once, in plain letters.
fn naive(body: &[u8], read: &Measured) {
    let is_plain = [
        "usage",
        "response",
        "prompt_tokens",
        "input_tokens",
        "completion_tokens",
    ]
    .into_iter()
    .chain(["output_tokens", "total_tokens", "cached_tokens"])
    .chain(["prompt_tokens_details", "input_tokens_details"])
    .all(|name| occurrences(body, format!("\"{name}\"").as_bytes()) <= 1);
    let Ok(Value::Object(answer)) = serde_json::from_slice(body) else {
        return;
    };
    if !is_plain || occurrences(body, b"\\u") > 0 {
        return;
    }
    let within = answer.get("response").and_then(|inner| inner.get("usage"));
    let usage = answer.get("usage").or(within).and_then(Value::as_object);
    let count = |name: &str| usage?.get(name)?.as_u64().filter(|count| *count <= MOST);
    let cached = |name: &str| {
        let count = usage?.get(name)?.get("cached_tokens")?.as_u64();
        count.filter(|count| *count <= MOST)
    };
    let prompt = count("prompt_tokens").or(count("input_tokens"));
    let completion = count("completion_tokens").or(count("output_tokens"));
    let sum = prompt.map(|prompt| prompt + completion.unwrap_or(0));
    let total = count("total_tokens").or(sum).or(completion);
    let expected = total.map(|total| Tokens {
        prompt: prompt.unwrap_or_else(|| total.saturating_sub(completion.unwrap_or(0))),
        cached: cached("prompt_tokens_details")
            .or(cached("input_tokens_details"))
            .unwrap_or(0),
        completion: completion.unwrap_or(0),
        total,
    });
    assert_eq!(read.tokens, expected);
}

/// An endless stream: what has not been passed on is bounded.
fn waits_little(body: &[u8], size: usize) {
    let mut meter = Meter::events(true);
    let (mut fed, mut out) = (0, 0);
    let long = body.repeat(3 * LONGEST / body.len().max(1) + 1);
    for piece in long.chunks(size) {
        fed += piece.len();
        out += meter.passed(Bytes::copy_from_slice(piece)).len();
        assert!(fed - out <= LONGEST, "{} bytes wait", fed - out);
    }
    out += meter.rest().map_or(0, |rest| rest.len());
    assert_eq!(fed, out, "something was kept");
}

fn occurrences(of: &[u8], part: &[u8]) -> usize {
    of.windows(part.len())
        .filter(|window| *window == part)
        .count()
}
