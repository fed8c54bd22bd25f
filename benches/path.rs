//! The whole path against bare forwarding: CPU time for each request, in one interleaved run.
//!
//! Servers with one worker thread each, in front of one upstream that answers 1 KB of JSON at once: a
//! proxy that only forwards, with the gateway's own client; the gateway; the gateway with its access
//! log; and the gateway with the upstream as its app, for a path outside the API. 32 connections send
//! 400 bytes of JSON with 100 users' Auth.js cookies in turn; tokens are signed locally and cached. What
//! is counted is the CPU time of the worker thread (`/proc/self/task/…/schedstat`), so that the load and
//! the upstream on the same machine do not.
//!
//! `cargo bench --bench path` prints the medians. `ROUNDS` and `REQUESTS` (per round) can be set.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "a bench that cannot go on stops; it reads nothing but its own input"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use behest_gateway::client::{Client, ClientConfig, Connector, SendBody, enter_worker};
use behest_gateway::clock::{Clock, unix_time};
use behest_gateway::config::{Config, Sources};
use behest_gateway::generation::Process;
use behest_gateway::server::Server;
use behest_gateway::telemetry::logging::LineQueue;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

#[expect(dead_code, reason = "shared with the unit tests, which use all of it")]
#[path = "../src/session/sealer.rs"]
mod sealer;

type Error = Box<dyn std::error::Error + Send + Sync>;

const SECRET: &str = "bench-secret-8b1f0c2d4e6a79135ac0e2f4d6b8a9c1";
const COOKIE: &str = "authjs.session-token";
const API: &str = "/v1/chat/completions";
const CONNECTIONS: usize = 32;
const USERS: usize = 100;

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
    let subjects = [
        ("bare forwarding", API, bare(upstream)?),
        ("gateway", API, gateway(upstream, None, "worker-1")?),
        (
            "gateway, access log",
            API,
            gateway(upstream, Some(sink.clone()), "worker-2")?,
        ),
        (
            "gateway, to the app",
            "/api/chat",
            gateway(upstream, None, "worker-3")?,
        ),
    ];
    let load = |path: &&str| (0..USERS).map(|user| request(path, user)).collect();
    let loads: [Vec<_>; 4] = subjects.each_ref().map(|(_, path, _)| load(path));
    let runtime = runtime()?;
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
    report(
        &subjects.map(|(name, ..)| name),
        &mut costs,
        rounds,
        requests,
    );
    Ok(())
}

fn report(names: &[&str], costs: &mut [Vec<f64>], rounds: u32, requests: u32) {
    let mut out = format!(
        "CPU time of the one worker thread, medians of {rounds} interleaved rounds of {requests} requests\n\n\
         | subject | µs/request | over bare, µs | ratio |\n|---|---:|---:|---:|\n"
    );
    let medians: Vec<f64> = costs.iter_mut().map(|costs| median(costs)).collect();
    for (name, cost) in names.iter().zip(&medians) {
        let bare = medians.first().copied().unwrap_or_default();
        let over = cost - bare;
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| {name} | {cost:.1} | {over:.1} | {:.2} |",
            cost / bare
        );
    }
    let _ = std::io::stdout().write_all(out.as_bytes());
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

/// The CPU time of the thread called `name`.
fn cpu_time(name: &str) -> Result<Duration, Error> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.trim() == name {
            let stat = std::fs::read_to_string(task.join("schedstat"))?;
            let nanos = stat.split(' ').next().unwrap_or_default().parse()?;
            return Ok(Duration::from_nanos(nanos));
        }
    }
    Err(format!("no thread {name}").into())
}

fn request(path: &str, user: usize) -> Vec<u8> {
    let exp = unix_time().as_secs() + 86_400;
    let claims = format!(
        r#"{{"name":"User {user}","email":"user{user}@example.com","sub":"user-{user}","tier":"pro","sid":"browser-{user}","exp":{exp}}}"#
    );
    let token = sealer::Sealer::v5(SECRET, COOKIE).seal(&claims);
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"{}"}}]}}"#,
        "x".repeat(350)
    );
    format!(
        "POST {path} HTTP/1.1\r\nhost: app.example\r\ncontent-type: application/json\r\n\
         accept: application/json\r\nauthorization: Bearer unused\r\nuser-agent: OpenAI/JS 6.0\r\n\
         x-stainless-lang: js\r\nx-stainless-package-version: 6.0.0\r\nx-stainless-os: Linux\r\n\
         origin: http://app.example\r\nsec-fetch-site: same-origin\r\n\
         cookie: theme=dark; {COOKIE}={token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends `requests` requests over [`CONNECTIONS`] connections, one at a time on each.
async fn drive(address: SocketAddr, load: &[Vec<u8>], requests: u32) -> Result<(), Error> {
    let load: Arc<[Vec<u8>]> = load.into();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            let load = Arc::clone(&load);
            tokio::spawn(async move {
                let mut socket = TcpStream::connect(address).await?;
                socket.set_nodelay(true)?;
                let mut buffer = vec![0; 16 * 1024];
                for turn in 0..requests as usize / CONNECTIONS {
                    let request = (connection + turn * CONNECTIONS) % load.len();
                    socket
                        .write_all(load.get(request).ok_or("no request")?)
                        .await?;
                    read_message(&mut socket, &mut buffer).await?;
                    if !buffer.starts_with(b"HTTP/1.1 200") {
                        return Err(String::from_utf8_lossy(&buffer[..200]).into());
                    }
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Reads one message with a Content-Length; false at the connection's end.
async fn read_message(socket: &mut TcpStream, buffer: &mut [u8]) -> Result<bool, Error> {
    let mut filled = 0;
    loop {
        let read = socket.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(false);
        }
        filled += read;
        let seen = &buffer[..filled];
        let Some(head) = seen.windows(4).position(|end| end == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&seen[..head])?;
        let length = text
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(Ok(0), |(_, value)| value.parse::<usize>())?;
        if filled >= head + 4 + length {
            return Ok(true);
        }
    }
}

/// Answers every request at once with 1 KB of JSON.
fn upstream() -> Result<SocketAddr, Error> {
    let listener = listener()?;
    let address = listener.local_addr()?;
    let body = format!(
        r#"{{"object":"chat.completion","text":"{}"}}"#,
        "y".repeat(980)
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: r\r\nx-trace-id: t\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer: Arc<[u8]> = answer.into_bytes().into();
    serve("upstream", listener, move |mut socket| {
        let answer = Arc::clone(&answer);
        async move {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(true) = read_message(&mut socket, &mut buffer).await {
                if socket.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
    })?;
    Ok(address)
}

fn listener() -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves each connection on the one thread called `name`.
fn serve<F>(
    name: &str,
    listener: TcpListener,
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> Result<(), Error>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = runtime()?;
    let serving = async move {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            return;
        };
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            tokio::spawn(each(socket));
        }
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || runtime.block_on(serving))?;
    Ok(())
}

/// A proxy that only forwards.
fn bare(upstream: SocketAddr) -> Result<(SocketAddr, &'static str), Error> {
    let tls = behest_gateway::tls::client_config(&[])?;
    let origin = format!("http://{upstream}").parse()?;
    let connector = Connector::new(&origin, &tls, &Matcher::builder().build())?;
    let minute = Duration::from_mins(1);
    let client = Client::new(
        connector,
        ClientConfig {
            connect_timeout: minute,
            first_byte_timeout: minute,
            pool_idle_timeout: minute,
            pool_max_age: minute * 60,
            workers: 1,
        },
    );
    let listener = listener()?;
    let address = listener.local_addr()?;
    let client = Arc::new(client);
    serve("bare", listener, move |socket| {
        let client = Arc::clone(&client);
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let client = Arc::clone(&client);
                async move { Ok::<_, Infallible>(forward(&client, request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(hyper_util::rt::TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service);
            let _ = connection.await;
        }
    })?;
    Ok((address, "bare"))
}

async fn forward(
    client: &Client,
    request: Request<Incoming>,
) -> Response<behest_gateway::client::ResponseBody> {
    let (mut head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    head.headers.insert(HOST, client.host().clone());
    let request = Request::from_parts(head, SendBody::Held(Full::new(body)));
    match client.send(request).await {
        Ok(response) => response,
        Err(error) => panic!("{error}"),
    }
}

/// The gateway with one worker, whose thread is renamed to `thread`.
fn gateway(
    upstream: SocketAddr,
    log: Option<LineQueue>,
    thread: &'static str,
) -> Result<(SocketAddr, &'static str), Error> {
    let key = behest_gateway::emulator::SigningKey::generate()?.to_behest_key()?;
    let env: BTreeMap<String, String> = [
        ("BEHEST_KEY", key.as_str()),
        ("BEHEST_KID", "bench"),
        ("BEHEST_TENANT_ID", "tenant"),
        ("BEHEST_PROJECT_ID", "project"),
        ("BEHEST_BASE_URL", &format!("http://{upstream}")),
        ("GATEWAY_APP_URL", &format!("http://{upstream}")),
        ("AUTH_SECRET", SECRET),
        ("GATEWAY_LISTEN", "127.0.0.1:0"),
        ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
        ("GATEWAY_WORKERS", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let sources = Sources {
        env,
        ..Sources::default()
    };
    let loaded = Config::load(sources.clone()).map_err(|problems| problems.to_string())?;
    let mut process = Process::new(Clock::system())?;
    process.log = log;
    let reload = Box::new(move || Config::load(sources.clone()));
    let server = Server::start(loaded, process, reload)?;
    let address = server.address();
    // Servers of one process name their workers alike; this one's is told apart by a new name.
    rename("worker-0", thread)?;
    std::mem::forget(server);
    enter_worker(0);
    Ok((address, thread))
}

/// Renames a thread of this process, which may only just be starting.
fn rename(from: &str, to: &str) -> Result<(), Error> {
    for _ in 0..100 {
        for task in std::fs::read_dir("/proc/self/task")? {
            let comm = task?.path().join("comm");
            if std::fs::read_to_string(&comm)?.trim() == from {
                std::fs::write(comm, to)?;
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(format!("no thread {from}").into())
}
