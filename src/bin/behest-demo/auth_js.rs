//! The app's side of a session: seals and opens cookies as Auth.js v5 does.
//!
//! Compact JWE, `dir` with `A256CBC-HS512`, keyed by HKDF from the secret and the cookie's name
//! (`@auth/core` 0.41, `jwt.ts`). The gateway never seals; this stands in for the app that does.

use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, digest, hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Half of the 64-byte key: first the MAC's, then the cipher's (RFC 7518 section 5.2.2.1).
const HALF: usize = 32;

/// Seals and opens the values of one cookie.
pub(crate) struct AuthJs {
    mac: hmac::Key,
    encrypting: PaddedBlockEncryptingKey,
    decrypting: PaddedBlockDecryptingKey,
    header: String,
}

impl AuthJs {
    /// The keys of the cookie `name` under `secret`.
    ///
    /// # Errors
    /// If the cryptography fails, which no input makes it do.
    pub(crate) fn new(secret: &str, name: &str) -> Result<Self, Unspecified> {
        let key = derive(secret, name)?;
        let (mac, cipher) = key.split_at(HALF);
        let jwk = format!(r#"{{"k":"{}","kty":"oct"}}"#, encode(key));
        let kid = encode(digest::digest(&digest::SHA512, jwk.as_bytes()));
        let header = json!({"alg": "dir", "enc": "A256CBC-HS512", "kid": kid}).to_string();
        Ok(Self {
            mac: hmac::Key::new(hmac::HMAC_SHA512, mac),
            encrypting: PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(
                &AES_256, cipher,
            )?)?,
            decrypting: PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(
                &AES_256, cipher,
            )?)?,
            header: encode(header),
        })
    }

    /// The cookie's value for these claims.
    ///
    /// # Errors
    /// If there is no randomness.
    pub(crate) fn seal(&self, claims: &Value) -> Result<String, Unspecified> {
        let mut text = claims.to_string().into_bytes();
        let context = self.encrypting.encrypt(&mut text)?;
        let iv: &[u8] = (&context).try_into()?;
        let tag = self.tag(&self.header, iv, &text);
        let (iv, text, tag) = (encode(iv), encode(&text), encode(tag));
        Ok(format!("{}..{iv}.{text}.{tag}", self.header))
    }

    /// The claims of a value that this key sealed; `None` for any other value.
    pub(crate) fn open(&self, token: &str) -> Option<Value> {
        let mut parts = token.split('.');
        let mut part = || parts.next();
        let (header, key, iv, text, tag) = (part()?, part()?, part()?, part()?, part()?);
        if header != self.header || !key.is_empty() || part().is_some() {
            return None;
        }
        let iv: [u8; 16] = decode(iv)?.try_into().ok()?;
        let mut text = decode(text)?;
        let expected = self.tag(header, &iv, &text);
        constant_time::verify_slices_are_equal(&expected, &decode(tag)?).ok()?;
        let context = DecryptionContext::Iv128(FixedLength::from(&iv));
        let plain = self.decrypting.decrypt(&mut text, context).ok()?;
        serde_json::from_slice(plain).ok()
    }

    /// RFC 7518 section 5.2.2.1: the first half of the HMAC over header, IV, ciphertext and the
    /// header's length in bits.
    fn tag(&self, header: &str, iv: &[u8], text: &[u8]) -> Vec<u8> {
        let mut mac = hmac::Context::with_key(&self.mac);
        mac.update(header.as_bytes());
        mac.update(iv);
        mac.update(text);
        let bits = u64::try_from(header.len()).unwrap_or(u64::MAX) * 8;
        mac.update(&bits.to_be_bytes());
        let tag = mac.sign();
        tag.as_ref().iter().take(HALF).copied().collect()
    }
}

/// HKDF as Auth.js v5 does it: the cookie's name is the salt and part of the info.
fn derive(secret: &str, name: &str) -> Result<[u8; 2 * HALF], Unspecified> {
    struct Length;
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            2 * HALF
        }
    }
    let info = format!("Auth.js Generated Encryption Key ({name})");
    let mut key = [0; 2 * HALF];
    hkdf::Salt::new(hkdf::HKDF_SHA256, name.as_bytes())
        .extract(secret.as_bytes())
        .expand(&[info.as_bytes()], Length)?
        .fill(&mut key)?;
    Ok(key)
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "authjs.session-token";

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let ours = AuthJs::new("0123456789abcdef0123456789abcdef", NAME).unwrap();
        let claims = json!({"sub": "ada", "tier": "free"});
        let token = ours.seal(&claims).unwrap();
        assert_eq!(ours.open(&token), Some(claims.clone()));
        assert_ne!(ours.seal(&claims).unwrap(), token);
        let others = AuthJs::new("another secret of thirty-two bytes", NAME).unwrap();
        assert_eq!(others.open(&token), None);
        let mut shorter = token.clone();
        while shorter.pop().is_some() {
            assert_eq!(ours.open(&shorter), None);
        }
        assert_eq!(ours.open(&format!("{token}.")), None);
    }
}
