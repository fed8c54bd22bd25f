//! Who an account is, for people: stores know users by a keyed hash alone.
//!
//! Guarantees: what stands here is what `usage.users` lets be told; bounded, and then begun anew.

use std::sync::Arc;

use dashmap::DashMap;

use crate::identity::UserId;

/// Accounts that are known by name, at most.
const MOST: usize = 100_000;

/// The names of accounts that this gateway has served, and the accounts of users.
#[derive(Default)]
pub(super) struct Names {
    accounts: DashMap<u128, Name>,
    users: DashMap<UserId, Known>,
}

/// One account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Name {
    /// The user, as records call it; `None`: not told.
    pub(super) user: Option<Arc<str>>,
    /// The tier of its last request.
    pub(super) tier: String,
}

/// What is reckoned once of a user: two hashes cost more than all else of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// As stores know it.
    pub(super) account: u128,
    /// As records call it; `None`: not told.
    pub(super) name: Option<Arc<str>>,
}

impl Names {
    /// What is known of `user`; reckoned where it is news.
    pub(super) fn of_user(&self, user: &UserId, reckon: impl FnOnce() -> Known) -> Known {
        if let Some(known) = self.users.get(user) {
            return known.clone();
        }
        if self.users.len() >= MOST {
            self.users.clear();
        }
        let known = reckon();
        self.users.insert(user.clone(), known.clone());
        known
    }

    /// An account has sent a request under `tier`.
    pub(super) fn note(&self, known: &Known, tier: &str) {
        let account = known.account;
        if self
            .accounts
            .get(&account)
            .is_some_and(|it| it.tier == tier)
        {
            return;
        }
        if self.accounts.len() >= MOST {
            self.accounts.clear();
        }
        let (user, tier) = (known.name.clone(), tier.to_owned());
        self.accounts.insert(account, Name { user, tier });
    }

    /// Forgets all: how users are told has changed.
    pub(super) fn clear(&self) {
        self.users.clear();
        self.accounts.clear();
    }

    /// Who `account` is.
    pub(super) fn of(&self, account: u128) -> Name {
        self.accounts
            .get(&account)
            .map(|name| name.clone())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_reckoned_once_and_follows_the_tier() {
        let names = Names::default();
        let ada = UserId::parse("ada").unwrap();
        let reckon = || Known {
            account: 1,
            name: Some("a".into()),
        };
        let known = names.of_user(&ada, reckon);
        assert_eq!(names.of_user(&ada, || panic!("it is known")), known);
        names.note(&known, "free");
        names.note(&known, "pro");
        let expected = Name {
            user: Some("a".into()),
            tier: "pro".to_owned(),
        };
        assert_eq!(names.of(1), expected);
        assert_eq!(names.of(2), Name::default());
        names.clear();
        assert_eq!(names.of(1), Name::default());
        let other = names.of_user(&ada, || Known {
            account: 2,
            name: None,
        });
        assert_eq!(other.name, None, "it is told otherwise now");
    }
}
