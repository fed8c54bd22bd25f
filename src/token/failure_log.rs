//! Tells the operator why there are no tokens, and what to change.
//!
//! Guarantees: one line a minute for each kind of failure at most, however many mints fail.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::telemetry;

use super::{InvalidAnswer, Outage, TokenError};

/// Between two lines about one kind of failure.
const INTERVAL: Duration = Duration::from_mins(1);

/// When each kind was last told.
#[derive(Default)]
pub(super) struct FailureLog(Mutex<Vec<(&'static str, Duration)>>);

impl FailureLog {
    /// Logs `error` at `now` (monotonic), unless its kind was told less than a minute ago.
    pub(super) fn tell(&self, error: &TokenError, now: Duration) {
        let Some(advice) = advice(error) else { return };
        if self.is_due(advice, now) {
            tracing::error!(error = telemetry::chain(error), "{advice}");
        }
    }

    /// The kinds are the few texts of [`advice`], so the list stays short.
    fn is_due(&self, advice: &'static str, now: Duration) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match told.iter_mut().find(|(kind, _)| *kind == advice) {
            Some((_, last)) if now < *last + INTERVAL => false,
            Some((_, last)) => {
                *last = now;
                true
            }
            None => {
                told.push((advice, now));
                true
            }
        }
    }
}

/// What to change; `None` where nothing went wrong with a mint.
fn advice(error: &TokenError) -> Option<&'static str> {
    Some(match error {
        TokenError::Refused { status } => match status.as_u16() {
            400 | 422 => {
                "Behest refused to mint for a user: the user id is reserved or malformed, or it \
                 takes no such tier or mint.ttl"
            }
            401 | 403 => {
                "Behest refused the key in BEHEST_KEY: it is unknown or revoked, or its project is \
                 suspended or another than BEHEST_BASE_URL's; set a current key"
            }
            402 => "Behest refused to mint until the project's plan or balance is renewed",
            404 | 405 => {
                "there is no mint at this address: set BEHEST_BASE_URL to https://{slug}.behest.app \
                 and mint.path to the mint's path"
            }
            300..=399 => {
                "the mint redirects, which is never followed: set BEHEST_BASE_URL to the address \
                 that it redirects to, or mint.path to the mint's path"
            }
            _ => "Behest refused the mint: check BEHEST_BASE_URL and mint.path",
        },
        TokenError::Unavailable { cause, .. } => match cause {
            Outage::Status(status) if status.as_u16() == 429 => {
                "Behest limits how often tokens are minted: raise mint.ttl, or its limit"
            }
            Outage::Status(_) => {
                "the mint answers with server errors; tokens are used until they end, and it is \
                 tried again twice a second"
            }
            Outage::Unreachable(_) => {
                "the mint gives no answer: check BEHEST_BASE_URL, DNS, HTTPS_PROXY and the way out"
            }
        },
        TokenError::Timeout => {
            "the mint does not answer in time: check the way out, or raise mint.timeout"
        }
        TokenError::Invalid(InvalidAnswer::Ended) => {
            "the mint's tokens have already ended when they arrive: check this machine's clock"
        }
        TokenError::Invalid(InvalidAnswer::WrongUser) => {
            "the mint answered with a token for another user; it was thrown away: tell Behest"
        }
        TokenError::Invalid(_) => {
            "the mint's answer is not a usable token: check that BEHEST_BASE_URL and mint.path are \
             Behest's mint"
        }
        TokenError::Overloaded => {
            "mints wait too long for a place: raise mint.concurrency or cache.max_entries"
        }
        TokenError::Internal => "a mint failed inside the gateway: this is a bug, please report it",
        TokenError::UserBusy { .. } | TokenError::RenewedRecently => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{outage, refusal};
    use super::*;

    #[test]
    fn each_kind_of_failure_is_told_once_a_minute() {
        let log = FailureLog::default();
        let due = |error: &TokenError, seconds| {
            log.is_due(advice(error).unwrap(), Duration::from_secs(seconds))
        };
        assert!(due(&outage(), 0));
        assert!(!due(&outage(), 59));
        assert!(due(&refusal(401), 59), "another kind");
        assert!(!due(&refusal(403), 60), "the same advice");
        assert!(due(&outage(), 60));
    }

    #[test]
    fn a_refused_key_names_the_variable_to_change() {
        assert!(advice(&refusal(401)).unwrap().contains("BEHEST_KEY"));
        assert!(advice(&refusal(404)).unwrap().contains("mint.path"));
        assert!(advice(&refusal(302)).unwrap().contains("BEHEST_BASE_URL"));
        assert!(advice(&TokenError::RenewedRecently).is_none());
    }
}
