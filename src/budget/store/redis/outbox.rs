//! What the store is still to be told: settlements, releases and renewals, in their order.
//!
//! Guarantees: bounded; what is settled stays until the store has counted it; one user's entries are
//! told in the order in which they came, and none before the one in front of it is answered.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::super::super::Amounts;
use super::hold::Hold;

/// The most entries that wait.
const MAX: usize = 100_000;

/// One thing to tell.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) hold: Arc<Hold>,
    pub(super) what: What,
}

/// What became of a reservation.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// It used this much. The number rises by 1 with each settlement of this process, so that the store
    /// counts none twice.
    Settle(u64, Amounts),
    /// Nothing was used.
    Free,
    /// It is still under way.
    Keep,
}

/// The queue.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    /// Those of `waiting`, and those that are being told.
    pending: AtomicUsize,
    dropped: AtomicU64,
    news: Notify,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    settled: u64,
}

impl Outbox {
    pub(super) fn settle(&self, hold: Arc<Hold>, used: Amounts) {
        let mut waiting = self.waiting();
        waiting.settled += 1;
        let what = What::Settle(waiting.settled, used);
        if !self.push(&mut waiting, Entry { hold, what }) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn free(&self, hold: Arc<Hold>) {
        let what = What::Free;
        self.push(&mut self.waiting(), Entry { hold, what });
    }

    pub(super) fn keep(&self, holds: impl IntoIterator<Item = Arc<Hold>>) {
        let mut waiting = self.waiting();
        for hold in holds {
            let what = What::Keep;
            self.push(&mut waiting, Entry { hold, what });
        }
    }

    fn push(&self, waiting: &mut Waiting, entry: Entry) -> bool {
        if waiting.entries.len() >= MAX {
            return false;
        }
        waiting.entries.push_back(entry);
        self.pending.fetch_add(1, Ordering::AcqRel);
        self.news.notify_one();
        true
    }

    /// Waits until there is something to tell.
    pub(super) async fn filled(&self) {
        while self.waiting().entries.is_empty() {
            self.news.notified().await;
        }
    }

    /// Takes up to `most`; each is to be [`told`](Self::told) or [put back](Self::put_back).
    pub(super) fn take(&self, most: usize) -> Vec<Entry> {
        let mut waiting = self.waiting();
        let count = waiting.entries.len().min(most);
        waiting.entries.drain(..count).collect()
    }

    /// The store has counted so many, or never will.
    pub(super) fn told(&self, count: usize) {
        self.pending.fetch_sub(count, Ordering::AcqRel);
    }

    /// So many settlements can never be counted.
    pub(super) fn drop_settled(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// To be told again, before all others.
    pub(super) fn put_back(&self, entries: Vec<Entry>) {
        let mut waiting = self.waiting();
        for entry in entries.into_iter().rev() {
            waiting.entries.push_front(entry);
        }
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
