//! A stream that the gateway made to say what it used: its caller gets every byte but those of events
//! that have tokens and no choices, however it is cut.
//!
//! Input: a byte with the size of the pieces, and the stream, cut into pieces of its own at `|`.

use bytes::Bytes;
use serde_json::Value;

use super::gateway::metering::Meter;

/// Checks one stream.
pub fn check(data: &[u8]) {
    let [size, body @ ..] = data else {
        return;
    };
    let pieces: Vec<&[u8]> = body.split(|byte| *byte == b'|').collect();
    let whole = pieces.concat();
    let passed = swallowed(&mut [whole.as_slice()].into_iter());
    let sized = swallowed(&mut whole.chunks(usize::from(*size).max(1)));
    assert_eq!(sized, passed, "it depends on the size");
    let cut = swallowed(&mut pieces.into_iter());
    assert_eq!(cut, passed, "it depends on the pieces");
    if let Some(expected) = naive(&whole) {
        assert_eq!(passed, expected);
    }
}

fn swallowed(pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<u8> {
    let mut meter = Meter::events(true);
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(meter.passed(Bytes::copy_from_slice(piece)));
    }
    assert_eq!(
        meter.has_rest(),
        meter.rest().is_some_and(|rest| {
            out.extend_from_slice(&rest);
            true
        })
    );
    out
}

/// `stream` without the extra events; `None` where that is not plain to see: lines end otherwise than in
/// LF, or an event says it more than once.
fn naive(stream: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(stream).ok()?;
    if text.contains(['\r', '\u{feff}']) || text.contains("\\u") {
        return None;
    }
    let (mut out, mut event) = (String::new(), String::new());
    for line in text.split_inclusive('\n') {
        event.push_str(line);
        if line == "\n" {
            if !is_extra(&event)? {
                out.push_str(&event);
            }
            event.clear();
        }
    }
    out.push_str(&event);
    Some(out.into_bytes())
}

fn is_extra(event: &str) -> Option<bool> {
    let data = event.lines().filter_map(|line| line.strip_prefix("data:"));
    let data: Vec<_> = data
        .map(|value| value.strip_prefix(' ').unwrap_or(value))
        .collect();
    let Ok(Value::Object(chunk)) = serde_json::from_str(&data.join("\n")) else {
        // Of what is no JSON nothing can be told from it.
        return Some(false);
    };
    for name in ["usage", "choices", "response", "total_tokens"] {
        if event.matches(&format!("\"{name}\"")).count() > 1 {
            return None;
        }
    }
    let has_choices = chunk.get("choices").and_then(Value::as_array);
    let usage = chunk
        .get("usage")
        .or(chunk.get("response").and_then(|it| it.get("usage")));
    let counts = [
        "prompt_tokens",
        "completion_tokens",
        "input_tokens",
        "output_tokens",
    ];
    let usage = usage.and_then(Value::as_object);
    let is_said = |name: &str| usage.is_some_and(|usage| usage.contains_key(name));
    if counts.into_iter().any(is_said) {
        // Told by the other check which of them count.
        return None;
    }
    let total = usage.and_then(|usage| usage.get("total_tokens")?.as_u64());
    Some(has_choices.is_some_and(Vec::is_empty) && total.is_some_and(|total| total <= 1 << 53))
}
