//! A limit at one instant, and a reservation against several of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::super::{Amounts, LimitKind, Policy, Scope};

/// One limit of a claim, in the window that it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Whose.
    pub scope: Scope,
    /// Which.
    pub kind: LimitKind,
    /// The limit; nano-dollars for costs.
    pub limit: u64,
    /// The window's id, rising by 1 from one to the next; 0 for requests at once.
    pub window: u32,
    /// When the window began and when it ends, in Unix seconds; now for requests at once.
    pub start: u64,
    /// See `start`.
    pub end: u64,
    /// How much of the window before still counts, of 65,536; 0 where windows do not slide.
    pub weight: u64,
}

impl Span {
    /// What counts as used.
    pub(super) fn used(&self, here: u64, before: u64) -> u64 {
        let still = u128::from(before) * u128::from(self.weight) / 65_536;
        here.saturating_add(u64::try_from(still).unwrap_or(u64::MAX))
    }

    /// Until when what is counted now may matter: windows may slide, so to the end of the next one.
    fn matters_until(&self) -> u64 {
        self.end.saturating_add(self.end.saturating_sub(self.start))
    }
}

/// How one limit stood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) window: u32,
    /// Settled in this window.
    pub(super) here: u64,
    /// Settled in the one before.
    pub(super) before: u64,
    pub(super) reserved: u64,
}

/// A reservation that is neither settled nor released yet.
#[derive(Debug)]
pub(super) struct Hold {
    /// Its name, unique in this process.
    pub(super) number: u64,
    pub(super) user: u128,
    pub(super) session: Option<u128>,
    pub(super) policy: Arc<Policy>,
    /// With the windows in which it was granted.
    pub(super) spans: Vec<Span>,
    pub(super) estimate: Amounts,
    /// Where this replica counted it by itself: during which absence of the store.
    pub(super) local: Option<u64>,
    /// In which round of renewals it was last renewed.
    pub(super) round: AtomicU64,
}

impl Hold {
    /// Whether its turn to be renewed has come in `round`; if so it is noted.
    pub(super) fn is_due(&self, round: u64) -> bool {
        let is_due = self.round.load(Ordering::Relaxed) + 2 <= round;
        if is_due {
            self.round.store(round, Ordering::Relaxed);
        }
        is_due
    }

    /// The session whose account a limit of `scope` counts in; none: the user's.
    pub(super) fn account(&self, scope: Scope) -> Option<u128> {
        match scope {
            Scope::User => None,
            Scope::Session => self.session,
        }
    }

    /// The latest time at which any of it matters, in Unix seconds.
    pub(super) fn matters_until(&self) -> u64 {
        let ends = self.spans.iter().map(Span::matters_until);
        ends.max().unwrap_or_default()
    }
}

/// The field of a counter.
pub(super) fn letter(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::RequestsPerMinute => "m",
        LimitKind::ConcurrentRequests => "c",
        LimitKind::RequestsPerDay => "d",
        LimitKind::TokensPerDay => "t",
        LimitKind::TokensPerMonth => "T",
        LimitKind::CostPerDay => "u",
        LimitKind::CostPerMonth => "U",
    }
}
