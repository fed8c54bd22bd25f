//! SIGTERM in the middle of everything: what had begun ends whole, and the program ends with 0.
//!
//! `SIGTERMS=100` repeats it so often; the default is 3.

use std::net::SocketAddr;
use std::time::Duration;

use behest_gateway::emulator::{Emulator, EmulatorConfig};
use http::Method;
use http_body_util::BodyExt;

use crate::support::caller::{Caller, Protocol, chat, get};
use crate::support::program::{Program, environment};
use crate::support::{PATIENCE, cookie};

/// Callers of each protocol at once.
const CALLERS: usize = 4;

/// What one caller saw.
#[derive(Debug, Default)]
struct Seen {
    streams: usize,
    answers: usize,
    /// Connections that ended without an answer to what was asked.
    unanswered: usize,
}

/// Asks and streams on kept connections until there is nobody to connect to.
async fn load(address: SocketAddr, protocol: Protocol, user: usize) -> Seen {
    let session = cookie(&format!("user-{user}"), "1");
    let mut seen = Seen::default();
    while let Some(mut caller) = Caller::try_connect(address, protocol).await {
        let requests = [
            chat(address, &session, true),
            get(address, "/v1/models", &session),
            get(address, "/v1/models", &session),
        ];
        for request in requests.iter().cycle() {
            if !in_time("ready", caller.is_ready()).await {
                break;
            }
            let is_stream = request.method() == Method::POST;
            let answer = match in_time("answer", caller.send(request.clone())).await {
                Ok(answer) => answer,
                // It was not sent.
                Err(error) if error.is_canceled() || error.is_closed() => break,
                Err(error) => {
                    eprintln!("{protocol:?}: {error:?}");
                    seen.unanswered += 1;
                    break;
                }
            };
            assert_eq!(answer.status(), 200);
            let text = in_time("body", answer.into_body().collect()).await;
            let text = text.unwrap_or_else(|error| panic!("{protocol:?}: cut: {error}"));
            if is_stream {
                assert!(text.to_bytes().ends_with(b"data: [DONE]\n\n"));
                seen.streams += 1;
            } else {
                seen.answers += 1;
            }
        }
    }
    seen
}

/// What hangs is to be seen where it hangs.
async fn in_time<T>(what: &str, waited_for: impl Future<Output = T>) -> T {
    let waited_for = tokio::time::timeout(PATIENCE, waited_for);
    waited_for.await.unwrap_or_else(|_| panic!("no {what}"))
}

async fn once(emulator: &Emulator, after: Duration) -> Seen {
    let mut program = Program::serve(&environment(&emulator.base_url(), &[])).await;
    let mut callers = Vec::new();
    for user in 0..CALLERS {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            callers.push(tokio::spawn(load(program.address, protocol, user)));
        }
    }
    tokio::time::sleep(after).await;
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0), "{}", program.text());
    let mut all = Seen::default();
    for caller in callers {
        let seen = caller.await.unwrap();
        all.streams += seen.streams;
        all.answers += seen.answers;
        all.unanswered += seen.unanswered;
    }
    assert!(all.streams > 0, "there was no load");
    assert!(!program.text().contains("cutting"), "{}", program.text());
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stream_is_cut_by_a_signal_however_many_are_under_way() {
    let times: u64 = std::env::var("SIGTERMS").map_or(3, |text| text.parse().unwrap());
    let emulator = Emulator::start(EmulatorConfig {
        frame_delay: Duration::from_millis(1),
        ..EmulatorConfig::default()
    });
    let emulator = emulator.await.unwrap();
    let (mut streams, mut answers, mut unanswered) = (0, 0, 0_u64);
    for time in 0..times {
        // At another moment each time.
        let seen = once(&emulator, Duration::from_millis(300 + time * 37 % 500)).await;
        streams += seen.streams;
        answers += seen.answers;
        unanswered += u64::try_from(seen.unanswered).unwrap();
    }
    eprintln!(
        "{times} signals: {streams} streams and {answers} answers whole, {unanswered} requests unanswered"
    );
    // A caller that takes longer than the last look between two requests may find the connection gone.
    let callers = times * u64::try_from(CALLERS * 2).unwrap();
    assert!(unanswered * 20 <= callers, "{unanswered} of {callers}");
    emulator.log().read(|seen| assert_eq!(seen.disconnects, 0));
}
