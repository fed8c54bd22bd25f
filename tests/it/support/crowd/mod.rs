//! A crowd: many users' requests, interleaved on shared connections, with callers who leave and an
//! upstream that misbehaves, and every request and answer compared with what it had to be.
//!
//! What happens to a request follows from its number alone ([`Plan`]), so the callers and the
//! upstream agree on it without a word, and neither believes what the gateway passes on.

mod framing;
mod http1;
mod http2;
mod plan;
mod tally;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use plan::{Plan, USERS, User};
pub use tally::Report;
use tally::Tally;
pub use upstream::MintedBy;

/// Connections of HTTP/1.1 callers.
const HTTP1: usize = 48;

/// Connections of HTTP/2 callers.
const HTTP2: usize = 6;

/// What callers and upstream share.
pub struct Crowd {
    users: Vec<User>,
    /// How many requests are sent in all.
    total: u64,
    next: AtomicU64,
    enough: AtomicBool,
    tally: Tally,
}

impl Crowd {
    /// A crowd that sends `total` requests.
    pub fn new(total: u64) -> Arc<Self> {
        Arc::new(Self {
            users: (0..USERS).map(User::new).collect(),
            total,
            next: AtomicU64::new(0),
            enough: AtomicBool::new(false),
            tally: Tally::new(usize::try_from(total).unwrap()),
        })
    }

    /// Starts the upstream; its address.
    pub async fn upstream(self: &Arc<Self>, minted: MintedBy) -> SocketAddr {
        upstream::start(Arc::clone(self), minted).await
    }

    /// Sends everything to the gateway at `address`, over both protocols at once, and tells what came
    /// of it.
    pub async fn visit(self: &Arc<Self>, address: SocketAddr) -> Report {
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..HTTP1 {
            callers.spawn(http1::call(Arc::clone(self), address));
        }
        for _ in 0..HTTP2 {
            callers.spawn(http2::call(Arc::clone(self), address));
        }
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
        self.tally
            .report(self.next.load(Ordering::Relaxed).min(self.total))
    }

    /// No caller begins another request.
    pub fn stop(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    /// The numbers of the next `count` requests, as far as there are any.
    fn take(&self, count: u64) -> Vec<Plan<'_>> {
        if self.enough.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let end = (first + count).min(self.total);
        (first..end).map(|number| self.plan(number)).collect()
    }

    fn plan(&self, number: u64) -> Plan<'_> {
        Plan::new(number, &self.users)
    }
}

/// What `work` came to, unless it takes far longer than anything here may.
async fn in_time<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_mins(1), work)
        .await
        .ok()
}
