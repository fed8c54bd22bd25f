//! Reads `[store]`: where budgets are counted.

use std::path::PathBuf;
use std::time::Duration;

use super::bounds::{absolute, any, lasting};
use super::fields::{Fields, Key, key};
use super::sources::Origin;
use super::values::{Value, quoted};
use crate::budget::StoreConfig;
use crate::budget::journal::{JournalError, probe};
use crate::budget::store::redis::{Fail, Mode, RedisConfig, parse_urls};
use crate::secret::Secret;

/// `[store]`, for budgets that tell of `thresholds`.
pub(super) fn store(fields: &mut Fields, thresholds: &[u8]) -> StoreConfig {
    let kind = fields.read(&KIND, Kind::Embedded, any);
    let path: Option<PathBuf> = fields.optional(&PATH, absolute);
    let path_origin = fields.last_origin();
    let url = fields.secret(&URL);
    let mode = fields.read(&MODE, Layout::Single, any);
    let sentinel_name: Option<String> = fields.optional(&SENTINEL_NAME, any);
    let ca_file: Option<PathBuf> = fields.optional(&CA_FILE, any);
    let ca_origin = fields.last_origin();
    let millisecond = Duration::from_millis(1);
    let waits = lasting(10 * millisecond..=10_000 * millisecond);
    let timeout = fields.read(&TIMEOUT, 250 * millisecond, waits);
    let fail_rates = fields.read(&FAIL_RATES, Fail::Open, any);
    let fail_budgets = fields.read(&FAIL_BUDGETS, Fail::Open, any);
    let prefix = fields.read(&PREFIX, "behest".to_owned(), |text: &String| name(text));
    if kind == Kind::Embedded {
        if url.is_some() {
            let text = "store.url is set, but store.kind is \"embedded\": each replica counts by \
                        itself; set store.kind = \"redis\"";
            fields.warnings.push(text.to_owned());
        }
        if let Some(Err(fault)) = path.as_deref().map(probe) {
            fields.problem_at(&PATH, &path_origin, unusable(&fault));
        }
        return StoreConfig::Embedded(path);
    }
    if path.is_some() {
        let text =
            "store.path is set, but store.kind is \"redis\": nothing is kept there; take it out";
        fields.warnings.push(text.to_owned());
    }
    let roots = ca_file.and_then(|path| fields.read_file(&CA_FILE, &ca_origin, &path));
    let config = RedisConfig {
        mode: match mode {
            Layout::Single => Mode::Single,
            Layout::Cluster => Mode::Cluster,
            Layout::Sentinel => Mode::Sentinel {
                name: sentinel_name.unwrap_or_default(),
            },
        },
        roots: roots.iter().map(|pem| pem.to_vec()).collect(),
        timeout,
        fail_rates,
        fail_budgets,
        prefix,
        thresholds: thresholds.to_vec(),
        ..RedisConfig::new(Vec::new())
    };
    at(fields, url, config)
}

/// `config` with the addresses of `url`.
fn at(fields: &mut Fields, url: Option<(Secret, Origin)>, config: RedisConfig) -> StoreConfig {
    let Some((url, origin)) = url else {
        if !fields.has_problem(URL.path) {
            fields.missing(&URL, "redis://host:6379", ": store.kind is \"redis\"");
        }
        return StoreConfig::Embedded(None);
    };
    let text = std::str::from_utf8(url.expose()).unwrap_or_default();
    match parse_urls(text) {
        Ok(addresses) => {
            let config = RedisConfig {
                addresses,
                ..config
            };
            if let Err(fault) = config.check() {
                fields.problem_at(&URL, &origin, fault);
            }
            StoreConfig::Redis(config)
        }
        Err(fault) => {
            fields.problem_at(&URL, &origin, fault);
            StoreConfig::Embedded(None)
        }
    }
}

/// Part of a key: braces would choose a cluster's slot, and rights are given by patterns (`behest:*`).
fn name(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let is_name = (1..=64).contains(&text.len()) && text.chars().all(fits);
    is_name
        .then_some(())
        .ok_or_else(|| "must be 1 to 64 letters, digits, \"-\", \"_\", \".\" or \":\"".to_owned())
}

/// What is wrong with the journal's folder, whose name may be a secret in the wrong place.
fn unusable(fault: &JournalError) -> String {
    let why = match fault {
        JournalError::Unusable { source, .. } => source.to_string(),
        JournalError::Held(_) => "another gateway uses it".to_owned(),
        JournalError::Format { .. } => "its files are of another version".to_owned(),
    };
    format!(
        "cannot be used: {why}. Mount a volume there that the gateway's user may write to, or leave \
         it unset to count in memory only."
    )
}

/// `store.kind`
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Embedded,
    Redis,
}

/// `store.mode`
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Single,
    Cluster,
    Sentinel,
}

impl Value for Kind {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "embedded" => Ok(Self::Embedded),
            "redis" => Ok(Self::Redis),
            _ => Err("must be \"embedded\" or \"redis\"".to_owned()),
        }
    }

    fn to_toml(&self) -> String {
        quoted(match self {
            Self::Embedded => "embedded",
            Self::Redis => "redis",
        })
    }
}

impl Value for Layout {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "single" => Ok(Self::Single),
            "cluster" => Ok(Self::Cluster),
            "sentinel" => Ok(Self::Sentinel),
            _ => Err("must be \"single\", \"cluster\" or \"sentinel\"".to_owned()),
        }
    }

    fn to_toml(&self) -> String {
        quoted(match self {
            Self::Single => "single",
            Self::Cluster => "cluster",
            Self::Sentinel => "sentinel",
        })
    }
}

impl Value for Fail {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            _ => Err("must be \"open\" or \"closed\"".to_owned()),
        }
    }

    fn to_toml(&self) -> String {
        quoted(match self {
            Self::Open => "open",
            Self::Closed => "closed",
        })
    }
}

const KIND: Key = key(
    "store.kind",
    "\"embedded\": each gateway counts by itself; \"redis\": replicas count together. Only a restart changes it, and the keys below.",
);
const PATH: Key = key(
    "store.path",
    "Embedded: folder of the journal, by which what was counted outlives the process; default: memory only.",
)
.example("\"/var/lib/behest-gateway\"");
const URL: Key = key(
    "store.url",
    "Redis or Valkey 7: redis://user:password@host:6379/0, rediss:// for TLS; several by commas.",
)
.example("{ file = \"/run/secrets/redis_url\" }");
const MODE: Key = key("store.mode", "\"single\", \"cluster\" or \"sentinel\".");
const SENTINEL_NAME: Key = key(
    "store.sentinel_name",
    "What the sentinels call the primary.",
)
.example("\"mymaster\"");
const CA_FILE: Key = key(
    "store.ca_file",
    "PEM of those who sign the servers' certificates; default: the built-in roots.",
)
.example("\"/etc/ssl/private-ca.pem\"");
const TIMEOUT: Key = key("store.timeout", "The longest that a request waits for it.");
const FAIL_RATES: Key = key(
    "store.fail_rates",
    "Rates while it is away: \"open\" counts on each gateway alone, \"closed\" refuses (503).",
);
const FAIL_BUDGETS: Key = key(
    "store.fail_budgets",
    "Budgets while it is away: \"open\" or \"closed\"; what is used meanwhile is counted when it is back.",
);
const PREFIX: Key = key(
    "store.prefix",
    "Before the name of each key in it: gateways that shall not count together need different ones.",
);
