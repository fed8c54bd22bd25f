//! The keys of an issuer that is called for them.
//!
//! Guarantees: a request whose key is known never waits; keys are kept while the issuer is down, or
//! says that it has none; there
//! is one call at a time, in a task of its own, so that whoever leaves cancels it for nobody; keys that
//! nobody knows cause at most one call in 30 s.

mod fetch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;
use tokio::sync::watch;

use self::fetch::{Endpoint, FetchError};
use super::super::error::{Asked, Cause, InvalidReason, Refusal};
use super::{KeySet, SignedBuildError};
use crate::client::Outbound;
use crate::clock::{self, Now};

/// Unknown keys are asked for this often at most.
const UNKNOWN_EVERY: Duration = Duration::from_secs(30);

/// After a failure the issuer is called again after a second, then two, up to this.
const MAX_BACK_OFF: Duration = Duration::from_secs(30);

/// A request waits so long for keys; a call for them ends before.
const WAIT: Duration = Duration::from_secs(6);

/// A failure that goes on is told this often.
const TELL_EVERY: Duration = Duration::from_mins(5);

/// How it stands with an issuer's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IssuerStatus {
    /// How many are held; `None`: none were ever had.
    pub keys: Option<usize>,
    /// Calls that brought keys, since this was asked last.
    pub succeeded: u64,
    /// Calls that did not.
    pub failed: u64,
}

/// An issuer; cheap to clone.
#[derive(Clone)]
pub(super) struct Issuer(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    refresh: Duration,
    state: Mutex<State>,
    /// Told when a call has ended.
    landed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// Why the last call brought nothing.
    fault: Option<Cause>,
    failures: u32,
    in_flight: bool,
    /// When the next call is due, on the monotonic clock.
    due: Duration,
    /// When an unknown key last caused a call.
    asked_for_unknown: Option<Duration>,
    /// When a failure was last told.
    told: Option<Duration>,
    succeeded: u64,
    failed: u64,
}

#[derive(Clone)]
struct Held {
    keys: Arc<KeySet>,
    version: u64,
}

/// What a request with some key does next.
enum Next {
    Known(Held),
    Wait(watch::Receiver<()>),
    Refused(Refusal),
}

impl Issuer {
    pub(super) fn new(
        url: &Uri,
        refresh: Duration,
        outbound: &Outbound,
    ) -> Result<Self, SignedBuildError> {
        Ok(Self(Arc::new(Inner {
            endpoint: Endpoint::new(url, outbound)?,
            refresh,
            state: Mutex::default(),
            landed: watch::Sender::new(()),
        })))
    }

    /// The keys, among which the one called `key_id` is, and their version.
    pub(super) async fn keys(
        &self,
        key_id: Option<&str>,
        now: Now,
    ) -> Result<(Arc<KeySet>, u64), Refusal> {
        let held = match self.next(key_id, now) {
            Next::Known(held) => held,
            Next::Refused(refusal) => return Err(refusal),
            Next::Wait(mut landed) => {
                if tokio::time::timeout(WAIT, landed.changed()).await.is_err() {
                    return Err(unavailable(Arc::new(FetchError::Late)));
                }
                self.0.state().known(key_id)?
            }
        };
        Ok((held.keys, held.version))
    }

    /// The version of the keys; `None` if there are none yet.
    pub(super) fn version(&self) -> Option<u64> {
        self.0.state().held.as_ref().map(|held| held.version)
    }

    /// Calls the issuer, if it is time for that.
    pub(super) fn tend(&self, now: Now) {
        let mut state = self.0.state();
        if !state.in_flight && now.elapsed >= state.due {
            self.launch(&mut state, now);
        }
    }

    /// Takes over what `previous` holds, if it is of the same address.
    pub(super) fn adopt(&self, previous: &Self) {
        if self.0.endpoint.url() != previous.0.endpoint.url() {
            return;
        }
        let (held, due, asked, told) = {
            let state = previous.0.state();
            (
                state.held.clone(),
                state.due,
                state.asked_for_unknown,
                state.told,
            )
        };
        let mut state = self.0.state();
        state.held = held;
        state.due = due;
        state.asked_for_unknown = asked;
        state.told = told;
    }

    pub(super) fn status(&self) -> IssuerStatus {
        let mut state = self.0.state();
        IssuerStatus {
            keys: state.held.as_ref().map(|held| held.keys.len()),
            succeeded: std::mem::take(&mut state.succeeded),
            failed: std::mem::take(&mut state.failed),
        }
    }

    fn next(&self, key_id: Option<&str>, now: Now) -> Next {
        let mut state = self.0.state();
        let verdict = state.known(key_id);
        if let Ok(held) = verdict {
            return Next::Known(held);
        }
        if !state.in_flight && state.may_ask(now) {
            if state.held.is_some() {
                state.asked_for_unknown = Some(now.elapsed);
            }
            self.launch(&mut state, now);
        }
        match verdict {
            // Subscribed under the lock, so that the end of the call cannot be missed.
            _ if state.in_flight => Next::Wait(self.0.landed.subscribe()),
            Ok(held) => Next::Known(held),
            Err(refusal) => Next::Refused(refusal),
        }
    }

    fn launch(&self, state: &mut State, now: Now) {
        state.in_flight = true;
        let flight = Flight {
            inner: Arc::clone(&self.0),
            started: now,
            at: clock::monotonic(),
            result: Err(FetchError::Aborted),
        };
        tokio::spawn(flight.fly());
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The keys, if the one called `key_id` is among them.
    fn known(&self, key_id: Option<&str>) -> Result<Held, Refusal> {
        match (&self.held, &self.fault) {
            (Some(held), _) if held.keys.knows(key_id) => Ok(held.clone()),
            (_, Some(fault)) => Err(unavailable(Arc::clone(fault))),
            (Some(_), None) => Err(InvalidReason::UnknownKey.into()),
            (None, None) => Err(unavailable(Arc::new(FetchError::Aborted))),
        }
    }

    /// Whether there is a key.
    fn holds_some(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !held.keys.is_empty())
    }

    /// Whether a request may cause a call.
    fn may_ask(&self, now: Now) -> bool {
        match (&self.held, self.asked_for_unknown) {
            (None, _) => now.elapsed >= self.due,
            (Some(_), None) => true,
            (Some(_), Some(asked)) => now.elapsed >= asked.saturating_add(UNKNOWN_EVERY),
        }
    }

    /// Keys came.
    fn succeed(&mut self, keys: KeySet, url: &Uri) {
        self.succeeded += 1;
        self.failures = 0;
        let version = match &self.held {
            Some(held) if held.keys.is_same(&keys) => held.version,
            Some(held) => {
                tracing::info!(%url, keys = keys.len(), "the issuer's keys have changed");
                held.version + 1
            }
            None => {
                tracing::info!(%url, keys = keys.len(), "the issuer's keys are here");
                0
            }
        };
        if self.fault.take().is_some() && self.told.take().is_some() {
            tracing::info!(%url, keys = keys.len(), "the issuer answers again");
        }
        self.held = Some(Held {
            keys: Arc::new(keys),
            version,
        });
    }

    /// No keys came; how long the next call waits.
    fn fail(&mut self, fault: FetchError, url: &Uri, now: Duration) -> Duration {
        self.failed += 1;
        let doubled = 1_u32 << self.failures.min(5);
        self.failures = self.failures.saturating_add(1);
        let is_due = self.told.is_none_or(|told| now >= told + TELL_EVERY);
        if is_due {
            self.told = Some(now);
            let kept = self.held.as_ref().map_or(0, |held| held.keys.len());
            tracing::warn!(%url, kept, error = fault.in_words(), "the issuer's keys cannot be fetched");
        }
        self.fault = Some(Arc::new(fault));
        Duration::from_secs(1)
            .saturating_mul(doubled)
            .min(MAX_BACK_OFF)
    }
}

fn unavailable(cause: Cause) -> Refusal {
    Refusal::Unavailable(Asked::Issuer, cause)
}

/// One call; whatever becomes of it, its end is told.
struct Flight {
    inner: Arc<Inner>,
    started: Now,
    at: std::time::Instant,
    result: Result<KeySet, FetchError>,
}

impl Flight {
    async fn fly(mut self) {
        self.result = self.inner.endpoint.fetch().await;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let result = std::mem::replace(&mut self.result, Err(FetchError::Aborted));
        let lasted = clock::monotonic().duration_since(self.at);
        let now = self.started.elapsed.saturating_add(lasted);
        let url = self.inner.endpoint.url();
        let mut state = self.inner.state();
        state.in_flight = false;
        let pause = match result {
            // A set that has become empty is an accident more often than the end of every session.
            Ok(keys) if keys.is_empty() && state.holds_some() => state
                .fail(FetchError::Empty, url, now)
                .min(self.inner.refresh),
            Ok(keys) => {
                state.succeed(keys, url);
                self.inner.refresh
            }
            Err(fault) => state.fail(fault, url, now).min(self.inner.refresh),
        };
        state.due = now.saturating_add(pause);
        drop(state);
        self.inner.landed.send_replace(());
    }
}
