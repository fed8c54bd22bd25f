//! The bounded map behind the token cache: what is known of each identity.
//!
//! Guarantees: at most `max` entries, of which the oldest mint goes first and a spent one before it;
//! an entry with a mint under way stays. No guard of the map leaves this file, so none can be held
//! across an await.

mod entry;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;

use crate::clock::Now;
use crate::identity::Identity;

pub(super) use entry::{Entry, Failure, Held, RENEWAL_PAUSE, State};

/// Entries with a mint under way that a search for room passes over, at most.
const BUSY_PASSED: usize = 1024;

/// Unspent entries among which a search for room looks for a spent one.
const UNSPENT_PASSED: usize = 32;

/// Entries by identity.
pub(super) struct Entries {
    map: DashMap<Identity, Entry>,
    /// Entries in the map, or about to be.
    held: AtomicUsize,
    max: usize,
    /// Identities by their last mint, oldest first. An item whose stamp is not its entry's own is
    /// out of date. Locked before a shard of the map, never after.
    order: Mutex<VecDeque<(Identity, u64)>>,
    stamps: AtomicU64,
}

/// No room, and nothing that could be put out.
#[derive(Debug)]
pub(super) struct Full;

impl Entries {
    pub(super) fn new(max: usize) -> Self {
        Self {
            map: DashMap::new(),
            held: AtomicUsize::new(0),
            max: max.max(1),
            order: Mutex::default(),
            stamps: AtomicU64::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Reads the entry of `identity`, if there is one.
    pub(super) fn read<R>(&self, identity: &Identity, read: impl FnOnce(&Entry) -> R) -> Option<R> {
        self.map.get(identity).map(|entry| read(&entry))
    }

    /// Changes the entry of `identity`, if there is one.
    pub(super) fn update<R>(
        &self,
        identity: &Identity,
        update: impl FnOnce(&mut Entry) -> R,
    ) -> Option<R> {
        self.map
            .get_mut(identity)
            .map(|mut entry| update(&mut entry))
    }

    /// Changes the entry of `identity`, an empty one if there is none, which is kept only if
    /// something is in it afterwards. Also returns who was put out for it.
    ///
    /// # Errors
    /// There is no room for one more.
    pub(super) fn update_or_insert<R>(
        &self,
        identity: &Identity,
        now: Now,
        update: impl FnOnce(&mut Entry) -> R,
    ) -> Result<(R, Option<Identity>), Full> {
        let reserved = !self.map.contains_key(identity);
        let evicted = if reserved { self.reserve(now)? } else { None };
        let stamp = self.next_stamp();
        let (result, inserted) = match self.map.entry(identity.clone()) {
            Slot::Occupied(mut slot) => (update(slot.get_mut()), false),
            Slot::Vacant(slot) => {
                let mut entry = Entry::new(stamp);
                let result = update(&mut entry);
                let keep = !entry.is_empty();
                if keep {
                    slot.insert(entry);
                }
                (result, keep)
            }
        };
        match (reserved, inserted) {
            (true, false) => self.held.fetch_sub(1, Ordering::Relaxed),
            // It went between the two looks.
            (false, true) => self.held.fetch_add(1, Ordering::Relaxed),
            (true, true) | (false, false) => 0,
        };
        if inserted {
            self.enlist(identity, stamp);
        }
        Ok((result, evicted))
    }

    /// Marks the entry of `identity` as the newest.
    pub(super) fn touch(&self, identity: &Identity) {
        let stamp = self.next_stamp();
        if self.update(identity, |entry| entry.stamp = stamp).is_some() {
            self.enlist(identity, stamp);
        }
    }

    /// Takes over the tokens of `other` that can still be used, in their order. Their failures and
    /// mints under way stay behind.
    pub(super) fn adopt(&self, other: &Self, now: Now) {
        let order: Vec<_> = other.order().iter().cloned().collect();
        for (identity, stamp) in order {
            let token = |entry: &Entry| (entry.stamp == stamp).then(|| entry.kept(now)).flatten();
            let Some((held, renewed_at)) = other.read(&identity, token).flatten() else {
                continue;
            };
            let keep = |entry: &mut Entry| {
                if entry.held.is_none() {
                    entry.held = Some(held);
                    entry.renewed_at = renewed_at;
                }
            };
            // A smaller cache keeps the newest.
            if self.update_or_insert(&identity, now, keep).is_err() {
                return;
            }
        }
    }

    /// Puts out the entry of `identity`; whoever waits for its mint still gets the outcome.
    pub(super) fn remove(&self, identity: &Identity) {
        if self.map.remove(identity).is_some() {
            self.held.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Puts out the entries that `chosen` names, and returns whose they were and how many tokens were
    /// in them; whoever waits for a mint of theirs still gets the outcome.
    pub(super) fn take_out(&self, chosen: impl Fn(&Identity) -> bool) -> (Vec<Identity>, usize) {
        let (mut gone, mut tokens) = (Vec::new(), 0);
        self.map.retain(|identity, entry| {
            let is_chosen = chosen(identity);
            if is_chosen {
                tokens += usize::from(entry.held.is_some());
                gone.push(identity.clone());
            }
            !is_chosen
        });
        self.held.fetch_sub(gone.len(), Ordering::Relaxed);
        (gone, tokens)
    }

    /// Puts out everything that is spent, and returns whose it was.
    pub(super) fn sweep(&self, now: Now) -> Vec<Identity> {
        let mut gone = Vec::new();
        self.map.retain(|identity, entry| {
            let spent = entry.is_spent(now);
            if spent {
                gone.push(identity.clone());
            }
            !spent
        });
        self.held.fetch_sub(gone.len(), Ordering::Relaxed);
        self.compact(&mut self.order());
        gone
    }

    fn next_stamp(&self) -> u64 {
        self.stamps.fetch_add(1, Ordering::Relaxed)
    }

    /// Puts `identity` at the young end of the order.
    fn enlist(&self, identity: &Identity, stamp: u64) {
        let mut order = self.order();
        order.push_back((identity.clone(), stamp));
        self.compact(&mut order);
    }

    /// Drops the items that are out of date once they are the majority.
    fn compact(&self, order: &mut VecDeque<(Identity, u64)>) {
        if order.len() > self.len().saturating_mul(2).saturating_add(1024) {
            order.retain(|(identity, stamp)| {
                self.read(identity, |entry| entry.stamp == *stamp) == Some(true)
            });
        }
    }

    /// Takes a place for one more entry, putting one out if there is none free.
    fn reserve(&self, now: Now) -> Result<Option<Identity>, Full> {
        if self.held.fetch_add(1, Ordering::Relaxed) < self.max {
            return Ok(None);
        }
        let evicted = self.evict(now);
        if evicted.is_none() {
            self.held.fetch_sub(1, Ordering::Relaxed);
            return Err(Full);
        }
        Ok(evicted)
    }

    fn evict(&self, now: Now) -> Option<Identity> {
        // Again only where the chosen one got a mint, or went, between the two looks.
        for _ in 0..4 {
            let (identity, stamp) = self.choose(now)?;
            let idle = |_: &Identity, entry: &Entry| entry.stamp == stamp && !entry.is_busy();
            if self.map.remove_if(&identity, idle).is_some() {
                self.held.fetch_sub(1, Ordering::Relaxed);
                return Some(identity);
            }
            self.enlist(&identity, stamp);
        }
        None
    }

    /// Takes a spent entry near the old end of the order, else the oldest.
    fn choose(&self, now: Now) -> Option<(Identity, u64)> {
        let mut order = self.order();
        let mut unspent = VecDeque::new();
        let mut chosen = None;
        let mut busy = 0;
        while busy < BUSY_PASSED.min(self.max) && unspent.len() < UNSPENT_PASSED {
            let Some(item) = order.pop_front() else { break };
            let look = |entry: &Entry| {
                (entry.stamp == item.1).then(|| (entry.is_busy(), entry.is_spent(now)))
            };
            match self.read(&item.0, look).flatten() {
                None => {}
                Some((true, _)) => {
                    busy += 1;
                    order.push_back(item);
                }
                Some((false, true)) => {
                    chosen = Some(item);
                    break;
                }
                Some((false, false)) => unspent.push_back(item),
            }
        }
        let chosen = chosen.or_else(|| unspent.pop_front());
        for item in unspent.into_iter().rev() {
            order.push_front(item);
        }
        chosen
    }

    fn order(&self) -> MutexGuard<'_, VecDeque<(Identity, u64)>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
