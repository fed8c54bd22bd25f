//! How long to wait before a next attempt: twice as long each time, with jitter, up to a minute.

use std::time::Duration;

/// No wait is longer.
const LONGEST: Duration = Duration::from_mins(1);

/// Waits between attempts.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    failures: u32,
}

impl Backoff {
    /// Begins with `first`.
    pub(super) fn new(first: Duration) -> Self {
        Self { first, failures: 0 }
    }

    /// An attempt failed: the wait before the next, between half and all of what it may be, so that many
    /// gateways do not come back together.
    pub(super) fn failed(&mut self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures.min(30));
        self.failures = self.failures.saturating_add(1);
        let whole = self.first.saturating_mul(doubled).min(LONGEST);
        let mut random = [0];
        // Without randomness there is no jitter, which is no reason not to try again.
        let _ = aws_lc_rs::rand::fill(&mut random);
        whole / 2 + whole / 2 * u32::from(random[0]) / 256
    }

    /// An attempt went well; whether one had failed before it.
    pub(super) fn succeeded(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }

    /// Whether the last attempt failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(500));
        for whole in [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
            let wait = backoff.failed();
            let whole = Duration::from_millis(whole);
            assert!((whole / 2..=whole).contains(&wait), "{wait:?} of {whole:?}");
        }
        assert!(backoff.is_failing());
        assert!(backoff.succeeded() && !backoff.succeeded());
        assert!(backoff.failed() <= Duration::from_millis(500));
    }

    #[test]
    fn waits_differ() {
        let wait = || Backoff::new(Duration::from_secs(1)).failed();
        let first = wait();
        assert!((0..100).any(|_| wait() != first));
    }
}
