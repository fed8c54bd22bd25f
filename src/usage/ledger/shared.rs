//! The sums of all replicas, in the store that they share.
//!
//! Guarantees: what this replica counts is told within two seconds, and added once, also where an answer
//! was lost; while the store is away it is kept, added up in bounded memory, and told when the store is
//! back; what is asked is answered within a second and a half, or not at all. A store that forgets has
//! forgotten these too: they are for people to look at, and neither budgets nor records.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::accounts::DAY;
use super::books::Books;
use super::part::Part;
use super::sums::Sums;
use super::{Ledger, LedgerDelta};
use crate::budget::store::redis::{SharedSums, SumsBatch, SumsBucket};
use crate::clock::{Clock, Now};
use crate::usage::Users;

/// Between two batches: what a SIGKILL can lose.
const EVERY: Duration = Duration::from_secs(2);

/// For a whole look at the sums of all.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Rows of a batch, and pairs that are folded at once: the store does nothing else meanwhile.
const ROWS: usize = 256;

/// Buckets that are read at once.
const BUCKETS: usize = 64;

/// Tells what this replica counts, and reads what all did.
pub struct SharedLedger {
    sums: SharedSums,
    waiting: Mutex<Waiting>,
}

/// Batches that are not known to be added, in their order.
#[derive(Default)]
struct Waiting {
    batches: VecDeque<(SumsBatch, Vec<Part>)>,
    /// The last one's number.
    number: u64,
    /// The day that was last made small.
    settled: u64,
}

impl SharedLedger {
    /// Over `sums`.
    #[must_use]
    pub fn new(sums: SharedSums) -> Self {
        Self {
            sums,
            waiting: Mutex::default(),
        }
    }

    /// Tells what `ledger` counts every two seconds; runs for ever, where the store's connection is kept.
    pub async fn run(&self, ledger: &Ledger, clock: &Clock) {
        loop {
            self.sums.established().await;
            if self.push(ledger, clock.now()).await {
                self.settle(ledger, clock.now()).await;
            }
            sleep(EVERY).await;
        }
    }

    /// Tells what `ledger` has counted so far; whether all of it was answered. Given up in between,
    /// nothing is lost.
    pub async fn push(&self, ledger: &Ledger, now: Now) -> bool {
        let mut waiting = self.waiting.lock().await;
        // What waited from before, and then what was counted since.
        if !self.tell(&mut waiting).await {
            return false;
        }
        let (users, retention) = (ledger.users(), ledger.retention());
        waiting.fill(&ledger.take_delta(), users, retention, now);
        self.tell(&mut waiting).await
    }

    /// Tells what waits; whether all of it was answered.
    async fn tell(&self, waiting: &mut Waiting) -> bool {
        while let Some((batch, parts)) = waiting.batches.front() {
            let Some(sizes) = self.sums.add(batch).await else {
                return false;
            };
            let large = batch.buckets.iter().zip(parts).zip(sizes);
            let large = large.filter(|((_, part), size)| *size > part.most());
            let large: Vec<_> = large
                .map(|((bucket, part), _)| (bucket.key.clone(), *part))
                .collect();
            // From here on it is not told again.
            waiting.batches.pop_front();
            for (key, part) in large {
                self.fold(part, &key, false).await;
            }
        }
        true
    }

    /// What all replicas have counted of `part` within `span`, this one's last moment included; `None`:
    /// the store does not answer.
    pub(in crate::usage) async fn look(
        &self,
        ledger: &Ledger,
        part: Part,
        span: &Range<u64>,
        now: Now,
    ) -> Option<Books> {
        let looking = async {
            if !self.push(ledger, now).await {
                return None;
            }
            self.read(ledger, part, span, now).await
        };
        timeout(PATIENCE, looking).await.ok()?
    }

    async fn read(
        &self,
        ledger: &Ledger,
        part: Part,
        span: &Range<u64>,
        now: Now,
    ) -> Option<Books> {
        let (users, mut books) = (ledger.users(), Books::default());
        let steps = part.steps(span, now.unix_seconds(), ledger.retention());
        let steps: Vec<u64> = steps.collect();
        for steps in steps.chunks(BUCKETS) {
            let keys = steps.iter().map(|at| part.bucket(*at, users));
            let read = self.sums.read(&keys.collect::<Vec<_>>()).await?;
            let mut delta = LedgerDelta::default();
            for (at, rows) in steps.iter().zip(read) {
                for (name, figures) in rows {
                    delta.add(part, *at, name, Sums::from_figures(figures));
                }
            }
            books.merge(&delta);
        }
        Some(books)
    }

    /// Makes the days before yesterday small, once a day.
    async fn settle(&self, ledger: &Ledger, now: Now) {
        let now = now.unix_seconds();
        let day = (now - now % DAY).saturating_sub(2 * DAY);
        let mut waiting = self.waiting.lock().await;
        if waiting.settled >= day {
            return;
        }
        for part in [Part::Users, Part::Sessions] {
            let key = part.bucket(day, ledger.users());
            if !self.fold(part, &key, true).await {
                return;
            }
        }
        waiting.settled = day;
    }

    /// Adds the least names of a bucket up; whether that is done.
    async fn fold(&self, part: Part, key: &str, is_past: bool) -> bool {
        let Some(read) = self.sums.read(&[key.to_owned()]).await else {
            return false;
        };
        let rows = read.into_iter().flatten();
        let rows = rows.map(|(name, figures)| (name, Sums::from_figures(figures)));
        for pairs in part.moves(rows.collect(), is_past).chunks(ROWS) {
            if !self.sums.fold(key, pairs).await {
                return false;
            }
        }
        true
    }
}

impl Waiting {
    /// Makes batches of `delta`.
    fn fill(&mut self, delta: &LedgerDelta, users: Users, retention: Duration, now: Now) {
        let rows: Vec<_> = delta.each().collect();
        for rows in rows.chunks(ROWS) {
            self.number += 1;
            let (mut batch, mut parts) = (SumsBatch::default(), Vec::new());
            batch.number = self.number;
            for (part, at, name, sums) in rows {
                let key = part.bucket(*at, users);
                let row = (name.clone(), sums.figures());
                let same = batch.buckets.last_mut().filter(|last| last.key == key);
                if let Some(bucket) = same {
                    bucket.rows.push(row);
                    continue;
                }
                parts.push(*part);
                batch.buckets.push(SumsBucket {
                    key,
                    expiry: expiry(*part, *at, retention, now),
                    rows: vec![row],
                });
            }
            self.batches.push_back((batch, parts));
        }
    }
}

/// How long a step that begins `at` is still kept.
fn expiry(part: Part, at: u64, retention: Duration, now: Now) -> Duration {
    let kept = part.kept(retention) + Duration::from_secs(part.step());
    let ahead = Duration::from_secs(at).saturating_sub(now.unix);
    let passed = now.unix.saturating_sub(Duration::from_secs(at));
    // A minute at least: what waited for the store is to be seen, and a clock may be wrong.
    let left = kept.saturating_sub(passed) + ahead.min(Duration::from_secs(DAY));
    left.max(Duration::from_mins(1))
}
