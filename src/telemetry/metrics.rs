//! Every metric, and the only file that knows prometheus.
//!
//! Labels come from closed sets of `&'static str`: no user id, token, session or model name can be
//! one. Handles are resolved once, at start, so that counting on the request path is one atomic add.

use std::collections::HashMap;
use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// What a look into the token cache found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheOutcome {
    /// A fresh token.
    Hit,
    /// No usable token: a mint was begun or joined.
    Miss,
    /// A usable token that is being renewed in the background.
    Refresh,
    /// A failure remembered from a moment ago.
    Negative,
}

/// How one mint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MintOutcome {
    /// A token came back and was good.
    Ok,
    /// Behest refused: the key, the path or this user.
    Refused,
    /// Unreachable, 429 or 5xx.
    Unavailable,
    /// An answer that is no usable token.
    Invalid,
    /// No answer in time.
    Timeout,
    /// No place among the mints in flight in time.
    Overloaded,
}

/// The outcome of opening a session, by the provider that decided ("none" where there was no cookie).
pub type SessionLabels = (&'static str, &'static str);

const CACHE_OUTCOMES: [(CacheOutcome, &str); 4] = [
    (CacheOutcome::Hit, "hit"),
    (CacheOutcome::Miss, "miss"),
    (CacheOutcome::Refresh, "refresh"),
    (CacheOutcome::Negative, "negative"),
];

const MINT_OUTCOMES: [(MintOutcome, &str); 6] = [
    (MintOutcome::Ok, "ok"),
    (MintOutcome::Refused, "refused"),
    (MintOutcome::Unavailable, "unavailable"),
    (MintOutcome::Invalid, "invalid"),
    (MintOutcome::Timeout, "timeout"),
    (MintOutcome::Overloaded, "overloaded"),
];

/// Durations, in seconds, from a cache hit's microseconds to a long stream's minutes.
const SECONDS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
    300.0, 1800.0,
];

/// Every metric of the process, shared by all workers and kept across reloads.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    sessions: IntCounterVec,
    in_flight: IntGauge,
    connections: IntGauge,
    duration: HistogramVec,
    first_byte: HistogramVec,
    added: Histogram,
    cache: HashMap<CacheOutcome, IntCounter>,
    cache_entries: IntGauge,
    mints: HashMap<MintOutcome, IntCounter>,
    mint_duration: Histogram,
    replays: IntCounter,
    resends: IntCounter,
    disconnects: IntCounterVec,
    reloads: IntCounterVec,
    reload_ok: IntGauge,
    panics: IntCounter,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Only if two metrics had one name, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let cache = counters(
            &registry,
            "behest_gateway_token_cache_total",
            "Looks into the token cache, by what was found.",
            &["outcome"],
        )?;
        let mints = counters(
            &registry,
            "behest_gateway_mints_total",
            "Tokens minted or signed, by how it ended.",
            &["outcome"],
        )?;
        Ok(Self {
            requests: counters(
                &registry,
                "behest_gateway_requests_total",
                "Requests, by route and by outcome code, counted when the answer's body ends.",
                &["route", "code"],
            )?,
            sessions: counters(
                &registry,
                "behest_gateway_sessions_total",
                "Sessions opened, by provider and outcome.",
                &["provider", "outcome"],
            )?,
            in_flight: gauge(
                &registry,
                "behest_gateway_requests_in_flight",
                "Requests whose answer's body has not ended.",
            )?,
            connections: gauge(
                &registry,
                "behest_gateway_connections",
                "Open downstream connections.",
            )?,
            duration: histograms(
                &registry,
                "behest_gateway_request_duration_seconds",
                "From the request's head to the end of the answer's body.",
            )?,
            first_byte: histograms(
                &registry,
                "behest_gateway_first_byte_seconds",
                "From the request's head to the upstream answer's head.",
            )?,
            added: histogram(
                &registry,
                "behest_gateway_added_seconds",
                "Time the gateway spends before the request goes upstream, mints included.",
            )?,
            cache: CACHE_OUTCOMES
                .iter()
                .map(|&(outcome, label)| (outcome, cache.with_label_values(&[label])))
                .collect(),
            cache_entries: gauge(
                &registry,
                "behest_gateway_token_cache_entries",
                "Identities in the token cache.",
            )?,
            mints: MINT_OUTCOMES
                .iter()
                .map(|&(outcome, label)| (outcome, mints.with_label_values(&[label])))
                .collect(),
            mint_duration: histogram(
                &registry,
                "behest_gateway_mint_duration_seconds",
                "One mint or signature, waiting for a place included.",
            )?,
            replays: counter(
                &registry,
                "behest_gateway_upstream_401_replays_total",
                "Requests sent once more with a new token after an upstream 401.",
            )?,
            resends: counter(
                &registry,
                "behest_gateway_upstream_resends_total",
                "Requests handed back unsent by a dead pooled connection and sent on a fresh one.",
            )?,
            disconnects: counters(
                &registry,
                "behest_gateway_client_disconnects_total",
                "Callers who left before their answer's end, by phase.",
                &["phase"],
            )?,
            reloads: counters(
                &registry,
                "behest_gateway_config_reloads_total",
                "Configuration reloads, by outcome.",
                &["outcome"],
            )?,
            reload_ok: gauge(
                &registry,
                "behest_gateway_config_reload_success",
                "1 if the newest configuration is the running one, else 0.",
            )?,
            panics: counter(
                &registry,
                "behest_gateway_panics_total",
                "Panics caught; each one is a bug.",
            )?,
            registry,
        })
    }

    /// Counts a look into the token cache.
    pub fn cache(&self, outcome: CacheOutcome) {
        if let Some(counter) = self.cache.get(&outcome) {
            counter.inc();
        }
    }

    /// Sets the number of identities in the token cache.
    pub fn cache_entries(&self, entries: usize) {
        self.cache_entries
            .set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// Counts one mint and its duration.
    pub fn mint(&self, outcome: MintOutcome, took: Duration) {
        if let Some(counter) = self.mints.get(&outcome) {
            counter.inc();
        }
        self.mint_duration.observe(took.as_secs_f64());
    }
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let metric = IntCounter::new(name, help)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let metric = IntGauge::new(name, help)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histogram(registry: &Registry, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
    let metric = Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<HistogramVec, prometheus::Error> {
    let metric = HistogramVec::new(
        HistogramOpts::new(name, help).buckets(SECONDS.to_vec()),
        &["route"],
    )?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
