//! Batches on disk: a file of its own for each.
//!
//! Guarantees: a file is whole or is not there (written aside, flushed to the disk, then renamed, and
//! the folder flushed too), so what was stored survives SIGKILL and, as far as the disk tells the truth,
//! a power cut; files are readable to their owner only; one process uses a folder at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::de::IgnoredAny;

const LOCK: &str = "lock";
const ENDING: &str = ".json";
const UNFINISHED: &str = ".tmp";

/// `usage.webhook.spool_path` and `spool_size`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// The folder; made where there is none. No other process may use it.
    pub path: PathBuf,
    /// Bytes of all batches in it, at most.
    pub size: u64,
}

impl SpoolConfig {
    /// Whether the folder can be written, for a check at start. One that another process uses passes:
    /// in a rolling restart that is the one before.
    ///
    /// # Errors
    /// It cannot.
    pub fn probe(&self) -> io::Result<()> {
        make(&self.path)?;
        open_lock(&self.path)?;
        let probe = self
            .path
            .join(format!("probe-{}{UNFINISHED}", std::process::id()));
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&probe)?;
        fs::remove_file(probe)
    }
}

/// What a batch's file is called: its number, which is also its time, its records, and its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BatchName {
    /// Rises from batch to batch; no less than the Unix time in milliseconds when it was made.
    pub(super) number: u64,
    pub(super) records: u64,
    pub(super) id: u128,
}

impl BatchName {
    fn file(self) -> String {
        let Self {
            number,
            records,
            id,
        } = self;
        format!("{number:020}-{records}-{id:032x}{ENDING}")
    }

    fn parse(file: &str) -> Option<Self> {
        let mut parts = file.strip_suffix(ENDING)?.split('-');
        let name = Self {
            number: parts.next()?.parse().ok()?,
            records: parts.next()?.parse().ok()?,
            id: u128::from_str_radix(parts.next()?, 16).ok()?,
        };
        // Only what would be written so: anything else is somebody else's.
        (name.file() == file).then_some(name)
    }
}

/// A folder of batches, held by this process until it is dropped.
pub(super) struct SpoolFolder {
    path: PathBuf,
    /// Locked: the system lets go of it however the process ends.
    _lock: File,
}

impl SpoolFolder {
    /// Takes the folder, removes what was left unfinished, and lists the rest with its bytes, oldest
    /// first.
    ///
    /// # Errors
    /// The folder cannot be used, or another process uses it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<(BatchName, u64)>)> {
        make(path)?;
        let lock = open_lock(path)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::WouldBlock, "another process uses the folder")
            }
            TryLockError::Error(error) => error,
        })?;
        let mut found = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let file = entry.file_name();
            let Some(file) = file.to_str() else { continue };
            if let Some(name) = BatchName::parse(file) {
                found.push((name, entry.metadata()?.len()));
            } else if file.ends_with(&format!("{ENDING}{UNFINISHED}")) {
                let _ = fs::remove_file(entry.path());
            }
        }
        found.sort_unstable();
        let path = path.to_owned();
        Ok((Self { path, _lock: lock }, found))
    }

    /// Writes a batch; it is there when this returns.
    ///
    /// # Errors
    /// The disk's; nothing is left of the batch then.
    pub(super) fn write(&self, name: BatchName, body: &[u8]) -> io::Result<()> {
        let to = self.path.join(name.file());
        let aside = self.path.join(format!("{}{UNFINISHED}", name.file()));
        let written = write_aside(&aside, body).and_then(|()| fs::rename(&aside, to));
        if written.is_err() {
            let _ = fs::remove_file(&aside);
            return written;
        }
        File::open(&self.path)?.sync_all()
    }

    /// Reads a batch.
    ///
    /// # Errors
    /// The disk's, or [`io::ErrorKind::InvalidData`] for a file that is torn.
    pub(super) fn read(&self, name: BatchName) -> io::Result<Bytes> {
        let body = fs::read(self.path.join(name.file()))?;
        // Half of a JSON object is none.
        serde_json::from_slice::<IgnoredAny>(&body)?;
        Ok(body.into())
    }

    /// Removes a batch.
    pub(super) fn remove(&self, name: BatchName) {
        let _ = fs::remove_file(self.path.join(name.file()));
    }
}

fn write_aside(aside: &Path, body: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(aside)?;
    file.write_all(body)?;
    file.sync_all()
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join(LOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: BatchName = BatchName {
        number: 7,
        records: 3,
        id: 0xab,
    };

    #[test]
    fn a_name_is_read_as_it_is_written_and_nothing_else_is_ours() {
        let file = NAME.file();
        assert_eq!(
            file,
            "00000000000000000007-3-000000000000000000000000000000ab.json"
        );
        assert_eq!(BatchName::parse(&file), Some(NAME));
        for other in [
            "lock",
            "7-3-ab.json",
            &file.to_uppercase(),
            "a-b-c.json",
            ".json",
        ] {
            assert_eq!(BatchName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_folder_is_one_processes_and_what_was_unfinished_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let (first, found) = SpoolFolder::open(&path).unwrap();
        assert!(found.is_empty());
        first.write(NAME, b"{}").unwrap();
        let unfinished = path.join(format!("{}{UNFINISHED}", NAME.file()));
        fs::write(&unfinished, b"{").unwrap();
        fs::write(path.join("notes.txt"), b"mine").unwrap();
        let taken = SpoolFolder::open(&path).err().unwrap();
        assert_eq!(taken.kind(), io::ErrorKind::WouldBlock);
        drop(first);
        let (second, found) = SpoolFolder::open(&path).unwrap();
        assert_eq!(found, [(NAME, 2)]);
        assert!(!unfinished.exists() && path.join("notes.txt").exists());
        assert_eq!(second.read(NAME).unwrap(), "{}");
    }
}
