//! One question under way, and those who wait for its outcome: a mint, or a session's lookup.
//!
//! Guarantees: everyone who waits gets the same outcome, and nobody waits for a flight that is gone:
//! when its sender is dropped without an outcome, waiting ends with `None`.

use tokio::sync::watch;

/// A flight under way, as those know it who may join it.
pub(crate) struct Flight<T> {
    id: u64,
    outcome: watch::Receiver<Option<T>>,
}

/// One who waits for a flight.
pub(crate) struct Follower<T>(watch::Receiver<Option<T>>);

impl<T: Clone> Flight<T> {
    /// Flight number `id`, and where its outcome is to be sent.
    pub(crate) fn new(id: u64) -> (Self, watch::Sender<Option<T>>) {
        let (sender, outcome) = watch::channel(None);
        (Self { id, outcome }, sender)
    }

    pub(crate) fn is(&self, id: u64) -> bool {
        self.id == id
    }

    pub(crate) fn join(&self) -> Follower<T> {
        Follower(self.outcome.clone())
    }
}

impl<T: Clone> Follower<T> {
    /// Waits for the outcome; `None` if the flight ended without one, because its task did.
    pub(crate) async fn outcome(mut self) -> Option<T> {
        let outcome = self.0.wait_for(Option::is_some).await.ok()?;
        (*outcome).clone()
    }
}
