//! Floods over HTTP/1.1: heads that never end, connections without requests, pipelines, readers that
//! do not read.
//!
//! `FLOODS=10` makes every flood ten times as long.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use behest_gateway::emulator::{Action, Emulator, EmulatorConfig, Fault, On};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::caller::{Caller, Protocol, ask, chat, get};
use crate::support::frames::{Frames, HEADERS, frame};
use crate::support::honest::{bounded, served_during};
use crate::support::program::{Program, environment};
use crate::support::waiting::{after, is_past, until};
use crate::support::wire::Wire;
use crate::support::{PATIENCE, Stage, cookie};

/// The gateway's connections in these tests.
const LIMIT: u16 = 300;

/// More memory than this, in MiB, is not bounded.
const MEMORY: u64 = 150;

const SHED: &str = "behest_gateway_connections_shed_total";
const OPEN: &str = "behest_gateway_connections";

fn scale() -> usize {
    std::env::var("FLOODS").map_or(1, |text| text.parse().unwrap())
}

async fn stage(env: &[(&str, &str)]) -> (Emulator, Program) {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let limit = LIMIT.to_string();
    let mut all = vec![("GATEWAY_SERVER__MAX_CONNECTIONS", limit.as_str())];
    all.extend_from_slice(env);
    let program = Program::serve(&environment(&emulator.base_url(), &all)).await;
    (emulator, program)
}

/// Opens `count` connections that each say `start`, and a byte more whenever all have been through.
async fn half_open(address: SocketAddr, count: usize, start: &[u8]) {
    let mut open: Vec<TcpStream> = Vec::new();
    let mut opened = 0;
    while opened < count {
        for _ in 0..50 {
            let mut socket = TcpStream::connect(address).await.unwrap();
            // It may have been closed at once.
            let _ = socket.write_all(start).await;
            open.push(socket);
            opened += 1;
        }
        for socket in &mut open {
            let _ = socket.try_write(b"y");
        }
        // What the gateway has closed is of no use.
        let is_open = |socket: &TcpStream| {
            let seen = socket.try_read(&mut [0; 64]);
            matches!(seen, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        };
        open.retain(is_open);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A flood of connections over the limit drives out itself: none of these has a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_and_half_open_connections_make_room() {
    let (emulator, program) = stage(&[]).await;
    let address = program.address;
    // A stream that must live through all of it.
    let faults = emulator.faults();
    faults.push(Fault::once(On::Data, Action::StallAfter { frames: 2 }));
    let mut caller = Caller::connect(address, Protocol::Http1).await;
    let request = chat(address, &cookie("ada", "1"), true);
    let mut stream = caller.send(request).await.unwrap().into_body();
    for _ in 0..2 {
        stream.frame().await.unwrap().unwrap();
    }
    let count = usize::from(LIMIT) * 5 * scale();
    for (what, start) in [
        ("silent", ""),
        ("slowloris", "GET /v1/models HTTP/1.1\r\nhost: a\r\nx: "),
        ("slow preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let flood = half_open(address, count, start.as_bytes());
        let ((), waits) = served_during(address, flood).await;
        bounded(&program, what, &waits, MEMORY);
        assert!(program.metric(OPEN).await <= f64::from(LIMIT), "{what}");
    }
    let shed = program.metric(SHED).await;
    assert!(shed >= f64::from(LIMIT), "{shed} were shed");
    let still = tokio::time::timeout(Duration::from_millis(50), stream.frame());
    assert!(still.await.is_err(), "the stream was cut");
    let text = program.text();
    let said = text.matches("see server.max_connections").count();
    assert!((1..=4).contains(&said), "{text}");
}

/// The kept connections of honest callers go after those that have waited longer.
#[tokio::test]
async fn the_connection_that_waits_longest_makes_room_first() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let env = [
            ("GATEWAY_SERVER__MAX_CONNECTIONS", "3"),
            ("GATEWAY_WORKERS", "1"),
        ];
        let stage = Stage::with(&env).await;
        let address = stage.server.address();
        let models = || get(address, "/v1/models", &cookie("ada", "1"));
        let mut callers = Vec::new();
        for _ in 0..3 {
            let mut caller = Caller::connect(address, protocol).await;
            let answer = caller.send(models()).await.unwrap();
            answer.into_body().collect().await.unwrap();
            callers.push(caller);
            // Idleness is measured in milliseconds.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The first is used again, so the second has waited longest.
        let answer = callers[0].send(models()).await.unwrap();
        answer.into_body().collect().await.unwrap();
        assert_eq!(ask(address, protocol, models()).await.status, 200);
        assert_eq!(stage.metric(SHED), 1.0);
        let second = callers[1].send(models()).await;
        assert!(second.is_err(), "{protocol:?}: the second still lives");
        for at in [0, 2] {
            let answer = callers[at].send(models()).await;
            assert_eq!(answer.unwrap().status(), 200, "{protocol:?} {at}");
        }
    }
}

/// Without descriptors nothing can be accepted; the gateway leaves itself enough for its requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_low_limit_of_open_files_is_kept_away_from() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 228; exec \"$0\""]);
    command.arg(env!("CARGO_BIN_EXE_behest-gateway"));
    let env = environment(&emulator.base_url(), &[]);
    let program = Program::serve_by(command, &env).await;
    let text = program.text();
    assert!(text.contains("ulimit -n"), "{text}");
    assert!(text.contains("\"connections\":50"), "{text}");
    let flood = half_open(program.address, 1000 * scale(), b"GET /");
    let ((), waits) = served_during(program.address, flood).await;
    bounded(&program, "few files", &waits, MEMORY);
    assert!(program.metric(OPEN).await <= 50.0);
    let text = program.text();
    assert!(!text.contains("could not be accepted"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_on_one_connection_are_all_answered() {
    let (_emulator, program) = stage(&[]).await;
    let address = program.address;
    let session = cookie("ada", "1");
    let piece = format!("GET /nowhere HTTP/1.1\r\nhost: a\r\ncookie: {session}\r\n\r\n");
    let pipeline = async {
        let socket = TcpStream::connect(address).await.unwrap();
        let (mut from, mut to) = socket.into_split();
        let count = 10_000;
        let writing = async {
            for _ in 0..count / 100 {
                to.write_all(piece.repeat(100).as_bytes()).await.unwrap();
            }
        };
        let reading = async {
            let mut answers = 0;
            let mut kept = Vec::new();
            let mut piece = vec![0; 64 * 1024];
            while answers < count {
                let read = from.read(&mut piece).await.unwrap();
                assert_ne!(read, 0, "{answers}");
                kept.extend(&piece[..read]);
                let text = String::from_utf8_lossy(&kept);
                answers += text.matches("HTTP/1.1 404 ").count();
                // The start of an answer may come in two pieces.
                let tail = kept.len().min(12);
                kept = kept.split_off(kept.len() - tail);
            }
        };
        let both = async { tokio::join!(writing, reading) };
        tokio::time::timeout(PATIENCE * 3, both).await.unwrap();
    };
    let ((), waits) = served_during(address, pipeline).await;
    bounded(&program, "pipeline", &waits, MEMORY);
}

/// Large answers, and nobody who takes them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_do_not_read_are_cut() {
    let env = [("GATEWAY_SERVER__WRITE_STALL_TIMEOUT", "1s")];
    let (emulator, program) = stage(&env).await;
    let address = program.address;
    let readers = 4;
    let faults = emulator.faults();
    let huge = Action::HugeAnswer { bytes: 8_000_000 };
    let on = On::Path("/v1/billing/usage".to_owned());
    faults.push(Fault::times(readers * 2, on, huge));
    let session = cookie("ada", "1");
    let mut wires = Vec::new();
    let mut frames = Vec::new();
    for _ in 0..readers {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let mut wire = socket.connect(address).await.unwrap();
        let head =
            format!("GET /v1/billing/usage HTTP/1.1\r\nhost: a\r\ncookie: {session}\r\n\r\n");
        wire.write_all(head.as_bytes()).await.unwrap();
        wires.push(wire);
        let mut h2 = Frames::connect(address).await;
        let block =
            crate::support::frames::request("GET", "/v1/billing/usage", &[("cookie", &session)]);
        h2.write(frame(HEADERS, 5, 1, &block)).await;
        frames.push(h2);
    }
    // Behest may have got rid of all of it: the sockets' buffers are large.
    let left = "behest_gateway_requests_total{code=\"client_gone\",route=\"/v1/billing/usage\"}";
    let cut = until("all of them are cut", async || {
        program.metric(left).await == f64::from(readers) * 2.0
    });
    let ((), waits) = served_during(address, cut).await;
    bounded(&program, "slow readers", &waits, MEMORY);
    drop((wires, frames));
}

/// A body that is not wanted is no request, whatever it looks like.
#[tokio::test]
async fn a_refused_body_is_never_a_request() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    let session = cookie("ada", "1");
    let inner = format!("GET /v1/models HTTP/1.1\r\nhost: a\r\ncookie: {session}\r\n\r\n");
    let (length, hex) = (inner.len(), format!("{:x}", inner.len()));
    let declared = format!("content-length: {length}\r\n\r\n{inner}");
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{hex}\r\n{inner}\r\n0\r\n\r\n");
    let expected = format!("expect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
    let own = format!("cookie: {session}\r\n");
    let foreign = format!("{own}origin: https://evil.example\r\n");
    for (line, headers, status) in [
        ("POST /nowhere", own.as_str(), "404"),
        ("HEAD /nowhere", own.as_str(), "404"),
        ("PUT /v1/models", own.as_str(), "405"),
        ("POST /v1/chat/completions", foreign.as_str(), "403"),
        (
            "POST /v1/chat/completions",
            "content-type: application/json\r\n",
            "401",
        ),
        ("GET /v1/models", "cookie: x=y\r\n", "401"),
        ("HEAD /v1/models", "cookie: x=y\r\n", "401"),
    ] {
        // After a body that was read to its end the next request is a request.
        for (body, most) in [(&declared, 1), (&chunked, 1), (&expected, 0)] {
            let mut wire = Wire::connect(address).await;
            wire.write(format!("{line} HTTP/1.1\r\nhost: a\r\n{headers}{body}"))
                .await
                .unwrap();
            let head = wire.read_head().await;
            let start = format!("HTTP/1.1 {status} ");
            assert!(head.starts_with(&start), "{line} {headers:?}: {head}");
            // A caller that was told to wait for 100 sends its body all the same, or another request.
            let _ = wire.write(&inner).await;
            wire.finish().await;
            let (rest, _) = wire.read_to_end().await;
            let answers = rest.matches("HTTP/1.1 200 ").count();
            assert!(answers <= most, "{line} {headers:?}: {rest}");
        }
    }
    let honest = get(address, "/v1/models", &session);
    assert_eq!(ask(address, Protocol::Http1, honest).await.status, 200);
}

/// Over the time for idle connections nothing is left of them.
#[tokio::test]
async fn what_never_speaks_http_is_closed_in_its_time() {
    let env = [
        ("GATEWAY_SERVER__HEAD_TIMEOUT", "300ms"),
        ("GATEWAY_SERVER__IDLE_TIMEOUT", "600ms"),
    ];
    let stage = Stage::with(&env).await;
    let session = cookie("ada", "1");
    let head = |stream| {
        let block = crate::support::frames::request("GET", "/v1/models", &[("cookie", &session)]);
        frame(HEADERS, 1, stream, &block)
    };
    let settings = frame(crate::support::frames::SETTINGS, 0, 0, &[]);
    let preface = crate::support::frames::PREFACE;
    let starts: [(&str, Vec<u8>); 5] = [
        ("nothing", Vec::new()),
        ("half a preface", b"PRI * HTTP/2".to_vec()),
        ("a preface alone", preface.to_vec()),
        (
            "half a frame",
            [preface, &settings, &settings[..5]].concat(),
        ),
        ("half a head", [preface, &settings, &head(1)].concat()),
    ];
    let mut open = Vec::new();
    for (_, start) in &starts {
        let mut frames = Frames::silent(stage.server.address()).await;
        frames.write(start).await;
        open.push(frames);
    }
    let give_up = after(Duration::from_secs(8));
    for ((what, _), frames) in starts.iter().zip(open) {
        frames.ended().await;
        assert!(!is_past(give_up), "{what} stays open");
    }
}
