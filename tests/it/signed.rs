//! JWTs whose keys are an issuer's: rotation, outages, strangers' keys, and bearers over the wire.

use std::sync::Arc;
use std::time::Duration;

use behest_gateway::clock::Now;
use behest_gateway::config::OutboundConfig;
use behest_gateway::generation::outbound;
use behest_gateway::session::{
    Algorithm, CookieName, FormatConfig, Front, KeySource, ProviderConfig, ProviderKind,
    SessionAuthenticator, SessionConfig, SignedConfig, Visit,
};
use http::{HeaderMap, HeaderValue};
use tokio::task::JoinSet;

use crate::support::caller::{Answer, Protocol, ask, get};
use crate::support::issuer::{TestKey, set};
use crate::support::key_server::{KeyServer, Mood};
use crate::support::waiting::until;
use crate::support::{Stage, cookie, sources};

const EXP: u64 = 4_102_444_800;

fn claims(user: &str) -> String {
    format!(r#"{{"sub":"{user}","exp":{EXP}}}"#)
}

fn token(key: &TestKey, kid: &str, user: &str) -> String {
    key.token("ES256", kid, &claims(user))
}

fn keys(all: &[(&TestKey, &str)]) -> String {
    let all: Vec<_> = all.iter().map(|(key, kid)| key.jwk(kid, "")).collect();
    set(&all)
}

fn answers(all: &[(&TestKey, &str)]) -> Mood {
    Mood::Answers(200, keys(all))
}

/// An authenticator of one issuer, asked at times of the test's own.
#[derive(Clone)]
struct Gate(Arc<SessionAuthenticator>);

impl Gate {
    fn to(server: &KeyServer) -> Self {
        let config = SignedConfig {
            algorithms: vec![Algorithm::Es256],
            keys: Some(KeySource::Url {
                url: server.url().parse().unwrap(),
                refresh: Duration::from_mins(10),
            }),
            ..SignedConfig::default()
        };
        let mut provider = ProviderConfig::new(ProviderKind::Signed, FormatConfig::Signed(config));
        provider.cookie_names = vec![CookieName::parse("t").unwrap()];
        let config = SessionConfig {
            providers: vec![provider],
            ..SessionConfig::default()
        };
        let outbound = outbound(&OutboundConfig::default()).unwrap();
        Self(Arc::new(
            SessionAuthenticator::new(&config, &outbound).unwrap(),
        ))
    }

    /// What becomes of `token` so many seconds after the start: `ok`, or the code and the cause.
    async fn ask(&self, token: &str, at: u64) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", format!("t={token}").parse().unwrap());
        let visit = Visit {
            headers: &headers,
            front: Front::default(),
            now: now(at),
        };
        match self.0.authenticate(&visit).await {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.code().to_owned(),
        }
    }

    /// Lets it call if it is due, and waits until the call has ended.
    async fn tend(&self, server: &KeyServer, at: u64) {
        let (calls, mut ended) = (server.calls(), 0);
        self.0.issuers().for_each(drop);
        self.0.tend(now(at));
        until("a call", async || {
            ended += self.ended();
            server.calls() == calls + 1 && ended == 1
        })
        .await;
    }

    fn ended(&self) -> u64 {
        self.0.issuers().map(|(_, s)| s.succeeded + s.failed).sum()
    }
}

fn now(at: u64) -> Now {
    Now {
        unix: Duration::from_secs(1_800_000_000 + at),
        elapsed: Duration::from_secs(at),
    }
}

#[tokio::test]
async fn keys_are_fetched_at_the_start_and_again_and_a_withdrawn_one_ends() {
    let (old, new) = (TestKey::p256(), TestKey::p256());
    let server = KeyServer::of(keys(&[(&old, "old")])).await;
    let gate = Gate::to(&server);
    gate.tend(&server, 0).await;
    let ada = token(&old, "old", "ada");
    for at in [0, 1, 500] {
        gate.0.tend(now(at));
        assert_eq!(gate.ask(&ada, at).await, "ok");
    }
    assert_eq!(server.calls(), 1);
    server.be(answers(&[(&new, "new")]));
    gate.tend(&server, 700).await;
    // It was remembered, and so was its key.
    assert_eq!(gate.ask(&ada, 700).await, "session_invalid");
    assert_eq!(gate.ask(&token(&new, "new", "ada"), 701).await, "ok");
}

#[tokio::test]
async fn a_new_key_is_asked_for_at_once_and_strangers_keys_once_in_30_seconds() {
    let (old, new) = (TestKey::p256(), TestKey::p256());
    let server = KeyServer::of(keys(&[(&old, "old")])).await;
    let gate = Gate::to(&server);
    gate.tend(&server, 0).await;
    server.be(answers(&[(&old, "old"), (&new, "new")]));
    assert_eq!(gate.ask(&token(&new, "new", "ada"), 1).await, "ok");
    assert_eq!(server.calls(), 2);
    let mut storm = JoinSet::new();
    for at in 0..100 {
        let (gate, token) = (gate.clone(), token(&new, &format!("kid-{at}"), "eve"));
        storm.spawn(async move { gate.ask(&token, 2 + at / 4).await });
    }
    let all = storm.join_all().await;
    assert!(
        all.iter().all(|found| found == "session_invalid"),
        "{all:?}"
    );
    assert_eq!(server.calls(), 2);
    let mut storm = JoinSet::new();
    for at in 0..100 {
        let (gate, token) = (gate.clone(), token(&new, &format!("kid-{at}"), "eve"));
        storm.spawn(async move { gate.ask(&token, 31).await });
    }
    storm.join_all().await;
    assert_eq!(server.calls(), 3);
}

#[tokio::test]
async fn a_known_key_waits_for_nobody_and_outlives_its_issuer() {
    let key = TestKey::p256();
    let server = KeyServer::of(keys(&[(&key, "k")])).await;
    let gate = Gate::to(&server);
    gate.tend(&server, 0).await;
    server.be(Mood::Hangs);
    gate.0.tend(now(700));
    until("a call that hangs", async || server.calls() == 2).await;
    let stranger = {
        let (gate, token) = (gate.clone(), token(&key, "other", "eve"));
        tokio::spawn(async move { gate.ask(&token, 700).await })
    };
    for user in 0..50 {
        let user = token(&key, "k", &format!("user-{user}"));
        assert_eq!(gate.ask(&user, 700).await, "ok");
    }
    assert!(!stranger.is_finished() && server.calls() == 2);
    // It is told that nobody can say now, and not that its session is none.
    assert_eq!(stranger.await.unwrap(), "session_unavailable");
    for mood in [
        Mood::Answers(500, keys(&[])),
        Mood::Answers(200, keys(&[])),
        Mood::Answers(200, "<html>".to_owned()),
        Mood::Answers(200, " ".repeat(300_000)),
        Mood::Redirects,
    ] {
        server.be(mood);
        gate.tend(&server, 100_000 + 1000 * server.calls() as u64)
            .await;
        assert_eq!(gate.ask(&token(&key, "k", "ada"), 700).await, "ok");
        assert_eq!(
            gate.ask(&token(&key, "x", "a"), 701).await,
            "session_unavailable"
        );
    }
}

#[tokio::test]
async fn without_keys_a_session_is_unavailable_until_the_issuer_is_back() {
    let key = TestKey::p256();
    let server = KeyServer::of(String::new()).await;
    server.be(Mood::Answers(503, String::new()));
    let gate = Gate::to(&server);
    let ada = token(&key, "k", "ada");
    // The first request asks by itself: `inspect` has nobody who tends.
    assert_eq!(gate.ask(&ada, 0).await, "session_unavailable");
    assert_eq!(gate.ask(&ada, 0).await, "session_unavailable");
    assert_eq!(server.calls(), 1);
    server.be(answers(&[(&key, "k")]));
    gate.tend(&server, 60).await;
    assert_eq!(gate.ask(&ada, 60).await, "ok");
}

#[tokio::test]
async fn who_hangs_up_cancels_the_call_for_nobody() {
    let key = TestKey::p256();
    let server = KeyServer::of(keys(&[(&key, "k")])).await;
    let gate = Gate::to(&server);
    let ada = token(&key, "k", "ada");
    {
        let mut first = std::pin::pin!(gate.ask(&ada, 0));
        assert!(futures_now(first.as_mut()).is_none(), "it must wait");
    }
    assert_eq!(gate.ask(&ada, 0).await, "ok");
    assert_eq!(server.calls(), 1);
}

fn futures_now<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_successor_keeps_the_keys_of_the_same_address() {
    let key = TestKey::p256();
    let server = KeyServer::of(keys(&[(&key, "k")])).await;
    let elsewhere = KeyServer::of(keys(&[])).await;
    let first = Gate::to(&server);
    first.tend(&server, 0).await;
    server.be(Mood::Hangs);
    let (same, other) = (Gate::to(&server), Gate::to(&elsewhere));
    same.0.adopt(&first.0);
    other.0.adopt(&first.0);
    let ada = token(&key, "k", "ada");
    same.0.tend(now(1));
    assert_eq!(same.ask(&ada, 1).await, "ok");
    assert_eq!(other.ask(&ada, 1).await, "session_invalid");
    assert_eq!((server.calls(), elsewhere.calls()), (1, 1));
}

/// A gateway with Auth.js cookies and bearers of `server`'s issuer.
async fn bearer_stage(server: &KeyServer) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let toml = format!(
        "[[session.providers]]\nkind = \"authjs-v5\"\n[[session.providers]]\nkind = \"bearer\"\n\
         algorithms = [\"ES256\"]\njwks_url = \"{}\"\nissuer = \"i\"\naudience = \"a\"\n",
        server.url()
    );
    std::fs::write(&file, toml).unwrap();
    let emulator = behest_gateway::emulator::Emulator::start(
        behest_gateway::emulator::EmulatorConfig::default(),
    );
    let emulator = emulator.await.unwrap();
    let mut sources = sources(
        &emulator.base_url(),
        &[("GATEWAY_PUBLIC_ORIGIN", "https://app.example")],
    );
    sources.file = Some(file);
    Stage::of(emulator, sources, behest_gateway::clock::Clock::system())
}

fn bearer(key: &TestKey, kid: &str, user: &str) -> String {
    let claims = format!(r#"{{"iss":"i","aud":"a","sub":"{user}","exp":{EXP}}}"#);
    format!("Bearer {}", key.token("ES256", kid, &claims))
}

async fn send(stage: &Stage, headers: &[(&'static str, &str)]) -> Answer {
    let address = stage.server.address();
    let mut request = get(address, "/v1/models", "");
    request.headers_mut().remove("cookie");
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().append(*name, value);
    }
    ask(address, Protocol::Http1, request).await
}

#[tokio::test]
async fn a_jwt_in_authorization_is_a_session_and_decides_alone() {
    let key = TestKey::p256();
    let server = KeyServer::of(keys(&[(&key, "k")])).await;
    let stage = bearer_stage(&server).await;
    let (ada, session) = (bearer(&key, "k", "ada"), cookie("bob", "1"));
    let forged = bearer(&TestKey::p256(), "k", "ada");
    let browser = ("origin", "https://app.example");
    let foreign = ("origin", "https://evil.example");
    for (headers, status, code) in [
        (vec![("authorization", ada.as_str())], 200, None),
        (vec![("authorization", &ada), browser], 200, None),
        (
            vec![("authorization", &ada), foreign],
            403,
            Some("cross_origin_refused"),
        ),
        (
            vec![("authorization", &ada), ("sec-fetch-site", "cross-site")],
            403,
            Some("cross_origin_refused"),
        ),
        (
            vec![("authorization", &ada), ("cookie", &session)],
            401,
            Some("session_invalid"),
        ),
        (
            vec![("authorization", &ada), ("authorization", &ada)],
            401,
            Some("session_invalid"),
        ),
        (
            vec![("authorization", &forged)],
            401,
            Some("session_invalid"),
        ),
        // What OpenAI's SDK sends is no JWT, and is nothing.
        (
            vec![("authorization", "Bearer sk-x"), ("cookie", &session)],
            200,
            None,
        ),
        (
            vec![("authorization", "Bearer sk-x")],
            401,
            Some("session_missing"),
        ),
    ] {
        let answer = send(&stage, &headers).await;
        assert_eq!(answer.status, status, "{headers:?} {answer:?}");
        assert_eq!(answer.code(), code, "{headers:?}");
    }
    let users = stage.emulator.log().read(|seen| {
        assert!(seen.violations.is_empty(), "{:?}", seen.violations);
        let sent = seen.to_path("/v1/models");
        sent.map(|seen| seen.user().unwrap().to_owned())
            .collect::<Vec<_>>()
    });
    assert_eq!(users, ["ada", "ada", "bob"]);
}

#[tokio::test]
async fn the_gateway_fetches_by_itself_counts_and_recovers() {
    let key = TestKey::p256();
    let server = KeyServer::of(String::new()).await;
    server.be(Mood::Answers(500, String::new()));
    let stage = bearer_stage(&server).await;
    until("a call at the start", async || server.calls() > 0).await;
    let ada = bearer(&key, "k", "ada");
    let answer = send(&stage, &[("authorization", &ada)]).await;
    assert_eq!(answer.code(), Some("session_unavailable"), "{answer:?}");
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
    assert!(!answer.headers.contains_key("www-authenticate"));
    server.be(answers(&[(&key, "k")]));
    until("recovery", async || {
        send(&stage, &[("authorization", &ada)]).await.status == 200
    })
    .await;
    let label = |outcome: &str| {
        format!("behest_gateway_jwks_refreshes_total{{outcome=\"{outcome}\",provider=\"bearer\"}}")
    };
    until("metrics", async || {
        stage.metric("behest_gateway_jwks_keys{provider=\"bearer\"}") > 0.5
            && stage.metric(&label("ok")) > 0.5
            && stage.metric(&label("failed")) > 0.5
    })
    .await;
}
