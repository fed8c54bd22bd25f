//! What one user may cost where a page can make identities of its own: at most 16 live identities,
//! the oldest out, and 10 mints in 10 s.
//!
//! Guarantees: bounded by the identities in the cache plus the users who minted in the last 10 s.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::identity::{Identity, UserId};

use super::TokenError;

/// Live identities a user.
const IDENTITIES: usize = 16;

/// Mints a user in [`WINDOW`].
const MINTS: usize = 10;

const WINDOW: Duration = Duration::from_secs(10);

/// The limits of each user; none where they are off.
pub(super) struct UserLimits(Option<Mutex<HashMap<UserId, Record>>>);

#[derive(Clone, Default)]
struct Record {
    /// When it minted, oldest first: those in the window.
    mints: VecDeque<Duration>,
    /// Its identities by their last mint, oldest first.
    identities: VecDeque<Identity>,
}

impl UserLimits {
    pub(super) fn new(enabled: bool) -> Self {
        Self(enabled.then(Mutex::default))
    }

    /// Counts a mint for `identity` at `now` (monotonic), if `gate` allows it. Also returns which of
    /// the user's identities is out.
    ///
    /// # Errors
    /// [`TokenError::UserBusy`], or the gate's own.
    pub(super) fn admit<T>(
        &self,
        identity: &Identity,
        now: Duration,
        gate: impl FnOnce() -> Result<T, TokenError>,
    ) -> Result<(T, Option<Identity>), TokenError> {
        let Some(mut users) = self.lock() else {
            return gate().map(|passed| (passed, None));
        };
        if let Some(retry_after) = users
            .get_mut(&identity.user)
            .and_then(|user| user.busy(now))
        {
            return Err(TokenError::UserBusy { retry_after });
        }
        let passed = gate()?;
        let user = users.entry(identity.user.clone()).or_default();
        Ok((passed, user.count(identity, now)))
    }

    /// Takes over what `other` counted, where both count.
    pub(super) fn adopt(&self, other: &Self) {
        let counted = other.lock().map(|users| users.clone());
        if let (Some(mut users), Some(counted)) = (self.lock(), counted) {
            *users = counted;
        }
    }

    /// `identity` is no longer in the cache.
    pub(super) fn forget(&self, identity: &Identity) {
        let Some(mut users) = self.lock() else { return };
        if let Some(user) = users.get_mut(&identity.user) {
            user.identities.retain(|held| held != identity);
        }
    }

    /// Drops the records of users who hold nothing and minted nothing of late.
    pub(super) fn sweep(&self, now: Duration) {
        if let Some(mut users) = self.lock() {
            users.retain(|_, user| {
                user.expire(now);
                !(user.identities.is_empty() && user.mints.is_empty())
            });
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, HashMap<UserId, Record>>> {
        let users = self.0.as_ref()?;
        Some(users.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Record {
    /// How long until the next mint is allowed; `None` if it is now.
    fn busy(&mut self, now: Duration) -> Option<Duration> {
        self.expire(now);
        let oldest = self.mints.front()?;
        (self.mints.len() >= MINTS).then(|| (*oldest + WINDOW).saturating_sub(now))
    }

    fn expire(&mut self, now: Duration) {
        while self.mints.front().is_some_and(|at| *at + WINDOW <= now) {
            self.mints.pop_front();
        }
    }

    /// Counts a mint; returns the identity that is out.
    fn count(&mut self, identity: &Identity, now: Duration) -> Option<Identity> {
        self.mints.push_back(now);
        self.identities.retain(|held| held != identity);
        self.identities.push_back(identity.clone());
        if self.identities.len() > IDENTITIES {
            return self.identities.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{identity, outage};
    use super::*;
    use crate::identity::SessionId;

    const SECOND: Duration = Duration::from_secs(1);

    fn chat(number: usize) -> Identity {
        let mut identity = identity("ada");
        identity.session_id = SessionId::parse(&format!("chat-{number}"));
        identity
    }

    fn admit(
        limits: &UserLimits,
        identity: &Identity,
        now: Duration,
    ) -> Result<Option<Identity>, TokenError> {
        limits.admit(identity, now, || Ok(())).map(|((), out)| out)
    }

    #[test]
    fn the_eleventh_mint_of_a_user_in_10_s_waits_for_the_first_to_be_10_s_old() {
        let limits = UserLimits::new(true);
        for number in 0..10 {
            admit(&limits, &chat(number), SECOND).unwrap();
        }
        let error = admit(&limits, &chat(10), SECOND * 4).unwrap_err();
        assert!(matches!(error, TokenError::UserBusy { retry_after } if retry_after == SECOND * 7));
        assert!(admit(&limits, &identity("eve"), SECOND * 4).is_ok());
        assert!(admit(&limits, &chat(10), SECOND * 11).is_ok());
    }

    #[test]
    fn the_seventeenth_identity_of_a_user_puts_the_one_minted_longest_ago_out() {
        let limits = UserLimits::new(true);
        let at = |number: usize| WINDOW * u32::try_from(number).unwrap();
        for number in 0..16 {
            assert_eq!(admit(&limits, &chat(number), at(number)).unwrap(), None);
        }
        assert_eq!(admit(&limits, &chat(0), at(16)).unwrap(), None);
        assert_eq!(admit(&limits, &chat(16), at(17)).unwrap(), Some(chat(1)));
    }

    #[test]
    fn a_mint_that_the_gate_refuses_is_not_counted() {
        let limits = UserLimits::new(true);
        for _ in 0..20 {
            let refused = limits.admit(&chat(0), SECOND, || Err::<(), _>(outage()));
            assert!(matches!(refused, Err(TokenError::Unavailable { .. })));
        }
        assert!(admit(&limits, &chat(0), SECOND).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_a_user_who_holds_nothing_and_minted_nothing_of_late() {
        let limits = UserLimits::new(true);
        let users = |limits: &UserLimits| limits.lock().unwrap().len();
        admit(&limits, &chat(0), SECOND).unwrap();
        limits.sweep(SECOND * 60);
        assert_eq!(users(&limits), 1, "its identity is in the cache");
        limits.forget(&chat(0));
        limits.sweep(SECOND * 60);
        assert_eq!(users(&limits), 0);
    }

    #[test]
    fn without_the_limits_nothing_is_counted() {
        let limits = UserLimits::new(false);
        for number in 0..100 {
            assert_eq!(admit(&limits, &chat(number), SECOND).unwrap(), None);
        }
    }
}
