//! Behest does not answer, or answers what cannot be passed on: the caller gets the designed error.

use std::time::Duration;

use behest_gateway::emulator::{Action, Emulator, EmulatorConfig, Fault, On, Seen};

use crate::support::caller::{Answer, Protocol, ask, get};
use crate::support::upstream;
use crate::support::{PATIENCE, Stage, cookie};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

fn raw(text: impl Into<String>) -> Action {
    Action::Raw { text: text.into() }
}

async fn models(stage: &Stage, protocol: Protocol) -> Answer {
    let address = stage.server.address();
    ask(
        address,
        protocol,
        get(address, "/v1/models", &cookie("ada", "1")),
    )
    .await
}

/// What is no answer to pass on, and the code that the caller gets for it.
fn unusable() -> Vec<(Action, &'static str)> {
    let endless = format!(
        "HTTP/1.1 200 OK\r\n{}",
        "x-more: and more\r\n".repeat(20_000)
    );
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-more: 1\r\n".repeat(400));
    let ok = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    vec![
        (Action::Close, "upstream_unreachable"),
        (Action::Reset, "upstream_unreachable"),
        (raw("HTTP/1.1 200 OK\r\ncontent-"), "upstream_unreachable"),
        invalid("HTTP/1.1 2000 ?\r\n\r\n"),
        invalid("SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        invalid("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
        invalid(endless),
        invalid(many),
        invalid("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
        (
            Action::Redirect {
                to: "http://evil.example/".into(),
            },
            "upstream_invalid",
        ),
        invalid("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n"),
        invalid(format!(
            "{ok}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}"
        )),
        invalid(format!(
            "{ok}content-length: 2\r\ncontent-length: 2\r\n\r\n{{}}"
        )),
        invalid(format!(
            "{ok}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
        )),
        invalid(format!(
            "{ok}transfer-encoding: gzip, chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
        )),
        invalid("HTTP/1.1 600 Odd\r\ncontent-length: 0\r\n\r\n"),
        invalid(format!("{ok}content-length: -2\r\n\r\n{{}}")),
    ]
}

/// An answer that is read, and cannot be passed on.
fn invalid(text: impl Into<String>) -> (Action, &'static str) {
    (raw(text), "upstream_invalid")
}

#[tokio::test]
async fn no_answer_is_unreachable_and_no_http_is_invalid() {
    for protocol in BOTH {
        for (action, code) in &unusable() {
            let stage = Stage::new().await;
            stage
                .emulator
                .faults()
                .push(Fault::once(On::Data, action.clone()));
            let answer = models(&stage, protocol).await;
            assert_eq!(
                answer.code(),
                Some(*code),
                "{protocol:?} {action:?} {answer:?}"
            );
            assert_eq!(answer.status, 502);
            assert_eq!(answer.json()["error"]["code"], *code);
            assert!(!answer.headers.contains_key("location"));
            assert_eq!(
                models(&stage, protocol).await.status,
                200,
                "the next is served"
            );
        }
    }
}

#[tokio::test]
async fn a_refused_connection_is_unreachable_and_a_returned_behest_is_found_again() {
    for protocol in BOTH {
        let stage = Stage::new().await;
        assert_eq!(models(&stage, protocol).await.status, 200);
        let Stage {
            emulator,
            server,
            process,
        } = stage;
        let listen = emulator.addr();
        emulator.shutdown().await;
        let address = server.address();
        let request = || get(address, "/v1/models", &cookie("ada", "1"));
        let answer = ask(address, protocol, request()).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.code(), Some("upstream_unreachable"));
        let config = EmulatorConfig {
            listen,
            ..EmulatorConfig::default()
        };
        let emulator = Emulator::start(config).await.unwrap();
        assert_eq!(ask(address, protocol, request()).await.status, 200);
        drop((emulator, process));
    }
}

#[tokio::test]
async fn a_late_head_is_a_timeout_that_names_its_setting() {
    for protocol in BOTH {
        let env = [("GATEWAY_UPSTREAM__FIRST_BYTE_TIMEOUT", "150ms")];
        let stage = Stage::with(&env).await;
        stage
            .emulator
            .faults()
            .push(Fault::once(On::Data, Action::StallBeforeHead));
        let answer = models(&stage, protocol).await;
        assert_eq!(answer.status, 504);
        assert_eq!(answer.code(), Some("upstream_timeout"));
        let text = answer.text();
        assert!(text.contains("upstream.first_byte_timeout"), "{text}");
        let gone = |seen: &Seen| (seen.in_flight == 0).then_some(());
        let gone = stage.emulator.log().wait_for(PATIENCE, gone).await;
        gone.expect("the late exchange is still under way");
    }
}

/// A listener whose queue is full answers no SYN: the connection hangs.
#[tokio::test]
async fn a_late_connection_is_a_timeout_that_names_its_setting() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    for _ in 0..64 {
        let connect = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(200), connect).await {
            Ok(connected) => queue.push(connected.unwrap()),
            Err(_) => break,
        }
    }
    assert!(
        queue.len() < 64,
        "the queue takes more than it was made for"
    );
    let env = [("GATEWAY_UPSTREAM__CONNECT_TIMEOUT", "150ms")];
    let (server, _process) = upstream::over(&listener, &env);
    let address = server.address();
    let request = get(address, "/v1/models", &cookie("ada", "1"));
    let answer = ask(address, Protocol::Http1, request).await;
    assert_eq!(answer.status, 504);
    assert_eq!(answer.code(), Some("upstream_timeout"));
    assert!(answer.text().contains("upstream.connect_timeout"));
}

#[tokio::test]
async fn behests_own_errors_pass_as_they_are() {
    let codes = [400, 402, 403, 404, 409, 422, 429, 500, 502, 503, 529];
    for protocol in BOTH {
        let stage = Stage::new().await;
        for code in codes {
            let body = format!(r#"{{"error":{{"code":"c{code}","message":"m"}}}}"#);
            let headers = [
                ("retry-after", "7"),
                ("x-request-id", "req_b"),
                ("x-trace-id", "tr_b"),
            ];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let action = Action::Status {
                code,
                headers: headers.to_vec(),
                body: body.clone(),
            };
            stage.emulator.faults().push(Fault::once(On::Data, action));
            let answer = models(&stage, protocol).await;
            assert_eq!(answer.status, code);
            assert_eq!(answer.text(), body);
            assert_eq!(
                answer.code(),
                None,
                "it is Behest's error, not the gateway's"
            );
            assert_eq!(answer.headers["retry-after"], "7");
            assert_eq!(answer.headers["x-request-id"], "req_b");
            assert_eq!(answer.headers["x-trace-id"], "tr_b");
            assert!(answer.headers.contains_key("x-gateway-request-id"));
            let seen = |seen: &Seen| seen.to_path("/v1/models").count();
            assert_eq!(stage.emulator.log().read(seen), 1, "sent again");
            stage.emulator.reset();
        }
        let series = |code: &str| {
            format!("behest_gateway_requests_total{{code=\"{code}\",route=\"/v1/models\"}}")
        };
        assert_eq!(
            stage.metric(&series("upstream_4xx")),
            7.0,
            "{}",
            stage.metrics()
        );
        assert_eq!(stage.metric(&series("upstream_5xx")), 4.0);
    }
}
