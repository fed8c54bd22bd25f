//! An HTTP/2 caller without an HTTP library: its header fields are whatever bytes a test writes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::PATIENCE;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

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
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(SETTINGS, 0, 0, &[]));
    let block: Vec<u8> = fields.iter().flat_map(|field| literal(*field)).collect();
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

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal field without indexing and without Huffman codes (RFC 7541 section 6.2.2).
fn literal((name, value): (&[u8], &[u8])) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        field.extend(length(text.len()));
        field.extend(text);
    }
    field
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn length(value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![u8::try_from(value).unwrap()];
    }
    let mut rest = value - 127;
    let mut bytes = vec![127];
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}
