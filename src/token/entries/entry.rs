//! What is known of one identity: its token, its mint under way, its last failure.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::flight::{Flight, Follower};

use super::super::breaker::Breaker;
use super::super::{AccessToken, Outcome, TokenError};

/// How long a failure that is not about the user stays in force.
const OUTAGE_PAUSE: Duration = Duration::from_millis(500);

/// How long the first refusal of a user stays in force; doubled with each one that follows.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

/// The longest that a refusal stays in force, and how long after that it is remembered.
const LONGEST_REFUSAL: Duration = Duration::from_secs(30);

/// A token is renewed after an upstream 401 at most once in this time.
pub(in super::super) const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

/// One identity's place in the cache.
pub(in super::super) struct Entry {
    pub(in super::super) held: Option<Held>,
    pub(in super::super) flight: Option<Flight<Outcome>>,
    pub(in super::super) failure: Option<Failure>,
    /// The last renewal after an upstream 401 (monotonic).
    pub(in super::super) renewed_at: Option<Duration>,
    /// Where it stands in the order of eviction.
    pub(super) stamp: u64,
}

/// A token in the cache.
#[derive(Clone)]
pub(in super::super) struct Held {
    pub(in super::super) token: Arc<AccessToken>,
    /// The wall clock at its end: the monotonic one stands still while a machine sleeps.
    pub(in super::super) ends: Duration,
}

/// A mint that failed.
pub(in super::super) struct Failure {
    error: TokenError,
    pause: Duration,
    until: Duration,
    generation: u64,
}

/// What an entry has to offer.
pub(in super::super) enum State {
    /// A token, early in its life.
    Fresh(Arc<AccessToken>),
    /// A usable token that it is time to renew.
    Due(Arc<AccessToken>),
    /// A usable token that is being renewed, or whose renewal has just failed.
    Aging(Arc<AccessToken>),
    /// No usable token, and a mint under way.
    Flying(Follower<Outcome>),
    /// No usable token, and a failure in force.
    Failed(TokenError),
    /// Nothing of use.
    Empty,
}

impl Entry {
    pub(super) fn new(stamp: u64) -> Self {
        Self {
            held: None,
            flight: None,
            failure: None,
            renewed_at: None,
            stamp,
        }
    }

    /// What it has to offer at `now`.
    pub(in super::super) fn state(&self, now: Now, breaker: &Breaker) -> State {
        let usable = self.usable(now);
        if let Some(token) = usable
            && now.elapsed < token.refresh_at
        {
            return State::Fresh(Arc::clone(token));
        }
        let failure = self.failure(now, breaker);
        match (usable, &self.flight, failure) {
            (Some(token), None, None) => State::Due(Arc::clone(token)),
            (Some(token), _, _) => State::Aging(Arc::clone(token)),
            (None, Some(flight), _) => State::Flying(flight.join()),
            (None, None, Some(error)) => State::Failed(error),
            (None, None, None) => State::Empty,
        }
    }

    /// Its token, unless that has ended on either clock.
    pub(in super::super) fn usable(&self, now: Now) -> Option<&Arc<AccessToken>> {
        let held = self.held.as_ref()?;
        let ended = now.elapsed >= held.token.expires_at || now.unix >= held.ends;
        (!ended).then_some(&held.token)
    }

    /// The failure that is in force.
    pub(in super::super) fn failure(&self, now: Now, breaker: &Breaker) -> Option<TokenError> {
        let failure = self.failure.as_ref()?;
        let in_force = now.elapsed < failure.until
            && (failure.error.is_about_user() || failure.generation == breaker.generation());
        in_force.then(|| failure.error.clone())
    }

    /// What another cache can take over: the token, and when it was renewed after a 401.
    pub(super) fn kept(&self, now: Now) -> Option<(Held, Option<Duration>)> {
        self.usable(now)?;
        Some((self.held.clone()?, self.renewed_at))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.flight.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_none()
            && self.flight.is_none()
            && self.failure.is_none()
            && self.renewed_at.is_none()
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_spent(&self, now: Now) -> bool {
        let renewing = |at: Duration| now.elapsed < at + RENEWAL_PAUSE;
        self.flight.is_none()
            && self.usable(now).is_none()
            && self
                .failure
                .as_ref()
                .is_none_or(|failure| failure.is_spent(now))
            && !self.renewed_at.is_some_and(renewing)
    }
}

impl Failure {
    /// `error` at `now`, after `before`, of a mint that began under `generation`.
    pub(in super::super) fn new(
        error: TokenError,
        now: Now,
        before: Option<&Self>,
        generation: u64,
    ) -> Self {
        let pause = if error.is_about_user() {
            before
                .filter(|before| before.error.is_about_user())
                .map_or(REFUSAL_PAUSE, |before| before.pause * 2)
                .min(LONGEST_REFUSAL)
        } else {
            OUTAGE_PAUSE
        };
        let until = now.elapsed + pause;
        Self {
            error,
            pause,
            until,
            generation,
        }
    }

    /// A refusal is remembered for a while after its end, so that the next one can be longer.
    fn is_spent(&self, now: Now) -> bool {
        let memory = if self.error.is_about_user() {
            LONGEST_REFUSAL
        } else {
            Duration::ZERO
        };
        now.elapsed >= self.until + memory
    }
}
