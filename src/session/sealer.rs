//! Makes session tokens for tests, genuine ones and odd ones. Shares no code with `sealed.rs`: HKDF
//! is written out with HMAC, base64url comes from its definition, and the ciphers are used from
//! their encrypting side.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::{digest, hmac};

/// What a token is made from; [`Sealer::v5`] and [`Sealer::v4`] are what the libraries write.
#[derive(Clone)]
pub(crate) struct Sealer {
    key: Vec<u8>,
    /// The header's JSON.
    pub(crate) header: String,
    /// The second part, before base64url.
    pub(crate) encrypted_key: Vec<u8>,
    pub(crate) iv: Vec<u8>,
}

impl Sealer {
    /// Auth.js v5's own choice: `A256CBC-HS512` with a `kid`.
    pub(crate) fn v5(secret: &str, cookie: &str) -> Self {
        let info = format!("Auth.js Generated Encryption Key ({cookie})");
        Self::with_kid(
            hkdf(secret, cookie, &info, 64),
            "A256CBC-HS512",
            &digest::SHA512,
        )
    }

    /// Auth.js v5 with the other encryption that it reads.
    pub(crate) fn v5_gcm(secret: &str, cookie: &str) -> Self {
        let info = format!("Auth.js Generated Encryption Key ({cookie})");
        Self::with_kid(hkdf(secret, cookie, &info, 32), "A256GCM", &digest::SHA256)
    }

    /// `NextAuth` v4: `A256GCM` without a `kid`.
    pub(crate) fn v4(secret: &str) -> Self {
        let key = hkdf(secret, "", "NextAuth.js Generated Encryption Key", 32);
        Self::new(key, r#"{"alg":"dir","enc":"A256GCM"}"#.to_owned())
    }

    /// `@auth0/nextjs-auth0` v4.
    pub(crate) fn auth0(secret: &str) -> Self {
        let key = hkdf(secret, "", "JWE CEK", 32);
        Self::new(key, r#"{"enc":"A256GCM","alg":"dir"}"#.to_owned())
    }

    /// Better Auth's cache (`jwe`): one salt for all, and thumbprints by SHA-256.
    pub(crate) fn better_auth(secret: &str) -> Self {
        let info = "BetterAuth.js Generated Encryption Key";
        let key = hkdf(secret, "better-auth-session", info, 64);
        Self::with_kid(key, "A256CBC-HS512", &digest::SHA256)
    }

    fn with_kid(key: Vec<u8>, enc: &str, hash: &'static digest::Algorithm) -> Self {
        let jwk = format!(r#"{{"k":"{}","kty":"oct"}}"#, base64url(&key));
        let kid = base64url(digest::digest(hash, jwk.as_bytes()).as_ref());
        Self::new(
            key,
            format!(r#"{{"alg":"dir","enc":"{enc}","kid":"{kid}"}}"#),
        )
    }

    fn new(key: Vec<u8>, header: String) -> Self {
        let iv = vec![7; if key.len() == 64 { 16 } else { 12 }];
        Self {
            key,
            header,
            encrypted_key: Vec::new(),
            iv,
        }
    }

    /// The same with another header.
    pub(crate) fn header(mut self, header: impl Into<String>) -> Self {
        self.header = header.into();
        self
    }

    /// The same with a member added to the header.
    pub(crate) fn with_member(self, member: &str) -> Self {
        let header = format!("{},{member}}}", self.header.trim_end_matches('}'));
        self.header(header)
    }

    /// The token whose plaintext is `payload`.
    pub(crate) fn seal(&self, payload: &str) -> String {
        let header = base64url(self.header.as_bytes());
        let mut text = payload.as_bytes().to_vec();
        let tag = if self.key.len() == 64 {
            let key = UnboundCipherKey::new(&AES_256, &self.key[32..]).unwrap();
            let iv = <[u8; 16]>::try_from(&self.iv[..]).unwrap();
            PaddedBlockEncryptingKey::cbc_pkcs7(key)
                .unwrap()
                .less_safe_encrypt(&mut text, EncryptionContext::Iv128(iv.into()))
                .unwrap();
            let bits = u64::try_from(header.len() * 8).unwrap().to_be_bytes();
            let signed = [header.as_bytes(), &iv, &text, &bits].concat();
            let key = hmac::Key::new(hmac::HMAC_SHA512, &self.key[..32]);
            hmac::sign(&key, &signed).as_ref()[..32].to_vec()
        } else {
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.key).unwrap());
            let nonce = Nonce::try_assume_unique_for_key(&self.iv).unwrap();
            let aad = Aad::from(header.as_bytes());
            let tag = key.seal_in_place_separate_tag(nonce, aad, &mut text);
            tag.unwrap().as_ref().to_vec()
        };
        let parts = [&self.encrypted_key, &self.iv, &text, &tag].map(|part| base64url(part));
        format!("{header}.{}", parts.join("."))
    }
}

/// HKDF-SHA256 (RFC 5869).
fn hkdf(secret: &str, salt: &str, info: &str, length: usize) -> Vec<u8> {
    let mac = |key: &[u8], data: &[u8]| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
        tag.as_ref().to_vec()
    };
    let salt = if salt.is_empty() {
        &[0; 32]
    } else {
        salt.as_bytes()
    };
    let pseudorandom = mac(salt, secret.as_bytes());
    let (mut key, mut block) = (Vec::new(), Vec::new());
    for counter in 1.. {
        if key.len() >= length {
            break;
        }
        block = mac(
            &pseudorandom,
            &[&block[..], info.as_bytes(), &[counter]].concat(),
        );
        key.extend_from_slice(&block);
    }
    key.truncate(length);
    key
}

/// base64url without padding (RFC 4648 section 5).
pub(crate) fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| {
            bits << 8 | usize::from(group.get(at).copied().unwrap_or(0))
        });
        for at in 0..=group.len() {
            text.push(char::from(ALPHABET[bits >> (18 - 6 * at) & 63]));
        }
    }
    text
}
