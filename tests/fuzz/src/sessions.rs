//! The authenticators that sessions are tried on: that of Auth.js, old and new, with the secrets and
//! the time of `tests/vectors`, and what the others need.

use std::sync::LazyLock;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

use super::gateway::clock::Now;
use super::gateway::config::OutboundConfig;
use super::gateway::generation::outbound;
use super::gateway::secret::Secret;
use super::gateway::session::{
    Dialect, FormatConfig, Front, ProviderConfig, ProviderKind, Session, SessionAuthenticator,
    SessionConfig, SessionError, Visit,
};
use super::input::ready;

/// The app's secret.
pub const SECRET: &str = "dev-nextauth-secret-7f3c1b9a5e2d4860";

/// The secret that it had before.
pub const OLD_SECRET: &str = "dev-old-secret-0b1c2d3e4f5a6978";

/// The time, in seconds since the Unix epoch.
pub const NOW: u64 = 1_795_430_000;

/// Every provider's label and cookie names, in the order in which they are looked for.
pub const NAMES: [(&str, &str); 4] = [
    ("authjs-v5", "__Secure-authjs.session-token"),
    ("authjs-v5", "authjs.session-token"),
    ("nextauth-v4", "__Secure-next-auth.session-token"),
    ("nextauth-v4", "next-auth.session-token"),
];

static AUTHENTICATOR: LazyLock<SessionAuthenticator> = LazyLock::new(|| {
    let provider = |(kind, dialect)| {
        let secrets = [SECRET, OLD_SECRET].map(Secret::new).into();
        ProviderConfig::new(kind, FormatConfig::Sealed { dialect, secrets })
    };
    let providers = [
        (ProviderKind::AuthjsV5, Dialect::AuthjsV5),
        (ProviderKind::NextauthV4, Dialect::NextauthV4),
    ];
    authenticator(providers.map(provider).into())
});

/// An authenticator of these providers.
#[must_use]
pub fn authenticator(providers: Vec<ProviderConfig>) -> SessionAuthenticator {
    let config = SessionConfig {
        providers,
        ..SessionConfig::default()
    };
    SessionAuthenticator::new(&config, &outbound(&OutboundConfig::default()).unwrap()).unwrap()
}

/// What the gateway makes of a request with these headers.
///
/// # Errors
/// The gateway's own.
pub fn authenticate(headers: &HeaderMap) -> Result<Session, SessionError> {
    authenticate_by(&AUTHENTICATOR, headers)
}

/// The same by another authenticator.
///
/// # Errors
/// The gateway's own.
pub fn authenticate_by(
    authenticator: &SessionAuthenticator,
    headers: &HeaderMap,
) -> Result<Session, SessionError> {
    let now = Now {
        unix: Duration::from_secs(NOW),
        elapsed: Duration::ZERO,
    };
    let front = Front::default();
    let visit = Visit {
        headers,
        front,
        now,
    };
    ready(authenticator.authenticate(&visit))
}

/// The headers of a request with these cookies, their values as they are written.
#[must_use]
pub fn cookies(pairs: &[(&str, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let field = HeaderValue::try_from(format!("{name}={value}")).unwrap();
        headers.append(header::COOKIE, field);
    }
    headers
}

/// Whether two verdicts are the same in every respect.
#[must_use]
pub fn same(one: &Result<Session, SessionError>, other: &Result<Session, SessionError>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            one.identity == other.identity
                && one.provider == other.provider
                && one.carrier == other.carrier
                && one.expires_at == other.expires_at
                && one.tier == other.tier
        }
        // An error holds names and a reason, and its text all of them.
        (Err(one), Err(other)) => one.to_string() == other.to_string(),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}
