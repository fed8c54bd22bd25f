//! Revocations that all replicas know, through the store that they share.
//!
//! Guarantees: a revocation that one replica has published is in force on all that reach the store within
//! half a second, and on one that starts later or was cut off as soon as it reaches it; what a replica has
//! is published again when the store has changed or forgotten; lifting is told like revoking, and what was
//! lifted does not come back. While the store is away each replica holds what it knows.
//!
//! In the store users and sessions stand by name, until the revocation ends: requests are compared with
//! them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::{Order, Revocation, RevocationId, Revocations, Subject};
use crate::budget::store::{Known, SharedLog};
use crate::clock::Clock;

/// Between two questions for news.
const POLL: Duration = Duration::from_millis(250);

/// What came from another replica.
#[derive(Clone, Debug)]
pub enum Heard {
    /// It is in force.
    Revoked(Arc<Revocation>),
    /// It no longer is.
    Lifted(Arc<Revocation>),
}

/// Publishes this replica's revocations, and puts the others' in force.
pub struct SharedRevocations {
    log: SharedLog,
    revocations: Arc<Revocations>,
    clock: Clock,
    heard: Box<dyn Fn(Heard) + Send + Sync>,
    unpublished: Mutex<Vec<Entry>>,
    news: Notify,
}

impl fmt::Debug for SharedRevocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRevocations").finish_non_exhaustive()
    }
}

impl SharedRevocations {
    /// `heard` is told of what comes from others, after it is done; it must not wait.
    #[must_use]
    pub fn new(
        log: SharedLog,
        revocations: Arc<Revocations>,
        clock: Clock,
        heard: Box<dyn Fn(Heard) + Send + Sync>,
    ) -> Self {
        Self {
            log,
            revocations,
            clock,
            heard,
            unpublished: Mutex::default(),
            news: Notify::new(),
        }
    }

    /// All replicas are to know of `revocation`, which is in force here. Returns at once.
    pub fn publish(&self, revocation: &Revocation) {
        self.unpublished().push(Entry::of(revocation, false));
        self.news.notify_one();
    }

    /// All replicas are to know that `revocation` was lifted here. Returns at once.
    pub fn publish_lifted(&self, revocation: &Revocation) {
        self.unpublished().push(Entry::of(revocation, true));
        self.news.notify_one();
    }

    /// Publishes and hears; runs for ever.
    pub async fn run(&self) {
        let (mut known, mut generation) = (Known::default(), 0);
        loop {
            self.log.established().await;
            let current = self.log.generation();
            let is_other = current != generation;
            if is_other {
                known = Known::default();
            }
            let Some(heard) = self.hear(known.clone()).await else {
                // Not at once: the store may answer others and refuse this.
                sleep(POLL).await;
                continue;
            };
            if is_other || heard.log != known.log {
                // After it was heard what was lifted meanwhile.
                self.publish_all();
                generation = current;
            }
            known = heard;
            self.tell().await;
            let _ = timeout(POLL, self.news.notified()).await;
        }
    }

    /// Puts in force what came after `known`; what is known then.
    async fn hear(&self, mut known: Known) -> Option<Known> {
        // So that a store which always has more does not keep this from publishing.
        for _ in 0..1000 {
            let news = self.log.since(&known).await?;
            for text in &news.entries {
                self.apply(text);
            }
            known = news.known;
            if news.entries.is_empty() {
                break;
            }
        }
        Some(known)
    }

    fn apply(&self, text: &str) {
        let json = text.get(1..).unwrap_or_default();
        let Some(entry) = serde_json::from_str::<Entry>(json).ok() else {
            tracing::error!("the shared store has a revocation that cannot be read");
            return;
        };
        let Some((id, order)) = entry.order() else {
            tracing::error!("the shared store has a revocation of nobody");
            return;
        };
        if entry.is_lifted {
            let lifted = self.revocations.lift_of(id, &order.subject);
            if let Some(lifted) = lifted {
                (self.heard)(Heard::Lifted(lifted));
            }
            return;
        }
        let (made, ends) = (micros(entry.at), micros(entry.ends));
        match self
            .revocations
            .adopt(id, order, made, ends, self.clock.now())
        {
            Ok(Some(revocation)) => (self.heard)(Heard::Revoked(revocation)),
            Ok(None) => {}
            Err(full) => tracing::error!(%full, "another replica's revocation is not in force"),
        }
    }

    fn publish_all(&self) {
        let held = self.revocations.list(None, usize::MAX, self.clock.now());
        let entries = held.iter().map(|revocation| Entry::of(revocation, false));
        let mut unpublished = self.unpublished();
        // Before what waits: that may be their lifting.
        let waiting = std::mem::take(&mut *unpublished);
        *unpublished = entries.chain(waiting).collect();
    }

    async fn tell(&self) {
        let entries = std::mem::take(&mut *self.unpublished());
        let mut rest = entries.into_iter();
        while let Some(entry) = rest.next() {
            let Ok(json) = serde_json::to_string(&entry) else {
                continue;
            };
            let sign = if entry.is_lifted { '-' } else { '+' };
            let ends_at = entry.ends.div_ceil(1_000_000);
            let text = format!("{sign}{json}");
            if !self.log.publish(&entry.name(), &text, ends_at).await {
                let mut unpublished = self.unpublished();
                let newer = std::mem::take(&mut *unpublished);
                *unpublished = std::iter::once(entry).chain(rest).chain(newer).collect();
                return;
            }
        }
    }

    fn unpublished(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.unpublished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A revocation as it stands in the store. Times are microseconds since the Unix epoch.
#[derive(Serialize, Deserialize)]
struct Entry {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Box<str>>,
    at: u64,
    ends: u64,
    is_lifted: bool,
}

impl Entry {
    fn of(revocation: &Revocation, is_lifted: bool) -> Self {
        let (user, session) = match &revocation.subject {
            Subject::User(user) => (Some(user.as_str().to_owned()), None),
            Subject::Session(name) => (None, Some(name.as_str().to_owned())),
        };
        let as_micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            id: revocation.id.to_string(),
            user,
            session,
            before: revocation.before.map(as_micros),
            reason: revocation.reason.clone(),
            at: as_micros(revocation.revoked_at),
            ends: as_micros(revocation.ends_at()),
            is_lifted,
        }
    }

    /// Ids are times: two replicas may give the same to two subjects.
    fn name(&self) -> String {
        let (user, session) = (self.user.as_deref(), self.session.as_deref());
        let kind = if user.is_some() { 'u' } else { 's' };
        format!(
            "{} {kind} {}",
            self.id,
            user.or(session).unwrap_or_default()
        )
    }

    fn order(&self) -> Option<(RevocationId, Order)> {
        let subject = match (&self.user, &self.session) {
            (Some(user), None) => Subject::user(user).ok()?,
            (None, Some(session)) => Subject::session(session).ok()?,
            _ => return None,
        };
        let order = Order {
            subject,
            before: self.before.map(micros),
            reason: self.reason.clone(),
        };
        Some((self.id.parse().ok()?, order))
    }
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}
