//! Users with least rights, and TLS.

use std::time::Duration;

use behest_gateway::budget::LimitKind;
use behest_gateway::budget::store::redis::{FIGURES, RedisConfig, SumsBatch, SumsBucket};

use super::{DAY, Replica, claim, config, now, spans, tokens_used};
use crate::support::redis::{Redis, free_port};

/// As the documentation of the store says.
const RIGHTS: &str = "resetkeys ~behest:* resetchannels -@all +evalsha +eval +ping +select +time +set \
                      +hget +hset +hmget +hgetall +hdel +hlen +expire +zadd +zrem +zrangebyscore";

/// One life of a reservation, and its look.
async fn counts(replica: &Replica) {
    let both = [
        (LimitKind::ConcurrentRequests, 2),
        (LimitKind::TokensPerDay, 100),
    ];
    let ask = claim(1, 10, &both, &both);
    let permit = replica
        .store
        .reserve(&ask, spans(&ask, DAY), now())
        .await
        .unwrap();
    assert_eq!(
        replica.stand(&ask).await,
        [(0, 1), (0, 10), (0, 1), (0, 10)]
    );
    permit.settle(tokens_used(4));
    replica.told().await;
    assert_eq!(replica.store.dropped(), 0);
    assert_eq!(replica.stand(&ask).await, [(0, 0), (4, 0), (0, 0), (4, 0)]);
    adds_up(replica).await;
}

/// All that is done with sums.
async fn adds_up(replica: &Replica) {
    let sums = replica.store.sums("usage");
    let row = |name: &str| (name.to_owned(), [1; FIGURES]);
    let batch = SumsBatch {
        number: 1,
        buckets: vec![SumsBucket {
            key: "h:0".to_owned(),
            expiry: Duration::from_mins(1),
            rows: vec![row("one"), row("two")],
        }],
    };
    assert_eq!(sums.add(&batch).await, Some(vec![2]));
    let pairs = [("two".to_owned(), "one".to_owned())];
    assert!(sums.fold("h:0", &pairs).await);
    let held = vec![vec![("one".to_owned(), [2; FIGURES])]];
    assert_eq!(sums.read(&["h:0".to_owned()]).await, Some(held));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_rights_that_are_documented_is_enough() {
    let redis = Redis::start();
    let made = redis.ask(&format!("ACL SETUSER gateway on >p@ss {RIGHTS}"));
    assert_eq!(made, "+OK\r\n");
    assert_eq!(redis.ask("ACL SETUSER default off"), "+OK\r\n");
    let url = format!("redis://gateway:p%40ss@127.0.0.1:{}", redis.port);
    counts(&Replica::new(&url).await).await;
    // A wrong password is no store, and no panic.
    let url = format!("redis://gateway:wrong@127.0.0.1:{}", redis.port);
    let stranger = Replica::starting(config(&url));
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!stranger.store.is_up());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_configured_authority_is_trusted_and_no_other() {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let options = [
        "--tls-port",
        "{port}",
        "--tls-cert-file",
        "{folder}/cert.pem",
        "--tls-key-file",
        "{folder}/key.pem",
        "--tls-ca-cert-file",
        "{folder}/cert.pem",
        "--tls-auth-clients",
        "no",
    ];
    let redis = Redis::prepared("redis-server", &options, free_port(), |folder| {
        std::fs::write(folder.join("cert.pem"), &certificate).unwrap();
        std::fs::write(folder.join("key.pem"), &key).unwrap();
    });
    let url = format!("rediss://localhost:{}", redis.port);
    let trusting = |pem: String| RedisConfig {
        roots: vec![pem.into_bytes()],
        ..config(&url)
    };
    counts(&Replica::with(trusting(certificate.clone())).await).await;
    let strangers = [
        Replica::starting(trusting(other.cert.pem())),
        Replica::starting(config(&url)),
    ];
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(strangers.iter().all(|stranger| !stranger.store.is_up()));
}
