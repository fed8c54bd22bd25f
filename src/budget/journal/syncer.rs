//! The thread that syncs a journal, and makes a snapshot of it when it has grown or was broken.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Core, Current, Ledger};

/// Between two syncs, and before a failed one is tried again.
const EVERY: Duration = Duration::from_secs(1);

/// Calls the thread.
#[derive(Default)]
pub(super) struct Wake {
    called: Mutex<Called>,
    bell: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Called {
    is_called: bool,
    is_stopped: bool,
}

impl Wake {
    /// Lets the thread look now.
    pub(super) fn call(&self) {
        self.set(|called| called.is_called = true);
    }

    /// Lets the thread sync once more and end.
    pub(super) fn stop(&self) {
        self.set(|called| called.is_stopped = true);
    }

    fn set(&self, change: impl FnOnce(&mut Called)) {
        change(&mut self.called.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_one();
    }

    /// Waits for a call or `EVERY`; whether to go on.
    fn wait(&self) -> bool {
        let called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = |called: &mut Called| !called.is_called && !called.is_stopped;
        let waited = self.bell.wait_timeout_while(called, EVERY, is_idle);
        let (mut called, _) = waited.unwrap_or_else(PoisonError::into_inner);
        called.is_called = false;
        !called.is_stopped
    }
}

/// Starts the thread.
pub(super) fn spawn<L: Ledger>(name: &str, core: Arc<Core<L>>) -> io::Result<JoinHandle<()>> {
    let builder = thread::Builder::new().name(format!("{name}-journal"));
    builder.spawn(move || {
        let mut mended = 0;
        while core.wake.wait() {
            core.look(&mut mended);
        }
        core.look(&mut mended);
    })
}

impl<L: Ledger> Core<L> {
    /// Syncs what was written, and makes a snapshot where one is due; `mended` is how many failures
    /// the last whole snapshot has made good.
    fn look(&self, mended: &mut u64) {
        if self.is_dirty.swap(false, Ordering::SeqCst)
            && let Err(error) = self.file().sync_data()
        {
            self.failed.fetch_add(1, Ordering::SeqCst);
            self.report(&error);
        }
        let failed = self.failed.load(Ordering::SeqCst);
        let is_broken = failed > *mended || self.is_failing.load(Ordering::SeqCst);
        if !is_broken && !self.is_full() {
            return;
        }
        let compacted = if self.is_full() {
            self.next_generation().and_then(|()| self.compact())
        } else {
            self.compact()
        };
        match compacted {
            Ok(()) if is_broken && self.failed.load(Ordering::SeqCst) == failed => {
                *mended = failed;
                self.is_failing.store(false, Ordering::SeqCst);
                tracing::info!("the journal can be written again, and nothing is missing in it");
            }
            Ok(()) => {}
            Err(error) => {
                self.report(&error);
                // Lines may be far between: this is tried again by the thread's own time.
                self.is_dirty.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Lets lines go to a new file from now on.
    pub(super) fn next_generation(&self) -> io::Result<()> {
        let generation = self.generation() + 1;
        let file = Arc::new(self.folder.begin(generation)?);
        let next = Current { generation, file };
        let last = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            self.written.store(0, Ordering::Relaxed);
            std::mem::replace(&mut *current, next)
        };
        last.file.sync_data()
    }

    /// Writes all that is held. Each line of an older generation was in the ledger before it was
    /// written, so the snapshot holds it too.
    pub(super) fn compact(&self) -> io::Result<()> {
        let size = self.folder.snapshot(self.generation(), &*self.ledger)?;
        self.snapshot_size.store(size, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn generation(&self) -> u64 {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.generation
    }

    fn file(&self) -> Arc<std::fs::File> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.file)
    }
}
