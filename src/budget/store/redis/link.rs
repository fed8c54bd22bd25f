//! The connection to the store: made, watched, and made again.
//!
//! One multiplexed connection, whose driver runs on the runtime of [`Link::keep`], serves all workers: it
//! is a channel to that driver, so what many workers send at once goes out in one write, and there is
//! one place that knows whether the store answers. One for each worker would save two thread hops
//! (about 20 µs), and cost as many connections for each replica as it has cores, each of which had to
//! find out by its own timeouts that the store is away.
//!
//! Guarantees: as soon as one call finds the store away, nobody waits for it until a probe, which
//! writes, has been answered; each change is logged once; nothing that is logged has a password in it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::cluster::ClusterClientBuilder;
use ::redis::cluster_async::ClusterConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, TlsCertificates,
};
use ::redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::config::{Mode, RedisConfig};
use super::script::{PROBE, Script};

/// For a connection to be made, its greeting included.
const CONNECT: Duration = Duration::from_secs(2);

/// Between two probes, while the store answers.
const BEAT: Duration = Duration::from_secs(1);

/// Before the first and the later attempts to connect again.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A connection that was answered when it was made.
#[derive(Clone)]
pub(super) struct Live {
    connection: Connection,
    /// Which, counted from 1.
    pub(super) generation: u64,
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Why a call has no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// The store is away, or went away: whether it did what was asked is not known.
    Away,
    /// It answers, and refuses this call.
    Refused(RedisError),
}

/// The connection, or its absence.
pub(crate) struct Link {
    config: RedisConfig,
    state: watch::Sender<Option<Live>>,
    broken: Notify,
    told: Box<dyn Fn(bool) + Send + Sync>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Away until [`keep`](Self::keep) runs. `told` hears of each change.
    pub(super) fn new(config: RedisConfig, told: Box<dyn Fn(bool) + Send + Sync>) -> Arc<Self> {
        Arc::new(Self {
            config,
            state: watch::Sender::new(None),
            broken: Notify::new(),
            told,
        })
    }

    /// Connects, and connects again whenever it has to; runs for ever.
    pub(super) async fn keep(&self) {
        let (mut generation, mut wait, mut is_away_said) = (0, FIRST_WAIT, false);
        loop {
            match Box::pin(self.connect()).await {
                Ok(connection) => {
                    generation += 1;
                    tracing::info!(generation, "the shared store answers");
                    let live = Live {
                        connection,
                        generation,
                    };
                    self.state.send_replace(Some(live.clone()));
                    (self.told)(true);
                    if self.watch(live).await {
                        wait = FIRST_WAIT;
                    }
                    (self.told)(false);
                    is_away_said = true;
                }
                Err(error) if !is_away_said => {
                    is_away_said = true;
                    tracing::warn!(%error, "the shared store does not answer; trying again");
                }
                Err(error) => tracing::debug!(%error, "the shared store still does not answer"),
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Returns when the connection is broken; whether it held for a while.
    async fn watch(&self, live: Live) -> bool {
        let mut beats = 0_u32;
        while self.generation() == live.generation {
            tokio::select! {
                () = self.broken.notified() => {}
                () = sleep(BEAT) => {
                    let probed = timeout(self.patience(), live.clone().probe(&self.config.prefix));
                    match Box::pin(probed).await {
                        Ok(Ok(())) => beats = beats.saturating_add(1),
                        Ok(Err(error)) => self.lost(live.generation, &error.to_string()),
                        Err(_) => self.lost(live.generation, "a probe was not answered in time"),
                    }
                }
            }
        }
        beats > 2
    }

    /// The connection, unless the store is away.
    pub(super) fn live(&self) -> Option<Live> {
        self.state.borrow().clone()
    }

    /// Which connection it is; 0 while the store is away.
    pub(super) fn generation(&self) -> u64 {
        self.state
            .borrow()
            .as_ref()
            .map_or(0, |live| live.generation)
    }

    /// Hears of each change.
    pub(super) fn changes(&self) -> watch::Receiver<Option<Live>> {
        self.state.subscribe()
    }

    pub(super) fn is_up(&self) -> bool {
        self.state.borrow().is_some()
    }

    /// Waits until there is a connection.
    pub(super) async fn established(&self) -> Live {
        let mut state = self.state.subscribe();
        loop {
            if let Some(live) = state.borrow_and_update().clone() {
                return live;
            }
            if state.changed().await.is_err() {
                // Not as long as `self` is there, which owns the sender.
                std::future::pending::<()>().await;
            }
        }
    }

    /// For what nobody waits for.
    pub(super) fn patience(&self) -> Duration {
        (self.config.timeout * 4).max(Duration::from_secs(1))
    }

    /// Calls `script` over `live`, which counts as broken where it does not answer within `limit`.
    pub(super) async fn call(
        &self,
        live: &mut Live,
        script: &Script,
        keys: &[String],
        arguments: &[Vec<u8>],
        limit: Duration,
    ) -> Result<Value, Failed> {
        match timeout(limit, live.call(script, keys, arguments)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if is_about_the_call(&error) => Err(Failed::Refused(error)),
            Ok(Err(error)) => {
                self.lost(live.generation, &error.to_string());
                Err(Failed::Away)
            }
            Err(_) => {
                self.lost(live.generation, "a call was not answered in time");
                Err(Failed::Away)
            }
        }
    }

    /// From now on nobody uses the connection of `generation`.
    fn lost(&self, generation: u64, why: &str) {
        let was_live = self.state.send_if_modified(|state| {
            let is_it = state
                .as_ref()
                .is_some_and(|live| live.generation == generation);
            if is_it {
                *state = None;
            }
            is_it
        });
        if was_live {
            tracing::warn!(why, "the shared store went away; connecting again");
            self.broken.notify_one();
        }
    }

    async fn connect(&self) -> RedisResult<Connection> {
        let connecting = async {
            match &self.config.mode {
                Mode::Cluster => self.cluster().await,
                Mode::Single => self.single().await,
                Mode::Sentinel { name } => self.sentinel(name).await,
            }
        };
        let most = CONNECT
            * u32::try_from(self.config.addresses.len())
                .unwrap_or(1)
                .max(1);
        timeout(most, connecting)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    async fn single(&self) -> RedisResult<Connection> {
        let mut problem = late();
        for address in &self.config.addresses {
            match self.server(address.info()?).await {
                Ok(connection) => return Ok(connection),
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    async fn sentinel(&self, name: &str) -> RedisResult<Connection> {
        let mut problem = late();
        for address in &self.config.addresses {
            let found = self.primary(address.info()?, name).await;
            let connected = match found {
                Ok((host, port)) => self.server(address.moved_to(host, port)?).await,
                Err(error) => Err(error),
            };
            match connected {
                Ok(connection) => return Ok(connection),
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    /// What one sentinel says where the primary is. It is given the credentials, and if it wants none of
    /// them, none: sentinels often have no users of their own.
    async fn primary(&self, info: ConnectionInfo, name: &str) -> RedisResult<(String, u16)> {
        let settings = info.redis_settings().clone().set_db(0);
        let info = info.set_redis_settings(settings);
        let mut connection = match self.multiplexed(info.clone()).await {
            Err(error) if error.kind() == ErrorKind::AuthenticationFailed => {
                let none = ::redis::RedisConnectionInfo::default();
                self.multiplexed(info.set_redis_settings(none)).await?
            }
            connected => connected?,
        };
        let mut ask = Cmd::new();
        ask.arg("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let answer: Option<(String, u16)> = ask.query_async(&mut connection).await?;
        let unknown = "no sentinel knows a primary of this name";
        answer.ok_or_else(|| (ErrorKind::MasterNameNotFoundBySentinel, unknown).into())
    }

    /// One server that can be written to.
    async fn server(&self, info: ConnectionInfo) -> RedisResult<Connection> {
        let connection = Connection::One(self.multiplexed(info).await?);
        let live = Live {
            connection,
            generation: 0,
        };
        live.clone().probe(&self.config.prefix).await?;
        Ok(live.connection)
    }

    async fn multiplexed(&self, info: ConnectionInfo) -> RedisResult<MultiplexedConnection> {
        let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let client = match self.config.pem().filter(|_| is_tls) {
            Some(pem) => Client::build_with_tls(info, certificates(pem))?,
            None => Client::open(info)?,
        };
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            // Each call has a limit of its own.
            .set_response_timeout(None);
        let connecting = client.get_multiplexed_async_connection_with_config(&settings);
        // With no limit on answers it would wait for a greeting for ever.
        timeout(CONNECT, connecting)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    async fn cluster(&self) -> RedisResult<Connection> {
        let infos: RedisResult<Vec<_>> = self
            .config
            .addresses
            .iter()
            .map(super::config::Address::info)
            .collect();
        let mut builder = ClusterClientBuilder::new(infos?)
            .connection_timeout(CONNECT)
            .response_timeout(self.patience())
            .retries(2);
        if let Some(pem) = self.config.pem() {
            builder = builder.certs(certificates(pem));
        }
        let connection = builder.build()?.get_async_connection().await?;
        let live = Live {
            connection: Connection::Cluster(connection),
            generation: 0,
        };
        live.clone().probe(&self.config.prefix).await?;
        Ok(live.connection)
    }
}

impl Live {
    pub(super) async fn call(
        &mut self,
        script: &Script,
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> RedisResult<Value> {
        match &mut self.connection {
            Connection::One(one) => script.call(one, keys, arguments).await,
            Connection::Cluster(cluster) => script.call(cluster, keys, arguments).await,
        }
    }

    /// Whether it answers and can be written to; of a cluster, whether every primary answers.
    async fn probe(mut self, prefix: &str) -> RedisResult<()> {
        if let Connection::Cluster(cluster) = &mut self.connection {
            cluster.req_packed_command(&::redis::cmd("PING")).await?;
        }
        self.call(&PROBE, &[format!("{prefix}:probe")], &[])
            .await
            .map(drop)
    }
}

fn certificates(pem: Vec<u8>) -> TlsCertificates {
    TlsCertificates {
        client_tls: None,
        root_cert: Some(pem),
    }
}

fn late() -> RedisError {
    let error = std::io::Error::new(std::io::ErrorKind::TimedOut, "not connected in time");
    RedisError::from(error)
}

/// Whether it is this call that the store refuses, and would again, while it answers others.
fn is_about_the_call(error: &RedisError) -> bool {
    let kind = error.kind();
    let of_the_call = [ServerErrorKind::ResponseError, ServerErrorKind::CrossSlot];
    of_the_call
        .into_iter()
        .any(|it| kind == ErrorKind::Server(it))
        || kind == ErrorKind::UnexpectedReturnType
        || error.code() == Some("WRONGTYPE")
}
