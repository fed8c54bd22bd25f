//! The mint fails in every way: each has its designed answer, costs few calls however many ask, and is
//! over within a second of its end.

mod failures;

use std::sync::Arc;
use std::time::Duration;

use behest_gateway::clock::{Clock, monotonic};
use behest_gateway::emulator::{Action, Emulator, EmulatorConfig, FIXTURE_KEY, Fault, On};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::failures::{Failing, MINT_TEXT, answer, answers, connections, statuses, unavailable};
use crate::support::caller::{Answer, Protocol, ask, get};
use crate::support::waiting::{after, is_past, until};
use crate::support::{PATIENCE, Shared, Stage, cookie, sources, start};

const MODELS: &str = "/v1/models";

/// Users who ask at once.
const USERS: usize = 100;

/// How long they go on asking.
const OUTAGE: Duration = Duration::from_millis(1200);

/// From the fault's end.
const RECOVERED_WITHIN: Duration = Duration::from_secs(1);

/// A busy machine may stand still for longer than that: the best of so many tries counts.
const TRIES: usize = 4;

/// Shorter than any timeout that would have ended the wait.
const NO_TIMEOUT: Duration = Duration::from_secs(4);

/// At the latest, however busy it is.
const OVER_WITHIN: Duration = Duration::from_secs(20);

/// Stages that run at once.
const STAGES: usize = 3;

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
            for _ in 0..TRIES {
                if fail_and_recover(protocol, &failing).await <= RECOVERED_WITHIN {
                    return;
                }
            }
            panic!("{}: felt for longer than a second", failing.name);
        });
    }
    tasks.join_all().await;
}

/// From the first failure to the recovery, and how long that took.
async fn fail_and_recover(protocol: Protocol, failing: &Failing) -> Duration {
    let env = [("GATEWAY_MINT__TIMEOUT", "500ms"), ("GATEWAY_WORKERS", "1")];
    let stage = Arc::new(Stage::with(&env).await);
    let fault = Fault::forever(On::Mint, failing.action.clone());
    stage.emulator.faults().push(fault);
    let first = models(&stage, protocol, 0).await;
    assert_designed(failing, &first);
    assert_eq!(calls(&stage), 1, "{}: asked again at once", failing.name);
    let storm = outage(&stage, protocol, failing).await;
    let recovered = recover(&stage, protocol, failing).await;
    eprintln!(
        "{}: {} {}; {storm}; recovered in {recovered:?}",
        failing.name, failing.status, failing.code
    );
    recovered
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
            assert!(ended.elapsed() < OVER_WITHIN, "not over: {}", failing.name);
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
    let give_up = after(OVER_WITHIN);
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
        eprintln!("round {round}: the last of {USERS} users was served after {took:?}");
        assert!(took < NO_TIMEOUT, "{took:?}");
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
    assert!(took < NO_TIMEOUT, "{took:?}");
}
