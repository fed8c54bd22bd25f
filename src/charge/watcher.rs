//! Hears what a shared store does: for the metrics, and for those who are told of thresholds.
//!
//! Guarantees: nobody waits for it; what nobody takes is left out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::budget::Crossed;
use crate::budget::store::redis::{Crossing, Observer, Operation};
use crate::telemetry::metrics::Metrics;

/// Counts what a shared store does, and hears of its thresholds.
pub(super) struct Watcher {
    pub(super) metrics: Arc<Metrics>,
    pub(super) crossed: mpsc::Sender<Crossed>,
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
