//! What the shared store tells of itself: for metrics and for the thresholds' webhook.

use std::sync::Arc;
use std::time::Duration;

use super::super::super::{LimitKind, Policy, Scope};

/// One kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A claim.
    Reserve,
    /// What was used.
    Settle,
    /// Nothing was used.
    Release,
    /// A renewal of what is under way, or a look.
    Sync,
}

impl Operation {
    /// The word in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Settle => "settle",
            Self::Release => "release",
            Self::Sync => "sync",
        }
    }
}

/// A budget has passed a threshold: told once a window, over all replicas. If the store's answer is lost
/// on the way, not at all.
#[derive(Clone, Debug)]
pub struct Crossing {
    /// The user, as a keyed hash.
    pub user: u128,
    /// The session, where it is one of its budgets.
    pub session: Option<u128>,
    /// Of the tier.
    pub policy: Arc<Policy>,
    /// Whose budget.
    pub scope: Scope,
    /// Which.
    pub kind: LimitKind,
    /// The budget; nano-dollars for costs.
    pub limit: u64,
    /// The threshold.
    pub percent: u8,
    /// What is settled.
    pub used: u64,
    /// When the window ends, in Unix seconds.
    pub resets_at: u64,
}

/// Who hears of it. Called on the request's way: it must not wait.
pub trait Observer: Send + Sync {
    /// A call was answered, or not. Entries that go together are told one by one.
    fn operation(&self, _operation: Operation, _is_ok: bool, _took: Duration) {}
    /// The store answers, or went away.
    fn up(&self, _is_up: bool) {}
    /// A threshold is passed.
    fn crossed(&self, _crossing: Crossing) {}
}

/// Nobody.
impl Observer for () {}
