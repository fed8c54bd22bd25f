//! A connection whose peer says what a script says, in the pieces in which the script says it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::rt::{Read, ReadBufCursor, Write};

/// How a peer's words end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It closes.
    Closed,
    /// The connection breaks.
    Reset,
    /// It says nothing more, and stays.
    Silent,
}

/// The connection. What is written to it is taken and forgotten.
pub struct Scripted {
    said: VecDeque<Vec<u8>>,
    end: End,
    /// Whether something must be written before the peer speaks.
    is_asked_first: bool,
    /// Who waits for the peer to be asked.
    reader: Option<Waker>,
}

impl Scripted {
    /// A peer that says `pieces`, one at a time, and then ends so.
    pub fn new(pieces: impl IntoIterator<Item = Vec<u8>>, end: End) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        Self {
            said: pieces.collect(),
            end,
            is_asked_first: false,
            reader: None,
        }
    }

    /// The same, but it speaks only when it has been asked, as a server does.
    #[must_use]
    pub fn asked_first(mut self) -> Self {
        self.is_asked_first = true;
        self
    }
}

impl Read for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_asked_first {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let Some(mut piece) = self.said.pop_front() else {
            return match self.end {
                End::Closed => Poll::Ready(Ok(())),
                End::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                End::Silent => Poll::Pending,
            };
        };
        let rest = piece.split_off(piece.len().min(buffer.remaining()));
        buffer.put_slice(&piece);
        if !rest.is_empty() {
            self.said.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Scripted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_asked_first = false;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
