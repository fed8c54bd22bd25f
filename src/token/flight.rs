//! One mint under way, and those who wait for it.
//!
//! Guarantees: everyone who waits gets the same outcome, and nobody waits for a mint that is gone:
//! when its sender is dropped without an outcome, waiting ends with `None`.

use std::sync::Arc;

use tokio::sync::watch;

use super::{AccessToken, TokenError};

/// What a mint came to, shared by all who wait for it.
pub(super) type Outcome = Result<Arc<AccessToken>, TokenError>;

/// A mint under way, as its cache entry knows it.
pub(super) struct Flight {
    id: u64,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// One who waits for a flight.
pub(super) struct Follower(watch::Receiver<Option<Outcome>>);

impl Flight {
    /// Flight number `id`, and where its outcome is to be sent.
    pub(super) fn new(id: u64) -> (Self, watch::Sender<Option<Outcome>>) {
        let (sender, outcome) = watch::channel(None);
        (Self { id, outcome }, sender)
    }

    pub(super) fn is(&self, id: u64) -> bool {
        self.id == id
    }

    pub(super) fn join(&self) -> Follower {
        Follower(self.outcome.clone())
    }
}

impl Follower {
    /// Waits for the outcome; `None` if the flight ended without one, because its worker did.
    pub(super) async fn outcome(mut self) -> Option<Outcome> {
        let outcome = self.0.wait_for(Option::is_some).await.ok()?;
        (*outcome).clone()
    }
}
