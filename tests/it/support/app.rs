//! The app behind a gateway, or the one that is asked about its sessions: it records what came, and
//! answers as a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the app does with one request.
#[derive(Clone)]
pub enum Reply {
    /// Writes this.
    Text(String),
    /// Writes this once the gate is open.
    Gated(String),
    /// Nothing, for ever.
    Hang,
    /// Closes the connection.
    Close,
}

type Answer = Box<dyn Fn(&str) -> Reply + Send + Sync>;

struct Shared {
    heads: Mutex<Vec<String>>,
    answer: Mutex<Answer>,
    gate: watch::Sender<bool>,
}

/// A listening app; down when dropped.
pub struct App {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl App {
    /// One that answers the head of each request by `answer`.
    pub async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::over(listener, answer)
    }

    /// The same on `listener`.
    pub fn over(
        listener: TcpListener,
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            heads: Mutex::default(),
            answer: Mutex::new(Box::new(answer)),
            gate: watch::Sender::new(false),
        });
        let of_connections = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(converse(socket, Arc::clone(&of_connections)));
            }
        });
        Self {
            address,
            shared,
            accepting,
        }
    }

    /// From now on it answers by `answer`.
    pub fn answer(&self, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) {
        *self.shared.answer.lock().unwrap() = Box::new(answer);
    }

    /// The head of every request that came, in their order.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// Lets gated answers go.
    pub fn open(&self) {
        self.shared.gate.send_replace(true);
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A whole answer; `lines` each end in CRLF.
pub fn answer(status: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{lines}content-length: {length}\r\n\r\n{body}")
}

/// 200 with this JSON.
pub fn json(body: &str) -> Reply {
    Reply::Text(answer("200 OK", "content-type: application/json\r\n", body))
}

/// The value of the line `name` of a head.
pub fn line<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

async fn converse(mut socket: TcpStream, shared: Arc<Shared>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = socket.read_u8().await else {
                return;
            };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let reply = (shared.answer.lock().unwrap())(&head);
        shared.heads.lock().unwrap().push(head);
        let text = match reply {
            Reply::Text(text) => text,
            Reply::Gated(text) => {
                let mut gate = shared.gate.subscribe();
                gate.wait_for(|open| *open).await.unwrap();
                text
            }
            Reply::Hang => return std::future::pending().await,
            Reply::Close => return,
        };
        if socket.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}
