//! How sessions are recognised: the `[session]` and `[session_id]` sections as the rest of this
//! module wants them, with the libraries' own defaults.

use std::time::Duration;

use super::cookie::CookieName;
use crate::secret::Secret;

/// How sessions are recognised (`[session]`).
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Tried in order: one whose cookie is absent passes to the next, one whose cookie is present decides.
    pub providers: Vec<ProviderConfig>,
    /// How `X-Session-Id` is made.
    pub session_id: SessionIdConfig,
    /// The longest that the app lets a session live, and how long a revocation is therefore kept;
    /// default 30 d.
    pub max_age: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            providers: Vec::new(),
            session_id: SessionIdConfig::default(),
            max_age: Duration::from_hours(30 * 24),
        }
    }
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

impl ProviderKind {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::AuthjsV5, Self::NextauthV4];

    /// The format with this [`label`](Self::label).
    #[must_use]
    pub fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }

    /// Its name in configuration, metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::AuthjsV5 => "authjs-v5",
            Self::NextauthV4 => "nextauth-v4",
        }
    }

    /// The names that the library gives its session cookie: over https, then over http.
    #[must_use]
    pub fn default_cookie_names(self) -> Vec<CookieName> {
        let names = match self {
            Self::AuthjsV5 => ["__Secure-authjs.session-token", "authjs.session-token"],
            Self::NextauthV4 => [
                "__Secure-next-auth.session-token",
                "next-auth.session-token",
            ],
        };
        names.map(CookieName::from_static).into()
    }
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

impl Default for ClaimPaths {
    fn default() -> Self {
        Self {
            user: vec!["sub".to_owned()],
            tier: vec!["tier".to_owned()],
            session: vec!["sid".to_owned()],
        }
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
        for kind in ProviderKind::ALL {
            assert_eq!(ProviderKind::parse(kind.label()), Some(kind));
        }
        for source in SessionIdSource::ALL {
            assert_eq!(SessionIdSource::parse(source.label()), Some(source));
        }
        assert_eq!(ProviderKind::parse("AUTHJS-V5"), None);
    }

    #[test]
    fn default_names_are_cookie_names_and_the_secure_one_comes_first() {
        for kind in ProviderKind::ALL {
            let names = kind.default_cookie_names();
            assert!(names[0].as_str().starts_with("__Secure-"));
            for name in names {
                assert_eq!(CookieName::parse(name.as_str()), Some(name));
            }
        }
    }
}
