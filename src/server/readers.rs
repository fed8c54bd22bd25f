//! On HTTP/2: which streams' readers have stopped reading.
//!
//! A socket stays writable while one stream's reader gives no window, and hyper then asks that
//! stream's body for nothing, so neither the socket nor the body notices. Here a body that was not
//! asked again after it gave data, or was never asked, is a reader that does not read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// The readers of one connection.
#[derive(Clone, Default)]
pub(super) struct Readers(Arc<Mutex<Waited>>);

#[derive(Default)]
struct Waited {
    next: u64,
    /// Since when each is waited for.
    since: HashMap<u64, Instant>,
}

impl Readers {
    /// A stream whose body is ready to be read.
    pub(super) fn begin(&self) -> Reader {
        let mut waited = self.lock();
        let id = waited.next;
        waited.next += 1;
        waited.since.insert(id, clock::monotonic());
        drop(waited);
        Reader {
            id,
            readers: self.clone(),
        }
    }

    /// Returns once one of them was waited for longer than `timeout`, at most by half as much again.
    pub(super) async fn stalled(&self, timeout: Duration) {
        loop {
            tokio::time::sleep(timeout / 2).await;
            let waited = self.lock();
            if waited
                .since
                .values()
                .any(|since| since.elapsed() >= timeout)
            {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waited> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream's reader.
pub(super) struct Reader {
    id: u64,
    readers: Readers,
}

impl Reader {
    /// It was given data, and is to ask for more.
    pub(super) fn given(&self) {
        self.readers
            .lock()
            .since
            .insert(self.id, clock::monotonic());
    }

    /// It asked, and there is nothing yet.
    pub(super) fn waits(&self) {
        self.readers.lock().since.remove(&self.id);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.waits();
    }
}
