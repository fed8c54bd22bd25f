//! The tenant's RSA private key, out of every form in which it is handed over.
//!
//! Accepts base64 and base64url (padded or not, broken into lines or not) of a PEM or of PKCS#8 or
//! PKCS#1 DER, and a PEM whose line breaks are real, escaped (`\n`) or lost. Parsed once, since
//! parsing costs more than a signature. Guarantees: at least 2048 bits; intermediate copies are wiped.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::KeyError;

/// Standard alphabet, padding optional, and no complaint about leftover bits.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// An RSA private key of 2048 to 8192 bits.
pub struct RsaKey(KeyPair);

impl RsaKey {
    /// Reads `packed`: what follows `behest_pk_`, or a PEM file's content.
    ///
    /// # Errors
    /// A [`KeyError`] about the RSA key, which never holds a part of it.
    pub fn parse(packed: &[u8]) -> Result<Self, KeyError> {
        if let Some(pem) = Pem::find(packed) {
            return pem.key();
        }
        // Behest's API keys read `behest_sk_live_…`: a private key may be marked like them.
        let unmarked = [&b"live_"[..], b"test_"]
            .iter()
            .find_map(|mark| packed.strip_prefix(*mark));
        match (Self::parse_base64(packed), unmarked) {
            (Err(KeyError::RsaForm), Some(unmarked)) => match Pem::find(unmarked) {
                Some(pem) => pem.key(),
                None => Self::parse_base64(unmarked),
            },
            (result, _) => result,
        }
    }

    /// The length of its modulus, in bits.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.0.public_modulus_len() * 8
    }

    /// The RS256 signature (RFC 7518 section 3.3) of `message`.
    ///
    /// # Errors
    /// Only if the library fails, which it has no reason to.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            message,
            &mut signature,
        )?;
        Ok(signature)
    }

    fn parse_base64(text: &[u8]) -> Result<Self, KeyError> {
        let bytes = decode(text)?;
        match Pem::find(&bytes) {
            Some(pem) => pem.key(),
            None => Self::parse_der(&bytes),
        }
    }

    fn parse_der(der: &[u8]) -> Result<Self, KeyError> {
        let rejections = match KeyPair::from_pkcs8(der) {
            Ok(key) => return Ok(Self(key)),
            Err(pkcs8) => match KeyPair::from_der(der) {
                Ok(key) => return Ok(Self(key)),
                Err(pkcs1) => [pkcs8.description_(), pkcs1.description_()],
            },
        };
        if rejections.contains(&"TooSmall") {
            Err(KeyError::RsaTooSmall)
        } else if rejections.contains(&"TooLarge") {
            Err(KeyError::RsaTooLarge)
        } else {
            Err(KeyError::RsaForm)
        }
    }
}

impl std::fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RsaKey(…)")
    }
}

/// One section of a PEM text (RFC 7468), read without regard to its line breaks.
struct Pem<'a> {
    label: &'a str,
    body: &'a str,
}

impl<'a> Pem<'a> {
    /// The first private-key section in `text`, else the first section.
    fn find(text: &'a [u8]) -> Option<Self> {
        let mut rest = std::str::from_utf8(text).ok()?;
        let mut first = None;
        while let Some((section, after)) = Self::split(rest) {
            rest = after;
            if section.label.ends_with("PRIVATE KEY") {
                return Some(section);
            }
            first = first.or(Some(section));
        }
        first
    }

    fn split(text: &'a str) -> Option<(Self, &'a str)> {
        let (_, text) = text.split_once("-----BEGIN ")?;
        let (label, text) = text.split_once("-----")?;
        let (body, text) = text.split_once("-----END ")?;
        Some((Self { label, body }, text))
    }

    fn key(&self) -> Result<RsaKey, KeyError> {
        // PKCS#1's own encryption announces itself in a header line within the section.
        if self.label == "ENCRYPTED PRIVATE KEY" || self.body.contains("ENCRYPTED") {
            return Err(KeyError::RsaEncrypted);
        }
        if !matches!(self.label, "PRIVATE KEY" | "RSA PRIVATE KEY") {
            return Err(KeyError::RsaForm);
        }
        let body = Zeroizing::new(self.body.replace("\\r", ""));
        let body = Zeroizing::new(body.replace("\\n", ""));
        RsaKey::parse_der(&decode(body.as_bytes())?)
    }
}

/// Base64 of either alphabet, white space ignored.
fn decode(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    // Of the right size at once: a vector that grows leaves copies behind that nobody wipes.
    let mut standard = Zeroizing::new(Vec::with_capacity(text.len()));
    let bytes = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    standard.extend(bytes.map(|&byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    }));
    LENIENT
        .decode(standard.as_slice())
        .map(Zeroizing::new)
        .map_err(|_| KeyError::RsaForm)
}

#[cfg(test)]
mod tests;
