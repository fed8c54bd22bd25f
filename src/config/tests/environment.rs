//! The environment: its names, its order, and what comes before it.

use std::time::Duration;

use super::*;
use crate::session::ProviderKind;

#[test]
fn three_variables_are_enough_and_either_secret_opens_both_formats() {
    for name in ["AUTH_SECRET", "NEXTAUTH_SECRET"] {
        let env = [
            ("BEHEST_KEY", SK),
            ("BEHEST_BASE_URL", "https://demo.behest.app"),
            (name, SECRET),
        ];
        let loaded = Config::load(Sources {
            env: env.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            ..Sources::default()
        });
        let config = loaded.unwrap().config;
        let kinds: Vec<_> = config.session.providers.iter().map(|p| p.kind).collect();
        assert_eq!(kinds, [ProviderKind::AuthjsV5, ProviderKind::NextauthV4]);
        for provider in &config.session.providers {
            assert_eq!(provider.format.secrets()[0].expose(), SECRET.as_bytes());
        }
        assert_eq!(config.server.listen.to_string(), "0.0.0.0:8080");
        assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9090");
        assert_eq!(config.mint.ttl, Duration::from_mins(15));
        assert_eq!(config.mint.key.expose(), SK.as_bytes());
    }
}

#[test]
fn numbered_secrets_come_first_and_the_highest_before_all() {
    let secret = |n: u8| format!("{n}{SECRET}");
    let (one, two, three, next) = (secret(1), secret(2), secret(3), secret(4));
    let loaded = load(&[
        ("AUTH_SECRET_1", &one),
        ("AUTH_SECRET_2", &two),
        ("AUTH_SECRET_3", &three),
        ("NEXTAUTH_SECRET", &next),
    ]);
    let config = loaded.unwrap().config;
    let found: Vec<_> = config.session.providers[1]
        .format
        .secrets()
        .into_iter()
        .map(Secret::expose)
        .collect();
    let order = [&three, &two, &one, SECRET, &next].map(|s: &str| s.as_bytes().to_vec());
    assert_eq!(found, order);
}

#[test]
fn the_same_secret_under_two_names_counts_once() {
    let config = load(&[("NEXTAUTH_SECRET", SECRET)]).unwrap().config;
    assert_eq!(config.session.providers[0].format.secrets().len(), 1);
}

#[test]
fn every_variable_sets_its_key_and_is_named_as_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any");
    std::fs::write(&path, SECRET).unwrap();
    let path = path.to_string_lossy();
    let prices = repository_file("prices.toml");
    let prices = prices.to_string_lossy().into_owned();
    for setting in load(&[]).unwrap().provenance {
        let toml = setting.default.as_deref().unwrap_or(setting.example);
        let text = match setting.key.as_str() {
            "upstream.base_url" => "https://demo.behest.app".to_owned(),
            "mint.key" => SK.to_owned(),
            "admin.token" => SECRET.to_owned(),
            "cross_origin.public_origins" | "cross_origin.allowed_origins" => {
                "https://a.example".to_owned()
            }
            "server.trusted_proxies" => "10.0.0.0/8, ::1".to_owned(),
            "routes.extra" => "GET /v1/files, GET /v1/files/{id}".to_owned(),
            "routes.request_headers" | "routes.response_headers" => "x-a,x-b".to_owned(),
            "budgets.thresholds" => "50, 80, 100".to_owned(),
            "metering.price_file" => prices.clone(),
            "usage.file.path" | "store.path" | "usage.webhook.spool_path" => {
                format!("{path}-{}", setting.key)
            }
            "store.url" => "redis://127.0.0.1:6379".to_owned(),
            name if name.ends_with("_file") => path.to_string(),
            _ => toml.trim_matches('"').to_owned(),
        };
        for variable in &setting.variables {
            // Only one name of a key at a time, and no other source of it.
            let mut env = env(&[("GATEWAY_PUBLIC_ORIGIN", "")]);
            for other in &setting.variables {
                env.remove(other);
            }
            env.insert(variable.clone(), text.clone());
            if setting.key.starts_with("server.tls.") {
                env.insert("GATEWAY_TLS_CERT_FILE".to_owned(), path.to_string());
                env.insert("GATEWAY_TLS_KEY_FILE".to_owned(), path.to_string());
            }
            let loaded = Config::load(Sources {
                env,
                ..Sources::default()
            });
            // A text that is no PEM is refused by the mint, and not by its name.
            let Ok(loaded) = loaded else {
                assert_eq!(setting.key, "mint.pem", "{variable}: {:?}", loaded.err());
                continue;
            };
            let origin = &super::setting(&loaded, &setting.key).origin;
            let named = *origin == Origin::Env(variable.clone());
            let tls = setting.key.starts_with("server.tls.");
            assert!(named || tls, "{variable}: {origin}");
        }
    }
}

#[test]
fn short_names_set_what_they_promise() {
    let loaded = load(&[
        ("GATEWAY_LISTEN", "127.0.0.1:8081"),
        ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:9091"),
        (
            "GATEWAY_PUBLIC_ORIGIN",
            "https://a.example, https://b.example:8443",
        ),
        ("GATEWAY_ALLOWED_ORIGINS", "https://c.example"),
        ("GATEWAY_WORKERS", "3"),
        ("GATEWAY_SERVER__H2_MAX_STREAMS", "50"),
        ("GATEWAY_LIMITS__MAX_BODY", "1 MiB"),
        ("GATEWAY_UPSTREAM__IDLE_TIMEOUT", "5m"),
    ]);
    let config = loaded.unwrap().config;
    assert_eq!(config.server.listen.port(), 8081);
    assert_eq!(config.admin.listen.port(), 9091);
    let origins = ["https://a.example", "https://b.example:8443"];
    assert_eq!(config.cross_origin.public_origins, origins);
    assert_eq!(config.cross_origin.allowed_origins, ["https://c.example"]);
    assert_eq!(config.server.workers, 3);
    assert_eq!(config.server.h2_max_streams, 50);
    assert_eq!(config.limits.max_body, 1 << 20);
    assert_eq!(config.upstream.idle_timeout, Duration::from_mins(5));
}

#[test]
fn the_command_line_comes_before_the_environment_and_that_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(
        &file,
        "[server]\nlisten = \"127.0.0.1:1\"\nworkers = 1\nmax_connections = 1\n",
    )
    .unwrap();
    let loaded = Config::load(Sources {
        cli: [("server.listen".to_owned(), "127.0.0.1:3".to_owned())].into(),
        env: env(&[("GATEWAY_LISTEN", "127.0.0.1:2"), ("GATEWAY_WORKERS", "2")]),
        file: Some(file.clone()),
    });
    let loaded = loaded.unwrap();
    let server = &loaded.config.server;
    assert_eq!(
        (server.listen.port(), server.workers, server.max_connections),
        (3, 2, 1)
    );
    let origin = |key| &setting(&loaded, key).origin;
    assert_eq!(*origin("server.listen"), Origin::CommandLine);
    assert_eq!(
        *origin("server.workers"),
        Origin::Env("GATEWAY_WORKERS".into())
    );
    assert_eq!(*origin("server.max_connections"), Origin::File);
    assert_eq!(*origin("server.head_timeout"), Origin::Default);
    assert!(
        loaded
            .watched_files
            .iter()
            .any(|watched| watched.path == file)
    );
}

#[test]
fn gateway_config_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, "[server]\nworkers = 9\n").unwrap();
    let loaded = load(&[("GATEWAY_CONFIG", &file.to_string_lossy())]);
    assert_eq!(loaded.unwrap().config.server.workers, 9);
}

#[test]
fn unknown_gateway_variables_only_warn() {
    let loaded = load(&[
        ("GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("GATEWAY_LISTN", "0.0.0.0:1"),
        ("GATEWAY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
    ]);
    let warnings = loaded.unwrap().warnings.join("\n");
    assert!(
        warnings.contains("GATEWAY_SERVICE_HOST is no setting and is ignored"),
        "{warnings}"
    );
    assert!(
        warnings.contains("did you mean GATEWAY_LISTEN?"),
        "{warnings}"
    );
    let problems = load(&[("GATEWAY_LISTN", "0.0.0.0:1"), ("BEHEST_KEY", "")]);
    let problems = problems.map(|_| ()).unwrap_err().to_string();
    assert!(
        problems.contains("\nwarning: GATEWAY_LISTN is no setting"),
        "{problems}"
    );
    assert!(
        warnings.contains("GATEWAY_PORT_8080_TCP is no setting"),
        "{warnings}"
    );
}

#[test]
fn two_names_for_one_key_warn_and_the_short_one_is_used() {
    let loaded = load(&[
        ("GATEWAY_LISTEN", "127.0.0.1:1"),
        ("GATEWAY_SERVER__LISTEN", "127.0.0.1:2"),
    ]);
    let loaded = loaded.unwrap();
    assert_eq!(loaded.config.server.listen.port(), 1);
    assert!(loaded.warnings.join("\n").contains("set more than once"));
}

#[test]
fn secret_files_are_whole_less_one_line_break_and_lists_have_one_secret_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let key = write("key", &format!("{SK}\n"));
    let secrets = write("secrets", &format!("new-{SECRET}\r\n\nold-{SECRET}\n"));
    let hash = write("hash", "two\nlines\n\n");
    let kid = write("kid", "kid_1\n");
    let loaded = load(&[
        ("BEHEST_KEY", ""),
        ("BEHEST_KEY_FILE", &key),
        ("AUTH_SECRET", ""),
        ("AUTH_SECRET_FILE", &secrets),
        ("GATEWAY_TELEMETRY__USER_HASH_KEY_FILE", &hash),
        ("BEHEST_KID_FILE", &kid),
    ]);
    let loaded = loaded.unwrap();
    assert_eq!(loaded.config.mint.key.expose(), SK.as_bytes());
    assert_eq!(loaded.config.mint.kid.as_deref(), Some("kid_1"));
    let found: Vec<_> = loaded.config.session.providers[0]
        .format
        .secrets()
        .into_iter()
        .map(Secret::expose)
        .collect();
    let expected = [format!("new-{SECRET}"), format!("old-{SECRET}")];
    assert_eq!(found, expected.each_ref().map(String::as_bytes));
    let hash_key = loaded.config.telemetry.user_hash_key.unwrap();
    assert_eq!(hash_key.expose(), b"two\nlines\n");
    assert_eq!(loaded.watched_files.len(), 4);
    assert!(loaded.watched_files.iter().all(|file| !file.has_changed()));
    write("key", "behest_sk_other");
    let changed: Vec<_> = loaded
        .watched_files
        .iter()
        .filter(|file| file.has_changed())
        .collect();
    assert_eq!(changed.len(), 1);
    assert!(changed[0].path.ends_with("key"));
}

#[test]
fn a_pem_alone_selects_local_signing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nnot one\n").unwrap();
    let problems = load(&[
        ("BEHEST_KEY", ""),
        ("BEHEST_PRIVATE_KEY_FILE", &path.to_string_lossy()),
    ]);
    let text = problems.map(|_| ()).unwrap_err().to_string();
    for key in ["BEHEST_KID=", "BEHEST_TENANT_ID=", "BEHEST_PROJECT_ID="] {
        assert!(text.contains(key), "{text}");
    }
    assert!(!text.contains("mint.key is missing"), "{text}");
}

#[test]
fn proxies_and_roots_of_the_environment_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, "x").unwrap();
    let loaded = load(&[
        ("https_proxy", "http://user:hunter22@proxy:3128"),
        ("NO_PROXY", "localhost"),
        ("SSL_CERT_FILE", &roots.to_string_lossy()),
    ]);
    let loaded = loaded.unwrap();
    assert!(!report(&loaded).contains("hunter22"));
    let upstream = loaded.config.upstream;
    assert_eq!(
        upstream.outbound.proxy.unwrap().expose(),
        b"http://user:hunter22@proxy:3128"
    );
    assert_eq!(upstream.outbound.no_proxy.as_deref(), Some("localhost"));
    assert_eq!(upstream.outbound.ssl_cert_file, Some(roots));
    let warned = load(&[("SSL_CERT_FILE", "/nonexistent/roots.pem")]).unwrap();
    assert!(warned.warnings.join("").contains("SSL_CERT_FILE"));
}
