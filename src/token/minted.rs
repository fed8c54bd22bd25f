//! A token fresh from a mint, before the cache gives it its times.
//!
//! Guarantees: the header value is marked sensitive and wiped once nobody holds it any more, and what
//! is printed never shows the token.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

/// What a mint made.
pub struct Minted {
    /// `Bearer …`, marked sensitive.
    pub authorization: HeaderValue,
    /// The token's `sid`.
    pub session_id: Option<HeaderValue>,
    /// How long it is good for, counted from the moment before it was asked for.
    pub life: Duration,
    /// The wall clock at its end, since the Unix epoch.
    pub ends: Duration,
}

impl Minted {
    /// `token` (or an API key) as a header; `None` if it is not safe in one.
    pub(super) fn authorization(token: &str) -> Option<HeaderValue> {
        let text = Zeroizing::new(format!("Bearer {token}").into_bytes());
        let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted")
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}
