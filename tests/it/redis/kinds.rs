//! Cluster and Sentinel.

use std::fmt::Write as _;
use std::process::Command;

use behest_gateway::budget::LimitKind;
use behest_gateway::budget::store::redis::{Mode, RedisConfig};

use super::{DAY, Replica, claim, config, now, spans, tokens_used};
use crate::support::redis::{Redis, free_port};
use crate::support::waiting::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_three_counts_users_of_all_its_slots() {
    let options = [
        "--cluster-enabled",
        "yes",
        "--cluster-config-file",
        "nodes.conf",
    ];
    let nodes: Vec<_> = (0..3).map(|_| Redis::with(&options)).collect();
    let mut create = Command::new("redis-cli");
    create.args(["--cluster", "create"]);
    for node in &nodes {
        create.arg(node.address().to_string());
    }
    let made = create.arg("--cluster-yes").output().unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stdout)
    );
    let is_made = |node: &Redis| node.ask("CLUSTER INFO").contains("cluster_state:ok");
    until("all know of it", async || nodes.iter().all(is_made)).await;
    let replica = Replica::with(RedisConfig {
        mode: Mode::Cluster,
        ..config(&nodes[0].url())
    })
    .await;
    let asks = [(LimitKind::TokensPerDay, 1000)];
    let claims: Vec<_> = (0..60_u128)
        .map(|user| claim(user * 7919, 10, &asks, &asks))
        .collect();
    for round in 1..=2 {
        for claim in &claims {
            let permit = replica
                .store
                .reserve(claim, spans(claim, DAY), now())
                .await
                .unwrap();
            permit.settle(tokens_used(3));
        }
        replica.told().await;
        for claim in &claims {
            assert_eq!(replica.stand(claim).await, [(3 * round, 0); 2]);
        }
    }
    let is_used = |node: &Redis| node.ask("DBSIZE").trim() != ":0";
    assert!(nodes.iter().all(is_used), "one node has it all");
    assert!(replica.store.is_up());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_the_new_primary_is_found_and_told_the_rest() {
    let mut primary = Redis::start();
    let port = primary.port.to_string();
    let replica_of = Redis::with(&["--replicaof", "127.0.0.1", &port]);
    until("it is replicated", async || {
        replica_of
            .ask("INFO replication")
            .contains("link_status:up")
    })
    .await;
    let sentinel = watching(&port);
    let knows = async || {
        sentinel
            .ask("SENTINEL REPLICAS mymaster")
            .contains(&replica_of.port.to_string())
    };
    until("the sentinel knows the replica", knows).await;
    let replica = Replica::with(RedisConfig {
        mode: Mode::Sentinel {
            name: "mymaster".to_owned(),
        },
        ..config(&sentinel.url())
    })
    .await;
    let ask = claim(1, 10, &[(LimitKind::TokensPerDay, 1000)], &[]);
    let reserve = async || {
        replica
            .store
            .reserve(&ask, spans(&ask, DAY), now())
            .await
            .unwrap()
    };
    reserve().await.settle(tokens_used(5));
    let running = reserve().await;
    replica.told().await;
    let offset = |redis: &Redis| {
        let info = redis.ask("INFO replication");
        info.lines()
            .find(|line| line.starts_with("master_repl_offset"))
            .map(str::to_owned)
    };
    until("the replica has it", async || {
        offset(&primary) == offset(&replica_of)
    })
    .await;
    primary.kill();
    until("it is away", async || !replica.store.is_up()).await;
    running.settle(tokens_used(6));
    let is_back = async || replica.store.is_up();
    // The sentinel takes its time.
    for _ in 0..3 {
        if tokio::time::timeout(crate::support::PATIENCE, until("it is back", is_back))
            .await
            .is_ok()
        {
            break;
        }
    }
    replica.told().await;
    assert_eq!(replica.stand(&ask).await, [(11, 0)]);
    assert!(replica_of.ask("INFO replication").contains("role:master"));
}

/// A sentinel of `mymaster` at `port`.
fn watching(port: &str) -> Redis {
    let own = free_port();
    Redis::prepared("redis-sentinel", &[], own, |folder| {
        let mut text = format!("port {own}\nbind 127.0.0.1\ndir {}\n", folder.display());
        writeln!(text, "sentinel monitor mymaster 127.0.0.1 {port} 1").unwrap();
        text.push_str("sentinel down-after-milliseconds mymaster 500\n");
        text.push_str("sentinel failover-timeout mymaster 3000\n");
        std::fs::write(folder.join("sentinel.conf"), text).unwrap();
    })
}
