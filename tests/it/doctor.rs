//! `behest-gateway doctor`: the built program against a real gateway and emulator, with one thing wrong
//! at a time.

mod front;

use std::collections::BTreeMap;
use std::time::Duration;

use behest_gateway::clock::unix_time;
use behest_gateway::emulator::{
    Action, Emulator, EmulatorConfig, FIXTURE_KEY, FIXTURE_PROJECT, FIXTURE_TENANT, Fault, On,
    SigningKey, TlsPem,
};
use serde_json::Value;

use crate::support::program::{Outcome, environment, run};
use crate::support::secure::Certificate;
use crate::support::{SECRET, Stage, cookie, sources, start, upstream};
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
    let mut from = 0;
    for finding in examined.report["findings"].as_array().unwrap() {
        let fix = finding["fix"].as_str().map(|fix| format!(" fix: {fix}"));
        let (check, level) = (text(finding, "check"), text(finding, "level"));
        let line = format!(
            "{level} {check} {}{}",
            text(finding, "what"),
            fix.unwrap_or_default()
        );
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let at = said[from..].find(&line);
        from += at.unwrap_or_else(|| panic!("{line}: {}", outcome.out)) + line.len();
    }
    assert!(
        said[from..].trim().ends_with("1 warning."),
        "{}",
        outcome.out
    );
}

#[tokio::test]
async fn a_wrong_key_is_named_and_never_shown() {
    let stage = Stage::new().await;
    let wrong = "behest_sk_live_ffffffffffffffffffffffffffffffff";
    let env = environment(&stage.emulator.base_url(), &[("BEHEST_KEY", wrong)]);
    let examined = examine(&["--mint"], &env, "").await;
    assert_eq!(examined.outcome.code, Some(2));
    let finding = examined.one("mint", "error");
    assert!(text(finding, "what").contains("401"), "{finding}");
    assert!(text(finding, "fix").contains("BEHEST_KEY"), "{finding}");
    assert!(!format!("{:?}", examined.outcome).contains("ffffffff"));
    // Unless asked for, nothing is minted.
    let before = stage.emulator.log().read(|seen| seen.total_requests);
    let quiet = examine(&[], &env, "").await;
    assert_eq!(quiet.of("mint")[0]["level"], "info");
    // Only the one GET without a token.
    assert_eq!(
        stage.emulator.log().read(|seen| seen.total_requests),
        before + 1
    );
}

#[tokio::test]
async fn what_a_mint_answers_is_told() {
    let stage = Stage::new().await;
    let env = environment(&stage.emulator.base_url(), &[]);
    for (action, what) in [
        (status(429), "429"),
        (status(402), "402"),
        (status(503), "503"),
        (Action::Garbage, "not the expected JSON"),
        (
            Action::WrongUser {
                user_id: "mallory".to_owned(),
            },
            "another user",
        ),
    ] {
        stage.emulator.faults().push(Fault::once(On::Mint, action));
        let examined = examine(&["--mint"], &env, "").await;
        let finding = examined.one("mint", "error");
        assert!(text(finding, "what").contains(what), "{finding}");
    }
    let late = Action::StallBeforeHead;
    stage.emulator.faults().push(Fault::once(On::Mint, late));
    let mut env = env;
    env.insert("GATEWAY_MINT__TIMEOUT".to_owned(), "300ms".to_owned());
    let examined = examine(&["--mint"], &env, "").await;
    let finding = examined.one("mint", "error");
    assert!(text(finding, "what").contains("within 300ms"), "{finding}");
}

fn status(code: u16) -> Action {
    Action::Status {
        code,
        headers: Vec::new(),
        body: String::new(),
    }
}

/// The environment of a gateway that signs.
fn signing(base_url: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let key = SigningKey::of_this_process().unwrap();
    let behest_key = key.to_behest_key().unwrap();
    let mut all = vec![
        ("BEHEST_KEY", behest_key.as_str()),
        ("BEHEST_KID", key.kid()),
        ("BEHEST_TENANT_ID", FIXTURE_TENANT),
        ("BEHEST_PROJECT_ID", FIXTURE_PROJECT),
    ];
    all.extend_from_slice(more);
    environment(base_url, &all)
}

#[tokio::test]
async fn a_signed_token_is_tried_and_the_name_that_behest_does_not_know_is_told() {
    let stage = Stage::new().await;
    let base = stage.emulator.base_url();
    let examined = examine(&["--mint"], &signing(&base, &[]), "").await;
    assert!(text(examined.one("key", "ok"), "what").contains("2048 bits"));
    examined.one("mint", "ok");
    examined.one("token", "ok");
    let other = signing(&base, &[("BEHEST_KID", "kid-of-nobody")]);
    let finding_of = async |env| {
        let examined = examine(&["--mint"], &env, "").await;
        assert_eq!(examined.outcome.code, Some(2));
        text(examined.one("token", "error"), "fix")
    };
    assert!(finding_of(other).await.contains("BEHEST_KID"));
    let other = signing(&base, &[("BEHEST_TENANT_ID", "tnt_other")]);
    assert!(finding_of(other).await.contains("BEHEST_TENANT_ID"));
}

#[tokio::test]
async fn a_tier_that_the_token_does_not_hold_is_noticed() {
    let stage = Stage::new().await;
    let env = environment(
        &stage.emulator.base_url(),
        &[("GATEWAY_MINT__DEFAULT_TIER", "pro")],
    );
    let examined = examine(&["--mint"], &env, "").await;
    assert!(text(examined.one("mint", "ok"), "what").contains("the tier pro"));
    // A token for the same user that says nothing of a tier.
    let claims = "eyJ1aWQiOiJiZWhlc3QtZ2F0ZXdheS1kb2N0b3IifQ";
    let body = format!(r#"{{"jwt":"eyJhbGciOiJSUzI1NiJ9.{claims}.c2ln","ttl":900}}"#);
    let action = Action::Status {
        code: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body,
    };
    stage.emulator.faults().push(Fault::once(On::Mint, action));
    let examined = examine(&["--mint"], &env, "").await;
    let finding = examined.one("mint", "warning");
    assert!(
        text(finding, "fix").contains("mint.default_tier"),
        "{finding}"
    );
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
        let past = std::time::UNIX_EPOCH + unix_time() - Duration::from_secs(3600);
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
async fn a_front_that_buffers_is_recognised() {
    let scene = Scene::new(Manner::Buffers, 10, &[]).await;
    let examined = scene.examine(&[]).await;
    assert_eq!(examined.faults(), ["stream"], "{:#}", examined.report);
    assert_eq!(examined.outcome.code, Some(2));
    let finding = examined.one("stream", "error");
    assert!(text(finding, "what").contains("buffered"), "{finding}");
    assert!(
        text(finding, "fix").contains("proxy_buffering off"),
        "{finding}"
    );
}

#[tokio::test]
async fn a_front_that_compresses_is_recognised() {
    let scene = Scene::new(Manner::Compresses, 10, &[]).await;
    let examined = scene.examine(&[]).await;
    assert_eq!(examined.faults(), ["compression"], "{:#}", examined.report);
    assert_eq!(examined.outcome.code, Some(1));
    let finding = examined.one("compression", "warning");
    assert!(text(finding, "what").contains("gzip"), "{finding}");
}

#[tokio::test]
async fn a_front_that_cuts_streams_is_recognised() {
    let scene = Scene::new(Manner::CutsAfter(8 * 1024), 15, &[]).await;
    let examined = scene.examine(&[]).await;
    assert_eq!(examined.faults(), ["stream"], "{:#}", examined.report);
    let finding = examined.one("stream", "error");
    assert!(text(finding, "what").contains("broke off"), "{finding}");
    assert!(
        text(finding, "fix").contains("proxy_read_timeout"),
        "{finding}"
    );
}

#[tokio::test]
async fn too_few_frames_are_no_verdict() {
    let scene = Scene::new(Manner::Honest, 10, &[]).await;
    let action = Action::Status {
        code: 200,
        headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
        body: "data: {}\n\ndata: [DONE]\n\n".to_owned(),
    };
    let chat = On::Path("/v1/chat/completions".to_owned());
    scene
        .stage
        .emulator
        .faults()
        .push(Fault::once(chat, action));
    let examined = scene.examine(&["--model", "brief"]).await;
    let finding = examined.one("stream", "warning");
    assert!(
        text(finding, "what").contains("no verdict: brief gave 2 frames"),
        "{finding}"
    );
}

#[tokio::test]
async fn a_cookie_that_is_no_session_is_told_and_not_shown() {
    let scene = Scene::new(Manner::Honest, 5, &[]).await;
    let origin = scene.front.origin();
    let arguments = ["--public-url", &origin, "--cookie-file", "-"];
    let cookie = "authjs.session-token=hunter2hunter2";
    let examined = examine(&arguments, &scene.env, cookie).await;
    let finding = examined.one("stream", "error");
    assert!(
        text(finding, "what").contains("session_invalid"),
        "{finding}"
    );
    assert!(text(finding, "fix").contains("inspect"), "{finding}");
    assert!(!format!("{:?}", examined.outcome).contains("hunter2"));
    let arguments = [
        "--public-url",
        &origin,
        "--cookie-file",
        "/nonexistent/cookie",
    ];
    let examined = examine(&arguments, &scene.env, "").await;
    assert_eq!(examined.faults(), ["cookie-file"]);
}

#[tokio::test]
async fn a_front_that_answers_itself_is_recognised() {
    for (manner, check, level, word) in [
        (
            Manner::SignsIn,
            "public-session",
            "error",
            "https://login.example",
        ),
        (Manner::ShowsPage, "public-session", "error", "HTML"),
        (Manner::Strips, "public-session", "warning", "x-gateway-*"),
        (Manner::GrantsAll, "preflight", "error", "every page (*)"),
        (
            Manner::HasLostApp,
            "sign-in",
            "warning",
            "http://localhost:3000",
        ),
    ] {
        let examined = Scene::new(manner, 5, &[]).await.look().await;
        assert_eq!(
            examined.faults(),
            [check],
            "{manner:?}: {:#}",
            examined.report
        );
        let finding = examined.one(check, level);
        assert!(text(finding, "what").contains(word), "{finding}");
    }
}

#[tokio::test]
async fn an_origin_that_the_gateway_does_not_know_is_an_error_with_the_setting() {
    let scene = Scene::new(Manner::Honest, 5, &[]).await;
    let other = [("GATEWAY_PUBLIC_ORIGIN", "https://app.example")];
    let base = scene.stage.emulator.base_url();
    let (server, _process) = start(
        sources(&base, &other),
        behest_gateway::clock::Clock::system(),
    );
    scene.front.lead_to(server.address());
    let examined = scene.look().await;
    assert_eq!(
        examined.faults(),
        ["public-origin"],
        "{:#}",
        examined.report
    );
    let finding = examined.one("public-origin", "error");
    let fix = text(finding, "fix");
    assert!(
        fix.contains(&format!("GATEWAY_PUBLIC_ORIGIN={}", scene.front.origin())),
        "{fix}"
    );
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
