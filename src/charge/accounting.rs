//! What charges are counted in: made once in a process, and kept across reloads.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use tokio::sync::mpsc;

use crate::budget::journal::{JournalConfig, JournalError};
use crate::budget::store::redis::{Crossing, Observer, Operation, RedisStore};
use crate::budget::store::{Embedded, EmbeddedConfig, Shared, Terms};
use crate::budget::window::Windows;
use crate::budget::{BudgetConfig, Crossed, Store, StoreConfig, Thresholds, parse_zone};
use crate::client::Outbound;
use crate::clock::Clock;
use crate::identity::UserHash;
use crate::telemetry::metrics::Metrics;
use crate::usage::{
    Receiver, ReceiverError, Sinks, SinksConfig, Target, ThresholdPassed, UsageConfig, UserPrivacy,
    Users,
};

/// Keys the hashes by which stores know users, where `usage.hash_key` gives no key: like a session's id
/// such a hash is a name and no capability, and must survive every rotation of keys.
const ACCOUNT_KEY: &[u8] = b"behest-gateway account";

/// For one POST to a receiver.
const POST_WITHIN: Duration = Duration::from_secs(10);

/// Crossings that wait to be told, at most.
const MOST_CROSSINGS: usize = 1024;

/// The name of the budgets' files in `store.path`.
const JOURNAL: &str = "budgets";

/// The places of a process in which charges are counted.
pub struct Accounting {
    /// Counts limits.
    pub store: Store,
    /// Gets records.
    pub sinks: Arc<Sinks>,
    thresholds: Option<crate::usage::Thresholds>,
    /// Keys the hashes by which the store knows users.
    pub account_key: hmac::Key,
    crossings: std::sync::Mutex<Option<mpsc::Receiver<Crossed>>>,
}

/// Why charges cannot be counted.
#[derive(Debug, thiserror::Error)]
pub enum AccountingError {
    /// `store.path`
    #[error("store.path: {0}")]
    Journal(#[from] JournalError),
    /// `store.url`
    #[error("store.url: {0}")]
    Redis(String),
    /// `budgets.time_zone`
    #[error("budgets.time_zone {0}")]
    Zone(String),
    /// A URL or a token of a receiver.
    #[error("{key}: {source}")]
    Receiver {
        /// Whose.
        key: &'static str,
        /// What is wrong.
        #[source]
        source: ReceiverError,
    },
    /// A thread that writes or sends.
    #[error("a thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

impl Accounting {
    /// Opens the store and starts what writes and sends.
    ///
    /// # Errors
    /// A folder, an address or a thread that cannot be used.
    pub fn open(
        store: &StoreConfig,
        budgets: &BudgetConfig,
        usage: &UsageConfig,
        outbound: &Outbound,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, AccountingError> {
        let (sender, receiver) = mpsc::channel(MOST_CROSSINGS);
        let store = match store {
            StoreConfig::Embedded(path) => {
                let journal = path.clone().map(|path| JournalConfig::new(path, JOURNAL));
                let config = EmbeddedConfig {
                    journal,
                    crossed: Some(sender),
                    ..EmbeddedConfig::new(terms(budgets)?)
                };
                Store::Embedded(Embedded::open(config)?)
            }
            StoreConfig::Redis(config) => {
                let watcher = Arc::new(Watcher {
                    metrics: Arc::clone(metrics),
                    crossed: sender,
                });
                let redis = RedisStore::new(config.clone(), clock.clone(), watcher);
                let redis = redis.map_err(AccountingError::Redis)?;
                Store::Redis(Arc::new(Shared::new(redis, windows(budgets)?)))
            }
        };
        metrics.usage.store_up(matches!(store, Store::Embedded(_)));
        Ok(Self {
            store,
            sinks: Arc::new(sinks(usage, outbound, clock)?),
            thresholds: thresholds(usage, outbound, clock)?,
            account_key: hmac::Key::new(hmac::HMAC_SHA256, ACCOUNT_KEY),
            crossings: std::sync::Mutex::new(Some(receiver)),
        })
    }

    /// Goes on with other windows, thresholds and receivers.
    ///
    /// # Errors
    /// A time zone or a receiver that cannot be used.
    pub fn adopt(
        &self,
        budgets: &BudgetConfig,
        usage: &UsageConfig,
        outbound: &Outbound,
    ) -> Result<(), AccountingError> {
        match &self.store {
            Store::Embedded(store) => store.adopt(terms(budgets)?),
            Store::Redis(store) => store.adopt(windows(budgets)?),
        }
        if let Some((target, _)) = &usage.webhook {
            self.sinks
                .readdress(receiver("usage.webhook", target, outbound)?);
        }
        if let (Some(told), Some(target)) = (&self.thresholds, &usage.thresholds) {
            told.readdress(receiver("budgets.webhook", target, outbound)?);
        }
        Ok(())
    }

    /// Keeps a shared store connected, and tells of thresholds. Runs for ever, once, on a runtime that
    /// lasts.
    pub async fn run(&self, clock: &Clock) {
        let crossings = self.crossings.lock().ok().and_then(|mut own| own.take());
        let told = async {
            let Some(mut crossings) = crossings else {
                return;
            };
            while let Some(crossed) = crossings.recv().await {
                self.tell(&crossed, clock);
            }
        };
        if let Store::Redis(store) = &self.store {
            tokio::join!(store.redis().run(), told);
        } else {
            told.await;
        }
    }

    fn tell(&self, crossed: &Crossed, clock: &Clock) {
        let Some(thresholds) = &self.thresholds else {
            return;
        };
        let passed = ThresholdPassed {
            account: crossed.user,
            user: None,
            tier: String::new(),
            scope: crossed.scope,
            kind: crossed.kind,
            percent: crossed.percent,
            used: crossed.used,
            limit: crossed.limit,
            window: crossed.window,
        };
        thresholds.tell(&passed, clock.now());
    }

    /// Drops what does not count any more, and counts what became of everything. To be called every
    /// second or so.
    pub fn tend(&self, clock: &Clock, metrics: &Metrics) {
        let metrics = &metrics.usage;
        match &self.store {
            Store::Embedded(store) => {
                store.sweep(clock.now());
                let health = store.health();
                metrics.accounts(health.accounts as u64);
                metrics.store_up(health.is_whole);
            }
            Store::Redis(store) => metrics.settlements_dropped(store.redis().dropped()),
        }
        let sinks = [
            ("file", self.sinks.file_counts()),
            ("webhook", self.sinks.webhook_counts()),
        ];
        for (name, counts) in sinks {
            if let Some(counts) = counts {
                let (delivered, dropped) = (counts.take_delivered(), counts.take_dropped());
                metrics.sink(name, delivered, dropped, counts.take_failures());
                if name == "webhook" {
                    metrics.spool_bytes(counts.spool_bytes());
                }
            }
        }
    }

    /// Writes and sends what waits, `within`.
    pub fn close(&self, within: Duration) {
        self.sinks.close(within);
        if let Some(thresholds) = &self.thresholds {
            thresholds.close(within);
        }
    }
}

/// How users stand in records, with the access log's hash.
#[must_use]
pub fn privacy(users: Users, hash: &Arc<UserHash>) -> UserPrivacy {
    match users {
        Users::Plain => UserPrivacy::Plain,
        Users::Hashed => UserPrivacy::Hashed(Arc::clone(hash)),
        Users::None => UserPrivacy::None,
    }
}

fn windows(budgets: &BudgetConfig) -> Result<Windows, AccountingError> {
    let zone = parse_zone(&budgets.time_zone).map_err(AccountingError::Zone)?;
    Ok(Windows::new(zone, budgets.window))
}

fn terms(budgets: &BudgetConfig) -> Result<Terms, AccountingError> {
    Ok(Terms {
        windows: windows(budgets)?,
        thresholds: Thresholds::new(&budgets.thresholds),
    })
}

fn receiver(
    key: &'static str,
    target: &Target,
    outbound: &Outbound,
) -> Result<Receiver, AccountingError> {
    let Target { url, token } = target;
    Receiver::new(url, token.as_ref(), POST_WITHIN, outbound)
        .map_err(|source| AccountingError::Receiver { key, source })
}

fn sinks(
    usage: &UsageConfig,
    outbound: &Outbound,
    clock: &Clock,
) -> Result<Sinks, AccountingError> {
    let webhook = match &usage.webhook {
        Some((target, config)) => {
            Some((config.clone(), receiver("usage.webhook", target, outbound)?))
        }
        None => None,
    };
    let config = SinksConfig {
        file: usage.file.clone(),
        webhook,
    };
    Ok(Sinks::start(config, clock)?)
}

fn thresholds(
    usage: &UsageConfig,
    outbound: &Outbound,
    clock: &Clock,
) -> Result<Option<crate::usage::Thresholds>, AccountingError> {
    let Some(target) = &usage.thresholds else {
        return Ok(None);
    };
    let receiver = receiver("budgets.webhook", target, outbound)?;
    Ok(Some(crate::usage::Thresholds::start(receiver, clock)?))
}

/// Counts what a shared store does, and hears of its thresholds.
struct Watcher {
    metrics: Arc<Metrics>,
    crossed: mpsc::Sender<Crossed>,
}

impl Observer for Watcher {
    fn operation(&self, operation: Operation, is_ok: bool, took: Duration) {
        let metrics = &self.metrics.usage;
        metrics.store_called(operation.label(), is_ok, took);
    }

    fn up(&self, is_up: bool) {
        self.metrics.usage.store_up(is_up);
    }

    fn crossed(&self, crossing: Crossing) {
        let crossed = Crossed {
            scope: crossing.scope,
            kind: crossing.kind,
            percent: crossing.percent,
            used: crossing.used,
            limit: crossing.limit,
            window: u32::try_from(crossing.resets_at / 60).unwrap_or(u32::MAX),
            ends_at: crossing.resets_at,
            user: crossing.user,
        };
        // Where nobody keeps up, it is not told.
        let _ = self.crossed.try_send(crossed);
    }
}
