//! What a shared store adds to a request: sequential requests to a gateway that counts by itself and to
//! one that counts in a Redis on this machine, in turn, and the store's own round trips beside them.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use behest_gateway::clock::monotonic;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::load::{Caller, load};
use crate::servers::{LIMITS, gateway, listener};
use crate::{API, Error, median, runtime};

/// A real Redis; killed when it is dropped.
struct Redis {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Redis {
    /// `None`: it is not installed.
    fn start() -> Result<Option<Self>, Error> {
        let folder = TempDir::new()?;
        let port = listener()?.local_addr()?.port();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string()])
            .arg("--dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let redis = Self {
            child,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            _folder: folder,
        };
        for _ in 0..500 {
            if std::net::TcpStream::connect(redis.address).is_ok() {
                return Ok(Some(redis));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("redis-server does not answer".into())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that asks the store by itself.
struct Asker(TcpStream);

impl Asker {
    async fn ask(&mut self, command: &str) -> Result<String, Error> {
        self.0.write_all(command.as_bytes()).await?;
        let mut answer = [0; 512];
        let read = self.0.read(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
    }
}

/// Medians and 90th percentiles of `requests` sequential requests each, as a table.
pub(crate) fn latencies(upstream: SocketAddr, requests: u32) -> Result<String, Error> {
    let Some(redis) = Redis::start()? else {
        return Ok(
            "SKIPPED: no redis-server here (`make deps` installs it); its latency was not \
                   measured.\n"
                .to_owned(),
        );
    };
    let url = format!("redis://{}", redis.address);
    let shared = [
        ("GATEWAY_STORE__KIND", "redis"),
        ("GATEWAY_STORE__URL", url.as_str()),
    ];
    let (embedded, _) = gateway(upstream, None, &LIMITS, "worker-own")?;
    let more = [&LIMITS[..], &shared].concat();
    let (shared, _) = gateway(upstream, None, &more, "worker-shared")?;
    let took = runtime()?.block_on(measure([embedded, shared], redis.address, requests))?;
    let names = [
        "gateway, 7 limits, embedded",
        "gateway, 7 limits, Redis",
        "PING of that Redis",
        "EVALSHA of an empty script",
    ];
    let mut out = format!(
        "Latency of {requests} sequential requests each, in turn with one another\n\n\
         | subject | p50, µs | p90, µs |\n|---|---:|---:|\n"
    );
    for (name, mut took) in names.iter().zip(took) {
        let middle = median(&mut took);
        let most = took.get(took.len() * 9 / 10).copied().unwrap_or_default();
        let _ = writeln!(out, "| {name} | {middle:.0} | {most:.0} |");
    }
    Ok(out)
}

async fn measure(
    [embedded, shared]: [SocketAddr; 2],
    redis: SocketAddr,
    requests: u32,
) -> Result<[Vec<f64>; 4], Error> {
    let load = load(API, "");
    let mut embedded = Caller::connect(embedded).await?;
    let mut shared = Caller::connect(shared).await?;
    let stream = TcpStream::connect(redis).await?;
    stream.set_nodelay(true)?;
    let mut asker = Asker(stream);
    let loaded = asker.ask("SCRIPT LOAD \"return 1\"\r\n").await?;
    let sha = loaded.lines().nth(1).ok_or("no script")?;
    let evalsha = format!("EVALSHA {sha} 0\r\n");
    let mut took: [Vec<f64>; 4] = Default::default();
    // The first hundred warm up: connections, tokens, scripts.
    for (turn, request) in (0..requests + 100).zip(load.iter().cycle()) {
        let mut since = monotonic();
        let mut lap = |took: &mut Vec<f64>| {
            if turn >= 100 {
                took.push(since.elapsed().as_secs_f64() * 1e6);
            }
            since = monotonic();
        };
        embedded.ask(request).await?;
        lap(&mut took[0]);
        shared.ask(request).await?;
        lap(&mut took[1]);
        asker.ask("PING\r\n").await?;
        lap(&mut took[2]);
        asker.ask(&evalsha).await?;
        lap(&mut took[3]);
    }
    Ok(took)
}
