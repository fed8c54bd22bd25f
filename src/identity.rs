//! Who a request is for: the user, the tier and the session id that a token is minted from.
//!
//! [`Identity`] is both the key of the token cache and the only input of a mint, so a claim that is
//! not in it cannot enter a token, and no user can be given another's.

mod user_hash;

use std::fmt;
use std::sync::Arc;

pub use self::user_hash::UserHash;

/// What a token is minted for, and what the cache is keyed by: compared field by field, never joined
/// into one string.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The app's own id of the user: Behest's `uid`.
    pub user: UserId,
    /// The user's entitlement as the session holds it; a map or default is applied by the mint.
    pub tier: Option<Tier>,
    /// The session id to mint with; `None` lets Behest choose one with each mint.
    pub session_id: Option<SessionId>,
}

/// A user id: 1 to 255 bytes of UTF-8 without control characters, and none that Behest reserves.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserId(Arc<str>);

/// Why a text is no [`UserId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserIdError {
    /// Empty.
    #[error("the user id is empty")]
    Empty,
    /// Over 255 bytes.
    #[error("the user id is longer than 255 bytes")]
    TooLong,
    /// Holds a control character.
    #[error("the user id holds a control character")]
    ControlCharacter,
    /// One of Behest's own names.
    #[error("the user id is reserved by Behest")]
    Reserved,
}

/// Ids that Behest keeps for itself: those that are known. It answers 400 to the rest, and that
/// refusal is cached for the identity. Compared without case and white space.
const RESERVED: [&str; 3] = ["admin", "system", "dashboard-service"];

impl UserId {
    /// Checks `text`.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, UserIdError> {
        if text.trim().is_empty() {
            return Err(UserIdError::Empty);
        }
        if text.len() > 255 {
            return Err(UserIdError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(UserIdError::ControlCharacter);
        }
        if is_reserved(text) {
            return Err(UserIdError::Reserved);
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text`, without its white space and case, is one of [`RESERVED`]. Allocates nothing: it
/// runs on every request.
fn is_reserved(text: &str) -> bool {
    let folded = || {
        text.chars()
            .filter(|character| !character.is_whitespace())
            .flat_map(char::to_lowercase)
    };
    RESERVED
        .iter()
        .any(|reserved| folded().eq(reserved.chars()))
}

impl fmt::Debug for UserId {
    /// User ids are personal: only their length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({} bytes)", self.0.len())
    }
}

/// An entitlement: a JSON number or a string, passed on as whichever it was.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// `1`, `2`, `3`, …
    Number(serde_json::Number),
    /// `free`, `pro`, `max`, or a custom name.
    Text(Arc<str>),
}

impl Tier {
    /// The tier as JSON, of the type it came in.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Number(number) => serde_json::Value::Number(number.clone()),
            Self::Text(text) => serde_json::Value::String(text.to_string()),
        }
    }
}

/// A session id that is safe in a header: visible ASCII, 1 to 128 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// Checks `text`; `None` if it is empty, over 128 bytes, or not visible ASCII.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_user_ids_are_refused_whatever_their_case_and_spaces() {
        for text in ["admin", "ADMIN", " admin ", "Dashboard-Service", "sys tem"] {
            assert_eq!(UserId::parse(text), Err(UserIdError::Reserved), "{text}");
        }
        assert!(UserId::parse("administrator").is_ok());
    }

    #[test]
    fn user_ids_are_bounded_and_without_control_characters() {
        assert!(UserId::parse(&"u".repeat(255)).is_ok());
        assert_eq!(UserId::parse(&"u".repeat(256)), Err(UserIdError::TooLong));
        assert_eq!(UserId::parse(""), Err(UserIdError::Empty));
        assert_eq!(UserId::parse("a\nb"), Err(UserIdError::ControlCharacter));
    }

    #[test]
    fn debug_never_shows_a_user_id() {
        let id = UserId::parse("ada@example.com").unwrap();
        assert!(!format!("{id:?}").contains("ada"));
    }
}
