//! Pooled connections: who holds one, and when it may be used again.
//!
//! A [`Lease`] is one exchange's hold on a connection. It goes back to its worker's pool only when
//! the answer's body was read to its clean end; dropped any other way, it closes the connection
//! within the same poll, whatever hyper is waiting for.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::task::AbortHandle;

use super::watched::Watch;
use super::{ClientConfig, Sender};
use crate::clock;

/// Idle connections kept for each worker.
const MAX_IDLE: usize = 256;

/// A connection that has not finished its side of an exchange so long after its answer is closed.
const READY_WITHIN: Duration = Duration::from_secs(1);

thread_local! {
    /// Which pool this thread uses.
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Makes the calling thread worker number `index`: connections it opens are pooled apart from other
/// workers', since a connection's driver runs where it was opened.
pub fn enter_worker(index: usize) {
    WORKER.set(index);
}

/// Idle connections, by worker. Each lock is taken by its own worker, and now and then by the sweep.
pub(super) struct Pools {
    idle: Box<[Mutex<Vec<Idle>>]>,
    idle_timeout: Duration,
    max_age: Duration,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pools {
    pub(super) fn new(config: ClientConfig) -> Self {
        Self {
            idle: (0..config.workers.max(1))
                .map(|_| Mutex::default())
                .collect(),
            idle_timeout: config.pool_idle_timeout,
            max_age: config.pool_max_age,
        }
    }

    fn own(&self) -> (usize, &Mutex<Vec<Idle>>) {
        let worker = WORKER.get() % self.idle.len();
        #[expect(clippy::indexing_slicing, reason = "reduced modulo the length")]
        (worker, &self.idle[worker])
    }

    /// The connection that was used last and can still be used.
    pub(super) fn take(self: &Arc<Self>) -> Option<Lease> {
        let now = clock::monotonic();
        let mut idle = self.own().1.lock().unwrap_or_else(PoisonError::into_inner);
        // Newest last: once one has been idle too long, so have all before it.
        while let Some(candidate) = idle.pop() {
            if now.duration_since(candidate.since) >= self.idle_timeout {
                idle.clear();
                return None;
            }
            if candidate.connection.is_reusable(now, self.max_age) {
                return Some(Lease::new(candidate.connection, Arc::clone(self)));
            }
        }
        None
    }

    /// Closes what can no longer be used: on a quiet worker nobody takes or puts.
    pub(super) fn sweep(&self) {
        let now = clock::monotonic();
        for idle in &self.idle {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|kept| {
                now.duration_since(kept.since) < self.idle_timeout
                    && kept.connection.is_reusable(now, self.max_age)
            });
        }
    }

    fn put(&self, connection: Connection) {
        let now = clock::monotonic();
        if !connection.is_reusable(now, self.max_age) {
            return;
        }
        let mut idle = self.own().1.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| now.duration_since(kept.since) < self.idle_timeout);
        if idle.len() < MAX_IDLE {
            idle.push(Idle {
                connection,
                since: now,
            });
        }
    }
}

/// A connection and its driver; closed when dropped.
pub(super) struct Connection {
    sender: Sender,
    driver: AbortHandle,
    watch: Arc<Watch>,
    opened: Instant,
}

impl Connection {
    /// One that was just opened.
    pub(super) fn new(
        sender: Sender,
        driver: AbortHandle,
        watch: Arc<Watch>,
        opened: Instant,
    ) -> Self {
        Self {
            sender,
            driver,
            watch,
            opened,
        }
    }

    fn is_reusable(&self, now: Instant, max_age: Duration) -> bool {
        now.duration_since(self.opened) < max_age && self.sender.is_ready()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // hyper 1.12 closes by itself too once sender and body are gone; that Stop stops the bill
        // must not rest on what it happens to be waiting for.
        self.driver.abort();
    }
}

/// One exchange's hold on a connection: closes it when dropped, unless released.
pub(super) struct Lease {
    connection: Connection,
    pools: Arc<Pools>,
}

impl Lease {
    /// A hold on `connection`, which goes back to `pools`.
    pub(super) fn new(connection: Connection, pools: Arc<Pools>) -> Self {
        Self { connection, pools }
    }

    /// Told of the exchange's beginning and of its head.
    pub(super) fn watch(&self) -> &Watch {
        &self.connection.watch
    }

    /// Where the one request goes.
    pub(super) fn sender(&mut self) -> &mut Sender {
        &mut self.connection.sender
    }

    /// Back to the pool, once the connection has finished its side of the exchange.
    fn release(self) {
        let Self {
            mut connection,
            pools,
        } = self;
        if connection.sender.is_ready() {
            pools.put(connection);
        } else if !connection.sender.is_closed() {
            // Either the driver needs a turn, or the answer came before the request's body was out:
            // such a body may never end.
            tokio::spawn(async move {
                let ready = tokio::time::timeout(READY_WITHIN, connection.sender.ready());
                if matches!(ready.await, Ok(Ok(()))) {
                    pools.put(connection);
                }
            });
        }
    }
}

/// An answer's body. Its end gives the connection back; dropping it earlier closes the connection.
pub struct ResponseBody {
    /// Read before, and given first.
    ahead: Option<Box<Bytes>>,
    incoming: Incoming,
    /// Until the end.
    lease: Option<Lease>,
}

impl ResponseBody {
    pub(super) fn new(incoming: Incoming, lease: Lease) -> Self {
        let mut body = Self {
            ahead: None,
            incoming,
            lease: Some(lease),
        };
        body.release_at_end();
        body
    }

    /// Puts back what was read of it: it is given again, before the rest.
    pub fn put_back(&mut self, ahead: Bytes) {
        self.ahead = (!ahead.is_empty()).then(|| Box::new(ahead));
    }

    fn release_at_end(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.release();
        }
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl ResponseBody {
    /// A body of a connection that no client made, and a pool of its own.
    #[doc(hidden)]
    #[must_use]
    pub fn of(incoming: Incoming, sender: Sender, driver: AbortHandle) -> Self {
        let pools = Arc::new(Pools::new(ClientConfig {
            connect_timeout: Duration::ZERO,
            first_byte_timeout: Duration::ZERO,
            pool_idle_timeout: Duration::MAX,
            pool_max_age: Duration::MAX,
            workers: 1,
        }));
        let connection = Connection::new(sender, driver, Arc::default(), clock::monotonic());
        let lease = Lease::new(connection, pools);
        Self::new(incoming, lease)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(Ok(Frame::data(*ahead))));
        }
        if self.lease.is_none() {
            return Poll::Ready(None);
        }
        let frame = std::task::ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => self.release_at_end(),
            Some(Err(_)) => self.lease = None,
            None => {
                if let Some(lease) = self.lease.take() {
                    lease.release();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let Some(ahead) = &self.ahead else {
            return self.incoming.size_hint();
        };
        let ahead = ahead.len() as u64;
        if self.lease.is_none() {
            return SizeHint::with_exact(ahead);
        }
        match self.incoming.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(ahead + rest),
            None => SizeHint::default(),
        }
    }
}
