//! Lines that wait for their sink.
//!
//! Guarantees: adding never waits, and wakes the sink's thread only for the first line and for a whole
//! batch (waking it for each would cost more than the line); what does not fit is refused.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Notify;

/// What a line takes beside its own bytes, about.
const OVERHEAD: usize = 128;

/// One line of JSON, without an end of line.
#[derive(Clone, Debug)]
pub(in crate::usage) struct Line {
    pub(in crate::usage) json: Bytes,
    /// By which a receiver knows it again, where it is sent alone.
    pub(in crate::usage) id: u128,
}

/// A queue of one sink.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    came: Notify,
    most_bytes: usize,
    batch: usize,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Line>,
    bytes: usize,
    /// Set once nothing is taken in any more: by when the sink is to have finished.
    end: Option<Instant>,
}

impl Queue {
    /// For `most_bytes` at most; `batch` lines wake the sink.
    pub(super) fn new(most_bytes: usize, batch: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            came: Notify::new(),
            most_bytes,
            batch,
        }
    }

    /// Adds `line`; whether it fitted.
    pub(super) fn add(&self, line: Line) -> bool {
        let weight = line.json.len() + OVERHEAD;
        let mut waiting = self.lock();
        if waiting.end.is_some() || waiting.bytes + weight > self.most_bytes {
            return false;
        }
        waiting.bytes += weight;
        waiting.lines.push_back(line);
        let count = waiting.lines.len();
        drop(waiting);
        if count == 1 || count == self.batch {
            self.came.notify_one();
        }
        true
    }

    /// Takes the oldest `most` lines.
    pub(super) fn take(&self, most: usize) -> Vec<Line> {
        let mut waiting = self.lock();
        let count = waiting.lines.len().min(most);
        let taken: Vec<_> = waiting.lines.drain(..count).collect();
        let weight = |line: &Line| line.json.len() + OVERHEAD;
        waiting.bytes -= taken.iter().map(weight).sum::<usize>();
        taken
    }

    /// How many lines wait.
    pub(super) fn len(&self) -> usize {
        self.lock().lines.len()
    }

    /// Takes nothing in any more; the sink is to have finished `by` then. The first call counts.
    pub(super) fn end(&self, by: Instant) {
        self.lock().end.get_or_insert(by);
        self.came.notify_one();
    }

    /// By when the sink is to have finished, once it is to.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.lock().end
    }

    /// Waits until a first line, a whole batch, or the end has come since this was last awaited; may
    /// return for less.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn line(text: &'static str) -> Line {
        let json = Bytes::from_static(text.as_bytes());
        Line { json, id: 0 }
    }

    #[test]
    fn what_does_not_fit_is_refused_until_there_is_room() {
        let queue = Queue::new(2 * (OVERHEAD + 1), 10);
        assert!(queue.add(line("1")) && queue.add(line("2")));
        assert!(!queue.add(line("3")));
        assert_eq!(queue.take(1)[0].json, "1");
        assert!(queue.add(line("4")));
        let rest: Vec<_> = queue.take(9).into_iter().map(|line| line.json).collect();
        assert_eq!(rest, ["2", "4"]);
        assert_eq!(queue.lock().bytes, 0);
    }

    #[tokio::test]
    async fn a_first_line_and_the_end_wake_whoever_waits() {
        let queue = Queue::new(10_000, 10);
        queue.add(line("1"));
        queue.came().await;
        let by = clock::monotonic();
        queue.end(by);
        queue.came().await;
        assert_eq!(queue.ends(), Some(by));
        assert!(!queue.add(line("2")), "nothing comes after the end");
    }
}
