//! Every way to hand over an RSA key, and what is refused.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use base64::prelude::{
    BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD,
};

use super::*;

/// A PKCS#1 key of 1024 bits, made for this test and used nowhere.
const SHORT_KEY: &str = include_str!("short_key.base64");

fn pkcs8() -> Vec<u8> {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    key.as_der().unwrap().as_ref().to_vec()
}

/// The `RSAPrivateKey` within `pkcs8` (RFC 5208 section 5): behind the version and the algorithm
/// of an RSA key, in an octet string whose length takes two bytes.
fn pkcs1(pkcs8: &[u8]) -> &[u8] {
    &pkcs8[26..]
}

fn pem(label: &str, der: &[u8], newline: &str) -> String {
    let body = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let body = lines.join(newline);
    format!("-----BEGIN {label}-----{newline}{body}{newline}-----END {label}-----{newline}")
}

fn public(key: &RsaKey) -> Vec<u8> {
    use aws_lc_rs::signature::KeyPair as _;
    key.0.public_key().as_ref().to_vec()
}

#[test]
fn every_packing_gives_the_same_key() {
    let pkcs8 = pkcs8();
    let pkcs1 = pkcs1(&pkcs8);
    let expected = KeyPair::from_pkcs8(&pkcs8).map(RsaKey).unwrap();
    let mut packed = Vec::new();
    for (der, label) in [(&pkcs8[..], "PRIVATE KEY"), (pkcs1, "RSA PRIVATE KEY")] {
        for newline in ["\n", "\r\n", "\\n", "\\r\\n", " ", ""] {
            packed.push(pem(label, der, newline));
        }
        let pem = pem(label, der, "\n");
        for bytes in [der, pem.as_bytes()] {
            packed.push(BASE64_STANDARD.encode(bytes));
            packed.push(BASE64_STANDARD_NO_PAD.encode(bytes));
            packed.push(BASE64_URL_SAFE.encode(bytes));
            packed.push(BASE64_URL_SAFE_NO_PAD.encode(bytes));
            packed.push(BASE64_STANDARD.encode(bytes) + "\n");
            packed.push(format!("live_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)));
        }
        packed.push(format!("live_{pem}"));
        packed.push(format!("\u{feff}{pem}"));
        packed.push(format!(
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{pem}"
        ));
    }
    for packed in packed {
        let key =
            RsaKey::parse(packed.as_bytes()).unwrap_or_else(|error| panic!("{error}: {packed}"));
        assert_eq!(public(&key), public(&expected));
    }
}

#[test]
fn anything_else_is_refused_by_name_and_without_an_echo() {
    let pkcs8 = pkcs8();
    let cut = &pkcs8[..pkcs8.len() / 2];
    for packed in [
        String::new(),
        "hunter2".into(),
        "hunter2=%".into(),
        "/run/secrets/hunter2.pem".into(),
        BASE64_STANDARD.encode("hunter2"),
        BASE64_STANDARD.encode(cut),
        pem("PRIVATE KEY", cut, "\n"),
        pem("PUBLIC KEY", &pkcs8, "\n"),
        pem("EC PRIVATE KEY", &pkcs8, "\n"),
        "-----BEGIN PRIVATE KEY-----\nhunter2".into(),
        "-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----".into(),
    ] {
        let error = RsaKey::parse(packed.as_bytes()).unwrap_err();
        assert_eq!(error, KeyError::RsaForm, "{packed}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    assert_eq!(
        RsaKey::parse(b"\xff\xfe\x00").unwrap_err(),
        KeyError::RsaForm
    );
}

#[test]
fn keys_of_another_kind_are_refused() {
    let ec = aws_lc_rs::signature::EcdsaKeyPair::generate(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
    )
    .unwrap();
    let der = ec.to_pkcs8v1().unwrap();
    let error = RsaKey::parse(pem("PRIVATE KEY", der.as_ref(), "\n").as_bytes()).unwrap_err();
    assert_eq!(error, KeyError::RsaForm);
}

#[test]
fn encrypted_keys_say_so() {
    let pkcs8 = pem("ENCRYPTED PRIVATE KEY", b"\x30\x00", "\n");
    let pkcs1 = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                 DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for pem in [pkcs8.as_str(), pkcs1] {
        assert_eq!(
            RsaKey::parse(pem.as_bytes()).unwrap_err(),
            KeyError::RsaEncrypted
        );
        let packed = BASE64_STANDARD.encode(pem);
        assert_eq!(
            RsaKey::parse(packed.as_bytes()).unwrap_err(),
            KeyError::RsaEncrypted
        );
    }
}

#[test]
fn keys_below_2048_bits_are_refused() {
    assert_eq!(
        RsaKey::parse(SHORT_KEY.as_bytes()).unwrap_err(),
        KeyError::RsaTooSmall
    );
}
