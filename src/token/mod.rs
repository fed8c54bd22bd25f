//! A user's Behest token: minted by API key or signed locally, kept in the cache.
//!
//! THE list of mint modes: a new one is one new file plus the arms that the compiler demands here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::clock::Now;
use crate::identity::{Identity, Tier};
use crate::secret::Secret;

/// How tokens are made (`[mint]`).
#[derive(Clone, Debug)]
pub struct MintConfig {
    /// `BEHEST_KEY`: its prefix selects the mode.
    pub key: Secret,
    /// `BEHEST_KID`, local signing only.
    pub kid: Option<String>,
    /// `BEHEST_TENANT_ID`, local signing only.
    pub tenant_id: Option<String>,
    /// `BEHEST_PROJECT_ID`, local signing only.
    pub project_id: Option<String>,
    /// PEM file of the RSA key where the key itself is not in `BEHEST_KEY`.
    pub pem: Option<Secret>,
    /// API-key mint only: path of the mint call; default `/v1/auth/mint`.
    pub path: String,
    /// Lifetime asked for, 60 to 86400 s; default 900 s.
    pub ttl: Duration,
    /// One mint, the wait for a place included; default 5 s.
    pub timeout: Duration,
    /// Mints in flight at once; default 256.
    pub concurrency: usize,
    /// Sent where the session has no tier; default none (no tier is sent).
    pub default_tier: Option<Tier>,
    /// Maps the session's tier (its text, or its number as text) to what is sent.
    pub tier_map: BTreeMap<String, Tier>,
}

/// The token cache (`[cache]`).
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// Identities held at once; default 100 000.
    pub max_entries: usize,
}

/// A user's token, ready to send.
pub struct AccessToken {
    /// `Bearer …`, marked sensitive.
    pub authorization: HeaderValue,
    /// The token's own `sid`: the `X-Session-Id` to send.
    pub session_id: Option<HeaderValue>,
    /// Renew in the background from then on (monotonic, [`Now::elapsed`]).
    pub refresh_at: Duration,
    /// Not used from then on (monotonic).
    pub expires_at: Duration,
}

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    /// x
    #[error("the mint refused")]
    Refused {
        /// x
        status: http::StatusCode,
    },
    /// x
    #[error("x")]
    Unavailable {
        /// x
        retry_after: Option<Duration>,
    },
    /// x
    #[error("x")]
    Invalid(String),
    /// x
    #[error("x")]
    Timeout,
    /// x
    #[error("x")]
    Overloaded,
    /// x
    #[error("x")]
    UserBusy {
        /// x
        retry_after: Duration,
    },
    /// x
    #[error("x")]
    RenewedRecently,
    /// x
    #[error("x")]
    Internal,
}

/// Tokens by identity.
pub struct TokenCache {}

impl TokenCache {
    /// The token of `identity`.
    ///
    /// # Errors
    /// As the mint failed.
    #[allow(clippy::unused_async)]
    pub async fn renew(
        self: &Arc<Self>,
        _identity: &Identity,
        _rejected: &Arc<AccessToken>,
        _now: Now,
    ) -> Result<Arc<AccessToken>, TokenError> {
        Err(TokenError::Internal)
    }
    /// x
    pub fn renew_in_background(
        self: &Arc<Self>,
        _identity: &Identity,
        _rejected: &Arc<AccessToken>,
        _now: Now,
    ) {
    }
    /// x
    #[allow(clippy::unused_async)]
    pub async fn token(
        self: &Arc<Self>,
        _identity: &Identity,
        _now: Now,
    ) -> Result<Arc<AccessToken>, TokenError> {
        Err(TokenError::Internal)
    }
}
