//! The workers: threads with a runtime each, and the one who deals connections to them.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::connection::{self, Closing};
use super::{Active, Shutdown};
use crate::client;
use crate::clock;
use crate::generation::Process;
use crate::telemetry::line_budget::LineBudget;
use crate::telemetry::metrics::Metrics;

/// After a failed accept (out of file descriptors, most often).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Between two lines about failed accepts, steadily: callers can cause them.
const REFUSED_EVERY: Duration = Duration::from_secs(10);

/// All workers. They end when this is dropped.
pub(super) struct Workers {
    threads: Vec<Worker>,
    metrics: Arc<Metrics>,
    connections: TaskTracker,
}

struct Worker {
    sockets: mpsc::UnboundedSender<(std::net::TcpStream, Place)>,
    open: Arc<AtomicUsize>,
}

/// A connection's place in a worker's count and under the connection limit.
struct Place {
    open: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    _permit: tokio::sync::OwnedSemaphorePermit,
    /// Counts it as open for the drain also before its worker has taken it up.
    _tracked: TaskTrackerToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.metrics.connections(-1);
    }
}

impl Workers {
    /// Starts `count` threads.
    pub(super) fn start(
        count: usize,
        active: &Arc<Active>,
        shutdown: &Shutdown,
        connections: &TaskTracker,
        process: &Process,
    ) -> io::Result<Self> {
        let start = |index| {
            let (sockets, dealt) = mpsc::unbounded_channel();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let serving = serve(dealt, Arc::clone(active), shutdown.clone());
            std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    client::enter_worker(index);
                    runtime.block_on(serving);
                })?;
            Ok(Worker {
                sockets,
                open: Arc::default(),
            })
        };
        Ok(Self {
            threads: (0..count.max(1)).map(start).collect::<io::Result<_>>()?,
            metrics: Arc::clone(&process.metrics),
            connections: connections.clone(),
        })
    }

    /// Accepts for ever, at most `max_connections` at a time.
    pub(super) async fn accept(&self, listener: TcpListener, max_connections: usize) {
        let limit = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        let lines = LineBudget::default();
        loop {
            let Ok(permit) = Arc::clone(&limit).acquire_owned().await else {
                return;
            };
            let socket = match listener.accept().await {
                Ok((socket, _)) => socket.into_std(),
                Err(error) => {
                    if lines.admit(REFUSED_EVERY, clock::monotonic()) {
                        let left_out = lines.take_left_out();
                        tracing::warn!(
                            %error,
                            left_out,
                            "a connection could not be accepted: raise the limit of open files \
                             (ulimit -n) above server.max_connections, or lower that"
                        );
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Ok(socket) = socket {
                self.deal(socket, permit);
            }
        }
    }

    /// To the worker with the fewest connections.
    fn deal(&self, socket: std::net::TcpStream, permit: tokio::sync::OwnedSemaphorePermit) {
        let fewest = self
            .threads
            .iter()
            .min_by_key(|worker| worker.open.load(Ordering::Relaxed));
        let Some(worker) = fewest else { return };
        worker.open.fetch_add(1, Ordering::Relaxed);
        self.metrics.connections(1);
        let place = Place {
            open: Arc::clone(&worker.open),
            metrics: Arc::clone(&self.metrics),
            _permit: permit,
            _tracked: self.connections.token(),
        };
        if worker.sockets.send((socket, place)).is_err() {
            tracing::error!("a worker has ended");
        }
    }
}

/// One worker's life.
async fn serve(
    mut dealt: mpsc::UnboundedReceiver<(std::net::TcpStream, Place)>,
    active: Arc<Active>,
    shutdown: Shutdown,
) {
    let mut open = OpenConnections::default();
    loop {
        let (socket, place) = tokio::select! {
            dealt = dealt.recv() => match dealt {
                Some(dealt) => dealt,
                None => return,
            },
            () = shutdown.closing(), if !open.closed => {
                open.close();
                continue;
            }
        };
        let Ok(socket) = TcpStream::from_std(socket) else {
            continue;
        };
        let serving = connection::serve(socket, Arc::clone(&active), open.add());
        tokio::spawn(async move {
            serving.await;
            drop(place);
        });
    }
}

/// The connections that are told when the end begins: by the drop of what is held here.
#[derive(Default)]
struct OpenConnections {
    closers: Vec<oneshot::Sender<Infallible>>,
    /// Above this, those that have ended are put out.
    prune_above: usize,
    closed: bool,
}

impl OpenConnections {
    fn add(&mut self) -> Closing {
        let (closer, closing) = oneshot::channel();
        if self.closers.len() >= self.prune_above {
            self.closers.retain(|closer| !closer.is_closed());
            self.prune_above = (self.closers.len() * 2).max(64);
        }
        if !self.closed {
            self.closers.push(closer);
        }
        closing
    }

    fn close(&mut self) {
        self.closed = true;
        self.closers = Vec::new();
    }
}
