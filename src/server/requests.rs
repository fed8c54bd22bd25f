//! The requests of one connection: whether one is under way, since when none is, and how many were
//! cut short.
//!
//! The connection's own clocks read it, and so does whoever must find the connections that can be
//! spared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The requests of one connection; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Requests(Arc<Counts>);

struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// When the connection was opened.
    opened: Instant,
    /// When the last answer ended, in milliseconds after that.
    last_end: AtomicU64,
    /// Requests that ended before their answers did.
    cut_short: AtomicU32,
    /// Whether the connection is to end with its next answer.
    closing: AtomicBool,
    /// Told when a request was cut short, or when one ends while the connection is closing.
    ended_so: Notify,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            opened: Instant::now(),
            last_end: AtomicU64::new(0),
            cut_short: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            ended_so: Notify::new(),
        }
    }
}

impl Requests {
    /// One more, until the guard is dropped.
    pub(super) fn begin(&self) -> RequestGuard {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        RequestGuard {
            requests: self.clone(),
            is_whole: false,
        }
    }

    /// Whether every answer has ended.
    pub(super) fn is_idle(&self) -> bool {
        self.begun() == self.0.ended.load(Ordering::Relaxed)
    }

    /// How many there were.
    pub(super) fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Since when there is none, if there is none.
    pub(super) fn idle_since(&self) -> Instant {
        self.0.opened + Duration::from_millis(self.0.last_end.load(Ordering::Relaxed))
    }

    /// Returns once `limit` requests were cut short.
    pub(super) async fn cut_short(&self, limit: u32) {
        while self.0.cut_short.load(Ordering::Relaxed) < limit {
            self.0.ended_so.notified().await;
        }
    }

    /// From now on every answer is to be the connection's last.
    pub(super) fn close(&self) {
        self.0.closing.store(true, Ordering::Relaxed);
    }

    /// Whether the next answer is to be the last.
    pub(super) fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::Relaxed)
    }

    /// On a connection that is closing: returns once none was under way for `look`.
    pub(super) async fn are_over(&self, look: Duration) {
        loop {
            while !self.is_idle() {
                self.0.ended_so.notified().await;
            }
            let begun = self.begun();
            tokio::time::sleep(look).await;
            if self.is_idle() && self.begun() == begun {
                return;
            }
        }
    }
}

/// One request under way.
pub(super) struct RequestGuard {
    requests: Requests,
    is_whole: bool,
}

impl RequestGuard {
    /// Whether its answer is to be the connection's last.
    pub(super) fn is_last(&self) -> bool {
        self.requests.is_closing()
    }

    /// Its answer has come to its end.
    pub(super) fn is_whole(&mut self) {
        self.is_whole = true;
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let counts = &self.requests.0;
        let now = u64::try_from(counts.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        counts.last_end.store(now, Ordering::Relaxed);
        counts.ended.fetch_add(1, Ordering::Relaxed);
        if !self.is_whole {
            counts.cut_short.fetch_add(1, Ordering::Relaxed);
        }
        if !self.is_whole || self.requests.is_closing() {
            counts.ended_so.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_gives_back_what_the_request_held() {
        let requests = Requests::default();
        let guard = requests.begin();
        let panicking = tokio::spawn(async move {
            let _guard = guard;
            panic!("on purpose");
        });
        assert!(panicking.await.unwrap_err().is_panic());
        assert!(requests.is_idle());
        requests.cut_short(1).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_over_when_nothing_came_for_as_long_as_it_was_looked() {
        let requests = Requests::default();
        let first = requests.begin();
        requests.close();
        let look = Duration::from_millis(20);
        let began = Instant::now();
        let coming = requests.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(first);
            tokio::time::sleep(look / 2).await;
            let _second = coming.begin();
            tokio::time::sleep(Duration::from_secs(5)).await;
        });
        requests.are_over(look).await;
        assert_eq!(began.elapsed(), Duration::from_secs(10) + look / 2 + look);
    }

    #[tokio::test]
    async fn whole_answers_are_not_cut_short() {
        let requests = Requests::default();
        let mut whole = requests.begin();
        whole.is_whole();
        drop(whole);
        let wait = tokio::time::timeout(Duration::from_millis(20), requests.cut_short(1));
        assert!(wait.await.is_err());
    }
}
