//! Behest's answer on its way through the relay: however it is cut into pieces and wherever it
//! breaks, every byte that came passes, a broken answer never ends as if it were whole, and the last
//! event that says why stands only between two others, as heartbeats do while Behest is silent.
//!
//! Input: a byte that chooses the framing and the end, a byte with the size of the pieces on the wire,
//! and the body, cut into pieces of its own at `|`.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use tokio_util::sync::CancellationToken;

use super::gateway::admission::limits::{InFlight, Limits, LimitsConfig};
use super::gateway::client::{ResponseBody, SendBody};
use super::gateway::clock::Clock;
use super::gateway::forward::body::{Broken, ObservedBody, Relay, SilenceLimits};
use super::gateway::generation::Process;
use super::gateway::identity::UserId;
use super::gateway::revocation::{Holder, Revocations};
use super::gateway::secret::Secret;
use super::gateway::telemetry::access_log::{AccessLog, Lines};
use super::scripted::{End, Scripted};

/// Where the requests come from.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How long a drain waits for a silent upstream: two heartbeats.
const DRAINED_AFTER: Duration = Duration::from_secs(150);

/// What a relay needs of the gateway around it.
struct Around {
    log: Arc<AccessLog>,
    limits: Limits,
    user: UserId,
}

static AROUND: LazyLock<Around> = LazyLock::new(|| Around {
    log: AccessLog::new(
        Process::new(Clock::manual(0)).unwrap().metrics,
        &Secret::new("key"),
        Lines {
            queue: None,
            strangers: Arc::default(),
            per_second: 1,
        },
    ),
    limits: Limits::new(LimitsConfig::default(), InFlight::default().into()),
    user: UserId::parse("ada").unwrap(),
});

thread_local! {
    /// Its time stands still until nothing else can happen: a silent upstream costs no wait.
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
}

/// Whose answer it is.
fn holder() -> Holder {
    Holder {
        user: AROUND.user.clone(),
        claim: None,
        session_id: None,
        issued_at: None,
    }
}

/// How the answer says where its body ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Chunked,
    Length,
    Close,
}

/// One answer of Behest's.
struct Answer<'a> {
    framing: Framing,
    /// Whether the framing is completed before the end.
    is_whole: bool,
    end: End,
    is_drained: bool,
    is_event_stream: bool,
    pieces: Vec<&'a [u8]>,
}

/// Checks one answer.
pub fn check(data: &[u8]) {
    let [choice, size, body @ ..] = data else {
        return;
    };
    let answer = Answer {
        framing: [Framing::Chunked, Framing::Length, Framing::Close][usize::from(choice % 3)],
        end: [End::Closed, End::Reset, End::Silent][usize::from(choice / 3 % 3)],
        is_whole: choice / 9 % 2 == 0,
        is_drained: choice / 18 % 2 == 1,
        is_event_stream: choice / 36 % 4 != 0,
        pieces: body.split(|byte| *byte == b'|').collect(),
    };
    let wire = answer.wire();
    let whole = relay(&answer, vec![wire.concat()]);
    answer.check(&whole);
    let cut = wire.concat();
    for pieces in [
        cut.chunks(usize::from(*size).max(1))
            .map(<[u8]>::to_vec)
            .collect(),
        wire,
    ] {
        let again = relay(&answer, pieces);
        assert_eq!(again, whole, "it depends on the pieces");
    }
}

/// What came out: all data, and the error that it ended in.
type Relayed = (Vec<u8>, Option<Broken>);

/// Passes `answer` on, its bytes arriving in these pieces.
fn relay(answer: &Answer<'_>, pieces: Vec<Vec<u8>>) -> Relayed {
    RUNTIME.with(|runtime| {
        runtime.block_on(pass(
            answer,
            Scripted::new(pieces, answer.end).asked_first(),
        ))
    })
}

async fn pass(answer: &Answer<'_>, upstream: Scripted) -> Relayed {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(upstream)
        .await
        .unwrap();
    let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
    let cut = CancellationToken::new();
    let clock = Clock::manual(0);
    let revocations = Revocations::new(clock.clone(), cut.clone());
    let exchange = async {
        let request = Request::new(SendBody::from(Full::<Bytes>::default()));
        let incoming = sender.send_request(request).await.unwrap().into_body();
        let id = HeaderValue::from_static("gwr_0123456789");
        let relay = Relay::new(
            ResponseBody::of(incoming, sender, driver),
            answer.is_event_stream,
            SilenceLimits {
                idle_timeout: Duration::from_mins(5),
                heartbeat: Some(Duration::from_mins(1)),
            },
            revocations.watch(holder(), clock.now()).unwrap(),
            AROUND.limits.enter(&AROUND.user).unwrap(),
            None,
        );
        let mut body = ObservedBody::upstream(relay, AROUND.log.begin(Method::POST, id, PEER));
        let mut data = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => data.extend_from_slice(&frame.into_data().unwrap()),
                Err(broken) => {
                    assert!(body.frame().await.is_none(), "it goes on after its failure");
                    return (data, Some(broken));
                }
            }
        }
        (data, None)
    };
    // Time passes only when nothing else happens any more.
    let drain = async {
        if answer.is_drained {
            tokio::time::sleep(DRAINED_AFTER).await;
            cut.cancel();
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        relayed = exchange => relayed,
        never = drain => match never {},
    }
}

impl Answer<'_> {
    /// The answer's bytes, a piece of the body in a piece of its own.
    fn wire(&self) -> Vec<Vec<u8>> {
        let length: usize = self.pieces.iter().map(|piece| piece.len()).sum();
        let head = match self.framing {
            Framing::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
            // One byte is missing where the answer breaks off.
            Framing::Length => format!(
                "content-length: {}\r\n",
                length + usize::from(!self.is_whole)
            ),
            Framing::Close => String::new(),
        };
        let mut wire = vec![format!("HTTP/1.1 200 OK\r\n{head}\r\n").into_bytes()];
        for piece in self.pieces.iter().filter(|piece| !piece.is_empty()) {
            wire.push(match self.framing {
                Framing::Chunked => {
                    let size = format!("{:x}\r\n", piece.len()).into_bytes();
                    [&size, *piece, b"\r\n"].concat()
                }
                Framing::Length | Framing::Close => piece.to_vec(),
            });
        }
        if self.framing == Framing::Chunked && self.is_whole {
            wire.push(b"0\r\n\r\n".to_vec());
        }
        wire
    }

    /// Why the answer is not whole, if it is not.
    fn broken(&self) -> Option<Broken> {
        match (self.framing, self.end) {
            (Framing::Chunked | Framing::Length, _) if self.is_whole => None,
            (Framing::Close, End::Closed) => None,
            (_, End::Closed | End::Reset) => Some(Broken::Cut),
            (_, End::Silent) if self.is_drained => Some(Broken::Drained),
            (_, End::Silent) => Some(Broken::Idle),
        }
    }

    fn check(&self, (data, broken): &Relayed) {
        let body = self.pieces.concat();
        assert_eq!(*broken, self.broken());
        let Some(words) = data.strip_prefix(&body[..]) else {
            panic!("{data:?} does not begin with {body:?}");
        };
        let may_speak = self.is_event_stream && self.framing != Framing::Length;
        let Some(broken) = broken.filter(|_| may_speak) else {
            assert!(words.is_empty(), "{words:?} was added");
            return;
        };
        let words = match self.end {
            End::Silent => without_heartbeats(words, if self.is_drained { 2 } else { 4 }),
            End::Closed | End::Reset => words,
        };
        if words.is_empty() {
            // Silence is always right; it is demanded only of streams that could be misread.
            let ends = |end: &[u8]| body.is_empty() || body.ends_with(end);
            assert!(!ends(b"\n\n") && !ends(b"\r\n\r\n"), "no word of {broken}");
            return;
        }
        assert!(is_between_events(&body), "{body:?} stands within an event");
        let json = words.strip_prefix(b"data: ").unwrap();
        let json = json.strip_suffix(b"\n\n").unwrap();
        let error: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(error["error"]["message"], broken.to_string());
    }
}

/// What follows so many heartbeats; nothing where there is nothing at all.
fn without_heartbeats(words: &[u8], count: usize) -> &[u8] {
    if words.is_empty() {
        return words;
    }
    let beats = b": heartbeat\n\n".repeat(count);
    let Some(rest) = words.strip_prefix(&beats[..]) else {
        panic!("{words:?} does not begin with {count} heartbeats");
    };
    rest
}

/// Whether the last line of a stream is empty, and was ended (WHATWG HTML, section 9.2.6): there an
/// event has been dispatched and none begun.
fn is_between_events(stream: &[u8]) -> bool {
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut rest = stream;
    while let Some(at) = rest
        .iter()
        .position(|byte| *byte == b'\n' || *byte == b'\r')
    {
        lines.push(&rest[..at]);
        let ending = if rest[at..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[at + ending..];
    }
    rest.is_empty() && lines.last().is_none_or(|line| line.is_empty())
}
