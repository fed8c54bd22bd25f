//! Times, users, tiers, and what a session must say.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::identity::UserIdError;

const NOW: u64 = 1_795_430_000;

fn read(payload: &str) -> Result<Claims<'_>, Refusal> {
    let now = Now {
        unix: Duration::from_millis(NOW * 1000 + 999),
        elapsed: Duration::ZERO,
    };
    let expiry = Expiry::Claims(Tolerance::OF_SEALED);
    Claims::read(payload.as_bytes(), &ClaimRules::default(), expiry, now)
}

fn invalid(refusal: Option<&Refusal>) -> Option<InvalidReason> {
    let Some(Refusal::Invalid(reason)) = refusal else {
        return None;
    };
    Some(*reason)
}

fn is_expired(payload: &str) -> bool {
    matches!(read(payload).err(), Some(Refusal::Expired))
}

#[track_caller]
fn assert_refused(payload: &str, reason: InvalidReason) {
    assert_eq!(
        invalid(read(payload).err().as_ref()),
        Some(reason),
        "{payload}"
    );
}

#[track_caller]
fn assert_user(user: &str, expected: Result<&str, InvalidReason>) {
    let payload = format!(r#"{{"sub":{user},"exp":4102444800}}"#);
    let found = read(&payload).map(|claims| claims.user.as_str().to_owned());
    let found = found.map_err(|refusal| invalid(Some(&refusal)).unwrap());
    assert_eq!(found, expected.map(str::to_owned), "{user}");
}

#[test]
fn a_session_ends_15_seconds_after_exp() {
    for (ago, alive) in [
        ("-14", true),
        ("-14.5", true),
        ("-15", false),
        ("-16", false),
    ] {
        let exp = 1_795_430_000.0 + ago.parse::<f64>().unwrap();
        let payload = format!(r#"{{"sub":"u","exp":{exp}}}"#);
        assert_eq!(read(&payload).is_ok(), alive, "{ago}");
        if !alive {
            assert!(is_expired(&payload));
        }
    }
}

#[test]
fn times_must_be_numbers_and_exp_is_required() {
    assert_refused(r#"{"sub":"u"}"#, InvalidReason::NoExpiry);
    for bad in ["\"4102444800\"", "null", "true", "[1]", "{}", "1e999"] {
        for claim in ["exp", "nbf", "iat"] {
            let payload = format!(r#"{{"sub":"u","exp":4102444800,"{claim}":{bad}}}"#);
            assert_refused(&payload, InvalidReason::TimeNotNumber(claim));
        }
    }
}

#[test]
fn nbf_may_be_15_seconds_ahead_and_iat_as_far_as_it_likes() {
    let payload = |nbf: u64| format!(r#"{{"sub":"u","iat":5e9,"exp":6e9,"nbf":{nbf}}}"#);
    assert!(read(&payload(NOW + 15)).is_ok());
    assert_refused(&payload(NOW + 16), InvalidReason::NotYetValid);
}

#[test]
fn user_ids_are_text_or_exact_integers() {
    assert_user(r#""usr_1""#, Ok("usr_1"));
    assert_user(r#""\u30e6""#, Ok("ユ"));
    assert_user("42", Ok("42"));
    assert_user("-9007199254740991", Ok("-9007199254740991"));
    assert_user("null", Err(InvalidReason::NoUser));
    for odd in [
        "9007199254740992",
        "4.5",
        "true",
        "[\"u\"]",
        "{}",
        "\"\\ud800\"",
    ] {
        assert_user(odd, Err(InvalidReason::UserType));
    }
    assert_user(r#""""#, Err(InvalidReason::User(UserIdError::Empty)));
    let control = InvalidReason::User(UserIdError::ControlCharacter);
    assert_user(r#""a\nb""#, Err(control));
    assert_user(r#""a\u0000""#, Err(control));
    assert_user(
        r#""admin""#,
        Err(InvalidReason::User(UserIdError::Reserved)),
    );
    assert_refused(r#"{"exp":4102444800}"#, InvalidReason::NoUser);
}

#[test]
fn only_a_json_object_in_utf8_is_a_session() {
    for text in ["", "null", "[]", "\"a\"", "1", "{", "{}x"] {
        assert_refused(text, InvalidReason::Payload);
    }
    let now = Now {
        unix: Duration::ZERO,
        elapsed: Duration::ZERO,
    };
    let expiry = Expiry::Judged(None);
    let found = Claims::read(b"{\"sub\":\"\xff\"}", &ClaimRules::default(), expiry, now);
    assert_eq!(invalid(found.err().as_ref()), Some(InvalidReason::Payload));
}

#[test]
fn a_tier_enters_a_token_as_a_number_or_a_text() {
    assert_eq!(tier(&json!(2)), Some(Tier::Number(2.into())));
    assert_eq!(tier(&json!("プロ")), Some(Tier::Text("プロ".into())));
    for other in [
        json!(null),
        json!(true),
        json!([1]),
        json!({"a": 1}),
        json!(""),
    ] {
        assert_eq!(tier(&other), None, "{other}");
    }
    assert_eq!(tier(&json!("a\tb")), None);
    assert_eq!(tier(&json!("t".repeat(256))), None);
}

#[test]
fn the_session_keeps_its_tier_and_its_exp_as_they_stand() {
    let claims = read(r#"{"sub":"u","exp":4102444800,"tier":{"plan":[1]}}"#).unwrap();
    assert_eq!(claims.tier, json!({"plan": [1]}));
    assert_eq!(claims.expires_at, Some(4_102_444_800_u64.into()));
    assert_eq!(read(r#"{"sub":"u","exp":6e9}"#).unwrap().tier, Value::Null);
}

#[test]
fn the_stable_claim_is_text_or_an_integer() {
    let session = |sid: &str| {
        let payload = format!(r#"{{"sub":"u","exp":4102444800,"sid":{sid}}}"#);
        read(&payload).unwrap().session.map(Cow::into_owned)
    };
    assert_eq!(session("\"abc\"").as_deref(), Some("abc"));
    assert_eq!(session("7").as_deref(), Some("7"));
    for absent in ["\"\"", "null", "true", "[1]", "1.5"] {
        assert_eq!(session(absent), None, "{absent}");
    }
}

fn read_with(payload: &str, rules: &ClaimRules) -> Result<String, Refusal> {
    let now = Now {
        unix: Duration::from_secs(NOW),
        elapsed: Duration::ZERO,
    };
    Claims::read(payload.as_bytes(), rules, Expiry::Judged(None), now)
        .map(|claims| claims.user.as_str().to_owned())
}

#[test]
fn a_prefix_keeps_the_users_of_two_providers_apart() {
    let rules = ClaimRules {
        user_prefix: "rails:".to_owned(),
        ..ClaimRules::default()
    };
    assert_eq!(read_with(r#"{"sub":7}"#, &rules).unwrap(), "rails:7");
    let empty = read_with(r#"{"sub":" "}"#, &rules).unwrap_err();
    assert_eq!(
        invalid(Some(&empty)),
        Some(InvalidReason::User(UserIdError::Empty))
    );
}

#[test]
fn a_required_claim_has_one_of_its_values_or_holds_one() {
    let rules = ClaimRules {
        required: vec![
            Requirement {
                claim: vec!["email_verified".to_owned()],
                one_of: vec![json!(true)],
            },
            Requirement {
                claim: vec!["org".to_owned(), "roles".to_owned()],
                one_of: vec![json!("member"), json!("owner")],
            },
        ],
        ..ClaimRules::default()
    };
    let read = |more: &str| read_with(&format!(r#"{{"sub":"u"{more}}}"#), &rules);
    assert!(read(r#","email_verified":true,"org":{"roles":"owner"}"#).is_ok());
    assert!(read(r#","email_verified":true,"org":{"roles":["x","member"]}"#).is_ok());
    for (more, lacking) in [
        ("", "email_verified"),
        (
            r#","email_verified":"true","org":{"roles":"owner"}"#,
            "email_verified",
        ),
        (r#","email_verified":false"#, "email_verified"),
        (r#","email_verified":true"#, "org.roles"),
        (
            r#","email_verified":true,"org":{"roles":["x"]}"#,
            "org.roles",
        ),
        (
            r#","email_verified":true,"org":{"roles":{"owner":1}}"#,
            "org.roles",
        ),
    ] {
        match read(more) {
            Err(Refusal::NotAllowed(claim)) => assert_eq!(claim, lacking, "{more}"),
            other => panic!("{more}: {other:?}"),
        }
    }
}

#[test]
fn a_session_from_the_future_is_refused_where_its_library_does() {
    let now = Now {
        unix: Duration::from_secs(NOW),
        elapsed: Duration::ZERO,
    };
    for (iat, refused) in [(NOW + 5, false), (NOW + 6, true)] {
        let payload = format!(r#"{{"sub":"u","exp":4102444800,"iat":{iat}}}"#);
        let expiry = Expiry::Claims(Tolerance {
            seconds: 5.0,
            refuses_future: true,
        });
        let found = Claims::read(payload.as_bytes(), &ClaimRules::default(), expiry, now);
        let expected = refused.then_some(InvalidReason::IssuedInFuture);
        assert_eq!(invalid(found.err().as_ref()), expected);
    }
}
