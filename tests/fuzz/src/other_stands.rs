//! The providers of the sessions that are neither Auth.js's nor plain JWTs, each with what it reads.

use std::sync::LazyLock;

use super::gateway::secret::Secret;
use super::gateway::session::{
    CacheStrategy, CookieName, Dialect, FormatConfig, LookupConfig, ProofConfig, ProviderConfig,
    ProviderKind, SessionAuthenticator, SignedConfig, SignedDialect,
};
use super::rules::Rules;
use super::sessions;
use super::signed_session::config;

/// The app's secret.
pub const SECRET: &str = "a secret of the app's for the other kinds";

/// The one that it had before.
pub const OLD_SECRET: &str = "the secret that it had before, as long";

/// The session token that Better Auth's token cookie holds.
pub const TOKEN: &str = "tok";

/// The name of that cookie.
pub const TOKEN_COOKIE: &str = "better-auth.session_token";

/// A kind, its cookie, and what it reads.
pub struct Stand {
    /// Its kind.
    pub kind: ProviderKind,
    /// Its cookie's name.
    pub cookie: &'static str,
    /// What stands before a chunk's number, if there are chunks.
    pub chunks: Option<&'static str>,
    /// How it is checked.
    pub format: fn() -> FormatConfig,
    /// What is read.
    pub rules: Rules,
}

/// Every kind.
pub static STANDS: LazyLock<[Stand; 8]> = LazyLock::new(|| {
    let better_auth = |cookie, format, tolerance| Stand {
        kind: ProviderKind::BetterAuthCache,
        cookie,
        chunks: Some("."),
        format,
        rules: rules(
            &["user", "id"],
            &["user", "tier"],
            &["session", "id"],
            tolerance,
        ),
    };
    [
        Stand {
            kind: ProviderKind::IronSession,
            cookie: "iron",
            chunks: None,
            format: || FormatConfig::IronSession {
                passwords: [("2", SECRET), ("1", OLD_SECRET)]
                    .map(|(id, password)| (id.to_owned(), Secret::new(password)))
                    .into(),
            },
            rules: rules(&["user", "id"], &["user", "tier"], &["sid"], 0.0),
        },
        better_auth("c.data", || cache(CacheStrategy::Compact), 0.0),
        better_auth("j.data", || cache(CacheStrategy::Jwt), 0.0),
        better_auth("e.data", || cache(CacheStrategy::Jwe), 15.0),
        Stand {
            kind: ProviderKind::Supabase,
            cookie: "sb-ref-auth-token",
            chunks: Some("."),
            format: || {
                FormatConfig::Signed(SignedConfig {
                    dialect: SignedDialect::Supabase,
                    audiences: vec!["authenticated".to_owned()],
                    ..config(&["ES256", "EdDSA", "HS256"])
                })
            },
            rules: Rules {
                audiences: &["authenticated"],
                most_of_subject: Some(usize::MAX),
                ..rules(&["sub"], &["app_metadata", "tier"], &["session_id"], 0.0)
            },
        },
        Stand {
            kind: ProviderKind::Auth0V4,
            cookie: "__session",
            chunks: Some("__"),
            format: || FormatConfig::Sealed {
                dialect: Dialect::Auth0V4,
                secrets: secrets(),
            },
            rules: rules(
                &["user", "sub"],
                &["user", "tier"],
                &["internal", "sid"],
                15.0,
            ),
        },
        Stand {
            kind: ProviderKind::BetterAuth,
            cookie: TOKEN_COOKIE,
            chunks: None,
            format: || {
                proof(
                    ProviderKind::BetterAuth,
                    ProofConfig::BetterAuth(Secret::new(SECRET)),
                )
            },
            rules: Rules::default(),
        },
        Stand {
            kind: ProviderKind::ExpressSession,
            cookie: "connect.sid",
            chunks: None,
            format: || {
                proof(
                    ProviderKind::ExpressSession,
                    ProofConfig::Express(secrets()),
                )
            },
            rules: Rules::default(),
        },
    ]
});

/// An authenticator of all of them.
pub static AUTHENTICATOR: LazyLock<SessionAuthenticator> = LazyLock::new(|| {
    let provider = |stand: &Stand| {
        let mut provider = ProviderConfig::new(stand.kind, (stand.format)());
        provider.cookie_names = vec![CookieName::parse(stand.cookie).unwrap()];
        provider
    };
    sessions::authenticator(STANDS.iter().map(provider).collect())
});

fn rules(
    user: &'static [&'static str],
    tier: &'static [&'static str],
    session: &'static [&'static str],
    tolerance: f64,
) -> Rules {
    Rules {
        user,
        tier,
        session,
        tolerance,
        ..Rules::default()
    }
}

fn secrets() -> Vec<Secret> {
    [SECRET, OLD_SECRET].map(Secret::new).into()
}

fn cache(strategy: CacheStrategy) -> FormatConfig {
    FormatConfig::BetterAuthCache {
        secrets: secrets(),
        strategy,
        token_cookie_names: vec![CookieName::parse(TOKEN_COOKIE).unwrap()],
    }
}

/// Proved, and nobody is asked.
fn proof(kind: ProviderKind, proof: ProofConfig) -> FormatConfig {
    FormatConfig::Lookup(LookupConfig {
        proof: Some(proof),
        ..LookupConfig::new(kind, None)
    })
}
