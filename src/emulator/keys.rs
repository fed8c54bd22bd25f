//! RSA keys: the one that signs the emulator's tokens, and those it trusts besides.
//!
//! A key is parsed once, when it is made; one that is not RSA or is under 2048 bits is refused.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKey};
use aws_lc_rs::signature::{
    KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};

use super::time::hex;

const SMALLEST_MODULUS_BYTES: usize = 256;

/// The RSA key that signs tokens, with the `kid` under which it is published.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    pair: Arc<KeyPair>,
}

impl SigningKey {
    /// A new 2048-bit key whose `kid` is made from the key itself.
    ///
    /// # Errors
    /// If the random generator fails.
    pub fn generate() -> io::Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048)
            .map_err(|_| io::Error::other("an RSA key could not be generated"))?;
        Ok(Self::named_by_itself(pair))
    }

    /// The key of this process: made at the first call and the same ever after, so that many
    /// emulators in one test run pay for it once.
    ///
    /// # Errors
    /// As [`SigningKey::generate`].
    pub fn of_this_process() -> io::Result<Self> {
        static KEY: OnceLock<SigningKey> = OnceLock::new();
        if let Some(key) = KEY.get() {
            return Ok(key.clone());
        }
        let fresh = Self::generate()?;
        Ok(KEY.get_or_init(|| fresh).clone())
    }

    /// A key from a PEM, PKCS#8 or PKCS#1.
    ///
    /// # Errors
    /// `InvalidInput` if it is not a PEM with an RSA private key of 2048 bits or more.
    pub fn from_pem(kid: &str, pem: &str) -> io::Result<Self> {
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok();
        let pkcs1 = PrivatePkcs1KeyDer::from_pem_slice(pem.as_bytes()).ok();
        let pair = pkcs8
            .and_then(|der| KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok())
            .or_else(|| pkcs1.and_then(|der| KeyPair::from_der(der.secret_pkcs1_der()).ok()))
            .filter(|pair| pair.public_modulus_len() >= SMALLEST_MODULUS_BYTES)
            .ok_or_else(|| invalid("an RSA private key PEM of 2048 bits or more"))?;
        Ok(Self {
            kid: kid.to_owned(),
            pair: Arc::new(pair),
        })
    }

    /// The key id written into token headers and the JWKS.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// This key as a local-signing `BEHEST_KEY`: `behest_pk_` and base64 of the PKCS#8 DER.
    ///
    /// # Errors
    /// If the key cannot be encoded.
    pub fn to_behest_key(&self) -> io::Result<String> {
        let der: Pkcs8V1Der<'_> = self
            .pair
            .as_der()
            .map_err(|_| io::Error::other("the RSA key could not be encoded"))?;
        Ok(format!("behest_pk_{}", STANDARD.encode(der.as_ref())))
    }

    /// The public half.
    ///
    /// # Errors
    /// If the library refuses its own key.
    pub fn trusted(&self) -> io::Result<TrustedKey> {
        TrustedKey::from_der(&self.kid, self.pair.public_key().as_ref())
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 over `message`.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .ok()?;
        Some(signature)
    }

    fn named_by_itself(pair: KeyPair) -> Self {
        let name = digest(&SHA256, pair.public_key().as_ref());
        let short: Vec<u8> = name.as_ref().iter().copied().take(4).collect();
        Self {
            kid: format!("emulator-{}", hex(&short)),
            pair: Arc::new(pair),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// A public RSA key whose signatures are believed, for tokens that a gateway signs itself.
#[derive(Clone)]
pub struct TrustedKey {
    kid: String,
    public: PublicKey,
    parsed: Arc<ParsedPublicKey>,
}

impl TrustedKey {
    /// A key from a `BEGIN PUBLIC KEY` PEM.
    ///
    /// # Errors
    /// `InvalidInput` if it is not such a PEM with an RSA key of 2048 bits or more.
    pub fn from_pem(kid: &str, pem: &str) -> io::Result<Self> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| invalid("an RSA public key PEM"))?;
        Self::from_der(kid, der.as_ref())
    }

    /// A key from its DER, `SubjectPublicKeyInfo` or PKCS#1.
    ///
    /// # Errors
    /// `InvalidInput` if it is not an RSA key of 2048 bits or more.
    pub fn from_der(kid: &str, der: &[u8]) -> io::Result<Self> {
        let public = PublicKey::from_der(der)
            .ok()
            .filter(|key| key.modulus_len() >= SMALLEST_MODULUS_BYTES)
            .ok_or_else(|| invalid("an RSA public key of 2048 bits or more"))?;
        let parsed = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.as_ref())
            .map_err(|_| invalid("an RSA public key"))?;
        Ok(Self {
            kid: kid.to_owned(),
            public,
            parsed: Arc::new(parsed),
        })
    }

    /// The key id that a token's header must name.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }

    /// RFC 7517: this key in a JWKS.
    pub(super) fn to_jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
            "n": encode(self.public.modulus().big_endian_without_leading_zero()),
            "e": encode(self.public.exponent().big_endian_without_leading_zero()),
        })
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

fn invalid(wanted: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("the emulator was not given {wanted}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_signs_its_public_half_verifies() {
        let key = SigningKey::of_this_process().unwrap();
        let trusted = key.trusted().unwrap();
        let signature = key.sign(b"message").unwrap();
        assert!(trusted.verifies(b"message", &signature));
        assert!(!trusted.verifies(b"massage", &signature));
        assert_eq!(trusted.to_jwk()["e"], "AQAB");
    }

    #[test]
    fn the_local_signing_key_is_pkcs8_behind_its_prefix() {
        let key = SigningKey::of_this_process().unwrap();
        let text = key.to_behest_key().unwrap();
        let der = STANDARD
            .decode(text.strip_prefix("behest_pk_").unwrap())
            .unwrap();
        assert!(KeyPair::from_pkcs8(&der).is_ok());
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(&der)
        );
        assert_eq!(SigningKey::from_pem("k", &pem).unwrap().kid(), "k");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(SigningKey::from_pem("k", "nonsense").is_err());
        assert!(TrustedKey::from_pem("k", "nonsense").is_err());
        assert!(TrustedKey::from_der("k", b"\x30\x00").is_err());
    }
}
