//! Hears of a revocation while an answer is under way.
//!
//! Nobody is registered anywhere: a [`Watch`] compares one counter, and asks anew where it has moved.
//! Who sleeps waits for a bell, a token that is cancelled and replaced. There are several, one for each
//! worker as a rule, so that requests do not queue for one lock; and they are children of the token
//! that ends all streams, so that one wait hears of both.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::{Revocations, Revoked};
use crate::identity::{SessionId, UserId};

/// Bells; threads beyond share.
const BELLS: usize = 16;

/// A session as far as a revocation can name it.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Whose it is.
    pub user: UserId,
    /// Its own stable claim.
    pub claim: Option<Arc<str>>,
    /// The session id that was derived for it.
    pub session_id: Option<SessionId>,
    /// When it says it was issued, in Unix seconds.
    pub issued_at: Option<f64>,
}

/// Looks out for the end of one session, for as long as an answer to it lasts.
pub struct Watch {
    revocations: Arc<Revocations>,
    holder: Holder,
    /// The epoch of the last verdict.
    seen: u64,
}

impl Watch {
    pub(super) fn new(revocations: Arc<Revocations>, holder: Holder, seen: u64) -> Self {
        Self {
            revocations,
            holder,
            seen,
        }
    }

    /// The verdict, if it may have changed since the last look; one atomic load where it cannot have.
    ///
    /// # Errors
    /// The session was revoked.
    pub fn look(&mut self) -> Result<(), Revoked> {
        let epoch = self.revocations.epoch.load(Ordering::Acquire);
        if epoch == self.seen {
            return Ok(());
        }
        self.seen = epoch;
        let now = self.revocations.clock.now();
        self.revocations.verdict(&self.holder, now)
    }

    /// Cancelled when it is time to [`look`](Self::look) again, or when all streams must end
    /// ([`is_cut`](Self::is_cut)). Take it before the look: then nothing is missed in between.
    #[must_use]
    pub fn bell(&self) -> CancellationToken {
        self.revocations.bells.current()
    }

    /// Whether all live streams must end.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.revocations.bells.cut.is_cancelled()
    }

    /// Returns when the session is revoked, which may be never.
    pub async fn revoked(&mut self) -> Revoked {
        loop {
            let bell = self.bell();
            if let Err(revoked) = self.look() {
                return revoked;
            }
            bell.cancelled().await;
            if self.is_cut() {
                return std::future::pending().await;
            }
        }
    }
}

/// What those who sleep wait for.
pub(super) struct Bells {
    cut: CancellationToken,
    bells: [Mutex<CancellationToken>; BELLS],
}

impl Bells {
    pub(super) fn new(cut: CancellationToken) -> Self {
        let bells = std::array::from_fn(|_| Mutex::new(cut.child_token()));
        Self { cut, bells }
    }

    /// Wakes everyone.
    pub(super) fn ring(&self) {
        for bell in &self.bells {
            let next = self.cut.child_token();
            let rung = {
                let mut bell = bell.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::replace(&mut *bell, next)
            };
            rung.cancel();
        }
    }

    /// The bell of this thread.
    fn current(&self) -> CancellationToken {
        let bell = self.bells.get(place() % BELLS);
        bell.map_or_else(
            || self.cut.clone(),
            |bell| bell.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        )
    }
}

/// This thread's number.
fn place() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    PLACE.with(|place| *place)
}
