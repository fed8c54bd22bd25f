//! Sums by day for each user, or each session.

use std::collections::BTreeMap;
use std::ops::Range;

use super::delta::AccountRow;
use super::sums::Sums;
use super::tally::Tally;

/// Seconds of a day, which begins at midnight UTC.
pub(in crate::usage) const DAY: u64 = 86_400;

/// Names of today and yesterday that have a place of their own.
pub(super) const RECENT: usize = 10_000;

/// Names of a day before that.
pub(super) const PAST: usize = 1_000;

/// Sums by day and name.
#[derive(Default)]
pub(in crate::usage) struct Accounts {
    days: BTreeMap<u64, Tally>,
    /// Days before this one were made small.
    settled: u64,
}

impl Accounts {
    pub(super) fn put(&mut self, at: u64, name: &str, sums: &Sums) {
        let day = at - at % DAY;
        let most = if day < self.settled { PAST } else { RECENT };
        self.days.entry(day).or_default().add(name, sums, most);
    }

    /// Drops the days that are not within `span`, and of those before yesterday all but the largest.
    pub(super) fn prune(&mut self, span: Range<u64>, now: u64) {
        self.days.retain(|day, _| span.contains(day));
        let settled = (now - now % DAY).saturating_sub(DAY);
        if settled > self.settled {
            for (_, tally) in self.days.range_mut(self.settled..settled) {
                tally.shrink(PAST);
            }
            self.settled = settled;
        }
    }

    /// Every sum of the days that begin within `span`: (day, name, sums).
    pub(in crate::usage) fn within(
        &self,
        span: Range<u64>,
    ) -> impl Iterator<Item = (u64, &str, &Sums)> {
        let days = self.days.range(span);
        days.flat_map(|(day, tally)| tally.iter().map(|(name, sums)| (*day, name, sums)))
    }

    pub(super) fn rows(&self) -> Vec<AccountRow> {
        let row = |(at, name, sums): (u64, &str, &Sums)| AccountRow {
            at,
            name: name.to_owned(),
            sums: *sums,
        };
        self.within(0..u64::MAX).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_many_users_is_bounded_and_an_old_one_more() {
        let mut accounts = Accounts::default();
        let one = Sums {
            requests: 1,
            ..Sums::default()
        };
        for user in 0..50_000 {
            accounts.put(DAY * 100 + 5, &format!("user {user}"), &one);
        }
        let count = |accounts: &Accounts| accounts.within(0..u64::MAX).count();
        assert!((RECENT..=2 * RECENT).contains(&count(&accounts)));
        accounts.prune(0..DAY * 200, DAY * 102);
        assert_eq!(count(&accounts), PAST + 1);
        let all = accounts.within(0..u64::MAX);
        assert_eq!(all.map(|(.., sums)| sums.requests).sum::<u32>(), 50_000);
        accounts.prune(DAY * 101..DAY * 200, DAY * 102);
        assert_eq!(count(&accounts), 0);
    }
}
