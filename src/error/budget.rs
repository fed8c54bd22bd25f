//! Budgets and rates: 402 and 429, with what is used up, of how much, and until when.

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{Code, Retry, Verdict, verdict};
use crate::budget::{LimitKind, OverBudget, Refused, Standing};
use crate::forward::rate_headers;
use crate::metering::Cost;
use std::time::Duration;

/// What the caller is told.
pub(super) fn verdict_of(error: &OverBudget) -> Verdict {
    match &error.refused {
        Refused::Limit(standing) if standing.kind.is_rate() => verdict(
            StatusCode::TOO_MANY_REQUESTS,
            Code::RateLimited,
            rate_text(standing.kind),
            Retry::After(Duration::from_secs(wait(standing, error.at))),
        ),
        Refused::Limit(_) => verdict(
            StatusCode::PAYMENT_REQUIRED,
            Code::QuotaExceeded,
            "This user's budget is used up; details.resets_at says until when.",
            Retry::Never,
        ),
        Refused::Unavailable => verdict(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::StoreUnavailable,
            "This user's budget cannot be looked up at the moment.",
            Retry::After(Duration::from_secs(1)),
        ),
    }
}

fn rate_text(kind: LimitKind) -> &'static str {
    if kind == LimitKind::ConcurrentRequests {
        "This user has as many requests under way as the plan allows."
    } else {
        "This user has sent as many requests in this minute as the plan allows."
    }
}

/// Seconds until another try makes sense; at least one.
fn wait(standing: &Standing, at: u64) -> u64 {
    standing.resets_at.saturating_sub(at).max(1)
}

/// Which limit it is, in Behest's words: `{tier, limit, usage, resets_at}`, with the limit's name and
/// scope.
pub(super) fn details(error: &OverBudget) -> Option<Value> {
    let Refused::Limit(standing) = &error.refused else {
        return None;
    };
    let amount = |amount: u64| {
        if standing.kind.is_cost() {
            json!(Cost(amount).usd())
        } else {
            json!(amount)
        }
    };
    let resets_at = Duration::from_secs(standing.resets_at.max(error.at));
    let resets_at = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + resets_at);
    Some(json!({
        "tier": error.policy.tier,
        "limit": amount(standing.limit),
        "usage": amount(standing.used.saturating_add(standing.reserved)),
        "resets_at": resets_at.to_string(),
        "kind": standing.kind.label(),
        "scope": standing.scope.label(),
    }))
}

/// What OpenAI's SDKs read of a rate.
pub(super) fn headers(error: &OverBudget, headers: &mut HeaderMap) {
    if let Refused::Limit(standing) = &error.refused {
        rate_headers::tell(headers, std::slice::from_ref(standing), error.at);
    }
}
