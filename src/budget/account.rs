//! What one user or session has used and holds, in every window.
//!
//! Guarantees: a reservation counts in the window it was made in and in no other; what is settled
//! counts there too, also after that window has ended (it is then the one before); nothing wraps.
//!
//! All kinds are counted, also those that the policy does not limit, so that a limit that is added by
//! a reload starts from what is true.

use super::claim::{Amounts, Refused, Standing};
use super::limits::{LimitKind, Limits, Scope};
use super::threshold::Thresholds;
use super::window::{Spans, Window};

/// What is counted in windows, by `LimitKind as usize`; requests at once are not.
const SLOTS: usize = LimitKind::COUNT;

/// The counters of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// What outlives the process.
    pub(super) settled: Settled,
    /// What is reserved in the window that is counted now; at the place of requests at once: those.
    reserved: [u64; SLOTS],
}

/// What an account has used: a state and not a step, so that reading it twice counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// The window that is counted now.
    pub(super) windows: Places,
    /// Used in it.
    pub(super) used: [u64; SLOTS],
    /// Used in the one before.
    pub(super) previous: [u64; SLOTS],
    /// The highest share that was told of, in percent.
    pub(super) told: [u8; SLOTS],
}

/// Ids of a minute, a day and a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) minute: u32,
    pub(super) day: u32,
    pub(super) month: u32,
}

impl Places {
    /// Of `spans`.
    pub(super) fn of(spans: &Spans) -> Self {
        Self {
            minute: spans.minute.id,
            day: spans.day.id,
            month: spans.month.id,
        }
    }

    /// The window in which a limit of `kind` counts.
    pub(super) fn place(&self, kind: LimitKind) -> u32 {
        match kind {
            LimitKind::ConcurrentRequests => 0,
            LimitKind::RequestsPerMinute => self.minute,
            LimitKind::RequestsPerDay | LimitKind::TokensPerDay | LimitKind::CostPerDay => self.day,
            LimitKind::TokensPerMonth | LimitKind::CostPerMonth => self.month,
        }
    }
}

/// How a window stands to the one that an account counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    Same,
    /// The one after.
    Next,
    /// The one before: a late settle, or a clock that was set back a little.
    Previous,
    /// Anything else: both begin anew.
    Far,
}

fn relation(counted: u32, other: u32) -> Relation {
    if counted == other {
        Relation::Same
    } else if counted.checked_add(1) == Some(other) {
        Relation::Next
    } else if other.checked_add(1) == Some(counted) {
        Relation::Previous
    } else {
        Relation::Far
    }
}

impl Account {
    /// Moves on to the windows of `spans`. A clock that was set back by one window goes on counting in
    /// the later one; one that was set back further begins anew.
    pub(super) fn roll(&mut self, spans: &Spans) {
        let to = Places::of(spans);
        if self.settled.windows == to {
            return;
        }
        for kind in LimitKind::ALL {
            let moved = self.settled.roll(kind, to.place(kind));
            if moved && let Some(reserved) = self.reserved.get_mut(kind as usize) {
                *reserved = 0;
            }
        }
        self.settled.follow(to);
    }

    /// Whether each limit has room for a next request. [`roll`](Self::roll) before.
    pub(super) fn admit(
        &self,
        scope: Scope,
        limits: &Limits,
        spans: &Spans,
        at: u64,
    ) -> Result<(), Refused> {
        for (kind, limit) in limits.iter() {
            let (used, reserved) = self.taken(kind, spans);
            if used.saturating_add(reserved) >= limit {
                let standing = self.standing(scope, kind, limit, spans, at);
                return Err(Refused::Limit(standing));
            }
        }
        Ok(())
    }

    /// Holds `estimate`; in which windows. [`roll`](Self::roll) before.
    pub(super) fn reserve(&mut self, estimate: Amounts) -> Places {
        for kind in LimitKind::ALL {
            if let Some(reserved) = self.reserved.get_mut(kind as usize) {
                *reserved = reserved.saturating_add(estimate.reserved(kind));
            }
        }
        self.settled.windows
    }

    /// Lets go of an `estimate` that was reserved at `places`, and counts what was used there.
    pub(super) fn settle(&mut self, estimate: Amounts, actual: Amounts, places: Places) {
        for kind in LimitKind::ALL {
            let slot = kind as usize;
            let counted = self.settled.windows.place(kind);
            let here = relation(counted, places.place(kind));
            if here == Relation::Same
                && let Some(reserved) = self.reserved.get_mut(slot)
            {
                *reserved = reserved.saturating_sub(estimate.reserved(kind));
            }
            let bucket = match here {
                Relation::Same => self.settled.used.get_mut(slot),
                Relation::Previous => self.settled.previous.get_mut(slot),
                Relation::Next | Relation::Far => None,
            };
            if let Some(bucket) = bucket {
                *bucket = bucket.saturating_add(actual.settled(kind));
            }
        }
    }

    /// Tells `tell` each share of a limit that is reached for the first time in its window: kind,
    /// percent, used, limit. Nothing of windows that have ended since `spans`.
    pub(super) fn tell(
        &mut self,
        limits: &Limits,
        thresholds: &Thresholds,
        spans: &Spans,
        mut tell: impl FnMut(LimitKind, u8, u64, u64, &Window),
    ) {
        for (kind, limit) in limits.iter() {
            let (used, _) = self.taken(kind, spans);
            let counted = self.settled.windows.place(kind);
            let window = spans.of(kind).filter(|window| window.id == counted);
            let (Some(told), Some(window)) = (self.settled.told.get_mut(kind as usize), window)
            else {
                continue;
            };
            for percent in thresholds.reached(kind, limit, used, *told) {
                tell(kind, percent, used, limit, window);
                *told = percent;
            }
        }
    }

    /// How each limit stands. [`roll`](Self::roll) before.
    pub(super) fn standings(
        &self,
        scope: Scope,
        limits: &Limits,
        spans: &Spans,
        at: u64,
    ) -> impl Iterator<Item = Standing> {
        let standing = move |(kind, limit)| self.standing(scope, kind, limit, spans, at);
        limits.iter().map(standing)
    }

    fn standing(
        &self,
        scope: Scope,
        kind: LimitKind,
        limit: u64,
        spans: &Spans,
        at: u64,
    ) -> Standing {
        let (used, reserved) = self.taken(kind, spans);
        let (here, before) = self.settled.buckets(kind);
        let resets = |window: &Window| window.resets_at(here, before, reserved, limit);
        Standing {
            scope,
            kind,
            limit,
            used,
            reserved,
            resets_at: spans.of(kind).map_or(at, resets),
        }
    }

    /// Used and reserved, as they count against a limit of `kind`.
    pub(super) fn taken(&self, kind: LimitKind, spans: &Spans) -> (u64, u64) {
        let (here, before) = self.settled.buckets(kind);
        let used = spans.of(kind).map_or(0, |span| span.used(here, before));
        let reserved = self.reserved.get(kind as usize).copied();
        (used, reserved.unwrap_or_default())
    }
}

impl Settled {
    /// Used in the window of `kind` that is counted, and in the one before.
    fn buckets(&self, kind: LimitKind) -> (u64, u64) {
        let slot = kind as usize;
        let at = |buckets: &[u64; SLOTS]| buckets.get(slot).copied().unwrap_or_default();
        (at(&self.used), at(&self.previous))
    }

    /// Whether nothing of it counts any more at the windows of `spans`.
    pub(super) fn is_past(&self, spans: &Spans) -> bool {
        let now = Places::of(spans);
        LimitKind::ALL.into_iter().all(|kind| {
            let slides = spans.of(kind).is_some_and(|window| window.weight > 0);
            let (here, before) = self.buckets(kind);
            match relation(self.windows.place(kind), now.place(kind)) {
                Relation::Far => true,
                Relation::Next => here == 0 || !slides,
                Relation::Same | Relation::Previous => here == 0 && (before == 0 || !slides),
            }
        })
    }

    /// Takes in what another state of the same account says: the later window, and in one and the same
    /// the greater count. `other` may be older or newer, and may have been taken in before.
    pub(super) fn join(&mut self, other: &Self) {
        let mut to = other.windows;
        // A snapshot may be minutes later than lines that are read after it. Days it is not: a clock was
        // set back.
        to.minute = to.minute.max(self.windows.minute.saturating_sub(1));
        for kind in LimitKind::ALL {
            let (slot, place) = (kind as usize, other.windows.place(kind));
            if to.place(kind) != place {
                continue;
            }
            self.roll(kind, place);
            let counted = self.windows.place(kind);
            let is_before = relation(counted, place) == Relation::Previous;
            let (here, before) = other.buckets(kind);
            let into = |buckets: &mut [u64; SLOTS], count: u64| {
                if let Some(bucket) = buckets.get_mut(slot) {
                    *bucket = count.max(*bucket);
                }
            };
            // What of the window two before is of no more use.
            if is_before {
                into(&mut self.previous, here);
                continue;
            }
            into(&mut self.used, here);
            into(&mut self.previous, before);
            let told = other.told.get(slot).copied().unwrap_or_default();
            if let Some(mine) = self.told.get_mut(slot) {
                *mine = told.max(*mine);
            }
        }
        self.follow(to);
    }

    /// Moves one kind's counts to the window `to`, and says whether they moved. The id follows with
    /// [`follow`](Self::follow), since kinds share it.
    fn roll(&mut self, kind: LimitKind, to: u32) -> bool {
        let slot = kind as usize;
        let (Some(used), Some(previous), Some(told)) = (
            self.used.get_mut(slot),
            self.previous.get_mut(slot),
            self.told.get_mut(slot),
        ) else {
            return false;
        };
        *previous = match relation(self.windows.place(kind), to) {
            Relation::Same | Relation::Previous => return false,
            Relation::Next => *used,
            Relation::Far => 0,
        };
        (*used, *told) = (0, 0);
        true
    }

    fn follow(&mut self, to: Places) {
        let places = &mut self.windows;
        for (mine, to) in [
            (&mut places.minute, to.minute),
            (&mut places.day, to.day),
            (&mut places.month, to.month),
        ] {
            if relation(*mine, to) != Relation::Previous {
                *mine = to;
            }
        }
    }
}

#[cfg(test)]
mod tests;
