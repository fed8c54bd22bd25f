//! Where limits are counted: THE list of stores.
//!
//! Guarantees, of every store: a claim reserves under all of its limits or under none; what is reserved
//! is settled or released exactly once, also where nobody says which; neither waits.

mod accounts;
mod embedded;
mod entry;
#[cfg(test)]
mod properties;
pub mod redis;
mod shared;

use std::sync::Arc;

use super::claim::{Amounts, Claim, Refused, Standing};
use super::limits::{LimitKind, Policy};
use crate::clock::Now;

pub use self::embedded::{Embedded, EmbeddedConfig, Health, Terms};
pub use self::redis::{Known, News, SharedLog};
pub use self::shared::Shared;

/// What counts.
#[derive(Clone)]
pub enum Store {
    /// The memory of this process, with a journal or without.
    Embedded(Arc<Embedded>),
    /// A Redis or Valkey that replicas share.
    Redis(Arc<Shared>),
}

/// An account and how its limits stand, for the operator's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    /// The user, as a keyed hash.
    pub user: u128,
    /// The tier of its last request.
    pub tier: String,
    /// Its limits.
    pub standings: Vec<Standing>,
}

impl Store {
    /// Reserves `claim.estimate` if every limit has room.
    ///
    /// # Errors
    /// The first limit without room, or a store that does not answer where limits are to hold also then.
    pub async fn reserve(&self, claim: Claim, now: Now) -> Result<Permit, Refused> {
        match self {
            Self::Embedded(store) => store.reserve(claim, now),
            Self::Redis(store) => store.reserve(claim, now).await,
        }
    }

    /// How the limits of a user and a session stand.
    ///
    /// # Errors
    /// A store that does not answer.
    pub async fn standings(
        &self,
        user: u128,
        session: Option<u128>,
        policy: &Policy,
        now: Now,
    ) -> Result<Vec<Standing>, Refused> {
        match self {
            Self::Embedded(store) => Ok(store.standings(user, session, policy, now)),
            Self::Redis(store) => store.standings(user, session, policy, now).await,
        }
    }

    /// Up to `most` users, those first whose fullest limit is fullest; only such as this gateway has
    /// served since it started.
    #[must_use]
    pub fn fullest(&self, most: usize, now: Now) -> Vec<Full> {
        match self {
            Self::Embedded(store) => store.fullest(most, now),
            Self::Redis(store) => store.fullest(most),
        }
    }
}

/// A reservation. Held by the answer's body: settled when it ends, released where it is dropped before.
#[must_use = "dropping it releases what was reserved"]
pub struct Permit {
    standings: Vec<Standing>,
    estimate: Amounts,
    held: Option<Held>,
}

/// What each store needs to find a reservation again.
enum Held {
    Embedded(Box<embedded::Reservation>),
    Redis(Box<redis::Permit>),
}

/// How much of each budget one request may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Tokens; `None`: not limited.
    pub tokens: Option<u64>,
    /// Nano-dollars; `None`: not limited.
    pub cost: Option<u64>,
}

impl Permit {
    /// How each limit stood right after the reservation, which is in it.
    #[must_use]
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// What is left for this request: its own estimate and what nobody has reserved or used. As of the
    /// reservation.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        let mut allowance = Allowance::default();
        for standing in &self.standings {
            let kind = standing.kind;
            let place = match kind {
                LimitKind::TokensPerDay | LimitKind::TokensPerMonth => &mut allowance.tokens,
                LimitKind::CostPerDay | LimitKind::CostPerMonth => &mut allowance.cost,
                LimitKind::RequestsPerMinute
                | LimitKind::ConcurrentRequests
                | LimitKind::RequestsPerDay => continue,
            };
            let others = standing
                .reserved
                .saturating_sub(self.estimate.reserved(kind));
            let left = standing.limit.saturating_sub(standing.used);
            let left = left.saturating_sub(others);
            *place = Some(place.map_or(left, |least| least.min(left)));
        }
        allowance
    }

    /// Counts what was really used, in the windows of the reservation. Waits for nothing but one write
    /// to the journal's file, where there is one.
    pub fn settle(mut self, actual: Amounts) {
        match self.held.take() {
            Some(Held::Embedded(held)) => held.settle(actual),
            Some(Held::Redis(held)) => held.settle(actual),
            None => {}
        }
    }
}

impl Drop for Permit {
    /// Releases what was not settled.
    fn drop(&mut self) {
        match self.held.take() {
            Some(Held::Embedded(held)) => held.release(),
            Some(Held::Redis(held)) => held.release(),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
