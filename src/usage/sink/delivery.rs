//! Posting what a queue holds to a receiver, until it has taken it.
//!
//! Guarantees: at least once, in order, one POST at a time; what is tried again carries the same
//! `Idempotency-Key`; no answer, 408, 429 (whose `Retry-After` is kept to), redirects and 5xx are tried
//! again, after waits that double up to a minute; any other 4xx drops the batch. While the receiver is
//! down, batches are kept as [`Spool`] says. An outage is logged when it begins and when it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;

use super::backoff::Backoff;
use super::counts::SinkCounts;
use super::queue::{Line, Queue};
use super::receiver::{Posted, Receiver};
use super::spool::{Batch, Spool};
use super::spool_folder::SpoolConfig;
use super::thread::SinkThread;
use crate::clock::{self, Clock};

/// Batches that wait in memory while the receiver only is slow: more go to disk.
const MOST_IN_TURN: usize = 16;

/// How often connections and old batches are looked at.
const TEND: Duration = Duration::from_secs(5);

/// How lines become bodies.
#[derive(Clone, Copy, Debug)]
pub(in crate::usage) enum Packing {
    /// `{"records":[…]}` of so many lines at most.
    Records(usize),
    /// Each by itself, as it is.
    Single,
}

/// How a queue is delivered.
pub(in crate::usage) struct Delivery {
    pub(in crate::usage) name: &'static str,
    pub(in crate::usage) receiver: Arc<Mutex<Arc<Receiver>>>,
    pub(in crate::usage) packing: Packing,
    /// A line waits for others no longer.
    pub(in crate::usage) interval: Duration,
    pub(in crate::usage) first_retry: Duration,
    pub(in crate::usage) spool: Option<SpoolConfig>,
    /// No batch is kept longer.
    pub(in crate::usage) retention: Duration,
    /// Bytes that wait in the queue, at most.
    pub(in crate::usage) most_waiting: usize,
}

impl Delivery {
    /// Starts delivering what is offered.
    ///
    /// # Errors
    /// No thread could be started.
    pub(in crate::usage) fn start(self, clock: Clock) -> std::io::Result<SinkThread> {
        let batch = self.packing.most();
        let queue = Arc::new(Queue::new(self.most_waiting, batch));
        let counts = Arc::new(SinkCounts::default());
        let name = self.name;
        let (own_queue, own_counts) = (Arc::clone(&queue), Arc::clone(&counts));
        SinkThread::start(name, queue, counts, move || {
            let run = Run {
                spool: Spool::new(self.spool.clone(), Arc::clone(&own_counts)),
                backoff: Backoff::new(self.first_retry),
                delivery: self,
                queue: own_queue,
                counts: own_counts,
                clock,
                due: None,
                retry: None,
                refused: None,
            };
            run.run()
        })
    }
}

impl Packing {
    fn most(self) -> usize {
        match self {
            Self::Records(most) => most.max(1),
            Self::Single => 1,
        }
    }

    fn pack(self, lines: &[Line]) -> (u128, Bytes) {
        match (self, lines) {
            (Self::Single, [line]) => (line.id, line.json.clone()),
            _ => (random_id(), records(lines)),
        }
    }
}

/// A delivery under way.
struct Run {
    delivery: Delivery,
    queue: Arc<Queue>,
    spool: Spool,
    counts: Arc<SinkCounts>,
    clock: Clock,
    backoff: Backoff,
    /// When the lines that wait have waited long enough.
    due: Option<Instant>,
    /// Nothing is sent before.
    retry: Option<Instant>,
    /// The last refusal that was logged; none since a batch was taken.
    refused: Option<StatusCode>,
}

impl Run {
    /// The thread's life.
    async fn run(mut self) {
        let mut tended = clock::monotonic();
        loop {
            if let Some(by) = self.queue.ends() {
                return self.finish(by).await;
            }
            let now = clock::monotonic();
            self.collect(now);
            if now.duration_since(tended) >= TEND {
                tended = now;
                self.tend();
            }
            if self.retry.is_some_and(|retry| retry > now) {
                self.wait(now + TEND).await;
                continue;
            }
            self.retry = None;
            match self.spool.take() {
                Some(batch) => self.deliver(batch).await,
                None => self.wait(now + TEND).await,
            }
        }
    }

    /// Until something is due, `by` then at the latest.
    async fn wait(&self, by: Instant) {
        let times = [self.due, self.retry].into_iter().flatten();
        let by = times.fold(by, Instant::min);
        let _ = tokio::time::timeout_at(by.into(), self.queue.came()).await;
    }

    fn tend(&mut self) {
        self.receiver().sweep();
        self.spool.open();
        let now = self.clock.now().unix;
        self.spool
            .forget(now.saturating_sub(self.delivery.retention));
    }

    /// Makes batches of the lines that have waited long enough, or are enough.
    fn collect(&mut self, now: Instant) {
        let most = self.delivery.packing.most();
        while self.queue.len() >= most {
            self.due = None;
            self.pack(most);
            self.keep();
        }
        if self.queue.len() == 0 {
            self.due = None;
        } else if *self.due.get_or_insert(now + self.delivery.interval) <= now {
            self.due = None;
            self.pack(most);
            self.keep();
        }
    }

    fn pack(&mut self, most: usize) {
        let lines = self.queue.take(most);
        if !lines.is_empty() {
            let (id, body) = self.delivery.packing.pack(&lines);
            let now = self.clock.now().unix;
            self.spool.push(id, lines.len() as u64, body, now);
        }
    }

    /// Has the disk keep what cannot be sent soon.
    fn keep(&mut self) {
        if self.backoff.is_failing() || self.spool.in_memory() > MOST_IN_TURN {
            self.spool.store();
        }
    }

    /// Sends `batch`, while lines go on being collected.
    async fn deliver(&mut self, batch: Batch) {
        let receiver = self.receiver();
        let clock = self.clock.clone();
        let post = receiver.post(batch.id(), batch.body.clone(), &clock);
        let mut post = std::pin::pin!(post);
        let posted = loop {
            let by = self.queue.ends().or(self.due);
            let by = by.unwrap_or_else(|| clock::monotonic() + TEND);
            tokio::select! {
                biased;
                posted = &mut post => break posted,
                came = tokio::time::timeout_at(by.into(), self.queue.came()) => {
                    if came.is_err() && self.queue.ends().is_some() {
                        break late();
                    }
                    self.collect(clock::monotonic());
                }
            }
        };
        self.judge(batch, posted, &receiver);
    }

    /// Whether the next may be sent at once.
    fn judge(&mut self, batch: Batch, posted: Posted, receiver: &Receiver) -> bool {
        let host = receiver.host();
        let sink = self.delivery.name;
        match posted {
            Posted::Taken => {
                self.counts.delivered(batch.records());
                self.spool.done(&batch);
                self.refused = None;
            }
            Posted::Refused(status) => {
                self.counts.dropped(batch.records());
                self.spool.done(&batch);
                if self.refused.replace(status) != Some(status) {
                    tracing::error!(
                        sink,
                        host,
                        status = status.as_u16(),
                        "the receiver refuses what it is sent: dropped and counted, also from now on"
                    );
                }
            }
            Posted::Again { wait, cause } => {
                self.counts.failed();
                if !self.backoff.is_failing() {
                    tracing::warn!(
                        sink,
                        host,
                        cause,
                        "the receiver does not take what it is sent: kept and tried again"
                    );
                }
                let pause = self.backoff.failed();
                self.retry = Some(clock::monotonic() + wait.unwrap_or(pause));
                self.spool.put_back(batch);
                self.spool.store();
                return false;
            }
        }
        if self.backoff.succeeded() {
            tracing::info!(sink, host, "the receiver answers again");
        }
        true
    }

    /// Sends what can still be sent, `by` then; the rest stays on disk, or is lost where there is none.
    async fn finish(mut self, by: Instant) {
        while self.queue.len() > 0 {
            self.pack(self.delivery.packing.most());
        }
        self.spool.store();
        let receiver = self.receiver();
        while let Some(batch) = self.spool.take() {
            let post = receiver.post(batch.id(), batch.body.clone(), &self.clock);
            let posted = tokio::time::timeout_at(by.into(), post).await;
            let posted = posted.unwrap_or_else(|_| late());
            if !self.judge(batch, posted, &receiver) {
                break;
            }
        }
        self.spool.give_up();
    }

    fn receiver(&self) -> Arc<Receiver> {
        let receiver = &self.delivery.receiver;
        Arc::clone(&receiver.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn late() -> Posted {
    let cause = "no answer before the end".to_owned();
    Posted::Again { wait: None, cause }
}

/// `{"records":[…]}`: lines are JSON already.
fn records(lines: &[Line]) -> Bytes {
    let long = lines.iter().map(|line| line.json.len() + 1).sum::<usize>();
    let mut body = Vec::with_capacity(long + 16);
    body.extend_from_slice(br#"{"records":["#);
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&line.json);
    }
    body.extend_from_slice(b"]}");
    body.into()
}

/// What no other batch is called.
fn random_id() -> u128 {
    let mut random = [0; 16];
    // Without randomness the receiver knows no batch again: no reason to lose one.
    let _ = aws_lc_rs::rand::fill(&mut random);
    u128::from_le_bytes(random)
}
