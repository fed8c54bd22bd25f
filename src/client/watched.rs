//! A connection's socket, watched for bytes that nobody asked for.
//!
//! Guarantees: a request is not written to a pooled connection on which something already waits to be
//! read (an answer that nobody asked for, or the connection's end), even where the runtime has not
//! heard of it yet; and what comes before an answer's head is bounded, however many interim answers
//! it is made of.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that may come before an answer's head is whole. A head itself has 64 KB; the rest is for
/// interim answers (1xx), of which hyper counts none.
const MOST_BEFORE_HEAD: usize = 1024 * 1024;

/// No head is waited for.
const UNBOUNDED: usize = usize::MAX;

/// More came before an answer's head than any answer needs.
#[derive(Debug, thiserror::Error)]
#[error("more than {MOST_BEFORE_HEAD} bytes without an answer's head")]
pub(super) struct NoHead;

/// A request is not sent where something already waits to be read.
#[derive(Debug, thiserror::Error)]
#[error("something came on the connection while it was idle")]
struct Unasked;

/// What a connection's holder tells its socket.
pub(super) struct Watch {
    /// The next read looks at the socket itself: the connection was idle.
    was_idle: AtomicBool,
    /// How many bytes may still come before the head.
    before_head: AtomicUsize,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            was_idle: AtomicBool::new(false),
            before_head: AtomicUsize::new(UNBOUNDED),
        }
    }
}

impl Watch {
    /// An exchange begins, on a connection that was idle before or on a fresh one.
    pub(super) fn begin(&self, was_idle: bool) {
        self.was_idle.store(was_idle, Ordering::Relaxed);
        self.before_head.store(MOST_BEFORE_HEAD, Ordering::Relaxed);
    }

    /// The head is there.
    pub(super) fn answered(&self) {
        self.before_head.store(UNBOUNDED, Ordering::Relaxed);
    }

    fn count(&self, read: usize) -> io::Result<()> {
        let left = self.before_head.load(Ordering::Relaxed);
        if left == UNBOUNDED {
            return Ok(());
        }
        let left = left
            .checked_sub(read)
            .ok_or_else(|| io::Error::other(NoHead))?;
        self.before_head.store(left, Ordering::Relaxed);
        Ok(())
    }
}

/// A socket under a [`Watch`].
pub(super) struct Watched {
    socket: TcpStream,
    watch: Arc<Watch>,
}

impl Watched {
    pub(super) fn new(socket: TcpStream, watch: Arc<Watch>) -> Self {
        Self { socket, watch }
    }

    /// Fails where something waits to be read: the system is asked, since the runtime may have been
    /// too busy to hear of it. hyper reads before it writes and hands the request back unsent.
    fn look(&self) -> io::Result<()> {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(&self.socket).peek(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::other(Unasked)),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.was_idle.load(Ordering::Relaxed) {
            self.watch.was_idle.store(false, Ordering::Relaxed);
            self.look()?;
        }
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        Poll::Ready(self.watch.count(buf.filled().len() - before))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
