//! Who may know whom: the modules' order, and one home for each outside crate, read from the source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and the modules that it may name, itself left out. The emulator names none: it must
/// not share a mistake with the gateway. `error` and `telemetry` name each other by intent: a record
/// carries a code word, and code words are labels.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("admission", &["identity"]),
    // Neither tokens nor sessions: nothing of Behest's can go to the app.
    ("app", &["admission", "client"]),
    ("budget", &["clock", "secret", "tls"]),
    (
        "charge",
        &[
            "budget",
            "client",
            "clock",
            "identity",
            "metering",
            "secret",
            "telemetry",
            "usage",
        ],
    ),
    ("client", &["clock"]),
    ("clock", &[]),
    (
        "config",
        &[
            "admission",
            "app",
            "budget",
            "identity",
            "metering",
            "secret",
            "session",
            "token",
            "usage",
        ],
    ),
    (
        "doctor",
        &[
            "admission",
            "client",
            "clock",
            "config",
            "generation",
            "identity",
            "session",
            "telemetry",
            "token",
        ],
    ),
    ("emulator", &[]),
    (
        "error",
        &[
            "admission",
            "app",
            "budget",
            "client",
            "forward",
            "metering",
            "revocation",
            "session",
            "telemetry",
            "token",
        ],
    ),
    (
        "forward",
        &[
            "admission",
            "budget",
            "charge",
            "client",
            "error",
            "revocation",
            "telemetry",
            "token",
        ],
    ),
    (
        "gateway",
        &[
            "admission",
            "app",
            "budget",
            "charge",
            "client",
            "clock",
            "error",
            "forward",
            "identity",
            "metering",
            "revocation",
            "session",
            "telemetry",
            "token",
        ],
    ),
    (
        "generation",
        &[
            "admission",
            "app",
            "charge",
            "client",
            "clock",
            "config",
            "error",
            "forward",
            "gateway",
            "identity",
            "revocation",
            "secret",
            "session",
            "telemetry",
            "tls",
            "token",
            "usage",
        ],
    ),
    ("flight", &[]),
    ("identity", &["secret"]),
    ("health", &["clock"]),
    ("inspect", &["clock", "identity", "session", "telemetry"]),
    ("metering", &[]),
    ("revocation", &["budget", "clock", "identity"]),
    ("retry_after", &["clock"]),
    ("secret", &[]),
    (
        "server",
        &[
            "budget",
            "client",
            "clock",
            "config",
            "error",
            "forward",
            "gateway",
            "generation",
            "metering",
            "revocation",
            "telemetry",
            "usage",
        ],
    ),
    (
        "session",
        &[
            "client",
            "clock",
            "flight",
            "identity",
            "retry_after",
            "secret",
            "telemetry",
        ],
    ),
    ("telemetry", &["clock", "error", "identity", "secret"]),
    ("tls", &[]),
    (
        "token",
        &[
            "client",
            "clock",
            "flight",
            "identity",
            "retry_after",
            "secret",
            "telemetry",
        ],
    ),
    (
        "usage",
        &[
            "budget",
            "client",
            "clock",
            "identity",
            "metering",
            "retry_after",
            "secret",
            "telemetry",
        ],
    ),
];

/// Outside crates and standard parts, and the only files that may name them. The emulator and the
/// other programs are not asked.
const HOMES: &[(&str, &[&str])] = &[
    ("ipnet::", &["admission/trusted_proxies.rs"]),
    (
        "prometheus::",
        &[
            "telemetry/metrics.rs",
            "telemetry/metrics/families.rs",
            "telemetry/metrics/reading.rs",
            "telemetry/metrics/usage.rs",
        ],
    ),
    (
        "dashmap::",
        &[
            "admission/limits.rs",
            "budget/store/accounts.rs",
            "charge/names.rs",
            "revocation.rs",
            "token/entries.rs",
        ],
    ),
    ("quick_cache::", &["session/remembered.rs"]),
    (
        "jsonwebtoken::",
        &[
            "session/signed.rs",
            "session/signed/algorithm.rs",
            "session/signed/key.rs",
            "token/sign.rs",
        ],
    ),
    (
        "rustls::",
        &[
            "tls.rs",
            "client/connect.rs",
            "client/outbound.rs",
            "doctor/tls_fault.rs",
            "generation.rs",
            "server/connection.rs",
            "session/signed/key.rs",
        ],
    ),
    (
        "tokio_rustls::",
        &["client/connect.rs", "server/connection.rs"],
    ),
    ("socket2::", &["client/watched.rs"]),
    ("webpki_roots::", &["tls.rs"]),
    ("crc32fast::", &["budget/journal/line.rs"]),
    (
        "::redis::",
        &[
            "budget/store/redis/ask.rs",
            "budget/store/redis/config.rs",
            "budget/store/redis/deliver.rs",
            "budget/store/redis/link.rs",
            "budget/store/redis/script.rs",
            "budget/store/redis/shared_log.rs",
            "budget/store/redis/shared_sums.rs",
        ],
    ),
    ("h2::", &["server/refused.rs"]),
    ("jiff::", &["budget/window.rs"]),
    ("clap::", &["main.rs"]),
    ("rustix::", &["secret.rs", "server/files.rs"]),
    ("tracing_subscriber::", &["telemetry/logging.rs"]),
    (
        "arc_swap::",
        &[
            "budget/store/embedded.rs",
            "budget/store/shared.rs",
            "budget/window.rs",
            "server/mod.rs",
        ],
    ),
    ("std::env::", &["config/sources.rs"]),
    ("SystemTime::now", &["clock.rs"]),
    (
        "StatusCode::UNAUTHORIZED",
        &[
            "error.rs",
            "error/body.rs",
            "error/session.rs",
            "forward/upstream.rs",
            "server/admin.rs",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file that runs in production, by its path under `src`, without its unit tests and
/// comments.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
                found.insert(name.to_owned(), code(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.retain(|name, _| !is_test(name));
    found
}

/// Files that only test builds contain.
fn is_test(name: &str) -> bool {
    let tests = [
        "/tests/",
        "/tests.rs",
        "properties",
        "/testing.rs",
        "/sealer.rs",
        "/vectors.rs",
    ];
    tests.iter().any(|part| name.contains(part))
}

fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = body.lines();
    let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn module(file: &str) -> &str {
    let first = file.split('/').next().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The modules that `code` names by `crate::…`, also in a braced list.
fn named(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        assert!(
            !rest.starts_with('{'),
            "write one `use crate::…` for each module"
        );
        let word = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        names.insert(word.into_iter().next().unwrap().to_owned());
    }
    names
}

/// The modules that `code` names by climbing to the root: `super::super::…`.
fn named_upwards(file: &str, code: &str) -> BTreeSet<String> {
    let path = file.trim_end_matches("/mod.rs").trim_end_matches(".rs");
    let to_root = "super::".repeat(path.split('/').count());
    let code = code.replace("crate::", "");
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(&to_root) {
        let (before, rest) = code.split_at(at);
        if before.ends_with("super::") {
            continue;
        }
        let rest = rest.strip_prefix(&to_root).unwrap();
        let word = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        names.insert(word.into_iter().next().unwrap().to_owned());
    }
    names.remove("super");
    names
}

#[test]
fn modules_know_only_whom_they_may() {
    let sources = sources();
    assert!(sources.len() > 60, "the source was not found");
    let allowed: BTreeMap<_, _> = MAY_KNOW.iter().copied().collect();
    let mut strangers = Vec::new();
    let mut unused: BTreeSet<_> = MAY_KNOW
        .iter()
        .flat_map(|(module, known)| known.iter().map(|known| (*module, *known)))
        .collect();
    for (file, code) in &sources {
        let module = module(file);
        if matches!(module, "lib" | "main" | "bin") {
            continue;
        }
        let known = allowed
            .get(module)
            .unwrap_or_else(|| panic!("{module} is new: say in MAY_KNOW whom it may know"));
        for name in named(code).into_iter().chain(named_upwards(file, code)) {
            unused.retain(|(from, to)| (*from, *to) != (module, &name));
            if name != module && !known.contains(&name.as_str()) {
                strangers.push(format!("{file} names crate::{name}"));
            }
        }
    }
    assert!(strangers.is_empty(), "{strangers:#?}");
    assert!(unused.is_empty(), "allowed and not needed: {unused:?}");
}

#[test]
fn admission_session_and_token_never_know_each_other() {
    let steps = ["admission", "session", "token"];
    for (module, known) in MAY_KNOW {
        if steps.contains(module) {
            assert!(known.iter().all(|known| !steps.contains(known)), "{module}");
        }
    }
}

#[test]
fn each_outside_crate_has_its_home() {
    let mut strangers = Vec::new();
    for (file, code) in sources() {
        if matches!(module(&file), "emulator" | "bin") {
            continue;
        }
        for (name, homes) in HOMES.iter().copied() {
            let names = code.match_indices(name).any(|(at, _)| {
                let before = code.get(..at).and_then(|text| text.chars().last());
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            });
            if names && !homes.contains(&file.as_str()) {
                strangers.push(format!("{file} names {name}"));
            }
        }
    }
    assert!(strangers.is_empty(), "{strangers:#?}");
}

#[test]
fn only_the_clock_reads_the_monotonic_time() {
    for (file, code) in sources() {
        let of_tokio = ["use tokio::time::{Instant", "use tokio::time::Instant;"];
        let is_of_tokio = of_tokio.iter().any(|import| code.contains(import));
        let reads = code.contains("Instant::now()") && !is_of_tokio;
        let may = file == "clock.rs" || module(&file) == "emulator";
        assert!(!reads || may, "{file} reads the clock");
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for entry in sources().keys().filter(|file| module(file) != "bin") {
        let text = fs::read_to_string(root().join(entry)).unwrap();
        assert!(
            text.starts_with("//!"),
            "{entry} does not say what it is for"
        );
    }
}
