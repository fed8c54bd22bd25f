//! The workers: threads with a runtime each, and the one who deals connections to them.
//!
//! At most so many connections are open at once. When one more comes, those that have been without a
//! request for longest make room for it: a flood of idle or half-open connections drives out itself,
//! and whoever asks something is served. Only where every connection is busy, the next one waits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::open::OpenConnections;
use super::requests::Requests;
use super::{Active, Shutdown, connection};
use crate::client;
use crate::clock;
use crate::generation::Process;
use crate::telemetry::line_budget::LineBudget;
use crate::telemetry::metrics::Metrics;

/// After a failed accept (out of file descriptors, most often).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Between two lines about failed accepts, steadily: callers can cause them.
const REFUSED_EVERY: Duration = Duration::from_secs(10);

/// When the listener closes, what has come is taken up as long as the next one is there within this.
const LAST_LOOK: Duration = Duration::from_millis(5);

/// While none can be spared, it is looked again this often.
const SHED_AGAIN: Duration = Duration::from_millis(100);

/// This part of all connections makes room at a time: looking for them costs more than one is worth.
const SHED_PART: usize = 128;

/// That connections make room is logged at most this often.
const SHED_LOGGED: Duration = Duration::from_secs(10);

/// All workers. They end when this is dropped.
pub(super) struct Workers {
    threads: Vec<Worker>,
    metrics: Arc<Metrics>,
    connections: TaskTracker,
    /// How many connections may be open, and the places that are left.
    limit: usize,
    places: Arc<Semaphore>,
}

/// What a worker is told.
enum Order {
    Serve(std::net::TcpStream, Place),
    /// So many connections are to make room.
    Shed(usize),
}

struct Worker {
    orders: mpsc::UnboundedSender<Order>,
    open: Arc<AtomicUsize>,
}

/// A connection's place in a worker's count and under the connection limit.
struct Place {
    open: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
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
    /// Starts `count` threads, for at most `limit` connections.
    pub(super) fn start(
        count: usize,
        limit: usize,
        active: &Arc<Active>,
        shutdown: &Shutdown,
        connections: &TaskTracker,
        process: &Process,
    ) -> io::Result<Self> {
        let start = |index| {
            let (orders, given) = mpsc::unbounded_channel();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let metrics = Arc::clone(&process.metrics);
            let serving = serve(given, Arc::clone(active), shutdown.clone(), metrics);
            std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    client::enter_worker(index);
                    runtime.block_on(serving);
                })?;
            Ok(Worker {
                orders,
                open: Arc::default(),
            })
        };
        Ok(Self {
            threads: (0..count.max(1)).map(start).collect::<io::Result<_>>()?,
            metrics: Arc::clone(&process.metrics),
            connections: connections.clone(),
            limit,
            places: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
        })
    }

    /// Accepts for ever.
    pub(super) async fn accept(&self, listener: &TcpListener) {
        let lines = LineBudget::default();
        let mut logged = None;
        loop {
            let socket = match listener.accept().await {
                Ok((socket, _)) => socket,
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
                    // Most often there are no file descriptors left: idle connections hold them.
                    self.shed(&mut logged);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let permit = self.place(&mut logged).await;
            self.deal(socket, permit);
        }
    }

    /// Deals the connections that have come and were not accepted yet, before the listener closes:
    /// closing resets them.
    pub(super) async fn accept_waiting(&self, listener: &TcpListener) {
        for _ in 0..self.limit {
            let waiting = tokio::time::timeout(LAST_LOOK, listener.accept()).await;
            let Ok(Ok((socket, _))) = waiting else { return };
            let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() else {
                return;
            };
            self.deal(socket, permit);
        }
    }

    /// A place for one more connection.
    async fn place(&self, logged: &mut Option<Instant>) -> OwnedSemaphorePermit {
        loop {
            if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
                return permit;
            }
            self.shed(logged);
            let place = Arc::clone(&self.places).acquire_owned();
            if let Ok(Ok(permit)) = tokio::time::timeout(SHED_AGAIN, place).await {
                return permit;
            }
        }
    }

    /// Makes room, as far as connections can be spared.
    fn shed(&self, logged: &mut Option<Instant>) {
        let now = clock::monotonic();
        if logged.is_none_or(|at| now.duration_since(at) >= SHED_LOGGED) {
            *logged = Some(now);
            tracing::warn!(
                limit = self.limit,
                "too many connections: those without a request for longest are closed; \
                 see server.max_connections"
            );
        }
        let all = (self.limit / SHED_PART).max(1);
        let each = all.div_ceil(self.threads.len().max(1));
        for worker in &self.threads {
            // A worker that has ended has no connections.
            let _ = worker.orders.send(Order::Shed(each));
        }
    }

    /// To the worker with the fewest connections.
    fn deal(&self, socket: TcpStream, permit: OwnedSemaphorePermit) {
        let Ok(socket) = socket.into_std() else {
            return;
        };
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
        if worker.orders.send(Order::Serve(socket, place)).is_err() {
            tracing::error!("a worker has ended");
        }
    }
}

/// One worker's life.
async fn serve(
    mut orders: mpsc::UnboundedReceiver<Order>,
    active: Arc<Active>,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
) {
    let mut open = OpenConnections::default();
    loop {
        let (socket, place) = tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Serve(socket, place)) => (socket, place),
                Some(Order::Shed(count)) => {
                    metrics.connections_shed(open.shed(count));
                    continue;
                }
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
        let requests = Requests::default();
        let closing = open.add(requests.clone());
        let serving = connection::serve(socket, Arc::clone(&active), requests, closing);
        tokio::spawn(async move {
            serving.await;
            drop(place);
        });
    }
}
