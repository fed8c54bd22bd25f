//! The mint, and what the data plane accepts as a token.

use serde_json::{Value, json};

use super::super::keys::SigningKey;
use super::super::time::unix_seconds;
use super::super::token::{ISSUER, sign};
use super::super::{FIXTURE_PROJECT, FIXTURE_TENANT, MintShape};
use super::*;

fn claims() -> Value {
    let now = unix_seconds();
    json!({"iss": ISSUER, "tid": FIXTURE_TENANT, "pid": FIXTURE_PROJECT, "uid": "ada", "tier": 1,
           "sid": "s1", "role": "user", "iat": now - 30, "nbf": now - 30, "exp": now + 60})
}

async fn models(emulator: &Emulator, token: &str, more: &[(&str, &str)]) -> Reply {
    let request = call(token, "GET", "/v1/models", &Value::Null, more);
    send(emulator, request).await
}

#[tokio::test]
async fn a_mint_without_a_known_key_is_refused() {
    let emulator = started().await;
    for headers in [
        &[][..],
        &[("authorization", "Bearer behest_sk_live_x")],
        &[("authorization", FIXTURE_KEY)],
    ] {
        let request = request("POST", "/v1/auth/mint", r#"{"user_id":"ada"}"#, headers);
        assert_eq!(send(&emulator, request).await.status, 401);
    }
    emulator.set_api_keys(vec!["behest_sk_live_new".to_owned()]);
    let old = mint_with(&emulator, &json!({"user_id": "ada"})).await;
    assert_eq!(old.status, 401);
    emulator.log().read(|seen| assert_eq!(seen.minted(), 0));
}

#[tokio::test]
async fn a_mint_refuses_what_the_contract_refuses() {
    let emulator = started().await;
    for (body, status) in [
        (json!([]), 422),
        (json!({}), 422),
        (json!({"user_id": 7}), 422),
        (json!({"user_id": ""}), 400),
        (json!({"user_id": "x".repeat(256)}), 400),
        (json!({"user_id": " Admin "}), 400),
        (json!({"user_id": "a", "ttl": 59}), 400),
        (json!({"user_id": "a", "ttl": 86_401}), 400),
        (json!({"user_id": "a", "ttl": "900"}), 422),
        (json!({"user_id": "a", "tier": null}), 422),
        (json!({"user_id": "a", "session_id": ""}), 422),
        (json!({"user_id": "a", "role": "user"}), 400),
        (json!({"user_id": "é".repeat(255), "ttl": 60}), 200),
    ] {
        let reply = mint_with(&emulator, &body).await;
        assert_eq!(reply.status.as_u16(), status, "{body} {}", reply.text());
    }
    let violations = emulator.log().read(|seen| seen.violations.clone());
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].what, "a mint carried a role");
}

#[tokio::test]
async fn a_mint_answers_in_each_shape_on_both_paths() {
    for (shape, token, ttl) in [
        (MintShape::Jwt, "jwt", "ttl"),
        (MintShape::AccessToken, "access_token", "expires_in"),
        (MintShape::Sdk, "token", "ttl"),
    ] {
        let emulator = started_with(|config| {
            config.mint_shape = shape;
            config.ttl.cap = Some(120);
        })
        .await;
        let bearer = format!("Bearer {FIXTURE_KEY}");
        let headers = [("authorization", bearer.as_str())];
        let path = "/auth/v1/auth/mint";
        let request = request("POST", path, r#"{"user_id":"ada","ttl":900}"#, &headers);
        let body = send(&emulator, request).await.json();
        assert_eq!(body[ttl], 120, "{body}");
        let token = body[token].as_str().unwrap();
        assert_eq!(models(&emulator, token, &[]).await.status, 200);
        emulator.log().read(|seen| assert_eq!(seen.mints["ada"], 1));
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_now_is_refused() {
    let emulator = started().await;
    let now = unix_seconds();
    let mut tokens = vec!["junk".to_owned(), String::new()];
    for (name, value) in [
        ("exp", json!(now - 1)),
        ("nbf", json!(now + 60)),
        ("role", json!("admin")),
    ] {
        let mut wrong = claims();
        wrong[name] = value;
        tokens.push(sign(emulator.signing_key(), &wrong).unwrap());
    }
    tokens.push(sign(&SigningKey::generate().unwrap(), &claims()).unwrap());
    for token in tokens {
        let reply = models(&emulator, &token, &[]).await;
        assert_eq!(reply.status, 401, "{token}");
        assert_eq!(reply.code(), "invalid_token");
    }
    let mut other = claims();
    other["pid"] = json!("prj_other");
    let other = sign(emulator.signing_key(), &other).unwrap();
    assert_eq!(models(&emulator, &other, &[]).await.status, 403);
}

#[tokio::test]
async fn a_token_signed_by_a_trusted_key_is_accepted() {
    let tenant = SigningKey::generate().unwrap();
    let trusted = tenant.trusted().unwrap();
    let emulator = started_with(|config| config.trusted_keys.push(trusted)).await;
    let token = sign(&tenant, &claims()).unwrap();
    assert_eq!(models(&emulator, &token, &[]).await.status, 200);
}

#[tokio::test]
async fn what_must_not_come_from_a_browser_is_a_violation() {
    let emulator = started().await;
    let token = mint(&emulator, "ada").await;
    let wrong = [
        ("cookie", "a=b"),
        ("x-tenant-id", "t"),
        ("x-project-id", "p"),
        ("x-end-user-id", "u"),
        ("x-role", "admin"),
        ("x-tier", "3"),
        ("x-admin-secret", "s"),
        ("x-session-id", "another"),
        ("authorization", "Bearer second"),
    ];
    for header in wrong {
        let reply = models(&emulator, &token, &[header]).await;
        assert_eq!(reply.status, 400, "{}", header.0);
        assert_eq!(reply.code(), "contract_violation");
    }
    let seen = emulator.log().read(|seen| seen.violations.len());
    assert_eq!(seen, wrong.len());
}
