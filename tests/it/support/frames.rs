//! An HTTP/2 caller that writes frames as a test says, valid or not, and watches how it ends.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinHandle;

use super::PATIENCE;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types (RFC 9113 section 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags.
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The error code that says that a peer does too much of something.
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// One header in HPACK, without compression or index.
pub fn header(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name.as_ref(), value.as_ref()] {
        length(&mut block, text.len());
        block.extend(text);
    }
    block
}

/// A string's length: an integer with a prefix of seven bits (RFC 7541 section 5.1).
fn length(block: &mut Vec<u8>, mut length: usize) {
    if length < 127 {
        block.push(u8::try_from(length).unwrap());
        return;
    }
    block.push(127);
    length -= 127;
    while length >= 128 {
        block.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    block.push(u8::try_from(length).unwrap());
}

/// A request's header block.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a"),
    ];
    let all = pseudo.iter().chain(headers);
    all.flat_map(|(name, value)| header(name, value)).collect()
}

/// One connection. What the gateway sends is read and thrown away, as long as it is not told to stop.
pub struct Frames {
    socket: OwnedWriteHalf,
    reading: JoinHandle<Ending>,
}

/// How the gateway ended the connection.
#[derive(Debug, Default)]
pub struct Ending {
    /// The error codes of its GOAWAY frames.
    pub goaways: Vec<u32>,
    /// The frames that it sent, by type.
    pub frames: std::collections::BTreeMap<u8, usize>,
}

impl Frames {
    /// Connects, and sends preface and SETTINGS.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut frames = Self::silent(address).await;
        frames.write(PREFACE).await;
        frames.write(frame(SETTINGS, 0, 0, &[])).await;
        frames
    }

    /// Connects and says nothing.
    pub async fn silent(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (reader, socket) = socket.into_split();
        let mut reader = BufReader::with_capacity(256 * 1024, reader);
        let reading = tokio::spawn(async move {
            let mut ending = Ending::default();
            loop {
                let mut head = [0; 9];
                if reader.read_exact(&mut head).await.is_err() {
                    return ending;
                }
                let length =
                    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                let mut payload = vec![0; length];
                if reader.read_exact(&mut payload).await.is_err() {
                    return ending;
                }
                *ending.frames.entry(head[3]).or_default() += 1;
                if head[3] == GOAWAY {
                    let code = payload[4..8].try_into().unwrap();
                    ending.goaways.push(u32::from_be_bytes(code));
                }
            }
        });
        Self { socket, reading }
    }

    /// Writes these bytes; false once the gateway takes no more.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let writing = self.socket.write_all(bytes.as_ref());
        matches!(tokio::time::timeout(PATIENCE, writing).await, Ok(Ok(())))
    }

    /// Writes `piece` up to `times` times, many at once; false once the gateway takes no more.
    pub async fn repeat(&mut self, piece: &[u8], times: usize) -> bool {
        let at_once = (64 * 1024 / piece.len()).clamp(1, times);
        let many = piece.repeat(at_once);
        for _ in 0..times.div_ceil(at_once) {
            if !self.write(&many).await {
                return false;
            }
        }
        true
    }

    /// Stops reading.
    pub fn stop_reading(&self) {
        self.reading.abort();
    }

    /// Whether the gateway has ended the connection.
    pub fn is_ended(&self) -> bool {
        self.reading.is_finished()
    }

    /// Waits until the gateway ends the connection.
    pub async fn ended(self) -> Ending {
        let ended = tokio::time::timeout(PATIENCE, self.reading).await;
        ended.expect("the gateway keeps it open").unwrap()
    }
}
