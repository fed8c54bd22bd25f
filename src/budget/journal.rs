//! Keeps counts over restarts: a line is written for each change, and all lines become one snapshot
//! now and then.
//!
//! Guarantees: what [`Journal::append`] has returned from is read again after SIGKILL, since the line
//! was written to the file by then; after a power loss too, but for the last second
//! ([`Durability::EverySecond`]) or the last moments ([`Durability::AtOnce`]). No thread but the
//! journal's own waits for a disk to sync. A crash at any moment, also amid a snapshot, loses nothing
//! more. A line that was torn or changed is skipped and counted, and those after it are read: entries
//! are states and not steps, so the next line of the same account mends it, and reading one twice
//! counts once. Two processes never write to one folder.
//!
//! A disk that refuses to take lines (full) fails no request: it is logged once, counted, and mended by
//! a snapshot as soon as there is room.

mod folder;
mod line;
mod syncer;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use self::folder::Folder;
pub use self::folder::probe;
use self::syncer::Wake;

pub use self::line::{Lines, entry, push_hex};

/// Writes one entry of a snapshot.
pub type WriteEntry<'a> = dyn FnMut(&mut dyn FnMut(&mut Vec<u8>)) -> io::Result<()> + 'a;

/// What a journal keeps. An entry is a state and not a step: it must not matter whether it is read
/// twice, or before an older one.
pub trait Ledger: Send + Sync + 'static {
    /// Takes an entry in; `false` if it cannot be read.
    fn replay(&self, entry: &[u8]) -> bool;

    /// Writes all that is held, while it goes on changing.
    ///
    /// # Errors
    /// Those of `write`, at once.
    fn snapshot(&self, write: &mut WriteEntry<'_>) -> io::Result<()>;
}

/// When lines are synced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Each second.
    #[default]
    EverySecond,
    /// As soon as the disk has synced what came before; the request does not wait for it.
    AtOnce,
}

/// Where and how a journal is kept.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// The folder (`store.path`); made where there is none.
    pub folder: PathBuf,
    /// What is kept, as its files begin; a word of its own for each journal in a folder.
    pub name: &'static str,
    /// When lines are synced.
    pub durability: Durability,
    /// A snapshot is made when there are more bytes of lines than this, and than the last had.
    pub snapshot_after: u64,
}

impl JournalConfig {
    /// Synced each second, a snapshot every 16 MiB.
    #[must_use]
    pub fn new(folder: PathBuf, name: &'static str) -> Self {
        Self {
            folder,
            name,
            durability: Durability::default(),
            snapshot_after: 16 * 1024 * 1024,
        }
    }
}

/// Why a journal cannot be kept, with the fix.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder or a file in it cannot be read or written.
    #[error(
        "{} cannot be used: {source}; mount a volume there that the gateway's user may write to, or \
         leave store.path empty to count in memory only",
        path.display()
    )]
    Unusable {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process uses the folder.
    #[error(
        "another gateway uses {}: give each a folder of its own, or let them count together with \
         store.kind = \"redis\"",
        .0.display()
    )]
    Held(PathBuf),
    /// A file is of another version of the gateway, or none of its files.
    #[error(
        "{} is not of version {version} of this file: go on with the gateway that wrote it, or move \
         it away to count from nothing",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The version that would be read.
        version: u32,
    },
}

impl JournalError {
    fn unwritable(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Unusable { path, source }
    }
}

/// What was found at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Entries that were read.
    pub entries: u64,
    /// Lines without an end: the process or the machine stopped amid writing.
    pub torn: u64,
    /// Lines whose checksum is another, or that cannot be read.
    pub damaged: u64,
}

/// The lines of one ledger. Shared by all workers.
pub struct Journal<L: Ledger> {
    core: Arc<Core<L>>,
    recovered: Recovered,
    syncer: Option<JoinHandle<()>>,
}

struct Core<L> {
    folder: Folder,
    ledger: Arc<L>,
    durability: Durability,
    snapshot_after: u64,
    current: RwLock<Current>,
    /// Bytes in the current file.
    written: AtomicU64,
    /// Of the last snapshot.
    snapshot_size: AtomicU64,
    /// Something was written since the last sync.
    is_dirty: AtomicBool,
    /// The last line may lack its end.
    is_torn: AtomicBool,
    failed: AtomicU64,
    is_failing: AtomicBool,
    wake: Wake,
}

struct Current {
    generation: u64,
    file: Arc<File>,
}

impl<L: Ledger> Journal<L> {
    /// Reads what there is into `ledger`, and goes on from a fresh snapshot of it.
    ///
    /// # Errors
    /// The folder cannot be used, or another process uses it.
    pub fn open(config: &JournalConfig, ledger: Arc<L>) -> Result<Self, JournalError> {
        let unwritable = |source| JournalError::unwritable(&config.folder, source);
        let folder = Folder::open(&config.folder, config.name)?;
        let (recovered, newest) = folder.load(&*ledger)?;
        let generation = newest + 1;
        let file = Arc::new(folder.begin(generation).map_err(unwritable)?);
        let size = folder.snapshot(generation, &*ledger).map_err(unwritable)?;
        if recovered.torn + recovered.damaged > 0 {
            tracing::warn!(
                journal = config.name,
                torn = recovered.torn,
                damaged = recovered.damaged,
                read = recovered.entries,
                "lines of the journal were cut or changed and are left out"
            );
        }
        let core = Arc::new(Core {
            folder,
            ledger,
            durability: config.durability,
            snapshot_after: config.snapshot_after,
            current: RwLock::new(Current { generation, file }),
            written: AtomicU64::new(0),
            snapshot_size: AtomicU64::new(size),
            is_dirty: AtomicBool::new(false),
            is_torn: AtomicBool::new(false),
            failed: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            wake: Wake::default(),
        });
        let syncer = syncer::spawn(config.name, Arc::clone(&core)).map_err(unwritable)?;
        Ok(Self {
            core,
            recovered,
            syncer: Some(syncer),
        })
    }

    /// Writes `lines`, in one call to the system. What they say must be in the ledger already.
    pub fn append(&self, lines: &Lines) {
        let core = &*self.core;
        if let Err(error) = core.write(lines.as_bytes()) {
            core.failed.fetch_add(1, Ordering::SeqCst);
            core.report(&error);
        }
        if core.durability == Durability::AtOnce || core.is_full() {
            core.wake.call();
        }
    }

    /// What was found at the start.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// How often lines could not be written or synced.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.core.failed.load(Ordering::Relaxed)
    }

    /// Whether all that was counted so far is in the files.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.core.is_failing.load(Ordering::SeqCst)
    }
}

impl<L: Ledger> Drop for Journal<L> {
    /// Syncs, and ends the thread.
    fn drop(&mut self) {
        self.core.wake.stop();
        if let Some(syncer) = self.syncer.take()
            && syncer.join().is_err()
        {
            tracing::error!("the thread that syncs the journal has panicked");
        }
    }
}

impl<L: Ledger> Core<L> {
    fn write(&self, lines: &[u8]) -> io::Result<()> {
        let file = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&current.file)
        };
        let written = if self.is_torn.swap(false, Ordering::SeqCst) {
            (&*file).write_all(&[b"\n", lines].concat())
        } else {
            (&*file).write_all(lines)
        };
        if written.is_err() {
            self.is_torn.store(true, Ordering::SeqCst);
        }
        self.written
            .fetch_add(lines.len() as u64, Ordering::Relaxed);
        self.is_dirty.store(true, Ordering::SeqCst);
        written
    }

    fn is_full(&self) -> bool {
        let most = self.snapshot_size.load(Ordering::Relaxed);
        self.written.load(Ordering::Relaxed) > self.snapshot_after.max(most)
    }

    /// Logs the first of a row of failures.
    fn report(&self, error: &io::Error) {
        if !self.is_failing.swap(true, Ordering::SeqCst) {
            tracing::error!(
                %error,
                "the journal cannot be written: requests go on, and what they use is counted in \
                 memory alone until it can be"
            );
        }
    }
}

#[cfg(test)]
mod tests;
