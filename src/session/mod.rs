//! Recognises the user by the session cookie that the app already set.
//!
//! THE list of providers: a new one is one new file plus the arms that the compiler then demands
//! here and in `config.rs`.
//!
//! Guarantees: the session is taken from the cookie only; the first provider whose cookie is present
//! decides, and within it the first cookie name, so nothing is tried until something works; a session
//! is expired only if it was genuine. Nothing here prints a cookie's value or a secret.

mod claims;
mod config;
mod cookie;
mod error;
mod json;
mod keys;
mod sealed;
mod session_id;
mod weakness;

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod sealer;
#[cfg(test)]
mod vectors;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::HeaderMap;

pub use self::config::{
    ClaimPaths, ProviderConfig, ProviderKind, SessionConfig, SessionIdConfig, SessionIdSource,
};
pub use self::cookie::CookieName;
pub(crate) use self::cookie::names as cookie_names;
pub use self::error::{InvalidReason, SessionError};
pub use self::weakness::{SecretWeakness, secret_weakness};

use self::claims::{Claims, Refusal};
use self::sealed::Keyring;
use self::session_id::SessionIds;
use crate::clock::Now;
use crate::identity::Identity;

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
    /// The session's own stable claim, as it stands.
    pub claim: Option<Arc<str>>,
    /// When the session says it was issued, in Unix seconds.
    pub issued_at: Option<f64>,
}

/// Opens sessions; immutable, all keys derived once.
pub struct SessionAuthenticator {
    providers: Vec<Provider>,
    session_ids: SessionIds,
}

impl SessionAuthenticator {
    /// Derives every key: for each provider, cookie name and secret.
    #[must_use]
    pub fn new(config: &SessionConfig) -> Self {
        Self {
            providers: config.providers.iter().map(Provider::new).collect(),
            session_ids: SessionIds::new(&config.session_id),
        }
    }

    /// Recognises the user of a request by its Cookie fields (and, where page ids are mixed in, its
    /// `X-Session-Id`).
    ///
    /// # Errors
    /// Missing, expired or invalid.
    #[expect(
        clippy::unused_async,
        reason = "every provider of today is offline; one that asks the app will await"
    )]
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        now: Now,
    ) -> Result<Session, SessionError> {
        for provider in &self.providers {
            if let Some(found) = provider.find(headers) {
                return provider.open(&found, &self.session_ids, headers, now);
            }
        }
        Err(self.missing(headers))
    }

    /// Which names were looked for and which came, so that a wrong `cookie_names` is seen.
    fn missing(&self, headers: &HeaderMap) -> SessionError {
        let looked_for: Vec<_> = self.cookie_names().map(|(_, name)| name.as_str()).collect();
        SessionError::Missing {
            looked_for: looked_for.join(", "),
            came: cookie::shown_names(headers),
        }
    }

    /// The cookie names that are looked for, with the providers' labels, in order.
    pub fn cookie_names(&self) -> impl Iterator<Item = (&'static str, &CookieName)> {
        self.providers.iter().flat_map(|provider| {
            let label = provider.kind.label();
            provider.cookies.iter().map(move |(name, _)| (label, name))
        })
    }

    /// Where the provider that recognised `session` looks for the user id.
    #[must_use]
    pub fn user_claim(&self, session: &Session) -> Option<&[String]> {
        let decided = |provider: &&Provider| {
            let names = || provider.cookies.iter().map(|(name, _)| name);
            provider.kind.label() == session.provider && names().any(|name| *name == session.cookie)
        };
        let provider = self.providers.iter().find(decided)?;
        Some(&provider.claims.user)
    }
}

impl fmt::Debug for SessionAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.cookie_names().collect();
        f.debug_struct("SessionAuthenticator")
            .field("cookie_names", &names)
            .finish_non_exhaustive()
    }
}

/// One provider, its keys derived.
struct Provider {
    kind: ProviderKind,
    claims: ClaimPaths,
    cookies: Vec<(CookieName, Keyring)>,
}

/// A cookie that decides: its name, its keys, and its value or what is wrong with it.
struct Found<'a> {
    cookie: &'a CookieName,
    keys: &'a Keyring,
    value: Result<Cow<'a, [u8]>, InvalidReason>,
}

impl Provider {
    fn new(config: &ProviderConfig) -> Self {
        let names = if config.cookie_names.is_empty() {
            config.kind.default_cookie_names()
        } else {
            config.cookie_names.clone()
        };
        let keyed = |name: CookieName| {
            let keys = match config.kind {
                ProviderKind::AuthjsV5 => Keyring::authjs_v5(&config.secrets, &name),
                ProviderKind::NextauthV4 => Keyring::nextauth_v4(&config.secrets),
            };
            (name, keys)
        };
        Self {
            kind: config.kind,
            claims: config.claims.clone(),
            cookies: names.into_iter().map(keyed).collect(),
        }
    }

    /// The first of the provider's cookies that is present.
    fn find<'a>(&'a self, headers: &'a HeaderMap) -> Option<Found<'a>> {
        self.cookies.iter().find_map(|(cookie, keys)| {
            let value = cookie::find(headers, cookie).transpose()?;
            Some(Found {
                cookie,
                keys,
                value,
            })
        })
    }

    /// Opens the cookie and reads its claims.
    fn open(
        &self,
        found: &Found<'_>,
        session_ids: &SessionIds,
        headers: &HeaderMap,
        now: Now,
    ) -> Result<Session, SessionError> {
        let provider = self.kind.label();
        let cookie = || found.cookie.clone();
        let invalid = |reason| SessionError::Invalid {
            provider,
            cookie: cookie(),
            reason,
        };
        let token = found.value.as_ref().map_err(|&reason| invalid(reason))?;
        let payload = found.keys.open(token).map_err(invalid)?;
        let claims =
            Claims::read(&payload, &self.claims, now).map_err(|refusal| match refusal {
                Refusal::Invalid(reason) => invalid(reason),
                Refusal::Expired => SessionError::Expired {
                    provider,
                    cookie: cookie(),
                },
            })?;
        let session_id = session_ids.derive(&claims.user, claims.session.as_deref(), headers);
        Ok(Session {
            identity: Identity {
                user: claims.user,
                tier: claims::tier(&claims.tier),
                session_id,
            },
            provider,
            cookie: cookie(),
            expires_at: claims.expires_at,
            tier: claims.tier,
            claim: claims.session.as_deref().map(Arc::from),
            issued_at: claims.issued_at,
        })
    }
}
