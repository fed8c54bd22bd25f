//! What looking at use costs a request: counting it, listing it while it is under way.

use std::sync::Arc;
use std::time::Duration;

use behest_gateway::clock::Now;
use behest_gateway::metering::{Certainty, Cost, ModelName, Tokens};
use behest_gateway::usage::{Ledger, LiveRequests, Refusals, UsageRecord};
use criterion::Criterion;
use http::HeaderValue;

/// A thousand users' records, in three tiers and five models.
fn records(now: Now) -> Vec<Arc<UsageRecord>> {
    let record = |number: usize| UsageRecord {
        began: now.unix,
        took: Duration::from_millis(900),
        request_id: "gwr_0123456789abcdef01234567".to_owned(),
        trace_id: None,
        user: Some(format!("usr_{:08}", number % 1_000)),
        tier: ["free", "pro", "enterprise"][number % 3].to_owned(),
        session_id: Some(format!("gw_{:022}", number % 1_000)),
        thread_id: None,
        route: "/v1/chat/completions",
        model: ModelName::parse(["gpt-5.2", "a", "b", "c", "d"][number % 5]),
        certainty: Certainty::Known,
        tokens: Some(Tokens {
            prompt: 1_200,
            cached: 800,
            completion: 300,
            total: 1_500,
        }),
        cost: Some(Cost(4_200_000)),
        status: 200,
        outcome: "ok",
    };
    (0..10_000).map(|number| Arc::new(record(number))).collect()
}

/// Counting includes the worker's own share of bringing records into the books: nobody else does here.
pub(crate) fn usage(criterion: &mut Criterion, now: Now) {
    let records = records(now);
    let ledger = Ledger::new(false);
    let mut next = records.iter().cycle();
    criterion.bench_function("usage/ledger", |bench| {
        bench.iter(|| next.next().map(|record| ledger.add(Arc::clone(record))));
    });
    let live = Arc::new(LiveRequests::default());
    let id = HeaderValue::from_static("gwr_0123456789abcdef01234567");
    criterion.bench_function("usage/live", |bench| {
        bench.iter(|| live.enter(id.clone(), "/v1/chat/completions", "pro", now));
    });
    let refusals = Refusals::default();
    criterion.bench_function("usage/refusals", |bench| {
        bench.iter(|| refusals.count("rate_limited", "user_requests_per_minute", now));
    });
}
