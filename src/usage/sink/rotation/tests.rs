//! Real files in a folder that goes with the test.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

const DAY: u64 = 24 * 60 * 60;
const NOW: Duration = Duration::from_secs(1_790_000_000);

fn files(folder: &TempDir, max_size: u64, keep: usize) -> Files {
    Files::new(FileConfig {
        path: folder.path().join("usage.jsonl"),
        max_size,
        keep,
        retention: Duration::from_secs(12 * DAY),
    })
}

/// Writes `line` and an end of line, as the sink does.
fn write(files: &mut Files, line: &str) {
    files.ensure_open(NOW).unwrap();
    let room = files.room(line.len() as u64 + 1, NOW).unwrap();
    assert!(room > line.len() as u64);
    files.append(format!("{line}\n").as_bytes(), NOW).unwrap();
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_full_exactly_at_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(&folder, 10, 3);
    write(&mut files, "1234");
    write(&mut files, "5678");
    assert_eq!(
        read(&folder, "usage.jsonl"),
        "1234\n5678\n",
        "ten bytes fit"
    );
    write(&mut files, "9");
    assert_eq!(read(&folder, "usage.jsonl"), "9\n");
    assert_eq!(read(&folder, "usage.jsonl.1"), "1234\n5678\n");
    write(&mut files, "12345678");
    assert_eq!(read(&folder, "usage.jsonl.1"), "9\n", "eleven would not");
    assert_eq!(read(&folder, "usage.jsonl.2"), "1234\n5678\n");
}

#[test]
fn a_line_that_is_longer_than_a_file_has_one_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(&folder, 4, 3);
    for line in ["1", "a longer line", "2"] {
        write(&mut files, line);
    }
    assert_eq!(read(&folder, "usage.jsonl.2"), "1\n");
    assert_eq!(read(&folder, "usage.jsonl.1"), "a longer line\n");
    assert_eq!(read(&folder, "usage.jsonl"), "2\n");
}

#[test]
fn only_so_many_older_files_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = files(&folder, 2, 2);
    for line in ["1", "2", "3", "4", "5"] {
        write(&mut kept, line);
    }
    assert_eq!(
        names(&folder),
        ["usage.jsonl", "usage.jsonl.1", "usage.jsonl.2"]
    );
    assert_eq!(read(&folder, "usage.jsonl.2"), "3\n");
    drop(kept);
    let mut none = files(&folder, 2, 0);
    write(&mut none, "6");
    // Those that a longer configuration kept.
    none.tend(NOW);
    assert_eq!(names(&folder), ["usage.jsonl"]);
    assert_eq!(read(&folder, "usage.jsonl"), "6\n");
}

#[test]
fn files_are_their_owners_only() {
    let folder = tempfile::tempdir().unwrap();
    write(&mut files(&folder, 10, 1), "1");
    let mode = fs::metadata(folder.path().join("usage.jsonl"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn what_a_crash_left_of_a_line_never_joins_the_next() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("usage.jsonl"), "1\n{\"hal").unwrap();
    let mut files = files(&folder, 100, 1);
    write(&mut files, "2");
    assert_eq!(read(&folder, "usage.jsonl"), "1\n{\"hal\n2\n");
}

#[test]
fn a_file_that_was_moved_or_removed_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    let mut files = files(&folder, 100, 1);
    write(&mut files, "1");
    fs::rename(&path, folder.path().join("moved")).unwrap();
    write(&mut files, "2");
    assert_eq!(
        (read(&folder, "moved"), read(&folder, "usage.jsonl")),
        ("1\n".into(), "2\n".into())
    );
    fs::remove_file(&path).unwrap();
    write(&mut files, "3");
    assert_eq!(read(&folder, "usage.jsonl"), "3\n");
}

#[test]
fn no_record_outlives_the_retention() {
    let folder = tempfile::tempdir().unwrap();
    // Two older files and the one that is written: four days each, of twelve.
    let mut files = files(&folder, 1000, 2);
    let first = humantime::format_rfc3339_millis(UNIX_EPOCH + NOW);
    write(&mut files, &format!("{{\"time\":\"{first}\"}}"));
    let path = folder.path().join("usage.jsonl.1");
    let days = |days: u64| NOW + Duration::from_secs(days * DAY);
    let just_before = |day: u64| days(day).saturating_sub(Duration::from_secs(1));
    files.tend(just_before(4));
    assert!(!path.exists());
    // After a restart, too, it is known when the file was begun.
    files.open = None;
    files.ensure_open(days(4)).unwrap();
    files.tend(days(4));
    assert!(path.exists(), "its first record is four days old");
    let written = File::options().write(true).open(&path).unwrap();
    written.set_modified(UNIX_EPOCH + days(4)).unwrap();
    files.tend(just_before(12));
    assert!(path.exists());
    files.tend(days(12));
    assert!(!path.exists(), "its first record is twelve days old");
}

#[test]
fn files_of_others_are_let_be() {
    let folder = tempfile::tempdir().unwrap();
    let others = [
        "usage.jsonl.01",
        "usage.jsonl.gz",
        "usage.jsonl.5.gz",
        "other.jsonl.7",
    ];
    for name in others {
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
    }
    File::create(folder.path().join("usage.jsonl.7")).unwrap();
    files(&folder, 10, 3).tend(NOW);
    let mut expected = others.map(str::to_owned);
    expected.sort();
    assert_eq!(names(&folder), expected);
}
