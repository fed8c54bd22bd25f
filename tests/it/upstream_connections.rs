//! Connections to Behest: used again while they are sound, never when they are not, and no POST twice.

use behest_gateway::emulator::{Action, Emulator, EmulatorConfig, Fault, On};

use crate::support::caller::{Caller, Protocol, ask, chat, get, whole};
use crate::support::upstream::{self, Peer};
use crate::support::{Stage, cookie};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn one_connection_serves_all_that_comes_one_after_another() {
    let stage = Stage::with(&[("GATEWAY_WORKERS", "1")]).await;
    let address = stage.server.address();
    let session = cookie("ada", "1");
    for protocol in BOTH {
        for round in 0..6 {
            let request = if round % 2 == 0 {
                get(address, "/v1/models", &session)
            } else {
                chat(address, &session, round == 3)
            };
            assert_eq!(ask(address, protocol, request).await.status, 200);
        }
    }
    let accepted = stage.emulator.log().read(|seen| seen.accepted_connections);
    assert_eq!(accepted, 1, "a connection was opened in vain");
}

/// The pooled connection dies while it is idle; a race decides who notices first, so it is run often.
#[tokio::test]
async fn a_dead_pooled_connection_is_not_the_callers_concern() {
    let stage = Stage::with(&[("GATEWAY_WORKERS", "1")]).await;
    let address = stage.server.address();
    let session = cookie("ada", "1");
    let Stage {
        mut emulator,
        server,
        process,
    } = stage;
    let mut caller = Caller::connect(address, Protocol::Http1).await;
    for _ in 0..20 {
        let answer = caller.send(chat(address, &session, false)).await.unwrap();
        assert_eq!(whole(answer).await.unwrap().status, 200);
        let config = EmulatorConfig {
            listen: emulator.addr(),
            ..EmulatorConfig::default()
        };
        emulator.shutdown().await;
        emulator = Emulator::start(config).await.unwrap();
        let answer = caller.send(chat(address, &session, false)).await.unwrap();
        assert_eq!(whole(answer).await.unwrap().status, 200);
        let came = emulator.log().read(|seen| seen.to_path(CHAT).count());
        assert_eq!(came, 1);
    }
    drop((server, process));
}

#[tokio::test]
async fn a_post_whose_first_byte_was_written_is_not_sent_again() {
    let stage = Stage::with(&[("GATEWAY_WORKERS", "1")]).await;
    let address = stage.server.address();
    let session = cookie("ada", "1");
    for action in [Action::Close, Action::Reset] {
        // On a connection that was used before, and on a fresh one.
        for warm in [true, false] {
            if warm {
                let request = get(address, "/v1/models", &session);
                assert_eq!(ask(address, Protocol::Http1, request).await.status, 200);
            }
            let before = stage.emulator.log().read(|seen| seen.to_path(CHAT).count());
            let fault = Fault::once(On::Path(CHAT.into()), action.clone());
            stage.emulator.faults().push(fault);
            let answer = ask(address, Protocol::Http1, chat(address, &session, false)).await;
            assert_eq!(answer.status, 502);
            assert_eq!(answer.code(), Some("upstream_unreachable"));
            let after = stage.emulator.log().read(|seen| seen.to_path(CHAT).count());
            assert_eq!(after, before + 1);
        }
    }
}

/// Bytes after an answer's end belong to nobody.
#[tokio::test]
async fn surplus_bytes_never_answer_the_next_request() {
    let listener = upstream::listen().await;
    let (server, _process) = upstream::over(&listener, &[("GATEWAY_WORKERS", "1")]);
    let address = server.address();
    let request = |user: &str| get(address, "/v1/models", &cookie(user, "1"));
    let answer = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for _ in 0..10 {
        let upstream = async {
            let mut first = Peer::accept(&listener).await;
            first.read_head().await;
            first.write(answer("\"ada\"") + &answer("\"stray\"")).await;
            let mut second = Peer::accept(&listener).await;
            second.read_head().await;
            second.write(answer("\"grace\"")).await;
            assert_eq!(
                first.read_to_end().await,
                b"",
                "the tainted connection is used"
            );
        };
        let callers = async {
            let mut ada = Caller::connect(address, Protocol::Http1).await;
            let got = whole(ada.send(request("ada")).await.unwrap())
                .await
                .unwrap();
            assert_eq!(got.text(), "\"ada\"");
            let got = whole(ada.send(request("grace")).await.unwrap())
                .await
                .unwrap();
            assert_eq!(got.text(), "\"grace\"");
        };
        tokio::join!(upstream, callers);
    }
}
