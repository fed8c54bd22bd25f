//! Reads `[mint]` and `[cache]`: the Behest key and how tokens are made and kept.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bounds::{any, count, lasting, timeout};
use super::fields::{Fields, Key, key};
use super::sources::{Origin, Raw};
use super::values::{Value, quoted};
use crate::identity::Tier;
use crate::secret::Secret;
use crate::token::{CacheConfig, KeyError, KeyMode, MintConfig, key_mode, validate};

/// `[mint]`; `None` where there is no usable key.
pub(super) fn mint(fields: &mut Fields) -> Option<MintConfig> {
    let key = fields.secret(&KEY);
    let pem = fields.secret(&PEM).map(|(secret, _)| secret);
    let kid = fields.optional(&KID, any);
    let tenant_id = fields.optional(&TENANT_ID, any);
    let project_id = fields.optional(&PROJECT_ID, any);
    let path = fields.read(&PATH, "/v1/auth/mint".to_owned(), |path| {
        absolute_path(path)
    });
    let ttl = lasting(Duration::from_mins(1)..=Duration::from_hours(24));
    let ttl = fields.read(&TTL, Duration::from_mins(15), ttl);
    let timeout = fields.read(&TIMEOUT, Duration::from_secs(5), timeout);
    let concurrency = fields.read(&CONCURRENCY, 256, count(1..=65_536));
    let default_tier = fields.optional(&DEFAULT_TIER, any);
    let tier_map = tiers(fields);
    let (key, origin) = match (key, &pem) {
        (Some(found), _) => found,
        // A PEM alone is the whole of a signing key.
        (None, Some(_)) if !fields.has_problem(KEY.path) => {
            (Secret::new("behest_pk_"), Origin::Default)
        }
        (None, _) => {
            if !fields.has_problem(KEY.path) && !fields.has_problem(PEM.path) {
                fields.missing(&KEY, "behest_sk_…", "");
            }
            return None;
        }
    };
    let config = MintConfig {
        key,
        kid,
        tenant_id,
        project_id,
        pem,
        path,
        ttl,
        timeout,
        concurrency,
        default_tier,
        tier_map,
    };
    check_key(fields, &config, &origin);
    Some(config)
}

const KEY: Key = key(
    "mint.key",
    "The Behest key: its prefix selects the mode. Required.",
)
.named(&["BEHEST_KEY"])
.example("{ env = \"BEHEST_KEY\" }");
const PEM: Key = key(
    "mint.pem",
    "PEM of the RSA private key for local signing, where BEHEST_KEY does not hold it.",
)
.named(&["BEHEST_PRIVATE_KEY"])
.example("{ file = \"/run/secrets/behest.pem\" }");
const KID: Key = key("mint.kid", "Id of the signing key; for local signing.")
    .named(&["BEHEST_KID"])
    .example("\"kid_…\"");
const TENANT_ID: Key = key("mint.tenant_id", "The tenant; for local signing.")
    .named(&["BEHEST_TENANT_ID"])
    .example("\"tenant_…\"");
const PROJECT_ID: Key = key("mint.project_id", "The project; for local signing.")
    .named(&["BEHEST_PROJECT_ID"])
    .example("\"project_…\"");
const PATH: Key = key(
    "mint.path",
    "Path of the mint call at upstream.base_url; API keys only.",
);
const TTL: Key = key("mint.ttl", "Lifetime of a token, 60s to 1day.");
const TIMEOUT: Key = key(
    "mint.timeout",
    "For one mint, the wait for a place included.",
);
const CONCURRENCY: Key = key("mint.concurrency", "Mints in flight at once.");
const DEFAULT_TIER: Key = key(
    "mint.default_tier",
    "Sent where the session has no tier: a number or a text; default: none is sent.",
)
.example("\"free\"");
const TIERS: Key = key(
    "mint.tiers",
    "Maps the session's tier to the one that is sent.",
)
.file_only()
.example("{ free = 1, pro = 2 }");

fn tiers(fields: &mut Fields) -> BTreeMap<String, Tier> {
    let mut map = BTreeMap::new();
    let Some((Raw::Toml(value), origin)) = fields.find(&TIERS) else {
        fields.record(&TIERS, None, String::new(), Origin::Default);
        return map;
    };
    let Some(table) = value.as_table() else {
        fields.problem_at(&TIERS, &origin, "must be a table: { free = 1, pro = 2 }");
        return map;
    };
    for (name, value) in table {
        match Tier::from_toml(value) {
            Ok(tier) => {
                map.insert(name.clone(), tier);
            }
            Err(fault) => fields.problem(format!("mint.tiers.{name}"), fault),
        }
    }
    let shown: Vec<String> = map
        .iter()
        .map(|(name, tier)| format!("{} = {}", quoted(name), tier.to_toml()))
        .collect();
    fields.record(&TIERS, None, format!("{{ {} }}", shown.join(", ")), origin);
    map
}

/// The key has a form that is known, and what its mode needs is there.
fn check_key(fields: &mut Fields, config: &MintConfig, origin: &Origin) {
    for problem in validate(config) {
        if !matches!(problem, KeyError::Missing { .. }) {
            fields.problem_at(&KEY, origin, format!("cannot be used: {problem}"));
        }
    }
    if key_mode(&config.key) != Ok(KeyMode::Sign) {
        return;
    }
    let needed = [
        (&KID, config.kid.is_none()),
        (&TENANT_ID, config.tenant_id.is_none()),
        (&PROJECT_ID, config.project_id.is_none()),
    ];
    for (key, missing) in needed {
        if missing && !fields.has_problem(key.path) {
            fields.missing(key, "…", ": a behest_pk_ key needs it");
        }
    }
}

fn absolute_path(path: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/_.-~".contains(&b);
    let dots = path
        .split('/')
        .any(|segment| segment == "." || segment == "..");
    if path.starts_with('/') && !path.starts_with("//") && !dots && path.bytes().all(plain) {
        return Ok(());
    }
    Err("must be a plain absolute path such as \"/v1/auth/mint\"".to_owned())
}

/// `[cache]`
pub(super) fn cache(fields: &mut Fields, per_user_limits: bool) -> CacheConfig {
    CacheConfig {
        max_entries: fields.read(&MAX_ENTRIES, 100_000, count(1..=10_000_000)),
        per_user_limits,
    }
}

const MAX_ENTRIES: Key = key(
    "cache.max_entries",
    "Identities whose tokens are held at once.",
);
