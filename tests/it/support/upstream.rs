//! Upstreams that speak no HTTP of their own: for what the emulator cannot do on the wire.
//!
//! Their gateway signs tokens itself, so that every connection is a data-plane request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use behest_gateway::emulator::{FIXTURE_PROJECT, FIXTURE_TENANT, SigningKey};
use behest_gateway::generation::Process;
use behest_gateway::server::Server;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{PATIENCE, serve};

/// A gateway over `listener`.
pub fn over(listener: &TcpListener, env: &[(&str, &str)]) -> (Server, Process) {
    let key = SigningKey::of_this_process().unwrap();
    let behest_key = key.to_behest_key().unwrap();
    let mut all = vec![
        ("BEHEST_KEY", behest_key.as_str()),
        ("BEHEST_KID", key.kid()),
        ("BEHEST_TENANT_ID", FIXTURE_TENANT),
        ("BEHEST_PROJECT_ID", FIXTURE_PROJECT),
    ];
    all.extend_from_slice(env);
    serve(&format!("http://{}", listener.local_addr().unwrap()), &all)
}

/// A free loopback port that is listened on.
pub async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// One accepted connection.
pub struct Peer(TcpStream);

impl Peer {
    pub async fn accept(listener: &TcpListener) -> Self {
        let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
        let (socket, _) = accepted.expect("no connection came").unwrap();
        socket.set_nodelay(true).unwrap();
        Self(socket)
    }

    /// Reads one request's head.
    pub async fn read_head(&mut self) -> String {
        let head = tokio::time::timeout(PATIENCE, head(&mut self.0)).await;
        head.unwrap().expect("the connection ended within a head")
    }

    /// Reads so many bytes.
    pub async fn read_body(&mut self, length: usize) {
        let mut body = vec![0; length];
        let read = self.0.read_exact(&mut body);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    }

    /// Reads until the gateway closes.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let read = self.0.read_to_end(&mut rest);
        // A reset is an end too.
        drop(tokio::time::timeout(PATIENCE, read).await.unwrap());
        rest
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }
}

/// What an upstream does with one request, in order; then it waits for the next on the connection.
#[derive(Clone)]
pub enum Step {
    Write(Vec<u8>),
    Pause(Duration),
    /// Again and again, with this pause, until the gateway closes.
    Repeat(Vec<u8>, Duration),
    Close,
    Reset,
}

/// These bytes as they stand.
pub fn write(bytes: impl AsRef<[u8]>) -> Step {
    Step::Write(bytes.as_ref().to_vec())
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub token: String,
    pub user: String,
}

type Script = Box<dyn Fn(&Got) -> Vec<Step> + Send>;

/// An upstream that answers a request by the next script, and where there is none with the name of
/// the user that its token is for.
pub struct Scripted {
    pub server: Server,
    pub process: Process,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    scripts: Mutex<VecDeque<Script>>,
    got: Mutex<Vec<Got>>,
    /// Connections that have ended.
    ended: Mutex<Vec<usize>>,
}

impl Scripted {
    /// With a gateway of one worker.
    pub async fn new(env: &[(&str, &str)]) -> Self {
        let listener = listen().await;
        let mut all = vec![("GATEWAY_WORKERS", "1")];
        all.extend_from_slice(env);
        let (server, process) = over(&listener, &all);
        let shared = Arc::new(Shared::default());
        let of_connections = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            for connection in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                tokio::spawn(converse(socket, connection, Arc::clone(&of_connections)));
            }
        });
        Self {
            server,
            process,
            shared,
            accepting,
        }
    }

    /// The next request without a script is answered by these steps.
    pub fn script(&self, steps: Vec<Step>) {
        self.script_with(move |_| steps.clone());
    }

    /// The same, by steps that depend on the request.
    pub fn script_with(&self, script: impl Fn(&Got) -> Vec<Step> + Send + 'static) {
        let mut scripts = self.shared.scripts.lock().unwrap();
        scripts.push_back(Box::new(script));
    }

    /// Every request that came.
    pub fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    /// The numbers of the connections that have ended.
    pub fn ended(&self) -> Vec<usize> {
        self.shared.ended.lock().unwrap().clone()
    }

    /// The metrics page.
    pub fn metrics(&self) -> String {
        String::from_utf8(self.process.metrics.page().unwrap()).unwrap()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A good answer with this body.
pub fn good(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

async fn converse(mut socket: TcpStream, connection: usize, shared: Arc<Shared>) {
    while let Some(got) = request(&mut socket).await {
        let script = shared.scripts.lock().unwrap().pop_front();
        shared.got.lock().unwrap().push(got.clone());
        let steps = match script {
            Some(script) => script(&got),
            None => vec![write(good(&format!("\"{}\"", got.user)))],
        };
        if !play(&mut socket, steps).await {
            break;
        }
    }
    shared.ended.lock().unwrap().push(connection);
}

/// Whether the connection goes on.
async fn play(socket: &mut TcpStream, steps: Vec<Step>) -> bool {
    for step in steps {
        let written = match step {
            Step::Write(bytes) => socket.write_all(&bytes).await,
            Step::Pause(pause) => {
                tokio::time::sleep(pause).await;
                Ok(())
            }
            Step::Repeat(bytes, pause) => loop {
                if let Err(error) = socket.write_all(&bytes).await {
                    break Err(error);
                }
                tokio::time::sleep(pause).await;
            },
            Step::Close => return false,
            Step::Reset => {
                socket.set_zero_linger().unwrap();
                return false;
            }
        };
        if written.is_err() {
            return false;
        }
    }
    true
}

/// The next request; its body, which must state its length, is read and thrown away.
async fn request(socket: &mut TcpStream) -> Option<Got> {
    let head = head(socket).await?;
    let header = |name: &str| {
        let mut lines = head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    socket.read_exact(&mut vec![0; length]).await.ok()?;
    let token = header("authorization")?.strip_prefix("Bearer ")?.to_owned();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?);
    let claims: Value = serde_json::from_slice(&claims.ok()?).ok()?;
    Some(Got {
        user: claims["uid"].as_str()?.to_owned(),
        token,
    })
}

async fn head(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
