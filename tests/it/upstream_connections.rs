//! Connections to Behest: used again while they are sound, never when they are not, and no POST twice.

use std::time::Duration;

use behest_gateway::client::{Client, ClientConfig, Connector};
use behest_gateway::emulator::{Action, Emulator, EmulatorConfig, Fault, On};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::net::TcpListener;

use crate::support::caller::{Caller, Protocol, ask, chat, get, whole};
use crate::support::upload::upload;
use crate::support::upstream::{self, Peer, Scripted};
use crate::support::waiting::until;
use crate::support::{PATIENCE, Stage, cookie};

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
    // One for mints and one for requests: what is left over on either is never read on the other.
    assert_eq!(accepted, 2, "a connection was opened in vain");
    stage.emulator.log().read(|seen| {
        let of = |path| seen.to_path(path).next().unwrap().connection;
        assert_ne!(of("/v1/auth/mint"), of(CHAT));
    });
}

/// A client alone, whose connections live so long.
fn client(listener: &TcpListener, pool_max_age: Duration) -> Client {
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let tls = behest_gateway::tls::client_config(&[]).unwrap();
    let proxies = Matcher::builder().build();
    let connector = Connector::new(&origin.parse().unwrap(), &tls, &proxies).unwrap();
    let config = ClientConfig {
        connect_timeout: PATIENCE,
        first_byte_timeout: PATIENCE,
        pool_idle_timeout: PATIENCE,
        pool_max_age,
        workers: 1,
    };
    Client::new(connector, config)
}

/// The connection dies, and before the client has had a chance to notice comes the next request.
#[tokio::test]
async fn a_pooled_connection_that_died_this_moment_is_replaced_unseen() {
    let listener = upstream::listen().await;
    let client = client(&listener, PATIENCE);
    let post = || {
        let body = Full::new(Bytes::from_static(b"{}"));
        let request = Request::post("/v1/x").body(body).unwrap();
        client.exchange(request, 1000, PATIENCE)
    };
    let serve = async || {
        let mut peer = Peer::accept(&listener).await;
        assert!(
            peer.read_head()
                .await
                .starts_with("POST /v1/x HTTP/1.1\r\n")
        );
        peer.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            .await;
        peer
    };
    for _ in 0..5 {
        let (answer, peer) = tokio::join!(post(), serve());
        assert_eq!(answer.unwrap().body(), "{}");
        // Until the connection is in the pool: nothing else runs here.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        drop(peer);
        // The runtime hears of the end and comes back here before the connection's own task runs.
        tokio::task::yield_now().await;
    }
}

/// The same through the gateway, where either may notice first.
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

/// What an upstream sends while its connection lies idle, and how the gateway's own runtime stands
/// to it: `late` lets the connection's task hear of it first, otherwise the request comes first.
#[tokio::test]
async fn bytes_that_came_while_a_connection_was_idle_answer_nobody() {
    let listener = upstream::listen().await;
    let client = client(&listener, PATIENCE);
    let post = || {
        let body = Full::new(Bytes::from_static(b"{}"));
        let request = Request::post("/v1/x").body(body).unwrap();
        client.exchange(request, 1000, PATIENCE)
    };
    for late in [false, true].repeat(5) {
        let answer = async {
            let mut peer = Peer::accept(&listener).await;
            peer.read_head().await;
            peer.read_body(2).await;
            peer.write(upstream::good("\"own\"")).await;
            peer
        };
        let (got, mut peer) = tokio::join!(post(), answer);
        assert_eq!(got.unwrap().body(), "\"own\"");
        // Until the connection is in the pool: nothing else runs here.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        peer.write(upstream::good("\"stray\"")).await;
        if late {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let own = async {
            let mut next = Peer::accept(&listener).await;
            next.read_head().await;
            next.write(upstream::good("\"next\"")).await;
        };
        let (got, ()) = tokio::join!(post(), own);
        assert_eq!(got.unwrap().body(), "\"next\"", "late: {late}");
        assert_eq!(
            peer.read_to_end().await,
            b"",
            "the tainted connection is used"
        );
    }
}

/// Nobody has to ask for an idle connection to end.
#[tokio::test]
async fn a_connection_that_was_idle_too_long_is_closed_without_a_request() {
    let env = [("GATEWAY_UPSTREAM__POOL_IDLE_TIMEOUT", "300ms")];
    let stage = Scripted::new(&env).await;
    let address = stage.server.address();
    for round in 0..2 {
        let request = get(address, "/v1/models", &cookie("ada", "1"));
        assert_eq!(
            ask(address, Protocol::Http1, request).await.text(),
            "\"ada\""
        );
        until("it is closed", async || stage.ended().len() == round + 1).await;
    }
}

/// The answer is over, but the request's body never ends: the connection does not wait for it.
#[tokio::test]
async fn a_connection_whose_request_never_ends_is_closed_after_its_answer() {
    let listener = upstream::listen().await;
    let (server, _process) = upstream::over(&listener, &[("GATEWAY_WORKERS", "1")]);
    let (pieces, body) = upload();
    let request = Request::post("/v1/audio/transcriptions")
        .header("host", "a")
        .header("sec-fetch-site", "same-origin")
        .header("cookie", cookie("ada", "1"))
        .body(body)
        .unwrap();
    let mut caller = Caller::connect(server.address(), Protocol::Http2).await;
    let upstream = async {
        let piece = Bytes::from(vec![b'x'; 300 * 1024]);
        pieces.send(Ok(piece)).await.unwrap();
        let mut peer = Peer::accept(&listener).await;
        peer.read_head().await;
        peer.write("HTTP/1.1 413 x\r\ncontent-length: 2\r\n\r\n{}")
            .await;
        peer
    };
    let (response, mut peer) = tokio::join!(caller.send(request), upstream);
    assert_eq!(whole(response.unwrap()).await.unwrap().status, 413);
    peer.read_to_end().await;
    drop(pieces);
}
