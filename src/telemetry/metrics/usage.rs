//! What is counted of use, budgets and the places where both are kept. Labels are tiers of the
//! configuration and models of the table of prices, so their number is bounded; users are never one.

use std::time::Duration;

use prometheus::{
    Counter, CounterVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry,
};

/// Calls of a store on this machine, and of one across a network.
const STORE_SECONDS: [f64; 10] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0,
];

/// What is known of an answer's tokens.
const USAGES: [&str; 3] = ["known", "partial", "unknown"];

/// Metrics of use.
pub struct UsageMetrics {
    tokens: IntCounterVec,
    cost: CounterVec,
    metered: [(&'static str, IntCounter); 3],
    refusals: IntCounterVec,
    records: IntCounterVec,
    records_dropped: IntCounterVec,
    sink_failures: IntCounterVec,
    spool_bytes: IntGauge,
    operations: IntCounterVec,
    durations: HistogramVec,
    store_up: IntGauge,
    settlements_dropped: IntGauge,
    accounts: IntGauge,
    live_streams: IntGauge,
}

/// The tokens of one answer.
#[derive(Clone, Copy, Debug)]
pub struct TokenCounts {
    /// Of the prompt, those from a cache included.
    pub prompt: u64,
    /// Of these, from a cache.
    pub cached: u64,
    /// Of the answer.
    pub completion: u64,
}

/// Counts the answers of one tier and model.
pub struct AnswerCounters {
    prompt: IntCounter,
    cached: IntCounter,
    completion: IntCounter,
    cost: Counter,
}

impl AnswerCounters {
    /// An answer said its tokens.
    pub fn tokens(&self, tokens: TokenCounts) {
        self.prompt.inc_by(tokens.prompt);
        self.cached.inc_by(tokens.cached);
        self.completion.inc_by(tokens.completion);
    }

    /// An answer's cost is known.
    pub fn cost(&self, usd: f64) {
        self.cost.inc_by(usd);
    }
}

impl UsageMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(registry);
        let metered = make.counters(
            "metered_total",
            "Answers, by whether their tokens are known, partial (cut) or unknown (not said).",
            ["usage"],
        )?;
        Ok(Self {
            tokens: make.counters(
                "tokens_total",
                "Tokens of answers that said them, by tier, model and kind; cached ones are part of the prompt's.",
                ["tier", "model", "kind"],
            )?,
            cost: make.dollars(
                "cost_usd_total",
                "US dollars, by the configured prices, of answers whose tokens and price are known.",
                ["tier", "model"],
            )?,
            metered: USAGES.map(|usage| (usage, metered.with_label_values(&[usage]))),
            refusals: make.counters(
                "budget_refusals_total",
                "Requests refused for a budget or a rate, by whose limit and which.",
                ["scope", "limit"],
            )?,
            records: make.counters("usage_records_total", "Usage records delivered, by sink.", ["sink"])?,
            records_dropped: make.counters(
                "usage_records_dropped_total",
                "Usage records that a sink could not take or keep, by sink.",
                ["sink"],
            )?,
            sink_failures: make.counters(
                "usage_sink_failures_total",
                "Attempts of a sink that failed and are made again, by sink.",
                ["sink"],
            )?,
            spool_bytes: make.gauge(
                "usage_spool_bytes",
                "Bytes of usage records that wait on disk for the webhook's receiver.",
            )?,
            operations: make.counters(
                "store_operations_total",
                "Calls of the store of budgets, by operation and outcome.",
                ["operation", "outcome"],
            )?,
            durations: make.histograms(
                "store_duration_seconds",
                "One call of the store of budgets.",
                "operation",
            )?,
            store_up: make.gauge("store_up", "1 if the store of budgets answers, else 0.")?,
            settlements_dropped: make.gauge(
                "store_settlements_dropped",
                "Settlements that were lost since the start because the store was away for too long.",
            )?,
            accounts: make.gauge("budget_accounts", "Users and sessions whose budgets are held in memory.")?,
            live_streams: make.gauge(
                "live_streams",
                "Event streams of Behest's under way.",
            )?,
        })
    }

    /// An answer's tokens are `usage`: known, partial or unknown.
    pub fn metered(&self, usage: &'static str) {
        let counter = self.metered.iter().find(|(label, _)| *label == usage);
        if let Some((_, counter)) = counter {
            counter.inc();
        }
    }

    /// What counts the answers of one tier and model. To be kept: finding it costs more than counting.
    #[must_use]
    pub fn answers(&self, tier: &str, model: &str) -> AnswerCounters {
        let tokens = |kind| self.tokens.with_label_values(&[tier, model, kind]);
        AnswerCounters {
            prompt: tokens("prompt"),
            cached: tokens("cached"),
            completion: tokens("completion"),
            cost: self.cost.with_label_values(&[tier, model]),
        }
    }

    /// A request was refused for a limit.
    pub fn refused(&self, scope: &'static str, limit: &'static str) {
        self.refusals.with_label_values(&[scope, limit]).inc();
    }

    /// What a sink did since the last call.
    pub fn sink(&self, sink: &'static str, delivered: u64, dropped: u64, failures: u64) {
        let counts = [
            (&self.records, delivered),
            (&self.records_dropped, dropped),
            (&self.sink_failures, failures),
        ];
        for (family, count) in counts {
            family.with_label_values(&[sink]).inc_by(count);
        }
    }

    /// Bytes that wait for the webhook's receiver.
    pub fn spool_bytes(&self, bytes: u64) {
        self.spool_bytes.set(whole(bytes));
    }

    /// The store was called.
    pub fn store_called(&self, operation: &'static str, is_ok: bool, took: Duration) {
        let outcome = if is_ok { "ok" } else { "failed" };
        self.operations
            .with_label_values(&[operation, outcome])
            .inc();
        self.durations
            .with_label_values(&[operation])
            .observe(took.as_secs_f64());
    }

    /// Whether the store answers.
    pub fn store_up(&self, is_up: bool) {
        self.store_up.set(i64::from(is_up));
    }

    /// Settlements that were lost since the start.
    pub fn settlements_dropped(&self, count: u64) {
        self.settlements_dropped.set(whole(count));
    }

    /// Accounts in memory.
    pub fn accounts(&self, count: u64) {
        self.accounts.set(whole(count));
    }

    /// Event streams under way.
    pub fn live_streams(&self, count: u64) {
        self.live_streams.set(whole(count));
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

struct Maker<'r>(&'r Registry);

impl Maker<'_> {
    fn options(name: &str, help: &str) -> Opts {
        Opts::new(name, help).namespace("behest_gateway")
    }

    fn counters<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
    ) -> Result<IntCounterVec, prometheus::Error> {
        let family = IntCounterVec::new(Self::options(name, help), &labels)?;
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn dollars<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
    ) -> Result<CounterVec, prometheus::Error> {
        let family = CounterVec::new(Self::options(name, help), &labels)?;
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::from(Self::options(name, help));
        let family = HistogramVec::new(options.buckets(STORE_SECONDS.to_vec()), &[label])?;
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let gauge = IntGauge::with_opts(Self::options(name, help))?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }
}
