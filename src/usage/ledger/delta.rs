//! What a ledger has counted, in rows: to be written down, or told to other replicas.

use serde::{Deserialize, Serialize};

use super::sums::Sums;

/// Sums that are added to a ledger's own. In any order, and in any number of parts: the result is the
/// same, but for names that had to make room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerDelta {
    /// By minute.
    pub minutes: Vec<SeriesRow>,
    /// The same by hour.
    pub hours: Vec<SeriesRow>,
    /// The same by day and user.
    pub users: Vec<AccountRow>,
    /// The same by day and session.
    pub sessions: Vec<AccountRow>,
}

impl LedgerDelta {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.minutes.is_empty() && self.hours.is_empty()
    }

    /// Leaves `most` rows of each kind, and returns the rest.
    pub(super) fn split_off(&mut self, most: usize) -> Self {
        fn rest<T>(rows: &mut Vec<T>, most: usize) -> Vec<T> {
            rows.split_off(most.min(rows.len()))
        }
        Self {
            minutes: rest(&mut self.minutes, most),
            hours: rest(&mut self.hours, most),
            users: rest(&mut self.users, most),
            sessions: rest(&mut self.sessions, most),
        }
    }
}

/// One sum over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesRow {
    /// When its minute or hour began, in Unix seconds.
    pub at: u64,
    /// The tier; `none`: without one.
    pub tier: String,
    /// The model; `none`: not known.
    pub model: String,
    /// How much.
    #[serde(flatten)]
    pub sums: Sums,
}

/// One sum of a user or a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// When its day began (UTC), in Unix seconds.
    pub at: u64,
    /// Who.
    pub name: String,
    /// How much.
    #[serde(flatten)]
    pub sums: Sums,
}
