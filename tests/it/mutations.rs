//! Requests that are almost right, by the thousand: none of them brings the gateway down, is answered
//! with what is no HTTP, or gets anything upstream that is not its own user's.
//!
//! `MUTATIONS` says how many of each protocol (20 000 without it); `MUTATIONS_SEED` repeats a run.

use std::net::SocketAddr;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use behest_gateway::clock::unix_time;
use behest_gateway::emulator::{Emulator, EmulatorConfig, RequestRecord};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::caller::{Protocol, ask, chat};
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame, header,
};
use crate::support::mutation::{Random, is_http1, mutate, read_http2};
use crate::support::{COOKIE, PATIENCE, Stage, cookie, cookies};

/// Connections at once, each with up to three requests.
const AT_ONCE: usize = 32;

/// A peer that has said nothing for so long waits for more than it will get.
const QUIET: Duration = Duration::from_millis(50);

/// Whose session is in every mutated request.
const SENDER: &str = "ada";

/// Who asks honestly in between.
const HONEST: &str = "grace";

/// What is put into HTTP/1.1 requests, besides single bytes.
const LINES: &[&[u8]] = &[
    b"transfer-encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"content-length: 5\r\n",
    b"content-length: 0\r\n",
    b"host: evil.example\r\n",
    b"connection: x-session-id, authorization\r\n",
    b"connection: close\r\n",
    b"authorization: Bearer mine\r\n",
    b"x-session-id: mine\r\n",
    b"x-end-user-id: grace\r\n",
    b"x-tier: max\r\n",
    b"x_session_id: mine\r\n",
    b"cookie: authjs.session-token=x\r\n",
    b"origin: https://evil.example\r\n",
    b"sec-fetch-site: cross-site\r\n",
    b"expect: 100-continue\r\n",
    b"upgrade: h2c\r\n",
    b" folded\r\n",
    b"\r\n",
    b"GET /v1/auth/mint HTTP/1.1\r\nhost: a\r\n\r\n",
    b"0\r\n\r\n",
    b"../",
    b"%2e%2e%2f",
];

/// What is put into HTTP/2 frames.
const FRAMES: &[&[u8]] = &[
    b"\0\0\0\x01\x05\0\0\0\x05",
    b"\0\0\0\x09\x04\0\0\0\x01",
    b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
    b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0",
    b"\0\0\0\x04\0\0\0\0\0",
    b"\0\0\x08\x06\0\0\0\0\0abcdefgh",
    b"\0\0\0\0\x01\0\0\0\x03",
    b"\x82\x86\x84",
];

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// Sends mutated requests, made by `write` (which says how many), until there were enough; `read`
/// says whether what came back is as it must be, and whether more can come.
async fn run(
    protocol: Protocol,
    write: impl Fn(&Bases, &mut Random) -> (Vec<u8>, usize),
    read: fn(&[u8], usize) -> (bool, bool),
) {
    let seed = number("MUTATIONS_SEED").unwrap_or(unix_time().subsec_nanos() as usize);
    let enough = number("MUTATIONS").unwrap_or(20_000);
    eprintln!("MUTATIONS_SEED={seed} MUTATIONS={enough}");
    let emulator = Emulator::start(EmulatorConfig {
        frame_delay: Duration::ZERO,
        ..EmulatorConfig::default()
    });
    let stage = Stage::over(emulator.await.unwrap(), &[]);
    let address = stage.server.address();
    let bases = Bases::new(address);
    watch_panics();
    let mut random = Random::new(u64::try_from(seed).unwrap());
    let (mut sent, mut reached) = (0, 0);
    while sent < enough {
        let mut connections = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (bytes, requests) = write(&bases, &mut random);
            sent += requests;
            connections.spawn(converse(address, bytes, requests, read));
        }
        while let Some(ended) = connections.join_next().await {
            ended.unwrap();
        }
        let honest = ask(address, protocol, honest(address)).await;
        assert_eq!(honest.status, 200, "after {sent}: {honest:?}");
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "after {sent}");
        reached += check_upstream(&stage);
        stage.emulator.log().clear();
    }
    // A mutation that never gets through proves nothing.
    assert!(
        reached > sent / 20,
        "only {reached} of {sent} went upstream"
    );
    eprintln!("{sent} mutated requests, {reached} requests upstream");
}

/// Panics in a gateway of this process. The runtime catches them, so that nothing else tells of them;
/// the program counts them in the same way.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            if thread
                .name()
                .is_some_and(|name| name.starts_with("worker-"))
            {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(panic);
        }));
    });
}

fn honest(address: SocketAddr) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = chat(address, &cookie(HONEST, "1"), false);
    let headers = request.headers_mut();
    headers.insert("x-thread-id", HONEST.parse().unwrap());
    request
}

/// Writes `bytes` and reads the answers: to their end, or until the gateway waits for more.
async fn converse(
    address: SocketAddr,
    bytes: Vec<u8>,
    requests: usize,
    read: fn(&[u8], usize) -> (bool, bool),
) {
    let socket = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = socket.into_split();
    let mut said = Vec::new();
    let conversation = async {
        // Refused in the middle, the rest finds no reader: that is an answer too.
        drop(writer.write_all(&bytes).await);
        while read(&said, requests).1 {
            match tokio::time::timeout(QUIET, reader.read_buf(&mut said)).await {
                Ok(Ok(1..)) => {}
                Ok(_) | Err(_) => break,
            }
        }
        drop(writer.shutdown().await);
        // A reset is an end too.
        drop(reader.read_to_end(&mut said).await);
    };
    let ended = tokio::time::timeout(PATIENCE, conversation).await;
    let (sent, got) = (bytes.escape_ascii(), said.escape_ascii());
    assert!(ended.is_ok(), "the connection stays open: {sent}\n{got}");
    assert!(
        read(&said, requests).0,
        "{sent}\n\nwas answered with\n\n{got}"
    );
}

/// Whatever got through is its user's own and nothing more; returns how many.
fn check_upstream(stage: &Stage) -> usize {
    stage.emulator.log().read(|seen| {
        assert!(seen.violations.is_empty(), "{:?}", seen.violations);
        for request in &seen.requests {
            if request.path() == "/v1/auth/mint" {
                let user = request.json()["user_id"].clone();
                assert!(user == SENDER || user == HONEST, "{request:?}");
            } else {
                check_request(request);
            }
        }
        seen.requests.len()
    })
}

fn check_request(request: &RequestRecord) {
    let is_honest = request.header("x-thread-id") == Some(HONEST);
    let user = if is_honest { HONEST } else { SENDER };
    assert_eq!(request.user(), Some(user), "{request:?}");
    let sid = request.claims.as_ref().unwrap()["sid"].as_str();
    assert_eq!(request.header("x-session-id"), sid, "{request:?}");
    for name in request.headers.keys() {
        let name = name.as_str();
        let is_known = name.starts_with("x-stainless-")
            || [
                "accept",
                "accept-encoding",
                "accept-language",
                "authorization",
                "content-length",
                "content-type",
                "host",
                "idempotency-key",
                "openai-beta",
                "traceparent",
                "tracestate",
                "transfer-encoding",
                "user-agent",
                "x-request-id",
                "x-session-id",
                "x-thread-id",
            ]
            .contains(&name);
        assert!(is_known, "{name}: {request:?}");
    }
    for name in ["authorization", "x-session-id", "host", "content-length"] {
        let lines = request.headers.get_all(name).iter().count();
        assert!(lines <= 1, "{lines} of {name}: {request:?}");
    }
    let both =
        request.header("content-length").is_some() && request.header("transfer-encoding").is_some();
    assert!(!both, "{request:?}");
    let path = request.path();
    assert!(path.starts_with("/v1/") && !path.starts_with("/v1/auth"));
}

/// Requests that are right, in both protocols, and for each protocol one to end with.
struct Bases {
    http1: Vec<String>,
    last_http1: String,
    http2: Vec<Vec<Frame>>,
    last_http2: Vec<u8>,
}

/// Kind, flags, stream, payload.
type Frame = (u8, u8, u32, Vec<u8>);

/// The body of a chat request, in two pieces.
const CHAT: [&str; 2] = [
    r#"{"model":"emulator","stream":true,"#,
    r#""messages":[{"role":"user","content":"hello"}]}"#,
];

impl Bases {
    fn new(address: SocketAddr) -> Self {
        let whole = cookie(SENDER, "\"pro\"");
        let head = format!("host: {address}\r\nsec-fetch-site: same-origin\r\ncookie: {whole}\r\n");
        let block = |method: &str, path: &str| {
            [
                header(":method", method),
                header(":scheme", "http"),
                header(":path", path),
                header(":authority", address.to_string()),
                header("sec-fetch-site", "same-origin"),
                header("content-type", "application/json"),
                header("cookie", "theme=dark"),
                header("cookie", &whole),
            ]
            .concat()
        };
        let delete = block("DELETE", "/v1/threads/t1");
        let (delete, continued) = delete.split_at(100);
        Self {
            last_http1: format!("GET /v1/models HTTP/1.1\r\n{head}connection: close\r\n\r\n"),
            http1: http1(address, &head, &whole),
            last_http2: frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                7,
                &block("GET", "/v1/models"),
            ),
            http2: vec![
                vec![(
                    HEADERS,
                    END_STREAM | END_HEADERS,
                    1,
                    block("GET", "/v1/models?limit=2"),
                )],
                vec![
                    (
                        HEADERS,
                        END_HEADERS,
                        1,
                        block("POST", "/v1/chat/completions"),
                    ),
                    (DATA, 0, 1, CHAT[0].into()),
                    (DATA, END_STREAM, 1, CHAT[1].into()),
                ],
                vec![
                    (HEADERS, END_STREAM, 1, delete.to_vec()),
                    (CONTINUATION, END_HEADERS, 1, continued.to_vec()),
                ],
            ],
        }
    }
}

/// Every form of a request that the gateway knows.
fn http1(address: SocketAddr, head: &str, cookie: &str) -> Vec<String> {
    let json = "content-type: application/json\r\n";
    let [first, second] = CHAT;
    let chat = CHAT.concat();
    let token = cookie.split_once('=').unwrap().1;
    let cut = cookies::chunks(COOKIE, token, 200).join("; ");
    vec![
        format!("GET /v1/models HTTP/1.1\r\n{head}user-agent: m\r\nx-stainless-lang: js\r\n\r\n"),
        format!("GET /v1/threads/t1/messages?limit=2 HTTP/1.1\r\n{head}accept: */*\r\n\r\n"),
        format!("HEAD /v1/models/m1 HTTP/1.1\r\n{head}\r\n"),
        format!("DELETE /v1/threads/t1 HTTP/1.1\r\n{head}\r\n"),
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\n{head}{json}content-length: {}\r\n\r\n{chat}",
            chat.len()
        ),
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\n{head}{json}transfer-encoding: chunked\r\n\r\n\
             {:x}\r\n{first}\r\n{:x};a=b\r\n{second}\r\n0\r\n\r\n",
            first.len(),
            second.len()
        ),
        format!(
            "POST /v1/embeddings HTTP/1.1\r\n{head}{json}expect: 100-continue\r\n\
             content-length: 13\r\n\r\n{{\"input\":\"a\"}}"
        ),
        format!("GET /v1/models HTTP/1.1\r\nhost: {address}\r\ncookie: theme=dark; {cut}\r\n\r\n"),
        format!(
            "OPTIONS /v1/models HTTP/1.1\r\n{head}origin: https://chat.example\r\n\
             access-control-request-method: GET\r\n\r\n"
        ),
    ]
}

#[tokio::test]
async fn mutated_http1_requests_do_no_harm() {
    let write = |bases: &Bases, random: &mut Random| {
        let requests = 1 + random.below(3);
        let mut bytes = Vec::new();
        for _ in 0..requests {
            let base = &bases.http1[random.below(bases.http1.len())];
            let mut request = base.clone().into_bytes();
            mutate(&mut request, LINES, random);
            bytes.extend_from_slice(&request);
        }
        // It ends the connection, where the gateway and this test still agree on what is said.
        bytes.extend_from_slice(bases.last_http1.as_bytes());
        (bytes, requests)
    };
    run(Protocol::Http1, write, |said, _| (is_http1(said), true)).await;
}

#[tokio::test]
async fn mutated_http2_requests_do_no_harm() {
    let write = |bases: &Bases, random: &mut Random| {
        let mut frames = bases.http2[random.below(bases.http2.len())].clone();
        let in_frame = random.below(2) == 0;
        if in_frame {
            // Every length stays right.
            let chosen = random.below(frames.len());
            mutate(&mut frames[chosen].3, FRAMES, random);
        }
        let mut bytes = frame(SETTINGS, 0, 0, &[]);
        for (kind, flags, stream, payload) in &frames {
            bytes.extend(frame(*kind, *flags, *stream, payload));
        }
        if !in_frame {
            mutate(&mut bytes, FRAMES, random);
        }
        bytes.extend_from_slice(&bases.last_http2);
        ([PREFACE, &bytes].concat(), 1)
    };
    run(Protocol::Http2, write, |said, requests| {
        let (is_whole, ended) = read_http2(said);
        // The mutated one, and the last.
        (is_whole, ended < requests + 1)
    })
    .await;
}
