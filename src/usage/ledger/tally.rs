//! Sums by name, for a bounded number of names.

use std::collections::HashMap;
use std::collections::hash_map::IntoIter;

use super::OTHER;
use super::sums::Sums;

/// Sums by name. The least ones share [`OTHER`] once there are twice as many names as have a place.
#[derive(Default)]
pub(in crate::usage) struct Tally(HashMap<Box<str>, Sums>);

impl Tally {
    /// Adds to `name`; of more names than twice `most`, the largest `most` stay.
    pub(super) fn add(&mut self, name: &str, sums: &Sums, most: usize) {
        if let Some(own) = self.0.get_mut(name) {
            own.add(sums);
            return;
        }
        self.0.insert(name.into(), *sums);
        if self.0.len() > most.saturating_mul(2) {
            self.shrink(most);
        }
    }

    /// Leaves the largest `most` names, and [`OTHER`] with the rest.
    pub(super) fn shrink(&mut self, most: usize) {
        if self.0.len() <= most {
            return;
        }
        let mut other = self.0.remove(OTHER).unwrap_or_default();
        let mut named: Vec<_> = std::mem::take(&mut self.0).into_iter().collect();
        if named.len() > most {
            named.select_nth_unstable_by_key(most, |(_, sums)| std::cmp::Reverse(sums.weight()));
            for (_, sums) in named.drain(most..) {
                other.add(&sums);
            }
        }
        self.0 = named.into_iter().collect();
        if other != Sums::default() {
            self.0.insert(OTHER.into(), other);
        }
    }

    /// All of it.
    pub(super) fn total(&self) -> Sums {
        let mut total = Sums::default();
        for sums in self.0.values() {
            total.add(sums);
        }
        total
    }

    pub(in crate::usage) fn iter(&self) -> impl Iterator<Item = (&str, &Sums)> {
        self.0.iter().map(|(name, sums)| (&**name, sums))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl IntoIterator for Tally {
    type Item = (Box<str>, Sums);
    type IntoIter = IntoIter<Box<str>, Sums>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(cost: u64) -> Sums {
        Sums {
            requests: 1,
            cost,
            ..Sums::default()
        }
    }

    #[test]
    fn the_least_names_share_one_and_nothing_is_lost() {
        let mut tally = Tally::default();
        for number in 0..1_000 {
            tally.add(&format!("user {number}"), &spent(number), 10);
        }
        assert!(tally.len() <= 21, "{}", tally.len());
        tally.shrink(10);
        assert_eq!(tally.len(), 11);
        let names: Vec<_> = tally.iter().map(|(name, _)| name).collect();
        for name in ["user 999", "user 990", OTHER] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        let total = tally.total();
        assert_eq!((total.requests, total.cost), (1_000, 999 * 500));
    }
}
