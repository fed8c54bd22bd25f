//! Rotation without restart: a changed configuration or secret becomes a new generation.
//!
//! Files are compared by content, since Kubernetes swaps a symbolic link and editors write in
//! several steps. A new configuration is built whole before it replaces the old one; one that does
//! not hold is logged, and the old one stays.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{Active, InForce, Reload};
use crate::config::{Loaded, WatchedFile, restart_only_changes};
use crate::generation::{Generation, Process};
use crate::telemetry::{self, labels::ReloadOutcome};

/// Watched files are read this often.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// Replaces the active generation.
pub(super) struct Rotation {
    pub(super) active: Arc<Active>,
    pub(super) in_force: InForce,
    pub(super) process: Process,
    pub(super) reload: Reload,
    /// What the newest configuration was read from.
    pub(super) watched: Vec<WatchedFile>,
}

impl Rotation {
    /// Watches for ever; `asked` (SIGHUP) makes it look at once and reload whatever it finds.
    pub(super) async fn run(mut self, asked: &Notify) {
        loop {
            let by_signal = tokio::select! {
                () = asked.notified() => true,
                () = tokio::time::sleep(POLL_EVERY) => false,
            };
            if by_signal || self.has_changed().await {
                self.rotate();
            }
        }
    }

    /// Whether a watched file's content differs; reads off this thread, since a file can be slow.
    async fn has_changed(&self) -> bool {
        let watched = self.watched.clone();
        let looking =
            tokio::task::spawn_blocking(move || watched.iter().any(WatchedFile::has_changed));
        looking.await.unwrap_or(false)
    }

    fn rotate(&mut self) {
        let outcome = match (self.reload)() {
            Ok(loaded) => self.swap(loaded),
            Err(problems) => {
                tracing::error!(%problems, "the new configuration does not hold; the old one stays");
                self.watched.clone_from(&problems.watched_files);
                ReloadOutcome::Refused
            }
        };
        self.process.metrics.reload(outcome);
    }

    fn swap(&mut self, loaded: Loaded) -> ReloadOutcome {
        let in_force = InForce::of(&loaded);
        let Loaded {
            config,
            watched_files,
            warnings,
            ..
        } = loaded;
        self.watched = watched_files;
        let old = self.active.load_full();
        for key in restart_only_changes(&old.config, &config) {
            tracing::warn!(key, "changed, but only a restart takes it up");
        }
        match Generation::build(config, &self.process, Some(&old)) {
            Ok(new) => {
                self.active.store(Arc::new(new));
                self.in_force.replace(&in_force);
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                tracing::info!("configuration reloaded");
                ReloadOutcome::Swapped
            }
            Err(refused) => {
                let error = telemetry::chain(&refused);
                tracing::error!(
                    error,
                    "the new configuration cannot serve; the old one stays"
                );
                ReloadOutcome::Refused
            }
        }
    }
}
