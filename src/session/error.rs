//! Why there is no session: for the operator's log, the metrics and `inspect`, never for clients,
//! who learn only the code.

use super::cookie::CookieName;
use crate::identity::UserIdError;

/// Why there is no session. Holds names only, never a value.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No provider found its cookie.
    #[error("no session cookie: looked for {looked_for}; {came}")]
    Missing {
        /// The names that are configured, or the libraries' own.
        looked_for: String,
        /// The names that came, as far as they are harmless.
        came: String,
    },
    /// The cookie is genuine, and its session has ended.
    #[error("the session in the cookie {cookie} ({provider}) has expired")]
    Expired {
        /// The provider's label.
        provider: &'static str,
        /// The cookie's base name.
        cookie: CookieName,
    },
    /// The cookie is no session of the app's, or one without a usable user.
    #[error("the session in the cookie {cookie} ({provider}) is invalid: {reason}")]
    Invalid {
        /// The provider's label.
        provider: &'static str,
        /// The cookie's base name.
        cookie: CookieName,
        /// The cause.
        reason: InvalidReason,
    },
}

impl SessionError {
    /// The error's code word: `session_missing`, `session_expired` or `session_invalid`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "session_missing",
            Self::Expired { .. } => "session_expired",
            Self::Invalid { .. } => "session_invalid",
        }
    }

    /// The provider that decided, as a metric's label; `none` where no cookie was found.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "none",
            Self::Expired { provider, .. } | Self::Invalid { provider, .. } => provider,
        }
    }
}

/// What is wrong with a cookie, in words that a developer of the app can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReason {
    /// Over 64 KiB, its chunks joined.
    #[error("the cookie is larger than 64 KiB: put less into the session")]
    TooLarge,
    /// More than 16 chunks.
    #[error("the cookie has more than 16 chunks: put less into the session")]
    TooManyChunks,
    /// `NAME` and `NAME.<n>` both have a value.
    #[error(
        "the cookie and chunks of it are both present: one of them is stale; clear the app's cookies"
    )]
    BaseAndChunks,
    /// Not a compact JWE.
    #[error(
        "not an encrypted session token (five base64url parts): another program's cookie, one that was cut or quoted, or a chunk is missing"
    )]
    Malformed,
    /// The second part of the token is not empty.
    #[error("the token carries an encrypted key, which Auth.js never writes")]
    EncryptedKey,
    /// The token's header is no JSON object.
    #[error("the token's header is not a JSON object")]
    Header,
    /// `alg` or `enc` is none that the library writes.
    #[error(
        "the token's algorithm is not this provider's: NextAuth v4 writes dir/A256GCM, Auth.js v5 dir/A256CBC-HS512 or dir/A256GCM; is the cookie of the other version?"
    )]
    Algorithm,
    /// The token has a `zip` header.
    #[error("the token is compressed (zip), which Auth.js never does")]
    Compressed,
    /// The token has a `crit` header.
    #[error("the token demands an extension (crit), which Auth.js never does")]
    Critical,
    /// Its key id belongs to none of the configured secrets.
    #[error(
        "decrypts under no configured secret: the app's AUTH_SECRET differs, or the cookie name (the salt) does"
    )]
    NoMatchingSecret,
    /// It names no key, and none of the configured secrets opens it.
    #[error(
        "decrypts under no configured secret: the app's NEXTAUTH_SECRET (AUTH_SECRET) differs, or the cookie was altered or cut"
    )]
    NoSecretOpens,
    /// Its key id is that of a configured secret, and its authentication tag is wrong.
    #[error(
        "made with a configured secret, and altered or cut since: is a chunk missing or stale?"
    )]
    Tampered,
    /// It decrypts to something else than a JSON object in UTF-8.
    #[error("the decrypted session is not a JSON object")]
    Payload,
    /// No `exp`: it would be valid for ever.
    #[error("the session has no `exp` claim; custom `jwt.encode` functions must set one")]
    NoExpiry,
    /// `exp`, `nbf` or `iat` (named here) is not a number.
    #[error("the session's `{0}` claim is not a number")]
    TimeNotNumber(&'static str),
    /// `nbf` lies in the future.
    #[error("the session is not valid yet (`nbf`): do the app's and the gateway's clocks differ?")]
    NotYetValid,
    /// No user id where it was looked for.
    #[error(
        "the session has no user id at the configured claim path; set it in the app's `jwt` callback, or configure `session.user_claim`"
    )]
    NoUser,
    /// The user id is neither text nor an integer.
    #[error("the session's user id is neither text nor an integer within 2^53")]
    UserType,
    /// The user id is text that cannot be one.
    #[error(transparent)]
    User(UserIdError),
}
