//! Waiting for what must happen: polled, and bounded by [`PATIENCE`].

use std::time::{Duration, Instant};

use super::PATIENCE;

/// Returns once `look` says so; panics with `what` after [`PATIENCE`].
pub async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let give_up = after(PATIENCE);
    while !look().await {
        assert!(!is_past(give_up), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The instant `wait` from now.
pub fn after(wait: Duration) -> Instant {
    behest_gateway::clock::monotonic() + wait
}

/// Whether `instant` has passed.
pub fn is_past(instant: Instant) -> bool {
    behest_gateway::clock::monotonic() >= instant
}
