//! Who an account is, for people: stores know users by a keyed hash alone.
//!
//! Guarantees: what stands here is what `usage.users` lets be told; bounded, and then begun anew.

use std::sync::Arc;

use aws_lc_rs::hmac;
use dashmap::DashMap;
use zeroize::Zeroizing;

use crate::identity::UserId;
use crate::secret::Secret;

/// Keys the hashes by which stores know users, where `usage.hash_key` gives no key: like a session's id
/// such a hash is a name and no capability, and must survive every rotation of keys. With that key, it
/// makes theirs of it.
const ACCOUNT_KEY: &[u8] = b"behest-gateway account";

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

/// The key of the hashes by which stores know users.
pub(super) fn account_key(hash_key: Option<&Secret>) -> hmac::Key {
    let Some(hash_key) = hash_key else {
        return hmac::Key::new(hmac::HMAC_SHA256, ACCOUNT_KEY);
    };
    let own = hmac::Key::new(hmac::HMAC_SHA256, hash_key.expose());
    // Another key than that of the hashes in records, which people see.
    let derived = Zeroizing::new(hmac::sign(&own, ACCOUNT_KEY).as_ref().to_vec());
    hmac::Key::new(hmac::HMAC_SHA256, &derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_have_the_key_that_is_configured_and_not_that_of_records() {
        let of = |key: Option<&Secret>| hmac::sign(&account_key(key), b"ada").as_ref().to_vec();
        let (one, other) = (Secret::new("one"), Secret::new("other"));
        assert_eq!(of(Some(&one)), of(Some(&one)));
        assert_ne!(of(Some(&one)), of(Some(&other)));
        assert_ne!(of(Some(&one)), of(None));
        let records = hmac::Key::new(hmac::HMAC_SHA256, b"one");
        assert_ne!(of(Some(&one)), hmac::sign(&records, b"ada").as_ref());
    }

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
