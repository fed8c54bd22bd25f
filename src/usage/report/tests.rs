use std::sync::Arc;

use super::*;
use crate::clock::Now;
use crate::metering::{Certainty, ModelName, Tokens};
use crate::usage::UsageRecord;

/// 2026-09-21T14:13:20Z
const AT: u64 = 1_790_000_000;

fn now() -> Now {
    Now {
        unix: Duration::from_secs(AT),
        elapsed: Duration::from_secs(1),
    }
}

fn record(ago: u64, tier: &str, model: &str, user: &str, cost: u64) -> Arc<UsageRecord> {
    Arc::new(UsageRecord {
        began: Duration::from_secs(AT - ago),
        took: Duration::from_millis(5),
        request_id: "gwr_1".to_owned(),
        trace_id: None,
        user: Some(user.to_owned()),
        tier: tier.to_owned(),
        session_id: None,
        thread_id: None,
        route: "/v1/chat/completions",
        model: ModelName::parse(model),
        certainty: Certainty::Known,
        tokens: Some(Tokens {
            prompt: 10,
            cached: 4,
            completion: 5,
            total: 15,
        }),
        cost: Some(Cost(cost)),
        status: 200,
        outcome: "ok",
    })
}

fn ledger() -> Ledger {
    let ledger = Ledger::new(false);
    ledger.add(record(60, "pro", "large", "ada", 3_000_000_000));
    ledger.add(record(600, "pro", "small", "bob", 1_000_000_000));
    ledger.add(record(7_200, "free", "small", "a&b/ü", 500_000_000));
    ledger.add(record(3 * 86_400, "free", "small", "ada", 250_000_000));
    ledger
}

fn ask(query: &str) -> serde_json::Value {
    let query = Query::parse(query, now()).unwrap();
    serde_json::to_value(ledger().report(&query)).unwrap()
}

fn names(report: &serde_json::Value) -> Vec<&str> {
    let rows = report["rows"].as_array().unwrap();
    rows.iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect()
}

#[test]
fn without_parameters_it_is_the_totals_of_a_day() {
    let report = ask("");
    assert_eq!(report["totals"]["cost_usd"], 4.5);
    assert_eq!(report["totals"]["requests"], 3);
    assert_eq!(report["totals"]["total_tokens"], 45);
    assert_eq!(report["totals"]["metered"]["known"], 3);
    assert_eq!(report["rows"].as_array().unwrap().len(), 0);
    assert_eq!(report["from"], "2026-09-20T14:00:00Z");
    assert_eq!(report["to"], "2026-09-21T15:00:00Z");
}

#[test]
fn rows_are_by_what_is_asked_the_most_expensive_first() {
    assert_eq!(names(&ask("by=tier&from=-30d")), ["pro", "free"]);
    assert_eq!(names(&ask("by=model")), ["large", "small"]);
    assert_eq!(names(&ask("by=user&from=-30d")), ["ada", "bob", "a&b/ü"]);
    assert_eq!(names(&ask("by=model&tier=free&from=-30d")), ["small"]);
    let one = ask("by=user&user=a%26b%2F%C3%BC");
    assert_eq!(names(&one), ["a&b/ü"]);
    assert_eq!(one["totals"]["cost_usd"], 0.5);
    let cut = ask("by=user&limit=1");
    assert_eq!(
        (names(&cut), cut["left_out"].as_u64()),
        (vec!["ada"], Some(2))
    );
    assert_eq!(cut["totals"]["cost_usd"], 4.5, "totals are whole");
}

#[test]
fn rows_by_time_are_in_its_order_and_may_be_told_apart_further() {
    let report = ask("by=day,model&from=-30d");
    assert_eq!(report["by"], serde_json::json!(["day", "model"]));
    let rows = report["rows"].as_array().unwrap();
    let at: Vec<_> = rows.iter().map(|row| row["at"].as_str().unwrap()).collect();
    let (old, new) = ("2026-09-18T00:00:00Z", "2026-09-21T00:00:00Z");
    assert_eq!(at, [old, new, new]);
    let minutes = ask("by=minute&from=-1h");
    assert_eq!(minutes["resolution"], "minute");
    assert_eq!(minutes["rows"].as_array().unwrap().len(), 2);
    let user = ask("by=day&user=ada&from=-30d");
    assert_eq!(user["rows"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_answered_is_refused_with_the_parameter() {
    for (query, parameter) in [
        ("by=colour", "by"),
        ("by=tier,model", "by"),
        ("by=hour,user", "by"),
        ("by=minute&from=-3h", "from"),
        ("from=yesterday", "from"),
        ("to=-1d&from=-1h", "from"),
        ("from=0", "from"),
        ("to=99999999999999999999", "to"),
        ("limit=0", "limit"),
        ("limit=50001", "limit"),
        ("by=user&tier=pro", "tier"),
        ("by=session&user=ada", "user"),
        ("tier=%zz", "a value"),
        ("tier=%+f", "a value"),
        ("tier=%ff", "a value"),
        ("colour=red", "the query"),
    ] {
        let refused = Query::parse(query, now()).unwrap_err();
        assert_eq!(refused.parameter, parameter, "{query}: {refused}");
    }
}
