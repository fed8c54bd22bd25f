//! The file sink: usage records as lines of JSON.
//!
//! Guarantees: what was taken in is written within a second, in order; while the file cannot be written
//! (a full disk, a removed folder) it is tried again every second, lines wait as far as there is room,
//! and what does not fit is counted as lost; that is logged once, with the path.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counts::SinkCounts;
use super::queue::{Line, Queue};
use super::rotation::Files;
use super::thread::SinkThread;
use crate::clock::{self, Clock};

/// Bytes that wait in the queue, at most; as much again may wait for the disk.
const MOST_WAITING: usize = 8 * 1024 * 1024;

/// Lines that are taken from the queue at once: whoever adds one waits so long, some microseconds.
const AT_ONCE: usize = 1024;

/// Lines are collected this long before they are written together: what a process that is killed loses.
const COLLECT: Duration = Duration::from_millis(10);

/// Between two attempts while the file cannot be written.
const RETRY: Duration = Duration::from_secs(1);

/// How often old files are looked for.
const TEND: Duration = Duration::from_mins(1);

/// Bytes of one system call, about.
const CHUNK: usize = 64 * 1024;

/// `usage.file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// The file that is written; older ones are beside it, with `.1`, `.2`, … after its name.
    pub path: PathBuf,
    /// A file is not longer, in bytes.
    pub max_size: u64,
    /// How many older files are kept.
    pub keep: usize,
    /// No record is kept longer (`usage.retention`).
    pub retention: Duration,
}

impl FileConfig {
    /// Whether the file can be written, for a check at start: opens it, and makes it where there is none.
    ///
    /// # Errors
    /// It cannot.
    pub fn probe(&self) -> io::Result<()> {
        Files::new(self.clone()).ensure_open(Duration::ZERO)
    }
}

/// Starts writing what is offered.
///
/// # Errors
/// No thread could be started.
pub(in crate::usage) fn start(config: FileConfig, clock: Clock) -> io::Result<SinkThread> {
    let queue = Arc::new(Queue::new(MOST_WAITING, AT_ONCE));
    let counts = Arc::new(SinkCounts::default());
    let sink = FileSink {
        files: Files::new(config),
        waiting: VecDeque::new(),
        queue: Arc::clone(&queue),
        counts: Arc::clone(&counts),
        clock,
        is_failing: false,
    };
    SinkThread::start("usage-file", queue, counts, move || sink.run())
}

struct FileSink {
    files: Files,
    /// Taken from the queue, and not yet written.
    waiting: VecDeque<Line>,
    queue: Arc<Queue>,
    counts: Arc<SinkCounts>,
    clock: Clock,
    is_failing: bool,
}

impl FileSink {
    /// The thread's life.
    async fn run(mut self) {
        let mut tended: Option<Instant> = None;
        loop {
            let is_last = self.queue.ends().is_some();
            if self.waiting.is_empty() {
                self.waiting.extend(self.queue.take(AT_ONCE));
            }
            let written = self.write();
            self.tell(&written);
            if is_last && (written.is_err() || self.queue.len() == 0) {
                let lost = self.waiting.len() + self.queue.len();
                self.counts.dropped(lost as u64);
                self.files.sync();
                return;
            }
            let now = clock::monotonic();
            if tended.is_none_or(|last| now.duration_since(last) >= TEND) {
                tended = Some(now);
                self.files.tend(self.clock.now().unix);
            }
            self.wait(written.is_err()).await;
        }
    }

    async fn wait(&self, has_failed: bool) {
        if has_failed {
            let pause = tokio::time::sleep(RETRY);
            tokio::pin!(pause);
            while self.queue.ends().is_none() {
                tokio::select! {
                    () = &mut pause => return,
                    () = self.queue.came() => {}
                }
            }
        } else if self.queue.len() == 0 && self.queue.ends().is_none() {
            let came = tokio::time::timeout(TEND, self.queue.came()).await;
            if came.is_ok() && self.queue.ends().is_none() {
                // Until there are many, or the end comes.
                let _ = tokio::time::timeout(COLLECT, self.queue.came()).await;
            }
        }
    }

    /// Writes what waits, as far as it can be.
    fn write(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let now = self.clock.now().unix;
        self.files.ensure_open(now)?;
        let mut chunk = Vec::with_capacity(CHUNK);
        while let Some(first) = self.waiting.front() {
            let room = self.files.room(first.json.len() as u64 + 1, now)?;
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            chunk.clear();
            let mut lines = 0;
            for line in &self.waiting {
                let longer = chunk.len() + line.json.len() + 1;
                if lines > 0 && (longer > room || longer > CHUNK) {
                    break;
                }
                chunk.extend_from_slice(&line.json);
                chunk.push(b'\n');
                lines += 1;
            }
            self.files.append(&chunk, now)?;
            self.waiting.drain(..lines);
            self.counts.delivered(lines as u64);
        }
        Ok(())
    }

    /// Logs that writing begins to fail, and that it works again.
    fn tell(&mut self, written: &io::Result<()>) {
        let path = self.files.path().display();
        match written {
            Err(error) => {
                self.counts.failed();
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(
                        %path, %error,
                        "usage records cannot be written: they wait as far as there is room, and are \
                         then dropped and counted; tried again every second"
                    );
                }
            }
            Ok(()) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!(%path, "usage records are written again");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
