//! Floods over HTTP/2: the connection is ended or the flood is swallowed, memory stays bounded, and
//! honest callers are served meanwhile.
//!
//! `FLOODS=10` makes every flood ten times as long.

use std::net::SocketAddr;
use std::time::Duration;

use behest_gateway::emulator::{Action, Emulator, EmulatorConfig, Fault, On, Seen};

use crate::support::cookie;
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Ending, Frames, HEADERS, PING,
    PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, header, request,
};
use crate::support::honest::{bounded, served_during};
use crate::support::program::{Program, environment};
use crate::support::waiting::{after, is_past, until};

/// Connections that flood at once.
const CONNECTIONS: usize = 8;

/// More memory than this, in MiB, is not bounded: the program alone has about 20.
const MEMORY: u64 = 150;

/// Resets of a connection that resets one stream after the other.
const RESETS: usize = 3_000;

fn scale() -> u32 {
    std::env::var("FLOODS").map_or(1, |text| text.parse().unwrap())
}

/// How many frames each connection sends.
fn many() -> usize {
    20_000 * usize::try_from(scale()).unwrap()
}

async fn stage() -> (Emulator, Program) {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let program = Program::serve(&environment(&emulator.base_url(), &[])).await;
    (emulator, program)
}

/// Runs `flood` on several connections at once while honest callers ask, and returns how they ended.
async fn flood<F: Future<Output = Option<Ending>> + Send + 'static>(
    what: &str,
    program: &Program,
    flood: impl Fn(SocketAddr) -> F,
) -> Vec<Option<Ending>> {
    let floods: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(flood(program.address)))
        .collect();
    let all = async {
        let mut endings = Vec::new();
        for flood in floods {
            endings.push(flood.await.unwrap());
        }
        endings
    };
    let (endings, waits) = served_during(program.address, all).await;
    bounded(program, what, &waits, MEMORY);
    until("the flood's connections are closed", async || {
        program.metric("behest_gateway_requests_in_flight").await == 0.0
    })
    .await;
    assert_eq!(program.metric("behest_gateway_panics_total").await, 0.0);
    endings
}

fn id(turn: usize) -> u32 {
    u32::try_from(turn).unwrap() * 2 + 1
}

fn get(headers: &[(&str, &str)]) -> Vec<u8> {
    request("GET", "/v1/models", headers)
}

/// Repeats `piece` until the gateway has had enough: it must say so.
async fn told_to_calm_down(address: SocketAddr, first: Vec<u8>, piece: Vec<u8>) -> Option<Ending> {
    let mut frames = Frames::connect(address).await;
    frames.write(first).await;
    frames.repeat(&piece, many()).await;
    Some(frames.ended().await)
}

fn assert_calmed(endings: &[Option<Ending>]) {
    for ending in endings {
        let goaways = &ending.as_ref().unwrap().goaways;
        assert_eq!(goaways.last(), Some(&ENHANCE_YOUR_CALM), "{endings:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_in_one_go_end_in_goaway_and_reach_nobody() {
    let (emulator, program) = stage().await;
    let session = cookie("ada", "1");
    let endings = flood("rapid reset", &program, move |address| {
        let session = session.clone();
        async move {
            let mut frames = Frames::connect(address).await;
            let block = get(&[("cookie", &session)]);
            for burst in 0..many() / 500 {
                let mut bytes = Vec::new();
                for turn in burst * 500..(burst + 1) * 500 {
                    bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, id(turn), &block));
                    bytes.extend(frame(RST_STREAM, 0, id(turn), &8_u32.to_be_bytes()));
                }
                if !frames.write(bytes).await {
                    break;
                }
            }
            Some(frames.ended().await)
        }
    });
    assert_calmed(&endings.await);
    let sent = emulator.log().read(|seen| {
        let of_ada = seen.to_path("/v1/models");
        of_ada.filter(|got| got.status != Some(200)).count()
    });
    assert!(sent <= CONNECTIONS * 200, "{sent} requests went up");
}

/// One stream at a time, each upstream before it is reset: no limit of streams at once sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_one_after_the_other_end_in_goaway_too() {
    let (emulator, program) = stage().await;
    let path = "/v1/billing/usage";
    let on = On::Path(path.to_owned());
    emulator
        .faults()
        .push(Fault::forever(on, Action::StallBeforeHead));
    let block = request("GET", path, &[("cookie", &cookie("ada", "1"))]);
    let flood = async {
        let mut frames = Frames::connect(program.address).await;
        for turn in 0..RESETS {
            let open = frame(HEADERS, END_HEADERS | END_STREAM, id(turn), &block);
            if frames.is_ended() || !frames.write(open).await {
                break;
            }
            let is_there = |seen: &Seen| (seen.to_path(path).count() > turn).then_some(());
            let soon = Duration::from_secs(1);
            if emulator.log().wait_for(soon, is_there).await.is_none() {
                break;
            }
            let reset = frame(RST_STREAM, 0, id(turn), &8_u32.to_be_bytes());
            frames.write(reset).await;
        }
        frames.ended().await
    };
    let (ending, waits) = served_during(program.address, flood).await;
    bounded(&program, "resets one after the other", &waits, MEMORY);
    assert!(!ending.goaways.is_empty(), "{ending:?}");
}

/// A stream that was reset takes no place upstream any more: opening and resetting does not multiply.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_streams_leave_nothing_behind_upstream() {
    let (emulator, program) = stage().await;
    let on = On::Path("/v1/models".to_owned());
    emulator
        .faults()
        .push(Fault::forever(on, Action::StallBeforeHead));
    let session = cookie("ada", "1");
    let block = get(&[("cookie", &session)]);
    let mut frames = Frames::connect(program.address).await;
    for round in 0..3 {
        let turns = round * 50..(round + 1) * 50;
        for turn in turns.clone() {
            let open = frame(HEADERS, END_HEADERS | END_STREAM, id(turn), &block);
            assert!(frames.write(open).await, "round {round}");
        }
        until("all of them are upstream, and no others", async || {
            let seen = |seen: &Seen| (seen.in_flight, seen.to_path("/v1/models").count());
            emulator.log().read(seen) == (50, (round + 1) * 50)
        })
        .await;
        for turn in turns {
            let reset = frame(RST_STREAM, 0, id(turn), &8_u32.to_be_bytes());
            assert!(frames.write(reset).await, "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_that_the_gateway_is_made_to_send_end_in_goaway() {
    let (_emulator, program) = stage().await;
    let session = cookie("ada", "1");
    let endings = flood("made-you-reset", &program, move |address| {
        let session = session.clone();
        async move {
            let mut frames = Frames::connect(address).await;
            let block = get(&[("cookie", &session)]);
            for turn in 0..many() / 10 {
                let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, id(turn), &block);
                // An increment of zero is the stream's error.
                bytes.extend(frame(WINDOW_UPDATE, 0, id(turn), &[0; 4]));
                if !frames.write(bytes).await {
                    break;
                }
            }
            Some(frames.ended().await)
        }
    });
    for ending in endings.await {
        assert!(!ending.as_ref().unwrap().goaways.is_empty(), "{ending:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_without_end_ends_in_goaway() {
    let (_emulator, program) = stage().await;
    for piece in [Vec::new(), header("x-more", "y".repeat(1000))] {
        let piece = frame(CONTINUATION, 0, 1, &piece);
        let endings = flood("continuation", &program, move |address| {
            let first = frame(HEADERS, END_STREAM, 1, &get(&[]));
            told_to_calm_down(address, first, piece.clone())
        });
        for ending in endings.await {
            assert!(!ending.as_ref().unwrap().goaways.is_empty(), "{ending:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_data_ends_in_goaway() {
    let (_emulator, program) = stage().await;
    let session = cookie("ada", "1");
    let endings = flood("empty data", &program, move |address| {
        let block = request(
            "POST",
            "/v1/chat/completions",
            &[("cookie", &session), ("content-type", "application/json")],
        );
        let first = frame(HEADERS, END_HEADERS, 1, &block);
        told_to_calm_down(address, first, frame(DATA, 0, 1, &[]))
    });
    assert_calmed(&endings.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_cost_nothing_to_send_hold_nobody_up() {
    let (_emulator, program) = stage().await;
    let priority = [0, 0, 0, 0, 16];
    let floods = [
        ("ping", frame(PING, 0, 0, &[7; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        (
            "settings of windows",
            [
                frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]),
                frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]),
            ]
            .concat(),
        ),
        ("priority", frame(PRIORITY, 0, 1, &priority)),
        ("unknown frames", frame(0xbe, 0xff, 0, &[1; 3])),
        ("resets of nothing", frame(RST_STREAM, 0, 1, &[0; 4])),
        ("data of nothing", frame(DATA, 0, 1, &[0; 3])),
    ];
    for (what, piece) in floods {
        flood(what, &program, move |address| {
            let piece = piece.clone();
            async move {
                let mut frames = Frames::connect(address).await;
                let give_up = after(Duration::from_secs(1) * scale());
                while !is_past(give_up) && frames.repeat(&piece, 1000).await {}
                None
            }
        })
        .await;
    }
}

/// The answers to a flood are a flood: who does not read them is not sent more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_pile_up_nowhere() {
    let (_emulator, program) = stage().await;
    for (what, piece) in [
        ("unread pings", frame(PING, 0, 0, &[7; 8])),
        ("unread settings", frame(SETTINGS, 0, 0, &[])),
    ] {
        flood(what, &program, move |address| {
            let piece = piece.clone();
            async move {
                let mut frames = Frames::connect(address).await;
                frames.stop_reading();
                // It gets stuck in the middle, and is cut after the stall timeout at the latest.
                let flooding = frames.repeat(&piece, many() * 10);
                let _ = tokio::time::timeout(Duration::from_secs(2), flooding).await;
                None
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_that_grow_beyond_all_bounds_end_the_connection() {
    let (_emulator, program) = stage().await;
    let update = frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    let endings = flood("window updates", &program, move |address| {
        told_to_calm_down(address, Vec::new(), update.clone())
    });
    for ending in endings.await {
        let flow_control = 3;
        assert_eq!(ending.unwrap().goaways.last(), Some(&flow_control));
    }
    let update = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    flood("small window updates", &program, move |address| {
        let update = update.clone();
        async move {
            let mut frames = Frames::connect(address).await;
            frames.repeat(&update, many()).await;
            None
        }
    })
    .await;
}

/// A few bytes that stand for many: a table's entry, named again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_unpacks_to_megabytes_is_refused() {
    let (emulator, program) = stage().await;
    let session = cookie("ada", "1");
    let endings = flood("hpack bomb", &program, move |address| {
        let session = session.clone();
        async move {
            let mut frames = Frames::connect(address).await;
            for turn in 0..50 {
                let mut block = get(&[("cookie", &session)]);
                let large = header("x-large", "z".repeat(3900));
                // With index: the first bits say so.
                block.push(0x40);
                block.extend(&large[1..]);
                // The newest entry of the table.
                block.extend(vec![0xbe; 12_000]);
                let head = frame(HEADERS, END_HEADERS | END_STREAM, id(turn), &block);
                if !frames.write(head).await {
                    break;
                }
            }
            frames.write(frame(PING, 0, 0, &[0; 8])).await;
            // 50 heads were answered, or the connection was ended.
            tokio::time::sleep(Duration::from_millis(500)).await;
            None
        }
    });
    endings.await;
    let asked = emulator.log().read(|seen| {
        let mut got = seen.to_path("/v1/models");
        got.any(|got| got.header("x-large").is_some())
    });
    assert!(!asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_without_names_are_refused() {
    let (_emulator, program) = stage().await;
    for nameless in [header("", ""), header("", "value"), header("X-Upper", "v")] {
        let endings = flood("nameless headers", &program, move |address| {
            let mut block = get(&[]);
            block.extend(nameless.repeat(100));
            let mut pieces = Vec::new();
            for turn in 0..1000 {
                pieces.extend(frame(HEADERS, END_HEADERS | END_STREAM, id(turn), &block));
            }
            async move {
                let mut frames = Frames::connect(address).await;
                frames.write(pieces).await;
                Some(frames.ended().await)
            }
        });
        for ending in endings.await {
            assert!(!ending.unwrap().goaways.is_empty());
        }
    }
}
