//! Errors of Behest's that tell a credential: the caller gets the error, but not its words.

use std::sync::{Arc, Mutex};

use behest_gateway::clock::unix_time;
use behest_gateway::emulator::{Action, FIXTURE_KEY, Fault, On};
use serde_json::json;

use crate::support::caller::{Answer, Protocol, ask, get};
use crate::support::upstream::{Got, Scripted, Step, write};
use crate::support::waiting::until;
use crate::support::{Stage, cookie};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

async fn models(stage: &Scripted, protocol: Protocol) -> Answer {
    let address = stage.server.address();
    ask(
        address,
        protocol,
        get(address, "/v1/models", &cookie("ada", "1")),
    )
    .await
}

/// The parts of a token that no caller may see.
fn parts(token: &str) -> [&str; 2] {
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let (beginning, _) = signature.split_at(40);
    [beginning, rest.split_once('.').unwrap().1]
}

fn assert_withheld(name: &str, answer: &Answer, status: u16, secrets: &[&str]) {
    let shown = format!("{:?} {:?}", answer.headers, answer.body);
    for secret in secrets {
        assert!(!shown.contains(secret), "{name}: {shown}");
    }
    assert_eq!(answer.status, status, "{name}: {shown}");
    assert_eq!(answer.code(), Some("upstream_invalid"), "{name}: {shown}");
    assert_eq!(answer.headers["content-type"], "application/json");
    let error = &answer.json()["error"];
    assert_eq!(error["code"], "upstream_invalid", "{name}");
    let length = answer.body.len().to_string();
    assert_eq!(answer.headers["content-length"], length, "{name}");
}

fn with_length(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} x\r\nretry-after: 7\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn chunked(pieces: &[&str]) -> Vec<Step> {
    let mut steps = vec![write(
        "HTTP/1.1 500 x\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n",
    )];
    for piece in pieces {
        steps.push(write(format!("{:x}\r\n{piece}\r\n", piece.len())));
        steps.push(Step::Pause(std::time::Duration::from_millis(20)));
    }
    steps.push(write("0\r\n\r\n"));
    steps
}

fn escaped(text: &str) -> String {
    let escape = |c: char| format!("\\u{:04x}", u32::from(c));
    text.chars().map(escape).collect()
}

type Echo = fn(&str) -> Vec<Step>;

/// Ways in which an error can tell the token.
fn echoes() -> Vec<(&'static str, u16, Echo)> {
    vec![
        ("plain", 500, |token| vec![write(with_length(500, token))]),
        ("in JSON", 400, |token| {
            let body = json!({"error": {"message": format!("bad token: Bearer {token}")}});
            vec![write(with_length(400, &body.to_string()))]
        }),
        ("in JSON in JSON", 422, |token| {
            let inner = json!({ "authorization": token }).to_string();
            vec![write(with_length(
                422,
                &json!({ "request": inner }).to_string(),
            ))]
        }),
        ("escaped", 403, |token| {
            let body = format!("{{\"token\":\"{}\"}}", escaped(token));
            vec![write(with_length(403, &body))]
        }),
        ("over lines", 404, |token| {
            let lines: Vec<_> = token.as_bytes().chunks(64).collect();
            let body = lines.join(&b"\r\n "[..]);
            vec![write(with_length(404, std::str::from_utf8(&body).unwrap()))]
        }),
        ("rate limited", 429, |token| {
            vec![write(with_length(429, &format!("slow down, {token}")))]
        }),
        ("in chunks", 500, |token| {
            let (half, other) = token.split_at(token.len() - 100);
            chunked(&["denied: ", half, other, "!"])
        }),
        ("byte by byte", 500, |token| {
            let mut steps = vec![write(
                "HTTP/1.1 500 x\r\ntransfer-encoding: chunked\r\n\r\n",
            )];
            steps.extend(token.chars().map(|c| write(format!("1\r\n{c}\r\n"))));
            steps.push(write("0\r\n\r\n"));
            steps
        }),
        ("as an event stream", 503, |token| {
            let head = "HTTP/1.1 503 x\r\ncontent-type: text/event-stream\r\n\r\n";
            vec![write(format!("{head}data: {token}\n\n")), Step::Close]
        }),
        ("at the end of 64 KB", 500, |token| {
            let body = format!("{}{token}", "x".repeat(65_536 - token.len()));
            vec![write(with_length(500, &body))]
        }),
        ("its signature alone", 500, |token| {
            let signature = token.rsplit_once('.').unwrap().1;
            vec![write(with_length(
                500,
                &format!("bad signature {signature}"),
            ))]
        }),
        ("compressed, for all that is known", 500, |_| {
            let head = "HTTP/1.1 500 x\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n";
            vec![write(head), write(b"\x1f\x8b\x08\x00")]
        }),
    ]
}

#[tokio::test]
async fn an_error_that_tells_the_token_loses_its_words_but_not_its_status() {
    for protocol in BOTH {
        let stage = Scripted::new(&[]).await;
        for (name, status, echo) in echoes() {
            stage.script_with(move |got| echo(&got.token));
            let answer = models(&stage, protocol).await;
            let got = stage.got().pop().unwrap();
            assert_withheld(name, &answer, status, &parts(&got.token));
            if status == 429 {
                assert_eq!(answer.headers["retry-after"], "7");
            }
            assert_eq!(
                models(&stage, protocol).await.text(),
                "\"ada\"",
                "after {name}"
            );
        }
        let withheld =
            "behest_gateway_requests_total{code=\"upstream_invalid\",route=\"/v1/models\"}";
        assert!(stage.metrics().contains(withheld), "{}", stage.metrics());
    }
}

#[tokio::test]
async fn the_token_that_was_refused_before_is_not_told_either() {
    for protocol in BOTH {
        let stage = Scripted::new(&[]).await;
        models(&stage, protocol).await;
        // A token that is signed again within a second is the same one.
        let then = unix_time().as_secs();
        until("a second is over", async || unix_time().as_secs() > then).await;
        let first = Arc::new(Mutex::new(String::new()));
        let refused = Arc::clone(&first);
        stage.script_with(move |got: &Got| {
            refused.lock().unwrap().clone_from(&got.token);
            vec![write("HTTP/1.1 401 x\r\ncontent-length: 0\r\n\r\n")]
        });
        let told = Arc::clone(&first);
        stage.script_with(move |got: &Got| {
            let told = told.lock().unwrap();
            assert_ne!(*told, got.token, "not renewed");
            vec![write(with_length(500, &format!("still bad: {told}")))]
        });
        let answer = models(&stage, protocol).await;
        assert_eq!(stage.got().len(), 3);
        let first = first.lock().unwrap();
        assert_withheld("the refused token", &answer, 500, &parts(&first));
    }
}

#[tokio::test]
async fn an_error_that_tells_the_key_is_withheld() {
    let key = FIXTURE_KEY.strip_prefix("behest_sk_").unwrap();
    for protocol in BOTH {
        let stage = Stage::new().await;
        let address = stage.server.address();
        for body in [FIXTURE_KEY.to_owned(), key.to_owned(), escaped(FIXTURE_KEY)] {
            let action = Action::Status {
                code: 503,
                headers: vec![("x-trace-id".to_owned(), FIXTURE_KEY.to_owned())],
                body,
            };
            stage.emulator.faults().push(Fault::once(On::Data, action));
            let request = get(address, "/v1/models", &cookie("ada", "1"));
            let answer = ask(address, protocol, request).await;
            assert_withheld("the key", &answer, 503, &[key, "\\u"]);
        }
    }
}

#[tokio::test]
async fn headers_that_hold_the_token_or_the_key_stay_behind() {
    for protocol in BOTH {
        for status in [200, 404] {
            let stage = Scripted::new(&[("GATEWAY_ROUTES__RESPONSE_HEADERS", "x-cost")]).await;
            stage.script_with(move |got| {
                let token = &got.token;
                vec![write(format!(
                    "HTTP/1.1 {status} x\r\ncontent-type: text/{token}\r\nx-request-id: {token}\r\n\
                     x-trace-id: Bearer {token}\r\nopenai-organization: {token}\r\nx-cost: {token}\r\n\
                     x-cost: 1\r\nx-ratelimit-limit-requests: {token}\r\nretry-after: {token}\r\n\
                     x-should-retry: false\r\ncontent-length: 2\r\n\r\n{{}}"
                ))]
            });
            let answer = models(&stage, protocol).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (status, "{}"));
            let shown = format!("{:?}", answer.headers);
            for part in parts(&stage.got()[0].token) {
                assert!(!shown.contains(part), "{shown}");
            }
            assert_eq!(answer.headers["x-should-retry"], "false");
            let id = &answer.headers["x-gateway-request-id"];
            assert_eq!(&answer.headers["x-request-id"], id, "ours stands in");
        }
    }
}

#[tokio::test]
async fn other_errors_pass_byte_for_byte_however_they_are_framed() {
    for protocol in BOTH {
        let stage = Scripted::new(&[]).await;
        for length in [1, 1000, 65_535, 65_536, 65_537, 300_000] {
            let body: String = ('a'..='z').cycle().take(length).collect();
            let pieces: Vec<_> = body.as_bytes().chunks(10_000).collect();
            let mut in_chunks = vec![write(
                "HTTP/1.1 400 x\r\ntransfer-encoding: chunked\r\n\r\n",
            )];
            for piece in pieces {
                in_chunks.push(write(format!("{:x}\r\n", piece.len())));
                in_chunks.push(write(piece));
                in_chunks.push(write("\r\n"));
            }
            in_chunks.push(write("0\r\n\r\n"));
            let to_the_end = vec![write("HTTP/1.1 400 x\r\n\r\n"), write(&body), Step::Close];
            for steps in [vec![write(with_length(400, &body))], in_chunks, to_the_end] {
                stage.script(steps);
                let answer = models(&stage, protocol).await;
                assert_eq!(answer.status, 400);
                assert_eq!(answer.code(), None);
                assert!(answer.body == body, "{protocol:?}: {length} bytes changed");
            }
        }
    }
}

/// A caller who leaves while an error is being read ahead is no other than any who leaves.
#[tokio::test]
async fn a_caller_who_leaves_meanwhile_closes_upstream() {
    let stage = Scripted::new(&[]).await;
    let head = "HTTP/1.1 500 x\r\ncontent-length: 100000\r\n\r\n";
    let every = std::time::Duration::from_millis(10);
    stage.script(vec![write(head), Step::Repeat(b"x".to_vec(), every)]);
    let address = stage.server.address();
    let leaving = tokio::spawn(async move {
        let request = get(address, "/v1/models", &cookie("ada", "1"));
        ask(address, Protocol::Http1, request).await
    });
    until("it came upstream", async || stage.got().len() == 1).await;
    leaving.abort();
    until("upstream is left", async || stage.ended() == [0]).await;
}
