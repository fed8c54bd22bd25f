//! What a request comes to: its usual answer, or what a fault makes of it.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, Break};
use super::behest::{Arrived, Behest};
use super::connection::Order;
use super::faults::Action;
use super::mint::Twist;
use super::refusal::{Refusal, error_code};

const HUGE_FRAME: usize = 64 * 1024;

/// What the connection is to do: send an answer, or something that is none.
pub(super) enum Outcome {
    Answer(Box<Answer>),
    Order(Order),
}

/// Decides on a request, after the delay or the stall that a fault imposes.
pub(super) async fn decide(
    behest: &Behest,
    request: &Arrived<'_>,
    action: Option<Action>,
) -> Outcome {
    let usual = || behest.usual(request, &Twist::default());
    let answer = match action {
        None => usual(),
        Some(Action::Close) => return Outcome::Order(Order::Close),
        Some(Action::Reset) => return Outcome::Order(Order::Reset),
        Some(Action::Raw { text }) => return Outcome::Order(Order::Raw(text.into_bytes())),
        Some(Action::NoLength) => return Outcome::Order(Order::Raw(without_length(&usual()))),
        Some(Action::StallBeforeHead) => std::future::pending().await,
        Some(Action::Delay { by }) => {
            tokio::time::sleep(by).await;
            usual()
        }
        Some(Action::Status {
            code,
            headers,
            body,
        }) => status(code, headers, body),
        Some(Action::Headers { headers }) => with_headers(usual(), headers),
        Some(Action::Garbage) => {
            let junk = Bytes::from_static(b"\x00<html>neither JSON {nor an answer");
            Answer::bytes(StatusCode::OK, "application/json", junk)
        }
        Some(Action::TruncatedJson) => usual().truncated(),
        Some(Action::CutAfter { frames, reset }) => {
            let how = if reset { Break::Reset } else { Break::Close };
            broken(usual(), frames, how)
        }
        Some(Action::StallAfter { frames }) => broken(usual(), frames, Break::Stall),
        Some(Action::RejectToken) => {
            Refusal::invalid_token("the token is refused by a fault").into()
        }
        Some(Action::WrongUser { user_id }) => behest.usual(request, &Twist::user(user_id)),
        Some(Action::ExpiredToken) => behest.usual(request, &Twist::expired()),
        Some(Action::SlowDrip { bytes, every }) => usual().in_pieces(bytes, every),
        Some(Action::HugeAnswer { bytes }) => {
            let body = json!({"huge": "x".repeat(bytes)});
            Answer::ok(&body).in_pieces(HUGE_FRAME, Duration::ZERO)
        }
        Some(Action::Redirect { to }) => {
            Answer::json(StatusCode::TEMPORARY_REDIRECT, &Value::Null).with_header("location", &to)
        }
    };
    Outcome::Answer(Box::new(answer))
}

fn status(code: u16, headers: Vec<(String, String)>, body: String) -> Answer {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = format!("a fault answers {code}");
    let mut answer = if body.is_empty() {
        Refusal::new(status, error_code(status), &text).into()
    } else {
        Answer::bytes(status, "application/json", Bytes::from(body))
    };
    let typed = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type");
    if headers.iter().any(typed) {
        answer.headers.remove("content-type");
    }
    with_headers(answer, headers)
}

fn with_headers(answer: Answer, headers: Vec<(String, String)>) -> Answer {
    headers.into_iter().fold(answer, |answer, (name, value)| {
        answer.with_header(&name, &value)
    })
}

fn broken(answer: Answer, frames: usize, how: Break) -> Answer {
    let mut answer = answer.breakable();
    // hyper looks no further once a body of stated length is out: nothing is left to break.
    let whole = answer.headers.contains_key("content-length") && frames >= answer.frames.len();
    if !whole {
        answer.break_after = Some((frames, how));
    }
    answer
}

/// An answer framed only by the end of its connection.
fn without_length(answer: &Answer) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\nconnection: close\r\n", answer.status).into_bytes();
    for (name, value) in &answer.headers {
        if name != "content-length" {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&answer.collected());
    bytes
}

/// The fault's word, as in its JSON form.
pub(super) fn kind(action: &Action) -> String {
    let json = serde_json::to_value(action).unwrap_or_default();
    let kind = json.get("kind").and_then(Value::as_str);
    kind.unwrap_or_default().to_owned()
}
