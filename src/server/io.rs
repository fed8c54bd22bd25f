//! A downstream socket that loses patience: with a head that never ends, and with a reader that
//! stopped reading.
//!
//! hyper's own `header_read_timeout` is one time for both an idle connection and a head, and costs a
//! timer for each request; here each has its own, and one timer serves the whole connection. A
//! write that the client does not take within the stall timeout fails: a slow reader cannot hold
//! memory and an upstream connection for ever.
//!
//! A connection is closed by halves: closing on unread bytes would reset it, and a caller that is
//! still sending a refused body would lose the answer that says why (RFC 9112 section 9.6).

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::requests::Requests;
use super::unfinished::Unfinished;

/// After the last answer, what a caller still sends is discarded for this long.
const LINGER: Duration = Duration::from_secs(1);

/// Reads at most this often before others get their turn.
const DISCARDS_AT_ONCE: usize = 16;

/// On HTTP/2, too, but far less often: a read can be hundreds of small frames, an answer to each.
const H2_READS_AT_ONCE: u32 = 2;

/// How long what is waited for.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// For the rest of a head, from its first byte; on HTTP/2 for that of the preface, of a frame, and
    /// of a header block.
    pub(super) head: Duration,
    /// For a connection without a request; on HTTP/2, which has bytes without requests, this is for
    /// others to judge.
    pub(super) idle: Duration,
    /// For the client to read on.
    pub(super) stall: Duration,
}

/// A socket with patience for heads, for idleness and for writes.
pub(super) struct Patient<S> {
    socket: S,
    requests: Requests,
    patience: Patience,
    /// How many requests had begun when a head's first bytes came, and when that was.
    head: Option<(usize, Instant)>,
    /// On HTTP/2.
    unfinished: Option<Box<Unfinished>>,
    /// Reads since others had their turn; on HTTP/2.
    reads: u32,
    /// Fires at or before the end of what is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    stall: Option<Pin<Box<Sleep>>>,
    /// Set once the writing half is closed.
    linger: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// Over `socket`, on which the first byte has come.
    pub(super) fn new(socket: S, requests: Requests, patience: Patience, is_http2: bool) -> Self {
        Self {
            socket,
            requests,
            patience,
            head: None,
            unfinished: is_http2.then(|| Box::new(Unfinished::begun(Instant::now()))),
            reads: 0,
            timer: None,
            stall: None,
            linger: None,
        }
    }

    /// While nothing can be read: has the client been waited for long enough?
    ///
    /// hyper does not read again when an answer has ended, so the timer also runs while a request is
    /// under way; one that fires too early is set anew, and most connections never see it fire.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let patience = self.patience;
        if let Some(unfinished) = &self.unfinished {
            let since = unfinished.since();
            return since.map_or(Poll::Pending, |since| self.poll_rest(cx, since));
        }
        let is_idle = self.requests.is_idle();
        let (until, what) = match self.head {
            Some((begun, since)) if begun == self.requests.begun() => {
                (since + patience.head, "the head took too long")
            }
            Some(_) | None => (
                self.requests.idle_since() + patience.idle,
                "the connection was idle",
            ),
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience.idle)));
        if is_idle && timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if !is_idle {
                timer.as_mut().reset(now + patience.idle);
            } else if now < until {
                timer.as_mut().reset(until);
            } else {
                return Poll::Ready(timed_out(what));
            }
        }
    }

    /// On HTTP/2: has the rest of what began at `since` been waited for long enough?
    fn poll_rest(&mut self, cx: &mut Context<'_>, since: Instant) -> Poll<io::Error> {
        let until = since + self.patience.head;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(timed_out("a preface, frame or header block took too long"))
    }

    /// On HTTP/2: whether others have their turn now. hyper reads for as long as there is anything, and
    /// a flood of frames always has something.
    fn gives_way(&mut self, cx: &mut Context<'_>) -> bool {
        if self.unfinished.is_none() {
            return false;
        }
        if self.reads < H2_READS_AT_ONCE {
            self.reads += 1;
            return false;
        }
        self.reads = 0;
        // Wakes the task after the runtime has looked for what has come for others; waking it directly
        // puts it before them.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
        true
    }

    /// While nothing can be written: has the client stopped reading?
    fn poll_stall<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let timeout = self.patience.stall;
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
        if self.gives_way(cx) {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.socket).poll_read(cx, buffer) {
            Poll::Pending => {
                self.reads = 0;
                self.poll_wait(cx).map(Err)
            }
            Poll::Ready(result) => {
                if let Some(unfinished) = &mut self.unfinished {
                    let came = buffer.filled().get(before..).unwrap_or_default();
                    unfinished.advance(came, Instant::now());
                    return Poll::Ready(result);
                }
                let begun = self.requests.begun();
                let in_head = self.head.is_some_and(|(after, _)| after == begun);
                // What comes while a request is under way is its body.
                if buffer.filled().len() > before && !in_head && self.requests.is_idle() {
                    self.head = Some((begun, Instant::now()));
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
