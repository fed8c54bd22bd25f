//! What the log says of refusals: what was refused, and the setting that would allow it; and how much
//! of it strangers may cause.

use std::net::SocketAddr;

use behest_gateway::emulator::{Action, Emulator, EmulatorConfig, Fault, On};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::Value;

use crate::support::caller::{Caller, Protocol, ask, chat, get, whole};
use crate::support::cookie;
use crate::support::program::{Program, environment};
use crate::support::waiting::until;

/// A request, and what its line must say and must not.
struct Case {
    request: Request<Full<Bytes>>,
    code: &'static str,
    /// As `refusals_total` has it.
    finer: &'static str,
    says: &'static [&'static str],
    hides: &'static [&'static str],
}

fn case(
    request: Request<Full<Bytes>>,
    code: &'static str,
    finer: &'static str,
    says: &'static [&'static str],
) -> Case {
    Case {
        request,
        code,
        finer,
        says,
        hides: &[],
    }
}

fn with(
    mut request: Request<Full<Bytes>>,
    name: &'static str,
    value: &str,
) -> Request<Full<Bytes>> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

fn route_cases(address: SocketAddr, ada: &str) -> Vec<Case> {
    let mut put = get(address, "/v1/models", ada);
    *put.method_mut() = Method::PUT;
    let mut long = get(address, "/v1/models", ada);
    *long.method_mut() = Method::from_bytes(&[b'M'; 5000]).unwrap();
    let no_route: &'static [&'static str] = &["GET /no/where is no route", "routes.extra"];
    vec![
        Case {
            hides: &["private"],
            ..case(
                get(address, "/no/where?private=1", ada),
                "route_unknown",
                "path",
                no_route,
            )
        },
        case(
            long,
            "method_not_allowed",
            "method",
            &["MMMMMMMMMMMMMMMM /v1/models is no route"],
        ),
        case(
            put,
            "method_not_allowed",
            "method",
            &[
                "PUT /v1/models is no route, but GET, HEAD is",
                "routes.extra",
            ],
        ),
    ]
}

fn origin_cases(address: SocketAddr, ada: &str) -> Vec<Case> {
    let models = || get(address, "/v1/models", ada);
    let settings: &'static [&'static str] = &[
        "https://evil.example",
        "cross_origin.allowed_origins",
        "GATEWAY_ALLOWED_ORIGINS",
    ];
    let mut form = chat(address, ada, false);
    form.headers_mut().remove("content-type");
    vec![
        case(
            with(models(), "origin", "https://evil.example"),
            "cross_origin_refused",
            "origin",
            settings,
        ),
        case(
            with(models(), "sec-fetch-site", "cross-site"),
            "cross_origin_refused",
            "site",
            &["Sec-Fetch-Site is cross-site", "GATEWAY_ALLOWED_ORIGINS"],
        ),
        case(
            form,
            "cross_origin_refused",
            "unproven",
            &["Content-Type: application/json"],
        ),
    ]
}

fn limit_cases(address: SocketAddr, ada: &str) -> Vec<Case> {
    let models = || get(address, "/v1/models", ada);
    let mut lines = models();
    for number in 0..120 {
        let name: http::HeaderName = format!("x-{number}").parse().unwrap();
        lines.headers_mut().insert(name, "1".parse().unwrap());
    }
    let long = get(address, &format!("/v1/models?q={}", "a".repeat(8500)), ada);
    let mut large = chat(address, ada, false);
    *large.body_mut() = vec![b' '; 2000].into();
    vec![
        case(
            with(models(), "x-large", &"a".repeat(40_000)),
            "headers_too_large",
            "head_bytes",
            &["headers of 4", "limits.max_head (32768 bytes)"],
        ),
        case(
            lines,
            "headers_too_large",
            "head_lines",
            &["122 header lines", "limits.max_headers (100)"],
        ),
        case(
            long,
            "uri_too_long",
            "uri",
            &["8513 bytes", "limits.max_uri (8192 bytes)"],
        ),
        case(
            large,
            "body_too_large",
            "body",
            &["body of 2000 bytes", "limits.max_body (1024 bytes)"],
        ),
    ]
}

fn session_cases(address: SocketAddr) -> Vec<Case> {
    let models = |cookie: &str| get(address, "/v1/models", cookie);
    let mut none = models("");
    none.headers_mut().remove("cookie");
    let strange = models(
        "theme=dark; eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0AAAAAAAAAAA=secret; my-session=x",
    );
    vec![
        case(
            none,
            "session_missing",
            "no_cookie",
            &["no cookie came", "credentials"],
        ),
        Case {
            hides: &["eyJ", "secret=", "dark"],
            ..case(
                strange,
                "session_missing",
                "no_cookie",
                &[
                    "looked for __Secure-authjs.session-token, authjs.session-token, ",
                    "came: theme, my-session and 1 more",
                    "session.providers[].cookie_names",
                ],
            )
        },
        case(
            models("authjs.session-token=nonsense"),
            "session_invalid",
            "format",
            &["authjs.session-token"],
        ),
    ]
}

fn mint_cases(address: SocketAddr, emulator: &Emulator, ada: &str) -> Vec<Case> {
    emulator.faults().push(Fault::once(
        On::Mint,
        Action::Status {
            code: 401,
            headers: Vec::new(),
            body: String::new(),
        },
    ));
    let refused: &'static [&'static str] = &["the mint refused with status 401", "BEHEST_KEY"];
    vec![case(
        get(address, "/v1/models", ada),
        "mint_refused",
        "mint_key",
        refused,
    )]
}

#[tokio::test]
async fn every_refusal_says_what_was_refused_and_which_setting_allows_it() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let small = [("GATEWAY_LIMITS__MAX_BODY", "1 KiB")];
    let program = Program::serve(&environment(&emulator.base_url(), &small)).await;
    let (address, ada) = (program.address, cookie("ada", "1"));
    let cases = [
        route_cases(address, &ada),
        origin_cases(address, &ada),
        limit_cases(address, &ada),
        session_cases(address),
        mint_cases(address, &emulator, &ada),
    ];
    for (at, case) in cases.into_iter().flatten().enumerate() {
        let answer = ask(address, Protocol::Http1, case.request).await;
        assert_eq!(answer.code(), Some(case.code), "{}", answer.text());
        until("it is logged", async || program.accesses().len() == at + 1).await;
        let line = program.accesses().remove(at);
        assert_eq!(line["code"], case.code);
        assert!(
            line.to_string().len() < 1500,
            "bounded, whatever came: {line}"
        );
        let reason = line["reason"].as_str().unwrap_or_default();
        assert!(
            case.says.iter().all(|word| reason.contains(word)),
            "{:?}: {reason}",
            case.says
        );
        assert!(
            !case.hides.iter().any(|word| reason.contains(word)),
            "{reason}"
        );
        let series = format!(
            "refusals_total{{code=\"{}\",reason=\"{}\"}}",
            case.code, case.finer
        );
        assert!(metrics(&program).await.contains(&series), "{series}");
    }
}

#[tokio::test]
async fn a_busy_user_is_told_of_with_the_limit() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let one = [("GATEWAY_LIMITS__REQUESTS_PER_USER", "1")];
    let program = Program::serve(&environment(&emulator.base_url(), &one)).await;
    let (address, ada) = (program.address, cookie("ada", "1"));
    emulator
        .faults()
        .push(Fault::once(On::Data, Action::StallAfter { frames: 1 }));
    let mut caller = Caller::connect(address, Protocol::Http1).await;
    let streaming = caller.send(chat(address, &ada, true)).await.unwrap();
    let answer = ask(address, Protocol::Http1, get(address, "/v1/models", &ada)).await;
    assert_eq!(answer.code(), Some("user_busy"));
    until("it is logged", async || !program.accesses().is_empty()).await;
    let line = program.accesses().remove(0);
    let reason = line["reason"].as_str().unwrap();
    assert!(
        reason.contains("1 requests in flight, as many as limits.requests_per_user"),
        "{reason}"
    );
    drop((streaming, caller));
}

async fn metrics(program: &Program) -> String {
    let page = ask(
        program.admin,
        Protocol::Http1,
        get(program.admin, "/metrics", ""),
    )
    .await;
    page.text().to_owned()
}

/// What an attacker sends, and on how many connections.
const FLOOD: usize = 10_000;
const CONNECTIONS: usize = 8;

async fn flood(address: SocketAddr) {
    let connections = (0..CONNECTIONS).map(|_| {
        tokio::spawn(async move {
            let mut caller = Caller::connect(address, Protocol::Http1).await;
            for _ in 0..FLOOD / CONNECTIONS {
                let request = get(address, "/v1/models", "theme=dark");
                let answer = whole(caller.send(request).await.unwrap()).await.unwrap();
                assert_eq!(answer.code(), Some("session_missing"));
            }
        })
    });
    for connection in connections.collect::<Vec<_>>() {
        connection.await.unwrap();
    }
}

#[tokio::test]
async fn strangers_cannot_fill_the_disk_and_hide_nobody() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let mut program = Program::serve(&environment(&emulator.base_url(), &[])).await;
    let (address, ada) = (program.address, cookie("ada", "1"));
    let begun = behest_gateway::clock::monotonic();
    flood(address).await;
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    for _ in 0..150 {
        let answer = ask(address, Protocol::Http1, get(address, "/v1/models", &ada)).await;
        assert_eq!(answer.status, 200);
    }
    ask(address, Protocol::Http1, get(address, "/nowhere", "")).await;
    let page = metrics(&program).await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0));
    until("all is flushed", async || {
        program.text().contains("stopped")
    })
    .await;
    let lines = program.accesses();
    let of = |code: &str| lines.iter().filter(|line| line["code"] == code).count();
    let written = of("session_missing");
    assert!(
        (100..=100 + 10 * seconds).contains(&written),
        "{written} in {seconds} s"
    );
    assert_eq!(
        written + suppressed(&program.lines(), "session_missing"),
        FLOOD
    );
    let counted = format!(
        "behest_gateway_log_lines_suppressed_total{{code=\"session_missing\"}} {}\n",
        FLOOD - written
    );
    assert!(page.contains(&counted), "{counted}: {page}");
    assert_eq!(
        (of("ok"), of("route_unknown")),
        (150, 1),
        "nobody else is left out"
    );
}

/// How many lines of `code` are said to have been left out.
fn suppressed(lines: &[Value], code: &str) -> usize {
    let told = lines
        .iter()
        .filter(|line| line["level"] == "WARN" && line["code"] == code);
    let counts = told.map(|line| line["suppressed"].as_u64().unwrap());
    usize::try_from(counts.sum::<u64>()).unwrap()
}
