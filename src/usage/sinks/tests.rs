//! All sinks together.

use std::fs;

use super::super::testing::{TestReceiver, nobody, receiver, record, until};
use super::*;

const LONG: Duration = Duration::from_secs(30);

fn webhook() -> WebhookConfig {
    WebhookConfig {
        interval: Duration::from_millis(1),
        first_retry: Duration::from_millis(2),
        ..WebhookConfig::default()
    }
}

#[test]
fn every_sink_gets_every_record_and_is_flushed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    let server = TestReceiver::start([]);
    let config = SinksConfig {
        file: Some(FileConfig {
            path: path.clone(),
            max_size: 1 << 20,
            keep: 1,
            retention: LONG,
        }),
        webhook: Some((webhook(), server.receiver())),
    };
    let sinks = Sinks::start(config, &Clock::system()).unwrap();
    assert!(!sinks.is_empty());
    let ids: Vec<_> = (0..500).map(|id| id.to_string()).collect();
    for id in &ids {
        sinks.offer(&record(id));
    }
    assert!(sinks.close(LONG));
    assert_eq!(server.ids(), ids);
    let text = fs::read_to_string(path).unwrap();
    let read = text.lines().map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["request_id"].as_str().unwrap().to_owned()
    });
    assert_eq!(read.collect::<Vec<_>>(), ids);
    for counts in [
        sinks.file_counts().unwrap(),
        sinks.webhook_counts().unwrap(),
    ] {
        assert_eq!((counts.take_delivered(), counts.take_dropped()), (500, 0));
    }
    sinks.offer(&record("late"));
    assert_eq!(sinks.file_counts().unwrap().take_dropped(), 1);
    assert_eq!(sinks.webhook_counts().unwrap().take_dropped(), 1);
}

#[test]
fn without_sinks_nothing_happens() {
    let sinks = Sinks::start(SinksConfig::default(), &Clock::system()).unwrap();
    sinks.offer(&record("1"));
    assert!(sinks.is_empty() && sinks.file_counts().is_none() && sinks.close(LONG));
}

#[test]
fn a_receiver_that_is_readdressed_gets_what_the_one_before_did_not_take() {
    let config = SinksConfig {
        file: None,
        webhook: Some((webhook(), receiver(nobody(), None))),
    };
    let sinks = Sinks::start(config, &Clock::system()).unwrap();
    sinks.offer(&record("1"));
    let counts = sinks.webhook_counts().unwrap();
    until("it fails", || counts.take_failures() > 0);
    let server = TestReceiver::start([]);
    sinks.readdress(receiver(server.address, Some("renewed")));
    until("it is taken", || counts.take_delivered() == 1);
    assert_eq!(server.came()[0].headers["authorization"], "Bearer renewed");
}
