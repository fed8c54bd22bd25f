//! What operators see, and what nobody sees: health, metrics and the access log.

use std::collections::BTreeSet;

use behest_gateway::emulator::{Action, Emulator, EmulatorConfig, FIXTURE_KEY, Fault, On};
use http::Method;
use serde_json::Value;

use crate::support::caller::{Caller, Protocol, ask, chat, get, whole};
use crate::support::cookies::{ending, header};
use crate::support::program::{Program, environment};
use crate::support::waiting::until;
use crate::support::{SECRET, Stage, cookie};

/// A user id that would be seen.
const USER: &str = "ada-lovelace-1815";

#[tokio::test]
async fn health_and_metrics_are_on_their_own_listener_and_nowhere_else() {
    let stage = Stage::new().await;
    let (public, admin) = (stage.server.address(), stage.server.admin_address());
    for (path, text) in [
        ("/livez", "ok"),
        ("/readyz", "ready"),
        ("/metrics", "behest_gateway_build_info"),
    ] {
        let answer = ask(admin, Protocol::Http1, get(admin, path, "")).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text().contains(text), "{path}: {}", answer.text());
        let answer = ask(
            public,
            Protocol::Http1,
            get(public, path, &cookie(USER, "1")),
        )
        .await;
        assert_eq!(answer.code(), Some("route_unknown"), "{path}");
    }
    let answer = ask(admin, Protocol::Http1, get(admin, "/v1/models", "")).await;
    assert_eq!(answer.status, 404);
    let mut post = get(admin, "/metrics", "");
    *post.method_mut() = Method::POST;
    let answer = ask(admin, Protocol::Http1, post).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.headers["allow"], "GET, HEAD");
}

/// Requests of every kind: good, streamed, refused, replayed, left.
async fn traffic(address: std::net::SocketAddr, emulator: &Emulator) {
    let one = async |request| whole_or_not(address, request).await;
    one(get(address, "/v1/models", &cookie(USER, "\"pro\""))).await;
    one(get(address, "/v1/models", &cookie(USER, "\"pro\""))).await;
    one(chat(address, &cookie(USER, "\"pro\""), true)).await;
    one(get(address, "/nowhere", &cookie(USER, "1"))).await;
    one(get(address, "/v1/models", "theme=dark")).await;
    one(get(address, "/v1/models", &header(&ending(USER, -60)))).await;
    let faults = emulator.faults();
    faults.push(Fault::once(On::Data, Action::RejectToken));
    one(get(address, "/v1/models", &cookie(USER, "\"pro\""))).await;
    for action in [
        Action::Reset,
        Action::CutAfter {
            frames: 2,
            reset: true,
        },
    ] {
        faults.push(Fault::once(On::Data, action));
        one(chat(address, &cookie(USER, "\"pro\""), true)).await;
    }
    faults.push(Fault::once(On::Mint, Action::Garbage));
    one(get(address, "/v1/models", &cookie("grace", "1"))).await;
    faults.push(Fault::once(On::Data, Action::StallAfter { frames: 2 }));
    let mut caller = Caller::connect(address, Protocol::Http1).await;
    let request = chat(address, &cookie(USER, "\"pro\""), true);
    let response = caller.send(request).await.unwrap();
    drop((response, caller));
}

async fn whole_or_not(
    address: std::net::SocketAddr,
    request: http::Request<http_body_util::Full<bytes::Bytes>>,
) {
    let mut caller = Caller::connect(address, Protocol::Http1).await;
    let response = caller.send(request).await.unwrap();
    // Some of these break off in the middle: that is their point.
    let _ = whole(response).await;
}

/// What [`traffic`] leaves behind.
const SERIES: [(&str, f64); 21] = [
    ("requests_total{code=\"ok\",route=\"/v1/models\"}", 3.0),
    (
        "requests_total{code=\"ok\",route=\"/v1/chat/completions\"}",
        1.0,
    ),
    (
        "requests_total{code=\"route_unknown\",route=\"unmatched\"}",
        1.0,
    ),
    (
        "requests_total{code=\"session_missing\",route=\"/v1/models\"}",
        1.0,
    ),
    (
        "requests_total{code=\"session_expired\",route=\"/v1/models\"}",
        1.0,
    ),
    (
        "requests_total{code=\"mint_unavailable\",route=\"/v1/models\"}",
        1.0,
    ),
    (
        "requests_total{code=\"upstream_unreachable\",route=\"/v1/chat/completions\"}",
        1.0,
    ),
    (
        "requests_total{code=\"upstream_cut\",route=\"/v1/chat/completions\"}",
        1.0,
    ),
    (
        "requests_total{code=\"client_gone\",route=\"/v1/chat/completions\"}",
        1.0,
    ),
    (
        "refusals_total{code=\"route_unknown\",reason=\"path\"}",
        1.0,
    ),
    (
        "refusals_total{code=\"session_missing\",reason=\"no_cookie\"}",
        1.0,
    ),
    (
        "refusals_total{code=\"mint_unavailable\",reason=\"mint_answer\"}",
        1.0,
    ),
    ("requests_in_flight", 0.0),
    ("upstream_401_replays_total", 1.0),
    ("mints_total{outcome=\"invalid\"}", 1.0),
    ("sessions_total{outcome=\"ok\",provider=\"authjs-v5\"}", 8.0),
    (
        "sessions_total{outcome=\"session_missing\",provider=\"none\"}",
        1.0,
    ),
    (
        "first_byte_seconds_count{route=\"/v1/chat/completions\"}",
        3.0,
    ),
    ("request_duration_seconds_count{route=\"/v1/models\"}", 6.0),
    ("config_reload_success", 1.0),
    ("panics_total", 0.0),
];

#[tokio::test]
async fn metrics_tell_what_happened_and_to_nobody() {
    let stage = Stage::new().await;
    traffic(stage.server.address(), &stage.emulator).await;
    let left = "behest_gateway_client_disconnects_total{phase=\"mid_stream\"}";
    let before = "behest_gateway_client_disconnects_total{phase=\"before_first_byte\"}";
    until("the one who left is counted", async || {
        stage.metric(left) + stage.metric(before) == 1.0
    })
    .await;
    let page = stage.metrics();
    for (series, value) in SERIES {
        let series = format!("behest_gateway_{series}");
        assert_eq!(stage.metric(&series), value, "{series}\n{page}");
    }
    assert!(page.contains("behest_gateway_added_seconds_bucket"));
    assert!(page.contains("behest_gateway_mint_duration_seconds_bucket"));
    for secret in [
        USER,
        "grace",
        "\"pro\"",
        "emulator",
        "eyJ",
        SECRET,
        FIXTURE_KEY,
        "gw_",
    ] {
        assert!(!page.contains(secret), "{secret}");
    }
    let labels: BTreeSet<_> = page
        .split(['{', ','])
        .filter_map(|part| part.split_once("=\"").map(|(name, _)| name))
        .collect();
    let known = [
        "code", "kind", "le", "model", "outcome", "phase", "provider", "reason", "route", "tier",
        "usage", "version",
    ];
    assert!(
        labels.iter().all(|label| known.contains(label)),
        "{labels:?}"
    );
}

#[tokio::test]
async fn the_access_log_has_one_true_line_for_each_request_and_no_secret() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let program = Program::serve(&environment(&emulator.base_url(), &[])).await;
    traffic(program.address, &emulator).await;
    until("every request is logged", async || {
        program.accesses().len() == 11
    })
    .await;
    let lines = program.accesses();
    good_lines_are_true(&lines);
    other_lines_are_true(&lines);
    let text = program.text();
    let sealed = cookie(USER, "1");
    let ciphertext = sealed.split("..").next().unwrap();
    for secret in [
        USER,
        "grace",
        "eyJ",
        "Bearer",
        SECRET,
        FIXTURE_KEY,
        "hello",
        ciphertext,
    ] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
}

/// The lines that ended with this status and code; at least one.
fn of<'a>(lines: &'a [Value], status: u16, code: &str) -> Vec<&'a Value> {
    let found: Vec<_> = lines
        .iter()
        .filter(|line| line["status"] == status && line["code"] == code)
        .collect();
    assert!(!found.is_empty(), "{status} {code}: {lines:#?}");
    found
}

fn good_lines_are_true(lines: &[Value]) {
    let good = of(lines, 200, "ok");
    assert_eq!(good.len(), 4);
    for line in &good {
        assert!(line["bytes"].as_u64().unwrap() > 0);
        let (duration, first) = (&line["duration_ms"], &line["first_byte_ms"]);
        assert!(
            duration.as_f64().unwrap() >= first.as_f64().unwrap(),
            "{line}"
        );
        assert!(first.as_f64().unwrap() >= line["added_ms"].as_f64().unwrap());
        assert_eq!(line["user"].as_str().unwrap().len(), 16);
        assert_eq!(line["user"], good[0]["user"]);
        assert_eq!(line["provider"], "authjs-v5");
        assert!(line["request_id"].as_str().unwrap().starts_with("gwr_"));
        assert!(line["trace_id"].is_string());
    }
    let stream = good.iter().find(|line| line["method"] == "POST").unwrap();
    assert_eq!(stream["route"], "/v1/chat/completions");
    assert!(
        stream["duration_ms"].as_f64().unwrap() > 500.0,
        "the whole stream: {stream}"
    );
    assert!(
        stream["first_byte_ms"].as_f64().unwrap() < 500.0,
        "{stream}"
    );
    assert_eq!(
        good.iter().filter(|line| line["replayed"] == true).count(),
        1
    );
}

fn other_lines_are_true(lines: &[Value]) {
    assert_eq!(of(lines, 404, "route_unknown")[0]["route"], "unmatched");
    assert!(of(lines, 401, "session_missing")[0]["user"].is_null());
    assert!(of(lines, 401, "session_expired")[0]["reason"].is_string());
    assert!(of(lines, 502, "upstream_unreachable")[0]["reason"].is_string());
    assert!(of(lines, 503, "mint_unavailable")[0]["reason"].is_string());
    assert_eq!(of(lines, 200, "upstream_cut").len(), 1);
    of(lines, 499, "client_gone");
}

#[tokio::test]
async fn the_access_log_can_be_switched_off() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    for switch in [
        ("RUST_LOG", "info,access=off"),
        ("GATEWAY_TELEMETRY__ACCESS_LOG", "false"),
    ] {
        let env = environment(&emulator.base_url(), &[switch]);
        let mut program = Program::serve(&env).await;
        let request = get(program.address, "/v1/models", &cookie(USER, "1"));
        let answer = ask(program.address, Protocol::Http1, request).await;
        assert_eq!(answer.status, 200);
        program.signal("TERM");
        assert_eq!(program.exit_code().await, Some(0));
        until("all is flushed", async || {
            program.text().contains("stopped")
        })
        .await;
        assert_eq!(program.accesses().len(), 0, "{switch:?}");
    }
}

#[tokio::test]
async fn a_mint_that_fails_is_logged_with_its_cause_also_without_the_access_log() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    emulator
        .faults()
        .push(Fault::forever(On::Mint, Action::Garbage));
    let env = environment(&emulator.base_url(), &[("RUST_LOG", "info,access=off")]);
    let program = Program::serve(&env).await;
    let request = get(program.address, "/v1/models", &cookie(USER, "1"));
    let answer = ask(program.address, Protocol::Http1, request).await;
    assert_eq!(answer.code(), Some("mint_unavailable"));
    let told = || {
        program
            .lines()
            .into_iter()
            .find(|line| line["level"] == "ERROR")
    };
    until("the failure is told", async || told().is_some()).await;
    let told = told().unwrap()["error"].as_str().unwrap().to_owned();
    let general = "the mint's answer is not a usable token: ";
    assert!(
        told.len() > general.len() && told.starts_with(general),
        "{told}"
    );
}
