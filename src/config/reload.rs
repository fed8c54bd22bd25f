//! Which changes a running gateway cannot take over.

use super::Config;

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
    let differing = changes.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(key, _)| key).collect()
}
