//! Tokens: minted once for many, and renewed in time.

use std::sync::Arc;
use std::time::Duration;

use behest_gateway::clock::{Clock, unix_time};
use behest_gateway::emulator::{
    Action, Emulator, EmulatorConfig, FIXTURE_PROJECT, FIXTURE_TENANT, Fault, MintShape, On,
    SigningKey,
};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::task::JoinSet;

use crate::support::caller::{Answer, Protocol, ask, get};
use crate::support::waiting::until;
use crate::support::{PATIENCE, Shared, Stage, cookie};

const MODELS: &str = "/v1/models";

async fn models(stage: &Stage, user: &str) -> Answer {
    let address = stage.server.address();
    let request = get(address, MODELS, &cookie(user, "\"pro\""));
    ask(address, Protocol::Http1, request).await
}

/// Mint calls that came, whatever became of them.
fn mint_calls(stage: &Stage) -> usize {
    let calls = |seen: &behest_gateway::emulator::Seen| seen.to_path("/v1/auth/mint").count();
    stage.emulator.log().read(calls)
}

fn minted(stage: &Stage) -> u64 {
    stage
        .emulator
        .log()
        .read(behest_gateway::emulator::Seen::minted)
}

#[tokio::test]
async fn two_hundred_first_requests_at_once_share_one_mint() {
    let stage: Shared = Arc::new(Stage::new().await);
    let by = Duration::from_millis(500);
    stage
        .emulator
        .faults()
        .push(Fault::once(On::Mint, Action::Delay { by }));
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        let stage = Arc::clone(&stage);
        tasks.spawn(async move { models(&stage, "ada").await.status.as_u16() });
    }
    let statuses = tasks.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(mint_calls(&stage), 1);
    assert_eq!(
        stage.metric("behest_gateway_mints_total{outcome=\"ok\"}"),
        1.0
    );
    assert!(stage.metric("behest_gateway_token_cache_total{outcome=\"miss\"}") > 1.0);
}

#[tokio::test]
async fn every_shape_of_a_mints_answer_is_understood() {
    for mint_shape in [MintShape::Jwt, MintShape::AccessToken, MintShape::Sdk] {
        let emulator = Emulator::start(EmulatorConfig {
            mint_shape,
            ..EmulatorConfig::default()
        });
        let stage = Stage::over(emulator.await.unwrap(), &[]);
        for _ in 0..2 {
            assert_eq!(models(&stage, "ada").await.status, 200, "{mint_shape:?}");
        }
        assert_eq!(minted(&stage), 1, "{mint_shape:?}");
    }
}

#[tokio::test]
async fn a_token_that_the_gateway_signs_itself_needs_no_call_and_is_believed() {
    let key = SigningKey::generate().unwrap();
    let emulator = Emulator::start(EmulatorConfig {
        trusted_keys: vec![key.trusted().unwrap()],
        ..EmulatorConfig::default()
    });
    let behest_key = key.to_behest_key().unwrap();
    let env = [
        ("BEHEST_KEY", behest_key.as_str()),
        ("BEHEST_KID", key.kid()),
        ("BEHEST_TENANT_ID", FIXTURE_TENANT),
        ("BEHEST_PROJECT_ID", FIXTURE_PROJECT),
    ];
    let stage = Stage::over(emulator.await.unwrap(), &env);
    assert_eq!(models(&stage, "ada").await.status, 200);
    assert_eq!(mint_calls(&stage), 0);
    stage.emulator.log().read(|seen| {
        let got = seen.to_path(MODELS).next().unwrap();
        let claims = got.claims.as_ref().unwrap();
        assert_eq!(claims["uid"], "ada");
        assert_eq!(claims["tier"], "pro");
        assert_eq!(claims["role"], "user");
        assert_eq!(claims["tid"], FIXTURE_TENANT);
        assert_eq!(got.header("x-session-id"), claims["sid"].as_str());
    });
}

#[tokio::test]
async fn a_signing_key_that_behest_does_not_know_is_the_operators_fault_and_no_401() {
    let key = SigningKey::generate().unwrap();
    let behest_key = key.to_behest_key().unwrap();
    let env = [
        ("BEHEST_KEY", behest_key.as_str()),
        ("BEHEST_KID", key.kid()),
        ("BEHEST_TENANT_ID", FIXTURE_TENANT),
        ("BEHEST_PROJECT_ID", FIXTURE_PROJECT),
    ];
    let stage = Stage::with(&env).await;
    let answer = models(&stage, "ada").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.code(), Some("token_rejected"));
}

#[tokio::test]
async fn a_rejected_token_is_replaced_and_the_request_sent_once_more() {
    let stage = Stage::new().await;
    assert_eq!(models(&stage, "ada").await.status, 200);
    let faults = stage.emulator.faults();
    faults.push(Fault::once(On::Data, Action::RejectToken));
    assert_eq!(models(&stage, "ada").await.status, 200);
    assert_eq!(minted(&stage), 2);
    let sent = stage
        .emulator
        .log()
        .read(|seen| seen.to_path(MODELS).count());
    assert_eq!(sent, 3);
    assert_eq!(
        stage.metric("behest_gateway_upstream_401_replays_total"),
        1.0
    );
    assert_eq!(models(&stage, "ada").await.status, 200);
    assert_eq!(minted(&stage), 2, "the new token is kept");
}

#[tokio::test]
async fn a_token_that_stays_rejected_is_502_and_costs_one_mint_in_five_seconds() {
    let stage = Stage::new().await;
    let faults = stage.emulator.faults();
    faults.push(Fault::forever(On::Data, Action::RejectToken));
    for _ in 0..4 {
        let answer = models(&stage, "ada").await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.code(), Some("token_rejected"));
        assert_eq!(answer.headers["x-should-retry"], "false");
    }
    assert_eq!(minted(&stage), 2);
    let sent = stage
        .emulator
        .log()
        .read(|seen| seen.to_path(MODELS).count());
    assert_eq!(
        sent, 5,
        "twice for the first request, once for each that followed"
    );
}

fn large_chat(stage: &Stage) -> Request<Full<Bytes>> {
    let body = serde_json::json!({
        "model": "fast",
        "messages": [{ "role": "user", "content": "x".repeat(64 * 1024) }],
    });
    let address = stage.server.address();
    let mut request = get(address, "/v1/chat/completions", &cookie("ada", "1"));
    *request.method_mut() = http::Method::POST;
    let json = "application/json".parse().unwrap();
    request.headers_mut().insert("content-type", json);
    *request.body_mut() = Full::new(body.to_string().into());
    request
}

#[tokio::test]
async fn a_body_too_large_to_be_held_is_asked_for_again_after_the_renewal() {
    let stage = Stage::with(&[("GATEWAY_UPSTREAM__HOLD_BODY", "1 KiB")]).await;
    let address = stage.server.address();
    let faults = stage.emulator.faults();
    faults.push(Fault::once(On::Data, Action::RejectToken));
    let answer = ask(address, Protocol::Http1, large_chat(&stage)).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.code(), Some("token_renewed"));
    assert_eq!(answer.headers["retry-after"], "0");
    assert_eq!(answer.headers["x-should-retry"], "true");
    let answer = ask(address, Protocol::Http1, large_chat(&stage)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(minted(&stage), 2);
    assert_eq!(
        stage.metric("behest_gateway_upstream_401_replays_total"),
        0.0
    );
}

#[tokio::test]
async fn a_token_is_renewed_ahead_in_the_background() {
    let clock = Clock::manual(unix_time().as_secs());
    let stage = Stage::at(clock.clone(), &[]).await;
    assert_eq!(models(&stage, "ada").await.status, 200);
    clock.advance(Duration::from_secs(830));
    assert_eq!(models(&stage, "ada").await.status, 200);
    assert_eq!(minted(&stage), 1, "not yet due");
    clock.advance(Duration::from_secs(15));
    assert_eq!(models(&stage, "ada").await.status, 200);
    let renewed = |seen: &behest_gateway::emulator::Seen| (seen.minted() == 2).then_some(());
    let waited = stage.emulator.log().wait_for(PATIENCE, renewed).await;
    assert!(waited.is_some(), "not renewed");
    assert!(stage.metric("behest_gateway_token_cache_total{outcome=\"refresh\"}") >= 1.0);
}

#[tokio::test]
async fn a_token_is_used_until_it_really_ends_while_the_mint_is_down() {
    let clock = Clock::manual(unix_time().as_secs());
    let stage = Stage::at(clock.clone(), &[]).await;
    assert_eq!(models(&stage, "ada").await.status, 200);
    let faults = stage.emulator.faults();
    let down = Action::Status {
        code: 503,
        headers: Vec::new(),
        body: String::new(),
    };
    faults.push(Fault::forever(On::Mint, down));
    for _ in 0..2 {
        let calls = mint_calls(&stage);
        clock.advance(Duration::from_secs(425));
        assert_eq!(models(&stage, "ada").await.status, 200);
        if stage.metric("behest_gateway_token_cache_total{outcome=\"refresh\"}") > 0.0 {
            until("a renewal is tried", async || mint_calls(&stage) > calls).await;
        }
    }
    clock.advance(Duration::from_secs(45));
    assert_eq!(models(&stage, "ada").await.status, 200, "5 s are left");
    clock.advance(Duration::from_secs(10));
    let answer = models(&stage, "ada").await;
    assert_eq!(answer.code(), Some("mint_unavailable"));
}
