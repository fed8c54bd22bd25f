//! What the gateway refused in the last hour, by code and reason.
//!
//! Guarantees: counting takes a short look at this minute's kinds and waits for no other worker; kinds
//! are closed sets of words, so that memory is bounded whoever is refused, and however often.

use std::collections::{BTreeMap, VecDeque};

use super::per_thread::PerThread;
use crate::clock::Now;

/// Minutes that are kept, the one that runs included.
const MINUTES: usize = 60;

/// What was refused in the last hour. Shared by all workers, and kept across reloads.
#[derive(Default)]
pub struct Refusals {
    shards: PerThread<Minutes>,
}

/// The newest at the back; each with its number since the Unix epoch.
#[derive(Default)]
struct Minutes(VecDeque<(u64, Vec<(Kind, u64)>)>);

/// A code and a reason.
type Kind = (&'static str, &'static str);

/// How often one thing was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalCount {
    /// The code word.
    pub code: &'static str,
    /// The finer reason.
    pub reason: &'static str,
    /// In the last hour.
    pub count: u64,
    /// In each minute of it, the oldest first.
    pub by_minute: [u64; MINUTES],
}

impl Refusals {
    /// The gateway refuses a request.
    pub fn count(&self, code: &'static str, reason: &'static str, now: Now) {
        let (_, mut minutes) = self.shards.own();
        minutes.count((code, reason), now.unix_seconds() / 60);
    }

    /// What was refused in the hour before `now`, the most frequent first.
    #[must_use]
    pub fn last_hour(&self, now: Now) -> Vec<RefusalCount> {
        let this = now.unix_seconds() / 60;
        let mut kinds: BTreeMap<Kind, [u64; MINUTES]> = BTreeMap::new();
        for minutes in self.shards.each() {
            for (minute, counts) in &minutes.0 {
                let ago = usize::try_from(this.saturating_sub(*minute)).unwrap_or(usize::MAX);
                let Some(place) = (MINUTES - 1).checked_sub(ago) else {
                    continue;
                };
                for (kind, count) in counts {
                    let of_kind = kinds.entry(*kind).or_insert([0; MINUTES]);
                    if let Some(slot) = of_kind.get_mut(place) {
                        *slot += count;
                    }
                }
            }
        }
        let mut counts: Vec<_> = kinds.into_iter().map(RefusalCount::of).collect();
        counts.sort_by_key(|kind| std::cmp::Reverse(kind.count));
        counts
    }
}

impl RefusalCount {
    fn of(((code, reason), by_minute): (Kind, [u64; MINUTES])) -> Self {
        Self {
            code,
            reason,
            count: by_minute.iter().sum(),
            by_minute,
        }
    }
}

impl Minutes {
    fn count(&mut self, kind: Kind, minute: u64) {
        // A clock that was set back counts in the newest minute.
        if self.0.back().is_none_or(|(newest, _)| minute > *newest) {
            self.0.push_back((minute, Vec::new()));
            if self.0.len() > MINUTES {
                self.0.pop_front();
            }
        }
        let Some((_, counts)) = self.0.back_mut() else {
            return;
        };
        match counts.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((kind, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn minute(minute: u64) -> Now {
        let since = Duration::from_secs(60 * minute + 7);
        Now {
            unix: since,
            elapsed: since,
        }
    }

    #[test]
    fn refusals_are_counted_by_minute_and_forgotten_after_an_hour() {
        let refusals = Refusals::default();
        let rate = ("rate_limited", "user_requests_per_minute");
        for at in 1_000..1_100 {
            refusals.count(rate.0, rate.1, minute(at));
            refusals.count("session_missing", "no_cookie", minute(at));
            refusals.count("session_missing", "no_cookie", minute(at));
        }
        let found = refusals.last_hour(minute(1_099));
        let counts: Vec<_> = found.iter().map(|kind| (kind.code, kind.count)).collect();
        assert_eq!(counts, [("session_missing", 120), ("rate_limited", 60)]);
        assert_eq!(found[0].by_minute, [2; MINUTES]);
        let later = refusals.last_hour(minute(1_099 + 59));
        assert_eq!(later.len(), 2);
        assert_eq!((later[0].count, later[0].by_minute[0]), (2, 2));
        assert!(refusals.last_hour(minute(1_099 + 60)).is_empty());
    }
}
