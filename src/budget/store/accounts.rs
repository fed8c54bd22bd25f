//! All accounts of a gateway, by user and by session.
//!
//! Guarantees: bounded; an account that holds a reservation is never dropped; of those that are dropped
//! for want of room, the emptiest and oldest go first, and they are counted.

use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;

use super::entry;
use crate::budget::account::Account;
use crate::budget::journal::{Ledger, WriteEntry};
use crate::budget::limits::{Policy, Scope};
use crate::budget::window::{Spans, Windows};
use crate::clock::Now;

/// How full an account is thought to be whose limits are not known yet: of 1000.
const UNKNOWN: u64 = 500;

/// One account, shared with the permits that hold reservations of it.
#[derive(Default)]
pub(super) struct Shared(Mutex<Kept>);

#[derive(Default)]
pub(super) struct Kept {
    pub(super) account: Account,
    /// Of the last request; none since a restart.
    pub(super) policy: Option<Arc<Policy>>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys are keyed hashes already.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "both halves count")]
    fn write_u128(&mut self, key: u128) {
        self.0 = (key >> 64) as u64 ^ key as u64;
    }
}

type Map = DashMap<u128, Arc<Shared>, BuildHasherDefault<AsIs>>;

/// The accounts.
#[derive(Default)]
pub(super) struct Accounts {
    users: Map,
    sessions: Map,
    held: AtomicUsize,
    evicted: AtomicU64,
    sweeping: Mutex<()>,
}

impl Accounts {
    /// The account of `key`; a new one where there is none.
    pub(super) fn open(&self, scope: Scope, key: u128) -> Arc<Shared> {
        let map = self.map(scope);
        if let Some(found) = map.get(&key) {
            return Arc::clone(&found);
        }
        let entry = map.entry(key).or_insert_with(|| {
            self.held.fetch_add(1, Ordering::Relaxed);
            Arc::default()
        });
        Arc::clone(&entry)
    }

    /// The account of `key`, if there is one.
    pub(super) fn find(&self, scope: Scope, key: u128) -> Option<Arc<Shared>> {
        self.map(scope).get(&key).map(|found| Arc::clone(&found))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// How many were dropped for want of room.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Drops those of which nothing counts any more, and where more than `most` are left, a tenth more
    /// than are too many. Not while another thread does so.
    pub(super) fn sweep(&self, most: usize, windows: &Windows, now: Now) {
        let Ok(_sweeping) = self.sweeping.try_lock() else {
            return;
        };
        let spans = windows.at(now);
        self.drop_if(|kept| kept.is_past(&spans));
        let held = self.len();
        if held > most {
            let dropped = self.drop_emptiest(held - most + most / 10, &spans);
            self.evicted.fetch_add(dropped as u64, Ordering::Relaxed);
        }
    }

    /// Calls `each` with every user's account, unlocked between two of them.
    pub(super) fn each_user(&self, mut each: impl FnMut(u128, &mut Kept)) {
        for entry in &self.users {
            each(*entry.key(), &mut entry.value().lock());
        }
    }

    fn drop_emptiest(&self, many: usize, spans: &Spans) -> usize {
        let mut ranks = Vec::with_capacity(self.len());
        for map in [&self.users, &self.sessions] {
            ranks.extend(map.iter().map(|entry| entry.value().lock().rank(spans)));
        }
        if ranks.is_empty() {
            return 0;
        }
        let last = many.min(ranks.len()) - 1;
        let (_, last, _) = ranks.select_nth_unstable(last);
        let last = *last;
        let mut left = many;
        self.drop_if(|kept| {
            let goes = left > 0 && kept.rank(spans) <= last;
            left -= usize::from(goes);
            goes
        })
    }

    /// Drops accounts that nobody holds and of which `goes` says so; how many.
    fn drop_if(&self, mut goes: impl FnMut(&mut Kept) -> bool) -> usize {
        let mut dropped = 0;
        for map in [&self.users, &self.sessions] {
            // Nobody comes to hold one meanwhile: that takes the lock that `retain` has.
            map.retain(|_, shared| {
                let stays = Arc::strong_count(shared) > 1 || !goes(&mut shared.lock());
                dropped += usize::from(!stays);
                stays
            });
        }
        self.held.fetch_sub(dropped, Ordering::Relaxed);
        dropped
    }

    fn map(&self, scope: Scope) -> &Map {
        match scope {
            Scope::User => &self.users,
            Scope::Session => &self.sessions,
        }
    }
}

impl Kept {
    fn is_past(&self, spans: &Spans) -> bool {
        self.account.settled.is_past(spans)
    }

    /// The lowest go first: how full in tenths, then the day of the last request.
    fn rank(&mut self, spans: &Spans) -> (u64, u32) {
        let day = self.account.settled.windows.day;
        let full = self.fullness(spans).unwrap_or(UNKNOWN);
        (full / 100, day)
    }

    /// How full the fullest limit of a user is, of 1000; `None` while its limits are not known.
    pub(super) fn fullness(&mut self, spans: &Spans) -> Option<u64> {
        self.account.roll(spans);
        let policy = self.policy.as_deref()?;
        let share = |(kind, limit)| {
            let (used, reserved) = self.account.taken(kind, spans);
            let taken = u128::from(used.saturating_add(reserved));
            let share = taken * 1000 / u128::from(u64::max(limit, 1));
            u64::try_from(share).unwrap_or(u64::MAX)
        };
        Some(policy.user.iter().map(share).max().unwrap_or(0))
    }
}

impl Ledger for Accounts {
    fn replay(&self, entry: &[u8]) -> bool {
        let Some((scope, key, settled)) = entry::read(entry) else {
            return false;
        };
        self.open(scope, key).lock().account.settled.join(&settled);
        true
    }

    fn snapshot(&self, write: &mut WriteEntry<'_>) -> io::Result<()> {
        for (scope, map) in [(Scope::User, &self.users), (Scope::Session, &self.sessions)] {
            // No part of the map stays locked while the disk is written to.
            let held: Vec<_> = map
                .iter()
                .map(|entry| (*entry.key(), Arc::clone(entry.value())))
                .collect();
            for (key, shared) in held {
                let settled = shared.lock().account.settled;
                write(&mut |line| entry::write(line, scope, key, &settled))?;
            }
        }
        Ok(())
    }
}
