//! What a request claims before it goes up, and how a limit stands.

use std::sync::Arc;

use super::limits::{LimitKind, Policy, Scope};

/// What one request uses, or is thought to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// 1; nothing for a request that was never sent.
    pub requests: u64,
    /// Tokens, prompt and completion together.
    pub tokens: u64,
    /// Nano-dollars.
    pub cost: u64,
}

impl Amounts {
    /// What counts against a limit of `kind` when it is settled. A request at once counts only while it
    /// is reserved.
    #[must_use]
    pub fn settled(&self, kind: LimitKind) -> u64 {
        match kind {
            LimitKind::ConcurrentRequests => 0,
            LimitKind::RequestsPerMinute | LimitKind::RequestsPerDay => self.requests,
            LimitKind::TokensPerDay | LimitKind::TokensPerMonth => self.tokens,
            LimitKind::CostPerDay | LimitKind::CostPerMonth => self.cost,
        }
    }

    /// What counts against a limit of `kind` while it is reserved.
    #[must_use]
    pub fn reserved(&self, kind: LimitKind) -> u64 {
        if kind == LimitKind::ConcurrentRequests {
            self.requests
        } else {
            self.settled(kind)
        }
    }
}

/// What a request asks of a store before it goes up.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The user, as a keyed hash: a store never sees the id.
    pub user: u128,
    /// The session, as a keyed hash with the user in it; `None` where there is none, or its tier has no
    /// limits by session.
    pub session: Option<u128>,
    /// What the user's tier may spend.
    pub policy: Arc<Policy>,
    /// What it is thought to use.
    pub estimate: Amounts,
}

/// How one limit stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose.
    pub scope: Scope,
    /// Which.
    pub kind: LimitKind,
    /// The limit; nano-dollars for costs.
    pub limit: u64,
    /// What is settled in the window.
    pub used: u64,
    /// What is reserved in the window.
    pub reserved: u64,
    /// When the window ends, or for a sliding one when enough of it has passed for a next request, in
    /// Unix seconds; for requests at once: now.
    pub resets_at: u64,
}

impl Standing {
    /// What is left of it; nothing where it is passed.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        let taken = self.used.saturating_add(self.reserved);
        self.limit.saturating_sub(taken)
    }
}

/// Why a store does not let a request through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A limit is used up.
    #[error("{} of the {} is used up: {} used and {} reserved of {}", .0.kind.label(), .0.scope.label(), .0.used, .0.reserved, .0.limit)]
    Limit(Standing),
    /// The store does not answer, and limits are to hold also then (`store.fail_…` = "closed").
    #[error("the store of budgets does not answer")]
    Unavailable,
}

/// A refusal, with what its answer has to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{refused} (tier {})", .policy.tier)]
pub struct OverBudget {
    /// Why.
    #[source]
    pub refused: Refused,
    /// What the user's tier may spend.
    pub policy: Arc<Policy>,
    /// When it was refused, in Unix seconds.
    pub at: u64,
}
