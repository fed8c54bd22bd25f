//! What tokens must say.

use super::*;

fn demands(change: impl FnOnce(&mut SignedConfig)) -> Demands {
    let mut config = SignedConfig::default();
    change(&mut config);
    Demands::new(&config)
}

#[track_caller]
fn assert_judged(demands: &Demands, cases: &[(&str, Result<(), InvalidReason>)]) {
    for (payload, expected) in cases {
        assert_eq!(demands.judge(payload.as_bytes()), *expected, "{payload}");
    }
}

#[test]
fn the_issuer_is_compared_to_the_last_slash() {
    let demands = demands(|config| config.issuer = Some("https://a.example/".to_owned()));
    let wrong = Err(InvalidReason::Issuer);
    assert_judged(
        &demands,
        &[
            (r#"{"iss":"https://a.example/"}"#, Ok(())),
            (r#"{"iss":"https://a.example"}"#, wrong),
            (r#"{"iss":"https://A.example/"}"#, wrong),
            (r#"{"iss":["https://a.example/"]}"#, wrong),
            (r#"{"iss":null}"#, wrong),
            ("{}", wrong),
            ("[]", Err(InvalidReason::Claims)),
            ("", Err(InvalidReason::Claims)),
        ],
    );
}

#[test]
fn the_audience_is_a_text_or_in_a_list() {
    let demands = demands(|config| config.audiences = vec!["a".to_owned(), "b".to_owned()]);
    let wrong = Err(InvalidReason::Audience);
    assert_judged(
        &demands,
        &[
            (r#"{"aud":"a"}"#, Ok(())),
            (r#"{"aud":["x","b"]}"#, Ok(())),
            (r#"{"aud":"ab"}"#, wrong),
            (r#"{"aud":[]}"#, wrong),
            (r#"{"aud":["x"]}"#, wrong),
            (r#"{"aud":["a",1]}"#, wrong),
            (r#"{"aud":{"a":"a"}}"#, wrong),
            ("{}", wrong),
        ],
    );
}

#[test]
fn a_token_of_another_origin_is_refused_and_one_of_none_passes() {
    let demands = demands(|config| config.authorized_parties = vec!["https://app.example".into()]);
    let wrong = Err(InvalidReason::AuthorizedParty);
    assert_judged(
        &demands,
        &[
            (r#"{"azp":"https://app.example"}"#, Ok(())),
            ("{}", Ok(())),
            (r#"{"azp":"https://evil.example"}"#, wrong),
            (r#"{"azp":""}"#, wrong),
            (r#"{"azp":null}"#, wrong),
            (r#"{"azp":["https://app.example"]}"#, wrong),
        ],
    );
}

#[test]
fn clerk_demands_a_subject_that_is_not_pending() {
    let demands = demands(|config| config.dialect = Dialect::Clerk);
    assert_judged(
        &demands,
        &[
            (r#"{"sub":"user_1"}"#, Ok(())),
            (r#"{"sub":"user_1","sts":"active"}"#, Ok(())),
            (
                r#"{"sub":"user_1","sts":"pending"}"#,
                Err(InvalidReason::Pending),
            ),
            (r#"{"sub":7}"#, Err(InvalidReason::Subject)),
            ("{}", Err(InvalidReason::Subject)),
        ],
    );
    for (token_type, expected) in [
        (None, Ok(())),
        (Some("JWT"), Ok(())),
        (Some("at+jwt"), Err(InvalidReason::TokenType)),
    ] {
        assert_eq!(demands.judge_type(token_type), expected, "{token_type:?}");
    }
}

#[test]
fn subjects_of_firebase_have_at_most_128_characters() {
    let firebase = demands(|config| config.dialect = Dialect::Firebase);
    let supabase = demands(|config| config.dialect = Dialect::Supabase);
    let payload = |length: usize| format!(r#"{{"sub":"{}"}}"#, "a".repeat(length));
    for (length, expected) in [
        (0, Err(InvalidReason::Subject)),
        (128, Ok(())),
        (129, Err(InvalidReason::Subject)),
    ] {
        assert_eq!(firebase.judge(payload(length).as_bytes()), expected);
    }
    assert_eq!(supabase.judge(payload(129).as_bytes()), Ok(()));
    assert_eq!(supabase.judge(b"{}"), Err(InvalidReason::Subject));
}
