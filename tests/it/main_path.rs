//! The main path: a session cookie goes in, the user's own token goes upstream, the answer comes back.

use crate::support::caller::{Protocol, ask, chat, get};
use crate::support::{Stage, cookie};
use behest_gateway::emulator::Seen;

#[tokio::test]
async fn a_cookie_becomes_the_users_own_token_and_nothing_else_of_it_goes_up() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let stage = Stage::new().await;
        let address = stage.server.address();
        let mut request = chat(address, &cookie("ada", "\"pro\""), false);
        let headers = request.headers_mut();
        headers.insert("authorization", "Bearer unused".parse().unwrap());
        headers.insert("x-session-id", "someone-elses".parse().unwrap());
        headers.insert("x-tier", "max".parse().unwrap());
        headers.insert("x-thread-id", "t1".parse().unwrap());
        headers.insert("x-request-id", "req_1".parse().unwrap());
        let answer = ask(address, protocol, request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["object"], "chat.completion");
        assert_eq!(answer.headers["x-gateway-request-id"], "req_1");
        assert!(answer.headers.contains_key("x-trace-id"));
        stage.emulator.log().read(|seen| {
            assert!(seen.violations.is_empty(), "{:?}", seen.violations);
            let got = seen.to_path("/v1/chat/completions").next().unwrap();
            assert_eq!(got.user(), Some("ada"));
            let claims = got.claims.as_ref().unwrap();
            assert_eq!(claims["tier"], "pro");
            assert_eq!(got.header("x-session-id"), claims["sid"].as_str());
            assert!(claims["sid"].as_str().unwrap().starts_with("gw_"));
            assert_eq!(got.header("x-thread-id"), Some("t1"));
            assert_eq!(got.header("x-request-id"), Some("req_1"));
            assert_eq!(got.header("accept-encoding"), Some("identity"));
            assert_eq!(got.header("cookie"), None);
            assert_eq!(got.header("x-tier"), None);
        });
    }
}

#[tokio::test]
async fn one_mint_serves_many_requests_and_a_changed_tier_takes_effect_at_once() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    for _ in 0..5 {
        let request = get(address, "/v1/models", &cookie("ada", "\"free\""));
        assert_eq!(ask(address, Protocol::Http1, request).await.status, 200);
    }
    assert_eq!(stage.emulator.log().read(Seen::minted), 1);
    let request = get(address, "/v1/models", &cookie("ada", "2"));
    assert_eq!(ask(address, Protocol::Http1, request).await.status, 200);
    stage.emulator.log().read(|seen| {
        let last = seen.to_path("/v1/models").last().unwrap();
        assert_eq!(last.claims.as_ref().unwrap()["tier"], 2);
        let first = seen.to_path("/v1/models").next().unwrap();
        assert_eq!(first.header("x-session-id"), last.header("x-session-id"));
    });
    assert_eq!(
        stage.metric("behest_gateway_token_cache_total{outcome=\"hit\"}"),
        4.0
    );
}

#[tokio::test]
async fn without_a_session_the_answer_says_so_and_nothing_is_minted() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    let answer = ask(
        address,
        Protocol::Http1,
        get(address, "/v1/models", "theme=dark"),
    )
    .await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.code(), Some("session_missing"));
    let error = &answer.json()["error"];
    assert_eq!(error["code"], "session_missing");
    assert_eq!(error["type"], "authentication_error");
    assert_eq!(
        error["request_id"],
        answer.headers["x-gateway-request-id"].to_str().unwrap()
    );
    assert_eq!(answer.headers["x-should-retry"], "false");
    assert_eq!(stage.emulator.log().read(|seen| seen.total_requests), 0);
}
