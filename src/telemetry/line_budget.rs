//! How many log lines strangers may cause: so many a second, after a burst of ten seconds' worth.
//!
//! Guarantees: an outsider cannot fill a disk with lines; one flood does not hide another kind of
//! event, since each kind has a budget of its own; what is left out is counted until it is told.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A budget saves up for this long.
const BURST: Duration = Duration::from_secs(10);

/// The budget of one kind of line.
#[derive(Debug, Default)]
pub struct LineBudget(Mutex<Spent>);

#[derive(Debug, Default)]
struct Spent {
    /// Lines are paid for until then.
    until: Option<Instant>,
    left_out: u64,
}

impl LineBudget {
    /// Whether one more line may be written at `now`, where one each `interval` is allowed. One that
    /// may not is counted as left out.
    pub fn admit(&self, interval: Duration, now: Instant) -> bool {
        let mut spent = self.lock();
        let until = spent.until.map_or(now, |until| until.max(now)) + interval;
        if until.duration_since(now) > BURST.max(interval) {
            spent.left_out += 1;
            return false;
        }
        spent.until = Some(until);
        true
    }

    /// How many lines were left out since this was last asked.
    pub fn take_left_out(&self) -> u64 {
        std::mem::take(&mut self.lock().left_out)
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const TENTH: Duration = Duration::from_millis(100);

    fn admitted(budget: &LineBudget, tries: usize, now: Instant) -> usize {
        (0..tries).filter(|_| budget.admit(TENTH, now)).count()
    }

    #[test]
    fn a_flood_gets_ten_seconds_worth_and_then_the_steady_rate() {
        let (budget, begin) = (LineBudget::default(), clock::monotonic());
        assert_eq!(admitted(&budget, 1000, begin), 100);
        assert_eq!(budget.take_left_out(), 900);
        assert_eq!(admitted(&budget, 1000, begin + Duration::from_secs(1)), 10);
        assert_eq!(budget.take_left_out(), 990);
        assert_eq!(budget.take_left_out(), 0, "told once");
        assert_eq!(
            admitted(&budget, 1000, begin + Duration::from_mins(9)),
            100,
            "never more than ten seconds are saved up"
        );
    }

    #[test]
    fn one_line_always_fits_however_long_the_interval() {
        let (budget, begin) = (LineBudget::default(), clock::monotonic());
        let minute = Duration::from_mins(1);
        assert!(budget.admit(minute, begin));
        assert!(!budget.admit(minute, begin + minute / 2));
        assert!(budget.admit(minute, begin + minute));
    }
}
