//! What the operator's page is made of: everything that is counted, in one place.

use std::sync::{Arc, OnceLock};

use super::ledger::{Ledger, SharedLedger};
use super::live::LiveRequests;
use super::refusals::Refusals;
use super::report::{Query, Report, Scope};
use crate::budget::Standing;
use crate::clock::Now;

/// Everything that is shown of use. Shared by all workers, and kept across reloads.
pub struct UsageView {
    /// What was used.
    pub ledger: Ledger,
    /// What is under way.
    pub live: Arc<LiveRequests>,
    /// What was refused.
    pub refusals: Refusals,
    /// How budgets stand; unset: there are none. Set once, at the start.
    pub budgets: OnceLock<BudgetView>,
    /// What all replicas have used; unset: this process counts by itself. Set once, at the start.
    pub shared: OnceLock<SharedLedger>,
}

impl UsageView {
    /// Nothing counted yet, over `ledger`.
    #[must_use]
    pub fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            live: Arc::default(),
            refusals: Refusals::default(),
            budgets: OnceLock::new(),
            shared: OnceLock::new(),
        }
    }

    /// Answers `query` from the sums of all replicas where they are shared and the store answers in time,
    /// else from this process's own.
    pub async fn report(self: Arc<Self>, query: Query, now: Now) -> Option<Report> {
        let shared = match self.shared.get() {
            Some(shared) => {
                let (part, span) = (query.part(), query.span());
                shared.look(&self.ledger, part, span, now).await
            }
            None => None,
        };
        // Off this thread, which accepts connections: it looks at every sum of the span.
        let made = tokio::task::spawn_blocking(move || {
            if let Some(books) = shared {
                return query.answer(&books, Scope::AllReplicas);
            }
            self.ledger.fold(now);
            self.ledger.report(&query)
        });
        made.await
            .inspect_err(|error| tracing::error!(%error, "the usage report"))
            .ok()
    }
}

/// What is asked about budgets. Both are called every two seconds for each page that is open, and must
/// not wait for a store.
pub struct BudgetView {
    /// The fullest accounts, so many at most, the fullest first.
    pub fullest: Box<dyn Fn(usize, Now) -> Vec<AccountStanding> + Send + Sync>,
    /// How the store is.
    pub store: Box<dyn Fn() -> StoreState + Send + Sync>,
}

/// One account's fullest limit.
#[derive(Clone, Debug)]
pub struct AccountStanding {
    /// Whose, as `usage.users` lets it be told: the user, or a part of the keyed hash.
    pub account: String,
    /// The tier whose limit it is.
    pub tier: String,
    /// How it stands.
    pub standing: Standing,
}

/// How the store of budgets is.
#[derive(Clone, Debug)]
pub struct StoreState {
    /// `embedded` or `redis`.
    pub kind: &'static str,
    /// Whether it answers.
    pub is_up: bool,
    /// More, in words: where it writes, or since when it does not answer.
    pub detail: String,
    /// Accounts held.
    pub accounts: u64,
}
