//! The files of a journal: snapshots and lines by generation, in a folder that one process holds.
//!
//! The snapshot of a generation holds all that was written to the journals of the generations before
//! it, and perhaps some of its own. A file comes to be whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::line::{self, Lines};
use super::{JournalError, Ledger, Recovered};

/// The version of the format, as the first line of every file says it.
const VERSION: u32 = 1;

/// Snapshots are written in pieces of about this many bytes.
const PIECE: usize = 64 * 1024;

/// Where one journal's files are.
pub(super) struct Folder {
    path: PathBuf,
    name: &'static str,
    /// Held as long as this process lives, whatever ends it.
    _lock: File,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Journal,
    Snapshot,
    /// A snapshot that did not come to be.
    Unfinished,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Journal, Self::Snapshot, Self::Unfinished];

    fn suffix(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Snapshot => "snapshot",
            Self::Unfinished => "unfinished",
        }
    }
}

/// Whether a journal could be kept in the folder at `path`, which is made where there is none. Says
/// nothing of another process that holds it.
///
/// # Errors
/// It cannot be made or written.
pub fn probe(path: &Path) -> Result<(), JournalError> {
    let unwritable = |source| JournalError::unwritable(path, source);
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(unwritable)?;
    let trial = path.join(format!(".probe.{}", std::process::id()));
    create(OpenOptions::new().write(true), &trial).map_err(unwritable)?;
    fs::remove_file(&trial).map_err(unwritable)
}

impl Folder {
    /// Makes the folder where there is none, and takes hold of it.
    pub(super) fn open(path: &Path, name: &'static str) -> Result<Self, JournalError> {
        let unwritable = |source| JournalError::unwritable(path, source);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(unwritable)?;
        let lock = path.join(format!("{name}.lock"));
        let lock = create(OpenOptions::new().write(true), &lock).map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                name,
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Held(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(unwritable(source)),
        }
    }

    /// Reads all that there is into `ledger`; what was found, and the newest generation.
    pub(super) fn load<L: Ledger>(&self, ledger: &L) -> Result<(Recovered, u64), JournalError> {
        let unreadable = |source| JournalError::unwritable(&self.path, source);
        let files = self.files().map_err(unreadable)?;
        let newest = files.iter().map(|(number, _)| *number).max().unwrap_or(0);
        let of = |kind| files.iter().filter(move |file| file.1 == kind);
        let base = of(Kind::Snapshot).map(|file| file.0).max();
        let mut journals: Vec<_> = of(Kind::Journal).map(|file| file.0).collect();
        journals.retain(|number| base.is_none_or(|base| *number >= base));
        journals.sort_unstable();
        let mut found = Recovered::default();
        let base = base.map(|number| self.file(number, Kind::Snapshot));
        let journals = journals.iter().map(|n| self.file(*n, Kind::Journal));
        for path in base.into_iter().chain(journals) {
            self.read(&path, ledger, &mut found)?;
        }
        Ok((found, newest))
    }

    /// An empty journal of a new generation.
    pub(super) fn begin(&self, generation: u64) -> io::Result<File> {
        let path = self.file(generation, Kind::Journal);
        let mut file = create(OpenOptions::new().append(true), &path)?;
        // What an attempt on a full disk left.
        file.set_len(0)?;
        file.write_all(self.header().as_bytes())?;
        file.sync_all()?;
        self.sync()?;
        Ok(file)
    }

    /// Writes what `ledger` holds as the snapshot of `generation`, and removes what it replaces; its
    /// size.
    pub(super) fn snapshot<L: Ledger>(&self, generation: u64, ledger: &L) -> io::Result<u64> {
        let unfinished = self.file(generation, Kind::Unfinished);
        let file = create(OpenOptions::new().write(true).truncate(true), &unfinished)?;
        let mut writer = BufWriter::with_capacity(PIECE, file);
        writer.write_all(self.header().as_bytes())?;
        let mut lines = Lines::new();
        ledger.snapshot(&mut |write| {
            lines.clear();
            lines.push(write);
            writer.write_all(lines.as_bytes())
        })?;
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.file(generation, Kind::Snapshot))?;
        self.sync()?;
        for (number, kind) in self.files()? {
            if number < generation || kind == Kind::Unfinished {
                fs::remove_file(self.file(number, kind))?;
            }
        }
        Ok(file.metadata()?.len())
    }

    fn read<L: Ledger>(
        &self,
        path: &Path,
        ledger: &L,
        found: &mut Recovered,
    ) -> Result<(), JournalError> {
        let unreadable = |source| JournalError::unwritable(path, source);
        let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
        let mut line = Vec::new();
        let mut is_first = true;
        while reader.read_until(b'\n', &mut line).map_err(unreadable)? > 0 {
            let Some(text) = line.strip_suffix(b"\n") else {
                found.torn += 1;
                break;
            };
            if is_first {
                self.check_header(path, text)?;
            } else if !text.is_empty() {
                match line::entry(text) {
                    Some(entry) if ledger.replay(entry) => found.entries += 1,
                    _ => found.damaged += 1,
                }
            }
            is_first = false;
            line.clear();
        }
        Ok(())
    }

    fn check_header(&self, path: &Path, line: &[u8]) -> Result<(), JournalError> {
        if self.header().as_bytes().strip_suffix(b"\n") == Some(line) {
            return Ok(());
        }
        Err(JournalError::Format {
            path: path.to_owned(),
            version: VERSION,
        })
    }

    fn header(&self) -> String {
        format!("behest-gateway {} {VERSION}\n", self.name)
    }

    fn file(&self, generation: u64, kind: Kind) -> PathBuf {
        let file = format!("{}.{generation:016x}.{}", self.name, kind.suffix());
        self.path.join(file)
    }

    fn files(&self) -> io::Result<Vec<(u64, Kind)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            files.extend(name.to_str().and_then(|name| self.parse(name)));
        }
        Ok(files)
    }

    fn parse(&self, file: &str) -> Option<(u64, Kind)> {
        let rest = file.strip_prefix(self.name)?.strip_prefix('.')?;
        let (generation, suffix) = rest.split_once('.')?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
        let generation = u64::from_str_radix(generation, 16).ok()?;
        Some((generation, kind))
    }

    /// Makes new names and removals last.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Opens `path`, for its owner alone.
fn create(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.create(true).mode(0o600).open(path)
}
