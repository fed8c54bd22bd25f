//! Which changes a running gateway cannot take over.

use std::time::Duration;

use super::Config;
use crate::budget::StoreConfig;
use crate::secret::Secret;
use crate::usage::{FileConfig, UsageConfig, WebhookConfig};

/// The keys that differ and that only a restart can change; empty if a reload is enough.
#[must_use]
pub fn restart_only_changes(old: &Config, new: &Config) -> Vec<&'static str> {
    let changes = [
        ("server.listen", old.server.listen != new.server.listen),
        ("server.workers", old.server.workers != new.server.workers),
        (
            "server.max_connections",
            old.server.max_connections != new.server.max_connections,
        ),
        (
            "server.drain_delay",
            old.server.drain_delay != new.server.drain_delay,
        ),
        (
            "server.drain_limit",
            old.server.drain_limit != new.server.drain_limit,
        ),
        ("admin.listen", old.admin.listen != new.admin.listen),
        (
            "telemetry.log_format",
            old.telemetry.log_format != new.telemetry.log_format,
        ),
    ];
    let changes = changes.into_iter().chain(of_accounting(old, new));
    let differing = changes.filter(|(_, differs)| *differs);
    differing.map(|(key, _)| key).collect()
}

/// What the places in which charges are counted, and those who write and send, were made with. A
/// receiver may move and change its token; whether there is one is settled at start.
fn of_accounting(old: &Config, new: &Config) -> [(&'static str, bool); 7] {
    let (was, will) = (&old.usage, &new.usage);
    let is_shared = matches!(old.store, StoreConfig::Redis(_));
    let is_kept = was.file.is_some() || was.webhook.is_some();
    [
        ("store", counted_in(old) != counted_in(new)),
        (
            "budgets.thresholds",
            is_shared && old.budgets.thresholds != new.budgets.thresholds,
        ),
        (
            "budgets.webhook",
            was.thresholds.is_some() != will.thresholds.is_some(),
        ),
        (
            "usage.retention",
            is_kept && was.retention != will.retention,
        ),
        // Accounts keep theirs; records would not.
        ("usage.hash_key", key(was) != key(will)),
        ("usage.file", written_to(old) != written_to(new)),
        ("usage.webhook", sent_by(old) != sent_by(new)),
    ]
}

fn key(usage: &UsageConfig) -> Option<&[u8]> {
    usage.hash_key.as_ref().map(Secret::expose)
}

fn counted_in(config: &Config) -> StoreConfig {
    let mut store = config.store.clone();
    if let StoreConfig::Redis(redis) = &mut store {
        redis.thresholds.clear();
    }
    store
}

fn written_to(config: &Config) -> Option<FileConfig> {
    let mut file = config.usage.file.clone()?;
    file.retention = Duration::ZERO;
    Some(file)
}

fn sent_by(config: &Config) -> Option<WebhookConfig> {
    let (_, mut sent) = config.usage.webhook.clone()?;
    sent.retention = Duration::ZERO;
    Some(sent)
}
