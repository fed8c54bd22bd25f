//! Faults that still make an answer.

use serde_json::{Value, json};

use super::super::{Action, Fault, On};
use super::*;

async fn models_after(emulator: &Emulator, token: &str, action: Action) -> Reply {
    emulator.faults().push(Fault::once(On::Data, action));
    let request = call(token, "GET", "/v1/models", &Value::Null, &[]);
    send(emulator, request).await
}

#[tokio::test]
async fn an_answer_can_be_replaced() {
    let emulator = started().await;
    let token = mint(&emulator, "ada").await;
    let status = Action::Status {
        code: 429,
        headers: vec![("retry-after".into(), "7".into())],
        body: String::new(),
    };
    let reply = models_after(&emulator, &token, status).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("retry-after")),
        (429, "7")
    );
    assert_eq!(reply.code(), "rate_limited");
    let status = Action::Status {
        code: 503,
        headers: vec![("content-type".into(), "text/plain".into())],
        body: "down".into(),
    };
    let reply = models_after(&emulator, &token, status).await;
    assert_eq!(
        (reply.header("content-type"), reply.text().as_str()),
        ("text/plain", "down")
    );
    let reply = models_after(&emulator, &token, Action::RejectToken).await;
    assert_eq!(
        (reply.status.as_u16(), reply.code().as_str()),
        (401, "invalid_token")
    );
    let to = "http://localhost/".to_owned();
    let reply = models_after(&emulator, &token, Action::Redirect { to }).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("location")),
        (307, "http://localhost/")
    );
    let reply = models_after(&emulator, &token, Action::Garbage).await;
    assert!(serde_json::from_slice::<Value>(&reply.body).is_err());
    let reply = models_after(&emulator, &token, Action::HugeAnswer { bytes: 300_000 }).await;
    assert_eq!(reply.json()["huge"].as_str().unwrap().len(), 300_000);
    emulator.log().read(|seen| {
        let faults: Vec<_> = seen
            .to_path("/v1/models")
            .filter_map(|r| r.fault.clone())
            .collect();
        assert_eq!(
            faults,
            [
                "status",
                "status",
                "reject_token",
                "redirect",
                "garbage",
                "huge_answer"
            ]
        );
    });
}

#[tokio::test]
async fn an_answer_can_be_bent() {
    let emulator = started().await;
    let token = mint(&emulator, "ada").await;
    let request = call(&token, "GET", "/v1/models", &Value::Null, &[]);
    let usual = send(&emulator, request).await;
    let headers = vec![("set-cookie".to_owned(), "a=b".to_owned())];
    let reply = models_after(&emulator, &token, Action::Headers { headers }).await;
    assert_eq!(
        (reply.header("set-cookie"), &reply.body),
        ("a=b", &usual.body)
    );
    let reply = models_after(&emulator, &token, Action::TruncatedJson).await;
    assert_eq!(reply.body, usual.body.slice(..usual.body.len() / 2));
    let drip = Action::SlowDrip {
        bytes: 100,
        every: Duration::from_millis(1),
    };
    assert_eq!(models_after(&emulator, &token, drip).await.body, usual.body);
    let reply = models_after(&emulator, &token, Action::NoLength).await;
    assert!(!reply.headers.contains_key("content-length"));
    assert_eq!(reply.body, usual.body);
    let before = std::time::Duration::from_millis(50);
    let reply = models_after(&emulator, &token, Action::Delay { by: before }).await;
    assert_eq!(reply.body, usual.body);
    emulator.log().read(|seen| {
        let delayed = seen.requests.back().unwrap();
        assert!(delayed.ended.unwrap().duration_since(delayed.started) >= before);
    });
}

#[tokio::test]
async fn a_mint_can_answer_with_a_wrong_or_an_expired_token() {
    let emulator = started().await;
    let wrong = Action::WrongUser {
        user_id: "mallory".into(),
    };
    emulator.faults().push(Fault::once(On::Mint, wrong));
    emulator
        .faults()
        .push(Fault::once(On::Mint, Action::ExpiredToken));
    mint(&emulator, "ada").await;
    let expired = mint(&emulator, "ada").await;
    let uids: Vec<String> = emulator.log().read(|seen| {
        let users = seen.requests.iter().filter_map(|r| r.user());
        users.map(str::to_owned).collect()
    });
    assert_eq!(uids, ["mallory", "ada"]);
    let request = call(&expired, "GET", "/v1/models", &Value::Null, &[]);
    assert_eq!(send(&emulator, request).await.status, 401);
    mint(&emulator, "ada").await;
}

#[tokio::test]
async fn a_fault_that_needs_a_connection_is_502_without_one() {
    let emulator = started().await;
    emulator.faults().push(Fault::once(On::Any, Action::Reset));
    let body = json!({}).to_string();
    let reply = emulator
        .handle(request("POST", "/v1/auth/mint", &body, &[]))
        .await;
    assert_eq!(reply.status(), 502);
}
