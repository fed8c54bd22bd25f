//! The rule, over several replicas at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use behest_gateway::budget::store::redis::Span;
use behest_gateway::budget::{LimitKind, Refused};
use behest_gateway::clock::monotonic;

use super::{DAY, Replica, claim, now, spans, tokens_used};
use crate::support::redis::Redis;

#[tokio::test(flavor = "multi_thread")]
async fn of_64_tasks_over_three_replicas_no_limit_is_passed_by_more_than_one_estimate() {
    const LIMIT: u64 = 100_000;
    const ESTIMATE: u64 = 700;
    const AT_ONCE: u64 = 9;
    let redis = Redis::start();
    let replicas = [
        Replica::new(&redis.url()).await,
        Replica::new(&redis.url()).await,
        Replica::new(&redis.url()).await,
    ];
    let asks = [
        (LimitKind::ConcurrentRequests, AT_ONCE),
        (LimitKind::TokensPerDay, LIMIT),
    ];
    let claim = Arc::new(claim(1, ESTIMATE, &asks, &[]));
    let (under_way, most, settled) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let counts = Arc::new((under_way, most, settled));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..64 {
        let store = replicas[task % 3].store.clone();
        let (claim, counts) = (Arc::clone(&claim), Arc::clone(&counts));
        tasks.spawn(async move {
            loop {
                match store.reserve(&claim, spans(&claim, DAY), now()).await {
                    Ok(permit) => {
                        let here = counts.0.fetch_add(1, Ordering::SeqCst) + 1;
                        counts.1.fetch_max(here, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        counts.2.fetch_add(ESTIMATE - 100, Ordering::SeqCst);
                        counts.0.fetch_sub(1, Ordering::SeqCst);
                        permit.settle(tokens_used(ESTIMATE - 100));
                    }
                    Err(Refused::Limit(it)) if it.kind == LimitKind::ConcurrentRequests => {
                        tokio::task::yield_now().await;
                    }
                    // What is reserved may come free again, until it is used.
                    Err(Refused::Limit(it)) if it.used < LIMIT => tokio::task::yield_now().await,
                    Err(refused) => return refused,
                }
            }
        });
    }
    while let Some(refused) = tasks.join_next().await {
        assert!(matches!(refused.unwrap(), Refused::Limit(_)));
    }
    for replica in &replicas {
        replica.told().await;
    }
    let settled = counts.2.load(Ordering::SeqCst);
    assert!((LIMIT..LIMIT + ESTIMATE).contains(&settled), "{settled}");
    assert!(counts.1.load(Ordering::SeqCst) <= AT_ONCE);
    assert_eq!(replicas[0].stand(&claim).await, [(0, 0), (settled, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_held_against_all_limits_or_none_by_user_and_by_session() {
    let redis = Redis::start();
    let replica = Replica::new(&redis.url()).await;
    let by_user = [
        (LimitKind::RequestsPerDay, 3),
        (LimitKind::CostPerMonth, 1 << 50),
    ];
    let ask = claim(1, 10, &by_user, &[(LimitKind::TokensPerDay, 15)]);
    let reserve = || replica.store.reserve(&ask, spans(&ask, DAY), now());
    let first = reserve().await.unwrap();
    let second = reserve().await.unwrap();
    assert_eq!(second.standings()[0].reserved, 2, "with its own");
    let Err(Refused::Limit(refused)) = reserve().await else {
        panic!("the session has 15 tokens, and 20 are reserved");
    };
    assert_eq!(
        (refused.kind, refused.used, refused.reserved),
        (LimitKind::TokensPerDay, 0, 20)
    );
    assert_eq!(replica.stand(&ask).await, [(0, 2), (0, 20_000), (0, 20)]);
    first.release();
    drop(second);
    replica.told().await;
    assert_eq!(replica.stand(&ask).await, [(0, 0), (0, 0), (0, 0)]);
    reserve().await.unwrap().settle(tokens_used(1 << 40));
    replica.told().await;
    assert_eq!(
        replica.stand(&ask).await,
        [(1, 0), ((1 << 40) * 1000, 0), (1 << 40, 0)]
    );
    // Another user, and another session, have all of theirs.
    let mut other = ask.clone();
    other.session = Some(8);
    assert_eq!(replica.stand(&other).await[2], (0, 0));
    other.user = 2;
    assert_eq!(replica.stand(&other).await, [(0, 0); 3]);
    for key in [
        "behest:{AAAAAAAAAAAAAAAAAAAAAQ}",
        "behest:{AAAAAAAAAAAAAAAAAAAAAQ}:AAAAAAAAAAAAAAAAAAAABw",
    ] {
        let ttl = number(&redis.ask(&format!("TTL {key}")));
        assert!((24.0 * 3600.0..27.0 * 3600.0).contains(&ttl), "{key} {ttl}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_begins_anew_and_what_was_reserved_before_settles_there() {
    let redis = Redis::start();
    let replica = Replica::new(&redis.url()).await;
    let ask = claim(1, 10, &[(LimitKind::TokensPerDay, 10)], &[]);
    let on = |day| replica.store.reserve(&ask, spans(&ask, day), now());
    let yesterday = on(DAY - 1).await.unwrap();
    assert!(on(DAY - 1).await.is_err());
    let today = on(DAY).await.unwrap();
    yesterday.settle(tokens_used(4));
    replica.told().await;
    assert_eq!(replica.stand(&ask).await, [(0, 10)]);
    // A replica whose clock is behind counts in the window that has begun.
    assert!(on(DAY - 1).await.is_err());
    today.settle(tokens_used(6));
    replica.told().await;
    assert_eq!(replica.stand(&ask).await, [(6, 0)]);
    // Where windows slide, half of the one before still counts.
    let sliding = Span {
        weight: 32_768,
        ..spans(&ask, DAY).remove(0)
    };
    let standings = replica
        .store
        .standings(&ask, vec![sliding], now())
        .await
        .unwrap();
    assert_eq!(standings[0].used, 6 + 4 / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_threshold_is_told_once_a_window_over_all_replicas() {
    let redis = Redis::start();
    let replicas = [
        Replica::new(&redis.url()).await,
        Replica::new(&redis.url()).await,
    ];
    let asks = [
        (LimitKind::RequestsPerMinute, 2),
        (LimitKind::TokensPerDay, 1000),
    ];
    let ask = claim(1, 1, &asks[1..], &[]);
    let with_rate = claim(1, 1, &asks, &[]);
    for used in [499, 1, 1, 299, 150, 20, 20] {
        for replica in &replicas {
            let permit = replica
                .store
                .reserve(&ask, spans(&ask, DAY), now())
                .await
                .unwrap();
            permit.settle(tokens_used(used / 2));
            replica.told().await;
        }
    }
    let heard = || {
        let of = |it: &Replica| it.heard.crossed.lock().unwrap().clone();
        let mut all: Vec<_> = replicas.iter().flat_map(of).collect();
        all.sort();
        all
    };
    assert_eq!(
        heard(),
        [(LimitKind::TokensPerDay, 50), (LimitKind::TokensPerDay, 80)]
    );
    // The next window tells them again, and one that leaps tells all; rates tell none.
    let spans = spans(&with_rate, DAY + 1);
    let permit = replicas[0]
        .store
        .reserve(&with_rate, spans, now())
        .await
        .unwrap();
    permit.settle(tokens_used(2000));
    replicas[0].told().await;
    assert_eq!(heard().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_costs_the_store_little_memory_and_a_claim_little_time() {
    let redis = Redis::start();
    let replica = Replica::new(&redis.url()).await;
    let all = LimitKind::ALL.map(|kind| (kind, 1_000_000_000_000));
    let ask = claim(1, 1000, &all, &[]);
    let mut took = Vec::new();
    for _ in 0..500 {
        let start = monotonic();
        let permit = replica
            .store
            .reserve(&ask, spans(&ask, DAY), now())
            .await
            .unwrap();
        took.push(start.elapsed());
        permit.settle(tokens_used(123_456));
        replica.told().await;
    }
    took.sort();
    let memory = || number(&redis.ask("MEMORY USAGE behest:{AAAAAAAAAAAAAAAAAAAAAQ}"));
    let at_rest = memory();
    let mut running = Vec::new();
    for _ in 0..4 {
        running.push(
            replica
                .store
                .reserve(&ask, spans(&ask, DAY), now())
                .await
                .unwrap(),
        );
    }
    let each_running = (memory() - at_rest) / 4.0;
    let stats = redis.ask("INFO commandstats");
    let calls = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_evalsha"))
        .unwrap();
    let (_, per_call) = calls.split_once("usec_per_call=").unwrap();
    let microseconds = number(per_call.split(',').next().unwrap());
    eprintln!(
        "{at_rest} bytes a user, {each_running} a request under way, {microseconds} µs a script, p50 {:?}",
        took[250]
    );
    assert!(at_rest < 1000.0, "{at_rest} bytes");
    assert!(each_running < 300.0, "{each_running} bytes");
    assert!(microseconds < 1000.0, "{microseconds} µs");
}

/// The number in an answer of one.
fn number(answer: &str) -> f64 {
    answer.trim().trim_start_matches(':').parse().unwrap()
}
