//! Log lines on standard output, JSON or text, filtered by `RUST_LOG`.
//!
//! Lines go through a bounded buffer to a thread of its own, in batches: a slow reader of the log
//! never holds up a worker, and a line costs a worker no system call (waking a thread for each, as
//! queues of lines do, costs more than the line). What does not fit is dropped and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Bytes that wait to be written, at most.
const MAX_WAITING: usize = 8 * 1024 * 1024;

/// Lines are collected this long before they are written together.
const BATCH: Duration = Duration::from_millis(10);

/// Starts logging for the process; lines are flushed when the guard is dropped. The access log's lines
/// are added to the queue as they are.
///
/// `filter` is `RUST_LOG` (default `info`). `json` selects one JSON object a line.
///
/// # Errors
/// A filter that cannot be read, or logging that was started before.
pub fn start(filter: Option<&str>, json: bool) -> Result<(LineQueue, Flush), String> {
    let filter = EnvFilter::try_new(filter.unwrap_or("info"))
        // In our words: nobody can vouch that a library's do not quote the text.
        .map_err(|_| "RUST_LOG cannot be read: write it as in info,access=off".to_owned())?;
    let (lines, flush) =
        LineQueue::start(io::stdout()).map_err(|error| format!("logging cannot start: {error}"))?;
    let lines_of = tracing_subscriber::fmt::layer().with_writer(lines.clone());
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(FilterFn::new(is_ours_or_coarse));
    let started = if json {
        let json = lines_of.json().flatten_event(true);
        let json = json.with_current_span(false).with_span_list(false);
        registry.with(json).try_init()
    } else {
        registry.with(lines_of.with_ansi(false)).try_init()
    };
    started.map_err(|error| format!("logging cannot start: {error}"))?;
    Ok((lines, flush))
}

/// Whatever `RUST_LOG` asks for, libraries tell nothing finer than `info`: theirs is not ours to vouch
/// for. (h2 quotes targets and authorities that it refuses, at `debug`.)
fn is_ours_or_coarse(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= LevelFilter::INFO || metadata.target().starts_with("behest_gateway")
}

/// Where log lines wait.
#[derive(Clone)]
pub struct LineQueue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    came: Condvar,
    /// Lines that are lost, since this was last asked.
    lost: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    dropped: u64,
    ended: bool,
}

/// Writes what waits, when dropped.
pub struct Flush {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl LineQueue {
    /// A queue whose lines are written to `out`.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Flush)> {
        let shared = Arc::new(Shared::default());
        let writing = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writing.write_all(out))?;
        let flush = Flush {
            shared: Arc::clone(&shared),
            thread: Some(thread),
        };
        Ok((Self(shared), flush))
    }

    /// How many lines were lost since this was last asked: for the metrics.
    #[must_use]
    pub fn take_lost(&self) -> u64 {
        self.0.lost.swap(0, Ordering::Relaxed)
    }

    /// Adds `value` as a line of JSON.
    pub(super) fn add_json(&self, value: &impl Serialize) {
        let mut line = Vec::with_capacity(512);
        if serde_json::to_writer(&mut line, value).is_ok() {
            line.push(b'\n');
            self.0.add(&line);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.len() + line.len() > MAX_WAITING {
            waiting.dropped += 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let first = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        drop(waiting);
        if first {
            self.came.notify_one();
        }
    }

    /// The thread's life.
    fn write_all(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut waiting = self.lock();
            while waiting.bytes.is_empty() && !waiting.ended {
                waiting = self
                    .came
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if !waiting.ended {
                drop(waiting);
                std::thread::sleep(BATCH);
                waiting = self.lock();
            }
            let ended = waiting.ended;
            batch.clear();
            std::mem::swap(&mut batch, &mut waiting.bytes);
            let dropped = std::mem::take(&mut waiting.dropped);
            drop(waiting);
            // A reader that has gone, or a full disk, is no error of ours: counted, and gone on.
            if out.write_all(&batch).is_err() {
                let lines = memchr::memchr_iter(b'\n', &batch).count();
                self.lost.fetch_add(lines as u64, Ordering::Relaxed);
            }
            if dropped > 0 {
                let _ = writeln!(
                    out,
                    r#"{{"level":"WARN","message":"log lines dropped","count":{dropped}}}"#
                );
            }
            let _ = out.flush();
            if ended {
                return;
            }
        }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.came.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

/// Takes one line: `tracing-subscriber` writes each event whole.
pub struct Line<'a>(&'a Shared);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(data)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_in_order_before_the_end() {
        let sink = Sink::default();
        let (queue, flush) = LineQueue::start(sink.clone()).unwrap();
        for number in 0..1000 {
            writeln!(queue.make_writer(), "{number}").unwrap();
        }
        drop(flush);
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<u32> = written.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(lines, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let sink = Sink::default();
        let held = sink.0.lock().unwrap();
        let (queue, flush) = LineQueue::start(sink.clone()).unwrap();
        let line = vec![b'x'; MAX_WAITING / 4];
        for _ in 0..12 {
            queue.0.add(&line);
        }
        assert!(
            queue.take_lost() >= 3,
            "counted also while nothing is written"
        );
        assert_eq!(queue.take_lost(), 0);
        drop(held);
        drop(flush);
        let written = sink.0.lock().unwrap();
        assert!(written.len() < 9 * line.len(), "{}", written.len());
        assert!(String::from_utf8_lossy(&written).contains("log lines dropped"));
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _data: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (queue, flush) = LineQueue::start(Full).unwrap();
        for number in 0..7 {
            writeln!(queue.make_writer(), "{number}").unwrap();
        }
        drop(flush);
        assert_eq!(queue.take_lost(), 7);
    }
}
