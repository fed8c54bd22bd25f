//! Opens Better Auth's session cache (`session.cookieCache`), in each of its three strategies.
//!
//! Guarantees: the cache counts only together with the token cookie of the same session, so that a
//! session cannot be continued with a cache that was kept; nothing is read before its MAC was compared
//! in constant time; what was signed is checked as it stands, and never written anew.
//!
//! Source: `better-auth` 1.7.25 `src/cookies/index.ts`, `src/crypto/jwt.ts`. A tier in the cache is as
//! old as the cache (`maxAge`, 5 min by default), and so is the news of a session that was revoked.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::claims::{Expiry, Tolerance};
use super::cookie::{self, Chunks, CookieName};
use super::error::{InvalidReason, Refusal};
use super::proof::BetterAuthToken;
use super::provider::Opened;
use super::sealed::Keyring;
use super::signed::Jws;
use super::{CacheStrategy, Visit, json, moment};
use crate::clock::Now;
use crate::secret::Secret;

/// What opens one cache cookie.
pub(super) struct BetterAuthCache {
    cache: Cache,
    token: Option<BetterAuthToken>,
    token_cookie: Option<CookieName>,
}

/// How the cache is written.
enum Cache {
    Compact(Option<hmac::Key>),
    Jwt(Option<hmac::Key>),
    Jwe(Keyring),
}

impl BetterAuthCache {
    /// The newest of `secrets` signs; an encrypted cache opens with any.
    pub(super) fn new(
        secrets: &[Secret],
        strategy: CacheStrategy,
        token_cookie: Option<CookieName>,
    ) -> Self {
        let signing = || {
            let secret = secrets.first()?;
            Some(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
        };
        Self {
            cache: match strategy {
                CacheStrategy::Compact => Cache::Compact(signing()),
                CacheStrategy::Jwt => Cache::Jwt(signing()),
                CacheStrategy::Jwe => Cache::Jwe(Keyring::better_auth(secrets)),
            },
            token: secrets.first().map(BetterAuthToken::new),
            token_cookie,
        }
    }

    /// The session in `value`, if the token cookie of `visit` is its own.
    pub(super) fn open(&self, value: &[u8], visit: &Visit<'_>) -> Result<Opened, Refusal> {
        let opened = match &self.cache {
            Cache::Compact(key) => compact(key.as_ref(), value, visit.now)?,
            Cache::Jwt(key) => Opened {
                payload: jwt(key.as_ref(), value)?.into(),
                expiry: Expiry::Claims(Tolerance::NONE),
            },
            Cache::Jwe(keys) => Opened {
                payload: keys.open(value)?.into(),
                expiry: Expiry::Claims(Tolerance::OF_SEALED),
            },
        };
        self.check(&opened.payload, visit)?;
        Ok(opened)
    }

    /// Whether the cached session is that of the token cookie, and has not ended itself.
    fn check(&self, payload: &[u8], visit: &Visit<'_>) -> Result<(), Refusal> {
        let (Some(signed), Some(name)) = (&self.token, &self.token_cookie) else {
            return Err(InvalidReason::TokenMissing.into());
        };
        let value = cookie::find(visit.headers, name, Chunks::NONE)?;
        let value = value.ok_or(InvalidReason::TokenMissing)?;
        let token = signed.verify(&value)?;
        let text = std::str::from_utf8(payload).map_err(|_| InvalidReason::Payload)?;
        let [session] = json::members(text, ["session"]).ok_or(InvalidReason::Payload)?;
        let session = session.ok_or(InvalidReason::Payload)?;
        let [own, end] =
            json::members(session.get(), ["token", "expiresAt"]).ok_or(InvalidReason::Payload)?;
        if own.and_then(json::text).as_deref() != Some(token) {
            return Err(InvalidReason::TokenMismatch.into());
        }
        // Without an end that can be read the library takes it to be over.
        match end.and_then(moment::seconds) {
            Some(end) if end >= visit.now.unix.as_secs_f64() => Ok(()),
            Some(_) | None => Err(Refusal::Expired),
        }
    }
}

/// The session of a compact cache: `{"session":S,"expiresAt":ms,"signature":…}` in base64url, signed
/// as `{...S, expiresAt}`. S is taken as it stands, since that is what was signed.
fn compact(key: Option<&hmac::Key>, value: &[u8], now: Now) -> Result<Opened, Refusal> {
    let decoded = BASE64URL.decode(value).ok();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or(InvalidReason::NotCompact)?;
    let keys = ["session", "expiresAt", "signature"];
    let Some([Some(session), Some(end), Some(signature)]) = json::members(&text, keys) else {
        return Err(InvalidReason::NotCompact.into());
    };
    let milliseconds = json::integer(end).and_then(|end| u64::try_from(end).ok());
    let milliseconds = milliseconds.ok_or(InvalidReason::NotCompact)?;
    let signature = json::text(signature).and_then(|text| BASE64URL.decode(&*text).ok());
    let (Some(key), Some(signature), Some(signed)) = (key, signature, signed(session, end)) else {
        return Err(InvalidReason::CacheSignature.into());
    };
    hmac::verify(key, signed.as_bytes(), &signature).map_err(|_| InvalidReason::CacheSignature)?;
    if u128::from(milliseconds) < now.unix.as_millis() {
        return Err(Refusal::Expired);
    }
    Ok(Opened {
        payload: Bytes::copy_from_slice(session.get().as_bytes()),
        expiry: Expiry::Judged(Some((milliseconds / 1000).into())),
    })
}

/// What the library signs: the object `session` with one more member.
fn signed(session: &RawValue, end: &RawValue) -> Option<String> {
    let open = session.get().strip_suffix('}')?;
    let comma = if open == "{" { "" } else { "," };
    Some(format!(r#"{open}{comma}"expiresAt":{end}}}"#))
}

/// The payload of a JWT that is signed with HS256.
fn jwt(key: Option<&hmac::Key>, value: &[u8]) -> Result<Vec<u8>, InvalidReason> {
    let jws = Jws::parse(value)?;
    let signature = BASE64URL.decode(jws.signature).ok();
    let (Some(key), Some(signature), "HS256") = (key, signature, jws.algorithm.as_str()) else {
        return Err(InvalidReason::CacheSignature);
    };
    hmac::verify(key, jws.signed, &signature).map_err(|_| InvalidReason::CacheSignature)?;
    Ok(jws.payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_signed_is_the_session_as_it_stands_with_its_end() {
        let end = raw("17");
        for (session, expected) in [
            (
                r#"{"b": 1,"a":"\u00e9"}"#,
                r#"{"b": 1,"a":"\u00e9","expiresAt":17}"#,
            ),
            ("{}", r#"{"expiresAt":17}"#),
        ] {
            assert_eq!(signed(&raw(session), &end).as_deref(), Some(expected));
        }
        assert_eq!(signed(&raw("[1]"), &end), None);
    }

    #[test]
    fn a_jwt_of_another_algorithm_is_refused_whatever_its_signature() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let token = |header: &str| {
            let signed = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode("{}"));
            let mac = hmac::sign(&key, signed.as_bytes());
            format!("{signed}.{}", BASE64URL.encode(mac))
        };
        let open = |token: String| jwt(Some(&key), token.as_bytes());
        assert_eq!(open(token(r#"{"alg":"HS256"}"#)), Ok(b"{}".to_vec()));
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"HS512"}"#,
            r#"{"alg":"hs256"}"#,
        ] {
            assert_eq!(
                open(token(header)),
                Err(InvalidReason::CacheSignature),
                "{header}"
            );
        }
        let critical = token(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#);
        assert_eq!(open(critical), Err(InvalidReason::Critical));
        for broken in ["", "a", "a.b", "..", "e30.e30"] {
            assert!(open(broken.to_owned()).is_err(), "{broken}");
        }
    }
}
