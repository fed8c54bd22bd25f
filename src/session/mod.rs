//! Recognises the user by the session that the app already has.
//!
//! THE list of providers: a new kind is one new file plus the arms that the compiler then demands in
//! `kind.rs`, here and in `config/sessions`.
//!
//! Guarantees: the session is taken from a cookie, or, where a provider says so, from a JWT in
//! `Authorization`; the first provider whose cookie is present decides, and within it the first cookie
//! name, so nothing is tried until something works; a session is expired only if it was genuine; one
//! that only proves to be genuine names nobody and lets nobody in. Nothing here prints a cookie's value
//! or a secret.

mod bearer;
mod better_auth;
mod claims;
mod config;
mod cookie;
mod error;
mod fingerprint;
mod invalid;
mod iron;
mod json;
mod keys;
mod kind;
mod lookup;
mod moment;
mod proof;
mod provider;
mod remembered;
mod sealed;
mod session_id;
mod signed;
mod weakness;

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod sealer;
#[cfg(test)]
mod vectors;

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;

pub use self::config::{
    CacheStrategy, ClaimPaths, ClaimRules, Dialect, FormatConfig, ProviderConfig, Requirement,
    SessionAddress, SessionConfig, SessionIdConfig, SessionIdSource,
};
pub use self::cookie::CookieName;
pub(crate) use self::cookie::names as cookie_names;
pub use self::error::{Asked, Carrier, Cause, SessionError};
pub use self::invalid::InvalidReason;
pub use self::kind::{Family, ProviderKind};
pub use self::lookup::{Front, LookupConfig};
pub use self::proof::ProofConfig;
pub use self::provider::SessionBuildError;
pub use self::signed::{
    Algorithm, IssuerStatus, KeySet, KeySetError, KeySource, SignedConfig, SignedDialect,
};
pub use self::weakness::{SecretWeakness, secret_weakness};

use self::provider::{Found, Provider};
use self::session_id::SessionIds;
use crate::client::Outbound;
use crate::clock::Now;
use crate::identity::{Identity, SessionId};
use crate::telemetry::metrics::Metrics;

/// A recognised session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who it is, ready for the token cache.
    pub identity: Identity,
    /// The provider's label, e.g. `authjs-v5`.
    pub provider: &'static str,
    /// Where it was read from.
    pub carrier: Carrier,
    /// When it ends, as it stands; `None` if it does not say.
    pub expires_at: Option<serde_json::Number>,
    /// When it began, in Unix seconds, where it says so: for revocation.
    pub issued_at: Option<f64>,
    /// The app's own name of the session (the stable claim), where there is one: for revocation.
    pub claim: Option<Arc<str>>,
    /// The tier claim as the session holds it, whatever its type; null when absent.
    pub tier: serde_json::Value,
}

/// A request, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'r> {
    /// Its Cookie fields, `Authorization`, and (where page ids are mixed in) `X-Session-Id`.
    pub headers: &'r HeaderMap,
    /// How the browser reaches the app.
    pub front: Front<'r>,
    /// When it came.
    pub now: Now,
}

/// That a provider looked for its session somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The provider's label.
    pub provider: &'static str,
    /// Where it looked.
    pub carrier: Carrier,
    /// Whether something was there, which then decides.
    pub is_there: bool,
}

/// Recognises sessions; immutable but for what it remembers, all keys derived once.
pub struct SessionAuthenticator {
    providers: Vec<Provider>,
    /// The one that reads `Authorization`.
    bearer: Option<Provider>,
    session_ids: SessionIds,
}

impl SessionAuthenticator {
    /// Derives every key: for each provider, cookie name and secret. Whoever must be asked is called
    /// through `outbound`.
    ///
    /// # Errors
    /// Keys or addresses that cannot be used.
    pub fn new(config: &SessionConfig, outbound: &Outbound) -> Result<Self, SessionBuildError> {
        let mut providers = Vec::new();
        let mut bearer = None;
        for (index, provider) in config.providers.iter().enumerate() {
            let built = Provider::new(index, provider, outbound)?;
            if provider.kind == ProviderKind::Bearer {
                bearer = Some(built);
            } else {
                providers.push(built);
            }
        }
        Ok(Self {
            providers,
            bearer,
            session_ids: SessionIds::new(&config.session_id),
        })
    }

    /// Recognises the user of a request.
    ///
    /// # Errors
    /// Missing, expired, invalid, not allowed, or not to be found out now.
    pub async fn authenticate(&self, visit: &Visit<'_>) -> Result<Session, SessionError> {
        if let Some(bearer) = &self.bearer
            && let Some(found) = self.find_bearer(bearer, visit.headers)
        {
            return bearer.open(found, &self.session_ids, visit).await;
        }
        for provider in &self.providers {
            if let Some(found) = provider.find(visit.headers) {
                return provider.open(found, &self.session_ids, visit).await;
            }
        }
        Err(self.missing(visit.headers))
    }

    /// A JWT in `Authorization` decides alone; together with a session cookie it is refused, since
    /// one of the two may be another user's.
    fn find_bearer<'a>(&self, bearer: &'a Provider, headers: &'a HeaderMap) -> Option<Found<'a>> {
        let has_cookie = || self.providers.iter().any(|p| p.find(headers).is_some());
        let token = match bearer::find(headers)? {
            Ok(_) if has_cookie() => Err(InvalidReason::BearerAndCookie),
            token => token,
        };
        bearer.found_bearer(token)
    }

    /// Which names were looked for and which came, so that a wrong `cookie_names` is seen.
    fn missing(&self, headers: &HeaderMap) -> SessionError {
        let bearer = self.bearer.as_ref().map(|_| "Authorization: Bearer <JWT>");
        let names = self.cookie_names().map(|(_, name)| name.as_str());
        let looked_for: Vec<_> = bearer.into_iter().chain(names).collect();
        SessionError::Missing {
            looked_for: looked_for.join(", "),
            came: cookie::shown_names(headers),
        }
    }

    /// Fetches issuers' keys in the background, where it is time for that. To be called every second
    /// or so, within a runtime that lasts.
    pub fn tend(&self, now: Now) {
        for provider in self.all() {
            provider.tend(now);
        }
    }

    /// Takes over what `previous` knows of the same issuers.
    pub fn adopt(&self, previous: &Self) {
        for provider in self.all() {
            for other in previous.all() {
                provider.adopt(other);
            }
        }
    }

    /// How it stands with the keys of each issuer that is asked for them, by the provider's label;
    /// calls are counted since this was asked last.
    pub fn issuers(&self) -> impl Iterator<Item = (&'static str, IssuerStatus)> {
        self.all().filter_map(Provider::issuer)
    }

    fn all(&self) -> impl Iterator<Item = &Provider> {
        self.providers.iter().chain(&self.bearer)
    }

    /// The cookie names that are looked for, with the providers' labels, in order.
    pub fn cookie_names(&self) -> impl Iterator<Item = (&'static str, &CookieName)> {
        self.providers.iter().flat_map(Provider::cookie_names)
    }

    /// Who looks where, in order, up to the one that decides.
    #[must_use]
    pub fn looks(&self, headers: &HeaderMap) -> Vec<Look> {
        let mut looks = Vec::new();
        if let Some(bearer) = &self.bearer {
            let is_there = bearer::find(headers).is_some();
            looks.push(bearer.looked_at(Carrier::Authorization, is_there));
            if is_there {
                return looks;
            }
        }
        for provider in &self.providers {
            if provider.look(headers, &mut looks) {
                break;
            }
        }
        looks
    }

    /// Whether an app is asked, who must then be told how the browser reaches it ([`Visit::front`]).
    #[must_use]
    pub fn asks(&self) -> bool {
        self.lookups().next().is_some()
    }

    /// Counts lookups in `metrics` from now on.
    pub fn count_in(&self, metrics: &Arc<Metrics>) {
        for lookup in self.lookups() {
            lookup.count_in(metrics);
        }
    }

    /// Closes connections to apps that can no longer be used.
    pub fn sweep_connections(&self) {
        for lookup in self.lookups() {
            lookup.sweep_connections();
        }
    }

    fn lookups(&self) -> impl Iterator<Item = &lookup::Lookup> {
        self.providers.iter().filter_map(Provider::lookup)
    }

    /// The id that requests of `session` carry whose page names none of its own. Where Behest chooses
    /// the id (`session_id.source = "minted"`), it is one by the source `claim`, which is never sent: a
    /// name for the page alone.
    #[must_use]
    pub fn session_id(&self, session: &Session) -> Option<SessionId> {
        let claim = session.claim.as_deref();
        self.session_ids.own(&session.identity.user, claim)
    }

    /// Where the provider that recognised `session` looks for the user id.
    #[must_use]
    pub fn user_claim(&self, session: &Session) -> Option<&[String]> {
        let mut decided = self.all().filter(|provider| provider.recognised(session));
        decided.next().map(Provider::user_claim)
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
