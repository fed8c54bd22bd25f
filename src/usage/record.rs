//! One request, as it is charged and told.

use std::time::Duration;

use crate::metering::{Certainty, Cost, ModelName, Tokens};

/// Outcomes of requests that were answered by Behest or given up by the caller. Where any other comes
/// with an error's status, the gateway refused the request itself.
const PASSED_ON: [&str; 7] = [
    "ok",
    "upstream_4xx",
    "upstream_5xx",
    "client_gone",
    "upstream_cut",
    "upstream_idle",
    "drained",
];

/// One request, made when its answer's body ends.
#[derive(Clone, Debug)]
pub struct UsageRecord {
    /// When its head came, since the Unix epoch.
    pub began: Duration,
    /// From its head to the end of the answer's body.
    pub took: Duration,
    /// The gateway's request id.
    pub request_id: String,
    /// Behest's trace id.
    pub trace_id: Option<String>,
    /// The user, plain or hashed as `usage.users` says; `None`: not kept.
    pub user: Option<String>,
    /// The session's tier; empty: it has none.
    pub tier: String,
    /// The id that Behest keeps the session's memory under; `None` where users are not kept.
    pub session_id: Option<String>,
    /// The client's own `X-Thread-Id`, where it is 1 to 128 bytes of visible ASCII.
    pub thread_id: Option<String>,
    /// The route's pattern, e.g. `/v1/chat/completions`.
    pub route: &'static str,
    /// The model, as the answer calls it, else as the request does.
    pub model: Option<ModelName>,
    /// How far the tokens are known.
    pub certainty: Certainty,
    /// The tokens, where they are known.
    pub tokens: Option<Tokens>,
    /// What they cost; `None` where they or the model's price are not known.
    pub cost: Option<Cost>,
    /// The answer's status.
    pub status: u16,
    /// The outcome's code word, as in the access log.
    pub outcome: &'static str,
}

impl UsageRecord {
    /// Whether the gateway refused it itself, so that it used nothing.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.status >= 400 && !PASSED_ON.contains(&self.outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn what_is_passed_on_is_called_as_requests_end() {
        for outcome in PASSED_ON {
            assert!(Code::LABELS.contains(&outcome), "{outcome}");
        }
    }
}
