//! Makes session cookies as their libraries do, those that are not encrypted tokens: JWTs, the seals
//! of iron-session, Better Auth's compact cache, and signed cookies. Shares no code with the gateway.

use std::fmt::Write as _;

use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use aws_lc_rs::{hmac, iv::FixedLength};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::sealer::base64url;

/// What signs JWTs.
pub enum Signer {
    /// `EdDSA`.
    Ed25519(Ed25519KeyPair),
    /// `ES256`.
    P256(EcdsaKeyPair),
    /// `HS256`.
    Secret(Vec<u8>),
}

impl Signer {
    /// The Ed25519 key whose seed is this byte again and again.
    #[must_use]
    pub fn ed25519(seed: u8) -> Self {
        Self::Ed25519(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    /// The P-256 key whose private number is this byte again and again.
    #[must_use]
    pub fn p256(seed: u8) -> Self {
        // ECPrivateKey (RFC 5915) without the public key, of the named curve.
        let mut der = vec![0x30, 0x31, 2, 1, 1, 4, 32];
        der.extend([seed; 32]);
        der.extend([0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        Self::P256(EcdsaKeyPair::from_private_key_der(algorithm, &der).unwrap())
    }

    /// `alg` of its tokens.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
            Self::Secret(_) => "HS256",
        }
    }

    /// What everybody may know of it; of a secret nothing.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        match self {
            Self::Ed25519(pair) => pair.public_key().as_ref(),
            Self::P256(pair) => pair.public_key().as_ref(),
            Self::Secret(_) => &[],
        }
    }

    /// Its public key as a JWK with this `kid`; of a secret an `oct` key, which nobody may use.
    #[must_use]
    pub fn jwk(&self, kid: &str) -> String {
        let members = match self {
            Self::Ed25519(_) => {
                let x = base64url(self.public());
                format!(r#""kty":"OKP","crv":"Ed25519","x":"{x}""#)
            }
            Self::P256(_) => {
                let (x, y) = self.public()[1..].split_at(32);
                let (x, y) = (base64url(x), base64url(y));
                format!(r#""kty":"EC","crv":"P-256","x":"{x}","y":"{y}""#)
            }
            Self::Secret(secret) => format!(r#""kty":"oct","k":"{}""#, base64url(secret)),
        };
        format!(r#"{{{members},"kid":"{kid}"}}"#)
    }

    /// The JWT with this header and payload.
    #[must_use]
    pub fn token(&self, header: &str, payload: &str) -> String {
        let (header, payload) = (header.as_bytes(), payload.as_bytes());
        let signed = format!("{}.{}", base64url(header), base64url(payload));
        let message = signed.as_bytes();
        let signature = match self {
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                signature.unwrap().as_ref().to_vec()
            }
            Self::Secret(secret) => mac(secret, message),
        };
        format!("{signed}.{}", base64url(&signature))
    }
}

/// iron-session's seal of `payload` under the password of this id, which ends at `end`: milliseconds
/// since 1970, or nothing.
#[must_use]
pub fn iron(password: &str, id: &str, end: &str, payload: &str) -> String {
    let (salt, mac_salt) = ("0a".repeat(32), "0b".repeat(32));
    let key = UnboundCipherKey::new(&AES_256, &iron_key(password, &salt)).unwrap();
    let iv = [9; 16];
    let mut text = payload.as_bytes().to_vec();
    PaddedBlockEncryptingKey::cbc_pkcs7(key)
        .unwrap()
        .less_safe_encrypt(&mut text, EncryptionContext::Iv128(FixedLength::from(iv)))
        .unwrap();
    let (iv, text) = (base64url(&iv), base64url(&text));
    let signed = format!("Fe26.2*{id}*{salt}*{iv}*{text}*{end}");
    let mac = mac(&iron_key(password, &mac_salt), signed.as_bytes());
    format!("{signed}*{mac_salt}*{}~2", base64url(&mac))
}

/// PBKDF2-HMAC-SHA1 (RFC 8018 section 5.2) with one iteration: two blocks make 32 bytes.
fn iron_key(password: &str, salt: &str) -> Vec<u8> {
    let key = hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let block = |number: u8| {
        let tag = hmac::sign(&key, &[salt.as_bytes(), &[0, 0, 0, number]].concat());
        tag.as_ref().to_vec()
    };
    let mut bytes = [block(1), block(2)].concat();
    bytes.truncate(32);
    bytes
}

/// Better Auth's compact cache of `session`, which is an object as `JSON.stringify` writes it.
#[must_use]
pub fn compact(secret: &str, session: &str, end: u64) -> String {
    let open = session.strip_suffix('}').unwrap();
    let comma = if session == "{}" { "" } else { "," };
    let signed = format!(r#"{open}{comma}"expiresAt":{end}}}"#);
    let signature = base64url(&mac(secret.as_bytes(), signed.as_bytes()));
    let whole = format!(r#"{{"session":{session},"expiresAt":{end},"signature":"{signature}"}}"#);
    base64url(whole.as_bytes())
}

/// Better Auth's token cookie.
#[must_use]
pub fn better_auth_token(secret: &str, token: &str) -> String {
    let mac = mac(secret.as_bytes(), token.as_bytes());
    format!("{token}.{}", BASE64_STANDARD.encode(mac))
}

/// express-session's cookie.
#[must_use]
pub fn express(secret: &str, sid: &str) -> String {
    let signed = better_auth_token(secret, sid);
    format!("s:{}", signed.trim_end_matches('='))
}

/// A cookie's value as `encodeURIComponent` writes it, but for bytes that are no text.
#[must_use]
pub fn percent_encode(value: &[u8]) -> String {
    let mut encoded = String::new();
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
    }
    encoded
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let tag = hmac::sign(&hmac::Key::new(HMAC_SHA256, key), message);
    tag.as_ref().to_vec()
}
