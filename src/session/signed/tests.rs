//! Whole tokens: which algorithms and keys count, what is remembered, and that only genuine ones pass.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::rsa::KeySize;
use proptest::prelude::*;

use super::testing::{TestKey, set};
use super::*;
use crate::config::OutboundConfig;
use crate::generation::outbound;
use crate::secret::Secret;

static RSA: LazyLock<TestKey> = LazyLock::new(|| TestKey::rsa(KeySize::Rsa2048));
const SECRET: &[u8] = b"a secret of the app's, of more than 32 bytes";
const CLAIMS: &str = r#"{"sub":"ada","exp":2000}"#;

fn now() -> Now {
    Now {
        unix: Duration::from_secs(1000),
        elapsed: Duration::ZERO,
    }
}

fn signed(change: impl FnOnce(&mut SignedConfig)) -> Signed {
    let keys = KeySet::from_json(set(&[RSA.jwk("k", "")]).as_bytes()).unwrap();
    let mut config = SignedConfig {
        keys: Some(KeySource::Held(Arc::new(keys))),
        secrets: vec![Secret::new(SECRET)],
        algorithms: vec![Algorithm::Rs256, Algorithm::Hs256],
        ..SignedConfig::default()
    };
    change(&mut config);
    Signed::new(&config, &outbound(&OutboundConfig::default()).unwrap()).unwrap()
}

async fn open(signed: &Signed, token: &str) -> Result<Bytes, InvalidReason> {
    match signed.open(token.as_bytes(), now()).await {
        Ok(opened) => Ok(opened.payload),
        Err(Refusal::Invalid(reason)) => Err(reason),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_key_is_never_a_secret_and_a_secret_never_a_key() {
    let signed = signed(|_| ());
    for token in [
        RSA.token("RS256", "k", CLAIMS),
        TestKey::Secret(SECRET.to_vec()).token("HS256", "k", CLAIMS),
    ] {
        assert_eq!(open(&signed, &token).await, Ok(Bytes::from(CLAIMS)));
    }
    // What everybody can read is not what HS256 is checked with, in whatever form.
    let jwk = RSA.jwk("k", "");
    let public = [
        RSA.spki(),
        RSA.pem().into_bytes(),
        jwk.into_bytes(),
        Vec::new(),
    ];
    for public in public {
        let forged = TestKey::Secret(public).token("HS256", "k", CLAIMS);
        assert_eq!(open(&signed, &forged).await, Err(InvalidReason::Signature));
    }
    // An `oct` key in a set is none.
    let forged = TestKey::Secret(vec![7; 32]);
    let keys = KeySet::from_json(set(&[RSA.jwk("k", ""), forged.jwk("s", "")]).as_bytes());
    let with_oct = super::tests::signed(|config| {
        config.keys = Some(KeySource::Held(Arc::new(keys.unwrap())));
    });
    let token = forged.token("HS256", "s", CLAIMS);
    assert_eq!(open(&with_oct, &token).await, Err(InvalidReason::Signature));
}

#[tokio::test]
async fn no_token_chooses_an_algorithm_that_is_not_listed() {
    let signed = signed(|config| config.algorithms = vec![Algorithm::Rs256]);
    let secret = TestKey::Secret(SECRET.to_vec());
    let none = |alg: &str| {
        let header = format!(r#"{{"alg":"{alg}","kid":"k"}}"#);
        let token = RSA.token_with("RS256", &header, CLAIMS);
        token.rsplit_once('.').unwrap().0.to_owned() + "."
    };
    for token in [
        RSA.token("RS512", "k", CLAIMS),
        RSA.token("PS256", "k", CLAIMS),
        secret.token("HS256", "k", CLAIMS),
        RSA.token_with("RS256", r#"{"alg":"rs256"}"#, CLAIMS),
        none("none"),
        none("None"),
        none(""),
    ] {
        let found = open(&signed, &token).await;
        assert_eq!(found, Err(InvalidReason::SignedAlgorithm), "{token}");
    }
    let unsigned = none("RS256");
    assert_eq!(
        open(&signed, &unsigned).await,
        Err(InvalidReason::Signature)
    );
}

#[tokio::test]
async fn a_token_cannot_bring_its_own_key() {
    let signed = signed(|_| ());
    let mine = TestKey::rsa(KeySize::Rsa2048);
    for more in [
        format!(r#","jwk":{}"#, mine.jwk("k", "")),
        r#","jku":"http://127.0.0.1:1/","x5u":"http://127.0.0.1:1/","x5c":["AA"]"#.to_owned(),
    ] {
        let header = format!(r#"{{"alg":"RS256","kid":"k"{more}}}"#);
        let forged = mine.token_with("RS256", &header, CLAIMS);
        assert_eq!(open(&signed, &forged).await, Err(InvalidReason::Signature));
        let genuine = RSA.token_with("RS256", &header, CLAIMS);
        assert!(
            open(&signed, &genuine).await.is_ok(),
            "they are not looked at"
        );
    }
}

#[tokio::test]
async fn a_token_that_comes_again_costs_no_second_check_and_is_judged_anew() {
    let mut signed = signed(|config| config.issuer = Some("i".to_owned()));
    let token = RSA.token("RS256", "k", r#"{"iss":"i","exp":2000}"#);
    assert!(open(&signed, &token).await.is_ok());
    // Without any key, only what is remembered can pass.
    signed.keys = None;
    assert!(open(&signed, &token).await.is_ok());
    let other = RSA.token("RS256", "k", r#"{"iss":"i","exp":2001}"#);
    assert_eq!(open(&signed, &other).await, Err(InvalidReason::NoKeyFits));
    let with_other_signature = format!("{token}AAAA");
    assert!(open(&signed, &with_other_signature).await.is_err());
    signed.demands = Demands::new(&SignedConfig {
        issuer: Some("j".to_owned()),
        ..SignedConfig::default()
    });
    assert_eq!(open(&signed, &token).await, Err(InvalidReason::Issuer));
}

#[tokio::test]
async fn what_was_refused_is_not_remembered() {
    let mut signed = signed(|_| ());
    let token = RSA.token("RS256", "k", CLAIMS);
    let keys = signed.keys.take();
    assert!(open(&signed, &token).await.is_err());
    signed.keys = keys;
    assert!(open(&signed, &token).await.is_ok());
}

#[tokio::test]
async fn firebase_names_its_keys_and_supabase_wraps_its_tokens() {
    let firebase = signed(|config| config.dialect = Dialect::Firebase);
    let nameless = RSA.token("RS256", "", CLAIMS);
    assert_eq!(
        open(&firebase, &nameless).await,
        Err(InvalidReason::NoKeyId)
    );
    let supabase = signed(|config| config.dialect = Dialect::Supabase);
    let wrapped = format!(r#"{{"access_token":"{nameless}","user":{{"id":"eve"}}}}"#);
    assert_eq!(open(&supabase, &wrapped).await, Ok(Bytes::from(CLAIMS)));
    assert_eq!(
        open(&supabase, &nameless).await,
        Err(InvalidReason::Envelope)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_but_the_genuine_token_passes(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        static STAND: LazyLock<(Signed, String)> =
            LazyLock::new(|| (signed(|_| ()), RSA.token("RS256", "k", CLAIMS)));
        let (signed, token) = &*STAND;
        let mut bytes = token.clone().into_bytes();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let opened = futures_now(signed.open(&bytes, now()));
        prop_assert_eq!(opened.is_ok(), bytes == token.as_bytes());
    }

    #[test]
    fn whatever_comes_panics_nothing(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        static STAND: LazyLock<[Signed; 2]> = LazyLock::new(|| {
            [Dialect::Plain, Dialect::Supabase].map(|dialect| signed(|c| c.dialect = dialect))
        });
        for signed in &*STAND {
            prop_assert!(futures_now(signed.open(&bytes, now())).is_err());
        }
    }
}

/// What a future that waits for nothing comes to.
fn futures_now<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}
