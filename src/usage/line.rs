//! A usage record as one line of JSON: what the file holds, and what the webhook is sent.
//!
//! | key | what it is |
//! |---|---|
//! | `time` | when the request's head came: RFC 3339, UTC, milliseconds; always the first key |
//! | `request_id` | the gateway's |
//! | `trace_id` | Behest's, where it gave one |
//! | `user` | plain or hashed, as `usage.users` says |
//! | `tier`, `session_id`, `thread_id` | where there are any |
//! | `route` | the route's pattern |
//! | `model` | as the answer calls it, else as the request does |
//! | `usage` | `known`, `partial` or `unknown` |
//! | `tokens` | `prompt` (those from a cache included), `cached`, `completion`, `total`; where known |
//! | `cost_usd` | a decimal number, exact; where tokens and price are known |
//! | `status`, `outcome` | the answer's status, and the outcome's code word as in the access log |
//! | `duration_ms` | from the request's head to the end of its answer, to the microsecond |
//!
//! What there is none of is left out. Keys may be added; none changes its meaning.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::UsageRecord;
use crate::metering::{ModelName, Tokens};

/// `record` as JSON, without an end of line.
pub(super) fn line(record: &UsageRecord) -> Bytes {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a request takes far less than 2^52 µs"
    )]
    let micros = record.took.as_micros() as f64;
    let line = Line {
        time: humantime::format_rfc3339_millis(UNIX_EPOCH + record.began).to_string(),
        request_id: &record.request_id,
        trace_id: record.trace_id.as_deref(),
        user: record.user.as_deref(),
        tier: Some(record.tier.as_str()).filter(|tier| !tier.is_empty()),
        session_id: record.session_id.as_deref(),
        thread_id: record.thread_id.as_deref(),
        route: record.route,
        model: record.model.as_ref().map(ModelName::as_str),
        usage: record.certainty.label(),
        tokens: record.tokens.map(TokenCounts::from),
        cost_usd: record
            .cost
            .and_then(|cost| RawValue::from_string(cost.to_string()).ok()),
        status: record.status,
        outcome: record.outcome,
        duration_ms: micros / 1000.0,
    };
    let mut json = Vec::with_capacity(512);
    // Texts and numbers: writing them as JSON cannot fail.
    let _ = serde_json::to_writer(&mut json, &line);
    json.into()
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<&'a str>,
    route: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    usage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<TokenCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<Box<RawValue>>,
    status: u16,
    outcome: &'static str,
    duration_ms: f64,
}

#[derive(Serialize)]
struct TokenCounts {
    prompt: u64,
    cached: u64,
    completion: u64,
    total: u64,
}

impl From<Tokens> for TokenCounts {
    fn from(tokens: Tokens) -> Self {
        Self {
            prompt: tokens.prompt,
            cached: tokens.cached,
            completion: tokens.completion,
            total: tokens.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::record;
    use super::*;
    use crate::metering::{Certainty, Cost};

    fn text(record: &UsageRecord) -> String {
        String::from_utf8(line(record).to_vec()).unwrap()
    }

    #[test]
    fn a_whole_record_is_written_as_documented() {
        let mut whole = record("r1");
        whole.began = Duration::from_millis(1_790_000_000_123);
        whole.trace_id = Some("t".to_owned());
        whole.user = Some("ada\"\n".to_owned());
        whole.session_id = Some("gw_1".to_owned());
        whole.thread_id = Some("th".to_owned());
        whole.model = ModelName::parse("gpt-5.2");
        whole.certainty = Certainty::Known;
        whole.tokens = Some(Tokens {
            prompt: 10,
            cached: 4,
            completion: 5,
            total: 15,
        });
        whole.cost = Some(Cost(37_500));
        assert_eq!(
            text(&whole),
            concat!(
                r#"{"time":"2026-09-21T14:13:20.123Z","request_id":"r1","trace_id":"t","#,
                r#""user":"ada\"\n","tier":"pro","session_id":"gw_1","thread_id":"th","#,
                r#""route":"/v1/chat/completions","model":"gpt-5.2","usage":"known","#,
                r#""tokens":{"prompt":10,"cached":4,"completion":5,"total":15},"#,
                r#""cost_usd":0.0000375,"status":200,"outcome":"ok","duration_ms":1500.25}"#
            )
        );
    }

    #[test]
    fn what_there_is_none_of_is_left_out() {
        let mut bare = record("r2");
        bare.began = Duration::ZERO;
        bare.tier.clear();
        assert_eq!(
            text(&bare),
            concat!(
                r#"{"time":"1970-01-01T00:00:00.000Z","request_id":"r2","#,
                r#""route":"/v1/chat/completions","usage":"unknown","#,
                r#""status":200,"outcome":"ok","duration_ms":1500.25}"#
            )
        );
    }
}
