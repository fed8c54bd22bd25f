//! The store that does not answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use behest_gateway::budget::store::redis::{Fail, RedisConfig};
use behest_gateway::budget::{LimitKind, Refused};
use behest_gateway::clock::monotonic;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{DAY, Replica, claim, config, now, spans, tokens_used};
use crate::support::redis::Redis;
use crate::support::waiting::until;

#[tokio::test(flavor = "multi_thread")]
async fn open_counts_here_and_tells_the_store_when_it_is_back() {
    let mut redis = Redis::with(&["--appendonly", "yes"]);
    let replica = Replica::new(&redis.url()).await;
    let ask = claim(
        1,
        10,
        &[
            (LimitKind::ConcurrentRequests, 2),
            (LimitKind::TokensPerDay, 100),
        ],
        &[],
    );
    let reserve = async || replica.store.reserve(&ask, spans(&ask, DAY), now()).await;
    let before = reserve().await.unwrap();
    let running = reserve().await.unwrap();
    redis.kill();
    until("it is away", async || !replica.store.is_up()).await;
    before.settle(tokens_used(30));
    let first = reserve().await.unwrap();
    let _second = reserve().await.unwrap();
    assert!(matches!(reserve().await, Err(Refused::Limit(it)) if it.reserved == 2));
    first.settle(tokens_used(60));
    // 30 and 60 are used, and 10 reserved: that is all of it.
    let Err(Refused::Limit(refused)) = reserve().await else {
        panic!("more than the budget");
    };
    assert_eq!(
        (refused.kind, refused.used, refused.reserved),
        (LimitKind::TokensPerDay, 90, 10)
    );
    redis.again();
    until("it is back", async || replica.store.is_up()).await;
    // What is under way is reserved there, also what was granted without it.
    let counted = async || replica.store.is_up() && replica.stand(&ask).await == [(0, 2), (90, 20)];
    until("the store knows all of it", counted).await;
    drop(running);
    replica.told().await;
    assert_eq!(replica.stand(&ask).await, [(0, 1), (90, 10)]);
    assert_eq!(*replica.heard.ups.lock().unwrap(), [true, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_refuses_at_once_and_by_family() {
    let redis = Redis::start();
    let replica = Replica::with(RedisConfig {
        fail_budgets: Fail::Closed,
        timeout: Duration::from_millis(400),
        ..config(&redis.url())
    })
    .await;
    let budget = claim(1, 10, &[(LimitKind::TokensPerDay, 100)], &[]);
    let rate = claim(1, 10, &[(LimitKind::RequestsPerMinute, 100)], &[]);
    let both = claim(
        1,
        10,
        &[
            (LimitKind::TokensPerDay, 9),
            (LimitKind::RequestsPerMinute, 9),
        ],
        &[],
    );
    // It accepts connections and answers nothing: worse than one that is dead.
    signal(redis.pid(), "STOP");
    let start = monotonic();
    for _ in 0..200 {
        let refused = replica
            .store
            .reserve(&budget, spans(&budget, DAY), now())
            .await;
        assert_eq!(refused.unwrap_err(), Refused::Unavailable);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "each waited");
    assert!(
        replica
            .store
            .reserve(&rate, spans(&rate, DAY), now())
            .await
            .is_ok()
    );
    let refused = replica.store.reserve(&both, spans(&both, DAY), now()).await;
    assert_eq!(refused.unwrap_err(), Refused::Unavailable);
    signal(redis.pid(), "CONT");
    until("it is back", async || replica.store.is_up()).await;
    let granted = replica
        .store
        .reserve(&budget, spans(&budget, DAY), now())
        .await
        .unwrap();
    drop(granted);
    replica.told().await;
    // The claim whose answer was never heard holds nothing either.
    assert_eq!(replica.stand(&budget).await, [(0, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_whose_answer_is_lost_is_told_again_and_counted_once() {
    let redis = Redis::start();
    let wire = Wire::to(redis.address(), SETTLEMENT).await;
    let replica = Replica::new(&format!("redis://{}", wire.address)).await;
    let ask = claim(1, 10, &[(LimitKind::TokensPerDay, 1000)], &[]);
    for round in 1..=5 {
        let permits = [
            replica
                .store
                .reserve(&ask, spans(&ask, DAY), now())
                .await
                .unwrap(),
            replica
                .store
                .reserve(&ask, spans(&ask, DAY), now())
                .await
                .unwrap(),
        ];
        wire.cut_next.store(true, Ordering::SeqCst);
        for permit in permits {
            permit.settle(tokens_used(7));
        }
        until("an answer was lost", async || {
            wire.cuts.load(Ordering::SeqCst) == round
        })
        .await;
        replica.told().await;
        until("it is back", async || replica.store.is_up()).await;
        assert_eq!(replica.stand(&ask).await, [(14 * round as u64, 0)]);
    }
}

fn signal(pid: u32, name: &str) {
    let status = std::process::Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// What a settlement has in it: its thresholds.
const SETTLEMENT: &[u8] = b"50 80 10";

/// Passes bytes on; asked to, it cuts a connection in place of the next answer to a call that has a mark
/// in it.
pub(super) struct Wire {
    pub(super) address: SocketAddr,
    pub(super) cut_next: Arc<AtomicBool>,
    pub(super) cuts: Arc<AtomicUsize>,
}

impl Wire {
    pub(super) async fn to(server: SocketAddr, mark: &'static [u8]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let wire = Self {
            address: listener.local_addr().unwrap(),
            cut_next: Arc::default(),
            cuts: Arc::default(),
        };
        let (cut_next, cuts) = (Arc::clone(&wire.cut_next), Arc::clone(&wire.cuts));
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let (cut_next, cuts) = (Arc::clone(&cut_next), Arc::clone(&cuts));
                tokio::spawn(async move { pass(caller, (server, mark), &cut_next, &cuts).await });
            }
        });
        wire
    }
}

async fn pass(
    mut caller: TcpStream,
    (server, mark): (SocketAddr, &[u8]),
    cut_next: &AtomicBool,
    cuts: &AtomicUsize,
) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    let mut is_marked = false;
    loop {
        tokio::select! {
            read = caller.read(&mut up) => {
                let Ok(1..) = read else { return };
                let sent = &up[..read.unwrap()];
                is_marked |= sent.windows(mark.len()).any(|it| it == mark);
                server.write_all(sent).await.unwrap();
            }
            read = server.read(&mut down) => {
                let Ok(1..) = read else { return };
                if is_marked && cut_next.swap(false, Ordering::SeqCst) {
                    cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                let answer = &down[..read.unwrap()];
                if caller.write_all(answer).await.is_err() {
                    return;
                }
            }
        }
    }
}
