//! The file sink on its own thread, with real files.

use std::fs;
use std::path::Path;

use bytes::Bytes;

use super::super::super::testing::until;
use super::*;

fn config(path: &Path) -> FileConfig {
    FileConfig {
        path: path.to_owned(),
        max_size: 1 << 20,
        keep: 3,
        retention: Duration::from_hours(24),
    }
}

fn line(text: &str) -> Line {
    let json = Bytes::copy_from_slice(text.as_bytes());
    Line { json, id: 0 }
}

/// Soon, as far as a test may ask on a busy machine.
fn soon() -> Instant {
    clock::monotonic() + Duration::from_secs(30)
}

#[test]
fn lines_are_written_in_order_and_the_last_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    let mut config = config(&path);
    config.max_size = 20_000;
    let sink = start(config, Clock::system()).unwrap();
    for number in 0..10_000 {
        sink.offer(line(&number.to_string()));
    }
    sink.end(soon());
    assert!(sink.wait(soon()));
    let mut written = String::new();
    for name in ["usage.jsonl.2", "usage.jsonl.1", "usage.jsonl"] {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(text.len() <= 20_000, "{name}");
        written.push_str(&text);
    }
    let numbers: Vec<u32> = written.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (0..10_000).collect::<Vec<_>>());
    assert_eq!(sink.counts().take_delivered(), 10_000);
    assert_eq!(sink.counts().take_dropped(), 0);
}

#[test]
fn a_line_is_written_without_an_end_being_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    let sink = start(config(&path), Clock::system()).unwrap();
    sink.offer(line("1"));
    until("the line is in the file", || {
        fs::read_to_string(&path).is_ok_and(|text| text == "1\n")
    });
}

#[test]
fn lines_wait_for_a_folder_that_was_removed_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    let path = inner.join("usage.jsonl");
    fs::create_dir(&inner).unwrap();
    let sink = start(config(&path), Clock::system()).unwrap();
    sink.offer(line("1"));
    until("the first line is there", || {
        sink.counts().take_delivered() == 1
    });
    fs::remove_dir_all(&inner).unwrap();
    sink.offer(line("2"));
    until("writing fails", || sink.counts().take_failures() > 0);
    sink.offer(line("3"));
    fs::create_dir(&inner).unwrap();
    until("both are written", || {
        fs::read_to_string(&path).is_ok_and(|text| text == "2\n3\n")
    });
    assert_eq!(sink.counts().take_dropped(), 0);
}

#[test]
fn what_a_full_disk_never_took_is_counted_at_the_end() {
    // What every Linux has for it: each write says that there is no space.
    let sink = start(config(Path::new("/dev/full")), Clock::system()).unwrap();
    sink.offer(line("1"));
    until("writing fails", || sink.counts().take_failures() > 0);
    sink.offer(line("2"));
    sink.end(soon());
    assert!(sink.wait(soon()));
    let counts = sink.counts();
    assert_eq!((counts.take_delivered(), counts.take_dropped()), (0, 2));
}

#[test]
fn what_does_not_fit_while_nothing_can_be_written_is_dropped_and_counted() {
    let sink = start(config(Path::new("/nowhere/usage.jsonl")), Clock::system()).unwrap();
    let long = "x".repeat(MOST_WAITING / 4);
    for _ in 0..12 {
        sink.offer(line(&long));
    }
    sink.end(soon());
    assert!(sink.wait(soon()));
    assert_eq!(sink.counts().take_dropped(), 12);
}

#[test]
fn a_place_that_cannot_be_written_is_told_by_the_probe() {
    let folder = tempfile::tempdir().unwrap();
    assert!(config(&folder.path().join("usage.jsonl")).probe().is_ok());
    assert!(config(folder.path()).probe().is_err(), "a folder");
    assert!(config(Path::new("/nowhere/usage.jsonl")).probe().is_err());
}
