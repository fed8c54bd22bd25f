//! Who an account is, for people: stores know users by a keyed hash alone.
//!
//! Guarantees: what stands here is what `usage.users` lets be told; bounded, and then begun anew.

use aws_lc_rs::hmac;
use dashmap::DashMap;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Keys the hashes by which stores know users, where `usage.hash_key` gives no key: like a session's id
/// such a hash is a name and no capability, and must survive every rotation of keys. With that key, it
/// makes theirs of it.
const ACCOUNT_KEY: &[u8] = b"behest-gateway account";

/// Accounts that are known by name, at most.
const MOST: usize = 100_000;

/// The names of accounts that this gateway has served.
#[derive(Default)]
pub(super) struct Names(DashMap<u128, Name>);

/// One account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Name {
    /// The user, as records call it; `None`: not told.
    pub(super) user: Option<String>,
    /// The tier of its last request.
    pub(super) tier: String,
}

impl Names {
    /// `account` is `name`, which is only made where it is news.
    pub(super) fn note(&self, account: u128, tier: &str, user: impl FnOnce() -> Option<String>) {
        if self.0.get(&account).is_some_and(|known| known.tier == tier) {
            return;
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let (user, tier) = (user(), tier.to_owned());
        self.0.insert(account, Name { user, tier });
    }

    /// Forgets all: how users are told has changed.
    pub(super) fn clear(&self) {
        self.0.clear();
    }

    /// Who `account` is.
    pub(super) fn of(&self, account: u128) -> Name {
        self.0
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
    fn a_name_is_made_once_and_follows_the_tier() {
        let names = Names::default();
        names.note(1, "free", || Some("ada".to_owned()));
        names.note(1, "free", || panic!("it is known"));
        names.note(1, "pro", || Some("ada".to_owned()));
        let expected = Name {
            user: Some("ada".to_owned()),
            tier: "pro".to_owned(),
        };
        assert_eq!(names.of(1), expected);
        assert_eq!(names.of(2), Name::default());
    }
}
