//! All sums of a ledger, without locks.

use std::time::Duration;

use super::accounts::{Accounts, DAY};
use super::delta::LedgerDelta;
use super::series::Series;
use super::sums::Sums;
use crate::clock::Now;
use crate::usage::UsageRecord;

/// Minutes are kept for so long.
pub(in crate::usage) const MINUTES_KEPT: Duration = Duration::from_hours(2);

/// The sums.
pub(in crate::usage) struct Books {
    pub(in crate::usage) minutes: Series,
    pub(in crate::usage) hours: Series,
    pub(in crate::usage) users: Accounts,
    pub(in crate::usage) sessions: Accounts,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            minutes: Series::new(Duration::from_mins(1)),
            hours: Series::new(Duration::from_hours(1)),
            users: Accounts::default(),
            sessions: Accounts::default(),
        }
    }
}

impl Books {
    pub(super) fn add(&mut self, record: &UsageRecord) {
        let sums = Sums::of(record);
        self.minutes.add(record, &sums);
        self.hours.add(record, &sums);
        let at = record.began.as_secs();
        if let Some(user) = &record.user {
            self.users.put(at, user, &sums);
        }
        if let Some(session) = &record.session_id {
            self.sessions.put(at, session, &sums);
        }
    }

    /// Drops users and sessions.
    pub(super) fn forget_names(&mut self) {
        self.users = Accounts::default();
        self.sessions = Accounts::default();
    }

    pub(super) fn merge(&mut self, delta: &LedgerDelta) {
        for (series, rows) in [
            (&mut self.minutes, &delta.minutes),
            (&mut self.hours, &delta.hours),
        ] {
            for row in rows {
                series.put(row.at, (&row.tier, &row.model), &row.sums);
            }
        }
        for (accounts, rows) in [
            (&mut self.users, &delta.users),
            (&mut self.sessions, &delta.sessions),
        ] {
            for row in rows {
                accounts.put(row.at, &row.name, &row.sums);
            }
        }
    }

    pub(super) fn rows(&self) -> LedgerDelta {
        LedgerDelta {
            minutes: self.minutes.rows(),
            hours: self.hours.rows(),
            users: self.users.rows(),
            sessions: self.sessions.rows(),
        }
    }

    /// Drops what is older than `retention`, and what claims to be of the day after tomorrow, which
    /// another replica's wrong clock may have made.
    pub(super) fn prune(&mut self, now: Now, retention: Duration) {
        let (now, ahead) = (now.unix_seconds(), now.unix_seconds() + DAY);
        let oldest = now.saturating_sub(retention.as_secs());
        let minute = now.saturating_sub(MINUTES_KEPT.min(retention).as_secs());
        // A step ends after its beginning: the one that `oldest` is in stays.
        self.minutes.prune(minute - minute % 60..ahead, now);
        self.hours.prune(oldest - oldest % 3600..ahead, now);
        let day = oldest - oldest % DAY;
        self.users.prune(day..ahead, now);
        self.sessions.prune(day..ahead, now);
    }
}
