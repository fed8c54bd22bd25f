//! Metrics, read back for the operator's page: no number is counted twice to be shown twice.

use super::Metrics;

/// Every name begins so.
const PREFIX: &str = "behest_gateway_";

impl Metrics {
    /// The values of the counters or gauges called `name` (without `behest_gateway_`), each with the
    /// value of its first label; nothing where none has been counted.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<(String, f64)> {
        let families = self.registry.gather();
        let is_it = |found: &str| found.strip_prefix(PREFIX) == Some(name);
        let Some(family) = families.iter().find(|family| is_it(family.name())) else {
            return Vec::new();
        };
        let metrics = family.get_metric().iter();
        let value = |metric: &prometheus::proto::Metric| {
            let label = metric.get_label().first();
            let label = label.map(|label| label.value().to_owned());
            let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
            (label.unwrap_or_default(), value)
        };
        metrics.map(value).collect()
    }
}
