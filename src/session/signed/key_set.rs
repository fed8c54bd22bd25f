//! The keys of an issuer: as a JWK set (RFC 7517 section 5), as a map of certificates, or as PEM.
//!
//! Guarantees: a key that cannot be used spoils no other; a token's `kid` chooses the key wherever keys
//! have names, and nothing else is tried then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::error::InvalidReason;
use super::algorithm::Algorithm;
use super::jws::Jws;
use super::key::{KeyFault, PublicKey};

/// No issuer has more keys at a time; the rest is not looked at.
const MAX_KEYS: usize = 100;

/// An issuer's keys.
pub struct KeySet {
    keys: Vec<PublicKey>,
    /// Whether a token's `kid` chooses among them; PEM has no names.
    named: bool,
}

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct KeySetError(Fault);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("is neither a JWK set ({{\"keys\": […]}}) nor a map of certificates by their key ids")]
    Form,
    #[error("holds no key that can be used; of the first: {0}")]
    Useless(KeyFault),
    #[error("holds neither a PUBLIC KEY nor a CERTIFICATE in PEM")]
    NoPem,
    #[error("holds a key that cannot be used: {0}")]
    Pem(KeyFault),
}

#[derive(Deserialize)]
struct JwkSet<'t> {
    #[serde(borrow)]
    keys: Vec<&'t RawValue>,
}

impl KeySet {
    /// Reads a JWK set, or a map of PEM texts by key ids as Firebase has it.
    ///
    /// # Errors
    /// It is neither, or no key of several can be used. An empty JWK set is one: so does an issuer
    /// say that it has no key at all.
    pub fn from_json(text: &[u8]) -> Result<Self, KeySetError> {
        let found: Vec<Result<PublicKey, KeyFault>> =
            if let Ok(JwkSet { keys }) = serde_json::from_slice(text) {
                let keys = keys.into_iter().take(MAX_KEYS);
                keys.map(|key| PublicKey::from_jwk(key.get())).collect()
            } else {
                let map: BTreeMap<String, String> =
                    serde_json::from_slice(text).map_err(|_| KeySetError(Fault::Form))?;
                if map.is_empty() {
                    return Err(KeySetError(Fault::Form));
                }
                let entries = map.into_iter().take(MAX_KEYS);
                entries
                    .map(|(id, pem)| {
                        let mut keys = pem_keys(pem.as_bytes(), Some(&id)).into_iter();
                        keys.next().unwrap_or(Err(KeyFault::Form))
                    })
                    .collect()
            };
        let first_fault = found.iter().find_map(|key| key.as_ref().err().copied());
        let keys: Vec<PublicKey> = found.into_iter().filter_map(Result::ok).collect();
        match first_fault {
            Some(fault) if keys.is_empty() => Err(KeySetError(Fault::Useless(fault))),
            Some(_) | None => Ok(Self { keys, named: true }),
        }
    }

    /// Reads every `PUBLIC KEY` and `CERTIFICATE` of a PEM text.
    ///
    /// # Errors
    /// There is none, or one cannot be used.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeySetError> {
        let keys: Result<Vec<PublicKey>, KeyFault> = pem_keys(text, None).into_iter().collect();
        let keys = keys.map_err(|fault| KeySetError(Fault::Pem(fault)))?;
        if keys.is_empty() {
            return Err(KeySetError(Fault::NoPem));
        }
        Ok(Self { keys, named: false })
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether some key here is for `algorithm`.
    #[must_use]
    pub fn has_key_for(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.fits(algorithm))
    }

    /// Whether a token that names this key can be judged.
    pub(super) fn knows(&self, key_id: Option<&str>) -> bool {
        match key_id {
            Some(_) if self.named => self.keys.iter().any(|key| key.id.as_deref() == key_id),
            Some(_) | None => true,
        }
    }

    /// Whether the keys are the same ones, in whatever order.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let hashes =
            |set: &Self| -> BTreeSet<[u8; 32]> { set.keys.iter().map(|key| key.hash).collect() };
        self.named == other.named && hashes(self) == hashes(other)
    }

    /// Checks the signature of `jws`, which was made by `algorithm`.
    pub(super) fn verify(&self, jws: &Jws<'_>, algorithm: Algorithm) -> Result<(), InvalidReason> {
        let key_id = jws.key_id.as_deref().filter(|_| self.named);
        if !self.knows(key_id) {
            return Err(InvalidReason::UnknownKey);
        }
        let named = |key: &&PublicKey| key_id.is_none() || key.id.as_deref() == key_id;
        let mut fitting = self
            .keys
            .iter()
            .filter(named)
            .filter(|key| key.fits(algorithm))
            .peekable();
        if fitting.peek().is_none() {
            return Err(InvalidReason::NoKeyFits);
        }
        if fitting.any(|key| key.signed(jws, algorithm)) {
            return Ok(());
        }
        Err(InvalidReason::Signature)
    }
}

/// Shows no key, and no name of one.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.keys.len())
    }
}

/// Every key and certificate of a PEM text.
fn pem_keys(text: &[u8], id: Option<&str>) -> Vec<Result<PublicKey, KeyFault>> {
    let id = || id.map(str::to_owned);
    let keys = SubjectPublicKeyInfoDer::pem_slice_iter(text).map(|der| match der {
        Ok(der) => PublicKey::from_spki(&der, id()),
        Err(_) => Err(KeyFault::Form),
    });
    let certificates = CertificateDer::pem_slice_iter(text).map(|der| match der {
        Ok(der) => PublicKey::from_certificate(&der, id()),
        Err(_) => Err(KeyFault::Form),
    });
    keys.chain(certificates).take(MAX_KEYS).collect()
}

#[cfg(test)]
mod tests;
