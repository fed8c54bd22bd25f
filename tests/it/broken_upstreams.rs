//! An upstream that breaks HTTP's rules in every way: each has its designed answer on both protocols,
//! and the next requests get their own answers.

mod bodies;
mod heads;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::support::caller::{Answer, Caller, Protocol, whole};
use crate::support::upstream::{Scripted, Step, write};
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
    if let Ok(answer) = read.expect("the body has no end") {
        return (answer, true);
    }
    let body = Bytes::new();
    let answer = Answer {
        status,
        headers,
        body,
    };
    (answer, false)
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
