//! Recognises the user by the session cookie that the app already set.
//!
//! THE list of providers: a new one is one new file plus the arms that the compiler then demands
//! here.

use http::HeaderMap;

use crate::clock::Now;
use crate::identity::Identity;
use crate::secret::Secret;

/// How sessions are recognised (`[session]`).
#[derive(Clone, Debug, Default)]
pub struct SessionConfig {
    /// Tried in order: one whose cookie is absent passes to the next, one whose cookie is present decides.
    pub providers: Vec<ProviderConfig>,
    /// How `X-Session-Id` is made.
    pub session_id: SessionIdConfig,
}

/// One provider (`[[session.providers]]`).
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// The format.
    pub kind: ProviderKind,
    /// Cookie names to look for, in order; the first that is present decides. Empty: the library's own.
    pub cookie_names: Vec<CookieName>,
    /// The app's secrets, newest first.
    pub secrets: Vec<Secret>,
    /// Where the claims are.
    pub claims: ClaimPaths,
}

/// A session format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// Auth.js v5 (`@auth/core`, next-auth 5).
    AuthjsV5,
    /// NextAuth v4.
    NextauthV4,
}

/// Paths of the claims, as arrays of keys, since claim names contain dots and slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPaths {
    /// Default `["sub"]`.
    pub user: Vec<String>,
    /// Default `["tier"]`.
    pub tier: Vec<String>,
    /// The claim that is stable for one browser session; default `["sid"]`.
    pub session: Vec<String>,
}

/// How `X-Session-Id` is made (`[session_id]`).
#[derive(Clone, Debug, Default)]
pub struct SessionIdConfig {
    /// Default `claim`.
    pub source: SessionIdSource,
    /// HMAC key; default: a constant of the gateway's (the id is a name and not a capability).
    pub key: Option<Secret>,
    /// Mix a page's own `X-Session-Id` into the derivation; default false.
    pub mix_client: bool,
}

/// What the session id is derived from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionIdSource {
    /// User id and the session's stable claim where there is one, else user id alone.
    #[default]
    Claim,
    /// User id alone.
    User,
    /// Behest's own, new with each mint.
    Minted,
}

/// A cookie name (RFC 6265 token).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(String);

/// A recognised session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who it is, ready for the token cache.
    pub identity: Identity,
    /// The provider's label, e.g. `authjs-v5`.
    pub provider: &'static str,
    /// The cookie (base name) it was read from.
    pub cookie: CookieName,
    /// The `exp` claim, as it stands.
    pub expires_at: serde_json::Number,
    /// The tier claim as the session holds it, whatever its type; null when absent.
    pub tier: serde_json::Value,
}

/// Why there is no session. `Display` and the reason are for the operator's log and `inspect`, never for clients.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// x
    #[error("x")]
    Missing,
    /// x
    #[error("x")]
    Expired {
        /// x
        provider: &'static str,
    },
    /// x
    #[error("x")]
    Invalid {
        /// x
        provider: &'static str,
    },
}

/// Opens sessions; immutable, all keys derived once.
pub struct SessionAuthenticator {}

impl SessionAuthenticator {
    /// Derives every key.
    #[must_use]
    pub fn new(_config: &SessionConfig) -> Self {
        Self {}
    }

    /// Recognises the user of a request.
    ///
    /// # Errors
    /// Missing, expired or invalid.
    #[allow(clippy::unused_async)]
    pub async fn authenticate(
        &self,
        _headers: &HeaderMap,
        _now: Now,
    ) -> Result<Session, SessionError> {
        Err(SessionError::Missing)
    }
}

impl SessionError {
    /// x
    #[must_use]
    pub fn code(&self) -> &'static str {
        ""
    }
    /// x
    #[must_use]
    pub fn provider(&self) -> &'static str {
        ""
    }
}
