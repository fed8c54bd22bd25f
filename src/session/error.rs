//! Why there is no session: for the operator's log, the metrics and `inspect`, never for clients,
//! who learn only the code.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::cookie::CookieName;
pub(super) use super::invalid::InvalidReason;

/// Why there is no session. Holds names only, never a value.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No provider found its cookie.
    #[error("no session cookie: looked for {looked_for}; {came}")]
    Missing {
        /// The names that are configured, or the libraries' own.
        looked_for: String,
        /// The names that came, as far as they are harmless.
        came: String,
    },
    /// It is genuine, and its session has ended.
    #[error("the session in {carrier} ({provider}) has expired")]
    Expired {
        /// The provider's label.
        provider: &'static str,
        /// Where it stands.
        carrier: Carrier,
    },
    /// It is no session of the app's, or one without a usable user.
    #[error("the session in {carrier} ({provider}) is invalid: {reason}")]
    Invalid {
        /// The provider's label.
        provider: &'static str,
        /// Where it stands.
        carrier: Carrier,
        /// The cause.
        reason: InvalidReason,
    },
    /// It is genuine, and lacks what `session.providers[].required` demands.
    #[error(
        "the session in {carrier} ({provider}) is not allowed: its claim {claim} has none of the values in session.providers[].required"
    )]
    NotAllowed {
        /// The provider's label.
        provider: &'static str,
        /// Where it stands.
        carrier: Carrier,
        /// The claim's path, as it is configured.
        claim: String,
    },
    /// It is genuine, and does not say whose it is: only the app knows.
    #[error(
        "{carrier} ({provider}) is genuine, and names no user: set session.providers[].url, so that the app is asked"
    )]
    NeedsLookup {
        /// The provider's label.
        provider: &'static str,
        /// Where it stands.
        carrier: Carrier,
    },
    /// Whether it is genuine cannot be found out now.
    #[error("the session in {carrier} ({provider}) cannot be checked: {asked}")]
    Unavailable {
        /// The provider's label.
        provider: &'static str,
        /// Where it stands.
        carrier: Carrier,
        /// Who was asked.
        asked: Asked,
        /// What came of it.
        #[source]
        cause: Cause,
    },
}

/// What came of a question to somebody else; shared by all who waited for the answer.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Who must answer before a session is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Asked {
    /// The issuer, for its keys.
    #[error("the issuer's keys (session.providers[].jwks_url) cannot be had")]
    Issuer,
    /// The app.
    #[error("the app's session URL (session.providers[].url) does not say whose it is")]
    App {
        /// The wait that it asks for.
        retry_after: Option<Duration>,
    },
}

/// Where a session stands in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The cookie of this (base) name.
    Cookie(CookieName),
    /// The `Authorization` header.
    Authorization,
}

impl Carrier {
    /// The cookie's name, or the header's.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Cookie(name) => name.as_str(),
            Self::Authorization => "Authorization",
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(name) => write!(f, "the cookie {name}"),
            Self::Authorization => f.write_str("the Authorization header"),
        }
    }
}

impl SessionError {
    /// The error's code word: `session_missing`, `session_expired`, `session_invalid`,
    /// `session_not_allowed` or `session_unavailable`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "session_missing",
            Self::Expired { .. } => "session_expired",
            Self::Invalid { .. } | Self::NeedsLookup { .. } => "session_invalid",
            Self::NotAllowed { .. } => "session_not_allowed",
            Self::Unavailable { .. } => "session_unavailable",
        }
    }

    /// The provider that decided, as a metric's label; `none` where no cookie was found.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "none",
            Self::Expired { provider, .. }
            | Self::Invalid { provider, .. }
            | Self::NotAllowed { provider, .. }
            | Self::NeedsLookup { provider, .. }
            | Self::Unavailable { provider, .. } => provider,
        }
    }
}

/// Why what a provider found is no session; [`SessionError`] without the names.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    Expired,
    Invalid(InvalidReason),
    NotAllowed(String),
    NeedsLookup,
    Unavailable(Asked, Cause),
}

impl Refusal {
    /// The same with its names.
    pub(super) fn of(self, provider: &'static str, carrier: Carrier) -> SessionError {
        match self {
            Self::Expired => SessionError::Expired { provider, carrier },
            Self::Invalid(reason) => SessionError::Invalid {
                provider,
                carrier,
                reason,
            },
            Self::NotAllowed(claim) => SessionError::NotAllowed {
                provider,
                carrier,
                claim,
            },
            Self::NeedsLookup => SessionError::NeedsLookup { provider, carrier },
            Self::Unavailable(asked, cause) => SessionError::Unavailable {
                provider,
                carrier,
                asked,
                cause,
            },
        }
    }
}

impl From<InvalidReason> for Refusal {
    fn from(reason: InvalidReason) -> Self {
        Self::Invalid(reason)
    }
}
