//! The two content encryptions of session tokens, and the keys that the libraries derive for them.
//!
//! Guarantees: nothing is decrypted before its authentication tag was compared, in constant time
//! (RFC 7518 section 5.2.2.2), so that a failure says nothing about a plaintext.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, digest, hkdf, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use zeroize::Zeroizing;

use super::error::InvalidReason;
use crate::secret::Secret;

/// One derived key and its id.
pub(super) struct Key<K> {
    /// The RFC 7638 thumbprint of the key as a JWK.
    pub(super) id: String,
    pub(super) key: K,
}

/// A content encryption.
pub(super) trait Decrypt: Sized {
    const KEY_LENGTH: usize;
    const IV_LENGTH: usize;
    const TAG_LENGTH: usize;
    /// What thumbprints are made with, but for Better Auth's.
    const HASH: &'static digest::Algorithm;

    /// Takes a key of `KEY_LENGTH` bytes.
    fn new(key: &[u8]) -> Result<Self, Unspecified>;

    /// The plaintext, if the tag is right.
    fn open(&self, sealed: &Sealed<'_>) -> Option<Vec<u8>>;
}

/// `A256CBC-HS512` (RFC 7518 section 5.2.5).
pub(super) struct CbcKey {
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
pub(super) struct GcmKey(LessSafeKey);

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

/// A token's parts as bytes, of the lengths that its encryption demands.
pub(super) struct Sealed<'t> {
    /// The header part as it came: the additional authenticated data.
    header: &'t [u8],
    iv: [u8; MAX_IV],
    ciphertext: Vec<u8>,
    tag: [u8; MAX_TAG],
}

const MAX_IV: usize = CbcKey::IV_LENGTH;
const MAX_TAG: usize = CbcKey::TAG_LENGTH;

impl<'t> Sealed<'t> {
    /// Decodes the parts of a token for the encryption `K`.
    pub(super) fn decode<K: Decrypt>(
        header: &'t [u8],
        iv: &[u8],
        ciphertext: &[u8],
        tag: &[u8],
    ) -> Result<Self, InvalidReason> {
        let mut sealed = Self {
            header,
            iv: [0; MAX_IV],
            ciphertext: Vec::new(),
            tag: [0; MAX_TAG],
        };
        decode_exactly(iv, &mut sealed.iv, K::IV_LENGTH)?;
        decode_exactly(tag, &mut sealed.tag, K::TAG_LENGTH)?;
        sealed.ciphertext = BASE64URL
            .decode(ciphertext)
            .map_err(|_| InvalidReason::Malformed)?;
        Ok(sealed)
    }
}

/// Decodes `encoded` to the front of `bytes`; it must have `length` bytes.
fn decode_exactly(encoded: &[u8], bytes: &mut [u8], length: usize) -> Result<(), InvalidReason> {
    match BASE64URL.decode_slice(encoded, bytes) {
        Ok(decoded) if decoded == length => Ok(()),
        Ok(_) | Err(_) => Err(InvalidReason::Malformed),
    }
}

/// What keys are derived with besides the secret.
pub(super) struct Derivation<'a> {
    pub(super) salt: &'a [u8],
    pub(super) info: &'a [u8],
    /// What thumbprints are made with; `None`: as usual for the length of the key.
    pub(super) hash: Option<&'static digest::Algorithm>,
}

/// One key for each secret.
pub(super) fn derive_all<K: Decrypt>(secrets: &[Secret], by: &Derivation<'_>) -> Vec<Key<K>> {
    let derived = secrets.iter().map(|secret| derive(secret, by));
    // The library refuses only keys of a wrong length, and `derive` makes none: nothing is lost.
    derived.filter_map(Result::ok).collect()
}

/// HKDF-SHA256 (RFC 5869) of the secret's own bytes: they are never hex- or base64-decoded first.
fn derive<K: Decrypt>(secret: &Secret, by: &Derivation<'_>) -> Result<Key<K>, Unspecified> {
    let mut bytes = Zeroizing::new([0; CbcKey::KEY_LENGTH]);
    let bytes = bytes.get_mut(..K::KEY_LENGTH).ok_or(Unspecified)?;
    hkdf::Salt::new(hkdf::HKDF_SHA256, by.salt)
        .extract(secret.expose())
        .expand(&[by.info], KeyLength(K::KEY_LENGTH))?
        .fill(bytes)?;
    Ok(Key {
        id: thumbprint(bytes, by.hash.unwrap_or(K::HASH)),
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
