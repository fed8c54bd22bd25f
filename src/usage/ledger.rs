//! What was used, added up: by minute and hour for each tier and model, by day for each user and
//! session.
//!
//! Guarantees: adding a record is one push onto a buffer that no other worker waits for; memory is
//! bounded whatever tiers, models, users and sessions are called (what has no room is added up under
//! [`OTHER`], so that sums stay whole); everything is a sum, so that replaying a journal, and adding up
//! replicas, are one operation: [`Ledger::merge`].

mod accounts;
mod books;
mod delta;
mod file;
mod part;
mod series;
mod shared;
mod sums;
mod tally;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::config::Users;
use super::per_thread::PerThread;
use super::record::UsageRecord;
use crate::clock::Now;

pub(super) use self::accounts::DAY;
pub(super) use self::books::{Books, MINUTES_KEPT};
pub use self::delta::{AccountRow, LedgerDelta, SeriesRow};
pub use self::file::LedgerFile;
pub(super) use self::part::Part;
pub use self::shared::SharedLedger;
pub use self::sums::Sums;

/// The name under which everything is added up that has no room of its own.
pub(super) const OTHER: &str = "other";

/// The name of what has none: a session without a tier, an answer without a model.
pub(super) const NONE: &str = "none";

/// A worker brings its own records into the books itself when it has so many, if nobody else is at them,
const FULL: usize = 256;

/// and in any case when it has so many: what waits is bounded.
const OVERFULL: usize = 4096;

/// How long hours and days are kept, where nothing else is said.
const RETENTION: Duration = Duration::from_hours(35 * 24);

/// The sums. Shared by all workers, and kept across reloads.
pub struct Ledger {
    waiting: PerThread<Vec<Arc<UsageRecord>>>,
    kept: Mutex<Kept>,
    retention_secs: AtomicU64,
}

struct Kept {
    all: Books,
    /// What this process itself counted since the last [`Ledger::take_delta`]; `None`: nobody asks.
    own: Option<Books>,
    /// How users are called in them; `None`: not said yet.
    users: Option<Users>,
}

impl Ledger {
    /// Empty. With `has_deltas`, what this process counts is also kept for [`Ledger::take_delta`], which
    /// must then be called every few seconds.
    #[must_use]
    pub fn new(has_deltas: bool) -> Self {
        let kept = Kept {
            all: Books::default(),
            own: has_deltas.then(Books::default),
            users: None,
        };
        Self {
            waiting: PerThread::default(),
            kept: Mutex::new(kept),
            retention_secs: AtomicU64::new(RETENTION.as_secs()),
        }
    }

    /// Keeps hours and days for `retention` from now on; at first 35 days.
    pub fn retain(&self, retention: Duration) {
        let secs = retention.as_secs();
        self.retention_secs.store(secs, Ordering::Relaxed);
    }

    /// Users are called so from now on. What was counted under other names is dropped: whoever wants none
    /// kept, or none that can be read, wants that at once.
    pub fn call(&self, users: Users) {
        let mut kept = self.kept();
        self.enter_all(&mut kept);
        if kept.users.replace(users).is_some_and(|old| old != users) {
            kept.all.forget_names();
            if let Some(own) = &mut kept.own {
                own.forget_names();
            }
        }
    }

    /// What this process counts is from now on also kept for [`Ledger::take_delta`].
    pub fn keep_deltas(&self) {
        self.kept().own.get_or_insert_default();
    }

    /// Counts one request. From any thread; well under a microsecond.
    pub fn add(&self, record: Arc<UsageRecord>) {
        let (number, mut own) = self.waiting.own();
        own.push(record);
        let waiting = own.len();
        drop(own);
        let kept = if waiting >= OVERFULL {
            Some(self.kept())
        } else if waiting.is_multiple_of(FULL) {
            self.kept.try_lock().ok()
        } else {
            None
        };
        if let Some(mut kept) = kept {
            let records = std::mem::take(&mut *self.waiting.at(number));
            kept.enter(&records);
        }
    }

    /// Brings what was added into the books, and puts out what is older than is kept. To be called every
    /// second or so; it takes well under a millisecond for a thousand records.
    pub fn fold(&self, now: Now) {
        let mut kept = self.kept();
        self.enter_all(&mut kept);
        let retention = self.retention();
        kept.all.prune(now, retention);
        if let Some(own) = &mut kept.own {
            own.prune(now, retention);
        }
    }

    /// What this process counted since the last time. Another process, or this one after a restart, adds
    /// it by [`Ledger::merge`]. Empty where the ledger was made without deltas.
    #[must_use]
    pub fn take_delta(&self) -> LedgerDelta {
        let mut kept = self.kept();
        self.enter_all(&mut kept);
        let own = kept.own.as_mut().map(std::mem::take);
        drop(kept);
        own.map(|own| own.rows()).unwrap_or_default()
    }

    /// Everything, as one delta: what a journal begins anew with.
    #[must_use]
    pub fn snapshot(&self) -> LedgerDelta {
        let mut kept = self.kept();
        self.enter_all(&mut kept);
        kept.all.rows()
    }

    /// The same, and the next delta begins after it.
    pub(super) fn take_snapshot(&self) -> (Users, LedgerDelta) {
        let mut kept = self.kept();
        self.enter_all(&mut kept);
        if let Some(own) = &mut kept.own {
            *own = Books::default();
        }
        (kept.users.unwrap_or_default(), kept.all.rows())
    }

    /// How users are called.
    pub(super) fn users(&self) -> Users {
        self.kept().users.unwrap_or_default()
    }

    /// How long hours and days are kept.
    pub(super) fn retention(&self) -> Duration {
        Duration::from_secs(self.retention_secs.load(Ordering::Relaxed))
    }

    /// Adds what another process, or this one before a restart, has counted. It is in no delta of this
    /// process, and adding the same twice counts it twice.
    pub fn merge(&self, delta: &LedgerDelta) {
        self.kept().all.merge(delta);
    }

    /// Shows everything to `look`, which workers may wait for.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Books) -> T) -> T {
        let mut kept = self.kept();
        self.enter_all(&mut kept);
        look(&kept.all)
    }

    fn enter_all(&self, kept: &mut Kept) {
        for mut waiting in self.waiting.each() {
            let records = std::mem::take(&mut *waiting);
            drop(waiting);
            kept.enter(&records);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn enter(&mut self, records: &[Arc<UsageRecord>]) {
        for record in records {
            self.all.add(record);
            if let Some(own) = &mut self.own {
                own.add(record);
            }
        }
    }
}

#[cfg(test)]
mod tests;
