//! Keys of every kind and form, and what they must not be taken for.

use aws_lc_rs::rsa::KeySize;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;

use super::super::testing::{TestKey, pem, set};
use super::*;

const CLAIMS: &str = r#"{"sub":"ada"}"#;

fn check(keys: &KeySet, token: &str, algorithm: Algorithm) -> Result<(), InvalidReason> {
    keys.verify(&Jws::parse(token.as_bytes()).unwrap(), algorithm)
}

fn one(jwk: &str) -> Result<KeySet, KeySetError> {
    KeySet::from_json(set(&[jwk.to_owned()]).as_bytes())
}

fn every_kind() -> [(TestKey, &'static [&'static str]); 4] {
    [
        (
            TestKey::rsa(KeySize::Rsa2048),
            &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
        ),
        (TestKey::p256(), &["ES256"]),
        (TestKey::p384(), &["ES384"]),
        (TestKey::ed25519(), &["EdDSA"]),
    ]
}

#[test]
fn every_algorithm_is_checked_with_a_key_of_its_kind_in_every_form() {
    for (key, algorithms) in every_kind() {
        let others = [
            one(&key.jwk("k", "")).unwrap(),
            KeySet::from_pem(key.pem().as_bytes()).unwrap(),
            KeySet::from_json(serde_json::json!({ "k": key.pem() }).to_string().as_bytes())
                .unwrap(),
        ];
        for (keys, label) in others
            .iter()
            .flat_map(|keys| algorithms.iter().map(move |a| (keys, a)))
        {
            let algorithm = Algorithm::parse(label).unwrap();
            assert!(keys.has_key_for(algorithm));
            let token = key.token(label, "k", CLAIMS);
            assert_eq!(check(keys, &token, algorithm), Ok(()), "{label}");
            // Without a name too; and not with another algorithm.
            let nameless = key.token(label, "", CLAIMS);
            assert_eq!(check(keys, &nameless, algorithm), Ok(()), "{label}");
            for other in Algorithm::ALL.into_iter().filter(|one| *one != algorithm) {
                assert!(check(keys, &token, other).is_err(), "{label} {other:?}");
            }
        }
    }
}

#[test]
fn a_key_of_another_kind_or_swapped_keys_check_nothing() {
    let (one_key, other) = (TestKey::p256(), TestKey::p256());
    let rsa = TestKey::rsa(KeySize::Rsa2048);
    let keys = set(&[
        one_key.jwk("one", ""),
        rsa.jwk("rsa", ""),
        other.jwk("other", ""),
    ]);
    let keys = KeySet::from_json(keys.as_bytes()).unwrap();
    for (kid, expected) in [
        ("one", Ok(())),
        ("other", Err(InvalidReason::Signature)),
        ("rsa", Err(InvalidReason::NoKeyFits)),
        ("none", Err(InvalidReason::UnknownKey)),
    ] {
        let token = one_key.token("ES256", kid, CLAIMS);
        assert_eq!(check(&keys, &token, Algorithm::Es256), expected, "{kid}");
    }
}

#[test]
fn a_signature_in_another_form_is_none() {
    let key = TestKey::p256();
    let keys = one(&key.jwk("k", "")).unwrap();
    let header = r#"{"alg":"ES256","kid":"k"}"#;
    let der = key.token_with("ES256-DER", header, CLAIMS);
    assert_eq!(
        check(&keys, &der, Algorithm::Es256),
        Err(InvalidReason::Signature)
    );
    let genuine = key.token("ES256", "k", CLAIMS);
    let (signed, signature) = genuine.rsplit_once('.').unwrap();
    let signature = BASE64URL.decode(signature).unwrap();
    let twice = [signature.as_slice(), &signature].concat();
    for forged in [
        vec![],
        vec![0; 64],
        vec![0; 1],
        twice,
        signature[..63].to_vec(),
    ] {
        let token = format!("{signed}.{}", BASE64URL.encode(&forged));
        let found = check(&keys, &token, Algorithm::Es256);
        assert_eq!(found, Err(InvalidReason::Signature), "{}", forged.len());
    }
}

#[test]
fn a_jwk_is_for_what_it_says_alone() {
    let key = TestKey::rsa(KeySize::Rsa2048);
    let token = key.token("RS256", "k", CLAIMS);
    for more in [
        "",
        r#","alg":"RS256""#,
        r#","use":"sig""#,
        r#","key_ops":["verify","x"]"#,
        r#","x5c":["?"],"d":"AQAB","new":{}"#,
    ] {
        let keys = one(&key.jwk("k", more)).unwrap();
        assert_eq!(check(&keys, &token, Algorithm::Rs256), Ok(()), "{more}");
    }
    let keys = one(&key.jwk("k", r#","alg":"RS512""#)).unwrap();
    let found = check(&keys, &token, Algorithm::Rs256);
    assert_eq!(found, Err(InvalidReason::NoKeyFits));
    for more in [
        r#","use":"enc""#,
        r#","key_ops":["sign"]"#,
        r#","key_ops":[]"#,
        r#","alg":"RSA-OAEP""#,
        r#","alg":"ES256""#,
        r#","alg":"HS256""#,
    ] {
        let fault = one(&key.jwk("k", more)).unwrap_err();
        assert_eq!(fault, KeySetError(Fault::Useless(KeyFault::Use)), "{more}");
    }
}

#[test]
fn unknown_keys_spoil_no_set_and_no_set_is_made_of_them_alone() {
    let key = TestKey::ed25519();
    let secret = TestKey::Secret(vec![7; 32]).jwk("s", "");
    let strange = [
        secret,
        r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}"#.to_owned(),
        r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#.to_owned(),
        r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#.to_owned(),
        format!(
            r#"{{"kty":"EC","crv":"P-256","x":"{0}","y":"{0}"}}"#,
            BASE64URL.encode([1; 32])
        ),
        format!(
            r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#,
            BASE64URL.encode([255; 128])
        ),
        r#"{"kty":7}"#.to_owned(),
        "7".to_owned(),
        "null".to_owned(),
    ];
    let mut all = strange.to_vec();
    all.push(key.jwk("k", ""));
    let keys = KeySet::from_json(set(&all).as_bytes()).unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(
        check(&keys, &key.token("EdDSA", "k", CLAIMS), Algorithm::EdDsa),
        Ok(())
    );
    for jwk in &strange {
        assert!(one(jwk).is_err(), "{jwk}");
    }
    assert!(KeySet::from_json(br#"{"keys":[]}"#).unwrap().is_empty());
    for text in [
        "",
        "{}",
        "[]",
        "null",
        "{\"keys\":{}}",
        "{\"error\":\"x\"}",
        "{\"a\":1}",
    ] {
        assert!(KeySet::from_json(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn rsa_keys_under_2048_bits_are_refused_in_every_form() {
    let modulus = [&[0, 0x7f][..], &[255; 255]].concat();
    let jwk = format!(
        r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#,
        BASE64URL.encode(modulus)
    );
    let too_small = KeySetError(Fault::Useless(KeyFault::RsaSize));
    assert_eq!(one(&jwk).unwrap_err(), too_small);
    // A key of 1024 bits, made for this test.
    let der = include_bytes!("rsa1024.der");
    assert!(KeySet::from_pem(pem("PUBLIC KEY", der).as_bytes()).is_err());
}

#[test]
fn a_certificate_is_its_key() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["issuer.example".to_owned()]).unwrap();
    parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = parameters.self_signed(&pair).unwrap().pem();
    let signer = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        &pair.serialize_der(),
    )
    .unwrap();
    let header = BASE64URL.encode(r#"{"alg":"ES256","kid":"k"}"#);
    let signed = format!("{header}.{}", BASE64URL.encode(CLAIMS));
    let random = aws_lc_rs::rand::SystemRandom::new();
    let signature = signer.sign(&random, signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", BASE64URL.encode(signature));
    let map = serde_json::json!({ "k": certificate, "spoilt": "-----BEGIN" }).to_string();
    for keys in [
        KeySet::from_pem(certificate.as_bytes()),
        KeySet::from_json(map.as_bytes()),
    ] {
        let keys = keys.unwrap();
        assert_eq!(keys.len(), 1);
        assert_eq!(check(&keys, &token, Algorithm::Es256), Ok(()));
    }
    let none = KeySet::from_pem(pair.serialize_pem().as_bytes()).unwrap_err();
    assert_eq!(none, KeySetError(Fault::NoPem));
}

#[test]
fn a_set_is_the_same_in_another_order() {
    let keys = [TestKey::p256().jwk("a", ""), TestKey::p256().jwk("b", "")];
    let read = |keys: &[String]| KeySet::from_json(set(keys).as_bytes()).unwrap();
    let both = read(&keys);
    assert!(both.is_same(&read(&[keys[1].clone(), keys[0].clone()])));
    assert!(!both.is_same(&read(&keys[..1])));
    assert!(!both.is_same(&read(&[])));
    assert_eq!(format!("{both:?}"), "KeySet(2 keys)");
}
