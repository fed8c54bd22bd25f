//! Bodies that break, bodies that nobody asked for, and what is odd but clear.

use std::time::Duration;

use super::Expected::{Broken, Whole};
use super::{INVALID, LATE, OK, STRAY, UNREACHABLE, bytes, case, closed, play};
use crate::support::upstream::{Step, good, write};

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
    ];
    play(cases, "GET", &[]).await;
}

/// More than the answer: nobody reads it.
#[tokio::test]
async fn surplus_and_bodies_where_none_belongs() {
    let plain = |head: &str| format!("HTTP/1.1 200 OK\r\n{head}content-length: 2\r\n\r\n{{}}");
    let cases = vec![
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
