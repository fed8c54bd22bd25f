//! File descriptors: as many as the connections need, as far as the system lets the process have them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For files, the log, listeners and timers.
const OTHERS: u64 = 128;

/// Raises the process's soft limit of open files for `wanted` connections, each with one to Behest,
/// and returns how many it has room for: over that, connections would take the descriptors that
/// requests need.
pub(super) fn connections_within(wanted: usize) -> usize {
    let needed = (wanted as u64).saturating_mul(2).saturating_add(OTHERS);
    let has = raise(needed);
    let Some(has) = has.filter(|has| *has < needed) else {
        return wanted;
    };
    let room = usize::try_from(has.saturating_sub(OTHERS) / 2).unwrap_or(wanted);
    let room = room.clamp(1, wanted.max(1));
    tracing::warn!(
        open_files = has,
        connections = room,
        "the limit of open files (ulimit -n, LimitNOFILE) leaves fewer connections than \
         server.max_connections"
    );
    room
}

/// Raises the soft limit up to `needed`, where the hard one allows it; the limit then, `None` without
/// one.
fn raise(needed: u64) -> Option<u64> {
    let now = getrlimit(Resource::Nofile);
    let soft = now.current?;
    if soft >= needed {
        return Some(soft);
    }
    let raised = now.maximum.map_or(needed, |hard| hard.min(needed));
    let limit = Rlimit {
        current: Some(raised),
        maximum: now.maximum,
    };
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => Some(raised),
        Err(_) => Some(soft),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_as_many_connections_as_there_are_files_for() {
        assert_eq!(connections_within(10), 10);
        let has = raise(u64::MAX);
        let within = connections_within(usize::MAX >> 2);
        match has {
            Some(files) => assert_eq!(within as u64, (files - OTHERS) / 2),
            None => assert_eq!(within, usize::MAX >> 2),
        }
    }
}
