//! An upstream that breaks HTTP's rules in every way: each has its designed answer on both protocols,
//! and the next requests get their own answers.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::support::caller::{Answer, Caller, Protocol, whole};
use crate::support::upstream::{Scripted, Step, good, write};
use crate::support::{PATIENCE, cookie};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// Words that must never reach a caller: they belong to no request.
const STRAY: &str = "stray";

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// What the caller gets.
#[derive(Clone, Debug)]
enum Expected {
    /// The gateway's own error.
    Error(u16, &'static str),
    /// This status and whole body.
    Whole(u16, &'static str),
    /// 200, and then a broken body.
    Broken,
}

use Expected::{Broken, Error, Whole};

const INVALID: Expected = Error(502, "upstream_invalid");
const UNREACHABLE: Expected = Error(502, "upstream_unreachable");
const LATE: Expected = Error(504, "upstream_timeout");

type Case = (String, Vec<Step>, Expected);

fn case(name: impl Into<String>, steps: Vec<Step>, expected: Expected) -> Case {
    (name.into(), steps, expected)
}

/// Written whole; the connection stays open, so that nothing but the bytes decides.
fn bytes(text: impl AsRef<[u8]>, expected: Expected) -> Case {
    let bytes = text.as_ref();
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]);
    case(shown, vec![write(bytes)], expected)
}

fn closed(text: &str, expected: Expected) -> Case {
    case(
        format!("{text} and the end"),
        vec![write(text), Step::Close],
        expected,
    )
}

async fn request(
    server: std::net::SocketAddr,
    protocol: Protocol,
    method: &str,
    user: &str,
) -> (Answer, bool) {
    let request = Request::builder()
        .method(method)
        .uri("/v1/models")
        .header("host", server.to_string())
        .header("cookie", cookie(user, "1"))
        .body(Full::<Bytes>::default())
        .unwrap();
    let mut caller = Caller::connect(server, protocol).await;
    let response = caller.send(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let read = tokio::time::timeout(PATIENCE, whole(response)).await;
    match read.expect("the body has no end") {
        Ok(answer) => (answer, true),
        Err(_) => {
            let body = Bytes::new();
            let answer = Answer {
                status,
                headers,
                body,
            };
            (answer, false)
        }
    }
}

/// Plays each case against a fresh connection and a used one, then asks for others' answers.
async fn play(cases: Vec<Case>, method: &str, env: &[(&str, &str)]) {
    for protocol in BOTH {
        let stage = Scripted::new(env).await;
        let address = stage.server.address();
        for (name, steps, expected) in &cases {
            stage.script(steps.clone());
            let (answer, ended) = request(address, protocol, method, "mallory").await;
            check(&format!("{protocol:?} {name}"), expected, &answer, ended);
            for user in ["grace", "ada", "grace"] {
                let (honest, _) = request(address, protocol, "GET", user).await;
                assert_eq!(
                    (honest.status.as_u16(), honest.text()),
                    (200, &*format!("\"{user}\"")),
                    "{protocol:?}: after {name}"
                );
            }
        }
    }
}

fn check(name: &str, expected: &Expected, answer: &Answer, ended: bool) {
    let status = answer.status.as_u16();
    let shown = format!("{name}: {status} {:?} {:?}", answer.headers, answer.body);
    assert!(!shown.replace(name, "").contains(STRAY), "{shown}");
    assert_eq!(
        answer.headers["x-content-type-options"], "nosniff",
        "{shown}"
    );
    assert!(answer.headers.contains_key("cache-control"), "{shown}");
    match expected {
        Error(code, word) => {
            assert!(ended, "{shown}");
            assert_eq!((status, answer.code()), (*code, Some(*word)), "{shown}");
            if !answer.body.is_empty() {
                assert_eq!(answer.json()["error"]["code"], *word);
            }
        }
        Whole(code, body) => {
            assert!(ended, "{shown}");
            assert_eq!((status, answer.text()), (*code, *body), "{shown}");
            assert_eq!(answer.code(), None, "{shown}");
        }
        Broken => {
            assert!(!ended, "a clean end: {shown}");
            assert_eq!(status, 200, "{shown}");
        }
    }
}

#[tokio::test]
async fn heads_that_are_no_http() {
    let cases = vec![
        bytes(b"\x00\x01\x02\xff\xfe\r\n\r\n", INVALID),
        bytes("hello\r\n\r\n", INVALID),
        bytes("<html>HTTP/0.9 had no head</html>", INVALID),
        bytes("HTTP/2.0 200 OK\r\n\r\n", INVALID),
        bytes("HTTP/1.2 200 OK\r\n\r\n", INVALID),
        bytes("http/1.1 200 OK\r\n\r\n", INVALID),
        bytes("HTTP/1.1200 OK\r\n\r\n", INVALID),
        bytes("HTTP/1.1 20 OK\r\n\r\n", INVALID),
        bytes("HTTP/1.1 2000 OK\r\n\r\n", INVALID),
        bytes("HTTP/1.1 -20 OK\r\n\r\n", INVALID),
        bytes("HTTP/1.1 000 OK\r\n\r\n", INVALID),
        bytes("HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n", INVALID),
        bytes("HTTP/1.1 600 OK\r\ncontent-length: 0\r\n\r\n", INVALID),
        bytes("HTTP/1.1 999 OK\r\ncontent-length: 0\r\n\r\n", INVALID),
        bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", INVALID),
        bytes("\0\0\x12\x04\0\0\0\0\0", INVALID),
        bytes("\x15\x03\x01\0\x02\x02\x28", INVALID),
        bytes(format!("{OK}no colon\r\n\r\n"), INVALID),
        bytes(format!("{OK}: no name\r\n\r\n"), INVALID),
        bytes(format!("{OK}content-length : 2\r\n\r\n{{}}"), INVALID),
        bytes(
            format!("{OK}x-trace-id: a\r\n folded\r\ncontent-length: 2\r\n\r\n{{}}"),
            INVALID,
        ),
        bytes(
            format!("{OK}x-trace-id: a\0b\r\ncontent-length: 2\r\n\r\n{{}}"),
            INVALID,
        ),
        bytes(
            format!("{OK}x-trace-id: a\rb\r\ncontent-length: 2\r\n\r\n{{}}"),
            INVALID,
        ),
        closed("", UNREACHABLE),
        closed("HTTP/1.1 200 OK\r\ncontent-type: appl", UNREACHABLE),
        closed("HTTP/1.1 100 Continue\r\n\r\n", UNREACHABLE),
        case("a reset", vec![Step::Reset], UNREACHABLE),
        case("a reset head", vec![write(OK), Step::Reset], UNREACHABLE),
    ];
    play(cases, "GET", &[]).await;
}

#[tokio::test]
async fn heads_that_do_not_end() {
    let line = "x-more: and more\r\n";
    let without_pause = |text: &str| Step::Repeat(text.as_bytes().to_vec(), Duration::ZERO);
    let cases = vec![
        case(
            "endless lines",
            vec![write(OK), without_pause(&line.repeat(100))],
            INVALID,
        ),
        case(
            "an endless line",
            vec![
                write(OK),
                write("x-more: "),
                without_pause(&"a".repeat(1000)),
            ],
            INVALID,
        ),
        case(
            "endless blank lines",
            vec![without_pause(&"\r\n".repeat(500))],
            INVALID,
        ),
        case(
            "endless junk",
            vec![without_pause(&"H".repeat(1000))],
            INVALID,
        ),
        case(
            "an endless reason",
            vec![write("HTTP/1.1 200 "), without_pause(&"k".repeat(1000))],
            INVALID,
        ),
        bytes(format!("{OK}{}\r\n", "x-more: 1\r\n".repeat(201)), INVALID),
        bytes(
            format!("{OK}x-more: {}\r\n\r\n", "a".repeat(70_000)),
            INVALID,
        ),
        case(
            "endless interim answers",
            vec![without_pause(
                &"HTTP/1.1 103 Early Hints\r\nlink: </stray>\r\n\r\n".repeat(100),
            )],
            INVALID,
        ),
        case(
            "endless continues",
            vec![without_pause(&"HTTP/1.1 100 Continue\r\n\r\n".repeat(100))],
            INVALID,
        ),
    ];
    play(cases, "GET", &[]).await;
}

#[tokio::test]
async fn heads_that_come_too_slowly() {
    let every = Duration::from_millis(50);
    let drip = |text: &str| Step::Repeat(text.as_bytes().to_vec(), every);
    let cases = vec![
        case("silence", vec![Step::Pause(Duration::from_secs(30))], LATE),
        case(
            "a dripping head",
            vec![write(OK), drip("x-more: 1\r\n")],
            LATE,
        ),
        case(
            "a dripping line",
            vec![write(OK), write("x-more: "), drip("a")],
            LATE,
        ),
        case(
            "dripping interim answers",
            vec![drip("HTTP/1.1 102 Processing\r\n\r\n")],
            LATE,
        ),
    ];
    let env = [("GATEWAY_UPSTREAM__FIRST_BYTE_TIMEOUT", "1s")];
    play(cases, "GET", &env).await;
}

#[tokio::test]
async fn lengths_that_two_readers_could_read_differently() {
    let chunked = "2\r\n{}\r\n0\r\n\r\n";
    let mut cases = Vec::new();
    for lengths in [
        "content-length: 2\r\ncontent-length: 2\r\n",
        "content-length: 2\r\ncontent-length: 3\r\n",
        "content-length: 2, 2\r\n",
        "content-length: 2,3\r\n",
        "content-length: +2\r\n",
        "content-length: -2\r\n",
        "content-length: 0x2\r\n",
        "content-length: 2 3\r\n",
        "content-length:\r\n",
        "content-length: two\r\n",
        "content-length: 99999999999999999999999\r\n",
    ] {
        cases.push(bytes(format!("{OK}{lengths}\r\n{{}}"), INVALID));
    }
    for lengths in [
        "content-length: 2\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 12\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked;q=1\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding:\r\n",
    ] {
        cases.push(bytes(format!("{OK}{lengths}\r\n{chunked}"), INVALID));
    }
    let old = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    cases.push(bytes(format!("{old}{chunked}"), INVALID));
    play(cases, "GET", &[]).await;
}

#[tokio::test]
async fn statuses_that_nobody_asked_for() {
    let mut cases = vec![
        bytes(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nstray",
            INVALID,
        ),
        bytes("HTTP/1.1 101 Switching Protocols\r\n\r\n", INVALID),
    ];
    for status in [300, 301, 302, 303, 305, 307, 308, 399] {
        let head = format!("HTTP/1.1 {status} x\r\nlocation: http://stray.example/\r\n");
        cases.push(bytes(
            format!("{head}content-length: 5\r\n\r\nstray"),
            INVALID,
        ));
    }
    play(cases, "GET", &[]).await;
}

#[tokio::test]
async fn bodies_that_break_off_are_broken() {
    let chunked = format!("{OK}transfer-encoding: chunked\r\n\r\n");
    let after = |text: &str| format!("{chunked}2\r\n{{}}\r\n{text}");
    let cases = vec![
        closed(&format!("{OK}content-length: 9\r\n\r\n{{}}"), Broken),
        case(
            "a reset after the head",
            vec![
                write(&chunked),
                Step::Pause(Duration::from_millis(50)),
                Step::Reset,
            ],
            Broken,
        ),
        case(
            "a reset within the body",
            vec![
                write(after("")),
                Step::Pause(Duration::from_millis(50)),
                Step::Reset,
            ],
            Broken,
        ),
        closed(&after(""), Broken),
        closed(&after("5\r\nabc"), Broken),
        closed(&after("0\r\n"), Broken),
        bytes(after("zz\r\n"), Broken),
        bytes(after("-1\r\n"), Broken),
        bytes(after("\r\n\r\n"), Broken),
        bytes(after("fffffffffffffffff\r\n"), Broken),
        bytes(after("2\r\nabc\r\n"), Broken),
        bytes(after("2\r\nab0\r\n\r\n"), Broken),
        bytes(after("2\nab\n0\n\n"), Broken),
        bytes(
            after(&format!("2;{}\r\nab\r\n0\r\n\r\n", "e".repeat(20_000))),
            Broken,
        ),
        bytes(
            after(&format!("0\r\nx: {}\r\n\r\n", "t".repeat(70_000))),
            Broken,
        ),
        bytes(
            after(&format!("0\r\n{}\r\n", "x: 1\r\n".repeat(2000))),
            Broken,
        ),
    ];
    play(cases, "GET", &[]).await;
}

#[tokio::test]
async fn bodies_that_fall_silent_are_broken() {
    let every = Duration::from_millis(50);
    let silent = Step::Pause(Duration::from_secs(30));
    let cases = vec![
        case(
            "a silent body",
            vec![
                write(format!("{OK}content-length: 9\r\n\r\n{{}}")),
                silent.clone(),
            ],
            Broken,
        ),
        // An event stream may be as slow as it likes; an error's body may not.
        case(
            "a silent error",
            vec![
                write("HTTP/1.1 500 x\r\ncontent-length: 9\r\n\r\n{}"),
                silent,
            ],
            LATE,
        ),
        case(
            "a dripping error",
            vec![
                write("HTTP/1.1 500 x\r\ncontent-length: 999999\r\n\r\n"),
                Step::Repeat(b"x".to_vec(), every),
            ],
            LATE,
        ),
    ];
    let env = [("GATEWAY_UPSTREAM__IDLE_TIMEOUT", "1s")];
    play(cases, "GET", &env).await;
}

#[tokio::test]
async fn errors_that_break_off_are_errors_of_the_gateway() {
    let chunked = "HTTP/1.1 500 x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n";
    let cases = vec![
        closed("HTTP/1.1 500 x\r\ncontent-length: 9\r\n\r\n{}", UNREACHABLE),
        closed(chunked, UNREACHABLE),
        bytes(format!("{chunked}zz\r\n"), UNREACHABLE),
    ];
    play(cases, "GET", &[]).await;
}

#[tokio::test]
async fn what_is_odd_but_clear_passes() {
    let plain = |head: &str| format!("HTTP/1.1 200 OK\r\n{head}content-length: 2\r\n\r\n{{}}");
    let cases = vec![
        bytes(plain(""), Whole(200, "{}")),
        bytes(
            "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\n{}",
            Whole(200, "{}"),
        ),
        bytes("HTTP/1.1 200 OK\ncontent-length: 2\n\n{}", Whole(200, "{}")),
        bytes(
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            Whole(200, "{}"),
        ),
        bytes(
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}",
            Whole(200, "{}"),
        ),
        closed("HTTP/1.0 200 OK\r\n\r\n{}", Whole(200, "{}")),
        closed("HTTP/1.1 200 OK\r\n\r\n{}", Whole(200, "{}")),
        bytes(
            "HTTP/1.1 599 x\r\ncontent-length: 2\r\n\r\n{}",
            Whole(599, "{}"),
        ),
        bytes(
            plain(&format!("x-trace-id: {}\r\n", "s".repeat(60_000))),
            Whole(200, "{}"),
        ),
        bytes(
            plain("x_stray: stray\r\nserver: stray\r\n"),
            Whole(200, "{}"),
        ),
        bytes(plain("content-encoding: odd\r\n"), Whole(200, "{}")),
        bytes(
            format!("HTTP/1.1 100 Continue\r\n\r\n{}", plain("")),
            Whole(200, "{}"),
        ),
        bytes(
            format!("HTTP/1.1 102 x\r\nstray: 1\r\n\r\n{}", plain("")),
            Whole(200, "{}"),
        ),
        bytes(
            format!(
                "{}{}",
                "HTTP/1.1 103 x\r\nlink: </stray>\r\n\r\n".repeat(50),
                plain("")
            ),
            Whole(200, "{}"),
        ),
        bytes(
            format!(
                "{OK}transfer-encoding: Chunked\r\n\r\n2;ext=1\r\n{{}}\r\n0\r\nx-stray: stray\r\n\r\n"
            ),
            Whole(200, "{}"),
        ),
        // More than the answer: nobody reads it.
        bytes(plain("") + STRAY, Whole(200, "{}")),
        bytes(plain("") + &good("\"stray\""), Whole(200, "{}")),
        bytes(
            "HTTP/1.1 204 x\r\ncontent-length: 5\r\n\r\nstray",
            Whole(204, ""),
        ),
        bytes(
            "HTTP/1.1 204 x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nstray\r\n0\r\n\r\n",
            Whole(204, ""),
        ),
        bytes(
            "HTTP/1.1 304 x\r\ncontent-length: 5\r\n\r\nstray",
            Whole(304, ""),
        ),
        bytes(
            "HTTP/1.1 204 x\r\n\r\n".to_owned() + &good("\"stray\""),
            Whole(204, ""),
        ),
        bytes(
            "HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n".to_owned() + &good("\"stray\""),
            Whole(500, ""),
        ),
        bytes(
            "HTTP/1.1 500 x\r\ncontent-length: 2\r\n\r\n{}".to_owned() + &good("\"stray\""),
            Whole(500, "{}"),
        ),
        closed("HTTP/1.1 404 x\r\n\r\nnothing", Whole(404, "nothing")),
        bytes(
            "HTTP/1.1 429 x\r\ntransfer-encoding: chunked\r\n\r\n4\r\nslow\r\n5\r\n down\r\n0\r\n\r\n",
            Whole(429, "slow down"),
        ),
    ];
    play(cases, "GET", &[]).await;
}

#[tokio::test]
async fn a_head_that_is_answered_with_a_body() {
    let cases = vec![
        bytes(
            format!("{OK}content-length: 5\r\n\r\nstray"),
            Whole(200, ""),
        ),
        bytes(
            format!("{OK}transfer-encoding: chunked\r\n\r\n5\r\nstray\r\n0\r\n\r\n"),
            Whole(200, ""),
        ),
        bytes(format!("{OK}content-length: 5\r\n\r\n"), Whole(200, "")),
        bytes(
            "HTTP/1.1 500 x\r\ncontent-length: 5\r\n\r\n",
            Whole(500, ""),
        ),
        bytes(format!("{OK}content-length: 5, 5\r\n\r\n"), INVALID),
        bytes(format!("{OK}\r\n") + &good("\"stray\""), Whole(200, "")),
    ];
    play(cases, "HEAD", &[]).await;
}
