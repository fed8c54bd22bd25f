//! The listeners, the workers, and the end: accept, deal, drain.
//!
//! One thread accepts and deals each connection to the worker with the fewest (with `SO_REUSEPORT`
//! the kernel deals by hash, and a second process could share the port unseen). A worker is a thread
//! with a runtime of its own. Health, metrics, rotation and the drain run on the accepting thread.

mod admin;
mod appz;
mod connection;
mod files;
mod guarded_body;
mod io;
mod open;
mod page;
mod readers;
mod refused;
mod requests;
mod revocations;
mod rotation;
mod unfinished;
mod usage;
mod workers;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::net::TcpListener as AsyncListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{self, ConfigProblems, Loaded};
use crate::generation::{BuildError, Generation, Process};
use crate::revocation::SharedRevocations;
use rotation::Rotation;
use workers::Workers;

/// The generation that new requests are answered by.
pub type Active = ArcSwap<Generation>;

/// Loads the configuration anew, for rotation.
pub type Reload = Box<dyn Fn() -> Result<Loaded, ConfigProblems> + Send>;

/// For usage records that wait when all requests have ended.
const LAST_RECORDS: Duration = Duration::from_secs(5);

/// For other replicas to be told what was used until then.
const LAST_SUMS: Duration = Duration::from_secs(2);

/// After the drain limit, live streams get this long to say that they are cut.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What was left out of the log is told this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Expired tokens are swept this often.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Idle connections to Behest are swept this often, so that none outlives its time by more; the keys of
/// sessions are looked after, and what was used is added up.
const SWEEP_CONNECTIONS_EVERY: Duration = Duration::from_secs(1);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot serve.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An address cannot be listened on.
    #[error("{key} = \"{address}\" cannot be listened on; set {variable} to another address")]
    Listen {
        /// The setting.
        key: &'static str,
        /// Its variable.
        variable: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread or its runtime.
    #[error("a worker cannot start: {0}")]
    Worker(#[from] std::io::Error),
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    admin_address: SocketAddr,
    shutdown: Shutdown,
    reload: Arc<tokio::sync::Notify>,
    control: JoinHandle<()>,
}

/// How far the end has come; cheap to clone.
#[derive(Clone, Default)]
pub struct Shutdown {
    requested: CancellationToken,
    closing: CancellationToken,
    is_ready: Arc<AtomicBool>,
}

impl Shutdown {
    /// Returns when connections must finish what they are doing.
    async fn closing(&self) {
        self.closing.cancelled().await;
    }

    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed) && !self.requested.is_cancelled()
    }
}

impl Server {
    /// Listens, starts the workers and serves `loaded`; `reload` is asked for its successors.
    ///
    /// # Errors
    /// Files, keys, addresses or threads that cannot be used.
    pub fn start(loaded: Loaded, process: Process, reload: Reload) -> Result<Self, StartError> {
        let in_force = InForce::of(&loaded);
        let Loaded {
            config,
            watched_files,
            ..
        } = loaded;
        let (settings, admin) = (config.server.clone(), config.admin.clone());
        let generation = Generation::build(config, &process, None)?;
        let listener = listen("server.listen", "GATEWAY_LISTEN", settings.listen)?;
        let admin_listener = listen("admin.listen", "GATEWAY_ADMIN_LISTEN", admin.listen)?;
        let address = listener.local_addr()?;
        let admin_address = admin_listener.local_addr()?;
        let active = Arc::new(Active::from_pointee(generation));
        let shutdown = Shutdown::default();
        let connections = TaskTracker::new();
        let workers = Workers::start(
            settings.workers,
            files::connections_within(settings.max_connections),
            &active,
            &shutdown,
            &connections,
            &process,
        )?;
        let requested = Arc::new(tokio::sync::Notify::new());
        let rotation = Rotation {
            active: Arc::clone(&active),
            in_force: in_force.clone(),
            process: process.clone(),
            reload,
            watched: watched_files,
        };
        let control = Control {
            active,
            in_force,
            process,
            shutdown: shutdown.clone(),
            connections,
            drain_limit: settings.drain_limit,
            drain_delay: settings.drain_delay,
        };
        let reload = Arc::clone(&requested);
        let control = on_a_thread(async move || {
            let local = control.run(listener, admin_listener, workers, rotation, &requested);
            if let Err(error) = local.await {
                tracing::error!(%error, "the server stopped");
            }
        })?;
        Ok(Self {
            address,
            admin_address,
            shutdown,
            reload,
            control,
        })
    }

    /// Where requests are served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health and metrics are served.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Begins the end: readiness goes, then the listener, then, after the drain limit, live streams.
    pub fn drain(&self) {
        self.shutdown.requested.cancel();
    }

    /// Looks for a changed configuration now.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.control.is_finished()
    }

    /// Waits for the end.
    pub fn join(self) {
        if self.control.join().is_err() {
            tracing::error!("the control thread panicked");
        }
    }
}

/// What runs on the accepting thread.
struct Control {
    active: Arc<Active>,
    in_force: InForce,
    process: Process,
    shutdown: Shutdown,
    connections: TaskTracker,
    drain_delay: Duration,
    drain_limit: Duration,
}

impl Control {
    async fn run(
        self,
        listener: TcpListener,
        admin: TcpListener,
        workers: Workers,
        rotation: Rotation,
        reload: &tokio::sync::Notify,
    ) -> std::io::Result<()> {
        let listener = AsyncListener::from_std(listener)?;
        let admin = AsyncListener::from_std(admin)?;
        let revocations = Arc::clone(&self.process.revocations);
        let calling = tokio::spawn(async move { revocations.call().await });
        let shared = self.share_revocations();
        let sharing = tokio::spawn({
            let shared = shared.clone();
            async move {
                if let Some(shared) = shared {
                    shared.run().await;
                }
            }
        });
        let (accounting, clock) = (
            Arc::clone(&self.process.accounting),
            self.process.clock.clone(),
        );
        let counting = tokio::spawn(async move {
            if let Some(accounting) = accounting.get() {
                accounting.run(&clock).await;
            }
        });
        let pages = admin::Pages {
            metrics: Arc::clone(&self.process.metrics),
            shutdown: self.shutdown.clone(),
            active: Arc::clone(&self.active),
            in_force: self.in_force.clone(),
            usage: Arc::clone(&self.process.usage),
            shared,
        };
        let admin = tokio::spawn(admin::serve(admin, pages));
        self.shutdown.is_ready.store(true, Ordering::Relaxed);
        tokio::select! {
            () = workers.accept(&listener) => {}
            () = rotation.run(reload) => {}
            () = self.sweep() => {}
            () = self.sweep_connections() => {}
            () = self.tell() => {}
            () = self.last_moment() => {}
        }
        workers.accept_waiting(&listener).await;
        drop(listener);
        self.finish(workers).await;
        if let Some(accounting) = self.process.accounting.get() {
            let clock = &self.process.clock;
            accounting.share(clock, LAST_SUMS).await;
        }
        admin.abort();
        calling.abort();
        sharing.abort();
        counting.abort();
        self.close_accounts();
        tracing::info!("stopped");
        Ok(())
    }

    /// The listener is closed. What is live may end.
    async fn finish(&self, workers: Workers) {
        tracing::info!(limit = ?self.drain_limit, "draining: no new connections");
        self.shutdown.closing.cancel();
        self.connections.close();
        if tokio::time::timeout(self.drain_limit, self.connections.wait())
            .await
            .is_err()
        {
            tracing::warn!("drain limit reached: cutting what is still live");
            self.process.cut.cancel();
            let _ = tokio::time::timeout(LAST_WORDS, self.connections.wait()).await;
        }
        drop(workers);
        self.tell_now();
    }

    /// Revocations that all replicas know, where there is a store that they share.
    fn share_revocations(&self) -> Option<Arc<SharedRevocations>> {
        let accounting = self.process.accounting.get()?;
        let active = Arc::clone(&self.active);
        let shared = revocations::share(accounting.shared()?, &self.process, active);
        Some(Arc::new(shared))
    }

    /// Nothing is under way any more: what waits to be written or sent goes out.
    fn close_accounts(&self) {
        if let Some(accounting) = self.process.accounting.get() {
            accounting.close(LAST_RECORDS);
        }
    }

    /// Returns when the listener must close.
    async fn last_moment(&self) {
        self.shutdown.requested.cancelled().await;
        tracing::info!(delay = ?self.drain_delay, "stopping: not ready any more");
        tokio::time::sleep(self.drain_delay).await;
    }

    /// Begins at once: sessions may need keys that are not here yet.
    async fn sweep_connections(&self) {
        loop {
            let active = self.active.load_full();
            active.gateway.sweep_connections();
            active.gateway.tend_sessions(&self.process.metrics);
            let Process { usage, clock, .. } = &self.process;
            usage.ledger.fold(clock.now());
            if let Some(accounting) = self.process.accounting.get() {
                accounting.tend(clock, &self.process.metrics);
                let metrics = &self.process.metrics.usage;
                metrics.live_streams(usage.live.streams());
            }
            tokio::time::sleep(SWEEP_CONNECTIONS_EVERY).await;
        }
    }

    async fn tell(&self) {
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            self.tell_now();
        }
    }

    /// What the log does not hold.
    fn tell_now(&self) {
        self.process.strangers.tell();
        if let Some(lines) = &self.process.log {
            self.process.metrics.lines_dropped(lines.take_lost());
        }
    }

    async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let Process {
                clock,
                metrics,
                revocations,
                ..
            } = &self.process;
            self.active.load().gateway.tokens.sweep(clock.now());
            revocations.sweep(clock.now());
            metrics.revocations(revocations.len());
        }
    }
}

/// What `check` would print of the running configuration; cheap to clone.
#[derive(Clone)]
struct InForce(Arc<Mutex<Bytes>>);

impl InForce {
    fn of(loaded: &Loaded) -> Self {
        Self(Arc::new(Mutex::new(config::report(loaded).into())))
    }

    fn replace(&self, by: &Self) {
        let new = by.text();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = new;
    }

    fn text(&self) -> Bytes {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Runs `control` on a thread and a runtime of its own.
fn on_a_thread(control: impl AsyncFnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || runtime.block_on(control()))
}

fn listen(
    key: &'static str,
    variable: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|source| StartError::Listen {
        key,
        variable,
        address,
        source,
    })
}
