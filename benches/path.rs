//! The whole path against bare forwarding: CPU time for each request, in one interleaved run.
//!
//! Servers with one worker thread each, in front of one upstream that answers 1 KB of JSON at once: a
//! proxy that only forwards, with the gateway's own client; the gateway, without metering, with it (as by
//! default), with all seven limits of a user in memory and with a journal, with its access log; and the
//! gateway with the upstream as its app, for a path outside the API. 32 connections send 400 bytes of
//! JSON with 100 users' Auth.js cookies in turn; tokens are signed locally and cached. What is counted is
//! the CPU time of the worker thread (`/proc/self/task/…/schedstat`), so that the load and the upstream on
//! the same machine do not.
//!
//! Then the same for event streams of 200 chunks; and the latency that a Redis on this machine adds.
//!
//! `cargo bench --features emulator --bench path` prints the medians. `ROUNDS` and `REQUESTS` (per round)
//! can be set.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a bench that cannot go on stops; it reads nothing but its own input"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use behest_gateway::telemetry::logging::LineQueue;
use tokio::runtime::{Builder, Runtime};

#[path = "path/load.rs"]
mod load;
#[path = "path/redis.rs"]
mod redis;
#[expect(dead_code, reason = "shared with the unit tests, which use all of it")]
#[path = "../src/session/sealer.rs"]
mod sealer;
#[path = "path/servers.rs"]
mod servers;
#[path = "path/upstream.rs"]
mod upstream;

use self::load::{cpu_time, drive, load};
use self::servers::{LIMITS, Subject, bare, gateway};
use self::upstream::{EVENTS, upstream};

type Error = Box<dyn std::error::Error + Send + Sync>;

const API: &str = "/v1/chat/completions";
const UNMETERED: (&str, &str) = ("GATEWAY_METERING__ENABLED", "false");
const SWALLOWING: (&str, &str) = ("GATEWAY_METERING__ASK_UPSTREAM", "true");

fn main() -> Result<(), Error> {
    let rounds = setting("ROUNDS", 9)?;
    let requests = setting("REQUESTS", 20_000)?;
    // As in production, log lines are formatted and queued; where they end costs no worker time.
    let (sink, _flush) = LineQueue::start(std::io::sink())?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter("off,access=info")
        .with_writer(sink.clone())
        .init();
    let upstream = upstream()?;
    let folder = tempfile::TempDir::new()?;
    let store = folder.path().to_str().ok_or("no path")?;
    let kept = [&LIMITS[..], &[("GATEWAY_STORE__PATH", store)]].concat();
    let bare = bare(upstream)?;
    let unmetered = gateway(upstream, None, &[UNMETERED], "worker-1")?;
    let metered = gateway(upstream, None, &[], "worker-2")?;
    let limited = gateway(upstream, None, &LIMITS, "worker-3")?;
    let kept = gateway(upstream, None, &kept, "worker-4")?;
    let logged = gateway(upstream, Some(sink.clone()), &[], "worker-5")?;
    let swallowing = gateway(upstream, None, &[SWALLOWING], "worker-6")?;
    let answers = [
        ("bare forwarding", API, bare),
        ("gateway, not metered", API, unmetered),
        ("gateway", API, metered),
        ("gateway, 7 limits", API, limited),
        ("gateway, 7 limits, journal", API, kept),
        ("gateway, access log", API, logged),
        ("gateway, to the app", "/api/chat", metered),
    ];
    let costs = measure(&answers, "", rounds, requests)?;
    let title = format!(
        "CPU time of the one worker thread, medians of {rounds} interleaved rounds of {requests} requests"
    );
    report(&title, "request", &answers.map(|(name, ..)| name), &costs)?;
    let streams = [
        ("bare forwarding", API, bare),
        ("gateway, not metered", API, unmetered),
        ("gateway", API, metered),
        ("gateway, asking for usage", API, swallowing),
    ];
    let requests = (requests / 50).max(32);
    let costs = measure(&streams, "\"stream\":true,", rounds, requests)?;
    let title = format!("The same of {requests} event streams of {EVENTS} chunks");
    report(&title, "stream", &streams.map(|(name, ..)| name), &costs)?;
    print(&redis::latencies(upstream, requests * 10)?)
}

/// The costs of each subject, round by round: µs for each request.
fn measure(
    subjects: &[(&str, &str, Subject)],
    more: &str,
    rounds: u32,
    requests: u32,
) -> Result<Vec<Vec<f64>>, Error> {
    let runtime = runtime()?;
    let loads = subjects.iter().map(|(_, path, _)| load(path, more));
    let loads: Vec<Arc<[Vec<u8>]>> = loads.collect();
    let mut costs = vec![Vec::new(); subjects.len()];
    for round in 0..=rounds {
        for ((subject, load), costs) in subjects.iter().zip(&loads).zip(&mut costs) {
            let (_, _, (address, thread)) = subject;
            let before = cpu_time(thread)?;
            runtime.block_on(drive(*address, load, requests))?;
            let spent = cpu_time(thread)?.saturating_sub(before);
            // The first round warms up: connections, tokens, caches.
            if round > 0 {
                costs.push(spent.as_secs_f64() * 1e6 / f64::from(requests));
            }
        }
    }
    Ok(costs)
}

fn report(title: &str, unit: &str, names: &[&str], costs: &[Vec<f64>]) -> Result<(), Error> {
    let mut out = format!(
        "{title}\n\n| subject | µs/{unit} | over bare, µs | ratio |\n|---|---:|---:|---:|\n"
    );
    let medians: Vec<f64> = costs
        .iter()
        .cloned()
        .map(|mut it| median(&mut it))
        .collect();
    for (name, cost) in names.iter().zip(&medians) {
        let bare = medians.first().copied().unwrap_or_default();
        let (over, ratio) = (cost - bare, cost / bare);
        writeln!(out, "| {name} | {cost:.1} | {over:.1} | {ratio:.2} |")?;
    }
    out.push('\n');
    print(&out)
}

fn print(text: &str) -> Result<(), Error> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn setting(name: &str, default: u32) -> Result<u32, Error> {
    Ok(std::env::var(name).map_or(Ok(default), |text| text.parse())?)
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
