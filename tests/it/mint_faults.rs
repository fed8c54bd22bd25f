//! The mint fails in every way: each has its designed answer, costs few calls however many ask, and is
//! over within a second of its end.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use behest_gateway::clock::{Clock, monotonic, unix_time};
use behest_gateway::emulator::{Action, Emulator, EmulatorConfig, FIXTURE_KEY, Fault, On};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::caller::{Answer, Protocol, ask, get};
use crate::support::waiting::{after, is_past, until};
use crate::support::{PATIENCE, Shared, Stage, cookie, sources, start};

const MODELS: &str = "/v1/models";

/// What no answer may contain.
const MINT_TEXT: &str = "words-of-the-mint";

/// Users who ask at once.
const USERS: usize = 100;

/// How long they go on asking.
const OUTAGE: Duration = Duration::from_millis(1200);

/// A second from the fault's end, and as much again for a busy machine.
const RECOVERED_WITHIN: Duration = Duration::from_secs(2);

/// Stages that run at once.
const STAGES: usize = 3;

/// A way in which the mint fails, and the answer that is designed for it.
#[derive(Clone)]
struct Failing {
    name: String,
    action: Action,
    status: u16,
    code: &'static str,
    retry_after: Option<&'static str>,
}

fn failing(name: &str, action: Action, status: u16, code: &'static str) -> Failing {
    Failing {
        name: name.to_owned(),
        action,
        status,
        code,
        retry_after: None,
    }
}

/// The operator's fault: the key, the path, the address, or a user that Behest will not have.
fn refused(status: u16) -> Failing {
    let name = format!("status {status}");
    failing(&name, answer(status, &[]), 502, "mint_refused")
}

fn unavailable(name: &str, action: Action) -> Failing {
    let mut failing = failing(name, action, 503, "mint_unavailable");
    failing.retry_after = Some("1");
    failing
}

fn retry_after(status: u16, said: &str, told: &'static str) -> Failing {
    let name = format!("status {status}, retry-after {said}");
    let mut failing = unavailable(&name, answer(status, &[("retry-after", said)]));
    failing.retry_after = Some(told);
    failing
}

fn late(name: &str, action: Action) -> Failing {
    failing(name, action, 504, "mint_timeout")
}

fn raw(text: &str) -> Failing {
    let name: String = text.chars().take(60).collect();
    let text = text.to_owned();
    unavailable(&name, Action::Raw { text })
}

/// An answer in the contract's form that tells more than any caller may read.
fn answer(code: u16, headers: &[(&str, &str)]) -> Action {
    let headers = headers.iter();
    Action::Status {
        code,
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: format!(r#"{{"error":{{"message":"{MINT_TEXT} {FIXTURE_KEY}"}}}}"#),
    }
}

fn body(body: impl Into<String>) -> Failing {
    let body = body.into();
    let name: String = body.chars().take(60).collect();
    let headers = Vec::new();
    unavailable(
        &name,
        Action::Status {
            code: 200,
            headers,
            body,
        },
    )
}

/// A token with this header and these claims, and a signature that means nothing.
fn token(header: &Value, claims: &Value) -> String {
    let part = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let signature = BASE64_URL_SAFE_NO_PAD.encode([7; 256]);
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// An answer with a token for the first user, changed in one place.
fn twisted(name: &str, value: Value) -> Failing {
    let exp = unix_time().as_secs() + 900;
    let mut header = json!({"alg": "RS256", "kid": "k", "typ": "JWT"});
    let mut claims = json!({"uid": "user-0", "sid": "s", "exp": exp, "note": MINT_TEXT});
    let mut answer = json!({"project_id": MINT_TEXT, "ttl": 900});
    match name.split_once('.') {
        Some(("header", name)) => header[name] = value.clone(),
        Some((_, name)) => claims[name] = value.clone(),
        None => {}
    }
    answer["jwt"] = token(&header, &claims).into();
    if !name.contains('.') {
        answer[name] = value;
    }
    body(answer.to_string())
}

fn statuses() -> Vec<Failing> {
    let mut all: Vec<_> = [
        300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 422,
        451,
    ]
    .into_iter()
    .map(refused)
    .collect();
    all.extend(
        [201, 202, 204, 206, 429, 500, 501, 502, 503, 504, 529, 599]
            .map(|status| unavailable(&format!("status {status}"), answer(status, &[]))),
    );
    let html = Action::Status {
        code: 502,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: format!("<html><h1>502 Bad Gateway</h1>{MINT_TEXT}</html>"),
    };
    all.push(unavailable("502 in HTML", html));
    all.extend([
        retry_after(503, "3", "3"),
        retry_after(429, "7", "7"),
        retry_after(503, "0", "0"),
        retry_after(503, "86400", "300"),
        retry_after(503, "99999999999999999999999", "300"),
        retry_after(503, "-5", "1"),
        retry_after(503, "soon", "1"),
        retry_after(503, MINT_TEXT, "1"),
        retry_after(429, "Sun, 06 Nov 1994 08:49:37 GMT", "0"),
        retry_after(429, "Sat, 06 Nov 2094 08:49:37 GMT", "300"),
        retry_after(429, "Sat, 99 Nov 2094 99:99:99 GMT", "1"),
    ]);
    all
}

fn connections() -> Vec<Failing> {
    let cut = |frames, reset| Action::CutAfter { frames, reset };
    let every = Duration::from_millis(100);
    vec![
        unavailable("closed", Action::Close),
        unavailable("reset", Action::Reset),
        unavailable("cut after the head", cut(0, false)),
        unavailable("reset after the head", cut(0, true)),
        unavailable("cut within the body", cut(1, false)),
        unavailable("reset within the body", cut(1, true)),
        unavailable("huge", Action::HugeAnswer { bytes: 66_000 }),
        unavailable("gigantic", Action::HugeAnswer { bytes: 500_000 }),
        late("silent", Action::StallBeforeHead),
        late("silent after the head", Action::StallAfter { frames: 0 }),
        late("silent within the body", Action::StallAfter { frames: 1 }),
        late("dripping", Action::SlowDrip { bytes: 1, every }),
        late(
            "slow",
            Action::Delay {
                by: Duration::from_secs(30),
            },
        ),
        raw(&format!("{MINT_TEXT}\r\n\r\n")),
        raw("HTTP/1.1 2000 x\r\n\r\n"),
        raw("HTTP/1.1 000 x\r\ncontent-length: 0\r\n\r\n"),
        raw("HTTP/1.1 999 x\r\ncontent-length: 0\r\n\r\n"),
        raw("HTTP/1.1 101 x\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        raw("HTTP/1.1 100 Continue\r\n\r\n"),
        raw(&format!(
            "HTTP/1.1 103 {MINT_TEXT}\r\n\r\nHTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n"
        )),
        raw("HTTP/1.0 200 OK\r\n\r\nno JSON"),
        raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
        raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}"),
        raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}"),
        raw(&format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "x-more: 1\r\n".repeat(300)
        )),
        raw(&format!(
            "HTTP/1.1 200 OK\r\nx: {}\r\n\r\n",
            "x".repeat(200_000)
        )),
    ]
}

fn answers() -> Vec<Failing> {
    let user_id = "mallory".to_owned();
    vec![
        unavailable("garbage", Action::Garbage),
        unavailable("truncated", Action::TruncatedJson),
        unavailable("for another user", Action::WrongUser { user_id }),
        unavailable("expired", Action::ExpiredToken),
        body(" "),
        body("null"),
        body("[]"),
        body(format!("\"{MINT_TEXT}\"")),
        body("{}"),
        body("[".repeat(50_000)),
        body(r#"{"jwt":"#),
        body(r#"{"jwt":null,"ttl":900}"#),
        body(r#"{"jwt":7,"ttl":900}"#),
        body(r#"{"jwt":"","ttl":900}"#),
        body(r#"{"jwt":"opaque","ttl":900}"#),
        body(r#"{"jwt":"a.b.c","ttl":900}"#),
        body(format!(r#"{{"error":"{MINT_TEXT}"}}"#)),
        twisted("ttl", json!("15m")),
        twisted("ttl", json!(0)),
        twisted("ttl", json!(-900)),
        twisted("token_type", json!("DPoP")),
        twisted("jwt", json!(["a"])),
        twisted("claims.uid", json!(null)),
        twisted("claims.uid", json!("USER-0")),
        twisted("claims.uid", json!(["user-0"])),
        twisted("claims.exp", json!(1)),
        twisted("claims.exp", json!("tomorrow")),
        twisted("claims.sid", json!("a\r\nx-role: admin")),
        twisted("claims.sid", json!({"a": 1})),
        twisted("claims.pad", json!("x".repeat(10_000))),
        twisted("header.alg", json!("none")),
        twisted("header.alg", json!(null)),
    ]
}

fn calls(stage: &Stage) -> usize {
    let mints = |seen: &behest_gateway::emulator::Seen| seen.to_path("/v1/auth/mint").count();
    stage.emulator.log().read(mints)
}

async fn models(stage: &Stage, protocol: Protocol, user: usize) -> Answer {
    let address = stage.server.address();
    let request = get(address, MODELS, &cookie(&format!("user-{user}"), "\"pro\""));
    ask(address, protocol, request).await
}

async fn play(failures: Vec<Failing>) {
    let places = Arc::new(Semaphore::new(STAGES));
    let mut tasks = JoinSet::new();
    for (number, failing) in failures.into_iter().enumerate() {
        let places = Arc::clone(&places);
        let protocol = if number % 2 == 0 {
            Protocol::Http1
        } else {
            Protocol::Http2
        };
        tasks.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let env = [("GATEWAY_MINT__TIMEOUT", "500ms"), ("GATEWAY_WORKERS", "1")];
            let stage = Arc::new(Stage::with(&env).await);
            let fault = Fault::forever(On::Mint, failing.action.clone());
            stage.emulator.faults().push(fault);
            let first = models(&stage, protocol, 0).await;
            assert_designed(&failing, &first);
            assert_eq!(calls(&stage), 1, "{}: asked again at once", failing.name);
            let storm = outage(&stage, protocol, &failing).await;
            let recovered = recover(&stage, protocol, &failing).await;
            println!(
                "{}: {} {}; {storm}; recovered in {recovered:?}",
                failing.name, failing.status, failing.code
            );
        });
    }
    tasks.join_all().await;
}

fn assert_designed(failing: &Failing, answer: &Answer) {
    let name = &failing.name;
    let shown = format!("{:?} {:?}", answer.headers, answer.body);
    let said = (answer.status.as_u16(), answer.code());
    assert_eq!(
        said,
        (failing.status, Some(failing.code)),
        "{name}: {shown}"
    );
    assert_eq!(answer.json()["error"]["code"], failing.code, "{name}");
    let header = |name: &str| {
        let value = answer.headers.get(name)?;
        value.to_str().ok()
    };
    assert_eq!(header("retry-after"), failing.retry_after, "{name}");
    let advice = match failing.status {
        502 => Some("false"),
        503 => Some("true"),
        _ => None,
    };
    assert_eq!(header("x-should-retry"), advice, "{name}");
    for absent in ["www-authenticate", "location", "set-cookie"] {
        assert_eq!(header(absent), None, "{name}");
    }
    for secret in [MINT_TEXT, FIXTURE_KEY, "eyJ", "mallory"] {
        assert!(!shown.contains(secret), "{name}: {shown}");
    }
}

/// Everyone asks at once, and goes on asking; returns what it cost.
async fn outage(stage: &Shared, protocol: Protocol, failing: &Failing) -> String {
    let mut tasks = JoinSet::new();
    for user in 0..USERS {
        let stage = Arc::clone(stage);
        tasks.spawn(async move { models(&stage, protocol, user).await });
    }
    for answer in tasks.join_all().await {
        assert_ne!(answer.status, 200, "{}", failing.name);
        assert_ne!(
            answer.status, 401,
            "{}: the user is signed out",
            failing.name
        );
    }
    let at_once = calls(stage);
    let name = &failing.name;
    // As many as asked before the first had failed; never one of them twice.
    assert!(at_once <= USERS + 3, "{name}: {at_once} calls at once");
    let began = monotonic();
    let mut user = 0;
    while began.elapsed() < OUTAGE {
        // The first user is left alone: a refused one is refused for longer each time.
        user = user % (USERS - 1) + 1;
        let answer = models(stage, protocol, user).await;
        assert_ne!(answer.status, 200, "{name}");
        assert_ne!(answer.status, 401, "{name}");
    }
    let going_on = calls(stage) - at_once;
    // Two a second; where only the user is refused, one for each in the first second.
    let halves = usize::try_from(began.elapsed().as_millis() / 500).unwrap();
    let about_users = matches!(
        failing.action,
        Action::Status {
            code: 400 | 422,
            ..
        }
    );
    let most = if about_users { USERS } else { halves + 2 };
    assert!(
        going_on <= most,
        "{name}: {going_on} calls in {:?}",
        began.elapsed()
    );
    let reached = stage
        .emulator
        .log()
        .read(|seen| seen.to_path(MODELS).count());
    assert_eq!(reached, 0, "{name}: a request went up without a token");
    format!(
        "{at_once} calls for {USERS} at once, {going_on} in {:?}",
        began.elapsed()
    )
}

/// How long after its end the fault was still felt, by one who had felt it and by a stranger.
async fn recover(stage: &Shared, protocol: Protocol, failing: &Failing) -> Duration {
    stage.emulator.faults().clear();
    let ended = monotonic();
    for user in [0, USERS] {
        while models(stage, protocol, user).await.status != 200 {
            assert!(
                ended.elapsed() < RECOVERED_WITHIN,
                "not over: {}",
                failing.name
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    ended.elapsed()
}

#[tokio::test]
async fn statuses_that_are_no_success() {
    play(statuses()).await;
}

#[tokio::test]
async fn connections_that_break_or_hang() {
    play(connections()).await;
}

#[tokio::test]
async fn answers_that_hold_no_usable_token() {
    play(answers()).await;
}

/// A refusal is remembered for longer each time, for that user alone.
#[tokio::test]
async fn a_refused_user_costs_one_call_a_second_and_nobody_else_anything() {
    let stage = Stage::with(&[("GATEWAY_WORKERS", "1")]).await;
    let fault = Fault::forever(On::Mint, answer(400, &[]));
    stage.emulator.faults().push(fault);
    let began = monotonic();
    while began.elapsed() < Duration::from_millis(2500) {
        let answer = models(&stage, Protocol::Http1, 0).await;
        assert_eq!(answer.code(), Some("mint_refused"));
    }
    // At 0 s, after 1 s, and not again before 3 s.
    assert_eq!(calls(&stage), 2, "in {:?}", began.elapsed());
    stage.emulator.faults().clear();
    assert_eq!(models(&stage, Protocol::Http1, 1).await.status, 200);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let stage = Stage::new().await;
    let to = format!("{}/elsewhere", stage.emulator.base_url());
    let faults = stage.emulator.faults();
    faults.push(Fault::forever(On::Mint, Action::Redirect { to }));
    let answer = models(&stage, Protocol::Http1, 0).await;
    assert_eq!(answer.code(), Some("mint_refused"));
    assert_eq!(stage.emulator.log().read(|seen| seen.total_requests), 1);
}

#[tokio::test]
async fn a_mint_that_cannot_be_reached_is_unavailable_and_comes_back() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let (server, _process) = start(sources(&format!("http://{address}"), &[]), Clock::system());
    let request = || get(server.address(), MODELS, &cookie("ada", "1"));
    for _ in 0..20 {
        let answer = ask(server.address(), Protocol::Http1, request()).await;
        assert_designed(&unavailable("refused connection", Action::Close), &answer);
    }
    let _emulator = Emulator::start(EmulatorConfig {
        listen: address,
        ..EmulatorConfig::default()
    })
    .await
    .unwrap();
    let give_up = after(RECOVERED_WITHIN);
    while ask(server.address(), Protocol::Http1, request())
        .await
        .status
        != 200
    {
        assert!(!is_past(give_up), "not over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_name_that_nobody_has_and_a_peer_without_tls_are_a_mint_that_is_unavailable() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    for base_url in [
        "https://behest.invalid".to_owned(),
        format!("https://{}", emulator.addr()),
    ] {
        let (server, _process) = start(sources(&base_url, &[]), Clock::system());
        let request = get(server.address(), MODELS, &cookie("ada", "1"));
        let answer = ask(server.address(), Protocol::Http1, request).await;
        // A resolver may also keep silent until the mint's time is up.
        let word = answer.code().unwrap();
        let status = answer.status.as_u16();
        assert!(
            [(503, "mint_unavailable"), (504, "mint_timeout")].contains(&(status, word)),
            "{base_url}: {answer:?}"
        );
        assert!(!answer.text().contains("invalid"), "{answer:?}");
    }
}

/// The mint fails for a while under load, again and again.
#[tokio::test]
async fn an_outage_under_load_is_over_for_everyone_within_a_second() {
    let stage = Arc::new(Stage::with(&[("GATEWAY_WORKERS", "1")]).await);
    for round in 0..3 {
        let fault = Fault::forever(On::Mint, answer(503, &[]));
        stage.emulator.faults().push(fault);
        let users = round * USERS..(round + 1) * USERS;
        let mut tasks = JoinSet::new();
        for user in users {
            let stage = Arc::clone(&stage);
            tasks.spawn(async move {
                let give_up = after(PATIENCE);
                while models(&stage, Protocol::Http1, user).await.status != 200 {
                    assert!(!is_past(give_up), "never served");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                monotonic()
            });
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        stage.emulator.faults().clear();
        let ended = monotonic();
        let served = tasks.join_all().await.into_iter().max().unwrap();
        let took = served.saturating_duration_since(ended);
        println!("round {round}: the last of {USERS} users was served after {took:?}");
        assert!(took < RECOVERED_WITHIN, "{took:?}");
    }
}

/// A call that hangs since the outage is not waited for when others are served again.
#[tokio::test]
async fn who_waits_on_a_dead_connection_is_served_when_the_mint_is_back() {
    let env = [("GATEWAY_MINT__TIMEOUT", "8s"), ("GATEWAY_WORKERS", "1")];
    let stage: Shared = Arc::new(Stage::with(&env).await);
    stage
        .emulator
        .faults()
        .push(Fault::times(5, On::Mint, Action::Close));
    stage
        .emulator
        .faults()
        .push(Fault::once(On::Mint, Action::StallBeforeHead));
    for user in 0..5 {
        let answer = models(&stage, Protocol::Http1, user).await;
        assert_eq!(answer.code(), Some("mint_unavailable"));
    }
    // Only probes now: the first of them hangs.
    let of_hanging = Arc::clone(&stage);
    let hanging = tokio::spawn(async move {
        let mut answer = models(&of_hanging, Protocol::Http1, 6).await;
        while answer.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer = models(&of_hanging, Protocol::Http1, 6).await;
        }
        monotonic()
    });
    until("it hangs", async || calls(&stage) == 6).await;
    until("another is served", async || {
        models(&stage, Protocol::Http1, 7).await.status == 200
    })
    .await;
    let recovered = monotonic();
    let took = hanging.await.unwrap().saturating_duration_since(recovered);
    assert!(took < RECOVERED_WITHIN, "{took:?}");
}
