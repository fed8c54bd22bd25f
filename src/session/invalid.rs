//! What can be wrong with a session, each in words that say what to change.

use crate::identity::UserIdError;

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
    /// A chunk that must be there is not.
    #[error("a chunk of the cookie is missing: it was cut, or is stale; clear the app's cookies")]
    ChunkMissing,
    /// Not a compact JWE.
    #[error(
        "not an encrypted session token (five base64url parts): another program's cookie, one that was cut or quoted, or a chunk is missing"
    )]
    Malformed,
    /// The second part of the token is not empty.
    #[error("the token carries an encrypted key, which the app's library never writes")]
    EncryptedKey,
    /// The token's header is no JSON object.
    #[error("the token's header is not a JSON object")]
    Header,
    /// `alg` or `enc` is none that the library writes.
    #[error(
        "the token's algorithm is not this provider's: NextAuth v4 and Auth0 v4 write dir/A256GCM, Better Auth dir/A256CBC-HS512, Auth.js v5 either; is the cookie of another library or version?"
    )]
    Algorithm,
    /// The token has a `zip` header.
    #[error("the token is compressed (zip), which the app's library never does")]
    Compressed,
    /// The token has a `crit` header.
    #[error("the token demands an extension (crit), which the app's library never does")]
    Critical,
    /// Its key id belongs to none of the configured secrets.
    #[error(
        "decrypts under no configured secret: the app's AUTH_SECRET differs, or the cookie name (the salt) does"
    )]
    NoMatchingSecret,
    /// It names no key, and none of the configured secrets opens it.
    #[error(
        "decrypts under no configured secret: the app's own secret (NEXTAUTH_SECRET, AUTH_SECRET, AUTH0_SECRET) differs, or the cookie was altered or cut"
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
        "the session has no user id at the configured claim path; set it in the app (Auth.js: in the `jwt` callback), or configure `user_claim`"
    )]
    NoUser,
    /// The user id is neither text nor an integer.
    #[error("the session's user id is neither text nor an integer within 2^53")]
    UserType,
    /// The user id is text that cannot be one.
    #[error(transparent)]
    User(UserIdError),
    /// `iat` lies in the future, which this provider's library refuses.
    #[error(
        "the session was issued in the future (`iat`): do the issuer's and the gateway's clocks differ?"
    )]
    IssuedInFuture,
    /// A JWT in `Authorization` and a session cookie.
    #[error(
        "both a session cookie and a JWT in Authorization came, and they may be of two users: send one of them"
    )]
    BearerAndCookie,
    /// Several JWTs in `Authorization`.
    #[error("several Authorization lines hold a JWT: send one")]
    RepeatedBearer,
    /// Not a compact JWS.
    #[error("not a JWT (three base64url parts): another program's cookie, or one that was cut")]
    NotJwt,
    /// Not a seal of iron-session's.
    #[error(
        "not a seal of iron-session v8 (Fe26.2*…~2): another program's cookie, or one that was cut or quoted"
    )]
    NotIron,
    /// No password of that id is configured.
    #[error(
        "sealed with a password whose id is not in session.providers[].passwords (a single password has the id 1)"
    )]
    PasswordId,
    /// The seal's MAC is wrong.
    #[error(
        "the seal's password differs from the configured one of the same id, or it was altered or cut"
    )]
    IronMac,
    /// Not a compact cache of Better Auth's.
    #[error(
        "not a session cache of strategy \"compact\": has the app's session.cookieCache another `strategy`?"
    )]
    NotCompact,
    /// The cache's signature is wrong.
    #[error(
        "the session cache is not signed with the newest configured secret: the app's BETTER_AUTH_SECRET differs, or the cookie was altered"
    )]
    CacheSignature,
    /// The cache came without the token cookie.
    #[error(
        "the session cache came without its token cookie (session.providers[].token_cookie_names): signed out, or another cookie name"
    )]
    TokenMissing,
    /// The cache is of another session than the token cookie.
    #[error("the session cache and the token cookie are of two sessions: one of them is stale")]
    TokenMismatch,
    /// Not in the form that the app's library signs its cookie.
    #[error(
        "not a signed cookie of this provider's library: another program's cookie, or one that was cut"
    )]
    NotSigned,
    /// The cookie's own signature was made with none of the configured secrets.
    #[error(
        "signed with none of session.providers[].secrets: the app's own secret differs (Better Auth verifies with its first alone), or the cookie was altered"
    )]
    CookieSignature,
    /// The value is no JSON with an access token.
    #[error(
        "not a Supabase session (JSON with an access_token, plain or behind `base64-`): another cookie, one that was cut, or a chunk is missing"
    )]
    Envelope,
    /// `alg` is not on the list; `none` never is.
    #[error(
        "the token's algorithm (`alg`) is not among session.providers[].algorithms: is the token of another issuer?"
    )]
    SignedAlgorithm,
    /// `typ` is that of another kind of token.
    #[error("the token's type (`typ`) is not that of a session token")]
    TokenType,
    /// The token's payload is no JSON object.
    #[error("the token's payload is not a JSON object")]
    Claims,
    /// The token names a key that the set does not hold.
    #[error(
        "signed with a key (`kid`) that the issuer's key set does not hold: is the token of another issuer or environment, or was the key withdrawn?"
    )]
    UnknownKey,
    /// The token names no key, and must.
    #[error("the token names no key (`kid`), which its issuer always does")]
    NoKeyId,
    /// The key is of another kind than the algorithm, or for another algorithm.
    #[error(
        "the issuer's key is not for the token's algorithm (`alg`): its kind, `alg`, `use` or `key_ops` say otherwise"
    )]
    NoKeyFits,
    /// The signature is not by the key.
    #[error(
        "the signature is wrong: signed with another key or secret than the configured one, or altered or cut since"
    )]
    Signature,
    /// `iss` is another.
    #[error(
        "the token is of another issuer: `iss` must be session.providers[].issuer, to the last slash"
    )]
    Issuer,
    /// `aud` is another, or is not there.
    #[error(
        "the token is not for this audience: `aud` must be, or hold, session.providers[].audience"
    )]
    Audience,
    /// `azp` is another.
    #[error(
        "the token was made for another origin: `azp` must be among session.providers[].authorized_parties"
    )]
    AuthorizedParty,
    /// The user has not finished signing in.
    #[error("the session is pending (`sts`): the user has a task to finish before being signed in")]
    Pending,
    /// `sub` is not what the issuer writes.
    #[error("the token's subject (`sub`) is missing, empty, too long or no text")]
    Subject,
    /// The app answered that there is no session: 200 with nothing in it.
    #[error(
        "the app knows no such session: signed out, ended, or the cookie is not the one that the app reads (over https its name has a prefix: does cross_origin.public_origins say https?)"
    )]
    AppKnowsNot,
    /// The app answered 401 or 403.
    #[error(
        "the app's session URL refuses the cookie (401 or 403): signed out, ended, or the cookie is none of the app's"
    )]
    AppRefuses,
    /// The app answered with a redirect.
    #[error(
        "the app's session URL redirects, as to a sign-in page: signed out, or session.providers[].url is not the app's session URL"
    )]
    AppRedirects,
    /// The app answered with something else than JSON.
    #[error(
        "the app's session URL answers with something else than JSON: is session.providers[].url right?"
    )]
    AppNotJson,
    /// The app answered with a session in which there is no user id.
    #[error(
        "the app's answer has no user id at user_claim: add it there (Auth.js: in the `session` callback, session.user.id = user.id), or configure session.providers[].user_claim"
    )]
    AppNamesNoUser,
}
