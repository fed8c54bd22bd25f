//! Requests that no HTTP library would send: refused by the gateway or by hyper, each counted and
//! logged, none passed on, and the next honest one served.

use behest_gateway::emulator::{Emulator, EmulatorConfig, Seen};

use crate::support::caller::{Protocol, ask, get};
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, PREFACE, SETTINGS,
    WINDOW_UPDATE, frame, request as h2_request,
};
use crate::support::program::{Program, environment};
use crate::support::waiting::until;
use crate::support::wire::Wire;
use crate::support::{PATIENCE, Stage, cookie};

const UPLOAD: &str = "/v1/audio/transcriptions";

/// Sends `bytes` as they stand, ends the sending half, and reads to the end.
async fn raw(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut wire = Wire::connect(address).await;
    wire.write(bytes).await.unwrap();
    wire.finish().await;
    wire.read_to_end().await.0
}

/// What hyper refuses itself, by the status that it answers and the code that it is counted under.
fn heads() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let get = |rest: &str| format!("GET /v1/models HTTP/1.1\r\nhost: a\r\n{rest}\r\n").into_bytes();
    let bad = |bytes: Vec<u8>| (bytes, "400", "request_invalid");
    let large = |bytes: Vec<u8>| (bytes, "431", "headers_too_large");
    vec![
        bad(
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello to a plain port\r\n\r\n"
                .to_vec(),
        ),
        bad(b"GET /v1/models\r\n\r\n".to_vec()),
        bad(b"GET  /v1/models HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        bad(b"GET /v1/models HTTP/9.9\r\nhost: a\r\n\r\n".to_vec()),
        bad(b"GET /v1/models HTTP/1.1 \r\nhost: a\r\n\r\n".to_vec()),
        bad(b"G\x00T /v1/models HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        bad(b"GET /v1/mod\x00els HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        bad(b"GET /v1/models\x7f HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        bad(get("x-folded: one\r\n two\r\n")),
        bad(get("x-folded: one\r\n\ttwo\r\n")),
        bad(get(" x-first-space: y\r\n")),
        bad(get("x-space : y\r\n")),
        bad(get("x-tab\t: y\r\n")),
        bad(get(": no name\r\n")),
        bad(get("no colon\r\n")),
        bad(get("x-\x00: y\r\n")),
        bad(get("x-nul: a\x00b\r\n")),
        bad(get("x-cr: a\rb\r\n")),
        bad(get("x-escape: a\x1bb\r\n")),
        bad(get("x-name(comment): y\r\n")),
        bad(get("x-n\u{e4}me: y\r\n")),
        bad(get("content-length: 1 2\r\n")),
        bad(get("content-length: 99999999999999999999999\r\n")),
        bad(get("content-length: 1\r\ncontent-length: 2\r\n")),
        bad(get("transfer-encoding: gzip\r\n")),
        large(get(&format!("x-large: {}\r\n", "y".repeat(70_000)))),
        large(get(&"x-many: y\r\n".repeat(250))),
        (
            format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "p".repeat(65_535)).into_bytes(),
            "4",
            "",
        ),
    ]
}

#[tokio::test]
async fn a_head_that_hyper_refuses_is_counted_and_logged_and_the_next_one_is_served() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let program = Program::serve(&environment(&emulator.base_url(), &[])).await;
    let address = program.address;
    let heads = heads();
    for (bytes, status, code) in &heads {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let series =
            format!("behest_gateway_requests_total{{code=\"{code}\",route=\"unmatched\"}}");
        let before = program.metric(&series).await;
        let answer = raw(address, bytes).await;
        let start = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&start), "{text:?}: {answer:?}");
        let answers = answer.matches("HTTP/1.1 ").count();
        assert_eq!(answers, 1, "{text:?}: {answer:?}");
        if !code.is_empty() {
            until(&format!("{text:?} is counted"), async || {
                program.metric(&series).await == before + 1.0
            })
            .await;
        }
    }
    let request = get(address, "/v1/models", &cookie("ada", "1"));
    assert_eq!(ask(address, Protocol::Http1, request).await.status, 200);
    let refused = |line: &serde_json::Value| {
        line["route"] == "unmatched" && line["reason"].is_string() && line["status"].is_u64()
    };
    until("all are logged", async || {
        program.accesses().into_iter().filter(refused).count() == heads.len()
    })
    .await;
    emulator
        .log()
        .read(|seen| assert_eq!(seen.to_path("/v1/models").count(), 1));
    assert!(
        !program.text().contains("a TLS hello"),
        "{}",
        program.text()
    );
}

/// A connection that ends without having asked anything is no request.
#[tokio::test]
async fn a_connection_that_ends_is_no_refused_request() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    for start in ["", "\r\n", "GET /v1/mod", "PRI "] {
        let answer = raw(address, start.as_bytes()).await;
        assert!(!answer.contains("HTTP/1.1"), "{start:?}: {answer:?}");
    }
    let honest = get(address, "/v1/models", &cookie("ada", "1"));
    for protocol in [Protocol::Http1, Protocol::Http2] {
        assert_eq!(ask(address, protocol, honest.clone()).await.status, 200);
    }
    until("all are closed", async || {
        stage.metric("behest_gateway_connections") == 0.0
    })
    .await;
    let page = stage.metrics();
    assert!(!page.contains("route=\"unmatched\""), "{page}");
}

/// Line ends of one character are line ends (RFC 9112 section 2.2): one request, read in one way.
#[tokio::test]
async fn lines_that_end_at_a_bare_lf_are_one_request_at_most() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    let session = cookie("ada", "1");
    for text in [
        format!("GET /v1/models HTTP/1.1\nhost: a\ncookie: {session}\n\n"),
        format!("GET /v1/models HTTP/1.1\r\nhost: a\ncookie: {session}\r\n\n"),
        format!("\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: a\r\ncookie: {session}\r\n\r\n"),
    ] {
        let mut wire = Wire::connect(address).await;
        wire.write(text.replace("\nhost", "\nconnection: close\nhost"))
            .await
            .unwrap();
        let (answer, _) = wire.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{text:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1);
    }
}

/// Expectations other than 100-continue are not known here (RFC 9110 section 10.1.1 allows either):
/// the request is served as if there were none, and they go no further.
#[tokio::test]
async fn an_expectation_that_nobody_knows_changes_nothing() {
    let stage = Stage::new().await;
    let session = cookie("ada", "1");
    for expectation in ["100-continue, more", "200-ok", "", "chips"] {
        let head = format!(
            "POST {UPLOAD} HTTP/1.1\r\nhost: a\r\nsec-fetch-site: same-origin\r\n\
             content-type: multipart/form-data; boundary=x\r\ncookie: {session}\r\n\
             expect: {expectation}\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"
        );
        let mut wire = Wire::connect(stage.server.address()).await;
        wire.write(head).await.unwrap();
        let (answer, _) = wire.read_to_end().await;
        assert!(
            answer.starts_with("HTTP/1.1 200 "),
            "{expectation}: {answer}"
        );
    }
    stage.emulator.log().read(|seen| {
        assert!(
            seen.to_path(UPLOAD)
                .all(|got| got.header("expect").is_none())
        );
    });
}

/// The rest of a chunked body after `5\r\nhello\r\n`, and whether the whole is well framed.
fn chunkings() -> Vec<(String, bool)> {
    let large = "e".repeat(17_000);
    let bad = [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhellohello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5;ext\nension\r\nhello\r\n0\r\n\r\n",
        "5;\r\x00\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0\r\n",
        "0\r\nx-trailer: half",
        "0\r\nbad trailer\r\n\r\n",
    ];
    let mut all: Vec<_> = bad
        .into_iter()
        .map(|text| (text.to_owned(), false))
        .collect();
    all.push((format!("5;{large}\r\nhello\r\n0\r\n\r\n"), false));
    all.push((
        format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(8000)).repeat(1),
        true,
    ));
    all.push((
        format!("1;{}\r\nx\r\n", "e".repeat(6000)).repeat(4) + "0\r\n\r\n",
        false,
    ));
    all.push((
        "5\r\nhello\r\n0\r\nx-trailer: dropped\r\ncookie: x=y\r\n\r\n".to_owned(),
        true,
    ));
    all.push((format!("0\r\n{}\r\n", "x-t: y\r\n".repeat(2000)), false));
    all
}

#[tokio::test]
async fn only_well_framed_chunks_reach_behest() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    let session = cookie("ada", "1");
    for (rest, is_whole) in chunkings() {
        stage.emulator.reset();
        let head = format!(
            "POST {UPLOAD} HTTP/1.1\r\nhost: a\r\nsec-fetch-site: same-origin\r\n\
             content-type: multipart/form-data; boundary=x\r\ncookie: {session}\r\n\
             transfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n{rest}"
        );
        let shown: String = rest.chars().take(60).collect();
        let mut wire = Wire::connect(address).await;
        wire.write(head).await.unwrap();
        if !is_whole {
            wire.finish().await;
        }
        let (answer, _) = wire.read_to_end().await;
        let status = if is_whole { "200" } else { "400" };
        let expected = answer.starts_with(&format!("HTTP/1.1 {status} "));
        assert!(
            expected || (answer.is_empty() && !is_whole),
            "{shown:?}: {answer:?}"
        );
        let done = |seen: &Seen| (seen.in_flight == 0).then_some(());
        stage.emulator.log().wait_for(PATIENCE, done).await.unwrap();
        stage.emulator.log().read(|seen| {
            assert_eq!(
                seen.to_path(UPLOAD).count(),
                usize::from(is_whole),
                "{shown:?}"
            );
            assert!(
                seen.to_path(UPLOAD)
                    .all(|got| got.header("x-trailer").is_none())
            );
        });
    }
    let request = get(address, "/v1/models", &session);
    assert_eq!(ask(address, Protocol::Http1, request).await.status, 200);
}

/// Each ends its connection, with GOAWAY, and is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http2_ends_the_connection_and_is_counted() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let program = Program::serve(&environment(&emulator.base_url(), &[])).await;
    let block = h2_request("GET", "/v1/models", &[]);
    let open = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
    let settings = frame(SETTINGS, 0, 0, &[]);
    let with_preface = |rest: Vec<u8>| [PREFACE, &settings, &rest].concat();
    let last = 0x7fff_ffff;
    let broken = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame at all".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
        with_preface(frame(DATA, 0, 1, b"data of a stream that is idle")),
        with_preface([open(last), open(1)].concat()),
        with_preface([open(5), open(3)].concat()),
        with_preface(open(2)),
        with_preface(frame(CONTINUATION, END_HEADERS, 1, &block)),
        with_preface(frame(PING, 0, 0, b"short")),
        with_preface(frame(PING, 0, 1, &[0; 8])),
        with_preface(frame(SETTINGS, 0, 0, &[0; 5])),
        with_preface(frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        with_preface(frame(DATA, 0, 0, b"on no stream")),
        with_preface(vec![0xff; 64]),
    ];
    let count = broken.len();
    for bytes in broken {
        let mut frames = Frames::silent(program.address).await;
        frames.write(&bytes).await;
        let ending = frames.ended().await;
        // Where the preface itself is wrong there is nobody to tell (RFC 9113 section 3.4).
        let is_told = !ending.goaways.is_empty() || !bytes.starts_with(PREFACE);
        assert!(is_told, "{bytes:?}: {ending:?}");
    }
    let series = "behest_gateway_requests_total{code=\"request_invalid\",route=\"unmatched\"}";
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    until("each is counted", async || {
        program.metric(series).await == count as f64
    })
    .await;
    let refused = |line: &serde_json::Value| {
        line["route"] == "unmatched" && line["method"] == "-" && line["reason"].is_string()
    };
    until("each is logged", async || {
        program.accesses().into_iter().filter(refused).count() == count
    })
    .await;
}
