//! On HTTP/2: how long a caller may take for what must be whole before anything is asked.

use std::time::Duration;

use crate::support::frames::{
    END_HEADERS, END_STREAM, Frames, HEADERS, PREFACE, SETTINGS, frame, request,
};
use crate::support::waiting::{after, is_past};
use crate::support::{Stage, cookie};

#[tokio::test]
async fn on_http2_preface_frames_and_header_blocks_must_come_in_their_time() {
    let env = [("GATEWAY_SERVER__HEAD_TIMEOUT", "300ms")];
    let stage = Stage::with(&env).await;
    let address = stage.server.address();
    let session = cookie("ada", "1");
    let block = request("GET", "/v1/billing/usage", &[("cookie", &session)]);
    let open = frame(HEADERS, END_STREAM, 1, &block);
    let whole = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
    let settings = frame(SETTINGS, 0, 0, &[]);
    let begun = [PREFACE, &settings].concat();
    let cases: [(&str, Vec<u8>); 6] = [
        ("half a preface", PREFACE[..10].to_vec()),
        ("most of a preface", PREFACE[..23].to_vec()),
        ("an open block", [&begun[..], &open].concat()),
        (
            "half a frame",
            [&begun[..], &whole[..whole.len() - 5]].concat(),
        ),
        ("half a frame's head", [&begun[..], &whole[..4]].concat()),
        ("half a SETTINGS", [PREFACE, &[0, 0, 6, SETTINGS]].concat()),
    ];
    for (name, bytes) in cases {
        let earliest = after(Duration::from_millis(250));
        let mut frames = Frames::silent(address).await;
        assert!(frames.write(&bytes).await, "{name}");
        let ended = tokio::time::timeout(Duration::from_secs(5), frames.ended()).await;
        assert!(ended.is_ok(), "{name}: it stays open");
        assert!(is_past(earliest), "{name}: closed too early");
    }
    // Dripped, it takes no longer.
    let mut frames = Frames::connect(address).await;
    let give_up = after(Duration::from_secs(5));
    for byte in open.iter().cycle() {
        if !frames.write([*byte]).await || frames.is_ended() {
            break;
        }
        assert!(!is_past(give_up), "it stays open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
