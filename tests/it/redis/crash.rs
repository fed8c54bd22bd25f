//! Gateways and stores that die.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use behest_gateway::budget::LimitKind;
use behest_gateway::budget::store::redis::RedisConfig;

use super::{DAY, Replica, claim, config, now, spans, tokens_used};
use crate::support::redis::Redis;
use crate::support::waiting::until;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_reserved_comes_free_and_what_runs_is_renewed() {
    let redis = Redis::start();
    let short = RedisConfig {
        lease: Duration::from_millis(1200),
        ..config(&redis.url())
    };
    let killed = Replica::with(short.clone()).await;
    let alive = Replica::with(short).await;
    let ask = claim(
        1,
        10,
        &[(LimitKind::ConcurrentRequests, 2)],
        &[(LimitKind::TokensPerDay, 1000)],
    );
    let reserve =
        async |replica: &Replica| replica.store.reserve(&ask, spans(&ask, DAY), now()).await;
    std::mem::forget(reserve(&killed).await.unwrap());
    let running = reserve(&alive).await.unwrap();
    assert!(reserve(&alive).await.is_err(), "two are under way");
    killed.running.abort();
    let freed = async || alive.stand(&ask).await == [(0, 1), (0, 10)];
    until("the killed one's reservation is free", freed).await;
    // Several leases later the other still holds its own.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(alive.stand(&ask).await, [(0, 1), (0, 10)]);
    running.settle(tokens_used(3));
    alive.told().await;
    assert_eq!(alive.stand(&ask).await, [(0, 0), (3, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_counts_after_its_lease_was_swept() {
    let redis = Redis::start();
    let replica = Replica::new(&redis.url()).await;
    let ask = claim(1, 10, &[(LimitKind::TokensPerDay, 1000)], &[]);
    let permit = replica
        .store
        .reserve(&ask, spans(&ask, DAY), now())
        .await
        .unwrap();
    // As if the lease had passed, or the store had lost everything.
    redis.ask("FLUSHALL");
    assert_eq!(replica.stand(&ask).await, [(0, 0)]);
    permit.settle(tokens_used(8));
    replica.told().await;
    assert_eq!(replica.stand(&ask).await, [(8, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_killed_under_load_loses_no_settlement_and_doubles_none() {
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let replicas = [
        Replica::new(&redis.url()).await,
        Replica::new(&redis.url()).await,
    ];
    let asks = [(LimitKind::TokensPerDay, 1 << 50)];
    let users: Vec<_> = (0..5)
        .map(|user| Arc::new(claim(user, 10, &asks, &[])))
        .collect();
    let settled: Arc<Vec<AtomicU64>> = Arc::new(users.iter().map(|_| AtomicU64::new(0)).collect());
    let ended = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16 {
        let store = replicas[task % 2].store.clone();
        let (users, settled) = (users.clone(), Arc::clone(&settled));
        let ended = Arc::clone(&ended);
        tasks.spawn(async move {
            let mut turn = task;
            while !ended.load(Ordering::SeqCst) {
                turn += 1;
                let whose = turn % users.len();
                let ask = &users[whose];
                let permit = store.reserve(ask, spans(ask, DAY), now()).await.unwrap();
                let used = 1 + turn as u64 % 7;
                settled[whose].fetch_add(used, Ordering::SeqCst);
                permit.settle(tokens_used(used));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        redis.kill();
        let away = async || replicas.iter().all(|replica| !replica.store.is_up());
        until("both see that it is away", away).await;
        redis.again();
        let back = async || replicas.iter().all(|replica| replica.store.is_up());
        until("both are connected again", back).await;
    }
    ended.store(true, Ordering::SeqCst);
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    for replica in &replicas {
        replica.told().await;
        assert_eq!(replica.store.dropped(), 0);
    }
    for (user, settled) in users.iter().zip(settled.iter()) {
        let settled = settled.load(Ordering::SeqCst);
        assert!(settled > 100);
        assert_eq!(replicas[0].stand(user).await, [(settled, 0)]);
    }
}
