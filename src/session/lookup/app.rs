//! The app, and what it has said a moment ago.
//!
//! Guarantees: one question at a time for a cookie and a front, which everyone shares who needs its
//! answer, its failure too; so many at a time for all, and so many that wait; made-up cookies push no
//! user's answer out of memory, which is bounded in entries and in bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use tokio::sync::Semaphore;

use super::answer::{Keeping, Outcome, Paths};
use super::asking::Asking;
use super::failure::{AppFailure, FailureLog};
use super::question::Question;
use super::{Count, LookupBuildError, LookupConfig};
use crate::client::{Client, ClientConfig, ClientError, Outbound};
use crate::clock::Now;
use crate::flight::{Flight, Follower};
use crate::session::ProviderKind;
use crate::session::error::Refusal;
use crate::session::fingerprint::{Fingerprint, Fingerprints};
use crate::session::remembered::Remembered;
use crate::telemetry::labels::{LookupCacheOutcome, LookupOutcome};

/// Questions at a time; the others wait in order.
const PLACES: usize = 64;

/// Questions under way, those that wait included.
const MAX_FLIGHTS: usize = 4096;

/// An answer beyond this is not read.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Node closes an idle connection after 5 s: it is not used so late that the two cross.
const POOL_IDLE: Duration = Duration::from_secs(4);
const POOL_MAX_AGE: Duration = Duration::from_mins(5);

/// Answers with a user, and the bytes that they may take.
const KNOWN: (usize, usize) = (50_000, 64 << 20);

/// Answers without one, and failures: apart, so that made-up cookies push no user's out.
const OTHERS: (usize, usize) = (10_000, 4 << 20);

/// A question has its own deadline; who waits for it goes so much later, should its worker hang.
const GRACE: Duration = Duration::from_millis(100);

/// An app that is asked.
pub(super) struct App {
    pub(super) count: Count,
    pub(super) log: FailureLog,
    pub(super) paths: Paths,
    pub(super) places: Semaphore,
    pub(super) timeout: Duration,
    client: Client,
    path: Uri,
    keeping: Keeping,
    names: Fingerprints,
    known: Remembered<Kept>,
    others: Remembered<Kept>,
    flights: Mutex<Flights>,
}

/// An outcome, and until when it holds (monotonic).
#[derive(Clone)]
struct Kept {
    outcome: Outcome,
    until: Duration,
}

#[derive(Default)]
struct Flights {
    under_way: HashMap<Fingerprint, Flight<Outcome>>,
    next: u64,
}

/// What there is at once.
enum Found {
    Outcome(Outcome),
    Follow(Follower<Outcome>),
}

impl App {
    pub(super) fn new(
        kind: ProviderKind,
        config: &LookupConfig,
        url: &Uri,
        user_claim: &[String],
        outbound: &Outbound,
    ) -> Result<Self, LookupBuildError> {
        let timeout = config.timeout;
        let client = ClientConfig {
            connect_timeout: timeout,
            first_byte_timeout: timeout,
            pool_idle_timeout: POOL_IDLE,
            pool_max_age: POOL_MAX_AGE,
            workers: outbound.workers(),
        };
        let path = url.path_and_query().cloned();
        Ok(Self {
            count: Count::new(kind.label()),
            log: FailureLog::default(),
            paths: Paths {
                user: user_claim.to_vec(),
                expires: config.expires_claim.clone(),
                active: config.active_claim.clone(),
            },
            places: Semaphore::new(PLACES),
            timeout,
            client: outbound.client(url, client)?,
            path: path.map_or_else(|| Uri::from_static("/"), Uri::from),
            keeping: Keeping {
                known: config.cache,
                refused: config.negative_cache,
            },
            names: Fingerprints::new().map_err(|_| LookupBuildError::Random)?,
            known: Remembered::new(KNOWN.0, KNOWN.1),
            others: Remembered::new(OTHERS.0, OTHERS.1),
            flights: Mutex::default(),
        })
    }

    /// What it says to `question`: from memory, else when it has answered.
    pub(super) async fn ask(self: &Arc<Self>, question: &Question<'_>, now: Now) -> Outcome {
        let name = question.fingerprint(&self.names);
        if let Some(outcome) = self.remembered(&name, now) {
            self.found(match &outcome {
                Ok(_) => LookupCacheOutcome::Hit,
                Err(Refusal::Unavailable(..)) => LookupCacheOutcome::Failed,
                Err(_) => LookupCacheOutcome::Negative,
            });
            return outcome;
        }
        let answer = self.answer(name, question, now);
        match tokio::time::timeout(self.timeout + GRACE, answer).await {
            Ok(outcome) => outcome,
            Err(_) => Err(AppFailure::Late(self.timeout).refusal(None)),
        }
    }

    /// Closes connections that can no longer be used.
    pub(super) fn sweep_connections(&self) {
        self.client.sweep();
    }

    /// One call; once more where the connection ended without an answer: a GET can be repeated.
    pub(super) async fn call(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, ClientError> {
        let again = request.clone();
        let exchange = |request| self.client.exchange(request, ANSWER_LIMIT, self.timeout);
        match exchange(request).await {
            Err(ClientError::Closed(_)) => exchange(again).await,
            answer => answer,
        }
    }

    /// Keeps `outcome`, asked for at `asked` and there at `landed`, and ends flight number `id`.
    pub(super) fn land(
        &self,
        name: Fingerprint,
        id: u64,
        outcome: &Outcome,
        asked: Duration,
        landed: Duration,
    ) {
        let until = self.keeping.until(outcome, asked, landed);
        if until > landed {
            let outcome = outcome.clone();
            match &outcome {
                Ok(known) => {
                    let bytes = known.payload.len();
                    self.known.insert(name, Kept { outcome, until }, bytes);
                }
                Err(_) => self.others.insert(name, Kept { outcome, until }, 64),
            }
        }
        self.end(name, id);
    }

    /// Ends flight number `id`.
    pub(super) fn end(&self, name: Fingerprint, id: u64) {
        let mut flights = self.flights();
        let is_own = |flight: &Flight<Outcome>| flight.is(id);
        if flights.under_way.get(&name).is_some_and(is_own) {
            flights.under_way.remove(&name);
        }
    }

    /// What is kept and still holds.
    fn remembered(&self, name: &Fingerprint, now: Now) -> Option<Outcome> {
        let holds = |kept: &Kept| {
            let ends = kept.outcome.as_ref().ok().and_then(|known| known.ends);
            now.elapsed < kept.until && ends.is_none_or(|ends| now.unix.as_secs_f64() < ends)
        };
        let known = self.known.get(name).filter(holds);
        let kept = known.or_else(|| self.others.get(name).filter(holds));
        kept.map(|kept| kept.outcome)
    }

    async fn answer(
        self: &Arc<Self>,
        name: Fingerprint,
        question: &Question<'_>,
        now: Now,
    ) -> Outcome {
        // A flight whose worker ended has no outcome: its followers begin one of their own, once.
        for _ in 0..2 {
            match self.join_or_begin(name, question, now) {
                Found::Outcome(outcome) => return outcome,
                Found::Follow(follower) => {
                    if let Some(outcome) = follower.outcome().await {
                        return outcome;
                    }
                }
            }
        }
        Err(AppFailure::Internal.refusal(None))
    }

    fn join_or_begin(
        self: &Arc<Self>,
        name: Fingerprint,
        question: &Question<'_>,
        now: Now,
    ) -> Found {
        let mut flights = self.flights();
        if let Some(flight) = flights.under_way.get(&name) {
            self.found(LookupCacheOutcome::Joined);
            return Found::Follow(flight.join());
        }
        // It may have landed since it was looked for.
        if let Some(outcome) = self.remembered(&name, now) {
            self.found(LookupCacheOutcome::Joined);
            return Found::Outcome(outcome);
        }
        if flights.under_way.len() >= MAX_FLIGHTS {
            drop(flights);
            return Found::Outcome(self.refuse());
        }
        let Some(request) = question.request(&self.path) else {
            return Found::Outcome(Err(AppFailure::Internal.refusal(None)));
        };
        self.found(LookupCacheOutcome::Miss);
        let id = flights.next;
        flights.next += 1;
        let (flight, sender) = Flight::new(id);
        let follower = flight.join();
        flights.under_way.insert(name, flight);
        drop(flights);
        Asking::new(Arc::clone(self), name, id, sender).launch(request, now);
        Found::Follow(follower)
    }

    /// There is no place for another question.
    fn refuse(&self) -> Outcome {
        let refusal = AppFailure::Busy.refusal(None);
        let outcome = LookupOutcome::Overloaded;
        self.log.tell(self.count.provider, &refusal, outcome);
        if let Some(metrics) = self.count.metrics() {
            metrics.lookup(self.count.provider, outcome, Duration::ZERO);
        }
        Err(refusal)
    }

    fn found(&self, outcome: LookupCacheOutcome) {
        if let Some(metrics) = self.count.metrics() {
            metrics.lookup_cache(self.count.provider, outcome);
        }
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl App {
    /// As if `question` had been asked and answered at `at`.
    pub(super) fn land_as(&self, question: &Question<'_>, outcome: &Outcome, at: Duration) {
        self.land(question.fingerprint(&self.names), 0, outcome, at, at);
    }

    /// Whether the answer to `question` is known at `now`.
    pub(super) fn remembers(&self, question: &Question<'_>, now: Now) -> bool {
        let name = question.fingerprint(&self.names);
        self.remembered(&name, now).is_some()
    }
}
