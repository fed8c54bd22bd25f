//! Reads `[usage]` and where thresholds are told: records of use, and who gets them.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::bounds::{absolute, any, bytes, count, lasting};
use super::fields::{Fields, Key, key};
use super::url::UpstreamUrl;
use super::values::{Size, Value, quoted};
use crate::secret::Secret;
use crate::session::{SecretWeakness, secret_weakness};
use crate::usage::{FileConfig, SpoolConfig, Target, UsageConfig, Users, WebhookConfig};

const DAY: Duration = Duration::from_hours(24);

/// Of `usage.hash_key`: who has records or a store may try keys without end.
const LEAST_KEY: usize = 32;

/// `[usage]`
pub(super) fn usage(fields: &mut Fields) -> UsageConfig {
    let users = fields.read(&USERS, Users::Hashed, any);
    let hash_key = hash_key(fields);
    let retention = fields.read(&RETENTION, 35 * DAY, lasting(DAY..=400 * DAY));
    UsageConfig {
        users,
        hash_key,
        retention,
        file: file(fields, retention),
        webhook: webhook(fields, retention),
        thresholds: target(fields, &THRESHOLDS_URL, &THRESHOLDS_TOKEN),
    }
}

fn hash_key(fields: &mut Fields) -> Option<Secret> {
    let (key, origin) = fields.secret(&HASH_KEY)?;
    let fault = if key.len() < LEAST_KEY {
        "is too short: 32 bytes are the least that cannot be guessed; make one with `openssl rand -base64 33`"
    } else if secret_weakness(key.expose()) == Some(SecretWeakness::Sample) {
        "is a sample value that everybody knows; make one with `openssl rand -base64 33`"
    } else {
        return Some(key);
    };
    fields.problem_at(&HASH_KEY, &origin, fault);
    None
}

fn file(fields: &mut Fields, retention: Duration) -> Option<FileConfig> {
    let path = fields.optional(&FILE_PATH, absolute);
    let origin = fields.last_origin();
    let size = bytes(64 << 10..=64 << 30);
    let Size(max_size) = fields.read(&FILE_SIZE, Size(100 << 20), size);
    let keep = fields.read(&FILE_KEEP, 10, count(0..=1000));
    let config = FileConfig {
        path: path?,
        max_size: max_size as u64,
        keep,
        retention,
    };
    if let Err(fault) = config.probe() {
        let text = format!("cannot be written: {fault}");
        fields.problem_at(&FILE_PATH, &origin, text);
    }
    Some(config)
}

fn webhook(fields: &mut Fields, retention: Duration) -> Option<(Target, WebhookConfig)> {
    let target = target(fields, &HOOK_URL, &HOOK_TOKEN);
    let batch = fields.read(&HOOK_BATCH, 100, count(1..=10_000));
    let second = Duration::from_secs(1);
    let often = lasting(Duration::from_millis(100)..=3600 * second);
    let interval = fields.read(&HOOK_INTERVAL, 5 * second, often);
    let spool: Option<PathBuf> = fields.optional(&SPOOL_PATH, absolute);
    let origin = fields.last_origin();
    let Size(size) = fields.read(&SPOOL_SIZE, Size(64 << 20), bytes(1 << 20..=64 << 30));
    let spool = spool.map(|path| SpoolConfig {
        path,
        size: size as u64,
    });
    if let Some(Err(fault)) = spool.as_ref().map(SpoolConfig::probe) {
        let text = format!("cannot be written: {fault}");
        fields.problem_at(&SPOOL_PATH, &origin, text);
    }
    let config = WebhookConfig {
        batch,
        interval,
        spool,
        retention,
        ..WebhookConfig::default()
    };
    Some((target?, config))
}

fn target(fields: &mut Fields, url: &Key, token: &Key) -> Option<Target> {
    let text: Option<String> = fields.optional(url, |text: &String| receiver(text).map(drop));
    let token = fields.secret(token).map(|(token, _)| token);
    let (uri, origin) = receiver(&text?).ok()?;
    if !origin.is_tls() && !origin.is_loopback() {
        let also = if token.is_some() {
            ", and its token,"
        } else {
            ""
        };
        fields.warnings.push(format!(
            "{} begins with http://: what is told there{also} travels unencrypted",
            url.path
        ));
    }
    Some(Target { url: uri, token })
}

/// A whole URL, and its origin.
fn receiver(text: &str) -> Result<(Uri, UpstreamUrl), String> {
    let fault = || "must be a URL such as \"https://billing.example/usage\"".to_owned();
    let url: Uri = text.parse().map_err(|_| fault())?;
    let origin = url.authority().ok_or_else(fault)?;
    let scheme = url.scheme_str().ok_or_else(fault)?;
    let origin = format!("{scheme}://{origin}");
    let origin = UpstreamUrl::parse_like(&origin, "https://billing.example")?;
    Ok((url, origin))
}

impl Value for Users {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "plain" => Ok(Self::Plain),
            "hashed" => Ok(Self::Hashed),
            "none" => Ok(Self::None),
            _ => Err("must be \"plain\", \"hashed\" or \"none\"".to_owned()),
        }
    }

    fn to_toml(&self) -> String {
        quoted(self.label())
    }
}

const USERS: Key = key(
    "usage.users",
    "How users stand in records, on pages and in webhooks: \"plain\", \"hashed\" or \"none\".",
);
const HASH_KEY: Key = key(
    "usage.hash_key",
    "Keys their hashes, and the names of budgets' accounts: at least 32 bytes, the same on all replicas. A new one begins all counts anew, and accounts only change with a restart; default: records and pages have the access log's hash, accounts one without a secret.",
)
.example("{ file = \"/run/secrets/usage_hash_key\" }");
const RETENTION: Key = key(
    "usage.retention",
    "Sums, rotated files and spooled batches are kept so long, 1day to 400days.",
);
const FILE_PATH: Key = key(
    "usage.file.path",
    "JSON lines, one for each request that can use tokens; default: none are written.",
)
.example("\"/var/log/behest-gateway/usage.jsonl\"");
const FILE_SIZE: Key = key(
    "usage.file.max_size",
    "A larger file is rotated: usage.jsonl.1 and so on.",
);
const FILE_KEEP: Key = key("usage.file.keep", "Rotated files that are kept.");
const HOOK_URL: Key = key(
    "usage.webhook.url",
    "Gets the records by POST, in batches, at least once each; default: nobody does.",
)
.example("\"https://billing.example/usage\"");
const HOOK_TOKEN: Key = key(
    "usage.webhook.token",
    "Sent there as Authorization: Bearer.",
)
.example("{ file = \"/run/secrets/usage_token\" }");
const HOOK_BATCH: Key = key("usage.webhook.batch", "Records of one POST, at most.");
const HOOK_INTERVAL: Key = key(
    "usage.webhook.interval",
    "A record waits no longer for others.",
);
const SPOOL_PATH: Key = key(
    "usage.webhook.spool_path",
    "Folder for batches that wait while the receiver is down; default: 8 MiB of them in memory.",
)
.example("\"/var/lib/behest-gateway/spool\"");
const SPOOL_SIZE: Key = key(
    "usage.webhook.spool_size",
    "The most that waits there; the oldest are dropped first, and counted.",
);
const THRESHOLDS_URL: Key = key(
    "budgets.webhook.url",
    "Is told by POST when a threshold is reached; default: nobody is.",
)
.example("\"https://ops.example/budgets\"");
const THRESHOLDS_TOKEN: Key = key(
    "budgets.webhook.token",
    "Sent there as Authorization: Bearer.",
)
.example("{ file = \"/run/secrets/usage_token\" }");
