//! A downstream socket that loses patience: with a head that never ends, and with a reader that
//! stopped reading.
//!
//! hyper's own `header_read_timeout` also runs while a kept-alive connection is idle, so it is the
//! idle timeout here, and the time for one head, from its first byte, is kept by this wrapper. A
//! write that the client does not take within the stall timeout fails: a slow reader cannot hold
//! memory and an upstream connection for ever.
//!
//! A connection is closed by halves: closing on unread bytes would reset it, and a caller that is
//! still sending a refused body would lose the answer that says why (RFC 9112 section 9.6).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// After the last answer, what a caller still sends is discarded for this long.
const LINGER: Duration = Duration::from_secs(1);

/// Reads at most this often before others get their turn.
const DISCARDS_AT_ONCE: usize = 16;

/// Requests of one connection whose answers have not ended; shared with the connection's service.
#[derive(Clone, Default)]
pub(super) struct Requests(Arc<AtomicUsize>);

impl Requests {
    /// One more, until the guard is dropped.
    pub(super) fn begin(&self) -> RequestGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        RequestGuard(self.clone())
    }

    /// Whether there is none.
    pub(super) fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// One request under way.
pub(super) struct RequestGuard(Requests);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket with patience for heads and writes.
pub(super) struct Patient<S> {
    socket: S,
    requests: Requests,
    /// `None` on HTTP/2, where bytes come without a head.
    head_timeout: Option<Duration>,
    stall_timeout: Duration,
    /// Whether bytes came since the last request: a head has begun.
    in_head: bool,
    head: Option<Pin<Box<Sleep>>>,
    stall: Option<Pin<Box<Sleep>>>,
    /// Set once the writing half is closed.
    linger: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(
        socket: S,
        requests: Requests,
        head_timeout: Option<Duration>,
        stall_timeout: Duration,
    ) -> Self {
        Self {
            socket,
            requests,
            head_timeout,
            stall_timeout,
            in_head: false,
            head: None,
            stall: None,
            linger: None,
        }
    }

    /// While nothing can be read: is a head taking too long?
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(timeout) = self.head_timeout else {
            return Poll::Pending;
        };
        if !self.in_head || !self.requests.is_idle() {
            self.in_head = false;
            self.head = None;
            return Poll::Pending;
        }
        let head = self
            .head
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        head.as_mut()
            .poll(cx)
            .map(|()| timed_out("the head took too long"))
    }

    /// While nothing can be written: has the client stopped reading?
    fn poll_stall<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let timeout = self.stall_timeout;
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        stall
            .as_mut()
            .poll(cx)
            .map(|()| Err(timed_out("the client stopped reading")))
    }
}

impl<S: AsyncRead + Unpin> Patient<S> {
    /// While the caller may still be sending: until it ends its half, or the time is over.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let linger = self
            .linger
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        if linger.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut space = [0; 8 * 1024];
        for _ in 0..DISCARDS_AT_ONCE {
            let mut discarded = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut discarded));
            if read.is_err() || discarded.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.socket).poll_read(cx, buffer) {
            Poll::Pending => self.poll_head(cx).map(Err),
            Poll::Ready(result) => {
                if buffer.filled().len() > before && self.requests.is_idle() {
                    self.in_head = true;
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.socket).poll_write(cx, data) {
            Poll::Pending => self.poll_stall(cx),
            ready @ Poll::Ready(_) => {
                self.stall = None;
                ready
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.socket).poll_write_vectored(cx, data) {
            Poll::Pending => self.poll_stall(cx),
            ready @ Poll::Ready(_) => {
                self.stall = None;
                ready
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.socket).poll_flush(cx) {
            Poll::Pending => self.poll_stall(cx),
            ready @ Poll::Ready(_) => ready,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_some() {
            return self.poll_linger(cx);
        }
        match Pin::new(&mut self.socket).poll_shutdown(cx) {
            Poll::Pending => self.poll_stall(cx),
            Poll::Ready(Ok(())) => self.poll_linger(cx),
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}
