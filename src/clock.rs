//! The time, read once for each request and passed on as [`Now`].
//!
//! Nothing else in the crate reads a clock: expiry can then be tested without waiting, and one
//! request never sees two different instants.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One instant, on both clocks that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Wall clock, since the Unix epoch: for claims such as `exp`.
    pub unix: Duration,
    /// Monotonic clock, since this [`Clock`] was made: for lifetimes and back-off.
    pub elapsed: Duration,
}

impl Now {
    /// Wall clock in whole seconds since the Unix epoch.
    #[must_use]
    pub fn unix_seconds(self) -> u64 {
        self.unix.as_secs()
    }
}

/// Where [`Now`] comes from: the system, or a test's hand.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's own clocks; holds the instant from which `elapsed` counts.
    System(Instant),
    /// Stands still until a test moves it.
    Manual(Arc<Mutex<Now>>),
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self::System(monotonic())
    }

    /// A clock that reads `unix_seconds` until [`Clock::advance`] is called.
    #[must_use]
    pub fn manual(unix_seconds: u64) -> Self {
        Self::Manual(Arc::new(Mutex::new(Now {
            unix: Duration::from_secs(unix_seconds),
            elapsed: Duration::ZERO,
        })))
    }

    /// Reads the time.
    #[must_use]
    pub fn now(&self) -> Now {
        match self {
            Self::System(start) => Now {
                unix: unix_time(),
                elapsed: start.elapsed(),
            },
            Self::Manual(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves a manual clock forward; the system's cannot be moved.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(now) = self {
            let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
            now.unix += by;
            now.elapsed += by;
        }
    }
}

/// The monotonic clock, for measuring durations.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// The wall clock since the Unix epoch; zero if the machine believes it is earlier than that.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
pub fn unix_time() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
