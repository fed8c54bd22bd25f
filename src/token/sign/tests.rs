//! Signed tokens are verified with an independent verifier and compared with the contract.

use std::collections::BTreeMap;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};

use super::super::testing::{identity, mint_config};
use super::*;
use crate::clock::Clock;
use crate::identity::{SessionId, Tier};
use crate::secret::Secret;

const START: u64 = 1_700_000_000;

/// A configuration with a new key, and the key's public half.
fn config() -> (MintConfig, DecodingKey) {
    use aws_lc_rs::signature::KeyPair as _;
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let packed = BASE64_STANDARD.encode(key.as_der().unwrap().as_ref());
    let mut config = mint_config();
    config.key = Secret::new(format!("behest_pk_{packed}"));
    config.kid = Some("kid-1".to_owned());
    config.tenant_id = Some("tenant".to_owned());
    config.project_id = Some("project".to_owned());
    (config, DecodingKey::from_rsa_der(key.public_key().as_ref()))
}

fn verify(minted: &Minted, key: &DecodingKey) -> (Header, BTreeMap<String, Value>) {
    let token = minted
        .authorization
        .to_str()
        .unwrap()
        .strip_prefix("Bearer ")
        .unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    let data = jsonwebtoken::decode(token, key, &validation).unwrap();
    (data.header, data.claims)
}

#[test]
fn a_signed_token_verifies_and_has_exactly_the_claims_of_the_contract() {
    let (config, key) = config();
    let mut full = identity("ada");
    full.tier = Some(Tier::Number(2.into()));
    full.session_id = SessionId::parse("gw_1");
    let signer = Signer::new(&config).unwrap();
    let minted = signer.sign(&full, Clock::manual(START).now()).unwrap();
    let (header, claims) = verify(&minted, &key);
    assert_eq!(header.kid.as_deref(), Some("kid-1"));
    assert_eq!(header.typ.as_deref(), Some("JWT"));
    let expected = json!({
        "iss": "https://api.behest.app", "tid": "tenant", "pid": "project", "uid": "ada",
        "tier": 2, "sid": "gw_1", "role": "user",
        "iat": START - 30, "nbf": START - 30, "exp": START + 900,
    });
    assert_eq!(json!(claims), expected);
    assert!(minted.authorization.is_sensitive());
    assert_eq!(minted.session_id.unwrap(), "gw_1");
    assert_eq!(minted.life, Duration::from_mins(15));
    assert_eq!(minted.ends, Duration::from_secs(START + 900));
}

#[test]
fn without_a_session_id_each_token_gets_a_new_random_one() {
    let (config, key) = config();
    let signer = Signer::new(&config).unwrap();
    let now = Clock::manual(START).now();
    let sign = || {
        let minted = signer.sign(&identity("ada"), now).unwrap();
        let claims = verify(&minted, &key).1;
        let sid = minted.session_id.unwrap().to_str().unwrap().to_owned();
        assert_eq!(claims["sid"], json!(sid), "the header is the claim");
        assert!(
            !claims.contains_key("tier"),
            "no tier is sent where there is none"
        );
        sid
    };
    let (one, two) = (sign(), sign());
    assert_eq!(one.len(), 22);
    assert_ne!(one, two);
}

#[test]
fn a_key_in_a_pem_file_stands_in_for_the_one_in_the_variable() {
    let (mut config, key) = config();
    let packed = config.key.expose().strip_prefix(b"behest_pk_").unwrap();
    let body = std::str::from_utf8(packed).unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    config.pem = Some(Secret::new(pem));
    config.key = Secret::new("behest_pk_");
    let signer = Signer::new(&config).unwrap();
    let minted = signer
        .sign(&identity("ada"), Clock::manual(START).now())
        .unwrap();
    assert_eq!(verify(&minted, &key).1["uid"], json!("ada"));
}

#[tokio::test]
async fn signing_off_the_worker_gives_the_same_kind_of_token() {
    let (config, key) = config();
    let signer = Signer::new(&config).unwrap();
    let now = Clock::manual(START).now();
    let minted = signer.mint(&identity("ada"), now).await.unwrap();
    assert_eq!(verify(&minted, &key).1["uid"], json!("ada"));
}

#[test]
fn a_missing_setting_is_named() {
    let (config, _) = config();
    let missing = |change: fn(&mut MintConfig)| {
        let mut config = config.clone();
        change(&mut config);
        assert!(Signer::new(&config).is_err());
        Signer::validate(&config)
    };
    let named = |variable| vec![KeyError::Missing { variable }];
    assert_eq!(missing(|config| config.kid = None), named("BEHEST_KID"));
    assert_eq!(
        missing(|config| config.tenant_id = Some(" ".into())),
        named("BEHEST_TENANT_ID")
    );
    assert_eq!(
        missing(|config| config.project_id = None),
        named("BEHEST_PROJECT_ID")
    );
    assert_eq!(Signer::validate(&config), []);
}
