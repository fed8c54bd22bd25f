//! One public key of an issuer's: out of a JWK (RFC 7517), a `PUBLIC KEY` or a certificate.
//!
//! Guarantees: it is valid, of a kind that is known, and an RSA key has 2048 bits or more; it checks
//! only what its kind, and its own `alg`, `use` and `key_ops`, are for.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use jsonwebtoken::{DecodingKey, crypto};
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;

use super::algorithm::{Algorithm, KeyKind};
use super::jws::Jws;

/// A key that signatures are checked with.
pub(super) struct PublicKey {
    /// Its `kid`, where it has one.
    pub(super) id: Option<String>,
    kind: KeyKind,
    /// Its own `alg`: it is for nothing else.
    only: Option<Algorithm>,
    key: DecodingKey,
    /// A hash of what it was made from, to tell whether a set has changed.
    pub(super) hash: [u8; 32],
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyFault {
    #[error("it is no public key")]
    Form,
    #[error("it is of a kind that is not known here: RSA, P-256, P-384 and Ed25519 are")]
    Kind,
    #[error("it is not for signatures that are checked here (alg, use, key_ops)")]
    Use,
    #[error("its RSA modulus has not 2048 to 8192 bits")]
    RsaSize,
}

/// The members of a JWK that count.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl PublicKey {
    /// The key in `jwk`.
    pub(super) fn from_jwk(jwk: &str) -> Result<Self, KeyFault> {
        let hash = hash(jwk.as_bytes());
        let jwk: Jwk = serde_json::from_str(jwk).map_err(|_| KeyFault::Form)?;
        let for_another_use = jwk.r#use.as_deref().is_some_and(|r#use| r#use != "sig");
        let operations = jwk.key_ops.as_deref();
        if for_another_use || operations.is_some_and(|all| !all.iter().any(|op| op == "verify")) {
            return Err(KeyFault::Use);
        }
        let (kind, key) = jwk.material()?;
        let only = jwk.algorithm()?;
        if only.is_some_and(|only| only.key_kind() != kind) {
            return Err(KeyFault::Use);
        }
        Ok(Self {
            id: jwk.kid,
            kind,
            only,
            key,
            hash,
        })
    }

    /// The key in a `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
    pub(super) fn from_spki(der: &[u8], id: Option<String>) -> Result<Self, KeyFault> {
        let is = |algorithm: &'static dyn VerificationAlgorithm| {
            ParsedPublicKey::new(algorithm, der).is_ok()
        };
        let (kind, key) = if is(&ECDSA_P256_SHA256_FIXED) {
            (KeyKind::P256, DecodingKey::from_ec_der(der))
        } else if is(&ECDSA_P384_SHA384_FIXED) {
            (KeyKind::P384, DecodingKey::from_ec_der(der))
        } else if is(&ED25519) {
            (KeyKind::Ed25519, DecodingKey::from_ed_der(der))
        } else if let Ok(key) = PublicEncryptingKey::from_der(der) {
            if !(2048..=8192).contains(&key.key_size_bits()) {
                return Err(KeyFault::RsaSize);
            }
            (KeyKind::Rsa, DecodingKey::from_rsa_der(der))
        } else {
            return Err(KeyFault::Kind);
        };
        Ok(Self {
            hash: hash(&[id.as_deref().unwrap_or_default().as_bytes(), b"\0", der].concat()),
            id,
            kind,
            only: None,
            key,
        })
    }

    /// The key of a certificate, which is not checked itself: it came by a trusted way.
    pub(super) fn from_certificate(der: &[u8], id: Option<String>) -> Result<Self, KeyFault> {
        let der = CertificateDer::from(der);
        let certificate = ParsedCertificate::try_from(&der).map_err(|_| KeyFault::Form)?;
        Self::from_spki(&certificate.subject_public_key_info(), id)
    }

    /// Whether signatures of `algorithm` are checked with it.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind == algorithm.key_kind() && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether it signed `jws` by `algorithm`, which it [`fits`](Self::fits).
    pub(super) fn signed(&self, jws: &Jws<'_>, algorithm: Algorithm) -> bool {
        verify(&self.key, jws, algorithm)
    }
}

/// Whether `jws` was signed by `algorithm` with `key`.
pub(super) fn verify(key: &DecodingKey, jws: &Jws<'_>, algorithm: Algorithm) -> bool {
    crypto::verify(jws.signature, jws.signed, key, algorithm.jose()).unwrap_or(false)
}

impl Jwk {
    fn algorithm(&self) -> Result<Option<Algorithm>, KeyFault> {
        match self.alg.as_deref() {
            None => Ok(None),
            // RFC 9864 section 2.2
            Some("Ed25519") => Ok(Some(Algorithm::EdDsa)),
            Some(alg) => match Algorithm::parse(alg) {
                Some(algorithm) => Ok(Some(algorithm)),
                None => Err(KeyFault::Use),
            },
        }
    }

    fn material(&self) -> Result<(KeyKind, DecodingKey), KeyFault> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (bytes(self.n.as_deref())?, bytes(self.e.as_deref())?);
                if !(2048..=8192).contains(&bits(&n)) {
                    return Err(KeyFault::RsaSize);
                }
                Ok((KeyKind::Rsa, DecodingKey::from_rsa_raw_components(&n, &e)))
            }
            ("EC", Some("P-256")) => self.point(KeyKind::P256, &ECDSA_P256_SHA256_FIXED, 32),
            ("EC", Some("P-384")) => self.point(KeyKind::P384, &ECDSA_P384_SHA384_FIXED, 48),
            ("OKP", Some("Ed25519")) => {
                let x = bytes(self.x.as_deref())?;
                if x.len() != 32 || ParsedPublicKey::new(&ED25519, &x).is_err() {
                    return Err(KeyFault::Form);
                }
                Ok((KeyKind::Ed25519, DecodingKey::from_ed_der(&x)))
            }
            _ => Err(KeyFault::Kind),
        }
    }

    /// The point of a curve whose coordinates have `length` bytes.
    fn point(
        &self,
        kind: KeyKind,
        algorithm: &'static dyn VerificationAlgorithm,
        length: usize,
    ) -> Result<(KeyKind, DecodingKey), KeyFault> {
        let (x, y) = (bytes(self.x.as_deref())?, bytes(self.y.as_deref())?);
        let point = [&[4], x.as_slice(), y.as_slice()].concat();
        if x.len() != length
            || y.len() != length
            || ParsedPublicKey::new(algorithm, &point).is_err()
        {
            return Err(KeyFault::Form);
        }
        Ok((kind, DecodingKey::from_ec_der(&point)))
    }
}

/// A member's bytes.
fn bytes(encoded: Option<&str>) -> Result<Vec<u8>, KeyFault> {
    let encoded = encoded.ok_or(KeyFault::Form)?;
    BASE64URL.decode(encoded).map_err(|_| KeyFault::Form)
}

/// How many bits a number has.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let Some(first) = number.get(zeros) else {
        return 0;
    };
    (number.len() - zeros) * 8 - first.leading_zeros() as usize
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    hash
}
