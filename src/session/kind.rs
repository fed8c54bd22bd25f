//! The kinds of sessions, each with what its library writes by default.

use super::config::ClaimPaths;
use super::cookie::{Chunks, CookieName};

/// A session format, or a way to ask for one. Its label stands in configuration, metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// Auth.js v5 (`@auth/core`, next-auth 5) with its default, JWT sessions.
    AuthjsV5,
    /// `NextAuth` v4 with its default, JWT sessions.
    NextauthV4,
    /// `@auth0/nextjs-auth0` v4.
    Auth0V4,
    /// Better Auth with `session.cookieCache`.
    BetterAuthCache,
    /// iron-session v8.
    IronSession,
    /// Clerk.
    Clerk,
    /// Firebase session cookies.
    Firebase,
    /// An Auth0 access token in a cookie.
    Auth0Token,
    /// `@supabase/ssr`.
    Supabase,
    /// Any other JWT in a cookie.
    Signed,
    /// A JWT in `Authorization` in place of a cookie.
    Bearer,
    /// Auth.js and `NextAuth` with database sessions: the app is asked.
    AuthjsDatabase,
    /// Better Auth: the app is asked.
    BetterAuth,
    /// Ory Kratos, which is asked.
    Kratos,
    /// express-session: the app is asked.
    ExpressSession,
    /// Any other session: the app is asked.
    Lookup,
}

/// How a kind of session is checked, which says what it can be configured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Opened with a secret of the app's.
    Sealed,
    /// A JWT whose signature is checked.
    Signed,
    /// The app is asked.
    Lookup,
}

impl ProviderKind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::AuthjsV5,
        Self::NextauthV4,
        Self::Auth0V4,
        Self::BetterAuthCache,
        Self::IronSession,
        Self::Clerk,
        Self::Firebase,
        Self::Auth0Token,
        Self::Supabase,
        Self::Signed,
        Self::Bearer,
        Self::AuthjsDatabase,
        Self::BetterAuth,
        Self::Kratos,
        Self::ExpressSession,
        Self::Lookup,
    ];

    /// The kind with this [`label`](Self::label).
    #[must_use]
    pub fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }

    /// Its name.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::AuthjsV5 => "authjs-v5",
            Self::NextauthV4 => "nextauth-v4",
            Self::Auth0V4 => "auth0-v4",
            Self::BetterAuthCache => "better-auth-cache",
            Self::IronSession => "iron-session",
            Self::Clerk => "clerk",
            Self::Firebase => "firebase",
            Self::Auth0Token => "auth0-token",
            Self::Supabase => "supabase",
            Self::Signed => "signed",
            Self::Bearer => "bearer",
            Self::AuthjsDatabase => "authjs-database",
            Self::BetterAuth => "better-auth",
            Self::Kratos => "kratos",
            Self::ExpressSession => "express-session",
            Self::Lookup => "lookup",
        }
    }

    /// How it is checked.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::AuthjsV5
            | Self::NextauthV4
            | Self::Auth0V4
            | Self::BetterAuthCache
            | Self::IronSession => Family::Sealed,
            Self::Clerk
            | Self::Firebase
            | Self::Auth0Token
            | Self::Supabase
            | Self::Signed
            | Self::Bearer => Family::Signed,
            Self::AuthjsDatabase
            | Self::BetterAuth
            | Self::Kratos
            | Self::ExpressSession
            | Self::Lookup => Family::Lookup,
        }
    }

    /// The names that the library gives its session cookie, over https first; none where the app
    /// chooses, or where the name depends on more than the kind.
    #[must_use]
    pub fn default_cookie_names(self) -> Vec<CookieName> {
        let names: &[&'static str] = match self {
            Self::AuthjsV5 => &["__Secure-authjs.session-token", "authjs.session-token"],
            Self::NextauthV4 => &[
                "__Secure-next-auth.session-token",
                "next-auth.session-token",
            ],
            Self::AuthjsDatabase => &[
                "__Secure-authjs.session-token",
                "authjs.session-token",
                "__Secure-next-auth.session-token",
                "next-auth.session-token",
            ],
            Self::Auth0V4 | Self::Clerk => &["__session"],
            Self::Firebase => &["session"],
            Self::BetterAuthCache => &[
                "__Secure-better-auth.session_data",
                "better-auth.session_data",
            ],
            Self::BetterAuth => &[
                "__Secure-better-auth.session_token",
                "better-auth.session_token",
            ],
            Self::Kratos => &["ory_kratos_session"],
            Self::ExpressSession => &["connect.sid"],
            Self::IronSession
            | Self::Auth0Token
            | Self::Supabase
            | Self::Signed
            | Self::Bearer
            | Self::Lookup => &[],
        };
        names.iter().copied().map(CookieName::from_static).collect()
    }

    /// Where the claims are unless the configuration says otherwise.
    #[must_use]
    pub fn default_claims(self) -> ClaimPaths {
        let (user, tier, session, issued): (&[&str], &[&str], &[&str], &[&str]) = match self {
            Self::AuthjsV5
            | Self::NextauthV4
            | Self::Firebase
            | Self::Auth0Token
            | Self::Signed
            | Self::Bearer => (&["sub"], &["tier"], &["sid"], &["iat"]),
            Self::Clerk => (&["sub"], &["pla"], &["sid"], &["iat"]),
            Self::Supabase => (
                &["sub"],
                &["app_metadata", "tier"],
                &["session_id"],
                &["iat"],
            ),
            Self::Auth0V4 => (
                &["user", "sub"],
                &["user", "tier"],
                &["internal", "sid"],
                &["internal", "createdAt"],
            ),
            Self::BetterAuthCache | Self::BetterAuth => (
                &["user", "id"],
                &["user", "tier"],
                &["session", "id"],
                &["session", "createdAt"],
            ),
            Self::AuthjsDatabase | Self::IronSession | Self::ExpressSession | Self::Lookup => {
                (&["user", "id"], &["user", "tier"], &["sid"], &["iat"])
            }
            Self::Kratos => (
                &["identity", "id"],
                &["identity", "metadata_public", "tier"],
                &["id"],
                &["authenticated_at"],
            ),
        };
        let path = |keys: &[&str]| keys.iter().map(ToString::to_string).collect();
        ClaimPaths {
            user: path(user),
            tier: path(tier),
            session: path(session),
            issued: path(issued),
        }
    }

    /// How the library spreads a session over several cookies.
    pub(super) fn chunks(self) -> Chunks {
        match self {
            Self::AuthjsV5 | Self::NextauthV4 | Self::AuthjsDatabase => Chunks::AUTH_JS,
            Self::Lookup => Chunks::ANY,
            Self::Supabase => Chunks::SUPABASE,
            Self::Auth0V4 => Chunks::AUTH0,
            Self::BetterAuthCache => Chunks::BETTER_AUTH,
            Self::IronSession
            | Self::Clerk
            | Self::Firebase
            | Self::Auth0Token
            | Self::Signed
            | Self::Bearer
            | Self::BetterAuth
            | Self::Kratos
            | Self::ExpressSession => Chunks::NONE,
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
        assert_eq!(ProviderKind::parse("AUTHJS-V5"), None);
    }

    #[test]
    fn default_names_are_cookie_names_and_the_secure_one_comes_first() {
        for kind in ProviderKind::ALL {
            let names = kind.default_cookie_names();
            for name in &names {
                assert_eq!(CookieName::parse(name.as_str()).as_ref(), Some(name));
            }
            if names.len() > 1 {
                assert!(names[0].as_str().starts_with("__Secure-"));
            }
        }
    }

    #[test]
    fn no_two_kinds_that_decide_by_themselves_share_a_default_name_but_session() {
        let mut names: Vec<_> = ProviderKind::ALL
            .into_iter()
            .filter(|kind| *kind != ProviderKind::AuthjsDatabase)
            .flat_map(ProviderKind::default_cookie_names)
            .filter(|name| name.as_str() != "__session")
            .collect();
        let all = names.len();
        names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
