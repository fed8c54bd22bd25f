//! Keeps a ledger over restarts, in one file: a snapshot, and after it what was counted since.
//!
//! Guarantees: what was counted two seconds before a SIGKILL or a power loss is read again; a file comes
//! to be whole or not at all; a line that was cut or changed is never added, and the others are; a file
//! that is damaged, or another version's, is set aside with a line in the log, and never keeps the
//! gateway from starting; a disk that takes nothing fails nothing, and is made up for when it does; rows
//! that are older than the retention are neither read nor kept for more than an hour longer, and users
//! who were called otherwise (`usage.users`) are not read.
//!
//! Only one process at a time may use the folder: whoever opens this holds it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Ledger, LedgerDelta};
use crate::budget::journal::{Lines, entry};
use crate::clock::Now;
use crate::usage::{UsageView, Users};

/// The first line, and how those of other versions begin.
const HEADER: &str = "behest-gateway usage 1\n";
const FAMILY: &str = "behest-gateway usage ";

/// Names in the folder: the file, the one that did not come to be, and the one that was set aside.
const NAME: &str = "usage.sums";
const UNFINISHED: &str = "usage.sums.unfinished";
const ASIDE: &str = "usage.sums.set-aside";

/// Between two writes: what a SIGKILL can lose.
const EVERY: Duration = Duration::from_secs(2);

/// The file is written anew after so many writes, an hour, so that what is no longer kept leaves it,
const ROUNDS: u32 = 1_800;

/// or when so many bytes, and as many as the snapshot has, were added to it.
const ADDED: u64 = 4 * 1024 * 1024;

/// A larger file is none of ours, and rows beyond it are left out.
const MOST: u64 = 512 * 1024 * 1024;

/// Rows of one line, about.
const ROWS: usize = 1_000;

/// The file of a ledger, and the thread that writes it.
pub struct LedgerFile {
    core: Arc<Core>,
    writer: Option<JoinHandle<()>>,
}

struct Core {
    folder: PathBuf,
    view: Arc<UsageView>,
    written: Mutex<Written>,
    is_closing: Mutex<bool>,
    wake: Condvar,
}

/// What is in the file.
#[derive(Default)]
struct Written {
    /// `None`: it is to be written anew.
    file: Option<File>,
    snapshot: u64,
    added: u64,
    rounds: u32,
    users: Users,
    is_failing: bool,
}

/// One line of the file. All of them are added up.
#[derive(Serialize, Deserialize)]
struct Line {
    /// How users are called in it.
    called: Users,
    #[serde(flatten)]
    delta: LedgerDelta,
}

/// What was found in a file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    lines: u64,
    damaged: u64,
    is_torn: bool,
}

impl LedgerFile {
    /// Adds what the file in `folder` holds to the ledger of `view`, and keeps it from now on.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn open(folder: &Path, view: &Arc<UsageView>, now: Now) -> io::Result<Self> {
        let core = Arc::new(Core {
            folder: folder.to_owned(),
            view: Arc::clone(view),
            written: Mutex::default(),
            is_closing: Mutex::new(false),
            wake: Condvar::new(),
        });
        view.ledger.keep_deltas();
        core.read();
        view.ledger.fold(now);
        core.write();
        let own = Arc::clone(&core);
        let writer = std::thread::Builder::new()
            .name("usage-sums".to_owned())
            .spawn(move || own.keep())?;
        Ok(Self {
            core,
            writer: Some(writer),
        })
    }

    /// Writes what is not written yet.
    pub fn flush(&self) {
        self.core.write();
    }
}

impl Drop for LedgerFile {
    /// Writes what is not written yet, and ends the thread.
    fn drop(&mut self) {
        *self.core.closing() = true;
        self.core.wake.notify_all();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that keeps the sums of use has panicked");
        }
        self.core.write();
    }
}

impl Core {
    fn keep(&self) {
        loop {
            let closing = self.closing();
            let waited = self
                .wake
                .wait_timeout_while(closing, EVERY, |closing| !*closing);
            let (closing, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if *closing {
                return;
            }
            drop(closing);
            self.write();
        }
    }

    fn ledger(&self) -> &Ledger {
        &self.view.ledger
    }

    /// Adds what there is to the ledger.
    fn read(&self) {
        let path = self.folder.join(NAME);
        let found = match read(&path, self.ledger()) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                self.set_aside(&format!("the sums of use cannot be read: {error}"));
                return;
            }
        };
        if found.damaged > 0 {
            let Found { lines, damaged, .. } = found;
            self.set_aside(&format!(
                "of the sums of use {damaged} lines were changed and are left out, {lines} are read"
            ));
        } else if found.is_torn {
            tracing::info!("the last line of the sums of use was cut and is left out");
        }
    }

    fn set_aside(&self, why: &str) {
        let aside = self.folder.join(ASIDE);
        let moved = fs::rename(self.folder.join(NAME), &aside);
        tracing::warn!(
            aside = %aside.display(),
            moved = moved.is_ok(),
            "{why}; the file is set aside, and the page goes on from what could be read: look at the \
             disk, and remove the file"
        );
    }

    /// Brings the file up to what is counted.
    fn write(&self) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = written.file.is_none()
            || written.added > ADDED.max(written.snapshot)
            || written.rounds >= ROUNDS
            || written.users != self.ledger().users();
        let done = if is_due {
            self.begin(&mut written)
        } else {
            self.append(&mut written)
        };
        match done {
            Ok(()) => {
                written.rounds += 1;
                if std::mem::take(&mut written.is_failing) {
                    tracing::info!("the sums of use can be written again");
                }
            }
            Err(error) => {
                // Whatever is in it, and was to be: all of it is in memory.
                written.file = None;
                if !std::mem::replace(&mut written.is_failing, true) {
                    tracing::error!(
                        %error,
                        folder = %self.folder.display(),
                        "the sums of use cannot be written: they are kept in memory alone until they \
                         can be"
                    );
                }
            }
        }
    }

    /// Writes all of it anew.
    fn begin(&self, written: &mut Written) -> io::Result<()> {
        let (users, all) = self.ledger().take_snapshot();
        written.file = None;
        let unfinished = self.folder.join(UNFINISHED);
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(true).mode(0o600);
        let mut writer = BufWriter::new(options.open(&unfinished)?);
        writer.write_all(HEADER.as_bytes())?;
        let mut size = HEADER.len() as u64;
        for line in lines(users, all)? {
            if size + line.len() as u64 > MOST {
                tracing::warn!(
                    "there are more sums of use than a file can hold: some are left out"
                );
                break;
            }
            size += line.len() as u64;
            writer.write_all(&line)?;
        }
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.folder.join(NAME))?;
        File::open(&self.folder)?.sync_all()?;
        *written = Written {
            file: Some(file),
            snapshot: size,
            users,
            is_failing: written.is_failing,
            ..Written::default()
        };
        Ok(())
    }

    /// Adds what was counted since.
    fn append(&self, written: &mut Written) -> io::Result<()> {
        let delta = self.ledger().take_delta();
        let Some(file) = written.file.as_mut().filter(|_| !delta.is_empty()) else {
            return Ok(());
        };
        for line in lines(written.users, delta)? {
            file.write_all(&line)?;
            written.added += line.len() as u64;
        }
        file.sync_data()
    }

    fn closing(&self) -> MutexGuard<'_, bool> {
        self.is_closing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// `delta` in lines of a bounded length.
fn lines(users: Users, mut delta: LedgerDelta) -> io::Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    loop {
        let part = delta.split_off(ROWS);
        let json = serde_json::to_vec(&Line {
            called: users,
            delta,
        })?;
        let mut lines = Lines::new();
        lines.push(|line| line.extend_from_slice(&json));
        all.push(lines.as_bytes().to_vec());
        if part == LedgerDelta::default() {
            return Ok(all);
        }
        delta = part;
    }
}

/// Adds the lines of the file at `path` to `ledger`.
fn read(path: &Path, ledger: &Ledger) -> io::Result<Found> {
    let file = File::open(path)?;
    if file.metadata()?.len() > MOST {
        return Err(io::Error::other("it is larger than any that is written"));
    }
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if line != HEADER.as_bytes() {
        let why = if line.starts_with(FAMILY.as_bytes()) {
            "another version of the gateway wrote it"
        } else {
            "it is no file of the gateway's"
        };
        return Err(io::Error::other(why));
    }
    let mut found = Found::default();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        let Some(text) = line.strip_suffix(b"\n") else {
            found.is_torn = true;
            return Ok(found);
        };
        let read = entry(text).and_then(|entry| serde_json::from_slice::<Line>(entry).ok());
        let Some(Line { called, mut delta }) = read else {
            found.damaged += 1;
            continue;
        };
        if called != ledger.users() {
            delta.users.clear();
            delta.sessions.clear();
        }
        ledger.merge(&delta);
        found.lines += 1;
    }
}

#[cfg(test)]
mod tests;
