//! Checks the signature that a library puts on its own session cookie: it proves that the app wrote
//! the cookie, and says neither whose session it is nor whether it has ended.
//!
//! Guarantees: compared in constant time; exactly the form that the library writes and reads, so that
//! no two values are the same session.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};

use super::error::InvalidReason;
use crate::secret::Secret;

/// What a cookie is proved with before the app is asked.
#[derive(Clone, Debug)]
pub enum ProofConfig {
    /// Better Auth's first secret, the only one that it signs and verifies cookies with.
    BetterAuth(Secret),
    /// express-session's secrets, any of which verifies.
    Express(Vec<Secret>),
}

impl ProofConfig {
    /// Every secret in it.
    #[must_use]
    pub fn secrets(&self) -> &[Secret] {
        match self {
            Self::BetterAuth(secret) => std::slice::from_ref(secret),
            Self::Express(secrets) => secrets,
        }
    }
}

/// A check of the cookie's own signature.
pub(super) enum Proof {
    BetterAuth(Box<BetterAuthToken>),
    Express(ExpressSid),
}

impl Proof {
    pub(super) fn new(config: &ProofConfig) -> Self {
        match config {
            ProofConfig::BetterAuth(secret) => {
                Self::BetterAuth(Box::new(BetterAuthToken::new(secret)))
            }
            ProofConfig::Express(secrets) => Self::Express(ExpressSid::new(secrets)),
        }
    }

    /// Whether `value`, percent-decoded, was signed with the configured secret.
    pub(super) fn check(&self, value: &[u8]) -> Result<(), InvalidReason> {
        match self {
            Self::BetterAuth(token) => token.verify(value).map(drop),
            Self::Express(sid) => sid.verify(value).map(drop),
        }
    }
}

/// Better Auth's token cookie: `<token>.<HMAC-SHA256, base64 with padding>` (better-auth 1.7.25,
/// better-call's `getSignedCookie`).
pub(super) struct BetterAuthToken(hmac::Key);

impl BetterAuthToken {
    /// Checks with `secret`, the first of the app's.
    pub(super) fn new(secret: &Secret) -> Self {
        Self(key(secret))
    }

    /// The token in `value`, percent-decoded, if it was signed with the secret.
    pub(super) fn verify<'v>(&self, value: &'v [u8]) -> Result<&'v str, InvalidReason> {
        let (token, signature) = split(value)?;
        let signature = BASE64_STANDARD
            .decode(signature)
            .map_err(|_| InvalidReason::NotSigned)?;
        hmac::verify(&self.0, token.as_bytes(), &signature)
            .map_err(|_| InvalidReason::CookieSignature)?;
        Ok(token)
    }
}

/// express-session's cookie: `s:<sid>.<HMAC-SHA256, base64 without padding>` (express-session 1.19.0,
/// cookie-signature 1.2.2).
pub(super) struct ExpressSid(Vec<hmac::Key>);

impl ExpressSid {
    /// Checks with any of `secrets`.
    pub(super) fn new(secrets: &[Secret]) -> Self {
        Self(secrets.iter().map(key).collect())
    }

    /// The session id in `value`, percent-decoded, if it was signed with one of the secrets.
    pub(super) fn verify<'v>(&self, value: &'v [u8]) -> Result<&'v str, InvalidReason> {
        let value = value.strip_prefix(b"s:").ok_or(InvalidReason::NotSigned)?;
        let (sid, signature) = split(value)?;
        let signature = BASE64_STANDARD_NO_PAD
            .decode(signature)
            .map_err(|_| InvalidReason::NotSigned)?;
        let mut keys = self.0.iter();
        let is_signed = |key| hmac::verify(key, sid.as_bytes(), &signature).is_ok();
        if keys.any(is_signed) {
            return Ok(sid);
        }
        Err(InvalidReason::CookieSignature)
    }
}

fn key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose())
}

/// What was signed, and its signature: split at the last dot.
fn split(value: &[u8]) -> Result<(&str, &str), InvalidReason> {
    let text = std::str::from_utf8(value).map_err(|_| InvalidReason::NotSigned)?;
    let parts = text.rsplit_once('.').filter(|(token, _)| !token.is_empty());
    parts.ok_or(InvalidReason::NotSigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "dev-better-auth-secret-4f2a9c8e7b6d5a3f";
    const TOKEN: &str = "GJtwJBL4jMnFQPhf4EgMDNwgWsqvYzcv";
    /// Made by better-auth 1.7.25.
    const SIGNED: &str =
        "GJtwJBL4jMnFQPhf4EgMDNwgWsqvYzcv.D5rj1b6oHB4q+HEYUKkloKZaA3n+JXBKk0fp2aMiAow=";
    /// Made by express-session 1.19.0 with `dev-express-secret`.
    const SID: &str =
        "s:Xq7WEV1L5SMtRG-uf74_jL5L6Tl6Kk.VrP70+Renwlxc/3r6z1cvzaUIk9kNZpbw1NRCNKisyA";

    #[test]
    fn a_token_that_better_auth_signed_is_read() {
        let check = BetterAuthToken::new(&Secret::new(SECRET));
        assert_eq!(check.verify(SIGNED.as_bytes()), Ok(TOKEN));
    }

    #[test]
    fn better_auths_signature_is_of_the_secret_the_token_and_its_own_form() {
        let check = BetterAuthToken::new(&Secret::new(SECRET));
        for (value, reason) in [
            (SIGNED.replace("GJ", "AJ"), InvalidReason::CookieSignature),
            (SIGNED.replace(".D5", ".E5"), InvalidReason::CookieSignature),
            (TOKEN.to_owned(), InvalidReason::NotSigned),
            (SIGNED.replace('=', ""), InvalidReason::NotSigned),
            (SIGNED.replace("ow=", "ox="), InvalidReason::NotSigned),
            (format!("{SIGNED}="), InvalidReason::NotSigned),
            (SIGNED.replace(TOKEN, ""), InvalidReason::NotSigned),
            (format!("{TOKEN}."), InvalidReason::CookieSignature),
            (String::new(), InvalidReason::NotSigned),
        ] {
            assert_eq!(check.verify(value.as_bytes()), Err(reason), "{value}");
        }
        let another = BetterAuthToken::new(&Secret::new("another"));
        let refused = another.verify(SIGNED.as_bytes());
        assert_eq!(refused, Err(InvalidReason::CookieSignature));
        assert_eq!(
            check.verify(b"\xff.AAAA"),
            Err(InvalidReason::NotSigned),
            "no text"
        );
    }

    #[test]
    fn any_of_expresss_secrets_verifies() {
        let secrets = ["new", "dev-express-secret"].map(Secret::new);
        let check = ExpressSid::new(&secrets);
        assert_eq!(
            check.verify(SID.as_bytes()),
            Ok("Xq7WEV1L5SMtRG-uf74_jL5L6Tl6Kk")
        );
        let [new, _] = secrets;
        let refused = ExpressSid::new(&[new]).verify(SID.as_bytes());
        assert_eq!(refused, Err(InvalidReason::CookieSignature));
        for value in [
            SID.trim_start_matches("s:"),
            "s:",
            "s:a",
            "s:.aaaa",
            "s:a.?",
        ] {
            let refused = check.verify(value.as_bytes());
            assert_eq!(refused, Err(InvalidReason::NotSigned), "{value}");
        }
        let padded = format!("{SID}=");
        assert!(check.verify(padded.as_bytes()).is_err());
    }
}
