//! The webhook sink: usage records in batches, by POST.
//!
//! A batch is `{"records":[…]}` (`application/json`), each record as a line of the file is. Its
//! `Idempotency-Key` is 32 hex digits, and the same whenever the batch is sent again, by a later process
//! too: a receiver that has seen it is to answer 2xx and to count nothing. Answers' bodies are not
//! looked at.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::delivery::{Delivery, Packing};
use super::receiver::Receiver;
use super::spool_folder::SpoolConfig;
use super::thread::SinkThread;
use crate::clock::Clock;

/// Bytes that wait in the queue, at most.
const MOST_WAITING: usize = 8 * 1024 * 1024;

/// `usage.webhook`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Records of one POST, at most.
    pub batch: usize,
    /// A record waits no longer for others.
    pub interval: Duration,
    /// The wait after a first failure, which then doubles.
    pub first_retry: Duration,
    /// Where batches are kept while the receiver is down; `None`: in memory, 8 MiB of them.
    pub spool: Option<SpoolConfig>,
    /// No batch is kept longer (`usage.retention`).
    pub retention: Duration,
}

impl Default for WebhookConfig {
    /// 100 records, 5 s, half a second, no spool, 35 days.
    fn default() -> Self {
        Self {
            batch: 100,
            interval: Duration::from_secs(5),
            first_retry: Duration::from_millis(500),
            spool: None,
            retention: Duration::from_hours(35 * 24),
        }
    }
}

/// Starts sending what is offered.
///
/// # Errors
/// No thread could be started.
pub(in crate::usage) fn start(
    config: WebhookConfig,
    receiver: Arc<Mutex<Arc<Receiver>>>,
    clock: Clock,
) -> io::Result<SinkThread> {
    let delivery = Delivery {
        name: "usage-webhook",
        receiver,
        packing: Packing::Records(config.batch),
        interval: config.interval,
        first_retry: config.first_retry,
        spool: config.spool,
        retention: config.retention,
        most_waiting: MOST_WAITING,
    };
    delivery.start(clock)
}

#[cfg(test)]
mod tests;
