//! How users stand in usage records, on pages and in webhooks: as they are, hashed, or not at all.
//!
//! Guarantees: with [`UserPrivacy::None`] neither a user nor anything that leads to one is kept; with
//! [`UserPrivacy::Hashed`] the hash is the access log's, so that records and log lines can be joined, unless
//! the two are given keys of their own (`usage.hash_key`, `telemetry.user_hash_key`).

use std::fmt;
use std::sync::Arc;

use crate::identity::{UserHash, UserId};

/// `usage.users`.
#[derive(Clone)]
pub enum UserPrivacy {
    /// The id as it is.
    Plain,
    /// 16 hex digits of a keyed hash.
    Hashed(Arc<UserHash>),
    /// Nothing.
    None,
}

impl UserPrivacy {
    /// What stands for `user`.
    #[must_use]
    pub fn user(&self, user: &UserId) -> Option<String> {
        match self {
            Self::Plain => Some(user.as_str().to_owned()),
            Self::Hashed(hash) => Some(hash.hash(user.as_str())),
            Self::None => None,
        }
    }

    /// What stands for a session or thread id, both of which are a user's: the id itself wherever users
    /// are kept, so that records can be joined with Behest's own. (Session ids that the gateway derives
    /// under no `session_id.key` of one's own can be checked by whoever guesses a user.)
    #[must_use]
    pub fn session(&self, id: &str) -> Option<String> {
        match self {
            Self::Plain | Self::Hashed(_) => Some(id.to_owned()),
            Self::None => None,
        }
    }
}

impl fmt::Debug for UserPrivacy {
    /// As configuration calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Hashed(_) => "hashed",
            Self::None => "none",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn users_are_kept_as_they_are_or_hashed_or_not_at_all() {
        let ada = UserId::parse("ada@example.org").unwrap();
        let hash = Arc::new(UserHash::new(&Secret::new("key")));
        let expected = hash.hash("ada@example.org");
        assert_eq!(expected.len(), 16);
        let plain = Some("ada@example.org".to_owned());
        assert_eq!(UserPrivacy::Plain.user(&ada), plain);
        assert_eq!(UserPrivacy::Hashed(hash).user(&ada), Some(expected));
        assert_eq!(UserPrivacy::None.user(&ada), None);
    }

    #[test]
    fn sessions_are_kept_wherever_users_are() {
        let hash = Arc::new(UserHash::new(&Secret::new("key")));
        for kept in [UserPrivacy::Plain, UserPrivacy::Hashed(hash)] {
            assert_eq!(kept.session("gw_1").as_deref(), Some("gw_1"));
        }
        assert_eq!(UserPrivacy::None.session("gw_1"), None);
    }
}
