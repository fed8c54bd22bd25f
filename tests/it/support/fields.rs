//! An HTTP/2 caller without an HTTP library: its header fields are whatever bytes a test writes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::PATIENCE;
use super::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, header,
};

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// An answer with this body.
    Body(String),
    /// The stream was reset, or the connection ended.
    Refused,
}

/// One request without a body on a connection of its own; `fields` go out byte for byte and in order.
pub async fn ask(address: SocketAddr, fields: &[(&[u8], &[u8])]) -> Reply {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let mut sent = PREFACE.to_vec();
    sent.extend(frame(SETTINGS, 0, 0, &[]));
    let block: Vec<u8> = fields
        .iter()
        .flat_map(|(name, value)| header(name, value))
        .collect();
    sent.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block));
    socket.write_all(&sent).await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, read_reply(&mut socket)).await;
    answer.expect("neither answered nor refused")
}

async fn read_reply(socket: &mut TcpStream) -> Reply {
    let mut body = Vec::new();
    loop {
        let mut head = [0; 9];
        if socket.read_exact(&mut head).await.is_err() {
            return Reply::Refused;
        }
        let [a, b, c, kind, flags, ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]);
        let mut payload = vec![0; length as usize];
        if socket.read_exact(&mut payload).await.is_err() {
            return Reply::Refused;
        }
        match kind {
            RST_STREAM | GOAWAY => return Reply::Refused,
            DATA => body.extend(payload),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            return Reply::Body(String::from_utf8(body).unwrap());
        }
    }
}
