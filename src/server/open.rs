//! One worker's open connections: how each is told to end, and which can be spared.
//!
//! A connection without a request in flight can be spared, whether it is kept alive, has said
//! nothing yet, or is in the middle of a head or a handshake; one with a request cannot.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::requests::Requests;

/// Whoever has just come, or was just answered, has this long to ask.
const TIME_TO_ASK: Duration = Duration::from_millis(100);

/// Why a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The server stops.
    Drain,
    /// Its place is needed.
    Shed,
}

/// One connection's ear. A channel of its own for each: it is polled whenever the connection is, and
/// costs no lock that others share.
pub(super) struct Closing {
    shed: oneshot::Receiver<Shed>,
    told: Option<End>,
}

/// That the place is needed; the drop of the sender says that the server stops.
struct Shed;

impl Closing {
    /// Resolves when the connection must finish what it is doing, and at once ever after.
    pub(super) async fn told(&mut self) -> End {
        if let Some(told) = self.told {
            return told;
        }
        let told = match (&mut self.shed).await {
            Ok(Shed) => End::Shed,
            Err(_) => End::Drain,
        };
        self.told = Some(told);
        told
    }
}

/// The connections of one worker.
#[derive(Default)]
pub(super) struct OpenConnections {
    open: Vec<Open>,
    /// Above this, those that have ended are put out.
    prune_above: usize,
    /// Whether the end has begun.
    pub(super) closed: bool,
}

struct Open {
    closer: oneshot::Sender<Shed>,
    requests: Requests,
}

impl OpenConnections {
    /// One more connection.
    pub(super) fn add(&mut self, requests: Requests) -> Closing {
        let (closer, shed) = oneshot::channel();
        if self.open.len() >= self.prune_above {
            self.prune();
            self.prune_above = (self.open.len() * 2).max(64);
        }
        if !self.closed {
            self.open.push(Open { closer, requests });
        }
        Closing { shed, told: None }
    }

    /// Tells all of them that the server stops.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.open = Vec::new();
    }

    /// Tells up to `count` connections to go: those that have been without a request for longest.
    /// How many that were.
    pub(super) fn shed(&mut self, count: usize) -> usize {
        self.prune();
        let now = Instant::now();
        let spared_since = |open: &Open| {
            let since = open.requests.idle_since();
            let waits = open.requests.is_idle() && now.duration_since(since) >= TIME_TO_ASK;
            waits.then_some(since)
        };
        // Those that cannot be spared last.
        self.open.sort_by_cached_key(|open| {
            let since = spared_since(open);
            (since.is_none(), since)
        });
        let longest = self.open.iter().take(count);
        let count = longest.filter(|open| spared_since(open).is_some()).count();
        for open in self.open.drain(..count) {
            // One that ended meanwhile has given its place back too.
            let _ = open.closer.send(Shed);
        }
        count
    }

    fn prune(&mut self) {
        self.open.retain(|open| !open.closer.is_closed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_that_wait_longest_go_first_and_busy_ones_never() {
        let mut open = OpenConnections::default();
        let mut connections = Vec::new();
        for _ in 0..4 {
            let requests = Requests::default();
            connections.push((open.add(requests.clone()), requests));
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
        }
        let busy = connections[0].1.begin();
        // The second has just been used.
        drop(connections[1].1.begin());
        assert_eq!(open.shed(2), 2);
        for at in [2, 3] {
            assert_eq!(connections[at].0.told().await, End::Shed, "{at}");
        }
        assert_eq!(open.shed(5), 0, "one is busy, one has just been answered");
        tokio::time::advance(TIME_TO_ASK).await;
        assert_eq!(open.shed(5), 1, "only one is idle");
        assert_eq!(connections[1].0.told().await, End::Shed);
        drop(busy);
        open.close();
        assert_eq!(connections[0].0.told().await, End::Drain);
        assert_eq!(connections[1].0.told().await, End::Shed, "said once");
    }
}
