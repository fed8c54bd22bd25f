//! Whole configurations: what loads, what is refused and in which words.

mod budgets;
mod environment;
mod file;
mod provider_pages;
mod refusals;
mod secrecy;
mod warnings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::reference::reference;
use super::*;
use crate::secret::Secret;

/// A key that the API mode takes.
pub(super) const SK: &str = "behest_sk_live_0123456789abcdef0123456789abcdef";
/// A secret of the app, long enough.
pub(super) const SECRET: &str = "kT9uQ2mXw7RzB4vN8sLcE1yHgJ6pDfA3oUiY5tZrWq0";

/// What every configuration needs, and `more`; an empty value takes one away.
fn env(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let base = [
        ("BEHEST_KEY", SK),
        ("BEHEST_BASE_URL", "https://demo.behest.app"),
        ("AUTH_SECRET", SECRET),
        ("GATEWAY_PUBLIC_ORIGIN", "https://app.example"),
    ];
    let all = base.iter().chain(more);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn load(more: &[(&str, &str)]) -> Result<Loaded, ConfigProblems> {
    Config::load(Sources {
        env: env(more),
        ..Sources::default()
    })
}

/// Loads `toml` as the file, with the environment of [`env`].
fn load_file(toml: &str, more: &[(&str, &str)]) -> Result<Loaded, ConfigProblems> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, toml).unwrap();
    Config::load(Sources {
        env: env(more),
        file: Some(file),
        ..Sources::default()
    })
}

/// The problems of [`load_file`] as they are printed.
fn refusal(toml: &str, more: &[(&str, &str)]) -> String {
    load_file(toml, more).map(|_| ()).unwrap_err().to_string()
}

fn setting<'a>(loaded: &'a Loaded, key: &str) -> &'a Setting {
    loaded.provenance.iter().find(|s| s.key == key).unwrap()
}

fn repository_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name)
}

/// `UPDATE_REFERENCE=1` rewrites the file instead.
#[test]
fn the_reference_holds_every_key_with_its_default() {
    let fresh = reference(&load(&[]).unwrap().provenance);
    let path = repository_file("reference.toml");
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(
        kept == fresh,
        "config/reference.toml is stale: run this test with UPDATE_REFERENCE=1"
    );
}

#[test]
fn the_reference_loads_and_changes_nothing() {
    let loaded = Config::load(Sources {
        env: env(&[]),
        file: Some(repository_file("reference.toml")),
        ..Sources::default()
    });
    let without = load(&[]).unwrap();
    assert_eq!(
        format!("{:?}", loaded.unwrap().config),
        format!("{:?}", without.config)
    );
}

#[test]
fn every_key_is_documented_and_the_ones_without_a_default_have_an_example() {
    for setting in load(&[]).unwrap().provenance {
        if setting.key == "session.providers" {
            continue;
        }
        assert!(setting.doc.ends_with('.'), "{}", setting.key);
        assert!(
            setting.default.is_some() || !setting.example.is_empty(),
            "{}",
            setting.key
        );
    }
}

#[test]
fn every_example_of_the_reference_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any");
    std::fs::write(&path, SECRET).unwrap();
    let path = path.to_string_lossy();
    let issuer = issuer_files(folder.path());
    for setting in load(&[]).unwrap().provenance {
        // Of a list: the kind is needed, and read beside each of the others. Of the key: signing
        // needs more than a form.
        let kind = setting.key.strip_prefix("session.providers[].");
        let kind = kind.map_or("", provider_with);
        if setting.default.is_some()
            || ["mint.pem", "upstream.base_url", "session.providers"]
                .contains(&setting.key.as_str())
        {
            continue;
        }
        let files = [
            "/etc/tls/tls.crt",
            "/etc/tls/tls.key",
            "/etc/ssl/private-ca.pem",
        ];
        let secrets = [
            "auth_secret",
            "user_hash_key",
            "session_id_key",
            "admin_token",
            "session_password",
            "usage_token",
            "usage_hash_key",
        ];
        let secrets = secrets.map(|s| format!("/run/secrets/{s}"));
        let known = files.iter().map(ToString::to_string).chain(secrets);
        let example = known.fold(setting.example.to_owned(), |text, file| {
            text.replace(&file, &path)
        });
        let example = example.replace("/etc/behest-gateway", &issuer);
        let example = example.replace("/var/log/behest-gateway", &issuer);
        let example = example.replace("/var/lib/behest-gateway", &issuer);
        let example = example.replace("/run/secrets", &issuer);
        let (table, name) = setting.key.rsplit_once('.').unwrap();
        let header = match table.strip_suffix("[]") {
            Some(list) => format!("[[{list}]]"),
            None => format!("[{table}]"),
        };
        let toml = format!("{header}\n{kind}{name} = {example}\n");
        let more = [("HTTPS_PROXY", "http://proxy:3128")];
        let problems = load_file(&toml, &more)
            .map(|_| ())
            .err()
            .map(|p| p.to_string());
        let lone_tls = problems
            .as_deref()
            .is_some_and(|p| p.contains("_file needs it"));
        assert!(problems.is_none() || lone_tls, "{toml}\n{problems:?}");
    }
}

/// What a provider needs besides the key `name`, to be one that has it.
fn provider_with(name: &str) -> &'static str {
    match name {
        "kind" => "",
        "passwords" => "kind = \"iron-session\"\ncookie_names = [\"s\"]\n",
        "strategy" | "token_cookie_names" => {
            "kind = \"better-auth-cache\"\nsecrets = [{ env = \"AUTH_SECRET\" }]\ncookie_names = [\"session_data\"]\n"
        }
        "publishable_key" => "kind = \"clerk\"\n",
        "project_id" => "kind = \"firebase\"\n",
        "domain" => "kind = \"auth0-token\"\ncookie_names = [\"s\"]\n",
        "project_url" => "kind = \"supabase\"\n",
        "jwks_url" | "jwks_file" | "pem_file" => "kind = \"bearer\"\n",
        "algorithms" | "issuer" | "audience" | "authorized_parties" | "clock_tolerance"
        | "jwks_refresh" | "allow_plaintext" => {
            "kind = \"bearer\"\njwks_url = \"https://issuer.example/jwks\"\n"
        }
        "url" => "kind = \"lookup\"\ncookie_names = [\"s\"]\n",
        "cache" | "negative_cache" | "timeout" | "expires_claim" => {
            "kind = \"lookup\"\ncookie_names = [\"s\"]\nurl = \"https://app.example/s\"\n"
        }
        _ => "kind = \"authjs-v5\"\n",
    }
}

/// Writes what an issuer's keys and prices are in, by the names of the examples.
fn issuer_files(folder: &Path) -> String {
    std::fs::copy(repository_file("prices.toml"), folder.join("prices.toml")).unwrap();
    let keys = include_str!("sessions/signed/tests/keys.json");
    std::fs::write(folder.join("jwks.json"), keys).unwrap();
    std::fs::write(folder.join("redis_url"), "redis://127.0.0.1:6379").unwrap();
    let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
    std::fs::write(folder.join("issuer.pem"), pem).unwrap();
    folder.to_string_lossy().into_owned()
}

#[test]
fn the_smallest_file_loads() {
    let loaded = Config::load(Sources {
        env: BTreeMap::from([
            ("BEHEST_KEY".to_owned(), SK.to_owned()),
            ("AUTH_SECRET".to_owned(), SECRET.to_owned()),
        ]),
        file: Some(repository_file("gateway.toml")),
        ..Sources::default()
    });
    let loaded = loaded.unwrap();
    assert_eq!(
        loaded.config.upstream.base_url.host(),
        "your-slug.behest.app"
    );
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn every_file_in_config_is_tested_here() {
    let folder = std::fs::read_dir(repository_file("")).unwrap();
    let mut names: Vec<_> = folder.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        ["gateway.toml", "prices.toml", "providers", "reference.toml"]
    );
}

#[test]
fn what_only_a_restart_changes_is_named() {
    let old = load(&[]).unwrap().config;
    let new = [
        ("GATEWAY_LISTEN", "127.0.0.1:1"),
        ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:2"),
        ("GATEWAY_WORKERS", "77"),
        ("GATEWAY_SERVER__MAX_CONNECTIONS", "7"),
        ("GATEWAY_SERVER__DRAIN_DELAY", "7s"),
        ("GATEWAY_SERVER__DRAIN_LIMIT", "7s"),
        ("GATEWAY_TELEMETRY__LOG_FORMAT", "text"),
        ("GATEWAY_UPSTREAM__IDLE_TIMEOUT", "1m"),
    ];
    let new = load(&new).unwrap().config;
    let keys = [
        "server.listen",
        "server.workers",
        "server.max_connections",
        "server.drain_delay",
        "server.drain_limit",
        "admin.listen",
        "telemetry.log_format",
    ];
    assert_eq!(restart_only_changes(&old, &new), keys);
    assert_eq!(restart_only_changes(&old, &old), [""; 0]);
}

#[test]
fn of_budgets_and_records_a_restart_changes_where_and_a_reload_how_much() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    let path = path.to_string_lossy();
    let redis = ("GATEWAY_STORE__KIND", "redis");
    let url = ("GATEWAY_STORE__URL", "redis://127.0.0.1:6379");
    let hook = ("GATEWAY_USAGE__WEBHOOK__URL", "https://a.example/usage");
    let token = ("GATEWAY_USAGE__WEBHOOK__TOKEN", SECRET);
    let changes = |old: &[_], new: &[_]| {
        restart_only_changes(&load(old).unwrap().config, &load(new).unwrap().config)
    };
    let none = [""; 0];
    assert_eq!(changes(&[], &[redis, url]), ["store"]);
    let other = ("GATEWAY_STORE__URL", "redis://127.0.0.1:6380");
    assert_eq!(changes(&[redis, url], &[redis, other]), ["store"]);
    assert_eq!(changes(&[redis, url], &[redis, url]), none);

    let told = ("GATEWAY_BUDGETS__THRESHOLDS", "90");
    assert_eq!(changes(&[], &[told]), none);
    assert_eq!(
        changes(&[redis, url], &[redis, url, told]),
        ["budgets.thresholds"]
    );
    let file = ("GATEWAY_USAGE__FILE__PATH", &*path);
    let size = ("GATEWAY_USAGE__FILE__MAX_SIZE", "1 MiB");
    assert_eq!(changes(&[file], &[file, size]), ["usage.file"]);
    let days = ("GATEWAY_USAGE__RETENTION", "7days");
    assert_eq!(changes(&[], &[days]), none);
    assert_eq!(changes(&[file], &[file, days]), ["usage.retention"]);

    let moved = ("GATEWAY_USAGE__WEBHOOK__URL", "https://b.example/usage");
    assert_eq!(changes(&[hook], &[moved, token]), none);
    assert_eq!(changes(&[], &[hook]), ["usage.webhook"]);
    let alarm = ("GATEWAY_BUDGETS__WEBHOOK__URL", "https://a.example/budgets");
    assert_eq!(changes(&[], &[alarm]), ["budgets.webhook"]);
    let key = ("GATEWAY_USAGE__HASH_KEY", SECRET);
    assert_eq!(changes(&[], &[key]), ["usage.hash_key"]);
    let limit = ("GATEWAY_BUDGETS__DEFAULT__TOKENS_PER_DAY", "7");
    assert_eq!(changes(&[], &[limit]), none);
}
