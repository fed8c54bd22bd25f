//! Opens the encrypted session tokens of Auth.js v5 and NextAuth v4: compact JWEs (RFC 7516) with
//! direct encryption.
//!
//! Guarantees: algorithms are those that the library writes and no other; nothing is decrypted
//! before its authentication tag was compared, in constant time (RFC 7518 section 5.2.2.2); base64url
//! is strict, so a token has one spelling; every key was derived when the keyring was made.
//!
//! Sources: `@auth/core` 0.41.3 `src/jwt.ts`, `next-auth` 4.24.15 `src/jwt/index.ts`.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, digest, hkdf, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::cookie::CookieName;
use super::error::InvalidReason;
use super::json;
use crate::secret::Secret;

/// The keys that open one cookie, in the order of the secrets.
pub(super) struct Keyring {
    /// Empty where the library does not write `A256CBC-HS512`.
    cbc: Vec<Key<CbcKey>>,
    gcm: Vec<Key<GcmKey>>,
    /// Whether a token's `kid` chooses the key.
    by_id: bool,
}

impl Keyring {
    /// Auth.js v5: keys salted with the cookie's base name and chosen by the token's `kid`.
    pub(super) fn authjs_v5(secrets: &[Secret], cookie: &CookieName) -> Self {
        let salt = cookie.as_str().as_bytes();
        let info = format!("Auth.js Generated Encryption Key ({cookie})");
        Self {
            cbc: derive_all(secrets, salt, info.as_bytes()),
            gcm: derive_all(secrets, salt, info.as_bytes()),
            by_id: true,
        }
    }

    /// NextAuth v4: no salt, so that a token opens under any cookie name, and no `kid`.
    pub(super) fn nextauth_v4(secrets: &[Secret]) -> Self {
        Self {
            cbc: Vec::new(),
            gcm: derive_all(secrets, b"", b"NextAuth.js Generated Encryption Key"),
            by_id: false,
        }
    }

    /// The plaintext of `token`.
    pub(super) fn open(&self, token: &[u8]) -> Result<Vec<u8>, InvalidReason> {
        let parts = Parts::split(token)?;
        let header = Header::read(parts.header)?;
        match header.encryption {
            Encryption::A256CbcHs512 if self.cbc.is_empty() => Err(InvalidReason::Algorithm),
            Encryption::A256CbcHs512 => self.open_with(&self.cbc, &parts, &header),
            Encryption::A256Gcm => self.open_with(&self.gcm, &parts, &header),
        }
    }

    /// Opens with the key that the token names, as the library does; with each in turn where it
    /// names none.
    fn open_with<K: Decrypt>(
        &self,
        keys: &[Key<K>],
        parts: &Parts<'_>,
        header: &Header,
    ) -> Result<Vec<u8>, InvalidReason> {
        let sealed = Sealed::decode(parts, K::IV_LENGTH, K::TAG_LENGTH)?;
        if self.by_id && header.has_key_id {
            let key = keys
                .iter()
                .find(|key| header.key_id.as_deref() == Some(&key.id))
                .ok_or(InvalidReason::NoMatchingSecret)?;
            return key.key.open(&sealed).ok_or(InvalidReason::Tampered);
        }
        keys.iter()
            .find_map(|key| key.key.open(&sealed))
            .ok_or(InvalidReason::NoSecretOpens)
    }
}

/// The five parts of a compact JWE, the second of which is empty.
struct Parts<'t> {
    header: &'t [u8],
    iv: &'t [u8],
    ciphertext: &'t [u8],
    tag: &'t [u8],
}

impl<'t> Parts<'t> {
    fn split(token: &'t [u8]) -> Result<Self, InvalidReason> {
        let mut rest = Some(token);
        let mut part = || -> Option<&'t [u8]> {
            let current = rest?;
            let end = memchr::memchr(b'.', current);
            rest = end.and_then(|end| current.get(end + 1..));
            current.get(..end.unwrap_or(current.len()))
        };
        match (part(), part(), part(), part(), part(), part()) {
            (Some(header), Some(key), Some(iv), Some(ciphertext), Some(tag), None) => {
                if !key.is_empty() {
                    return Err(InvalidReason::EncryptedKey);
                }
                Ok(Self {
                    header,
                    iv,
                    ciphertext,
                    tag,
                })
            }
            _ => Err(InvalidReason::Malformed),
        }
    }
}

/// The two content encryptions that are opened.
enum Encryption {
    A256CbcHs512,
    A256Gcm,
}

/// What the protected header says.
struct Header {
    encryption: Encryption,
    /// Whether there is a `kid`, whatever it is.
    has_key_id: bool,
    /// The `kid` where it is text.
    key_id: Option<String>,
}

impl Header {
    fn read(encoded: &[u8]) -> Result<Self, InvalidReason> {
        let decoded = BASE64URL
            .decode(encoded)
            .map_err(|_| InvalidReason::Malformed)?;
        let text = std::str::from_utf8(&decoded).map_err(|_| InvalidReason::Header)?;
        let [alg, enc, kid, zip, crit] = json::members(text, ["alg", "enc", "kid", "zip", "crit"])
            .ok_or(InvalidReason::Header)?;
        if crit.is_some() {
            return Err(InvalidReason::Critical);
        }
        if zip.is_some() {
            return Err(InvalidReason::Compressed);
        }
        let is = |value: Option<&RawValue>, name: &str| {
            value.and_then(json::text).is_some_and(|text| text == name)
        };
        let encryption = if !is(alg, "dir") {
            return Err(InvalidReason::Algorithm);
        } else if is(enc, "A256CBC-HS512") {
            Encryption::A256CbcHs512
        } else if is(enc, "A256GCM") {
            Encryption::A256Gcm
        } else {
            return Err(InvalidReason::Algorithm);
        };
        Ok(Self {
            encryption,
            has_key_id: kid.is_some(),
            key_id: kid.and_then(json::text).map(std::borrow::Cow::into_owned),
        })
    }
}

/// A token's parts as bytes, of the lengths that its encryption demands.
struct Sealed<'t> {
    /// The header part as it came: the additional authenticated data.
    header: &'t [u8],
    iv: [u8; MAX_IV],
    ciphertext: Vec<u8>,
    tag: [u8; MAX_TAG],
}

const MAX_IV: usize = CbcKey::IV_LENGTH;
const MAX_TAG: usize = CbcKey::TAG_LENGTH;

impl<'t> Sealed<'t> {
    fn decode(
        parts: &Parts<'t>,
        iv_length: usize,
        tag_length: usize,
    ) -> Result<Self, InvalidReason> {
        let mut iv = [0; MAX_IV];
        let mut tag = [0; MAX_TAG];
        decode_exactly(parts.iv, &mut iv, iv_length)?;
        decode_exactly(parts.tag, &mut tag, tag_length)?;
        let ciphertext = BASE64URL
            .decode(parts.ciphertext)
            .map_err(|_| InvalidReason::Malformed)?;
        Ok(Self {
            header: parts.header,
            iv,
            ciphertext,
            tag,
        })
    }
}

/// Decodes `encoded` to the front of `bytes`; it must have `length` bytes.
fn decode_exactly(encoded: &[u8], bytes: &mut [u8], length: usize) -> Result<(), InvalidReason> {
    match BASE64URL.decode_slice(encoded, bytes) {
        Ok(decoded) if decoded == length => Ok(()),
        Ok(_) | Err(_) => Err(InvalidReason::Malformed),
    }
}

/// One derived key and its id.
struct Key<K> {
    /// The RFC 7638 thumbprint of the key as a JWK.
    id: String,
    key: K,
}

/// A content encryption.
trait Decrypt: Sized {
    const KEY_LENGTH: usize;
    const IV_LENGTH: usize;
    const TAG_LENGTH: usize;
    /// What thumbprints are made with.
    const HASH: &'static digest::Algorithm;

    /// Takes a key of `KEY_LENGTH` bytes.
    fn new(key: &[u8]) -> Result<Self, Unspecified>;

    /// The plaintext, if the tag is right.
    fn open(&self, sealed: &Sealed<'_>) -> Option<Vec<u8>>;
}

/// `A256CBC-HS512` (RFC 7518 section 5.2.5).
struct CbcKey {
    mac: hmac::Key,
    cipher: PaddedBlockDecryptingKey,
}

impl Decrypt for CbcKey {
    const KEY_LENGTH: usize = 64;
    const IV_LENGTH: usize = 16;
    const TAG_LENGTH: usize = 32;
    const HASH: &'static digest::Algorithm = &digest::SHA512;

    fn new(key: &[u8]) -> Result<Self, Unspecified> {
        let (mac, cipher) = key.split_at_checked(32).ok_or(Unspecified)?;
        Ok(Self {
            mac: hmac::Key::new(hmac::HMAC_SHA512, mac),
            cipher: PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, cipher)?)?,
        })
    }

    fn open(&self, sealed: &Sealed<'_>) -> Option<Vec<u8>> {
        let header_bits = u64::try_from(sealed.header.len()).ok()?.checked_mul(8)?;
        let mut mac = hmac::Context::with_key(&self.mac);
        mac.update(sealed.header);
        mac.update(&sealed.iv);
        mac.update(&sealed.ciphertext);
        mac.update(&header_bits.to_be_bytes());
        let mac = mac.sign();
        let expected = mac.as_ref().get(..Self::TAG_LENGTH)?;
        constant_time::verify_slices_are_equal(expected, &sealed.tag).ok()?;

        let mut text = sealed.ciphertext.clone();
        let iv = DecryptionContext::Iv128(FixedLength::from(sealed.iv));
        let length = self.cipher.decrypt(&mut text, iv).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

/// `A256GCM` (RFC 7518 section 5.3).
struct GcmKey(LessSafeKey);

impl Decrypt for GcmKey {
    const KEY_LENGTH: usize = 32;
    const IV_LENGTH: usize = 12;
    const TAG_LENGTH: usize = 16;
    const HASH: &'static digest::Algorithm = &digest::SHA256;

    fn new(key: &[u8]) -> Result<Self, Unspecified> {
        Ok(Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key)?)))
    }

    fn open(&self, sealed: &Sealed<'_>) -> Option<Vec<u8>> {
        let nonce = Nonce::try_assume_unique_for_key(sealed.iv.get(..Self::IV_LENGTH)?).ok()?;
        let mut text = sealed.ciphertext.clone();
        text.extend_from_slice(sealed.tag.get(..Self::TAG_LENGTH)?);
        let opened = self
            .0
            .open_in_place(nonce, Aad::from(sealed.header), &mut text);
        let length = opened.ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

/// One key for each secret.
fn derive_all<K: Decrypt>(secrets: &[Secret], salt: &[u8], info: &[u8]) -> Vec<Key<K>> {
    let derived = secrets.iter().map(|secret| derive(secret, salt, info));
    // The library refuses only keys of a wrong length, and `derive` makes none: nothing is lost.
    derived.filter_map(Result::ok).collect()
}

/// HKDF-SHA256 (RFC 5869) of the secret's own bytes: they are never hex- or base64-decoded first.
fn derive<K: Decrypt>(secret: &Secret, salt: &[u8], info: &[u8]) -> Result<Key<K>, Unspecified> {
    let mut bytes = Zeroizing::new([0; CbcKey::KEY_LENGTH]);
    let bytes = bytes.get_mut(..K::KEY_LENGTH).ok_or(Unspecified)?;
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret.expose())
        .expand(&[info], KeyLength(K::KEY_LENGTH))?
        .fill(bytes)?;
    Ok(Key {
        id: thumbprint(bytes, K::HASH),
        key: K::new(bytes)?,
    })
}

/// The length of a key, as the HKDF wants it.
struct KeyLength(usize);

impl hkdf::KeyType for KeyLength {
    fn len(&self) -> usize {
        self.0
    }
}

/// The RFC 7638 thumbprint of a symmetric key.
fn thumbprint(key: &[u8], hash: &'static digest::Algorithm) -> String {
    let encoded = Zeroizing::new(BASE64URL.encode(key));
    let jwk = Zeroizing::new(format!(r#"{{"k":"{}","kty":"oct"}}"#, *encoded));
    BASE64URL.encode(digest::digest(hash, jwk.as_bytes()))
}
