//! The files of records: the one that is written, and those that it was before: `usage.jsonl`,
//! `usage.jsonl.1`, …
//!
//! Guarantees: files are readable to their owner only; a file is never longer than its limit, unless a
//! single record is; a file that others moved or removed is made anew; no record stays longer than the
//! retention while the process runs; half a line, which a full disk or a crash may leave, never joins
//! the next.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::file::FileConfig;

/// Where the time stands in a record: `{"time":"` and 24 characters.
const TIME: std::ops::Range<usize> = 9..33;

/// The file that is written, and how it is changed for the next.
pub(super) struct Files {
    config: FileConfig,
    open: Option<Open>,
}

struct Open {
    file: File,
    size: u64,
    /// The time of its first record, since the Unix epoch.
    begun: Duration,
    /// Device and inode.
    identity: (u64, u64),
}

impl Files {
    pub(super) fn new(config: FileConfig) -> Self {
        Self { config, open: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.config.path
    }

    /// Makes sure that the file under the path is the one that is written.
    ///
    /// # Errors
    /// It can neither be opened nor made.
    pub(super) fn ensure_open(&mut self, now: Duration) -> io::Result<()> {
        if let Some(open) = &self.open {
            let there = fs::metadata(&self.config.path);
            if there.is_ok_and(|there| identity(&there) == open.identity) {
                return Ok(());
            }
        }
        self.open = None;
        self.open = Some(Open::new(&self.config.path, now)?);
        Ok(())
    }

    /// How many of the bytes of whole lines still fit in the file that is open; rotates where there is
    /// no room for `line` more.
    ///
    /// # Errors
    /// The next file cannot be made.
    pub(super) fn room(&mut self, line: u64, now: Duration) -> io::Result<u64> {
        let size = self.open.as_ref().map_or(0, |open| open.size);
        if size > 0 && size.saturating_add(line) > self.config.max_size {
            self.rotate()?;
        }
        self.ensure_open(now)?;
        let size = self.open.as_ref().map_or(0, |open| open.size);
        Ok(self.config.max_size.saturating_sub(size).max(line))
    }

    /// Appends `lines`, whole or not at all.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn append(&mut self, lines: &[u8], now: Duration) -> io::Result<()> {
        let open = self.open.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        if open.size == 0 {
            open.begun = now;
        }
        let written = open.file.write_all(lines);
        if written.is_err() {
            // What the disk took of it goes again with the rest.
            let _ = open.file.set_len(open.size);
            self.open = None;
            return written;
        }
        open.size += lines.len() as u64;
        Ok(())
    }

    /// Has the disk hold what was written.
    pub(super) fn sync(&self) {
        if let Some(open) = &self.open {
            let _ = open.file.sync_all();
        }
    }

    /// Removes what is too old: first of all the file that is written, once its first record is.
    pub(super) fn tend(&mut self, now: Duration) {
        let step = self.step();
        let is_old = |open: &Open| open.size > 0 && now.saturating_sub(open.begun) >= step;
        if self.open.as_ref().is_some_and(is_old) {
            // It is tried again at the next turn.
            let _ = self.rotate();
        }
        let oldest = now.saturating_sub(self.config.retention.saturating_sub(step));
        for (number, path) in self.rotated() {
            let last = fs::metadata(&path).and_then(|there| there.modified());
            let is_old = last.is_ok_and(|last| since_epoch(last) <= oldest);
            if is_old || number > self.config.keep {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// How long a file is written at most: all that are kept, one after the other, make the retention.
    fn step(&self) -> Duration {
        let files = u32::try_from(self.config.keep.saturating_add(1)).unwrap_or(u32::MAX);
        self.config.retention / files
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.sync();
        self.open = None;
        let path = &self.config.path;
        if self.config.keep == 0 {
            return fs::remove_file(path);
        }
        for number in (1..self.config.keep).rev() {
            match fs::rename(numbered(path, number), numbered(path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(path, numbered(path, 1))
    }

    /// The files that were written before.
    fn rotated(&self) -> Vec<(usize, PathBuf)> {
        let path = &self.config.path;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else {
            return Vec::new();
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = |found: PathBuf| {
            let found_name = found.file_name()?.to_str()?;
            let digits = found_name.strip_prefix(&*name)?.strip_prefix('.')?;
            let number: usize = digits.parse().ok().filter(|number| *number > 0)?;
            // Not `.01`, nor `.+1`: those are not ours.
            (number.to_string() == digits).then_some((number, found))
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.filter_map(number).collect()
    }
}

impl Open {
    fn new(path: &Path, now: Duration) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let there = file.metadata()?;
        let mut size = there.len();
        if size > 0 && !ends_whole(&file, size)? {
            file.write_all(b"\n")?;
            size += 1;
        }
        Ok(Self {
            begun: first_time(&file).unwrap_or(now),
            file,
            size,
            identity: identity(&there),
        })
    }
}

fn ends_whole(file: &File, size: u64) -> io::Result<bool> {
    let mut last = [0];
    file.read_exact_at(&mut last, size.saturating_sub(1))?;
    Ok(last == *b"\n")
}

/// The time of the first record.
fn first_time(file: &File) -> Option<Duration> {
    let mut head = [0; TIME.end];
    file.read_exact_at(&mut head, 0).ok()?;
    let text = std::str::from_utf8(head.get(TIME)?).ok()?;
    humantime::parse_rfc3339(text).ok().map(since_epoch)
}

fn identity(there: &Metadata) -> (u64, u64) {
    (there.dev(), there.ino())
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
