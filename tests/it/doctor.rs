//! `behest-gateway doctor`: the built program against a real gateway and emulator, with one thing wrong
//! at a time.

mod front;
mod public;
mod tokens;

use std::collections::BTreeMap;
use std::time::Duration;

use behest_gateway::clock::unix_time;
use behest_gateway::emulator::{Emulator, EmulatorConfig, FIXTURE_KEY, TlsPem};
use serde_json::Value;

use crate::support::program::{Outcome, environment, run};
use crate::support::secure::Certificate;
use crate::support::{SECRET, Stage, cookie, upstream};
use front::{Front, Manner};

/// A program's end, and the findings that it printed as JSON.
struct Examined {
    outcome: Outcome,
    report: Value,
}

impl Examined {
    /// The findings of one check.
    fn of(&self, check: &str) -> Vec<&Value> {
        let all = self.report["findings"].as_array().unwrap();
        all.iter().filter(|f| f["check"] == check).collect()
    }

    /// Its only finding of this level.
    fn one(&self, check: &str, level: &str) -> &Value {
        let mut found = self.of(check);
        found.retain(|finding| finding["level"] == level);
        assert_eq!(found.len(), 1, "{check}, {level}: {:#}", self.report);
        found[0]
    }

    /// All that is not as it should be.
    fn faults(&self) -> Vec<&str> {
        let all = self.report["findings"].as_array().unwrap().iter();
        let bad =
            all.filter(|finding| finding["level"] == "warning" || finding["level"] == "error");
        bad.map(|finding| {
            assert!(
                finding["fix"].as_str().is_some_and(|fix| !fix.is_empty()),
                "{finding}"
            );
            finding["check"].as_str().unwrap()
        })
        .collect()
    }
}

fn text(finding: &Value, key: &str) -> String {
    finding[key].as_str().unwrap().to_owned()
}

/// Runs `doctor --json`, off the thread that the emulator answers on.
async fn examine(arguments: &[&str], env: &BTreeMap<String, String>, input: &str) -> Examined {
    let mut all = vec!["doctor", "--json"];
    all.extend_from_slice(arguments);
    let outcome = doctor(&all, env, input).await;
    let report = serde_json::from_str(&outcome.out)
        .unwrap_or_else(|_| panic!("not one JSON object: {outcome:?}"));
    Examined { outcome, report }
}

async fn doctor(arguments: &[&str], env: &BTreeMap<String, String>, input: &str) -> Outcome {
    let arguments: Vec<_> = arguments.iter().map(|text| (*text).to_owned()).collect();
    let (env, input) = (env.clone(), input.to_owned());
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        run(&arguments, &env, &input)
    });
    running.await.unwrap()
}

/// A gateway behind a front of this manner, and the environment that it runs with.
struct Scene {
    stage: Stage,
    front: Front,
    env: BTreeMap<String, String>,
}

impl Scene {
    async fn new(manner: Manner, pace: u64, more: &[(&str, &str)]) -> Self {
        let front = Front::new(manner).await;
        let origin = front.origin();
        let mut all = vec![("GATEWAY_PUBLIC_ORIGIN", origin.as_str())];
        all.extend_from_slice(more);
        let stage = Stage::paced(Duration::from_millis(pace), &all).await;
        front.lead_to(stage.server.address());
        let env = environment(&stage.emulator.base_url(), &all);
        Self { stage, front, env }
    }

    /// Examined through the public URL, with a signed-in user's cookie.
    async fn examine(&self, more: &[&str]) -> Examined {
        let origin = self.front.origin();
        let mut arguments = vec!["--public-url", &origin, "--cookie-file", "-"];
        arguments.extend_from_slice(more);
        examine(&arguments, &self.env, &cookie("ada", "\"pro\"")).await
    }

    /// The same without a cookie.
    async fn look(&self) -> Examined {
        examine(&["--public-url", &self.front.origin()], &self.env, "").await
    }
}

#[tokio::test]
async fn where_all_is_well_every_check_says_so_and_the_code_is_0() {
    let allowed = [("GATEWAY_ALLOWED_ORIGINS", "http://127.0.0.1:3000")];
    let scene = Scene::new(Manner::Honest, 20, &allowed).await;
    let examined = scene.examine(&["--mint", "--model", "emulator"]).await;
    assert_eq!(
        examined.faults(),
        Vec::<&str>::new(),
        "{:#}",
        examined.report
    );
    assert_eq!(examined.outcome.code, Some(0));
    for check in [
        "configuration",
        "key",
        "behest-dns",
        "behest-connection",
        "behest-http",
        "clock",
        "mint",
        "token",
        "public-connection",
        "public-session",
        "public-origin",
        "stream",
        "compression",
    ] {
        examined.one(check, "ok");
    }
    assert_eq!(examined.of("preflight").len(), 2);
    assert!(text(examined.one("mint", "ok"), "what").contains("15m"));
    scene.stage.emulator.log().read(|seen| {
        assert!(seen.violations.is_empty(), "{:?}", seen.violations);
    });
    assert_eq!(examined.outcome.err, "");
}

#[tokio::test]
async fn text_and_json_say_the_same() {
    let stage = Stage::new().await;
    let env = environment(&stage.emulator.base_url(), &[]);
    let examined = examine(&["--mint", "--user", "dry-run"], &env, "").await;
    let outcome = doctor(&["doctor", "--mint", "--user", "dry-run"], &env, "").await;
    // The address where no public origin is set is warned of.
    assert_eq!((outcome.code, examined.outcome.code), (Some(1), Some(1)));
    assert_eq!(examined.report["worst"], "warning");
    let words: Vec<_> = outcome.out.split_whitespace().collect();
    let said = words.join(" ");
    let mut rest = said.as_str();
    for finding in examined.report["findings"].as_array().unwrap() {
        let fix = finding["fix"].as_str().map(|fix| format!(" fix: {fix}"));
        let (check, level) = (text(finding, "check"), text(finding, "level"));
        let what = text(finding, "what");
        let line = format!("{level} {check} {what}{}", fix.unwrap_or_default());
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let after = rest.strip_prefix(line.as_str());
        rest = after
            .unwrap_or_else(|| panic!("{line}: {}", outcome.out))
            .trim_start();
    }
    // What they come to, and nothing else.
    assert_eq!(rest, "1 warning.");
}

#[tokio::test]
async fn where_nothing_listens_the_address_is_named_and_the_rest_is_looked_at() {
    let listener = upstream::listen().await;
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let front = Front::new(Manner::ShowsPage).await;
    front.lead_to(front.address);
    let env = environment(&base, &[]);
    let examined = examine(&["--mint", "--public-url", &front.origin()], &env, "").await;
    assert_eq!(examined.outcome.code, Some(2));
    let finding = examined.one("behest-connection", "error");
    assert!(text(finding, "what").contains(&base), "{finding}");
    assert!(
        text(finding, "fix").contains("nothing listens"),
        "{finding}"
    );
    examined.one("key", "ok");
    examined.one("mint", "info");
    examined.one("public-connection", "ok");
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_or_not_for_the_name_is_told_apart() {
    let emulator = async |certificate: &Certificate| {
        let tls = TlsPem {
            certificates: certificate.pem.clone(),
            key: certificate.key.clone(),
        };
        let config = EmulatorConfig {
            tls: Some(tls),
            ..EmulatorConfig::default()
        };
        Emulator::start(config).await.unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let good = Certificate::new();
    good.write(folder.path());
    let path = folder.path().join("tls.crt");
    let roots = [("GATEWAY_UPSTREAM__CA_FILE", path.to_str().unwrap())];
    let behest = emulator(&good).await;
    let examined = examine(&[], &environment(&behest.base_url(), &[]), "").await;
    assert_eq!(examined.outcome.code, Some(2));
    examined.one("behest-connection", "ok");
    let finding = examined.one("behest-tls", "error");
    assert!(text(finding, "what").contains("not trusted"), "{finding}");
    assert!(
        text(finding, "fix").contains("upstream.ca_file"),
        "{finding}"
    );
    let examined = examine(&[], &environment(&behest.base_url(), &roots), "").await;
    examined.one("behest-tls", "ok");
    examined.one("behest-http", "ok");

    let made = rcgen::generate_simple_self_signed(["other.example".to_owned()]).unwrap();
    let other = Certificate {
        pem: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    };
    other.write(folder.path());
    let behest = emulator(&other).await;
    let examined = examine(&[], &environment(&behest.base_url(), &roots), "").await;
    let finding = examined.one("behest-tls", "error");
    assert!(text(finding, "what").contains("another name"), "{finding}");
}

#[tokio::test]
async fn a_clock_that_is_off_is_an_error_before_tokens_are_rejected() {
    let listener = upstream::listen().await;
    let base = format!("http://{}", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        let mut peer = upstream::Peer::accept(&listener).await;
        peer.read_head().await;
        let past = std::time::UNIX_EPOCH + unix_time() - Duration::from_hours(1);
        let date = httpdate::fmt_http_date(past);
        let head =
            format!("HTTP/1.1 401 Unauthorized\r\ndate: {date}\r\ncontent-length: 0\r\n\r\n");
        peer.write(head).await;
        peer.read_to_end().await;
    });
    let examined = examine(&[], &environment(&base, &[]), "").await;
    answering.await.unwrap();
    assert_eq!(examined.outcome.code, Some(2));
    let finding = examined.one("clock", "error");
    let what = text(finding, "what");
    assert!(
        what.contains("ahead of Behest's") && what.contains("tokens are rejected"),
        "{what}"
    );
    assert!(text(finding, "fix").contains("NTP"));
}

#[tokio::test]
async fn an_issuers_keys_are_fetched_and_must_fit_what_tokens_are_signed_by() {
    let stage = Stage::new().await;
    let base = stage.emulator.base_url();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let keys = async |path: &str, algorithm: &str| {
        let provider = format!(
            "[[session.providers]]\nkind = \"signed\"\ncookie_names = [\"app_token\"]\n\
             jwks_url = \"{base}{path}\"\nissuer = \"https://app.example\"\n\
             audience = \"https://api.app.example\"\nalgorithms = [\"{algorithm}\"]\n"
        );
        std::fs::write(&file, provider).unwrap();
        let config = ["--config", file.to_str().unwrap()];
        let examined = examine(&config, &environment(&base, &[]), "").await;
        assert_eq!(examined.of("jwks").len(), 1, "{:#}", examined.report);
        let finding = examined.of("jwks")[0].clone();
        (text(&finding, "level"), text(&finding, "what"))
    };
    let (level, what) = keys("/.well-known/jwks.json", "RS256").await;
    assert_eq!(level, "ok", "{what}");
    assert!(
        what.starts_with("signed: ") && what.contains("for RS256"),
        "{what}"
    );
    let (level, what) = keys("/.well-known/jwks.json", "ES256").await;
    assert_eq!(level, "error", "{what}");
    assert!(what.contains("none for ES256"), "{what}");
    let (level, what) = keys("/elsewhere", "RS256").await;
    assert_eq!(level, "error", "{what}");
}

#[tokio::test]
async fn the_apps_session_url_must_say_signed_out_in_json() {
    let stage = Stage::new().await;
    let base = stage.emulator.base_url();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    for (manner, level, word) in [
        (Manner::Honest, "ok", "says signed out (401)"),
        (Manner::ShowsPage, "error", "a page of HTML (200)"),
        (
            Manner::SignsIn,
            "error",
            "redirects somebody without a cookie",
        ),
    ] {
        let app = Front::new(manner).await;
        // Behest's own 401 to a stranger stands for the app's.
        app.lead_to(stage.emulator.addr());
        let provider = format!(
            "[[session.providers]]\nkind = \"lookup\"\ncookie_names = [\"sid\"]\n\
             user_claim = [\"id\"]\nurl = \"{}/v1/models\"\n",
            app.origin()
        );
        std::fs::write(&file, provider).unwrap();
        let config = ["--config", file.to_str().unwrap()];
        let examined = examine(&config, &environment(&base, &[]), "").await;
        let finding = examined.one("session-url", level);
        let what = text(finding, "what");
        assert!(
            what.starts_with("lookup: ") && what.contains(word),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_configuration_that_does_not_hold_is_the_finding() {
    let secret = "behest_xx_0123456789abcdef";
    let env = environment(
        "http://acme.behest.app",
        &[("BEHEST_KEY", secret), ("GATEWAY_MINT__TTL", "1s")],
    );
    let examined = examine(&["--mint"], &env, "").await;
    assert_eq!(examined.outcome.code, Some(2));
    assert!(
        examined
            .faults()
            .iter()
            .all(|check| *check == "configuration")
    );
    let all = examined.outcome.out;
    for word in ["BEHEST_KEY", "mint.ttl", "upstream.base_url"] {
        assert!(all.contains(word), "{word}: {all}");
    }
    for hidden in [secret, SECRET, FIXTURE_KEY] {
        assert!(!all.contains(hidden), "{all}");
    }
}

#[tokio::test]
async fn the_command_line_says_what_it_needs() {
    let help = doctor(&["doctor", "--help"], &BTreeMap::new(), "").await;
    assert_eq!(help.code, Some(0));
    for word in [
        "--mint",
        "--public-url",
        "--cookie-file",
        "--model",
        "--json",
        "Exit code",
    ] {
        assert!(help.out.contains(word), "{word}: {}", help.out);
    }
    let env = environment("https://acme.behest.app", &[]);
    for arguments in [
        &["doctor", "--cookie-file", "-"][..],
        &["doctor", "--model", "m"],
    ] {
        assert_eq!(doctor(arguments, &env, "").await.code, Some(2));
    }
    let stage = Stage::new().await;
    let env = environment(&stage.emulator.base_url(), &[]);
    let examined = examine(&["--public-url", "app.example/x"], &env, "").await;
    assert!(text(examined.one("public-url", "error"), "fix").contains("https://app.example"));
}
