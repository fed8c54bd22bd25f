//! `X-Session-Id`: one name for one browser session, whatever is renewed, and nobody else's.

use std::time::Duration;

use behest_gateway::clock::{Clock, unix_time};
use behest_gateway::emulator::{Action, Fault, On};
use behest_gateway::server::Server;

use crate::support::caller::{Answer, Protocol, ask, get};
use crate::support::cookies::header;
use crate::support::{Stage, sources, start};

const MODELS: &str = "/v1/models";

/// A session of `user` with this stable claim; `roll` is what differs from roll to roll.
fn session(user: &str, sid: &str, roll: u64) -> String {
    let now = unix_time().as_secs();
    let exp = now + 3600 + roll;
    header(&format!(
        r#"{{"sub":"{user}","sid":"{sid}","jti":"{roll}","iat":{now},"exp":{exp}}}"#
    ))
}

async fn ask_as(server: &Server, cookie: &str, own: Option<&str>) -> Answer {
    let mut request = get(server.address(), MODELS, cookie);
    if let Some(own) = own {
        let own = own.parse().unwrap();
        request.headers_mut().insert("x-session-id", own);
    }
    ask(server.address(), Protocol::Http1, request).await
}

/// Asks, and returns the id that came to Behest, which must be the token's.
async fn id(stage: &Stage, server: &Server, cookie: &str, own: Option<&str>) -> String {
    let answer = ask_as(server, cookie, own).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    stage.emulator.log().read(|seen| {
        assert!(seen.violations.is_empty(), "{:?}", seen.violations);
        let got = seen.to_path(MODELS).last().unwrap();
        let id = got.header("x-session-id").unwrap();
        assert_eq!(Some(id), got.claims.as_ref().unwrap()["sid"].as_str());
        id.to_owned()
    })
}

#[tokio::test]
async fn it_outlives_renewals_rolls_restarts_and_replicas() {
    let stage = Stage::new().await;
    let first = id(&stage, &stage.server, &session("ada", "s1", 0), None).await;
    assert!(first.starts_with("gw_"));
    let faults = stage.emulator.faults();
    faults.push(Fault::once(On::Data, Action::RejectToken));
    let renewed = id(&stage, &stage.server, &session("ada", "s1", 0), None).await;
    assert_eq!(
        stage
            .emulator
            .log()
            .read(behest_gateway::emulator::Seen::minted),
        2
    );
    let rolled = id(&stage, &stage.server, &session("ada", "s1", 1), None).await;
    let (replica, _) = start(sources(&stage.emulator.base_url(), &[]), Clock::system());
    let elsewhere = id(&stage, &replica, &session("ada", "s1", 2), None).await;
    replica.drain();
    tokio::task::spawn_blocking(|| replica.join())
        .await
        .unwrap();
    let (restarted, _) = start(sources(&stage.emulator.base_url(), &[]), Clock::system());
    let later = id(&stage, &restarted, &session("ada", "s1", 3), None).await;
    assert_eq!(
        [renewed, rolled, elsewhere, later],
        [(); 4].map(|()| first.clone())
    );
}

#[tokio::test]
async fn users_and_browser_sessions_have_their_own_and_the_pages_word_is_ignored() {
    let stage = Stage::new().await;
    let server = &stage.server;
    let ada = id(&stage, server, &session("ada", "s1", 0), None).await;
    let again = id(&stage, server, &session("ada", "s2", 0), None).await;
    let grace = id(&stage, server, &session("grace", "s1", 0), None).await;
    assert!(ada != again && ada != grace && again != grace);
    for claimed in ["chat-2", &grace] {
        let own = id(&stage, server, &session("ada", "s1", 0), Some(claimed)).await;
        assert_eq!(own, ada, "{claimed}");
    }
}

#[tokio::test]
async fn from_the_user_alone_all_browsers_share_it() {
    let stage = Stage::with(&[("GATEWAY_SESSION_ID__SOURCE", "user")]).await;
    let one = id(&stage, &stage.server, &session("ada", "s1", 0), None).await;
    let two = id(&stage, &stage.server, &session("ada", "s2", 0), None).await;
    let grace = id(&stage, &stage.server, &session("grace", "s1", 0), None).await;
    assert_eq!(one, two);
    assert_ne!(one, grace);
}

#[tokio::test]
async fn from_the_mint_it_is_behests_own_and_new_with_each() {
    let stage = Stage::with(&[("GATEWAY_SESSION_ID__SOURCE", "minted")]).await;
    let cookie = session("ada", "s1", 0);
    let first = id(&stage, &stage.server, &cookie, None).await;
    assert!(first.starts_with("ses_"), "{first}");
    assert_eq!(id(&stage, &stage.server, &cookie, None).await, first);
    stage.emulator.log().read(|seen| {
        let mint = seen.to_path("/v1/auth/mint").next().unwrap().json();
        assert!(mint.get("session_id").is_none(), "{mint}");
    });
    let faults = stage.emulator.faults();
    faults.push(Fault::once(On::Data, Action::RejectToken));
    assert_ne!(id(&stage, &stage.server, &cookie, None).await, first);
}

#[tokio::test]
async fn a_page_can_begin_a_fresh_memory_and_name_nobody_elses() {
    let stage = Stage::with(&[("GATEWAY_SESSION_ID__MIX_CLIENT", "true")]).await;
    let server = &stage.server;
    let (ada, grace) = (session("ada", "s1", 0), session("grace", "s1", 0));
    let plain = id(&stage, server, &ada, None).await;
    let chat = id(&stage, server, &ada, Some("chat-2")).await;
    assert!(chat != plain && chat != "chat-2");
    assert_eq!(id(&stage, server, &ada, Some("chat-2")).await, chat);
    let hers = id(&stage, server, &grace, Some("chat-2")).await;
    assert_ne!(hers, chat);
    let stolen = id(&stage, server, &ada, Some(&hers)).await;
    assert!(stolen != hers && stolen != plain && stolen != chat);
}

#[tokio::test]
async fn a_user_has_ten_mints_in_ten_seconds_and_sixteen_identities() {
    let clock = Clock::manual(unix_time().as_secs());
    let env = [("GATEWAY_SESSION_ID__MIX_CLIENT", "true")];
    let stage = Stage::at(clock.clone(), &env).await;
    let server = &stage.server;
    let (ada, grace) = (session("ada", "s1", 0), session("grace", "s1", 0));
    let chat = |number: usize| format!("chat-{number}");
    for number in 0..10 {
        id(&stage, server, &ada, Some(&chat(number))).await;
    }
    let answer = ask_as(server, &ada, Some(&chat(10))).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.code(), Some("user_busy"));
    assert_eq!(answer.headers["retry-after"], "10");
    id(&stage, server, &ada, Some(&chat(9))).await;
    id(&stage, server, &grace, None).await;
    clock.advance(Duration::from_secs(10));
    for number in 10..17 {
        id(&stage, server, &ada, Some(&chat(number))).await;
    }
    let minted = || {
        let seen = |seen: &behest_gateway::emulator::Seen| seen.mints["ada"];
        stage.emulator.log().read(seen)
    };
    assert_eq!(minted(), 17);
    id(&stage, server, &ada, Some(&chat(1))).await;
    assert_eq!(minted(), 17, "still there");
    id(&stage, server, &ada, Some(&chat(0))).await;
    assert_eq!(minted(), 18, "the seventeenth put the oldest out");
    assert_eq!(stage.metric("behest_gateway_token_cache_entries"), 17.0);
}
