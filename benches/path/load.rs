//! The load: requests of many users, over a few connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use behest_gateway::clock::unix_time;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Error, sealer};

pub(crate) const SECRET: &str = "bench-secret-8b1f0c2d4e6a79135ac0e2f4d6b8a9c1";
const COOKIE: &str = "authjs.session-token";
const CONNECTIONS: usize = 32;
const USERS: usize = 100;

/// One request of each user; `more` are members of its body.
pub(crate) fn load(path: &str, more: &str) -> Arc<[Vec<u8>]> {
    (0..USERS).map(|user| request(path, user, more)).collect()
}

fn request(path: &str, user: usize, more: &str) -> Vec<u8> {
    let exp = unix_time().as_secs() + 86_400;
    let claims = format!(
        r#"{{"name":"User {user}","email":"user{user}@example.com","sub":"user-{user}","tier":"pro","sid":"browser-{user}","exp":{exp}}}"#
    );
    let token = sealer::Sealer::v5(SECRET, COOKIE).seal(&claims);
    let body = format!(
        r#"{{"model":"gpt-5.2",{more}"messages":[{{"role":"user","content":"{}"}}]}}"#,
        "x".repeat(344)
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
pub(crate) async fn drive(
    address: SocketAddr,
    load: &Arc<[Vec<u8>]>,
    requests: u32,
) -> Result<(), Error> {
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            let load = Arc::clone(load);
            tokio::spawn(async move {
                let mut caller = Caller::connect(address).await?;
                for turn in 0..requests as usize / CONNECTIONS {
                    let request = (connection + turn * CONNECTIONS) % load.len();
                    caller.ask(load.get(request).ok_or("no request")?).await?;
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

/// One connection.
pub(crate) struct Caller {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Caller {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, Error> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let buffer = vec![0; 64 * 1024];
        Ok(Self { socket, buffer })
    }

    /// Sends `request` and reads its answer, which must be a good one.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<(), Error> {
        self.socket.write_all(request).await?;
        read_message(&mut self.socket, &mut self.buffer).await?;
        if !self.buffer.starts_with(b"HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&self.buffer[..200]).into());
        }
        Ok(())
    }
}

/// Reads one message, with a Content-Length or in chunks; false at the connection's end.
pub(crate) async fn read_message(socket: &mut TcpStream, buffer: &mut [u8]) -> Result<bool, Error> {
    let mut filled = 0;
    let mut ends: Option<End> = None;
    loop {
        let read = socket.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(false);
        }
        filled += read;
        let seen = &buffer[..filled];
        if ends.is_none() {
            ends = end(seen)?;
        }
        let is_whole = match ends {
            None => false,
            Some(End::At(length)) => filled >= length,
            Some(End::LastChunk) => seen.ends_with(b"\r\n0\r\n\r\n"),
        };
        if is_whole {
            return Ok(true);
        }
    }
}

/// Where a message ends.
#[derive(Clone, Copy)]
enum End {
    At(usize),
    LastChunk,
}

/// Where the message ends whose head has been `seen`.
fn end(seen: &[u8]) -> Result<Option<End>, Error> {
    let Some(head) = seen.windows(4).position(|end| end == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&seen[..head])?;
    let named = |wanted: &'static str| {
        let mut headers = text.lines().filter_map(|line| line.split_once(": "));
        headers.find(move |(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    if named("transfer-encoding").is_some() {
        return Ok(Some(End::LastChunk));
    }
    let length = named("content-length").map_or(Ok(0), |(_, value)| value.parse::<usize>())?;
    Ok(Some(End::At(head + 4 + length)))
}

/// The CPU time of the thread called `name`.
pub(crate) fn cpu_time(name: &str) -> Result<Duration, Error> {
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
