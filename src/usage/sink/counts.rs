//! What became of a sink's lines, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one sink: each is told once, as what came since it was last asked.
#[derive(Debug, Default)]
pub struct SinkCounts {
    delivered: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
    spool_bytes: AtomicU64,
}

impl SinkCounts {
    /// Lines that were written, or that the receiver took, since this was last asked.
    #[must_use]
    pub fn take_delivered(&self) -> u64 {
        self.delivered.swap(0, Ordering::Relaxed)
    }

    /// Lines that are lost, since this was last asked.
    #[must_use]
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Attempts that failed and are made again, since this was last asked.
    #[must_use]
    pub fn take_failures(&self) -> u64 {
        self.failures.swap(0, Ordering::Relaxed)
    }

    /// Bytes that wait on disk now.
    #[must_use]
    pub fn spool_bytes(&self) -> u64 {
        self.spool_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn delivered(&self, lines: u64) {
        self.delivered.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn spooled(&self, bytes: u64) {
        self.spool_bytes.store(bytes, Ordering::Relaxed);
    }
}
