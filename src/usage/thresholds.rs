//! Telling an operator's webhook that a user's budget is half, nearly or wholly used.
//!
//! Each passing is a POST of its own (`application/json`):
//! `{"id","event":"budget_threshold","time","tier","scope","limit_kind","percent","user","used","limit",
//! "usd_used","usd_limit","window"}`. `user` is as in usage records, and left out where they have none;
//! `used` and `limit` count requests, tokens or nano-dollars; `usd_…` are there for money only. `id`, which
//! is also the `Idempotency-Key`, is the same for the same passing, whichever replica tells it: a
//! receiver that has seen it is to answer 2xx and to alert nobody.
//!
//! Guarantees: telling waits for nothing and fails nothing; what does not fit, or is refused, is dropped
//! and counted; tried again as usage records are, in memory only. That a passing is told once a window
//! is its caller's to see to.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::digest;
use serde::Serialize;
use serde_json::value::RawValue;

use super::sink::{Delivery, Line, Packing, Receiver, SinkCounts, SinkThread};
use crate::budget::{LimitKind, Scope};
use crate::clock::{self, Clock, Now};
use crate::metering::Cost;

/// Bytes that wait in the queue, at most: some 2000 passings.
const MOST_WAITING: usize = 1024 * 1024;

/// An alert that is a day late is none.
const RETENTION: Duration = Duration::from_hours(24);

/// The wait after a first failure, which then doubles.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// A budget passed a threshold.
#[derive(Clone, Debug)]
pub struct ThresholdPassed {
    /// The user's or session's hash, as in the claim: it makes the id, and is told to nobody.
    pub account: u128,
    /// The user, as usage records have it.
    pub user: Option<String>,
    /// The user's tier.
    pub tier: String,
    /// Whose limit.
    pub scope: Scope,
    /// Which limit.
    pub kind: LimitKind,
    /// The threshold.
    pub percent: u8,
    /// What is used.
    pub used: u64,
    /// The limit.
    pub limit: u64,
    /// The window's id.
    pub window: u32,
}

/// The webhook of thresholds, for the whole life of the process.
pub struct Thresholds {
    thread: SinkThread,
    receiver: Arc<Mutex<Arc<Receiver>>>,
}

impl Thresholds {
    /// Starts telling `receiver`, on a thread of its own.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(receiver: Receiver, clock: &Clock) -> io::Result<Self> {
        Self::start_with(receiver, clock, FIRST_RETRY)
    }

    fn start_with(receiver: Receiver, clock: &Clock, first_retry: Duration) -> io::Result<Self> {
        let receiver = Arc::new(Mutex::new(Arc::new(receiver)));
        let delivery = Delivery {
            name: "budget-webhook",
            receiver: Arc::clone(&receiver),
            packing: Packing::Single,
            interval: Duration::ZERO,
            first_retry,
            spool: None,
            retention: RETENTION,
            most_waiting: MOST_WAITING,
        };
        let thread = delivery.start(clock.clone())?;
        Ok(Self { thread, receiver })
    }

    /// Tells of `passed`, which happened `now`.
    pub fn tell(&self, passed: &ThresholdPassed, now: Now) {
        let id = id(passed);
        let usd = |amount: u64| {
            let cost = passed.kind.is_cost().then(|| Cost(amount).to_string());
            cost.and_then(|cost| RawValue::from_string(cost).ok())
        };
        let told = Told {
            id: format!("{id:032x}"),
            event: "budget_threshold",
            time: humantime::format_rfc3339_millis(UNIX_EPOCH + now.unix).to_string(),
            tier: &passed.tier,
            scope: passed.scope.label(),
            limit_kind: passed.kind.label(),
            percent: passed.percent,
            user: passed.user.as_deref(),
            used: passed.used,
            limit: passed.limit,
            usd_used: usd(passed.used),
            usd_limit: usd(passed.limit),
            window: passed.window,
        };
        // Texts and numbers: writing them as JSON cannot fail.
        let json = serde_json::to_vec(&told).unwrap_or_default().into();
        self.thread.offer(Line { json, id });
    }

    /// What became of them.
    #[must_use]
    pub fn counts(&self) -> &SinkCounts {
        self.thread.counts()
    }

    /// Has the next be told to `receiver`.
    pub fn readdress(&self, receiver: Receiver) {
        *self.receiver.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(receiver);
    }

    /// Takes no more, and sends what can be sent `within`; whether that ended in time.
    pub fn close(&self, within: Duration) -> bool {
        let by = clock::monotonic() + within;
        self.thread.end(by);
        self.thread.wait(by)
    }
}

#[derive(Serialize)]
struct Told<'a> {
    id: String,
    event: &'static str,
    time: String,
    tier: &'a str,
    scope: &'static str,
    limit_kind: &'static str,
    percent: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    used: u64,
    limit: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    usd_used: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usd_limit: Option<Box<RawValue>>,
    window: u32,
}

/// The same for the same passing, and leading to no user: half a SHA-256 of what makes it that one.
fn id(passed: &ThresholdPassed) -> u128 {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(&passed.account.to_be_bytes());
    hash.update(&passed.window.to_be_bytes());
    hash.update(&[passed.percent]);
    hash.update(passed.scope.label().as_bytes());
    hash.update(passed.kind.label().as_bytes());
    let half = hash.finish().as_ref().first_chunk().copied();
    u128::from_be_bytes(half.unwrap_or_default())
}

#[cfg(test)]
mod tests;
