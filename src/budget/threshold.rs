//! Tells once a window that a share of a limit is used.
//!
//! Guarantees: nothing here waits: what the receiver has no room for is counted and dropped. Only
//! budgets are told of, never rates, which fill and empty all the time.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::limits::{LimitKind, Scope};

/// A share of a limit has been used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// Whose limit.
    pub scope: Scope,
    /// Which.
    pub kind: LimitKind,
    /// The share that was reached, as configured (`budgets.thresholds`).
    pub percent: u8,
    /// What is used; nano-dollars for costs.
    pub used: u64,
    /// The limit.
    pub limit: u64,
    /// The window's id.
    pub window: u32,
    /// When the window ends, in Unix seconds.
    pub ends_at: u64,
    /// The user, as a keyed hash; also where a session's limit was reached.
    pub user: u128,
}

/// Which shares are told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thresholds(Vec<u8>);

impl Thresholds {
    /// Shares in percent, in any order; 0 is left out.
    #[must_use]
    pub fn new(percents: &[u8]) -> Self {
        let mut percents: Vec<_> = percents.iter().copied().filter(|p| *p > 0).collect();
        percents.sort_unstable();
        percents.dedup();
        Self(percents)
    }

    /// The shares of `limit` that `used` has reached, above `told`, the highest told of before.
    pub fn reached(
        &self,
        kind: LimitKind,
        limit: u64,
        used: u64,
        told: u8,
    ) -> impl Iterator<Item = u8> + '_ {
        let is_over =
            move |percent: u8| u128::from(used) * 100 >= u128::from(limit) * u128::from(percent);
        let is_news = move |percent: &u8| *percent > told && !kind.is_rate() && is_over(*percent);
        self.0.iter().copied().filter(is_news)
    }
}

/// Where crossings go.
#[derive(Debug, Default)]
pub struct Bell {
    sender: Option<mpsc::Sender<Crossed>>,
    dropped: AtomicU64,
}

impl Bell {
    /// Tells `sender`'s receiver; nobody, without one.
    #[must_use]
    pub fn new(sender: Option<mpsc::Sender<Crossed>>) -> Self {
        Self {
            sender,
            dropped: AtomicU64::new(0),
        }
    }

    /// Tells of one, or counts it as dropped where there is no room.
    pub fn ring(&self, crossed: Crossed) {
        let Some(sender) = &self.sender else { return };
        if sender.try_send(crossed).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many found no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(limit: u64, used: u64, told: u8) -> Vec<u8> {
        let thresholds = Thresholds::new(&[100, 50, 80, 80, 0]);
        let reached = thresholds.reached(LimitKind::TokensPerDay, limit, used, told);
        reached.collect()
    }

    #[test]
    fn each_share_is_reached_at_it_and_not_below() {
        assert!(reached(200, 99, 0).is_empty());
        assert_eq!(reached(200, 100, 0), [50]);
        assert_eq!(reached(200, 500, 0), [50, 80, 100]);
        assert_eq!(reached(200, 500, 80), [100]);
        assert_eq!(reached(u64::MAX, u64::MAX - 1, 50), [80]);
    }

    #[test]
    fn rates_are_not_told_of() {
        let thresholds = Thresholds::new(&[50]);
        let rate = LimitKind::RequestsPerMinute;
        assert_eq!(thresholds.reached(rate, 1, 1, 0).count(), 0);
    }
}
