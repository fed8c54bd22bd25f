//! Log lines on standard output, JSON or text, filtered by `RUST_LOG`.
//!
//! Lines go through a bounded queue to a thread of its own: a slow reader of the log never holds up
//! a worker, and what did not fit is dropped.

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Starts logging for the process; lines are flushed when the guard is dropped.
///
/// `filter` is `RUST_LOG` (default `info`). `json` selects one JSON object a line.
///
/// # Errors
/// A filter that cannot be read, or logging that was started before.
pub fn start(filter: Option<&str>, json: bool) -> Result<WorkerGuard, String> {
    let filter = EnvFilter::try_new(filter.unwrap_or("info"))
        .map_err(|error| format!("RUST_LOG cannot be read: {error}"))?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .finish(std::io::stdout());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    let started = if json {
        let json = builder.json().flatten_event(true).with_current_span(false);
        json.with_span_list(false).try_init()
    } else {
        builder.with_ansi(false).try_init()
    };
    started.map_err(|error| format!("logging cannot start: {error}"))?;
    Ok(guard)
}
