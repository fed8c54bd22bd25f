//! Batches that wait to be sent: in memory, and on disk where there is a folder for them.
//!
//! Guarantees: batches leave in the order in which they came; both places are bounded, and the oldest
//! are dropped first, and counted; what is on disk stays there until it was sent; a batch that the disk
//! does not take waits in memory.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::counts::SinkCounts;
use super::spool_folder::{BatchName, SpoolConfig, SpoolFolder};

/// Bytes of batches in memory, at most.
const MOST_IN_MEMORY: u64 = 8 * 1024 * 1024;

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Batch {
    name: BatchName,
    pub(super) body: Bytes,
    is_stored: bool,
}

impl Batch {
    /// By which the receiver knows it again.
    pub(super) fn id(&self) -> u128 {
        self.name.id
    }

    /// How many records are in it.
    pub(super) fn records(&self) -> u64 {
        self.name.records
    }
}

/// Batches that wait.
pub(super) struct Spool {
    config: Option<SpoolConfig>,
    folder: Option<SpoolFolder>,
    entries: VecDeque<Entry>,
    /// The one that was taken and is on disk.
    out: Option<Entry>,
    next: u64,
    counts: Arc<SinkCounts>,
    is_failing: bool,
}

/// A batch that waits: on disk where it has no body.
struct Entry {
    name: BatchName,
    bytes: u64,
    body: Option<Bytes>,
}

impl Spool {
    /// With what an earlier process left in the folder.
    pub(super) fn new(config: Option<SpoolConfig>, counts: Arc<SinkCounts>) -> Self {
        let mut spool = Self {
            config,
            folder: None,
            entries: VecDeque::new(),
            out: None,
            next: 0,
            counts,
            is_failing: false,
        };
        spool.open();
        spool
    }

    /// Takes the folder where it is not yet held, and lists what is in it.
    pub(super) fn open(&mut self) {
        let Some(config) = self.config.as_ref().filter(|_| self.folder.is_none()) else {
            return;
        };
        match SpoolFolder::open(&config.path) {
            Ok((folder, found)) => {
                self.folder = Some(folder);
                self.list(found);
                self.tell(Ok(()));
            }
            Err(error) => self.tell(Err(error)),
        }
    }

    /// How many batches wait in memory alone.
    pub(super) fn in_memory(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.body.is_some())
            .count()
    }

    /// Adds a batch of `records` in memory, made at `now` (since the Unix epoch).
    pub(super) fn push(&mut self, id: u128, records: u64, body: Bytes, now: Duration) {
        let number = u64::try_from(now.as_millis())
            .unwrap_or(u64::MAX)
            .max(self.next);
        self.next = number.saturating_add(1);
        self.entries.push_back(Entry {
            name: BatchName {
                number,
                records,
                id,
            },
            bytes: body.len() as u64,
            body: Some(body),
        });
        self.bound();
    }

    /// Puts what is in memory on disk, where there is a folder.
    pub(super) fn store(&mut self) {
        self.open();
        let mut failed = None;
        if let Some(folder) = &self.folder {
            for entry in &mut self.entries {
                let Some(body) = &entry.body else { continue };
                if let Err(error) = folder.write(entry.name, body) {
                    failed = Some(error);
                    break;
                }
                entry.body = None;
            }
        }
        match failed {
            Some(error) => {
                if error.kind() == io::ErrorKind::NotFound {
                    // Removed: it is made anew the next time.
                    self.folder = None;
                }
                self.tell(Err(error));
            }
            None if self.folder.is_some() => self.tell(Ok(())),
            None => {}
        }
        self.bound();
    }

    /// Takes the oldest; it is to come back by [`Spool::done`] or [`Spool::put_back`]. Files that are
    /// torn are removed, and lost.
    pub(super) fn take(&mut self) -> Option<Batch> {
        self.open();
        // Without its folder, what is on disk has to wait.
        let has_folder = self.folder.is_some();
        while let Some(at) = self.oldest(|entry| has_folder || !entry.is_stored()) {
            let entry = self.entries.remove(at)?;
            let name = entry.name;
            let Some(body) = entry.body.clone() else {
                if let Some(batch) = self.read(entry) {
                    return Some(batch);
                }
                continue;
            };
            let is_stored = false;
            return Some(Batch {
                name,
                body,
                is_stored,
            });
        }
        None
    }

    fn read(&mut self, entry: Entry) -> Option<Batch> {
        let name = entry.name;
        let folder = self.folder.as_ref()?;
        match folder.read(name) {
            Ok(body) => {
                self.out = Some(entry);
                let is_stored = true;
                Some(Batch {
                    name,
                    body,
                    is_stored,
                })
            }
            Err(error) => {
                tracing::warn!(
                    records = name.records, %error,
                    "a batch of usage records in the spool cannot be read: removed"
                );
                folder.remove(name);
                self.counts.dropped(name.records);
                self.bound();
                None
            }
        }
    }

    /// `batch` is done with.
    pub(super) fn done(&mut self, batch: &Batch) {
        if batch.is_stored
            && let Some(folder) = &self.folder
        {
            folder.remove(batch.name);
        }
        self.out = None;
        self.bound();
    }

    /// `batch` is the oldest again.
    pub(super) fn put_back(&mut self, batch: Batch) {
        self.out = None;
        self.entries.push_front(Entry {
            name: batch.name,
            bytes: batch.body.len() as u64,
            body: (!batch.is_stored).then_some(batch.body),
        });
        self.bound();
    }

    /// Drops batches that were made before `oldest` (since the Unix epoch).
    pub(super) fn forget(&mut self, oldest: Duration) {
        let is_old = |entry: &Entry| u128::from(entry.name.number) < oldest.as_millis();
        while self.entries.front().is_some_and(is_old) {
            self.drop_at(0);
        }
        self.bound();
    }

    /// Drops what waits in memory alone: there is no more time for it.
    pub(super) fn give_up(&mut self) {
        while let Some(at) = self.oldest(|entry| entry.body.is_some()) {
            self.drop_at(at);
        }
    }

    /// Holds both places to their bounds.
    fn bound(&mut self) {
        let most_on_disk = self.config.as_ref().map_or(0, |config| config.size);
        let out = |spool: &Self| spool.out.as_ref().map_or(0, |entry| entry.bytes);
        while self.bytes(Entry::is_stored) + out(self) > most_on_disk
            && let Some(at) = self.oldest(Entry::is_stored)
        {
            self.drop_at(at);
        }
        while self.bytes(|entry| !entry.is_stored()) > MOST_IN_MEMORY
            && let Some(at) = self.oldest(|entry| !entry.is_stored())
        {
            self.drop_at(at);
        }
        self.counts
            .spooled(self.bytes(Entry::is_stored) + out(self));
    }

    fn bytes(&self, which: impl Fn(&Entry) -> bool) -> u64 {
        let entries = self.entries.iter().filter(|entry| which(entry));
        entries.map(|entry| entry.bytes).sum()
    }

    fn oldest(&self, which: impl Fn(&Entry) -> bool) -> Option<usize> {
        self.entries.iter().position(which)
    }

    fn drop_at(&mut self, at: usize) {
        let Some(entry) = self.entries.remove(at) else {
            return;
        };
        self.counts.dropped(entry.name.records);
        if let Some(folder) = self.folder.as_ref().filter(|_| entry.is_stored()) {
            folder.remove(entry.name);
        }
    }

    /// Puts what is in the folder before what is in memory. What was known to be in it and is no more, is
    /// lost.
    fn list(&mut self, found: Vec<(BatchName, u64)>) {
        let (stored, memory): (VecDeque<_>, VecDeque<_>) =
            self.entries.drain(..).partition(Entry::is_stored);
        let mut known: BTreeSet<_> = stored.into_iter().map(|entry| entry.name).collect();
        let out = self.out.as_ref().map(|entry| entry.name);
        for (name, bytes) in found.into_iter().filter(|(name, _)| Some(*name) != out) {
            known.remove(&name);
            self.next = self.next.max(name.number.saturating_add(1));
            let body = None;
            self.entries.push_back(Entry { name, bytes, body });
        }
        let lost = known.iter().map(|name| name.records).sum();
        self.counts.dropped(lost);
        self.entries.extend(memory);
        self.bound();
    }

    /// Logs that the folder cannot be used, and that it can again: once each.
    fn tell(&mut self, used: io::Result<()>) {
        let Some(config) = &self.config else { return };
        let path = config.path.display();
        match used {
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(
                        %path, %error,
                        "the spool of usage records cannot be used: batches wait in memory meanwhile"
                    );
                }
            }
            Ok(()) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!(%path, "the spool of usage records can be used again");
                }
            }
        }
    }
}

impl Entry {
    fn is_stored(&self) -> bool {
        self.body.is_none()
    }
}

#[cfg(test)]
mod tests;
