//! Sums of use that replicas add up in a real Redis.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use behest_gateway::clock::{Clock, unix_time};
use behest_gateway::metering::{Certainty, Cost, Tokens};
use behest_gateway::usage::{
    Ledger, Query, Report, Scope, SharedLedger, UsageRecord, UsageView, Users,
};

use super::away::Wire;
use super::{Replica, now};
use crate::support::redis::Redis;
use crate::support::waiting::until;

/// One replica's sums over `replica`, which is told nothing by itself.
fn view(replica: &Replica) -> Arc<UsageView> {
    let view = UsageView::new(Ledger::new(true));
    view.ledger.call(Users::Plain);
    let shared = SharedLedger::new(replica.store.sums("usage"));
    assert!(view.shared.set(shared).is_ok());
    Arc::new(view)
}

fn spend(view: &UsageView, user: &str, cost: u64) {
    view.ledger.add(Arc::new(UsageRecord {
        began: unix_time(),
        took: Duration::from_millis(5),
        request_id: "gwr_1".to_owned(),
        trace_id: None,
        user: Some(user.to_owned()),
        tier: "pro".to_owned(),
        session_id: None,
        thread_id: None,
        route: "/v1/chat/completions",
        model: None,
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
    }));
}

async fn push(view: &UsageView) -> bool {
    let shared = view.shared.get().unwrap();
    shared.push(&view.ledger, Clock::system().now()).await
}

async fn report(view: &Arc<UsageView>, query: &str) -> Report {
    let query = Query::parse(query, now()).unwrap();
    Arc::clone(view).report(query, now()).await.unwrap()
}

/// Requests that all replicas are known to have had; none where the store did not say.
async fn requests(view: &Arc<UsageView>) -> Option<u64> {
    let report = report(view, "by=user&limit=50000").await;
    let json = serde_json::to_value(&report).unwrap();
    (report.scope == Scope::AllReplicas).then(|| json["totals"]["requests"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_answer_is_lost_is_told_again_and_added_once() {
    let redis = Redis::start();
    let wire = Wire::to(redis.address(), b"{usage}:batches").await;
    let replica = Replica::new(&format!("redis://{}", wire.address)).await;
    let other = Replica::new(&redis.url()).await;
    let (own, others) = (view(&replica), view(&other));
    for round in 1..=3_u64 {
        spend(&own, "ada", 7);
        wire.cut_next.store(true, Ordering::SeqCst);
        assert!(!push(&own).await, "its answer was lost");
        assert_eq!(wire.cuts.load(Ordering::SeqCst) as u64, round);
        // What comes meanwhile waits for it.
        spend(&own, "bob", 7);
        until("it is told", async || push(&own).await).await;
        assert_eq!(requests(&others).await, Some(2 * round));
    }
    let report = serde_json::to_value(report(&others, "by=user").await).unwrap();
    for row in report["rows"].as_array().unwrap() {
        assert_eq!(row["requests"], 3, "{report}");
        assert_eq!(row["cached_tokens"], 12, "{report}");
    }
    assert!((report["totals"]["cost_usd"].as_f64().unwrap() - 42e-9).abs() < 1e-12);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_bounded_over_all_replicas_and_sums_stay_whole() {
    let redis = Redis::start();
    let replicas = [
        Replica::new(&redis.url()).await,
        Replica::new(&redis.url()).await,
    ];
    let [small, large] = [view(&replicas[0]), view(&replicas[1])];
    // Fewer than either would make room for.
    for number in 0..11_000 {
        spend(&small, &format!("small {number}"), 1);
        spend(&large, &format!("large {number}"), 1_000 + number);
    }
    assert!(push(&small).await && push(&large).await);
    assert_eq!(requests(&small).await, Some(22_000));
    let day = now().unix_seconds() / 86_400 * 86_400;
    let names = redis.ask(&format!("HLEN behest:{{usage}}:users:plain:{day}"));
    let names: u32 = names.trim_start_matches(':').trim().parse().unwrap();
    assert!((10_001..=20_000).contains(&names), "room was made: {names}");
    let largest = report(&small, "by=user&limit=2").await;
    let names: Vec<_> = largest.rows.iter().map(|row| row.name.clone()).collect();
    let names: Vec<_> = names.iter().flatten().collect();
    assert!(names.contains(&&"large 10999".to_owned()), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_end_with_the_retention() {
    let redis = Redis::start();
    let replica = Replica::new(&redis.url()).await;
    let view = view(&replica);
    view.ledger.retain(Duration::from_hours(48));
    spend(&view, "ada", 7);
    assert!(push(&view).await);
    let at = now().unix_seconds();
    let left = |key: &str| -> u64 {
        let answer = redis.ask(&format!("TTL behest:{{usage}}:{key}"));
        answer.trim_start_matches(':').trim().parse().unwrap_or(0)
    };
    // The step may have ended since.
    let ends = |key: &str, step: u64, kept: u64| {
        let begin = at / step * step;
        [begin - step, begin]
            .iter()
            .map(|start| left(&format!("{key}:{start}")))
            .any(|left| (kept - step..=kept + step).contains(&left))
    };
    assert!(ends("users:plain", 86_400, 48 * 3600));
    assert!(ends("h", 3_600, 48 * 3600));
    assert!(ends("m", 60, 2 * 3600));
}
