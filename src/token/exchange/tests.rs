//! What is asked of the mint, and what its answers mean; no socket is opened.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::super::testing::{identity, jwt, mint_config};
use super::*;
use crate::clock::Clock;
use crate::identity::{SessionId, Tier};
use crate::secret::Secret;

const START: u64 = 1_700_000_000;

fn call() -> Call {
    Call::new(&mint_config()).unwrap()
}

async fn body(identity: &Identity) -> Value {
    let body = call().request(identity).into_body();
    serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap()
}

fn answer(status: u16, body: &Value) -> Result<Minted, TokenError> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
        .headers_mut()
        .insert("retry-after", HeaderValue::from_static("3"));
    judge(&response, &identity("ada"), Clock::manual(START).now())
}

#[tokio::test]
async fn only_what_the_identity_has_is_sent_and_never_a_role() {
    assert_eq!(
        body(&identity("ada")).await,
        json!({"user_id": "ada", "ttl": 900})
    );
    let mut full = identity("ada");
    full.tier = Some(Tier::Number(2.into()));
    full.session_id = SessionId::parse("gw_1");
    let expected = json!({"user_id": "ada", "ttl": 900, "tier": 2, "session_id": "gw_1"});
    assert_eq!(body(&full).await, expected);
}

#[test]
fn the_request_is_a_post_to_the_path_with_a_sensitive_key() {
    let request = call().request(&identity("ada"));
    assert_eq!(request.method(), http::Method::POST);
    assert_eq!(request.uri(), "/v1/auth/mint");
    let headers = request.headers();
    assert_eq!(headers[AUTHORIZATION], "Bearer behest_sk_live_0123");
    assert!(headers[AUTHORIZATION].is_sensitive());
    assert!(!format!("{headers:?}").contains("0123"));
    assert_eq!(headers[CONTENT_TYPE], "application/json");
    assert_eq!(headers[ACCEPT], "application/json");
}

#[test]
fn a_good_answer_is_a_token() {
    let token = jwt(&json!({"uid": "ada", "exp": START + 900}));
    let minted = answer(200, &json!({"jwt": token, "ttl": 900})).unwrap();
    assert_eq!(minted.authorization, format!("Bearer {token}"));
    assert_eq!(minted.ends, Duration::from_secs(START + 900));
    assert!(!format!("{minted:?}").contains(&token));
}

#[test]
fn a_token_that_names_no_session_belongs_to_the_one_that_was_asked_for() {
    let mut identity = identity("ada");
    identity.session_id = SessionId::parse("gw_1");
    let session_of = |claims: &Value| {
        let body = json!({"jwt": jwt(claims), "ttl": 900}).to_string();
        let response = Response::new(Bytes::from(body));
        let minted = judge(&response, &identity, Clock::manual(START).now()).unwrap();
        minted.session_id.unwrap()
    };
    assert_eq!(session_of(&json!({"uid": "ada"})), "gw_1");
    assert_eq!(session_of(&json!({"uid": "ada", "sid": "own"})), "own");
}

#[test]
fn every_refusal_keeps_its_status_and_only_400_and_422_are_about_the_user() {
    for status in [
        300, 301, 302, 304, 307, 308, 400, 401, 402, 403, 404, 405, 410, 418, 422,
    ] {
        let error = answer(status, &json!({"error": {"message": "secret text"}})).unwrap_err();
        let TokenError::Refused { status: refused } = error else {
            panic!("{status}: {error:?}");
        };
        assert_eq!(refused, status);
        assert_eq!(
            error.is_about_user(),
            matches!(status, 400 | 422),
            "{status}"
        );
        assert!(!format!("{error:?} {error}").contains("secret text"));
    }
}

#[test]
fn rate_limits_and_server_errors_are_outages_with_their_retry_after() {
    for status in [429, 500, 502, 503, 504, 599] {
        let error = answer(status, &json!({})).unwrap_err();
        let TokenError::Unavailable {
            retry_after,
            cause: Outage::Status(cause),
        } = error
        else {
            panic!("{status}: {error:?}");
        };
        assert_eq!(
            (retry_after, cause.as_u16()),
            (Some(Duration::from_secs(3)), status)
        );
    }
}

#[test]
fn other_statuses_and_bad_tokens_are_invalid_answers() {
    let token = jwt(&json!({"uid": "eve", "exp": START + 900}));
    for (status, body, reason) in [
        (204, json!({}), InvalidAnswer::Status),
        (201, json!({"jwt": token}), InvalidAnswer::Status),
        (101, json!({}), InvalidAnswer::Status),
        (200, json!({"jwt": token}), InvalidAnswer::WrongUser),
    ] {
        let error = answer(status, &body).unwrap_err();
        assert!(
            matches!(error, TokenError::Invalid(found) if found == reason),
            "{status}"
        );
    }
}

#[test]
fn an_unreachable_mint_is_an_outage_with_its_cause() {
    let error = unreachable(ClientError::ConnectTimeout(Duration::from_secs(5)));
    assert!(matches!(
        error,
        TokenError::Unavailable {
            retry_after: None,
            cause: Outage::Unreachable(_)
        }
    ));
    let cause = std::error::Error::source(&error).unwrap();
    assert!(
        cause.source().is_some(),
        "the client's own error is the source"
    );
}

#[test]
fn keys_and_paths_that_cannot_be_sent_are_refused_without_an_echo() {
    for key in [
        "behest_sk_",
        "behest_sk_hun ter",
        "behest_sk_hunter\n",
        "behest_sk_\"hunter\"",
        "behest_sk_hünter",
    ] {
        let mut config = mint_config();
        config.key = Secret::new(key);
        let problems = Exchange::validate(&config);
        assert_eq!(problems, [KeyError::ApiKey], "{key}");
        assert!(!problems[0].to_string().contains("hunter"));
    }
    for path in [
        "",
        "v1/auth/mint",
        "https://a.example/mint",
        "//a.example/mint",
        "/a b",
        "/a#b",
    ] {
        let mut config = mint_config();
        config.path = path.to_owned();
        assert_eq!(Exchange::validate(&config), [KeyError::Path], "{path}");
    }
    assert_eq!(Exchange::validate(&mint_config()), []);
}
