//! A caller without an HTTP library: writes bytes as they stand and reads what comes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::PATIENCE;

/// One connection to a gateway.
pub struct Wire(TcpStream);

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self(socket)
    }

    /// Writes all of it.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.0.write_all(bytes.as_ref()).await
    }

    /// Ends the sending half.
    pub async fn finish(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// Reads to the end of one head; what follows stays unread.
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

    /// Reads until the gateway ends the connection, or resets it.
    pub async fn read_to_end(&mut self) -> (String, std::io::Result<()>) {
        let mut all = Vec::new();
        let read = self.0.read_to_end(&mut all);
        let ended = tokio::time::timeout(PATIENCE, read).await.unwrap();
        (String::from_utf8(all).unwrap(), ended.map(drop))
    }
}
