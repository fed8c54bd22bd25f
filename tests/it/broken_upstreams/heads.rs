//! Heads that cannot be passed on.

use std::time::Duration;

use super::{INVALID, LATE, OK, UNREACHABLE, bytes, case, closed, play};
use crate::support::upstream::{Step, write};

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
    // What the limits do not end is late.
    let env = [("GATEWAY_UPSTREAM__FIRST_BYTE_TIMEOUT", "20s")];
    play(cases, "GET", &env).await;
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
