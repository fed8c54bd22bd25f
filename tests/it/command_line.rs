//! The command line: help, check, inspect, and a start that cannot succeed.

use std::collections::BTreeMap;
use std::net::TcpListener;

use behest_gateway::clock::unix_time;
use behest_gateway::emulator::FIXTURE_KEY;
use serde_json::Value;

use crate::support::cookies::{claims, ending, header};
use crate::support::program::{Outcome, environment, run};
use crate::support::{COOKIE, SECRET};

const BASE_URL: &str = "https://acme.behest.app";

fn inspect(arguments: &[&str], cookie: &str) -> (Value, Outcome) {
    let env = BTreeMap::from([("AUTH_SECRET".to_owned(), SECRET.to_owned())]);
    let outcome = run(&[&["inspect"], arguments].concat(), &env, cookie);
    let verdict: Value = serde_json::from_str(&outcome.out)
        .unwrap_or_else(|_| panic!("not one JSON object: {outcome:?}"));
    assert!(verdict.is_object());
    assert_eq!(outcome.err, "");
    (verdict, outcome)
}

#[test]
fn help_says_what_it_is_what_it_needs_and_what_it_can() {
    let outcome = run(&["--help"], &BTreeMap::new(), "");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for word in [
        "check",
        "health",
        "inspect",
        "BEHEST_KEY",
        "BEHEST_BASE_URL",
        "AUTH_SECRET",
        "--config",
        "--listen",
        "GATEWAY_CONFIG",
    ] {
        assert!(outcome.out.contains(word), "{word}: {}", outcome.out);
    }
    let version = run(&["--version"], &BTreeMap::new(), "");
    assert!(version.out.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn check_shows_every_value_and_its_source_and_no_secret() {
    let env = environment(BASE_URL, &[("GATEWAY_UPSTREAM__IDLE_TIMEOUT", "7m")]);
    let outcome = run(&["check", "--set", "mint.ttl=10m"], &env, "");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let line = |key: &str| {
        let found = outcome.out.lines().find(|line| line.starts_with(key));
        found.unwrap_or_else(|| panic!("{key}: {}", outcome.out))
    };
    assert!(line("upstream.idle_timeout ").contains("GATEWAY_UPSTREAM__IDLE_TIMEOUT"));
    assert!(line("mint.ttl ").contains("command line"));
    assert!(line("server.h2_max_streams ").contains("default"));
    assert!(line("mint.key ").contains("BEHEST_KEY"));
    for secret in [FIXTURE_KEY, SECRET] {
        assert!(!format!("{outcome:?}").contains(secret));
    }
}

#[test]
fn check_warns_last_and_can_be_told_to_take_no_warning() {
    let env = environment(BASE_URL, &[("GATEWAY_ADMIN_LISTEN", "0.0.0.0:9090")]);
    let outcome = run(&["check"], &env, "");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let (_, warnings) = outcome.out.split_once("\n2 warnings:\n").unwrap();
    assert!(
        warnings.starts_with("1. ") && warnings.contains("\n2. "),
        "{warnings}"
    );
    assert!(
        warnings.contains("admin.listen is 0.0.0.0:9090"),
        "{warnings}"
    );
    let strict = run(&["check", "--deny-warnings"], &env, "");
    assert_eq!((strict.code, strict.out), (Some(2), outcome.out));
    let good = environment(
        BASE_URL,
        &[("GATEWAY_PUBLIC_ORIGIN", "https://app.example")],
    );
    let strict = run(&["check", "--deny-warnings"], &good, "");
    assert_eq!(strict.code, Some(0), "{strict:?}");
    assert!(!strict.out.contains("warning"), "{}", strict.out);
}

#[test]
fn check_names_all_problems_at_once_and_no_secret() {
    let secret = "behest_xx_0123456789abcdef";
    let env = environment(
        "http://acme.behest.app",
        &[
            ("BEHEST_KEY", secret),
            ("GATEWAY_LISTEN", "everywhere"),
            ("GATEWAY_MINT__TTL", "1s"),
        ],
    );
    for arguments in [
        &["check", "--set", "no.such=key"][..],
        &["--set", "no.such=key"],
    ] {
        let outcome = run(arguments, &env, "");
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        for key in [
            "upstream.base_url",
            "BEHEST_KEY",
            "server.listen",
            "mint.ttl",
            "no.such",
        ] {
            assert!(outcome.err.contains(key), "{key}: {}", outcome.err);
        }
        assert!(!outcome.err.contains(secret) && !outcome.err.contains(SECRET));
        assert_eq!(outcome.out, "");
    }
}

#[test]
fn a_secret_on_the_command_line_is_refused_with_the_places_where_it_belongs() {
    let env = environment(BASE_URL, &[]);
    for (setting, places) in [
        (
            "mint.key=behest_sk_live_00",
            ["BEHEST_KEY", "BEHEST_KEY_FILE"],
        ),
        ("mint.key=anything", ["BEHEST_KEY", "BEHEST_KEY_FILE"]),
        (
            "session_id.key=anything",
            ["GATEWAY_SESSION_ID__KEY", "_FILE"],
        ),
        (
            "session.secrets=anything",
            ["session.secrets", "into the file"],
        ),
    ] {
        let outcome = run(&["check", "--set", setting], &env, "");
        assert_eq!(outcome.code, Some(2), "{setting}: {outcome:?}");
        for word in places {
            assert!(outcome.err.contains(word), "{word}: {}", outcome.err);
        }
        assert!(!outcome.err.contains("anything") && !outcome.err.contains("live_00"));
    }
}

#[test]
fn check_also_builds_what_it_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tls.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let file = file.to_str().unwrap();
    let tls = [
        ("GATEWAY_TLS_CERT_FILE", file),
        ("GATEWAY_TLS_KEY_FILE", file),
    ];
    let outcome = run(&["check"], &environment(BASE_URL, &tls), "");
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.err.contains("server.tls"), "{}", outcome.err);
}

#[test]
fn a_start_without_settings_says_what_to_set() {
    for arguments in [&[][..], &["serve"], &["check"]] {
        let outcome = run(arguments, &BTreeMap::new(), "");
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        for name in ["BEHEST_KEY", "BEHEST_BASE_URL", "AUTH_SECRET"] {
            assert!(outcome.err.contains(name), "{name}: {}", outcome.err);
        }
    }
    let unknown = run(&["--no-such-option"], &BTreeMap::new(), "");
    assert_eq!(unknown.code, Some(2));
}

#[test]
fn a_port_in_use_is_named_with_the_setting_that_moves_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (variable, key) in [
        ("GATEWAY_LISTEN", "server.listen"),
        ("GATEWAY_ADMIN_LISTEN", "admin.listen"),
    ] {
        let outcome = run(&[], &environment(BASE_URL, &[(variable, &address)]), "");
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        for word in [variable, key, &address, "in use"] {
            assert!(outcome.err.contains(word), "{word}: {}", outcome.err);
        }
    }
}

#[test]
fn inspect_says_whose_session_it_is() {
    let cookie = header(&claims("ada"));
    for text in [cookie.clone(), format!("Cookie: theme=dark; {cookie}\r\n")] {
        let (verdict, outcome) = inspect(&[], &text);
        assert_eq!(outcome.code, Some(0), "{verdict}");
        assert_eq!(verdict["ok"], true);
        assert_eq!(verdict["provider"], "authjs-v5");
        assert_eq!(verdict["cookie"], COOKIE);
        assert_eq!(verdict["user_id"], "ada");
        assert_eq!(verdict["tier"], "pro");
        assert!(verdict["session_id"].as_str().unwrap().starts_with("gw_"));
        assert!(verdict["expires_at"].is_u64());
    }
}

#[test]
fn inspect_says_why_it_is_none_and_judges_at_another_time() {
    let cookie = header(&ending("ada", -60));
    let (verdict, outcome) = inspect(&[], &cookie);
    assert_eq!(outcome.code, Some(1));
    assert_eq!(verdict["ok"], false);
    assert_eq!(verdict["code"], "session_expired");
    let then = (unix_time().as_secs() - 120).to_string();
    let (verdict, outcome) = inspect(&["--at", &then], &cookie);
    assert_eq!(
        (outcome.code, &verdict["ok"]),
        (Some(0), &Value::Bool(true))
    );
    let (verdict, outcome) = inspect(&[], &format!("{COOKIE}=nonsense"));
    assert_eq!(outcome.code, Some(1));
    assert_eq!(verdict["code"], "session_invalid");
    assert!(!verdict["reason"].as_str().unwrap().is_empty());
    let (verdict, outcome) = inspect(&[], "");
    assert_eq!(outcome.code, Some(1));
    assert_eq!(verdict["code"], "session_missing");
}

#[test]
fn inspect_without_a_secret_says_what_to_set() {
    let outcome = run(&["inspect"], &BTreeMap::new(), "a=b");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.err.contains("AUTH_SECRET"), "{}", outcome.err);
    assert_eq!(outcome.out, "");
}
