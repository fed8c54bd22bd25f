//! The shared store against a real Redis.

mod away;
mod crash;
mod kinds;
mod revoked;
mod rule;
mod secured;
mod sums;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use behest_gateway::budget::store::redis::{
    Crossing, Observer, RedisConfig, RedisStore, Span, parse_urls,
};
use behest_gateway::budget::{Amounts, Claim, LimitKind, Limits, Policy, Scope, Standing};
use behest_gateway::clock::{Clock, Now};
use tokio::task::JoinHandle;

/// When every test takes place, as far as windows are concerned.
const DAY: u32 = 20_000;

/// One replica's store; dropped, the replica is gone without a word.
struct Replica {
    store: RedisStore,
    running: JoinHandle<()>,
    heard: Arc<Heard>,
}

/// What the observer was told.
#[derive(Default)]
struct Heard {
    crossed: Mutex<Vec<(LimitKind, u8)>>,
    ups: Mutex<Vec<bool>>,
}

impl Observer for Heard {
    fn up(&self, is_up: bool) {
        self.ups.lock().unwrap().push(is_up);
    }

    fn crossed(&self, crossing: Crossing) {
        let crossed = (crossing.kind, crossing.percent);
        self.crossed.lock().unwrap().push(crossed);
    }
}

impl Replica {
    /// Connected.
    async fn new(url: &str) -> Self {
        Self::with(config(url)).await
    }

    async fn with(config: RedisConfig) -> Self {
        let replica = Self::starting(config);
        let connected =
            tokio::time::timeout(super::support::PATIENCE * 3, replica.store.established());
        connected.await.expect("connected");
        replica
    }

    /// Not waited for.
    fn starting(config: RedisConfig) -> Self {
        let heard = Arc::new(Heard::default());
        let observer: Arc<dyn Observer> = Arc::<Heard>::clone(&heard);
        let store = RedisStore::new(config, Clock::system(), observer).unwrap();
        let runs = store.clone();
        let running = tokio::spawn(async move { runs.run().await });
        Self {
            store,
            running,
            heard,
        }
    }

    /// Waits until everything is told.
    async fn told(&self) {
        super::support::waiting::until("everything is told", async || self.store.pending() == 0)
            .await;
    }

    /// How `claim` stands in the store: used, reserved.
    async fn stand(&self, claim: &Claim) -> Vec<(u64, u64)> {
        let standings = self.store.standings(claim, spans(claim, DAY), now()).await;
        let pair = |standing: &Standing| (standing.used, standing.reserved);
        standings
            .expect("the store answers")
            .iter()
            .map(pair)
            .collect()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn config(url: &str) -> RedisConfig {
    RedisConfig {
        // This machine may be busy.
        timeout: Duration::from_secs(2),
        ..RedisConfig::new(parse_urls(url).unwrap())
    }
}

fn now() -> Now {
    Clock::system().now()
}

fn limits(all: &[(LimitKind, u64)]) -> Limits {
    let mut limits = Limits::default();
    for (kind, limit) in all {
        limits.set(*kind, Some(*limit));
    }
    limits
}

/// A claim of one request and so many tokens.
fn claim(
    user: u128,
    tokens: u64,
    of_user: &[(LimitKind, u64)],
    of_session: &[(LimitKind, u64)],
) -> Claim {
    let policy = Policy {
        tier: "free".to_owned(),
        user: limits(of_user),
        session: limits(of_session),
    };
    Claim {
        user,
        session: (!of_session.is_empty()).then_some(7),
        policy: Arc::new(policy),
        estimate: tokens_used(tokens),
    }
}

fn tokens_used(tokens: u64) -> Amounts {
    Amounts {
        requests: 1,
        tokens,
        cost: tokens * 1000,
    }
}

/// The claim's limits on `day`.
fn spans(claim: &Claim, day: u32) -> Vec<Span> {
    let here = now().unix_seconds();
    let span = |scope, (kind, limit)| {
        let is_windowed = kind != LimitKind::ConcurrentRequests;
        Span {
            scope,
            kind,
            limit,
            window: if is_windowed { day } else { 0 },
            start: here,
            end: here + 3600,
            weight: 0,
        }
    };
    let user = claim.policy.user.iter().map(|it| span(Scope::User, it));
    let session = claim
        .policy
        .session
        .iter()
        .map(|it| span(Scope::Session, it));
    user.chain(session).collect()
}
