use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;

/// The greatest number of each name.
#[derive(Default)]
struct Greatest(Mutex<BTreeMap<String, u64>>);

impl Greatest {
    fn set(&self, name: &str, number: u64) {
        let mut map = self.0.lock().unwrap();
        let held = map.entry(name.to_owned()).or_default();
        *held = number.max(*held);
    }

    fn all(&self) -> Vec<(String, u64)> {
        self.0.lock().unwrap().clone().into_iter().collect()
    }
}

impl Ledger for Greatest {
    fn replay(&self, entry: &[u8]) -> bool {
        let text = std::str::from_utf8(entry).unwrap();
        let Some((name, number)) = text.split_once(' ') else {
            return false;
        };
        self.set(name, number.parse().unwrap());
        true
    }

    fn snapshot(&self, write: &mut WriteEntry<'_>) -> io::Result<()> {
        for (name, number) in self.all() {
            write(&mut |line| line.extend_from_slice(format!("{name} {number}").as_bytes()))?;
        }
        Ok(())
    }
}

type Opened = (Arc<Greatest>, Journal<Greatest>);

fn open_with(folder: &Path, snapshot_after: u64) -> Result<Opened, JournalError> {
    let ledger = Arc::new(Greatest::default());
    let mut config = JournalConfig::new(folder.to_owned(), "counts");
    config.snapshot_after = snapshot_after;
    let journal = Journal::open(&config, Arc::clone(&ledger))?;
    Ok((ledger, journal))
}

fn open(folder: &Path) -> Opened {
    open_with(folder, u64::MAX).unwrap()
}

fn set((ledger, journal): &Opened, name: &str, number: u64) {
    ledger.set(name, number);
    let mut lines = Lines::new();
    lines.push(|line| line.extend_from_slice(format!("{name} {number}").as_bytes()));
    journal.append(&lines);
}

/// The folder as a process that is killed now leaves it.
fn crash(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// Lets lines go to another file.
fn swap((_, journal): &Opened, file: Arc<File>) -> Arc<File> {
    let mut current = journal.core.current.write().unwrap();
    std::mem::replace(&mut current.file, file)
}

fn only(folder: &Path, suffix: &str) -> PathBuf {
    let files = fs::read_dir(folder).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == suffix))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn named(all: &[(&str, u64)]) -> Vec<(String, u64)> {
    all.iter()
        .map(|(name, n)| ((*name).to_owned(), *n))
        .collect()
}

#[test]
fn what_was_appended_is_there_after_a_kill() {
    let folder = TempDir::new().unwrap();
    let first = open(folder.path());
    set(&first, "a", 1);
    set(&first, "b", 2);
    set(&first, "a", 3);
    let killed = crash(folder.path());
    let (ledger, journal) = open(killed.path());
    assert_eq!(ledger.all(), named(&[("a", 3), ("b", 2)]));
    let entries = 3;
    let found = Recovered {
        entries,
        ..Recovered::default()
    };
    assert_eq!(journal.recovered(), found);
    drop(journal);
    let (ledger, journal) = open(killed.path());
    assert_eq!(
        ledger.all(),
        named(&[("a", 3), ("b", 2)]),
        "from the snapshot"
    );
    assert_eq!(journal.recovered().entries, 2);
}

#[test]
fn a_torn_end_is_cut_and_a_damaged_line_is_skipped() {
    let folder = TempDir::new().unwrap();
    let first = open(folder.path());
    for (name, number) in [("a", 1), ("b", 2), ("c", 3)] {
        set(&first, name, number);
    }
    let killed = crash(folder.path());
    let path = only(killed.path(), "journal");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("b 2", "b 7").trim_end()).unwrap();
    let (ledger, journal) = open(killed.path());
    assert_eq!(ledger.all(), named(&[("a", 1)]));
    let found = journal.recovered();
    assert_eq!((found.entries, found.damaged, found.torn), (1, 1, 1));
    // Nothing of it is left to trip over.
    set(&(ledger, journal), "d", 4);
    let (ledger, journal) = open(crash(killed.path()).path());
    assert_eq!(ledger.all(), named(&[("a", 1), ("d", 4)]));
    assert_eq!(journal.recovered().damaged, 0);
}

#[test]
fn a_crash_amid_a_snapshot_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let first = open(folder.path());
    set(&first, "a", 1);
    let before = crash(folder.path());
    first.1.core.next_generation().unwrap();
    set(&first, "b", 2);
    let without = crash(folder.path());
    fs::write(
        without.path().join("counts.0000000000000002.unfinished"),
        "behest",
    )
    .unwrap();
    let (ledger, _journal) = open(without.path());
    assert_eq!(
        ledger.all(),
        named(&[("a", 1), ("b", 2)]),
        "not written whole"
    );
    first.1.core.compact().unwrap();
    let after = crash(folder.path());
    let old = only(before.path(), "journal");
    fs::copy(&old, after.path().join(old.file_name().unwrap())).unwrap();
    let (ledger, _journal) = open(after.path());
    assert_eq!(
        ledger.all(),
        named(&[("a", 1), ("b", 2)]),
        "old file not removed"
    );
    only(after.path(), "journal");
    only(after.path(), "snapshot");
}

#[test]
fn what_grows_becomes_a_snapshot_while_lines_go_on() {
    let folder = TempDir::new().unwrap();
    let opened = open_with(folder.path(), 2_000).unwrap();
    let began = opened.1.core.generation();
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let opened = &opened;
            scope.spawn(move || (1..=2_000).for_each(|number| set(opened, name, number)));
        }
    });
    let expected = named(&[("a", 2_000), ("b", 2_000), ("c", 2_000), ("d", 2_000)]);
    drop(opened);
    let (ledger, journal) = open(folder.path());
    assert_eq!(ledger.all(), expected);
    assert!(
        journal.core.generation() > began + 1,
        "no snapshot was made"
    );
    assert!(journal.recovered().entries < 8_000);
}

#[test]
fn a_disk_that_was_full_is_made_good_when_it_is_not_any_more() {
    let folder = TempDir::new().unwrap();
    let opened = open(folder.path());
    set(&opened, "a", 1);
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let working = swap(&opened, Arc::new(full));
    set(&opened, "b", 2);
    assert_eq!(opened.1.failed(), 1);
    assert!(!opened.1.is_whole());
    swap(&opened, working);
    set(&opened, "c", 3);
    // The thread looks each second.
    for _ in 0..600 {
        if opened.1.is_whole() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(opened.1.is_whole());
    let (ledger, _journal) = open(crash(folder.path()).path());
    assert_eq!(ledger.all(), named(&[("a", 1), ("b", 2), ("c", 3)]));
}

#[test]
fn a_folder_that_cannot_be_used_is_refused_with_the_fix() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = open_with(&file.join("below"), 1).err().unwrap().to_string();
    assert!(error.contains("mount a volume"), "{error}");
    let _held = open(folder.path());
    let error = open_with(folder.path(), 1).err().unwrap();
    assert!(matches!(error, JournalError::Held(_)), "{error}");
    assert!(error.to_string().contains("redis"), "{error}");
}

#[test]
fn files_of_another_version_are_left_alone() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()));
    let path = only(folder.path(), "snapshot");
    fs::write(&path, "behest-gateway counts 2\n").unwrap();
    let error = open_with(folder.path(), 1).err().unwrap();
    assert!(matches!(error, JournalError::Format { .. }), "{error}");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "behest-gateway counts 2\n"
    );
}
