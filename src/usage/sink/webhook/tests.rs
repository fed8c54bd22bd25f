//! The webhook sink against receivers on real sockets.

use std::fs;
use std::path::Path;
use std::time::Instant;

use super::super::super::line::line;
use super::super::super::testing::{
    Came, Reply, TestReceiver, nobody, receiver as receiver_at, record, until,
};
use super::*;
use crate::clock;
use crate::usage::sink::Line;

/// Three records a batch, no waiting for others, quick to try again.
fn config() -> WebhookConfig {
    WebhookConfig {
        batch: 3,
        interval: Duration::from_millis(1),
        first_retry: Duration::from_millis(2),
        ..WebhookConfig::default()
    }
}

fn spooled(folder: &Path) -> WebhookConfig {
    WebhookConfig {
        spool: Some(SpoolConfig {
            path: folder.to_owned(),
            size: 1 << 20,
        }),
        ..config()
    }
}

fn begin(config: WebhookConfig, receiver: Receiver) -> SinkThread {
    let receiver = Arc::new(Mutex::new(Arc::new(receiver)));
    start(config, receiver, Clock::system()).unwrap()
}

fn offer(sink: &SinkThread, ids: impl IntoIterator<Item = u32>) {
    for id in ids {
        let json = line(&record(&id.to_string()));
        sink.offer(Line { json, id: 0 });
    }
}

fn texts(ids: impl IntoIterator<Item = u32>) -> Vec<String> {
    ids.into_iter().map(|id| id.to_string()).collect()
}

fn soon() -> Instant {
    clock::monotonic() + Duration::from_secs(30)
}

fn batches(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .count()
}

#[test]
fn records_come_in_batches_in_order_with_the_token_and_a_key() {
    let server = TestReceiver::start([]);
    let mut config = config();
    config.interval = Duration::from_millis(300);
    let sink = begin(config, receiver_at(server.address, Some("tok_1")));
    offer(&sink, 0..7);
    until("all are there", || server.ids().len() == 7);
    let came = server.came();
    let sizes: Vec<_> = came.iter().map(|came| came.ids().len()).collect();
    assert!(sizes.iter().all(|size| *size <= 3), "{sizes:?}");
    assert_eq!(server.ids(), texts(0..7));
    assert_eq!(came[0].path, "/usage?from=gateway");
    assert_eq!(came[0].headers["authorization"], "Bearer tok_1");
    assert_eq!(came[0].headers["content-type"], "application/json");
    assert_eq!(came[0].body["records"][0]["duration_ms"], 1500.25);
    assert_eq!(came[0].key().len(), 32);
    assert_ne!(came[0].key(), came[1].key());
    until("they are counted", || sink.counts().take_delivered() > 0);
}

#[test]
fn what_fails_is_sent_again_under_the_same_key_until_it_is_taken() {
    let server = TestReceiver::start([
        Reply::Status(500),
        Reply::Status(408),
        Reply::Status(302),
        Reply::DiesInBody,
        Reply::DiesBefore,
    ]);
    let sink = begin(config(), server.receiver());
    offer(&sink, 0..3);
    until("it is taken", || sink.counts().take_delivered() == 3);
    offer(&sink, 3..6);
    until("so is the next", || sink.counts().take_delivered() == 3);
    let came = server.came();
    assert_eq!(came.len(), 7, "five failures and two batches");
    for again in &came[..6] {
        assert_eq!((again.key(), again.ids()), (came[0].key(), texts(0..3)));
    }
    assert_eq!(came[6].ids(), texts(3..6));
    assert_eq!(sink.counts().take_failures(), 5);
    assert_eq!(sink.counts().take_dropped(), 0);
}

#[test]
fn a_retry_after_is_kept_to() {
    let server = TestReceiver::start([Reply::Later(429, "1")]);
    let sink = begin(config(), server.receiver());
    let begun = clock::monotonic();
    offer(&sink, 0..3);
    until("it is taken", || sink.counts().take_delivered() == 3);
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(server.came().len(), 2);
}

#[test]
fn a_refused_batch_is_dropped_and_counted_and_the_next_is_sent() {
    let server = TestReceiver::start([Reply::Status(400), Reply::Status(401)]);
    let sink = begin(config(), server.receiver());
    for first in [0, 3, 6] {
        offer(&sink, first..first + 3);
        let batches = first as usize / 3 + 1;
        until("it came", || server.came().len() == batches);
    }
    until("the last is counted", || {
        sink.counts().take_delivered() == 3
    });
    assert_eq!(server.ids(), texts(0..9));
    assert_eq!(sink.counts().take_dropped(), 6);
}

#[test]
fn a_receiver_that_comes_back_gets_what_was_spooled_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    let address = nobody();
    let sink = begin(spooled(folder.path()), receiver_at(address, None));
    offer(&sink, 0..30);
    until("all are on disk", || batches(folder.path()) >= 10);
    until("so it says", || sink.counts().spool_bytes() > 1000);
    let server = TestReceiver::start_at(address, []);
    offer(&sink, 30..33);
    until("all came", || server.ids().len() == 33);
    assert_eq!(server.ids(), texts(0..33));
    until("the spool is empty", || batches(folder.path()) == 0);
    until("so it says", || sink.counts().spool_bytes() == 0);
    assert_eq!(sink.counts().take_dropped(), 0);
}

#[test]
fn what_was_spooled_is_sent_by_the_next_process_also_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, image) = (folder.path().join("spool"), folder.path().join("image"));
    let address = nobody();
    let sink = begin(spooled(&spool), receiver_at(address, None));
    offer(&sink, 0..9);
    until("all are on disk", || batches(&spool) >= 3);
    // The disk as SIGKILL would leave it, and half a batch that was being written.
    fs::create_dir(&image).unwrap();
    for entry in fs::read_dir(&spool).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), image.join(entry.file_name())).unwrap();
    }
    fs::write(image.join("00000000000000000001-3-0.json.tmp"), b"{\"rec").unwrap();
    let server = TestReceiver::start([Reply::Status(503)]);
    let next = begin(spooled(&image), server.receiver());
    until("all came", || {
        next.counts().take_delivered() == 9 || batches(&image) == 0
    });
    let ids: Vec<_> = server.came()[1..].iter().flat_map(Came::ids).collect();
    assert_eq!(ids, texts(0..9));
    let left: Vec<_> = fs::read_dir(&image)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn the_end_leaves_on_disk_what_nobody_took() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = spooled(folder.path());
    config.interval = Duration::from_hours(1);
    let sink = begin(config, receiver_at(nobody(), None));
    offer(&sink, 0..8);
    sink.end(soon());
    assert!(sink.wait(soon()));
    assert_eq!(batches(folder.path()), 3);
    assert_eq!(sink.counts().take_dropped(), 0);
    let server = TestReceiver::start([]);
    let _next = begin(spooled(folder.path()), server.receiver());
    until("all came", || server.ids().len() == 8);
    assert_eq!(server.ids(), texts(0..8));
}

#[test]
fn the_end_sends_what_still_waits_and_drops_what_nobody_took_without_a_spool() {
    let mut config = config();
    config.interval = Duration::from_hours(1);
    let server = TestReceiver::start([]);
    let sink = begin(config.clone(), server.receiver());
    offer(&sink, 0..2);
    sink.end(soon());
    assert!(sink.wait(soon()));
    assert_eq!(server.ids(), texts(0..2));
    let sink = begin(config, receiver_at(nobody(), None));
    offer(&sink, 0..2);
    sink.end(soon());
    assert!(sink.wait(soon()));
    assert_eq!(sink.counts().take_dropped(), 2);
}

#[test]
fn the_end_does_not_wait_for_a_receiver_that_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let never = Arc::new(tokio::sync::Notify::new());
    let server = TestReceiver::start([Reply::Held(Arc::clone(&never)), Reply::Held(never)]);
    let sink = begin(spooled(folder.path()), server.receiver());
    offer(&sink, 0..3);
    until("it is asked", || !server.came().is_empty());
    sink.end(clock::monotonic() + Duration::from_millis(100));
    let begun = clock::monotonic();
    assert!(sink.wait(soon()));
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "less than a POST may take"
    );
    assert_eq!(batches(folder.path()), 1, "not taken, so it stays");
}

#[test]
fn a_slow_receiver_holds_up_no_queue_and_no_order() {
    let folder = tempfile::tempdir().unwrap();
    let held = Arc::new(tokio::sync::Notify::new());
    let server = TestReceiver::start([Reply::Held(Arc::clone(&held))]);
    let sink = begin(spooled(folder.path()), server.receiver());
    offer(&sink, 0..3);
    until("it is asked", || !server.came().is_empty());
    offer(&sink, 3..153);
    until("what waits goes to disk", || batches(folder.path()) > 10);
    held.notify_one();
    until("all came", || server.ids().len() == 153);
    assert_eq!(server.ids(), texts(0..153));
    assert_eq!(sink.counts().take_dropped(), 0);
}

#[test]
fn what_nobody_takes_is_bounded_and_counted() {
    let sink = begin(config(), receiver_at(nobody(), None));
    let json = bytes::Bytes::from(format!("\"{}\"", "x".repeat(MOST_WAITING / 2)));
    for _ in 0..20 {
        let json = json.clone();
        sink.offer(Line { json, id: 0 });
    }
    let mut dropped = 0;
    until("what does not fit is dropped", || {
        dropped += sink.counts().take_dropped();
        dropped >= 16
    });
    sink.end(soon());
    assert!(sink.wait(soon()));
    assert_eq!(dropped + sink.counts().take_dropped(), 20);
}
