//! What this replica counts by itself while the store is away: from nothing, by the same rule.
//!
//! Guarantees: bounded; forgotten when the store is back, which is then told what was used.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::super::{Amounts, LimitKind, Scope};
use super::hold::{Hold, Seen, Span};

/// Counters held at once; whoever comes when there are more is let through.
const MAX: usize = 500_000;

/// The counters of one absence of the store.
#[derive(Default)]
pub(super) struct Local(Mutex<Counters>);

#[derive(Default)]
struct Counters {
    /// Which absence.
    absence: u64,
    by_limit: HashMap<(u128, Scope, LimitKind), Counter>,
}

#[derive(Clone, Copy, Default)]
struct Counter {
    window: u32,
    used: u64,
    reserved: u64,
    previous: u64,
}

/// What came of a claim.
pub(super) struct Counted {
    pub(super) seen: Vec<Seen>,
    /// The place of the limit that refuses it.
    pub(super) refused: Option<usize>,
    /// The absence in which it is reserved.
    pub(super) absence: u64,
}

impl Local {
    /// Reserves `estimate` in all of `spans`, or in none.
    pub(super) fn reserve(
        &self,
        user: u128,
        session: Option<u128>,
        spans: &[Span],
        estimate: &Amounts,
    ) -> Counted {
        let mut counters = self.counters();
        let seen: Vec<_> = spans
            .iter()
            .map(|span| counters.look(user, session, span))
            .collect();
        let mut pairs = spans.iter().zip(&seen);
        let refused = pairs.position(|(span, seen)| {
            let taken = span.used(seen.here, seen.before);
            taken.saturating_add(seen.reserved) >= span.limit
        });
        if refused.is_none() {
            for span in spans {
                let amount = estimate.reserved(span.kind);
                if let Some(counter) = counters.at(user, session, span) {
                    counter.reserved = counter.reserved.saturating_add(amount);
                }
            }
        }
        Counted {
            seen,
            refused,
            absence: counters.absence,
        }
    }

    /// Frees what `hold` reserved here, and adds what was used.
    pub(super) fn end(&self, hold: &Hold, used: Option<Amounts>) {
        let mut counters = self.counters();
        let is_held = hold.local == Some(counters.absence);
        for span in &hold.spans {
            let Some(counter) = counters.at(hold.user, hold.session, span) else {
                continue;
            };
            if counter.window != span.window {
                continue;
            }
            if is_held {
                let amount = hold.estimate.reserved(span.kind);
                counter.reserved = counter.reserved.saturating_sub(amount);
            }
            if let Some(used) = used {
                counter.used = counter.used.saturating_add(used.settled(span.kind));
            }
        }
    }

    /// The store is back: forgets everything.
    pub(super) fn forget(&self) {
        let mut counters = self.counters();
        counters.absence += 1;
        counters.by_limit = HashMap::new();
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    fn look(&mut self, user: u128, session: Option<u128>, span: &Span) -> Seen {
        let found = self.at(user, session, span).copied();
        let counter = found.unwrap_or(Counter {
            window: span.window,
            ..Counter::default()
        });
        Seen {
            window: counter.window,
            here: counter.used,
            before: counter.previous,
            reserved: counter.reserved,
        }
    }

    /// The counter of `span`, in its window or a later one; none where there is no room.
    fn at(&mut self, user: u128, session: Option<u128>, span: &Span) -> Option<&mut Counter> {
        let account = match span.scope {
            Scope::User => user,
            Scope::Session => session?,
        };
        let key = (account, span.scope, span.kind);
        if self.by_limit.len() >= MAX && !self.by_limit.contains_key(&key) {
            return None;
        }
        let counter = self.by_limit.entry(key).or_default();
        if span.window > counter.window {
            let is_next = span.window == counter.window + 1;
            *counter = Counter {
                window: span.window,
                previous: if is_next { counter.used } else { 0 },
                ..Counter::default()
            };
        }
        Some(counter)
    }
}
