//! The record: every request that came, how its answer ended and when, for tests to look at.
//!
//! Bounded: the oldest requests are forgotten over [`EmulatorConfig::keep_requests`] or 64 MiB
//! of bodies. [`Log::wait_for`] lets a test await a state instead of sleeping.
//!
//! [`EmulatorConfig::keep_requests`]: super::EmulatorConfig::keep_requests

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use http::request::Parts;
use serde_json::Value;
use tokio::sync::Notify;

use super::request_record::{Ending, RequestRecord, Violation};
use super::time::monotonic;

const BODY_KEPT: usize = 1024 * 1024;
const ALL_BODIES_KEPT: usize = 64 * BODY_KEPT;
const VIOLATIONS_KEPT: usize = 10_000;

/// What an emulator has seen since it started, or since it was reset.
#[derive(Debug, Default)]
pub struct Seen {
    /// Requests, oldest first.
    pub requests: VecDeque<RequestRecord>,
    /// Breaches of the contract by whoever calls, oldest first.
    pub violations: Vec<Violation>,
    /// Tokens minted, by user.
    pub mints: BTreeMap<String, u64>,
    /// Requests that came, the forgotten ones included.
    pub total_requests: u64,
    /// Answers that the client did not wait for.
    pub disconnects: u64,
    /// Requests whose answer has not ended.
    pub in_flight: u64,
    /// Connections open now.
    pub open_connections: u64,
    /// Connections accepted in all.
    pub accepted_connections: u64,
    bodies: usize,
}

impl Seen {
    /// The requests for this path, without its query, oldest first.
    pub fn to_path<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a RequestRecord> {
        self.requests
            .iter()
            .filter(move |request| request.path() == path)
    }

    /// Tokens minted in all.
    #[must_use]
    pub fn minted(&self) -> u64 {
        self.mints.values().sum()
    }

    fn find(&mut self, id: u64) -> Option<&mut RequestRecord> {
        // Numbers follow each other without a gap, so that the first tells where each one is.
        let first = self.requests.front()?.id;
        let place = usize::try_from(id.checked_sub(first)?).ok()?;
        self.requests.get_mut(place).filter(|seen| seen.id == id)
    }

    fn forget_oldest(&mut self, keep: usize) {
        while self.requests.len() > keep || self.bodies > ALL_BODIES_KEPT {
            let Some(oldest) = self.requests.pop_front() else {
                break;
            };
            self.bodies = self.bodies.saturating_sub(oldest.body.len());
        }
    }
}

/// The record of one emulator.
#[derive(Debug)]
pub struct Log {
    seen: Mutex<Seen>,
    changed: Notify,
    keep: usize,
}

impl Log {
    pub(super) fn new(keep: usize) -> Self {
        Self {
            seen: Mutex::default(),
            changed: Notify::new(),
            keep,
        }
    }

    /// Looks at the record; do not hold on for long, every request waits.
    pub fn read<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.lock())
    }

    /// Waits until `look` finds something, and returns it; `None` after `limit`.
    pub async fn wait_for<T>(
        &self,
        limit: Duration,
        look: impl Fn(&Seen) -> Option<T>,
    ) -> Option<T> {
        let found = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = self.read(&look) {
                    return found;
                }
                changed.await;
            }
        };
        tokio::time::timeout(limit, found).await.ok()
    }

    /// Forgets all that has ended; connections and requests in flight stay counted.
    pub fn clear(&self) {
        self.change(|seen| {
            *seen = Seen {
                in_flight: seen.in_flight,
                open_connections: seen.open_connections,
                accepted_connections: seen.accepted_connections,
                total_requests: seen.total_requests,
                ..Seen::default()
            };
        });
    }

    pub(super) fn connected(&self) -> u64 {
        self.change(|seen| {
            seen.open_connections += 1;
            seen.accepted_connections += 1;
            seen.accepted_connections
        })
    }

    pub(super) fn disconnected(&self) {
        self.change(|seen| seen.open_connections = seen.open_connections.saturating_sub(1));
    }

    pub(super) fn minted(&self, user: &str) {
        self.change(|seen| *seen.mints.entry(user.to_owned()).or_default() += 1);
    }

    /// Opens the record of a request, whose answer ends when the exchange is dropped.
    pub(super) fn begin(self: &Arc<Self>, head: &Parts, connection: u64) -> Exchange {
        let keep = self.keep;
        let id = self.change(|seen| {
            seen.total_requests += 1;
            seen.in_flight += 1;
            let id = seen.total_requests;
            if keep > 0 {
                let record = RequestRecord::new(id, connection, head);
                seen.requests.push_back(record);
                seen.forget_oldest(keep);
            }
            id
        });
        Exchange {
            log: Arc::clone(self),
            id,
            ending: None,
        }
    }

    fn change<T>(&self, write: impl FnOnce(&mut Seen) -> T) -> T {
        let result = write(&mut self.lock());
        self.changed.notify_waiters();
        result
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request and its answer. Dropped unended, the client has left.
#[derive(Debug)]
pub(super) struct Exchange {
    log: Arc<Log>,
    id: u64,
    ending: Option<Ending>,
}

impl Exchange {
    /// Notes that this was the last of the answer; the first ending stands.
    pub(super) fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    pub(super) fn received(&self, piece: &[u8]) {
        self.note(|seen, id| {
            let Some(record) = seen.find(id) else { return };
            let room = BODY_KEPT.saturating_sub(record.body.len());
            let kept = piece.get(..room.min(piece.len())).unwrap_or_default();
            record.body.extend_from_slice(kept);
            record.body_bytes += piece.len();
            seen.bodies += kept.len();
        });
    }

    pub(super) fn claims(&self, claims: Value) {
        self.note(|seen, id| {
            if let Some(record) = seen.find(id) {
                record.claims = Some(claims);
            }
        });
    }

    pub(super) fn answered(&self, status: StatusCode, fault: Option<String>) {
        self.note(|seen, id| {
            if let Some(record) = seen.find(id) {
                record.status = Some(status.as_u16());
                record.fault = fault;
            }
        });
    }

    pub(super) fn sent_frame(&self) {
        self.note(|seen, id| {
            if let Some(record) = seen.find(id) {
                record.frames_sent += 1;
            }
        });
    }

    pub(super) fn violation(&self, what: &str) {
        self.note(|seen, id| {
            if seen.violations.len() < VIOLATIONS_KEPT {
                seen.violations.push(Violation {
                    request: id,
                    what: what.to_owned(),
                });
            }
        });
    }

    fn note(&self, write: impl FnOnce(&mut Seen, u64)) {
        self.log.change(|seen| write(seen, self.id));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let ending = self.ending.unwrap_or(Ending::ClientLeft);
        let at = monotonic();
        self.note(|seen, id| {
            seen.in_flight = seen.in_flight.saturating_sub(1);
            if ending == Ending::ClientLeft {
                seen.disconnects += 1;
            }
            if let Some(record) = seen.find(id) {
                record.ending = Some(ending);
                record.ended = Some(at);
            }
        });
    }
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub(super) struct OpenConnection {
    log: Arc<Log>,
    /// Its number, from 1.
    pub(super) id: u64,
}

impl OpenConnection {
    pub(super) fn new(log: &Arc<Log>) -> Self {
        Self {
            id: log.connected(),
            log: Arc::clone(log),
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.log.disconnected();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Parts {
        let request = http::Request::post("/v1/models?a=b").body(()).unwrap();
        request.into_parts().0
    }

    #[test]
    fn an_exchange_dropped_unended_is_a_client_who_left() {
        let log = Arc::new(Log::new(10));
        drop(log.begin(&head(), 1));
        let mut ended = log.begin(&head(), 1);
        ended.end(Ending::Complete);
        drop(ended);
        log.read(|seen| {
            assert_eq!((seen.disconnects, seen.in_flight), (1, 0));
            assert_eq!(seen.requests[0].ending, Some(Ending::ClientLeft));
            assert_eq!(seen.requests[1].ending, Some(Ending::Complete));
            assert_eq!(seen.to_path("/v1/models").count(), 2);
        });
    }

    #[test]
    fn the_record_forgets_the_oldest_and_keeps_a_mebibyte_of_each_body() {
        let log = Arc::new(Log::new(2));
        for _ in 0..3 {
            log.begin(&head(), 1).received(&vec![0; BODY_KEPT + 7]);
        }
        log.read(|seen| {
            let kept: Vec<u64> = seen.requests.iter().map(|request| request.id).collect();
            assert_eq!(kept, [2, 3]);
            assert_eq!(seen.requests[0].body.len(), BODY_KEPT);
            assert_eq!(seen.requests[0].body_bytes, BODY_KEPT + 7);
            assert_eq!(seen.total_requests, 3);
        });
    }

    #[test]
    fn a_request_in_flight_when_the_record_is_cleared_leaves_no_trace() {
        let log = Arc::new(Log::new(10));
        let old = log.begin(&head(), 1);
        log.clear();
        let new = log.begin(&head(), 1);
        old.received(b"old");
        new.received(b"new");
        drop(old);
        log.read(|seen| {
            assert_eq!(seen.requests.len(), 1);
            assert_eq!(seen.requests[0].body, b"new");
            assert_eq!((seen.requests[0].ending, seen.in_flight), (None, 1));
        });
    }

    #[tokio::test]
    async fn waiting_ends_with_the_change_or_with_the_limit() {
        let log = Arc::new(Log::new(2));
        let waiting = Arc::clone(&log);
        let task = tokio::spawn(async move {
            let done = |seen: &Seen| (seen.minted() == 2).then_some(seen.mints.len());
            waiting.wait_for(Duration::from_secs(10), done).await
        });
        log.minted("a");
        log.minted("b");
        assert_eq!(task.await.unwrap(), Some(2));
        let never = log.wait_for(Duration::from_millis(1), |_| None::<()>).await;
        assert_eq!(never, None);
    }
}
