//! Behest answers 401: the user stays signed in, and a new token costs one mint however many ask.

use std::sync::Arc;
use std::time::Duration;

use behest_gateway::clock::unix_time;
use behest_gateway::emulator::{Action, Fault, On, Seen};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::task::JoinSet;

use crate::support::caller::{Answer, Protocol, ask, chat, get};
use crate::support::upstream::{Scripted, Step, write};
use crate::support::waiting::until;
use crate::support::{Shared, Stage, cookie};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const CHAT: &str = "/v1/chat/completions";

fn sent(stage: &Stage, path: &str) -> usize {
    stage.emulator.log().read(|seen| seen.to_path(path).count())
}

fn minted(stage: &Stage) -> u64 {
    stage.emulator.log().read(Seen::minted)
}

fn assert_no_401(answer: &Answer, status: u16, code: &str) {
    let shown = format!("{answer:?}");
    let said = (answer.status.as_u16(), answer.code());
    assert_eq!(said, (status, Some(code)), "{shown}");
    assert!(!answer.headers.contains_key("www-authenticate"), "{shown}");
    assert!(!shown.contains("invalid_token"), "Behest's text: {shown}");
    let advice = if status == 502 { "false" } else { "true" };
    assert_eq!(answer.headers["x-should-retry"], advice, "{shown}");
}

fn upload(stage: &Stage, length: usize) -> Request<Full<Bytes>> {
    Request::post("/v1/audio/transcriptions")
        .header("host", stage.server.address().to_string())
        .header("content-type", "multipart/form-data; boundary=x")
        .header("sec-fetch-site", "same-origin")
        .header("cookie", cookie("ada", "1"))
        .body(Full::new(vec![b'x'; length].into()))
        .unwrap()
}

#[tokio::test]
async fn a_401_that_stays_is_never_the_callers() {
    for protocol in BOTH {
        for stream in [false, true] {
            let stage = Stage::new().await;
            let address = stage.server.address();
            stage
                .emulator
                .faults()
                .push(Fault::forever(On::Data, Action::RejectToken));
            for round in 0..3 {
                let request = chat(address, &cookie("ada", "1"), stream);
                let answer = ask(address, protocol, request).await;
                assert_no_401(&answer, 502, "token_rejected");
                assert_eq!(minted(&stage), 2, "one renewal in 5 s");
                assert_eq!(sent(&stage, CHAT), 2 + round, "sent again in vain");
            }
        }
    }
}

#[tokio::test]
async fn fifty_requests_with_a_rejected_token_share_one_renewal() {
    for protocol in BOTH {
        let stage: Shared = Arc::new(Stage::new().await);
        let address = stage.server.address();
        let request = get(address, "/v1/models", &cookie("ada", "1"));
        assert_eq!(ask(address, protocol, request).await.status, 200);
        stage.emulator.reset();
        // Each request's first sending.
        let reject = Fault::times(50, On::Data, Action::RejectToken);
        stage.emulator.faults().push(reject);
        let by = Duration::from_millis(500);
        let slowly = Fault::forever(On::Mint, Action::Delay { by });
        stage.emulator.faults().push(slowly);
        let mut tasks = JoinSet::new();
        for _ in 0..50 {
            tasks.spawn(async move {
                let request = get(address, "/v1/models", &cookie("ada", "1"));
                ask(address, protocol, request).await
            });
        }
        for answer in tasks.join_all().await {
            // One that came when the token was new already may have met another's rejection.
            assert_ne!(answer.status, 401);
        }
        assert_eq!(minted(&stage), 1, "{protocol:?}");
        assert!(sent(&stage, "/v1/models") <= 100);
    }
}

#[tokio::test]
async fn a_body_that_is_held_is_sent_again_whole() {
    for protocol in BOTH {
        let stage = Stage::new().await;
        stage
            .emulator
            .faults()
            .push(Fault::once(On::Data, Action::RejectToken));
        let request = upload(&stage, 200_000);
        let answer = ask(stage.server.address(), protocol, request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.text().contains("received 200000 bytes"));
        assert_eq!(sent(&stage, "/v1/audio/transcriptions"), 2);
    }
}

/// The body is gone: the caller is asked for it again, and told so only where that helps.
#[tokio::test]
async fn a_body_that_is_not_held_is_asked_for_once_in_five_seconds() {
    for protocol in BOTH {
        let stage = Stage::with(&[("GATEWAY_UPSTREAM__HOLD_BODY", "1 KiB")]).await;
        let address = stage.server.address();
        stage
            .emulator
            .faults()
            .push(Fault::forever(On::Data, Action::RejectToken));
        let answer = ask(address, protocol, upload(&stage, 50_000)).await;
        assert_no_401(&answer, 503, "token_renewed");
        assert_eq!(answer.headers["retry-after"], "0");
        until("it is renewed", async || minted(&stage) == 2).await;
        let answer = ask(address, protocol, upload(&stage, 50_000)).await;
        assert_no_401(&answer, 502, "token_rejected");
        assert_eq!(minted(&stage), 2);
        assert_eq!(sent(&stage, "/v1/audio/transcriptions"), 2, "never again");
    }
}

#[tokio::test]
async fn a_renewal_that_fails_says_what_the_mint_said() {
    let refused = Action::Status {
        code: 403,
        headers: Vec::new(),
        body: String::new(),
    };
    for (action, status, code) in [
        (Action::Close, 503, "mint_unavailable"),
        (refused, 502, "mint_refused"),
    ] {
        let stage = Stage::new().await;
        let address = stage.server.address();
        let request = || get(address, "/v1/models", &cookie("ada", "1"));
        assert_eq!(ask(address, Protocol::Http1, request()).await.status, 200);
        let faults = stage.emulator.faults();
        faults.push(Fault::once(On::Data, Action::RejectToken));
        faults.push(Fault::forever(On::Mint, action));
        let answer = ask(address, Protocol::Http2, request()).await;
        assert_no_401(&answer, status, code);
        assert_eq!(sent(&stage, "/v1/models"), 2);
    }
}

/// Nothing of a 401 is read: neither its end nor what it says is waited for.
#[tokio::test]
async fn a_401_without_an_end_is_not_waited_for() {
    for protocol in BOTH {
        let stage = Scripted::new(&[]).await;
        let address = stage.server.address();
        let request = || get(address, "/v1/models", &cookie("ada", "1"));
        assert_eq!(ask(address, protocol, request()).await.text(), "\"ada\"");
        // A token that is signed again within a second is the same one.
        let then = unix_time().as_secs();
        until("a second is over", async || unix_time().as_secs() > then).await;
        let head = "HTTP/1.1 401 x\r\nwww-authenticate: Bearer\r\n\r\n";
        let every = Duration::from_millis(10);
        stage.script(vec![write(head), Step::Repeat(b"x".to_vec(), every)]);
        assert_eq!(ask(address, protocol, request()).await.text(), "\"ada\"");
        let tokens: Vec<_> = stage.got().into_iter().map(|got| got.token).collect();
        assert_eq!(tokens.len(), 3);
        assert_eq!(tokens[0], tokens[1]);
        assert_ne!(tokens[1], tokens[2]);
        until("it is left", async || stage.ended() == [0]).await;
    }
}
