//! Who an account is, for people: stores know users by a keyed hash alone.
//!
//! Guarantees: what stands here is what `usage.users` lets be told; bounded, and then begun anew.

use dashmap::DashMap;

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

#[cfg(test)]
mod tests {
    use super::*;

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
