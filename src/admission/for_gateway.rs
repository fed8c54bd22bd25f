//! A request that the gateway answers itself, for a user who is signed in.
//!
//! A [`ForGateway`] can only be made by [`Admission::admit`](super::Admission::admit), after the same
//! checks as a request for Behest; it has no body, and no token can be attached to it.

use http::{HeaderMap, request};

use super::framing;

/// What is asked of the gateway itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// What stands in for a token (`compat.token_path`).
    StandIn,
    /// The user's own limits and use (`budgets.usage_me`).
    Usage,
}

/// A request for one of these.
pub struct ForGateway {
    parts: request::Parts,
    own: Own,
}

impl ForGateway {
    pub(super) fn new(parts: request::Parts, own: Own) -> Self {
        Self { parts, own }
    }

    /// What is asked.
    #[must_use]
    pub fn own(&self) -> Own {
        self.own
    }

    /// The request's headers: for the session's cookie.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// What it was sent to: `host[:port]`.
    #[must_use]
    pub fn host(&self) -> &str {
        std::str::from_utf8(framing::host(&self.parts)).unwrap_or_default()
    }
}
