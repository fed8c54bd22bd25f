//! A user's Behest token: minted by API key or signed locally, kept in the cache.
//!
//! THE list of mint modes: a new one is one new file plus the arms that the compiler demands here.
//! Guarantees: a token is made from an [`Identity`] and the configuration alone, it is refused unless
//! it was issued to that identity's user, and it is never used past its end.

mod answer;
mod breaker;
mod cache;
mod confidential;
mod entries;
mod error;
mod exchange;
mod failure_log;
mod issued;
mod key;
mod mint_task;
mod minted;
mod rsa_key;
mod sign;
mod tiers;
mod user_limits;

#[cfg(test)]
mod testing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::client::Client;
use crate::clock::Now;
use crate::identity::{Identity, Tier};
use crate::secret::Secret;

pub use cache::TokenCache;
pub use confidential::{Bearers, Confidential};
pub use error::{InvalidAnswer, Outage, TokenError};
pub use exchange::Exchange;
pub use key::{KeyError, KeyMode, key_mode, validate};
pub use minted::Minted;
pub use rsa_key::RsaKey;
pub use sign::Signer;

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
    /// Mints in flight at once; default 256. Signatures: this, but at most one for each core.
    pub concurrency: usize,
    /// Sent where the session has no tier; default none (no tier is sent).
    pub default_tier: Option<Tier>,
    /// Maps the session's tier (its text, or its number as text) to what is sent.
    pub tier_map: BTreeMap<String, Tier>,
}

impl MintConfig {
    /// Whether tokens made with `other` are as good as those made with this: the same key, names and
    /// tiers. A new lifetime, path or limit is no reason to throw tokens away.
    #[must_use]
    pub fn issues_same_tokens(&self, other: &Self) -> bool {
        self.key.expose() == other.key.expose()
            && self.pem.as_ref().map(Secret::expose) == other.pem.as_ref().map(Secret::expose)
            && self.kid == other.kid
            && self.tenant_id == other.tenant_id
            && self.project_id == other.project_id
            && self.default_tier == other.default_tier
            && self.tier_map == other.tier_map
    }
}

/// The token cache (`[cache]`).
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// Identities held at once; default 100 000.
    pub max_entries: usize,
    /// At most 16 live identities a user and 10 mints a user in 10 s. Needed where a page can make
    /// identities of its own (`session_id.mix_client`); default off.
    pub per_user_limits: bool,
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

/// What a mint came to, shared by all who wait for it.
type Outcome = Result<Arc<AccessToken>, TokenError>;

/// Makes tokens: the closed set of mint modes, chosen by the key's prefix.
pub enum TokenMinter {
    /// `behest_pk_`: RS256 with the tenant's own key, no call at all.
    Sign(Signer),
    /// `behest_sk_`: one call to Behest for each token.
    Exchange(Box<Exchange>),
    /// Answers as a test says.
    #[cfg(test)]
    Scripted(testing::Script),
}

impl TokenMinter {
    /// The minter for `config.key`; `client` calls `BEHEST_BASE_URL` and sets its `Host`.
    ///
    /// # Errors
    /// The first of the problems that [`validate`] lists.
    pub fn new(config: &MintConfig, client: Arc<Client>) -> Result<Self, KeyError> {
        match key_mode(&config.key)? {
            KeyMode::Sign => Signer::new(config).map(Self::Sign),
            KeyMode::Exchange => Exchange::new(config, client)
                .map(Box::new)
                .map(Self::Exchange),
        }
    }

    /// One token for `identity`; `now` is the moment before it was asked for. Requests go by way of
    /// [`TokenCache`], which bounds how often and how long; a mint alone has twice `mint.timeout`.
    ///
    /// # Errors
    /// Behest refuses, is unavailable, or answers with what is no token for this user.
    pub async fn mint(&self, identity: &Identity, now: Now) -> Result<Minted, TokenError> {
        match self {
            Self::Sign(signer) => signer.mint(identity, now).await,
            Self::Exchange(exchange) => exchange.mint(identity, now).await,
            #[cfg(test)]
            Self::Scripted(script) => script.mint(identity, now).await,
        }
    }

    /// Closes pooled connections that can no longer be used ([`Client::sweep`]).
    fn sweep_connections(&self) {
        match self {
            Self::Exchange(exchange) => exchange.sweep_connections(),
            Self::Sign(_) => {}
            #[cfg(test)]
            Self::Scripted(_) => {}
        }
    }

    /// Mints at once. Signing is work for the processor: more at once than cores only takes the
    /// workers' time.
    fn places(&self, configured: usize) -> usize {
        match self {
            Self::Sign(_) => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                configured.min(cores).max(1)
            }
            Self::Exchange(_) => configured.max(1),
            #[cfg(test)]
            Self::Scripted(_) => configured.max(1),
        }
    }
}
