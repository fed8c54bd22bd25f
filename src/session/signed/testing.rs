//! Issuers for the tests: keys of every kind, and the tokens that they sign.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64URL};

/// A private key.
pub enum TestKey {
    Rsa(Box<RsaKeyPair>),
    P256 {
        fixed: Box<EcdsaKeyPair>,
        der: Box<EcdsaKeyPair>,
    },
    P384(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
    Secret(Vec<u8>),
}

impl TestKey {
    pub fn rsa(size: KeySize) -> Self {
        let pair = rsa::KeyPair::generate(size).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(der.as_ref()).unwrap()))
    }

    pub fn p256() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let pkcs8 = pkcs8.unwrap();
        let read =
            |algorithm| Box::new(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap());
        Self::P256 {
            fixed: read(&ECDSA_P256_SHA256_FIXED_SIGNING),
            der: read(&ECDSA_P256_SHA256_ASN1_SIGNING),
        }
    }

    pub fn p384() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING);
        Self::P384(Box::new(pair.unwrap()))
    }

    pub fn ed25519() -> Self {
        Self::Ed25519(Box::new(Ed25519KeyPair::generate().unwrap()))
    }

    /// The public key as a JWK with `more` members (`,"alg":"RS256"`).
    pub fn jwk(&self, kid: &str, more: &str) -> String {
        let encode = |bytes: &[u8]| BASE64URL.encode(bytes);
        let point = |curve: &str, point: &[u8]| {
            let (x, y) = point[1..].split_at((point.len() - 1) / 2);
            let (x, y) = (encode(x), encode(y));
            format!(r#""kty":"EC","crv":"{curve}","x":"{x}","y":"{y}""#)
        };
        let members = match self {
            Self::Rsa(pair) => {
                let n = encode(
                    pair.public_key()
                        .modulus()
                        .big_endian_without_leading_zero(),
                );
                format!(r#""kty":"RSA","n":"{n}","e":"AQAB""#)
            }
            Self::P256 { fixed, .. } => point("P-256", fixed.public_key().as_ref()),
            Self::P384(pair) => point("P-384", pair.public_key().as_ref()),
            Self::Ed25519(pair) => {
                let x = encode(pair.public_key().as_ref());
                format!(r#""kty":"OKP","crv":"Ed25519","x":"{x}""#)
            }
            Self::Secret(bytes) => format!(r#""kty":"oct","k":"{}""#, encode(bytes)),
        };
        format!(r#"{{{members},"kid":"{kid}"{more}}}"#)
    }

    /// The public key as a `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> Vec<u8> {
        let der = |key: &dyn Fn() -> PublicKeyX509Der<'static>| key().as_ref().to_vec();
        match self {
            Self::Rsa(pair) => der(&|| pair.public_key().as_der().unwrap()),
            Self::P256 { fixed, .. } => der(&|| fixed.public_key().as_der().unwrap()),
            Self::P384(pair) => der(&|| pair.public_key().as_der().unwrap()),
            Self::Ed25519(pair) => der(&|| pair.public_key().as_der().unwrap()),
            Self::Secret(_) => panic!("no public key"),
        }
    }

    /// The same in PEM.
    pub fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki())
    }

    /// A token whose header has `alg`, `kid` and `more` members, signed by this key as `alg` says.
    pub fn token(&self, alg: &str, kid: &str, claims: &str) -> String {
        let kid = if kid.is_empty() {
            String::new()
        } else {
            format!(r#","kid":"{kid}""#)
        };
        self.token_with(
            alg,
            &format!(r#"{{"alg":"{alg}"{kid},"typ":"JWT"}}"#),
            claims,
        )
    }

    /// The same with a header of one's own.
    pub fn token_with(&self, alg: &str, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
        let signature = self.sign(alg, signed.as_bytes());
        format!("{signed}.{}", BASE64URL.encode(signature))
    }

    /// The signature of `message`; `ES256-DER` is ES256 in the wrong form.
    pub fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = match alg {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Self::P256 { der, .. } if alg == "ES256-DER" => {
                der.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Self::P256 { fixed: pair, .. } | Self::P384(pair) => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Secret(bytes) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
                hmac::sign(&key, message).as_ref().to_vec()
            }
        }
    }
}

/// A JWK set.
pub fn set(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

/// DER in PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}
