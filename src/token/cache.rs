//! Tokens by identity: from memory, else from one mint that everyone who needs it shares.
//!
//! Guarantees: a token is only ever given to the identity that it was minted for; one mint at a time
//! for an identity, in a task of its own; a token that is due is renewed in the background and used
//! until it has really ended; failures are cached and mints bounded, so that neither an outage nor a
//! stream of made-up users can hammer the mint; no lock is held across an await.
//!
//! Everything here runs on a tokio runtime: mints are tasks of the worker that began them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::clock::{Clock, Now};
use crate::flight::{Flight, Follower};
use crate::identity::{Identity, UserId};
use crate::telemetry::labels::CacheOutcome;
use crate::telemetry::metrics::Metrics;

use super::breaker::Breaker;
use super::entries::{Entries, Entry, RENEWAL_PAUSE, State};
use super::failure_log::FailureLog;
use super::mint_task::Takeoff;
use super::user_limits::UserLimits;
use super::{AccessToken, CacheConfig, MintConfig, Outcome, TokenError, TokenMinter};

/// Tokens by identity. Shared by all workers.
pub struct TokenCache {
    pub(super) entries: Entries,
    pub(super) breaker: Breaker,
    pub(super) minter: TokenMinter,
    /// Mints in flight; those who wait are served in order.
    pub(super) places: Semaphore,
    /// One mint, the wait for a place included.
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) failures: FailureLog,
    users: UserLimits,
    flights: AtomicU64,
}

/// What is had at once.
enum Found {
    Token(Arc<AccessToken>),
    Follow(Follower<Outcome>),
}

/// What a change of an entry came to: what is had, and the mint to launch once its guard is gone.
type Step = Result<(Found, Option<Takeoff>), TokenError>;

impl TokenCache {
    /// An empty cache over `minter`.
    #[must_use]
    pub fn new(
        config: &CacheConfig,
        mint: &MintConfig,
        minter: TokenMinter,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let places = minter.places(mint.concurrency).min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            entries: Entries::new(config.max_entries),
            breaker: Breaker::new(),
            minter,
            places: Semaphore::new(places),
            timeout: mint.timeout,
            clock,
            metrics,
            failures: FailureLog::default(),
            users: UserLimits::new(config.per_user_limits),
            flights: AtomicU64::new(0),
        })
    }

    /// The token of `identity`: at once where there is one, else when its mint has ended.
    ///
    /// # Errors
    /// As the mint failed; as it failed a moment ago; or it was not asked, to spare it.
    pub async fn token(
        self: &Arc<Self>,
        identity: &Identity,
        now: Now,
    ) -> Result<Arc<AccessToken>, TokenError> {
        let state = |entry: &Entry| entry.state(now, &self.breaker);
        match self.entries.read(identity, state) {
            Some(State::Fresh(token)) => {
                self.metrics.cache(CacheOutcome::Hit);
                Ok(token)
            }
            Some(State::Aging(token)) => {
                self.metrics.cache(CacheOutcome::Refresh);
                Ok(token)
            }
            Some(State::Due(token)) => {
                self.metrics.cache(CacheOutcome::Refresh);
                // A renewal that is not allowed now is tried again by a later request.
                let _ = self.obtain(identity, now);
                Ok(token)
            }
            Some(State::Failed(error)) => {
                self.metrics.cache(CacheOutcome::Negative);
                Err(error)
            }
            Some(State::Flying(_) | State::Empty) | None => {
                let found = self.obtain(identity, now);
                self.metrics.cache(match found {
                    Ok(_) => CacheOutcome::Miss,
                    Err(_) => CacheOutcome::Negative,
                });
                self.complete(identity, found).await
            }
        }
    }

    /// Another token than `rejected`, which Behest answered with 401: the cached one if it is
    /// another already, else a new one, which everyone waits for.
    ///
    /// # Errors
    /// [`TokenError::RenewedRecently`] within 5 s of the last renewal: the cached token stays in use
    /// then. Else as [`TokenCache::token`].
    pub async fn renew(
        self: &Arc<Self>,
        identity: &Identity,
        rejected: &Arc<AccessToken>,
        now: Now,
    ) -> Result<Arc<AccessToken>, TokenError> {
        let found = self.replace(identity, rejected, now);
        self.complete(identity, found).await
    }

    /// The same without waiting, for a request that cannot be sent again. `Ok` if another token is
    /// there or on its way.
    ///
    /// # Errors
    /// As [`TokenCache::renew`], as far as it is known at once.
    pub fn renew_in_background(
        self: &Arc<Self>,
        identity: &Identity,
        rejected: &Arc<AccessToken>,
        now: Now,
    ) -> Result<(), TokenError> {
        self.replace(identity, rejected, now).map(drop)
    }

    /// Puts out what has ended. To be called every few seconds: it looks at every entry.
    pub fn sweep(&self, now: Now) {
        for identity in self.entries.sweep(now) {
            self.users.forget(&identity);
        }
        self.users.sweep(now.elapsed);
        self.metrics.cache_entries(self.len());
    }

    /// Drops what is held for `user`, and returns how many tokens that were. Looks at every entry.
    pub fn forget_user(&self, user: &UserId) -> usize {
        self.forget(|identity| identity.user == *user)
    }

    /// Drops what is held for the session id `session_id`, and returns how many tokens that were. Looks
    /// at every entry.
    pub fn forget_session(&self, session_id: &str) -> usize {
        self.forget(|identity| {
            let held = identity.session_id.as_ref();
            held.is_some_and(|held| held.as_str() == session_id)
        })
    }

    /// Closes connections to the mint that can no longer be used.
    pub fn sweep_connections(&self) {
        self.minter.sweep_connections();
    }

    /// Takes over the usable tokens of `other`, whose mint issues the same ones
    /// ([`MintConfig::issues_same_tokens`]) and whose clock is this one's.
    pub fn adopt(&self, other: &Self) {
        self.users.adopt(&other.users);
        self.entries.adopt(&other.entries, self.clock.now());
        self.metrics.cache_entries(self.len());
    }

    /// Whether the mint failed so often that it is only probed, every 500 ms.
    #[must_use]
    pub fn is_mint_paused(&self) -> bool {
        self.breaker.is_open()
    }

    /// Identities held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no identity is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn forget(&self, chosen: impl Fn(&Identity) -> bool) -> usize {
        let (gone, tokens) = self.entries.take_out(chosen);
        for identity in gone {
            self.users.forget(&identity);
        }
        self.metrics.cache_entries(self.len());
        tokens
    }

    /// What there is, or else a mint that is begun for it.
    fn obtain(self: &Arc<Self>, identity: &Identity, now: Now) -> Result<Found, TokenError> {
        self.change(identity, now, |entry| {
            match entry.state(now, &self.breaker) {
                State::Fresh(token) | State::Aging(token) => Ok((Found::Token(token), None)),
                State::Flying(follower) => Ok((Found::Follow(follower), None)),
                State::Failed(error) => Err(error),
                State::Due(token) => {
                    let (_, takeoff) = self.begin(entry, identity, now)?;
                    Ok((Found::Token(token), takeoff))
                }
                State::Empty => self.begin(entry, identity, now),
            }
        })
    }

    fn replace(
        self: &Arc<Self>,
        identity: &Identity,
        rejected: &Arc<AccessToken>,
        now: Now,
    ) -> Result<Found, TokenError> {
        self.change(identity, now, |entry| {
            if let Some(token) = entry.usable(now)
                && !Arc::ptr_eq(token, rejected)
            {
                return Ok((Found::Token(Arc::clone(token)), None));
            }
            if let Some(flight) = &entry.flight {
                return Ok((Found::Follow(flight.join()), None));
            }
            let recent = |at: Duration| now.elapsed < at + RENEWAL_PAUSE;
            if entry.renewed_at.is_some_and(recent) {
                return Err(TokenError::RenewedRecently);
            }
            if let Some(error) = entry.failure(now, &self.breaker) {
                return Err(error);
            }
            let begun = self.begin(entry, identity, now)?;
            entry.held = None;
            entry.renewed_at = Some(now.elapsed);
            Ok(begun)
        })
    }

    /// Changes the entry of `identity`, and launches what comes of it once its guard is gone.
    fn change(
        self: &Arc<Self>,
        identity: &Identity,
        now: Now,
        step: impl FnOnce(&mut Entry) -> Step,
    ) -> Result<Found, TokenError> {
        let before = self.len();
        let changed = self.entries.update_or_insert(identity, now, step);
        let Ok((step, evicted)) = changed else {
            self.failures.tell(&TokenError::Overloaded, now.elapsed);
            return Err(TokenError::Overloaded);
        };
        if let Some(evicted) = evicted {
            self.users.forget(&evicted);
        }
        let (found, takeoff) = step?;
        if let Some(takeoff) = takeoff {
            if let Some(out) = &takeoff.out {
                self.entries.remove(out);
            }
            takeoff.launch(self, identity);
        }
        if self.len() != before {
            self.metrics.cache_entries(self.len());
        }
        Ok(found)
    }

    /// Marks `entry` as having a mint under way, if one is allowed.
    fn begin(&self, entry: &mut Entry, identity: &Identity, now: Now) -> Step {
        let gate = || self.breaker.admit(now.elapsed);
        let (pass, out) = self.users.admit(identity, now.elapsed, gate)?;
        let id = self.flights.fetch_add(1, Ordering::Relaxed);
        let (flight, outcome) = Flight::new(id);
        let follower = flight.join();
        entry.flight = Some(flight);
        let takeoff = Takeoff {
            id,
            pass,
            outcome,
            out,
        };
        Ok((Found::Follow(follower), Some(takeoff)))
    }

    /// Waits for what was found.
    async fn complete(
        self: &Arc<Self>,
        identity: &Identity,
        found: Result<Found, TokenError>,
    ) -> Result<Arc<AccessToken>, TokenError> {
        let mut found = found;
        // A flight whose worker ended has no outcome: its followers begin one of their own, once.
        for _ in 0..2 {
            match found? {
                Found::Token(token) => return Ok(token),
                Found::Follow(follower) => match follower.outcome().await {
                    Some(outcome) => return outcome,
                    None => found = self.obtain(identity, self.clock.now()),
                },
            }
        }
        Err(TokenError::Internal)
    }
}

#[cfg(test)]
mod tests;
