//! Families of metrics, whose handles are resolved at their first use and kept.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// Durations, in seconds, from a cache hit's microseconds to a long stream's minutes.
const SECONDS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
    300.0, 1800.0,
];

/// A family of counters whose handles are resolved at first use.
pub(super) struct Counters<const N: usize> {
    family: IntCounterVec,
    handles: HashMap<[&'static str; N], OnceLock<IntCounter>>,
}

impl<const N: usize> Counters<N> {
    pub(super) fn count(&self, labels: [&'static str; N]) {
        self.count_many(labels, 1);
    }

    pub(super) fn count_many(&self, labels: [&'static str; N], times: u64) {
        if let Some(handle) = self.handles.get(&labels) {
            handle
                .get_or_init(|| self.family.with_label_values(&labels))
                .inc_by(times);
        }
    }
}

/// A family of histograms of durations by one label.
pub(super) struct Histograms {
    family: HistogramVec,
    handles: HashMap<&'static str, OnceLock<Histogram>>,
}

impl Histograms {
    pub(super) fn observe(&self, route: &'static str, took: Duration) {
        if let Some(handle) = self.handles.get(route) {
            handle
                .get_or_init(|| self.family.with_label_values(&[route]))
                .observe(took.as_secs_f64());
        }
    }
}

/// Makes metrics, all with one prefix.
pub(super) struct Registrar<'a>(pub(super) &'a Registry);

impl Registrar<'_> {
    fn options(name: &str, help: &str) -> Opts {
        Opts::new(name, help).namespace("behest_gateway")
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let metric = IntCounter::with_opts(Self::options(name, help))?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let metric = IntGauge::with_opts(Self::options(name, help))?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(super) fn gauges(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<IntGaugeVec, prometheus::Error> {
        let family = IntGaugeVec::new(Self::options(name, help), &[label])?;
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    pub(super) fn counters<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
        values: impl Iterator<Item = [&'static str; N]>,
    ) -> Result<Counters<N>, prometheus::Error> {
        let family = IntCounterVec::new(Self::options(name, help), &labels)?;
        self.0.register(Box::new(family.clone()))?;
        let handles = values.map(|labels| (labels, OnceLock::new())).collect();
        Ok(Counters { family, handles })
    }

    pub(super) fn histogram(&self, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
        let metric = Histogram::with_opts(Self::buckets(name, help))?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&'static str],
    ) -> Result<Histograms, prometheus::Error> {
        let family = HistogramVec::new(Self::buckets(name, help), &[label])?;
        self.0.register(Box::new(family.clone()))?;
        let handles = values.iter().map(|&value| (value, OnceLock::new()));
        let handles = handles.collect();
        Ok(Histograms { family, handles })
    }

    fn buckets(name: &str, help: &str) -> HistogramOpts {
        HistogramOpts::from(Self::options(name, help)).buckets(SECONDS.to_vec())
    }

    pub(super) fn build_info(&self) -> Result<(), prometheus::Error> {
        let options = Self::options("build_info", "1, labelled with the version.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let metric = IntGauge::with_opts(options)?;
        metric.set(1);
        self.0.register(Box::new(metric))
    }
}

/// Every pair of a label of `left` and one of `right`.
pub(super) fn pairs(
    left: &[&'static str],
    right: &[&'static str],
) -> impl Iterator<Item = [&'static str; 2]> {
    left.iter()
        .flat_map(|&first| right.iter().map(move |&second| [first, second]))
}
