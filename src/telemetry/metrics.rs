//! Every metric; this file and its own are the only ones that know prometheus.
//!
//! Labels come from closed sets of `&'static str`: no user id, token, session or model name can be
//! one. A handle is resolved at its first use and kept, so that counting on the request path is a
//! lookup by a static word and one atomic add, and the page lists only what has happened.

mod families;
mod reading;
mod usage;

use std::time::Duration;

use prometheus::{Encoder, Histogram, IntCounter, IntGauge, IntGaugeVec, Registry, TextEncoder};

use self::families::{Counters, Histograms, Registrar, pairs};
pub use self::usage::{AnswerCounters, TokenCounts, UsageMetrics};
use super::labels::{
    CacheOutcome, DisconnectPhase, KeyRefresh, LookupCacheOutcome, LookupOutcome, MintOutcome,
    ReloadOutcome,
};

/// Why metrics cannot be made or shown.
pub type MetricsError = prometheus::Error;

/// Every metric of the process, shared by all workers and kept across reloads.
pub struct Metrics {
    registry: Registry,
    requests: Counters<2>,
    refusals: Counters<2>,
    duration: Histograms,
    first_byte: Histograms,
    added: Histogram,
    in_flight: IntGauge,
    connections: IntGauge,
    connections_shed: IntCounter,
    sessions: Counters<2>,
    lookups: Counters<2>,
    lookup_cache: Counters<2>,
    lookup_duration: Histograms,
    key_refreshes: Counters<2>,
    keys_held: IntGaugeVec,
    cache: Counters<1>,
    cache_entries: IntGauge,
    revocations: IntGauge,
    mints: Counters<1>,
    mint_duration: Histogram,
    replays: IntCounter,
    disconnects: Counters<1>,
    reloads: Counters<1>,
    reload_success: IntGauge,
    lines_suppressed: Counters<1>,
    lines_dropped: IntCounter,
    panics: IntCounter,
    /// Of use, budgets and their places.
    pub usage: UsageMetrics,
}

/// The closed sets that the labels come from.
pub struct LabelSets<'a> {
    /// Route patterns.
    pub routes: &'a [&'static str],
    /// Outcome codes of requests.
    pub codes: &'a [&'static str],
    /// Why the gateway answered itself.
    pub reasons: &'a [&'static str],
    /// Session providers.
    pub providers: &'a [&'static str],
    /// Outcomes of opening a session.
    pub session_outcomes: &'a [&'static str],
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Only if two metrics had one name, which every test of the crate would show.
    #[expect(clippy::too_many_lines, reason = "one list of metrics, an entry each")]
    pub fn new(labels: &LabelSets<'_>) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let key_refreshes: Vec<_> = KeyRefresh::ALL.iter().map(|one| one.label()).collect();
        let registrar = Registrar(&registry);
        let metrics = Self {
            requests: registrar.counters(
                "requests_total",
                "Requests, by route and outcome code, counted when the answer's body ends.",
                ["route", "code"],
                pairs(labels.routes, labels.codes),
            )?,
            refusals: registrar.counters(
                "refusals_total",
                "Requests that the gateway answered itself, by code and finer reason.",
                ["code", "reason"],
                pairs(labels.codes, labels.reasons),
            )?,
            duration: registrar.histograms(
                "request_duration_seconds",
                "From the request's head to the end of the answer's body.",
                "route",
                labels.routes,
            )?,
            first_byte: registrar.histograms(
                "first_byte_seconds",
                "From the request's head to the head of Behest's answer.",
                "route",
                labels.routes,
            )?,
            added: registrar.histogram(
                "added_seconds",
                "From the request's head until it goes upstream: the gateway's own time, mints included.",
            )?,
            in_flight: registrar.gauge(
                "requests_in_flight",
                "Requests whose answer's body has not ended.",
            )?,
            connections: registrar.gauge("connections", "Open downstream connections.")?,
            connections_shed: registrar.counter(
                "connections_shed_total",
                "Connections without a request that were closed to make room for others.",
            )?,
            sessions: registrar.counters(
                "sessions_total",
                "Sessions opened, by provider and outcome.",
                ["provider", "outcome"],
                pairs(labels.providers, labels.session_outcomes),
            )?,
            lookups: registrar.counters(
                "session_lookups_total",
                "Questions to the app whose session a cookie is, by provider and answer.",
                ["provider", "outcome"],
                pairs(labels.providers, LookupOutcome::LABELS),
            )?,
            lookup_cache: registrar.counters(
                "session_lookup_cache_total",
                "Looks for an earlier answer of the app, by provider and by what was found.",
                ["provider", "outcome"],
                pairs(labels.providers, LookupCacheOutcome::LABELS),
            )?,
            lookup_duration: registrar.histograms(
                "session_lookup_duration_seconds",
                "One question to the app, the wait for a place included.",
                "provider",
                labels.providers,
            )?,
            key_refreshes: registrar.counters(
                "jwks_refreshes_total",
                "Calls for the keys of an issuer (jwks_url), by provider and outcome.",
                ["provider", "outcome"],
                pairs(labels.providers, &key_refreshes),
            )?,
            keys_held: registrar.gauges(
                "jwks_keys",
                "Keys held of an issuer (jwks_url); 0 until the first call brings some.",
                "provider",
            )?,
            cache: registrar.counters(
                "token_cache_total",
                "Looks into the token cache, by what was found.",
                ["outcome"],
                CacheOutcome::ALL.iter().map(|outcome| [outcome.label()]),
            )?,
            cache_entries: registrar.gauge("token_cache_entries", "Identities in the token cache.")?,
            revocations: registrar.gauge("revocations", "Revocations held.")?,
            mints: registrar.counters(
                "mints_total",
                "Tokens minted or signed, by how it ended.",
                ["outcome"],
                MintOutcome::ALL.iter().map(|outcome| [outcome.label()]),
            )?,
            mint_duration: registrar.histogram(
                "mint_duration_seconds",
                "One mint or signature, the wait for a place included.",
            )?,
            replays: registrar.counter(
                "upstream_401_replays_total",
                "Requests sent once more, with a new token, after an upstream 401.",
            )?,
            disconnects: registrar.counters(
                "client_disconnects_total",
                "Callers who left before their answer's end, by phase.",
                ["phase"],
                DisconnectPhase::ALL.iter().map(|phase| [phase.label()]),
            )?,
            reloads: registrar.counters(
                "config_reloads_total",
                "Configuration reloads, by outcome.",
                ["outcome"],
                ReloadOutcome::ALL.iter().map(|outcome| [outcome.label()]),
            )?,
            reload_success: registrar.gauge(
                "config_reload_success",
                "1 if the newest configuration is the running one, else 0.",
            )?,
            lines_suppressed: registrar.counters(
                "log_lines_suppressed_total",
                "Access-log lines of requests without a known user that were left out, by code (telemetry.refusals_per_second).",
                ["code"],
                labels.codes.iter().map(|&code| [code]),
            )?,
            lines_dropped: registrar.counter(
                "log_lines_dropped_total",
                "Log lines that were lost because standard output is not read fast enough, or cannot be written.",
            )?,
            usage: UsageMetrics::new(&registry)?,
            panics: registrar.counter("panics_total", "Panics caught; each one is a bug.")?,
            registry: registry.clone(),
        };
        registrar.build_info()?;
        metrics.reload_success.set(1);
        Ok(metrics)
    }

    /// The page, in Prometheus' text format.
    ///
    /// # Errors
    /// As the encoder fails.
    pub fn page(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut page = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(page)
    }

    /// A request began.
    pub fn request_began(&self) {
        self.in_flight.inc();
    }

    /// A request's answer has ended.
    pub fn request_ended(&self, route: &'static str, code: &'static str, took: Duration) {
        self.in_flight.dec();
        self.requests.count([route, code]);
        self.duration.observe(route, took);
    }

    /// The gateway answers a request itself.
    pub fn refusal(&self, code: &'static str, reason: &'static str) {
        self.refusals.count([code, reason]);
    }

    /// A line of the access log was left out.
    pub fn line_suppressed(&self, code: &'static str) {
        self.lines_suppressed.count([code]);
    }

    /// So many log lines were lost.
    pub fn lines_dropped(&self, lines: u64) {
        self.lines_dropped.inc_by(lines);
    }

    /// A request goes upstream, `after` its head came in.
    pub fn request_sent(&self, after: Duration) {
        self.added.observe(after.as_secs_f64());
    }

    /// Behest's head came, `after` the request's.
    pub fn first_byte(&self, route: &'static str, after: Duration) {
        self.first_byte.observe(route, after);
    }

    /// The number of open connections changed by `by`.
    pub fn connections(&self, by: i64) {
        self.connections.add(by);
    }

    /// So many connections were closed to make room.
    pub fn connections_shed(&self, count: usize) {
        self.connections_shed.inc_by(count as u64);
    }

    /// A session was opened, or was not.
    pub fn session(&self, provider: &'static str, outcome: &'static str) {
        self.sessions.count([provider, outcome]);
    }

    /// The app was asked whose session a cookie is.
    pub fn lookup(&self, provider: &'static str, outcome: LookupOutcome, took: Duration) {
        self.lookups.count([provider, outcome.label()]);
        self.lookup_duration.observe(provider, took);
    }

    /// A look for an earlier answer of the app.
    pub fn lookup_cache(&self, provider: &'static str, outcome: LookupCacheOutcome) {
        self.lookup_cache.count([provider, outcome.label()]);
    }

    /// A look into the token cache.
    pub fn cache(&self, outcome: CacheOutcome) {
        self.cache.count([outcome.label()]);
    }

    /// The number of identities in the token cache.
    pub fn cache_entries(&self, entries: usize) {
        self.cache_entries
            .set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// The number of revocations held.
    pub fn revocations(&self, held: usize) {
        self.revocations
            .set(i64::try_from(held).unwrap_or(i64::MAX));
    }

    /// One mint ended.
    pub fn mint(&self, outcome: MintOutcome, took: Duration) {
        self.mints.count([outcome.label()]);
        self.mint_duration.observe(took.as_secs_f64());
    }

    /// A request is sent once more after an upstream 401.
    pub fn replay(&self) {
        self.replays.inc();
    }

    /// A caller left.
    pub fn disconnect(&self, phase: DisconnectPhase) {
        self.disconnects.count([phase.label()]);
    }

    /// A reload ended; an unchanged configuration is none.
    pub fn reload(&self, outcome: ReloadOutcome) {
        self.reloads.count([outcome.label()]);
        self.reload_success
            .set(i64::from(outcome == ReloadOutcome::Swapped));
    }

    /// So many calls for the keys of a provider's issuer ended so.
    pub fn key_refreshes(&self, provider: &'static str, outcome: KeyRefresh, calls: u64) {
        if calls > 0 {
            let labels = [provider, outcome.label()];
            self.key_refreshes.count_many(labels, calls);
        }
    }

    /// So many keys of a provider's issuer are held.
    pub fn keys_held(&self, provider: &'static str, keys: usize) {
        let keys = i64::try_from(keys).unwrap_or(i64::MAX);
        self.keys_held.with_label_values(&[provider]).set(keys);
    }

    /// A panic was caught.
    pub fn panic(&self) {
        self.panics.inc();
    }
}
