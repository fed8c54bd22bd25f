//! What charges are counted in: made once in a process, and kept across reloads.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use tokio::sync::mpsc;

use super::charger::{ChargeTerms, Charger};
use super::counters::Counters;
use super::names::{Names, account_key};
use super::watcher::Watcher;
use crate::budget::journal::{JournalConfig, JournalError};
use crate::budget::store::redis::RedisStore;
use crate::budget::store::{Embedded, EmbeddedConfig, Full, Shared, Terms};
use crate::budget::window::Windows;
use crate::budget::{BudgetConfig, Crossed, Standing, Store, StoreConfig, Thresholds, parse_zone};
use crate::client::Outbound;
use crate::clock::Clock;
use crate::identity::UserHash;
use crate::telemetry::metrics::Metrics;
use crate::usage::{
    AccountStanding, BudgetView, LedgerFile, Receiver, ReceiverError, SharedLedger, Sinks,
    SinksConfig, StoreState, Target, ThresholdPassed, UsageConfig, UsageView, UserPrivacy, Users,
};

/// For one POST to a receiver.
const POST_WITHIN: Duration = Duration::from_secs(10);

/// Crossings that wait to be told, at most.
const MOST_CROSSINGS: usize = 1024;

/// The name of the budgets' files in `store.path`.
const JOURNAL: &str = "budgets";

/// The places of a process in which charges are counted.
pub struct Accounting {
    store: Store,
    sinks: Arc<Sinks>,
    thresholds: Option<crate::usage::Thresholds>,
    account_key: hmac::Key,
    names: Arc<Names>,
    view: Arc<UsageView>,
    /// Keeps the sums of `view`, where the store keeps budgets.
    sums: Option<LedgerFile>,
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
    /// Opens the store and starts what writes and sends. What `view` shows is kept where budgets are.
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
        view: &Arc<UsageView>,
    ) -> Result<Self, AccountingError> {
        view.ledger.call(usage.users);
        view.ledger.retain(usage.retention);
        let mut sums = None;
        let (sender, receiver) = mpsc::channel(MOST_CROSSINGS);
        let store = match store {
            StoreConfig::Embedded(path) => {
                let journal = path.as_ref();
                let journal = journal.map(|path| JournalConfig::new(path.clone(), JOURNAL));
                let config = EmbeddedConfig {
                    journal,
                    crossed: Some(sender),
                    ..EmbeddedConfig::new(terms(budgets)?)
                };
                // Which holds the folder from then on.
                let store = Embedded::open(config)?;
                if let Some(path) = path {
                    sums = Some(LedgerFile::open(path, view, clock.now())?);
                }
                Store::Embedded(store)
            }
            StoreConfig::Redis(config) => {
                let watcher = Arc::new(Watcher {
                    metrics: Arc::clone(metrics),
                    crossed: sender,
                });
                let redis = RedisStore::new(config.clone(), clock.clone(), watcher);
                let redis = redis.map_err(AccountingError::Redis)?;
                view.ledger.keep_deltas();
                view.shared
                    .get_or_init(|| SharedLedger::new(redis.sums("usage")));
                Store::Redis(Arc::new(Shared::new(redis, windows(budgets)?)))
            }
        };
        metrics.usage.store_up(matches!(store, Store::Embedded(_)));
        Ok(Self {
            store,
            sinks: Arc::new(sinks(usage, outbound, clock)?),
            thresholds: thresholds(usage, outbound, clock)?,
            account_key: account_key(usage.hash_key.as_ref()),
            names: Arc::default(),
            view: Arc::clone(view),
            sums,
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
        self.view.ledger.call(usage.users);
        self.view.ledger.retain(usage.retention);
        if let Some((target, _)) = &usage.webhook {
            self.sinks
                .readdress(receiver("usage.webhook", target, outbound)?);
        }
        if let (Some(told), Some(target)) = (&self.thresholds, &usage.thresholds) {
            told.readdress(receiver("budgets.webhook", target, outbound)?);
        }
        Ok(())
    }

    /// Charges by `terms`, counts here, and shows it.
    #[must_use]
    pub fn charger(&self, terms: ChargeTerms, metrics: &Arc<Metrics>) -> Arc<Charger> {
        let view = &self.view;
        // Users may stand otherwise from now on.
        self.names.clear();
        view.budgets.get_or_init(|| self.budget_view());
        Arc::new(Charger {
            store: self.store.clone(),
            account_key: self.account_key.clone(),
            names: Arc::clone(&self.names),
            sinks: Arc::clone(&self.sinks),
            view: Arc::clone(view),
            metrics: Arc::clone(metrics),
            counters: Counters::new(&terms),
            terms,
        })
    }

    /// The store that replicas share, where there is one.
    #[must_use]
    pub fn shared(&self) -> Option<&Shared> {
        match &self.store {
            Store::Embedded(_) => None,
            Store::Redis(store) => Some(store),
        }
    }

    fn budget_view(&self) -> BudgetView {
        let (store, names) = (self.store.clone(), Arc::clone(&self.names));
        let own = self.store.clone();
        BudgetView {
            fullest: Box::new(move |most, now| {
                let full = store.fullest(most, now).into_iter();
                full.filter_map(|full| standing(full, &names)).collect()
            }),
            store: Box::new(move || state(&own)),
        }
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
            let shared = async {
                if let Some(shared) = self.view.shared.get() {
                    shared.run(&self.view.ledger, clock).await;
                }
            };
            tokio::join!(store.redis().run(), shared, told);
        } else {
            told.await;
        }
    }

    fn tell(&self, crossed: &Crossed, clock: &Clock) {
        let Some(thresholds) = &self.thresholds else {
            return;
        };
        let name = self.names.of(crossed.user);
        let passed = ThresholdPassed {
            account: crossed.user,
            user: name.user.as_deref().map(str::to_owned),
            tier: name.tier,
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

    /// Tells other replicas what was used until now, `within`; to be called while [`run`](Self::run) runs.
    pub async fn share(&self, clock: &Clock, within: Duration) {
        if let Some(shared) = self.view.shared.get() {
            let told = shared.push(&self.view.ledger, clock.now());
            if !tokio::time::timeout(within, told).await.unwrap_or(false) {
                tracing::warn!("the last sums of use could not be told to the shared store");
            }
        }
    }

    /// Writes and sends what waits, `within`.
    pub fn close(&self, within: Duration) {
        if let Some(sums) = &self.sums {
            sums.flush();
        }
        self.sinks.close(within);
        if let Some(thresholds) = &self.thresholds {
            thresholds.close(within);
        }
    }
}

/// How users stand in records.
#[must_use]
pub fn privacy(users: Users, hash: &Arc<UserHash>) -> UserPrivacy {
    match users {
        Users::Plain => UserPrivacy::Plain,
        Users::Hashed => UserPrivacy::Hashed(Arc::clone(hash)),
        Users::None => UserPrivacy::None,
    }
}

/// The fullest limit of an account, for the operator's page.
fn standing(full: Full, names: &Names) -> Option<AccountStanding> {
    let share =
        |standing: &Standing| u128::from(standing.used) * 1000 / u128::from(standing.limit.max(1));
    let standing = full.standings.into_iter().max_by_key(share)?;
    let known = names.of(full.user).user;
    Some(AccountStanding {
        account: known.map_or_else(
            || format!("#{:016x}", full.user >> 64),
            |name| name.to_string(),
        ),
        tier: full.tier,
        standing,
    })
}

fn state(store: &Store) -> StoreState {
    match store {
        Store::Embedded(store) => {
            let health = store.health();
            StoreState {
                kind: "embedded",
                is_up: health.is_whole,
                detail: if store.is_kept() {
                    "counted here, with a journal".to_owned()
                } else {
                    "counted in memory only (store.path is not set)".to_owned()
                },
                accounts: health.accounts as u64,
            }
        }
        Store::Redis(store) => StoreState {
            kind: "redis",
            is_up: store.redis().is_up(),
            detail: format!("{} settlements wait to be told", store.redis().pending()),
            accounts: 0,
        },
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
