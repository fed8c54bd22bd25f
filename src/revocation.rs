//! Sessions that an operator has ended, whatever their cookies still say.
//!
//! Guarantees: a session that a revocation covers is refused from the moment on at which
//! [`Revocations::revoke`] returns, and every answer under way to one is told ([`Watch`]); revocations
//! of one user or session combine, the strictest holds, and lifting one leaves the others; each ends by
//! itself; none is dropped for another, since there is a bound and what is over it is refused; without
//! any revocation the question costs one atomic load.
//!
//! All of it is in the memory of one process. Requests ask nothing but this memory, so that a store
//! which several replicas share only has to feed it: [`SharedRevocations`] does, through
//! [`Revocations::adopt`] and [`Revocations::lift`].

mod entry;
mod shared;
mod watch;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Now};
use crate::identity::UserId;

pub use entry::{Order, Revocation, RevocationId, Revoked, Subject, SubjectError};
pub use shared::{Heard, SharedRevocations};
pub use watch::{Holder, Watch};

use watch::Bells;

/// Revocations held at once.
const MAX: usize = 100_000;

/// Between two calls to everyone who waits: many revocations in a row wake them once.
const BETWEEN_CALLS: Duration = Duration::from_millis(50);

/// The revocations in force. Shared by all workers, and kept across reloads.
pub struct Revocations {
    clock: Clock,
    max: usize,
    ledger: Mutex<Ledger>,
    users: DashMap<UserId, Ranked>,
    sessions: DashMap<Arc<str>, Ranked>,
    held: AtomicUsize,
    /// Moves with each new revocation, after it is in force.
    epoch: AtomicU64,
    /// Someone is to be woken.
    news: Notify,
    bells: Bells,
}

/// All revocations by age, and the newest id that was ever given. Locked before a shard of the maps,
/// never after, and not by requests.
#[derive(Default)]
struct Ledger {
    newest: RevocationId,
    by_id: BTreeMap<RevocationId, Arc<Revocation>>,
}

/// There are as many revocations as can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} revocations are held, as many as there can be: lift some, or wait until they end")]
pub struct Full(usize);

impl Revocations {
    /// None yet. `cut` is cancelled when all live streams must end; whoever watches hears that too.
    #[must_use]
    pub fn new(clock: Clock, cut: CancellationToken) -> Arc<Self> {
        Arc::new(Self::with_room(MAX, clock, cut))
    }

    fn with_room(max: usize, clock: Clock, cut: CancellationToken) -> Self {
        Self {
            clock,
            max,
            ledger: Mutex::default(),
            users: DashMap::new(),
            sessions: DashMap::new(),
            held: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
            news: Notify::new(),
            bells: Bells::new(cut),
        }
    }

    /// Ends sessions for `lasting` from `now` on.
    ///
    /// # Errors
    /// [`Full`].
    pub fn revoke(
        &self,
        order: Order,
        lasting: Duration,
        now: Now,
    ) -> Result<Arc<Revocation>, Full> {
        let mut ledger = self.ledger();
        self.make_room(&mut ledger, now)?;
        ledger.newest = ledger.newest.next(now);
        let revocation = Revocation::new(ledger.newest, order, lasting, now);
        Ok(self.enforce(ledger, revocation))
    }

    /// Puts in force what another replica has ordered; none where it is in force here, or has ended.
    ///
    /// # Errors
    /// [`Full`].
    pub fn adopt(
        &self,
        id: RevocationId,
        order: Order,
        revoked_at: Duration,
        ends_at: Duration,
        now: Now,
    ) -> Result<Option<Arc<Revocation>>, Full> {
        let mut adopted = Revocation::of_another(id, order, revoked_at, ends_at, now);
        if adopted.has_ended(now) {
            return Ok(None);
        }
        let mut ledger = self.ledger();
        if let Some(held) = ledger.by_id.get(&id) {
            if held.is_same(&adopted) {
                return Ok(None);
            }
            // Ids are times: another replica gave the same one to something else.
            if ledger.by_id.values().any(|held| held.is_same(&adopted)) {
                return Ok(None);
            }
            adopted.id = ledger.newest.next(now);
        }
        self.make_room(&mut ledger, now)?;
        ledger.newest = ledger.newest.max(adopted.id);
        Ok(Some(self.enforce(ledger, adopted)))
    }

    fn make_room(&self, ledger: &mut Ledger, now: Now) -> Result<(), Full> {
        if ledger.by_id.len() >= self.max {
            self.end_past(ledger, now);
        }
        if ledger.by_id.len() >= self.max {
            return Err(Full(self.max));
        }
        Ok(())
    }

    fn enforce(
        &self,
        mut ledger: MutexGuard<'_, Ledger>,
        revocation: Revocation,
    ) -> Arc<Revocation> {
        let revocation = Arc::new(revocation);
        let ranked = Arc::clone(&revocation);
        match &revocation.subject {
            Subject::User(user) => self.users.entry(user.clone()).or_default().add(ranked),
            Subject::Session(name) => {
                let name = Arc::clone(name.as_arc());
                self.sessions.entry(name).or_default().add(ranked);
            }
        }
        let kept = Arc::clone(&revocation);
        ledger.by_id.insert(revocation.id, kept);
        self.held.store(ledger.by_id.len(), Ordering::Release);
        drop(ledger);
        self.epoch.fetch_add(1, Ordering::Release);
        self.news.notify_one();
        revocation
    }

    /// Takes a revocation back; `None` if there is none of this id.
    pub fn lift(&self, id: RevocationId) -> Option<Arc<Revocation>> {
        let mut ledger = self.ledger();
        let lifted = ledger.by_id.remove(&id)?;
        self.unrank(&lifted);
        self.held.store(ledger.by_id.len(), Ordering::Release);
        Some(lifted)
    }

    /// Takes back the revocation of this id if it is one of `subject`.
    pub(in crate::revocation) fn lift_of(
        &self,
        id: RevocationId,
        subject: &Subject,
    ) -> Option<Arc<Revocation>> {
        let is_it = self.ledger().by_id.get(&id)?.subject == *subject;
        is_it.then(|| self.lift(id)).flatten()
    }

    /// Up to `most` of those in force, newest first, from the one before `older_than` on.
    #[must_use]
    pub fn list(
        &self,
        older_than: Option<RevocationId>,
        most: usize,
        now: Now,
    ) -> Vec<Arc<Revocation>> {
        let ledger = self.ledger();
        let before = older_than.unwrap_or(RevocationId::MAX);
        let newest_first = ledger.by_id.range(..before).rev().map(|(_, held)| held);
        let in_force = newest_first.filter(|held| !held.has_ended(now));
        in_force.take(most).cloned().collect()
    }

    /// How many are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops those that have ended. To be called every few seconds: it looks at all of them.
    pub fn sweep(&self, now: Now) {
        self.end_past(&mut self.ledger(), now);
    }

    /// Whether a session may be used at `now`. To go on asking for as long as an answer to it lasts,
    /// [`watch`](Self::watch).
    ///
    /// # Errors
    /// It was revoked.
    pub fn verdict(&self, holder: &Holder, now: Now) -> Result<(), Revoked> {
        if self.held.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let refused = |ranked: &Ranked| ranked.refusal(holder.issued_at, now);
        let by_name = |name: &str| {
            let ranked = self.sessions.get(name)?;
            refused(&ranked)
        };
        let by_user = self.users.get(&holder.user);
        let revoked = by_user
            .and_then(|ranked| refused(&ranked))
            .or_else(|| by_name(holder.claim.as_deref()?))
            .or_else(|| by_name(holder.session_id.as_ref()?.as_str()));
        revoked.map_or(Ok(()), Err)
    }

    /// The same verdict, and a watch over whether it lasts.
    ///
    /// # Errors
    /// It was revoked.
    pub fn watch(self: &Arc<Self>, holder: Holder, now: Now) -> Result<Watch, Revoked> {
        // Before the verdict: what comes in between is looked at again.
        let seen = self.epoch.load(Ordering::Acquire);
        self.verdict(&holder, now)?;
        Ok(Watch::new(Arc::clone(self), holder, seen))
    }

    /// Wakes whoever waits, each time there is a new revocation; runs for ever.
    pub async fn call(&self) {
        loop {
            self.news.notified().await;
            self.bells.ring();
            tokio::time::sleep(BETWEEN_CALLS).await;
        }
    }

    fn end_past(&self, ledger: &mut Ledger, now: Now) {
        let before = ledger.by_id.len();
        ledger.by_id.retain(|_, held| !held.has_ended(now));
        if ledger.by_id.len() == before {
            return;
        }
        self.users.retain(|_, ranked| ranked.is_left(now));
        self.sessions.retain(|_, ranked| ranked.is_left(now));
        self.held.store(ledger.by_id.len(), Ordering::Release);
    }

    /// Takes `revocation` out of what requests ask.
    fn unrank(&self, revocation: &Revocation) {
        let id = revocation.id;
        match &revocation.subject {
            Subject::User(user) => {
                self.users
                    .remove_if_mut(user, |_, ranked| ranked.is_empty_without(id));
            }
            Subject::Session(name) => {
                self.sessions
                    .remove_if_mut(name.as_arc(), |_, ranked| ranked.is_empty_without(id));
            }
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The revocations of one user or session, the strictest first: the first in force decides.
#[derive(Default)]
struct Ranked(Vec<Arc<Revocation>>);

impl Ranked {
    fn add(&mut self, revocation: Arc<Revocation>) {
        let place = self
            .0
            .partition_point(|held| held.strictness() >= revocation.strictness());
        self.0.insert(place, revocation);
    }

    fn refusal(&self, issued_at: Option<f64>, now: Now) -> Option<Revoked> {
        let strictest = self.0.iter().find(|held| !held.has_ended(now))?;
        let covers = strictest.covers(issued_at);
        covers.then_some(Revoked(strictest.id))
    }

    /// Drops what has ended; whether anything is left.
    fn is_left(&mut self, now: Now) -> bool {
        self.0.retain(|held| !held.has_ended(now));
        !self.0.is_empty()
    }

    fn is_empty_without(&mut self, id: RevocationId) -> bool {
        self.0.retain(|held| held.id != id);
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
