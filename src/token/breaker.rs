//! Keeps an outage of the mint from becoming a storm: after five failures in a row, over all
//! identities, one probe every 500 ms goes through and everyone else is answered at once.
//!
//! Guarantees: the first success clears all, the failures cached for other identities included
//! ([`Breaker::generation`] moves on); a failure of a mint that began before that says nothing
//! about the mint that works now and does not count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::TokenError;

/// Failures in a row that open it.
const FAILURES: u32 = 5;

/// Between two probes while it is open.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// Whether the mint is asked.
pub(super) struct Breaker {
    state: Mutex<State>,
    generation: AtomicU64,
    recovered: Notify,
}

enum State {
    /// The mint is asked; so many failures in a row.
    Closed(u32),
    /// The mint is probed only.
    Open {
        last: TokenError,
        next_probe: Duration,
    },
}

/// Leave to ask the mint once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// As it was when the leave was given.
    pub(super) generation: u64,
    probe: bool,
}

/// What a report changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// From now on only probes.
    Opened,
    /// The mint works again.
    Recovered,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State::Closed(0)),
            generation: AtomicU64::new(0),
            recovered: Notify::new(),
        }
    }

    /// Moves on with every recovery; a failure cached under an older one is no longer in force.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Returns when the mint has recovered since `generation`.
    pub(super) async fn recovered_since(&self, generation: u64) {
        loop {
            let mut recovered = std::pin::pin!(self.recovered.notified());
            // Before the look, so that nothing is missed between the two.
            recovered.as_mut().enable();
            if self.generation() != generation {
                return;
            }
            recovered.await;
        }
    }

    /// Leave to ask the mint at `now` (monotonic).
    ///
    /// # Errors
    /// The mint's last failure, while it is down and it is no time for a probe.
    pub(super) fn admit(&self, now: Duration) -> Result<Pass, TokenError> {
        let mut state = self.lock();
        let probe = match &mut *state {
            State::Closed(_) => false,
            State::Open { next_probe, .. } if now >= *next_probe => {
                *next_probe = now + PROBE_INTERVAL;
                true
            }
            State::Open { last, .. } => return Err(last.clone()),
        };
        let generation = self.generation();
        Ok(Pass { generation, probe })
    }

    /// Asked again by a mint that had to wait for its place, so that a queue built up before an
    /// outage does not hammer the mint.
    ///
    /// # Errors
    /// The mint's last failure, if it is down by now and `pass` is not for a probe.
    pub(super) fn recheck(&self, pass: Pass) -> Result<(), TokenError> {
        match &*self.lock() {
            State::Open { last, .. } if !pass.probe => Err(last.clone()),
            State::Open { .. } | State::Closed(_) => Ok(()),
        }
    }

    /// How the mint that `pass` allowed has ended, at `now` (monotonic).
    pub(super) fn report(
        &self,
        pass: Pass,
        failure: Option<&TokenError>,
        now: Duration,
    ) -> Option<Change> {
        let mut state = self.lock();
        match (failure, &mut *state) {
            (None, State::Closed(failures)) => *failures = 0,
            (None, State::Open { .. }) => return Some(self.recover(&mut state)),
            // A refusal of one user shows that the mint answers.
            (Some(error), State::Open { .. }) if error.is_about_user() => {
                return Some(self.recover(&mut state));
            }
            (Some(error), _) if !error.is_outage() || pass.generation != self.generation() => {}
            (Some(error), State::Open { last, .. }) => *last = error.clone(),
            (Some(error), State::Closed(failures)) => {
                *failures += 1;
                if *failures >= FAILURES {
                    *state = State::Open {
                        last: error.clone(),
                        next_probe: now + PROBE_INTERVAL,
                    };
                    return Some(Change::Opened);
                }
            }
        }
        None
    }

    /// Whether the mint is probed only.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.lock(), State::Open { .. })
    }

    fn recover(&self, state: &mut State) -> Change {
        *state = State::Closed(0);
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.recovered.notify_waiters();
        Change::Recovered
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{outage, refusal};
    use super::*;

    fn fail(breaker: &Breaker, error: &TokenError, times: u32) -> Option<Change> {
        let mut change = None;
        for _ in 0..times {
            let pass = breaker.admit(Duration::ZERO).unwrap();
            change = breaker.report(pass, Some(error), Duration::ZERO);
        }
        change
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_them_starts_anew() {
        let breaker = Breaker::new();
        assert_eq!(fail(&breaker, &outage(), 4), None);
        let pass = breaker.admit(Duration::ZERO).unwrap();
        assert_eq!(breaker.report(pass, None, Duration::ZERO), None);
        assert_eq!(fail(&breaker, &outage(), 4), None);
        assert!(!breaker.is_open());
        assert_eq!(fail(&breaker, &outage(), 1), Some(Change::Opened));
        assert!(breaker.is_open());
        assert!(breaker.admit(Duration::ZERO).is_err());
    }

    #[test]
    fn refusals_of_users_and_overload_do_not_open_it_but_a_refused_key_does() {
        let breaker = Breaker::new();
        assert_eq!(fail(&breaker, &refusal(400), 20), None);
        assert_eq!(fail(&breaker, &TokenError::Overloaded, 20), None);
        assert_eq!(fail(&breaker, &TokenError::Internal, 20), None);
        assert_eq!(fail(&breaker, &refusal(401), 5), Some(Change::Opened));
    }

    #[test]
    fn while_it_is_open_one_probe_goes_through_every_500_ms() {
        let breaker = Breaker::new();
        fail(&breaker, &outage(), 5);
        let admitted = (0..2_000)
            .filter(|&ms| breaker.admit(Duration::from_millis(ms)).is_ok())
            .collect::<Vec<_>>();
        assert_eq!(admitted, [500, 1_000, 1_500]);
    }

    #[test]
    fn a_success_or_a_refusal_of_one_user_recovers_and_moves_the_generation() {
        for failure in [None, Some(refusal(400))] {
            let breaker = Breaker::new();
            fail(&breaker, &outage(), 5);
            let probe = breaker.admit(PROBE_INTERVAL).unwrap();
            let change = breaker.report(probe, failure.as_ref(), PROBE_INTERVAL);
            assert_eq!(change, Some(Change::Recovered));
            assert_eq!(breaker.generation(), 1);
            assert!(breaker.admit(PROBE_INTERVAL).is_ok());
        }
    }

    #[test]
    fn stragglers_from_before_the_recovery_do_not_open_it_again() {
        let breaker = Breaker::new();
        let stragglers: Vec<_> = (0..20)
            .map(|_| breaker.admit(Duration::ZERO).unwrap())
            .collect();
        fail(&breaker, &outage(), 5);
        assert!(
            breaker.recheck(stragglers[0]).is_err(),
            "still in the queue: not sent"
        );
        let probe = breaker.admit(PROBE_INTERVAL).unwrap();
        assert!(breaker.recheck(probe).is_ok());
        breaker.report(probe, None, PROBE_INTERVAL);
        for pass in stragglers {
            assert_eq!(breaker.report(pass, Some(&outage()), PROBE_INTERVAL), None);
        }
        assert!(breaker.admit(PROBE_INTERVAL).is_ok());
    }
}
