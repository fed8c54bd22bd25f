//! The requests that are under way, with their age.
//!
//! Guarantees: entering and leaving take a tenth of a microsecond and wait for no other worker; a
//! request leaves when its [`Live`] is dropped, however it ends; a bounded number is listed, and those
//! beyond it are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;

use super::per_thread::PerThread;
use crate::clock::Now;

/// Requests that one group of threads lists; there are sixteen groups.
const MOST: usize = 4096;

/// The requests under way. Shared by all workers, and kept across reloads.
#[derive(Default)]
pub struct LiveRequests {
    shards: PerThread<Places>,
}

#[derive(Default)]
struct Places {
    taken: Vec<Option<Arc<LiveRequest>>>,
    free: Vec<usize>,
    /// Those that found no place.
    standing: u64,
}

/// What is known of a request under way.
#[derive(Debug)]
pub struct LiveRequest {
    /// The gateway's request id.
    pub id: HeaderValue,
    /// The route's pattern.
    pub route: &'static str,
    /// The session's tier; empty: it has none.
    pub tier: Box<str>,
    /// When it entered, on the monotonic clock.
    pub began: Duration,
    bytes: AtomicU64,
    is_stream: AtomicBool,
}

/// A request's place among those under way; it leaves when this is dropped.
pub struct Live {
    registry: Arc<LiveRequests>,
    shard: usize,
    /// `None`: there was none left.
    place: Option<usize>,
    request: Arc<LiveRequest>,
}

impl LiveRequests {
    /// A request enters.
    #[must_use]
    pub fn enter(
        self: &Arc<Self>,
        id: HeaderValue,
        route: &'static str,
        tier: &str,
        now: Now,
    ) -> Live {
        let request = Arc::new(LiveRequest {
            id,
            route,
            tier: tier.into(),
            began: now.elapsed,
            bytes: AtomicU64::new(0),
            is_stream: AtomicBool::new(false),
        });
        let (shard, mut places) = self.shards.own();
        let place = places.take(&request);
        drop(places);
        Live {
            registry: Arc::clone(self),
            shard,
            place,
            request,
        }
    }

    /// How many are under way.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.shards.each().map(|places| places.count()).sum()
    }

    /// How many of those that are listed are event streams.
    #[must_use]
    pub fn streams(&self) -> u64 {
        let streams = |places: &Places| {
            let listed = places.taken.iter().flatten();
            listed.filter(|request| request.is_stream()).count() as u64
        };
        self.shards.each().map(|places| streams(&places)).sum()
    }

    /// All that are listed, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<LiveRequest>> {
        let mut all = Vec::new();
        for places in self.shards.each() {
            all.extend(places.taken.iter().flatten().cloned());
        }
        all.sort_unstable_by_key(|request| request.began);
        all
    }
}

impl Places {
    fn take(&mut self, request: &Arc<LiveRequest>) -> Option<usize> {
        if let Some(place) = self.free.pop()
            && let Some(slot) = self.taken.get_mut(place)
        {
            *slot = Some(Arc::clone(request));
            return Some(place);
        }
        if self.taken.len() >= MOST {
            self.standing += 1;
            return None;
        }
        self.taken.push(Some(Arc::clone(request)));
        Some(self.taken.len() - 1)
    }

    fn leave(&mut self, place: Option<usize>) {
        let Some(place) = place else {
            self.standing = self.standing.saturating_sub(1);
            return;
        };
        if let Some(slot) = self.taken.get_mut(place) {
            *slot = None;
            self.free.push(place);
        }
    }

    fn count(&self) -> u64 {
        (self.taken.len() - self.free.len()) as u64 + self.standing
    }
}

impl LiveRequest {
    /// How long it has been under way at `now`.
    #[must_use]
    pub fn age(&self, now: Now) -> Duration {
        now.elapsed.saturating_sub(self.began)
    }

    /// Bytes of the answer's body so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the answer is an event stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.is_stream.load(Ordering::Relaxed)
    }
}

impl Live {
    /// The answer's head has come, and it is an event stream.
    pub fn streams(&self) {
        self.request.is_stream.store(true, Ordering::Relaxed);
    }

    /// `bytes` of the answer's body were passed on since the request entered.
    pub fn passed(&self, bytes: u64) {
        self.request.bytes.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.registry.shards.at(self.shard).leave(self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            unix: Duration::from_secs(1_000 + seconds),
            elapsed: Duration::from_secs(seconds),
        }
    }

    fn enter(live: &Arc<LiveRequests>, tier: &str, seconds: u64) -> Live {
        live.enter(
            HeaderValue::from_static("gwr_1"),
            "/v1/models",
            tier,
            at(seconds),
        )
    }

    #[test]
    fn requests_are_listed_until_they_are_dropped_also_by_another_thread() {
        let live = Arc::new(LiveRequests::default());
        let (young, old) = (enter(&live, "free", 9), enter(&live, "pro", 3));
        old.streams();
        old.passed(512);
        let listed = live.list();
        assert_eq!(listed.len(), 2);
        assert_eq!((&*listed[0].tier, &*listed[1].tier), ("pro", "free"));
        assert_eq!(listed[0].age(at(10)), Duration::from_secs(7));
        assert!(listed[0].is_stream() && listed[0].bytes() == 512);
        std::thread::spawn(move || drop(old)).join().unwrap();
        assert_eq!((live.count(), live.list().len()), (1, 1));
        drop(young);
        assert_eq!(live.count(), 0);
        let _again = enter(&live, "free", 11);
        assert_eq!(live.count(), 1, "places are used again");
    }

    #[test]
    fn a_flood_is_counted_and_the_list_is_bounded() {
        let live = Arc::new(LiveRequests::default());
        let all: Vec<_> = (0..MOST + 100).map(|_| enter(&live, "", 1)).collect();
        assert_eq!(live.count(), MOST as u64 + 100);
        assert_eq!(live.list().len(), MOST);
        drop(all);
        assert_eq!((live.count(), live.list().len()), (0, 0));
    }
}
