//! Reads HTTP/1.1 off a socket, for both sides: heads, and bodies by length or in chunks.

use std::io;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A socket, and what was read from it and not yet used.
pub struct Wire {
    pub socket: TcpStream,
    buffer: BytesMut,
}

/// A head: its first line, and its fields with names in lower case.
pub struct Head {
    pub first: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// The value of the one field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(field, _)| field == name);
        let value = found.next()?.1.as_str();
        found.next().is_none().then_some(value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// The number in an answer's first line.
    pub fn status(&self) -> u16 {
        let word = self.first.split(' ').nth(1);
        word.and_then(|word| word.parse().ok()).unwrap_or(0)
    }
}

impl Wire {
    pub fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        Self {
            socket,
            buffer: BytesMut::with_capacity(16 * 1024),
        }
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// Closes with a reset in the place of an orderly end.
    pub fn reset(self) {
        // Where it fails, the socket is gone already.
        let _ = self.socket.set_zero_linger();
    }

    /// The next head; `None` at the connection's end before one begins.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut looked = 0;
        loop {
            let end = self.buffer[looked..]
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.buffer.split_to(looked + end + 4);
                return Ok(Some(parse(&head)));
            }
            looked = self.buffer.len().saturating_sub(3);
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Reads the body that `head` announces into `body`, as far as it comes.
    pub async fn body(&mut self, head: &Head, body: &mut Vec<u8>) -> io::Result<()> {
        if head.field("transfer-encoding") == Some("chunked") {
            while self.chunk(body).await? {}
            return Ok(());
        }
        let length = head.field("content-length").unwrap_or("0").parse();
        self.exactly(length.map_err(io::Error::other)?, body).await
    }

    /// One chunk; whether another follows.
    pub async fn chunk(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        let line = loop {
            if let Some(end) = self.buffer.windows(2).position(|bytes| bytes == b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                break line;
            }
            self.more().await?;
        };
        let size = std::str::from_utf8(&line).map_err(io::Error::other)?;
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        self.exactly(size, body).await?;
        self.exactly(2, &mut Vec::new()).await?;
        Ok(size > 0)
    }

    /// Reads `length` bytes, and keeps those that came if they are fewer.
    async fn exactly(&mut self, mut length: usize, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let part = length.min(self.buffer.len());
            body.extend_from_slice(&self.buffer.split_to(part));
            length -= part;
            if length == 0 {
                return Ok(());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.fill().await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(4096);
        self.socket.read_buf(&mut self.buffer).await
    }
}

fn parse(head: &[u8]) -> Head {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let fields = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Head { first, fields }
}
