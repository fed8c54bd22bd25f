//! An upstream that speaks no HTTP of its own: for what the emulator cannot do on the wire.
//!
//! Its gateway signs tokens itself, so that every connection is a data-plane request.

use behest_gateway::emulator::{FIXTURE_PROJECT, FIXTURE_TENANT, SigningKey};
use behest_gateway::generation::Process;
use behest_gateway::server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

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
        let mut head = Vec::new();
        let read = async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap();
        String::from_utf8(head).unwrap()
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
