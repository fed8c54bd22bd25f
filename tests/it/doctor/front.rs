//! What may stand in front of a gateway: a proxy that leaves everything alone, or does one thing wrong.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::PATIENCE;

/// What it does to requests and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Nothing.
    Honest,
    /// Holds each answer back until it is whole.
    Buffers,
    /// Says of event streams that they are compressed.
    Compresses,
    /// Ends each event stream after so many bytes.
    CutsAfter(usize),
    /// Answers preflights itself, for every origin.
    GrantsAll,
    /// Redirects whoever has no cookie to a sign-in elsewhere.
    SignsIn,
    /// Gives every request a page of HTML.
    ShowsPage,
    /// Answers with the addresses of an Auth.js that has no `AUTH_URL`.
    HasLostApp,
    /// Removes the gateway's own headers from answers.
    Strips,
}

/// A proxy on a port of its own; stopped when dropped.
pub struct Front {
    pub address: SocketAddr,
    gateway: Arc<Mutex<Option<SocketAddr>>>,
    accepting: JoinHandle<()>,
}

impl Front {
    /// Listens; what it leads to may be started after it.
    pub async fn new(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = Arc::new(Mutex::new(None));
        let leads_to = Arc::clone(&gateway);
        let accepting = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                let to: Option<SocketAddr> = *leads_to.lock().unwrap();
                tokio::spawn(async move {
                    // The other side may leave at any time.
                    let _ = converse(socket, manner, to.unwrap()).await;
                });
            }
        });
        Self {
            address,
            gateway,
            accepting,
        }
    }

    /// Where requests go from now on.
    pub fn lead_to(&self, gateway: SocketAddr) {
        *self.gateway.lock().unwrap() = Some(gateway);
    }

    /// Its origin.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn converse(
    mut socket: TcpStream,
    manner: Manner,
    gateway: SocketAddr,
) -> std::io::Result<()> {
    loop {
        let head = read_head(&mut socket).await?;
        let mut body = vec![0; length(&head).unwrap_or(0)];
        socket.read_exact(&mut body).await?;
        if let Some(own) = own_answer(manner, &head) {
            socket.write_all(own.as_bytes()).await?;
            continue;
        }
        let mut up = TcpStream::connect(gateway).await?;
        up.set_nodelay(true)?;
        up.write_all(head.as_bytes()).await?;
        up.write_all(&body).await?;
        let head = read_head(&mut up).await?;
        relay(manner, &mut up, &mut socket, &head).await?;
    }
}

/// Passes one answer on.
async fn relay(
    manner: Manner,
    up: &mut TcpStream,
    down: &mut TcpStream,
    head: &str,
) -> std::io::Result<()> {
    let is_stream = head.contains("content-type: text/event-stream");
    let is_chunked = head.contains("transfer-encoding: chunked");
    let mut left = length(head).unwrap_or(0);
    let mut head = head.to_owned();
    if manner == Manner::Compresses && is_stream {
        head = head.replacen("\r\n", "\r\ncontent-encoding: gzip\r\n", 1);
    }
    if manner == Manner::Strips {
        let lines = head.split_inclusive("\r\n");
        head = lines
            .filter(|line| !line.starts_with("x-gateway-"))
            .collect();
    }
    let mut waiting = head.into_bytes();
    let mut tail = Vec::new();
    let mut passed = 0;
    loop {
        if manner != Manner::Buffers {
            down.write_all(&waiting).await?;
            waiting.clear();
        }
        let ended = is_chunked && tail.ends_with(b"0\r\n\r\n") || !is_chunked && left == 0;
        if ended {
            return down.write_all(&waiting).await;
        }
        let mut piece = vec![0; 16 * 1024];
        let read = tokio::time::timeout(PATIENCE, up.read(&mut piece)).await??;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(read);
        passed += read;
        if matches!(manner, Manner::CutsAfter(limit) if is_stream && passed > limit) {
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        left = left.saturating_sub(read);
        tail.extend_from_slice(&piece);
        tail.drain(..tail.len().saturating_sub(5));
        waiting.extend_from_slice(&piece);
    }
}

/// What a manner answers without the gateway.
fn own_answer(manner: Manner, head: &str) -> Option<String> {
    let answer = |status: &str, headers: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
    };
    if manner == Manner::GrantsAll && head.starts_with("OPTIONS ") {
        let lines = "access-control-allow-origin: *\r\naccess-control-allow-methods: *\r\n";
        return Some(format!("HTTP/1.1 204 No Content\r\n{lines}\r\n"));
    }
    if manner == Manner::SignsIn && !head.contains("\r\ncookie: ") {
        let location = "location: https://login.example/start?from=%2Fv1\r\n";
        return Some(answer("302 Found", location, ""));
    }
    if manner == Manner::ShowsPage {
        let page = "<!doctype html><title>The app</title>";
        let html = "content-type: text/html; charset=utf-8\r\n";
        return Some(answer("200 OK", html, page));
    }
    if manner == Manner::HasLostApp && head.starts_with("GET /api/auth/providers ") {
        let url = "http://localhost:3000/api/auth";
        let body = format!(
            r#"{{"github":{{"signinUrl":"{url}/signin/github","callbackUrl":"{url}/callback/github"}}}}"#
        );
        let json = "content-type: application/json\r\n";
        return Some(answer("200 OK", json, &body));
    }
    None
}

fn length(head: &str) -> Option<usize> {
    let mut lines = head.lines();
    lines.find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
}

async fn read_head(socket: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    String::from_utf8(head).map_err(std::io::Error::other)
}
