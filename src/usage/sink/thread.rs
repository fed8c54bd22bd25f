//! A sink's own thread: what it waits for, disk or network, holds up nobody else.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::counts::SinkCounts;
use super::queue::{Line, Queue};
use crate::clock;

/// A running sink, as those see it who have something for it.
pub(in crate::usage) struct SinkThread {
    queue: Arc<Queue>,
    counts: Arc<SinkCounts>,
    /// Closed by the thread's end.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl SinkThread {
    /// Starts a thread that runs what `make` makes to its end.
    ///
    /// # Errors
    /// No thread, or no runtime for it.
    pub(super) fn start<F: Future<Output = ()>>(
        name: &str,
        queue: Arc<Queue>,
        counts: Arc<SinkCounts>,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (running, ended) = mpsc::channel();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(make());
                drop(running);
            })?;
        Ok(Self {
            queue,
            counts,
            ended: Mutex::new(ended),
        })
    }

    /// Hands `line` over, or counts that it did not fit. Never waits.
    pub(in crate::usage) fn offer(&self, line: Line) {
        if !self.queue.add(line) {
            self.counts.dropped(1);
        }
    }

    /// What became of its lines.
    pub(in crate::usage) fn counts(&self) -> &Arc<SinkCounts> {
        &self.counts
    }

    /// Takes in nothing any more, and has the sink finish `by` then.
    pub(in crate::usage) fn end(&self, by: Instant) {
        self.queue.end(by);
    }

    /// Waits for the thread's end, but not beyond `by`; whether it has ended.
    pub(in crate::usage) fn wait(&self, by: Instant) -> bool {
        let left = by.saturating_duration_since(clock::monotonic());
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // It closes its own work in time; this much more is for the disk.
        let left = left.saturating_add(Duration::from_millis(500));
        matches!(
            ended.recv_timeout(left),
            Err(RecvTimeoutError::Disconnected)
        )
    }
}

impl Drop for SinkThread {
    /// Nobody waits: the thread ends itself.
    fn drop(&mut self) {
        self.queue.end(clock::monotonic());
    }
}
