//! A server of public keys, which counts its calls and fails on demand.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How calls are answered.
#[derive(Clone)]
pub enum Mood {
    /// With this status and body.
    Answers(u16, String),
    /// With a redirect to another place here, which has keys.
    Redirects,
    /// Never.
    Hangs,
}

/// Listens on a free port until it is dropped.
pub struct KeyServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

struct State {
    mood: Mood,
    calls: usize,
}

impl KeyServer {
    /// One that answers with `keys`.
    pub async fn of(keys: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            mood: Mood::Answers(200, keys),
            calls: 0,
        }));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(socket, Arc::clone(&shared)));
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// From now on.
    pub fn be(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    pub fn calls(&self) -> usize {
        self.state.lock().unwrap().calls
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut socket: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let mood = {
        let mut state = state.lock().unwrap();
        state.calls += 1;
        state.mood.clone()
    };
    let text = match mood {
        Mood::Answers(status, body) => format!(
            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
        Mood::Redirects => {
            "HTTP/1.1 302 x\r\nlocation: /keys\r\ncontent-length: 0\r\n\r\n".to_owned()
        }
        Mood::Hangs => std::future::pending().await,
    };
    let _ = socket.write_all(text.as_bytes()).await;
}
