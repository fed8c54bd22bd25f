//! Where usage records go.
//!
//! Guarantees: a record is handed over without waiting for a disk or a network, and never fails a
//! request; what a sink cannot take is dropped and counted; sinks know nothing of each other.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::line::line;
use super::sink::{self, FileConfig, Receiver, SinkCounts, SinkThread, WebhookConfig};
use super::{UsageRecord, sink::Line};
use crate::clock::{self, Clock};

/// Which sinks there are.
#[derive(Default)]
pub struct SinksConfig {
    /// The file; `None`: none is written.
    pub file: Option<FileConfig>,
    /// The webhook and who takes it; `None`: none is called.
    pub webhook: Option<(WebhookConfig, Receiver)>,
}

/// Running sinks, for the whole life of the process.
pub struct Sinks {
    file: Option<SinkThread>,
    webhook: Option<SinkThread>,
    receiver: Option<Arc<Mutex<Arc<Receiver>>>>,
}

impl Sinks {
    /// Starts the sinks, each on a thread of its own.
    ///
    /// # Errors
    /// No thread could be started. A file that cannot be written, or a receiver that does not answer, is
    /// none: it is tried again.
    pub fn start(config: SinksConfig, clock: &Clock) -> io::Result<Self> {
        let file = config
            .file
            .map(|file| sink::start_file(file, clock.clone()))
            .transpose()?;
        let mut sinks = Self {
            file,
            webhook: None,
            receiver: None,
        };
        if let Some((webhook, receiver)) = config.webhook {
            let receiver = Arc::new(Mutex::new(Arc::new(receiver)));
            sinks.receiver = Some(Arc::clone(&receiver));
            sinks.webhook = Some(sink::start_webhook(webhook, receiver, clock.clone())?);
        }
        Ok(sinks)
    }

    /// Whether nobody is told of records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.file.is_none() && self.webhook.is_none()
    }

    /// Hands `record` to every sink.
    pub fn offer(&self, record: &UsageRecord) {
        if self.is_empty() {
            return;
        }
        let line = Line {
            json: line(record),
            id: 0,
        };
        if let (Some(file), Some(_)) = (&self.file, &self.webhook) {
            file.offer(line.clone());
        }
        if let Some(last) = self.webhook.as_ref().or(self.file.as_ref()) {
            last.offer(line);
        }
    }

    /// What became of the file's lines.
    #[must_use]
    pub fn file_counts(&self) -> Option<&SinkCounts> {
        self.file.as_ref().map(|file| &**file.counts())
    }

    /// What became of the webhook's records.
    #[must_use]
    pub fn webhook_counts(&self) -> Option<&SinkCounts> {
        self.webhook.as_ref().map(|webhook| &**webhook.counts())
    }

    /// Has the webhook called at `receiver` from its next batch on: a new token, or another URL.
    pub fn readdress(&self, receiver: Receiver) {
        if let Some(current) = &self.receiver {
            *current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(receiver);
        }
    }

    /// Takes no more records, writes what the file has not, and has the webhook send what it can
    /// `within`; the rest goes to its spool, or is dropped and counted where there is none. Waits for
    /// that; whether all sinks ended in time.
    pub fn close(&self, within: Duration) -> bool {
        let by = clock::monotonic() + within;
        let all = || [&self.file, &self.webhook].into_iter().flatten();
        all().for_each(|sink| sink.end(by));
        all().filter(|sink| !sink.wait(by)).count() == 0
    }
}

#[cfg(test)]
mod tests;
