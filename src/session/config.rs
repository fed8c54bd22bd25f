//! How sessions are recognised: the `[session]` and `[session_id]` sections as the rest of this
//! module wants them.

use std::time::Duration;

use super::cookie::CookieName;
use super::kind::ProviderKind;
use super::lookup::LookupConfig;
use super::proof::ProofConfig;
use super::signed::{Algorithm, KeySource, SignedConfig};
use crate::secret::Secret;

/// How sessions are recognised (`[session]`).
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Tried in order: one whose cookie is absent passes to the next, one whose cookie is present decides.
    pub providers: Vec<ProviderConfig>,
    /// The longest that the app's sessions last, and so how long a revocation is kept; default 30 d.
    pub max_age: Duration,
    /// How `X-Session-Id` is made.
    pub session_id: SessionIdConfig,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            providers: Vec::new(),
            max_age: Duration::from_hours(30 * 24),
            session_id: SessionIdConfig::default(),
        }
    }
}

/// One provider (`[[session.providers]]`).
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// The kind of session.
    pub kind: ProviderKind,
    /// Cookie names to look for, in order; the first that is present decides. Empty: the library's own.
    pub cookie_names: Vec<CookieName>,
    /// What is taken from the session, and what it must say.
    pub claims: ClaimRules,
    /// How it is checked.
    pub format: FormatConfig,
}

impl ProviderConfig {
    /// A provider of `kind` with the library's own cookie names and claims.
    #[must_use]
    pub fn new(kind: ProviderKind, format: FormatConfig) -> Self {
        Self {
            kind,
            cookie_names: Vec::new(),
            claims: ClaimRules::new(kind.default_claims()),
            format,
        }
    }
}

/// How a session is checked.
#[derive(Clone, Debug)]
pub enum FormatConfig {
    /// An encrypted token (JWE).
    Sealed {
        /// Whose.
        dialect: Dialect,
        /// The app's secrets, newest first.
        secrets: Vec<Secret>,
    },
    /// Better Auth's session cache.
    BetterAuthCache {
        /// The app's secrets, newest first; only the first signs (`BETTER_AUTH_SECRET`).
        secrets: Vec<Secret>,
        /// How the cache is written.
        strategy: CacheStrategy,
        /// The token cookie that each cache cookie is checked against, in the order of the cookie names.
        token_cookie_names: Vec<CookieName>,
    },
    /// iron-session's seal.
    IronSession {
        /// Passwords by their ids, as the app has them.
        passwords: Vec<(String, Secret)>,
    },
    /// A JWT.
    Signed(SignedConfig),
    /// The app is asked.
    Lookup(LookupConfig),
}

impl FormatConfig {
    /// Every secret in it.
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::Sealed { secrets, .. } | Self::BetterAuthCache { secrets, .. } => {
                secrets.iter().collect()
            }
            Self::IronSession { passwords } => {
                passwords.iter().map(|(_, password)| password).collect()
            }
            Self::Signed(config) => config.secrets.iter().collect(),
            Self::Lookup(lookup) => {
                let proof = lookup.proof.iter();
                proof.flat_map(ProofConfig::secrets).collect()
            }
        }
    }

    /// The addresses that its sessions are checked by, whole URLs.
    #[must_use]
    pub fn addresses(&self) -> Vec<SessionAddress> {
        match self {
            Self::Signed(signed) => match &signed.keys {
                Some(KeySource::Url { url, .. }) => vec![SessionAddress::Keys {
                    url: url.to_string(),
                    algorithms: signed.algorithms.clone(),
                }],
                Some(KeySource::Held(_)) | None => Vec::new(),
            },
            Self::Sealed { .. } | Self::BetterAuthCache { .. } | Self::IronSession { .. } => {
                Vec::new()
            }
            Self::Lookup(lookup) => {
                let url = lookup.url.iter();
                url.map(|url| SessionAddress::App(url.to_string()))
                    .collect()
            }
        }
    }
}

/// An address that sessions are checked by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionAddress {
    /// An issuer's public keys.
    Keys {
        /// Where.
        url: String,
        /// What tokens may be signed by.
        algorithms: Vec<Algorithm>,
    },
    /// Where the app says whose session a cookie is.
    App(String),
}

/// Whose encrypted token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Auth.js v5.
    AuthjsV5,
    /// `NextAuth` v4.
    NextauthV4,
    /// `@auth0/nextjs-auth0` v4.
    Auth0V4,
}

/// How Better Auth writes its session cache (`session.cookieCache.strategy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheStrategy {
    /// JSON and its HMAC, in base64url: the library's default.
    #[default]
    Compact,
    /// A JWT signed with the secret.
    Jwt,
    /// An encrypted token.
    Jwe,
}

impl CacheStrategy {
    /// Every strategy.
    pub const ALL: [Self; 3] = [Self::Compact, Self::Jwt, Self::Jwe];

    /// Its name in configuration, and in the app's.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Jwt => "jwt",
            Self::Jwe => "jwe",
        }
    }
}

/// What is taken from a session, and what it must say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimRules {
    /// Where the claims are.
    pub paths: ClaimPaths,
    /// Stands before every user id, so that two providers' users cannot be taken for each other;
    /// default empty.
    pub user_prefix: String,
    /// A session that does not meet all of these is genuine, and not allowed.
    pub required: Vec<Requirement>,
}

impl ClaimRules {
    /// Claims at `paths`, and nothing required.
    #[must_use]
    pub fn new(paths: ClaimPaths) -> Self {
        Self {
            paths,
            ..Self::default()
        }
    }
}

/// A claim that a session must have.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// Its path.
    pub claim: Vec<String>,
    /// Its value is one of these; a list must hold one of them.
    pub one_of: Vec<serde_json::Value>,
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
    /// When the session began; default `["iat"]`.
    pub issued: Vec<String>,
}

impl Default for ClaimPaths {
    fn default() -> Self {
        ProviderKind::Signed.default_claims()
    }
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

impl SessionIdSource {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Claim, Self::User, Self::Minted];

    /// The source with this [`label`](Self::label).
    #[must_use]
    pub fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.label() == label)
    }

    /// Its name in configuration.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::User => "user",
            Self::Minted => "minted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_parse_back() {
        for source in SessionIdSource::ALL {
            assert_eq!(SessionIdSource::parse(source.label()), Some(source));
        }
    }
}
