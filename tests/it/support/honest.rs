//! Honest callers, while others are not: how long they wait, and that they are served at all.

use std::net::SocketAddr;
use std::time::Duration;

use super::caller::{Caller, Protocol, get, whole};
use super::program::Program;
use super::waiting::after;
use super::{PATIENCE, cookie};

/// How long honest callers may wait while a flood runs.
pub const SOON: Duration = Duration::from_secs(1);

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// What the callers saw.
#[derive(Debug)]
pub struct Waits {
    pub median: Duration,
    pub longest: Duration,
    pub served: usize,
}

/// Asks on fresh connections of both protocols until `flood` is over, and at least once each; every
/// caller must be served, and half of them within [`SOON`]: a busy machine may be late, a gateway
/// that is held up is late every time.
pub async fn served_during<T>(address: SocketAddr, flood: impl Future<Output = T>) -> (T, Waits) {
    let mut waits = Vec::new();
    let result = {
        let mut asking = std::pin::pin!(ask_for_ever(address, &mut waits));
        let result = tokio::select! {
            result = flood => result,
            () = asking.as_mut() => unreachable!("it asks for ever"),
        };
        result
    };
    // And after the flood, while the gateway may still be at it.
    for protocol in BOTH {
        waits.push(ask_once(address, protocol).await);
    }
    waits.sort();
    let waits = Waits {
        median: waits[waits.len() / 2],
        longest: waits[waits.len() - 1],
        served: waits.len(),
    };
    assert!(waits.median <= SOON, "{waits:?}");
    (result, waits)
}

async fn ask_for_ever(address: SocketAddr, waits: &mut Vec<Duration>) {
    for protocol in BOTH.into_iter().cycle() {
        waits.push(ask_once(address, protocol).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How long it took. As browsers do, the caller asks once more where its connection was closed before
/// it was answered: a busy machine may keep it so long from asking that it is taken for idle.
async fn ask_once(address: SocketAddr, protocol: Protocol) -> Duration {
    let began = after(Duration::ZERO);
    let asking = async {
        for _ in 0..2 {
            let request = get(address, "/v1/models", &cookie("grace", "1"));
            let Some(mut caller) = Caller::try_connect(address, protocol).await else {
                continue;
            };
            if let Ok(answer) = caller.send(request).await {
                return Some(whole(answer).await.unwrap().status);
            }
        }
        None
    };
    let status = tokio::time::timeout(PATIENCE, asking).await;
    assert_eq!(status.expect("an honest caller waits").unwrap(), 200);
    after(Duration::ZERO) - began
}

/// Asserts that `program` never had more than `limit` MiB, and shows what it had.
pub fn bounded(program: &Program, what: &str, waits: &Waits, limit: u64) {
    let (now, most) = program.memory();
    eprintln!(
        "{what}: honest median {:?}, longest {:?} of {}; memory {now} MiB, at most {most} MiB",
        waits.median, waits.longest, waits.served
    );
    assert!(most <= limit, "{what}: {most} MiB");
}
