//! Batches in memory and in real folders.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

fn on_disk(folder: &TempDir, size: u64) -> (Spool, Arc<SinkCounts>) {
    let path = folder.path().join("spool");
    let counts = Arc::new(SinkCounts::default());
    let config = Some(SpoolConfig { path, size });
    (Spool::new(config, Arc::clone(&counts)), counts)
}

/// A batch of ten bytes and two records.
fn push(spool: &mut Spool, id: u128) {
    spool.push(id, 2, Bytes::from(format!("\"{id:08}\"")), Duration::ZERO);
}

fn take_all(spool: &mut Spool) -> Vec<u128> {
    let mut ids = Vec::new();
    while let Some(batch) = spool.take() {
        ids.push(batch.id());
        spool.done(&batch);
    }
    ids
}

fn batches(path: &Path) -> usize {
    let entries = fs::read_dir(path).unwrap();
    let is_batch = |entry: &fs::DirEntry| entry.path().extension().is_some();
    entries
        .filter(|entry| is_batch(entry.as_ref().unwrap()))
        .count()
}

#[test]
fn what_was_stored_survives_a_crash_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = on_disk(&folder, 1000);
    for id in 1..=3 {
        push(&mut spool, id);
    }
    spool.store();
    push(&mut spool, 4);
    // One is on its way when the process dies, and the fourth was never stored.
    let sent = spool.take().unwrap();
    assert_eq!(sent.id(), 1);
    drop(spool);
    let (mut later, counts) = on_disk(&folder, 1000);
    assert_eq!(counts.spool_bytes(), 30);
    push(&mut later, 5);
    let first = later.take().unwrap();
    assert_eq!(
        (first.id(), first.records(), &first.body[..]),
        (1, 2, &b"\"00000001\""[..])
    );
    later.put_back(first);
    assert_eq!(take_all(&mut later), [1, 2, 3, 5]);
    assert_eq!(batches(&folder.path().join("spool")), 0);
    assert_eq!((counts.spool_bytes(), counts.take_dropped()), (0, 0));
}

#[test]
fn the_oldest_are_dropped_first_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, counts) = on_disk(&folder, 30);
    for id in 1..=5 {
        push(&mut spool, id);
        spool.store();
    }
    assert_eq!(counts.take_dropped(), 4, "two records each");
    assert_eq!(counts.spool_bytes(), 30);
    assert_eq!(batches(&folder.path().join("spool")), 3);
    assert_eq!(take_all(&mut spool), [3, 4, 5]);
}

#[test]
fn a_batch_on_its_way_is_not_dropped_but_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, counts) = on_disk(&folder, 20);
    push(&mut spool, 1);
    push(&mut spool, 2);
    spool.store();
    let out = spool.take().unwrap();
    push(&mut spool, 3);
    spool.store();
    assert_eq!((counts.take_dropped(), counts.spool_bytes()), (2, 20));
    spool.put_back(out);
    assert_eq!(take_all(&mut spool), [1, 3]);
}

#[test]
fn without_a_folder_batches_wait_in_memory_and_are_bounded_there() {
    let counts = Arc::new(SinkCounts::default());
    let mut spool = Spool::new(None, Arc::clone(&counts));
    let third = usize::try_from(MOST_IN_MEMORY / 3).unwrap();
    for id in 1..=5 {
        spool.push(id, 7, Bytes::from(vec![b' '; third]), Duration::ZERO);
        spool.store();
    }
    assert_eq!(counts.take_dropped(), 14);
    assert_eq!(take_all(&mut spool), [3, 4, 5]);
    push(&mut spool, 6);
    spool.give_up();
    assert_eq!((counts.take_dropped(), spool.take().is_none()), (2, true));
}

#[test]
fn a_torn_file_is_skipped_removed_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = on_disk(&folder, 1000);
    for id in 1..=3 {
        push(&mut spool, id);
    }
    spool.store();
    drop(spool);
    let path = folder.path().join("spool");
    let second = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut second = second.filter(|path| path.to_str().unwrap().ends_with("02.json"));
    fs::write(second.next().unwrap(), b"\"0000").unwrap();
    let (mut later, counts) = on_disk(&folder, 1000);
    assert_eq!(take_all(&mut later), [1, 3]);
    assert_eq!(counts.take_dropped(), 2);
    assert_eq!(batches(&path), 0);
}

#[test]
fn a_folder_that_is_removed_is_made_anew_and_what_was_in_it_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, counts) = on_disk(&folder, 1000);
    push(&mut spool, 1);
    spool.store();
    fs::remove_dir_all(folder.path().join("spool")).unwrap();
    push(&mut spool, 2);
    spool.store();
    assert_eq!(spool.in_memory(), 1, "the disk did not take it");
    spool.store();
    assert_eq!(spool.in_memory(), 0);
    assert_eq!(counts.take_dropped(), 2, "the first is lost");
    assert_eq!(take_all(&mut spool), [2]);
}

#[test]
fn a_folder_that_another_process_uses_is_taken_over_when_that_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (mut first, _) = on_disk(&folder, 1000);
    push(&mut first, 1);
    first.store();
    let (mut second, counts) = on_disk(&folder, 1000);
    push(&mut second, 2);
    second.store();
    assert_eq!(second.in_memory(), 1);
    drop(first);
    second.open();
    second.store();
    assert_eq!(take_all(&mut second), [1, 2]);
    assert_eq!(counts.take_dropped(), 0);
}

#[test]
fn batches_beyond_the_retention_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, counts) = on_disk(&folder, 1000);
    let body = Bytes::from_static(b"{}");
    for seconds in [100, 200] {
        let made = Duration::from_secs(seconds);
        spool.push(seconds.into(), 1, body.clone(), made);
    }
    spool.store();
    drop(spool);
    let (mut later, later_counts) = on_disk(&folder, 1000);
    later.forget(Duration::from_secs(150));
    assert_eq!(take_all(&mut later), [200]);
    assert_eq!((counts.take_dropped(), later_counts.take_dropped()), (0, 1));
}
