//! What must hold for any cookie, genuine, odd, altered or random.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;

use super::sealer::Sealer;
use super::*;
use crate::config::OutboundConfig;
use crate::generation::outbound;
use crate::secret::Secret;

const SECRET: &str = "a secret of the app for these tests";
const OLD_SECRET: &str = "the secret that it had until today";
const V5: &str = "authjs.session-token";
const V5_SECURE: &str = "__Secure-authjs.session-token";
const V4: &str = "next-auth.session-token";
const PAYLOAD: &str = r#"{"name":"Ada","sub":"usr_ada","tier":2,"sid":"s1","iat":1795420000,"exp":1795440000,"jti":"1"}"#;

/// Both providers with the libraries' own names, as the environment alone configures them.
fn authenticator() -> SessionAuthenticator {
    let provider = |(kind, dialect)| {
        let secrets = [SECRET, OLD_SECRET].map(Secret::new).into();
        ProviderConfig::new(kind, FormatConfig::Sealed { dialect, secrets })
    };
    let config = SessionConfig {
        providers: [
            (ProviderKind::AuthjsV5, Dialect::AuthjsV5),
            (ProviderKind::NextauthV4, Dialect::NextauthV4),
        ]
        .map(provider)
        .into(),
        session_id: SessionIdConfig {
            mix_client: true,
            ..SessionIdConfig::default()
        },
        ..SessionConfig::default()
    };
    SessionAuthenticator::new(&config, &outbound(&OutboundConfig::default()).unwrap()).unwrap()
}

fn at(seconds: u64) -> Now {
    Now {
        unix: Duration::from_secs(seconds),
        elapsed: Duration::ZERO,
    }
}

/// Authenticates a request with one Cookie field.
fn authenticate(cookies: &[u8]) -> Result<Session, SessionError> {
    let mut headers = HeaderMap::new();
    headers.append(header::COOKIE, HeaderValue::from_bytes(cookies).unwrap());
    block_on(&authenticator(), &headers)
}

fn block_on(
    authenticator: &SessionAuthenticator,
    headers: &HeaderMap,
) -> Result<Session, SessionError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let visit = Visit {
        headers,
        front: Front::default(),
        now: at(1_795_430_000),
    };
    let authenticated = authenticator.authenticate(&visit);
    runtime.unwrap().block_on(authenticated)
}

#[track_caller]
fn assert_invalid(name: &str, token: &str, expected: InvalidReason) {
    match authenticate(format!("{name}={token}").as_bytes()) {
        Err(SessionError::Invalid {
            reason, carrier, ..
        }) => {
            assert_eq!((reason, carrier.as_str()), (expected, name));
        }
        other => panic!("{expected:?} expected: {other:?}"),
    }
}

#[track_caller]
fn assert_ada(name: &str, token: &str, provider: &str) {
    let session = authenticate(format!("{name}={token}").as_bytes()).unwrap();
    assert_eq!(session.identity.user.as_str(), "usr_ada");
    assert_eq!(
        (session.carrier.as_str(), session.provider),
        (name, provider)
    );
    assert_eq!(session.tier, 2);
    assert_eq!(session.expires_at, Some(1_795_440_000.into()));
}

#[test]
fn genuine_tokens_of_every_secret_name_and_encryption_open() {
    for secret in [SECRET, OLD_SECRET] {
        for name in [V5, V5_SECURE] {
            assert_ada(name, &Sealer::v5(secret, name).seal(PAYLOAD), "authjs-v5");
            assert_ada(
                name,
                &Sealer::v5_gcm(secret, name).seal(PAYLOAD),
                "authjs-v5",
            );
        }
        assert_ada(V4, &Sealer::v4(secret).seal(PAYLOAD), "nextauth-v4");
    }
}

#[test]
fn a_v5_token_without_kid_opens_and_one_with_another_kid_does_not() {
    let sealer = Sealer::v5(SECRET, V5);
    let bare = sealer
        .clone()
        .header(r#"{"alg":"dir","enc":"A256CBC-HS512"}"#);
    assert_ada(V5, &bare.seal(PAYLOAD), "authjs-v5");
    for kid in ["\"other\"", "null", "1", "[]"] {
        let header = format!(r#"{{"alg":"dir","enc":"A256CBC-HS512","kid":{kid}}}"#);
        let token = sealer.clone().header(header).seal(PAYLOAD);
        assert_invalid(V5, &token, InvalidReason::NoMatchingSecret);
    }
    let v4 = Sealer::v4(SECRET).with_member(r#""kid":"ignored""#);
    assert_ada(V4, &v4.seal(PAYLOAD), "nextauth-v4");
}

#[test]
fn a_token_of_another_name_or_version_says_what_differs() {
    let token = Sealer::v5(SECRET, V5_SECURE).seal(PAYLOAD);
    assert_invalid(V5, &token, InvalidReason::NoMatchingSecret);
    assert_invalid(V4, &token, InvalidReason::Algorithm);
    let token = Sealer::v4(SECRET).seal(PAYLOAD);
    assert_invalid(V5, &token, InvalidReason::NoSecretOpens);
    let token = Sealer::v4("another").seal(PAYLOAD);
    assert_invalid(V4, &token, InvalidReason::NoSecretOpens);
}

#[test]
fn odd_headers_are_refused_although_their_tag_is_right() {
    let v5 = || Sealer::v5(SECRET, V5);
    for (member, reason) in [
        (r#""zip":"DEF""#, InvalidReason::Compressed),
        (r#""zip":null"#, InvalidReason::Compressed),
        (r#""crit":["exp"]"#, InvalidReason::Critical),
        (r#""crit":null"#, InvalidReason::Critical),
        (r#""alg":"A256KW""#, InvalidReason::Algorithm),
        (r#""alg":"DIR""#, InvalidReason::Algorithm),
        (r#""alg":null"#, InvalidReason::Algorithm),
        (r#""enc":"A128CBC-HS256""#, InvalidReason::Algorithm),
        (r#""enc":"A192CBC-HS384""#, InvalidReason::Algorithm),
        (r#""enc":["A256GCM"]"#, InvalidReason::Algorithm),
    ] {
        let token = v5().with_member(member).seal(PAYLOAD);
        assert_invalid(V5, &token, reason);
    }
    for header in ["", "[]", "{", "null", "\"dir\""] {
        assert_invalid(
            V5,
            &v5().header(header).seal(PAYLOAD),
            InvalidReason::Header,
        );
    }
    assert_invalid(
        V5,
        &v5().header("{}").seal(PAYLOAD),
        InvalidReason::Algorithm,
    );
    let mut keyed = v5();
    keyed.encrypted_key = vec![1];
    assert_invalid(V5, &keyed.seal(PAYLOAD), InvalidReason::EncryptedKey);
}

#[test]
fn tokens_have_one_spelling() {
    let token = Sealer::v5(SECRET, V5).seal(PAYLOAD);
    for odd in [
        format!("\"{token}\""),
        format!("{token}="),
        format!("{token}."),
        format!("{token}A"),
        format!("{token}%3D"),
        format!("x{token}"),
        token.replacen("..", ". .", 1),
        token.replacen("..", "..A", 1),
    ] {
        match authenticate(format!("{V5}={odd}").as_bytes()) {
            Err(SessionError::Invalid { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_invalid(V5, "a.b.c", InvalidReason::Malformed);
    assert_invalid(V5, "....", InvalidReason::Header);
}

#[test]
fn genuine_tokens_whose_payload_is_no_session_are_refused() {
    let v5 = Sealer::v5(SECRET, V5);
    assert_invalid(V5, &v5.seal("[]"), InvalidReason::Payload);
    assert_invalid(V5, &v5.seal(""), InvalidReason::Payload);
    let control = crate::identity::UserIdError::ControlCharacter;
    let payload = r#"{"sub":"a\r\nb","exp":1795440000}"#;
    assert_invalid(V5, &v5.seal(payload), InvalidReason::User(control));
    assert_invalid(V5, &v5.seal(r#"{"sub":"a"}"#), InvalidReason::NoExpiry);
}

#[test]
fn expired_is_said_only_of_genuine_sessions() {
    let expired = PAYLOAD.replace("1795440000", "1795429985");
    let token = Sealer::v5(SECRET, V5).seal(&expired);
    let found = authenticate(format!("{V5}={token}").as_bytes());
    assert!(matches!(found, Err(SessionError::Expired { .. })));
    let cut = token.strip_suffix(|_| true).unwrap();
    assert_invalid(V5, &format!("{cut}{}", '!'), InvalidReason::Malformed);
    let forged = Sealer::v5("another", V5).seal(&expired);
    assert_invalid(V5, &forged, InvalidReason::NoMatchingSecret);
}

#[test]
fn the_first_present_name_and_provider_decide() {
    let good = Sealer::v5(SECRET, V5).seal(PAYLOAD);
    let v4 = Sealer::v4(SECRET).seal(PAYLOAD);
    let decided = |cookies: String| {
        let found = authenticate(cookies.as_bytes());
        found.map_err(|error| error.provider()).map(|s| s.provider)
    };
    assert_eq!(
        decided(format!("{V5}={good}; {V5_SECURE}=x")),
        Err("authjs-v5")
    );
    assert_eq!(decided(format!("{V4}={v4}; {V5}=x")), Err("authjs-v5"));
    assert_eq!(decided(format!("{V4}={v4}; {V5}=")), Ok("nextauth-v4"));
    assert_eq!(decided(format!("{V5}={good}; {V5}=x")), Ok("authjs-v5"));
    assert_eq!(decided(format!("{V5}=x; {V5}={good}")), Err("authjs-v5"));
    assert_eq!(decided(String::from("theme=dark")), Err("none"));
}

#[test]
fn no_error_and_no_debug_output_holds_a_value_or_a_secret() {
    let token = Sealer::v5("another", V5).seal(PAYLOAD);
    let error = authenticate(format!("{V5}={token}").as_bytes()).unwrap_err();
    let shown = format!("{error} {error:?} {:?}", authenticator());
    for hidden in token.split_terminator('.').chain([SECRET, OLD_SECRET]) {
        assert!(hidden.is_empty() || !shown.contains(hidden), "{shown}");
    }
    assert!(shown.contains(V5));
}

/// Text that comes near to what is looked for.
fn near_cookies() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(V5.to_owned()),
        Just(V4.to_owned()),
        Just(V5_SECURE.to_owned()),
        Just(Sealer::v5(SECRET, V5).seal(PAYLOAD)),
        "[;=. \t%\"]{1,3}",
        "\\.[0-9]{1,30}",
        "%[0-9a-fA-F]{0,2}",
        "[ -~]{0,8}",
        "eyJ[A-Za-z0-9_-]{0,12}\\.",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_answered(fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4)) {
        let mut headers = HeaderMap::new();
        for field in fields {
            if let Ok(value) = HeaderValue::from_bytes(&field) {
                headers.append(header::COOKIE, value);
            }
        }
        prop_assert!(block_on(&authenticator(), &headers).is_err());
    }

    #[test]
    fn near_cookies_are_answered_and_give_nobody_elses_session(cookies in near_cookies()) {
        if let Ok(session) = authenticate(cookies.as_bytes()) {
            prop_assert_eq!(session.identity.user.as_str(), "usr_ada");
        }
    }

    #[test]
    fn a_token_altered_in_one_byte_never_authenticates(
        which in 0..3_usize,
        place in any::<prop::sample::Index>(),
        byte in (b' '..=b'~').prop_filter("ends the cookie", |byte| *byte != b';'),
    ) {
        let (name, token) = [
            (V5, Sealer::v5(SECRET, V5).seal(PAYLOAD)),
            (V5, Sealer::v5_gcm(SECRET, V5).seal(PAYLOAD)),
            (V4, Sealer::v4(SECRET).seal(PAYLOAD)),
        ][which].clone();
        let mut token = token.into_bytes();
        let place = place.index(token.len());
        prop_assume!(token[place] != byte);
        token[place] = byte;
        let found = authenticate(&[name.as_bytes(), b"=", &token].concat());
        let refused = matches!(found, Err(SessionError::Invalid { .. }));
        prop_assert!(refused, "{:?}", found);
    }

    #[test]
    fn a_token_cut_anywhere_never_authenticates(place in any::<prop::sample::Index>(), gcm: bool) {
        let sealer = if gcm { Sealer::v5_gcm(SECRET, V5) } else { Sealer::v5(SECRET, V5) };
        let token = sealer.seal(PAYLOAD);
        let cut = token.get(..place.index(token.len())).unwrap();
        let found = authenticate(format!("{V5}={cut}").as_bytes());
        prop_assert!(found.is_err());
    }

    #[test]
    fn chunks_in_any_order_and_any_fields_are_one_session(
        size in 40..600_usize,
        seed in any::<u64>(),
    ) {
        let token = Sealer::v5(SECRET, V5).seal(PAYLOAD);
        let mut chunks: Vec<String> = token
            .as_bytes()
            .chunks(size)
            .enumerate()
            .map(|(n, chunk)| format!("{V5}.{n}={}", std::str::from_utf8(chunk).unwrap()))
            .collect();
        let turn = usize::try_from(seed % 64).unwrap() % chunks.len();
        chunks.rotate_left(turn);
        if seed & 64 == 0 {
            chunks.reverse();
        }
        let mut headers = HeaderMap::new();
        for field in chunks.chunks(2) {
            headers.append(header::COOKIE, field.join("; ").parse().unwrap());
        }
        let session = block_on(&authenticator(), &headers);
        prop_assert!(session.is_ok(), "{:?}", session);
    }
}
