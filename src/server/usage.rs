//! `/usage` and `/usage/live` on the operators' listener: what was used, and how things stand now.
//!
//! Guarantees: reached only behind `admin.token`; every answer is JSON, a refusal with the fix in words;
//! nothing here changes anything.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::clock::Now;
use crate::gateway::Gateway;
use crate::metering::Cost;
use crate::telemetry::metrics::Metrics;
use crate::usage::{AccountStanding, LiveRequest, Query, QueryError, Scope, UsageView};

/// Requests under way that are told one by one: the oldest.
const LISTED: usize = 100;

/// Accounts whose budgets are told: the fullest.
const ACCOUNTS: usize = 20;

/// `GET /usage`.
pub(super) async fn report(
    view: Arc<UsageView>,
    query: Option<&str>,
    now: Now,
) -> Response<Full<Bytes>> {
    let query = match Query::parse(query.unwrap_or_default(), now) {
        Ok(query) => query,
        Err(error) => return refused(&error),
    };
    if let Some(report) = view.report(query, now).await {
        return json(StatusCode::OK, &report);
    }
    let told = json!({ "error": { "message": "the report cannot be made; see the log" } });
    json(StatusCode::INTERNAL_SERVER_ERROR, &told)
}

/// `GET /usage/live`.
pub(super) fn live(
    view: &UsageView,
    gateway: &Gateway,
    metrics: &Metrics,
    now: Now,
) -> Response<Full<Bytes>> {
    let budgets = view.budgets.get();
    let fullest = budgets.map(|budgets| (budgets.fullest)(ACCOUNTS, now));
    let store = budgets.map(|budgets| {
        let store = (budgets.store)();
        let (kind, up) = (store.kind, store.is_up);
        json!({ "kind": kind, "up": up, "detail": store.detail, "accounts": store.accounts })
    });
    let refusals: Vec<_> = view.refusals.last_hour(now).iter().map(refusal).collect();
    let cache = counts(metrics, "token_cache_total");
    let page = json!({
        "now": time(now.unix),
        // Whatever the store: each replica knows its own.
        "scope": Scope::ThisReplica,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": now.elapsed.as_secs(),
        "requests": requests(view, now),
        "budgets": fullest.map(|accounts| accounts.iter().map(account).collect::<Vec<_>>()),
        "store": store,
        "refusals": refusals,
        "cache": {
            "outcomes": cache,
            "hit_ratio": hit_ratio(&cache),
            "entries": gateway.tokens.len(),
        },
        "mint": {
            "outcomes": counts(metrics, "mints_total"),
            "paused": gateway.tokens.is_mint_paused(),
        },
    });
    json(StatusCode::OK, &page)
}

fn requests(view: &UsageView, now: Now) -> Value {
    let listed = view.live.list();
    let streams = listed.iter().filter(|request| request.is_stream()).count();
    let request = |request: &Arc<LiveRequest>| {
        json!({
            "id": request.id.to_str().unwrap_or_default(),
            "route": request.route,
            "tier": request.tier,
            "age_ms": u64::try_from(request.age(now).as_millis()).unwrap_or(u64::MAX),
            "bytes": request.bytes(),
            "stream": request.is_stream(),
        })
    };
    let oldest: Vec<_> = listed.iter().take(LISTED).map(request).collect();
    json!({ "count": view.live.count(), "streams": streams, "oldest": oldest })
}

fn account(account: &AccountStanding) -> Value {
    let standing = &account.standing;
    let amount = |amount: u64| {
        if standing.kind.is_cost() {
            json!(Cost(amount).usd())
        } else {
            json!(amount)
        }
    };
    json!({
        "account": account.account,
        "tier": account.tier,
        "scope": standing.scope.label(),
        "kind": standing.kind.label(),
        "limit": amount(standing.limit),
        "used": amount(standing.used),
        "reserved": amount(standing.reserved),
        "resets_at": time(Duration::from_secs(standing.resets_at)),
    })
}

fn refusal(refusal: &crate::usage::RefusalCount) -> Value {
    json!({
        "code": refusal.code,
        "reason": refusal.reason,
        "count": refusal.count,
        "by_minute": refusal.by_minute.as_slice(),
    })
}

/// A family of counters by its one label.
fn counts(metrics: &Metrics, name: &str) -> Map<String, Value> {
    let values = metrics.values(name).into_iter();
    values.map(|(label, value)| (label, json!(value))).collect()
}

/// Of all looks into the cache, those that found a usable token; `None`: there was none yet.
fn hit_ratio(outcomes: &Map<String, Value>) -> Option<f64> {
    let of = |label: &str| outcomes.get(label).and_then(Value::as_f64).unwrap_or(0.0);
    let all: f64 = outcomes.values().filter_map(Value::as_f64).sum();
    (all > 0.0).then(|| (of("hit") + of("refresh")) / all)
}

fn refused(error: &QueryError) -> Response<Full<Bytes>> {
    let told = json!({ "field": error.parameter, "message": error.to_string() });
    json(StatusCode::BAD_REQUEST, &json!({ "error": told }))
}

fn time(since_epoch: Duration) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since_epoch).to_string()
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_token_is_a_hit_and_nothing_is_no_ratio() {
        let outcomes = |pairs: &[(&str, f64)]| {
            let pair = |(label, count): &(&str, f64)| ((*label).to_owned(), json!(count));
            pairs.iter().map(pair).collect::<Map<_, _>>()
        };
        assert_eq!(hit_ratio(&outcomes(&[])), None);
        let seen = outcomes(&[
            ("hit", 6.0),
            ("refresh", 3.0),
            ("miss", 2.0),
            ("negative", 1.0),
        ]);
        assert_eq!(hit_ratio(&seen), Some(0.75));
    }
}
