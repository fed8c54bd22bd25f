//! Confidentiality, proven: marked secrets are driven through every success and every failure, and
//! every byte that a client receives, every log line and the metrics page are searched for them.
//!
//! The real program runs with `RUST_LOG=trace`: what a library would tell of a request is searched
//! as well. Each code word of [`Code`] must have been provoked, so a new one needs a case here.

mod behind;
mod drive;
mod failures;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use behest_gateway::error::Code;
use tokio::net::TcpListener;

use crate::support::caller::{Protocol, get};
use crate::support::marks::Marks;
use crate::support::program::{Program, environment, run};
use drive::{Drive, KeyKind, Secrets};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_leaves_a_gateway_with_an_api_key() {
    // No store is across a network here: `tests/it/budgets` provokes it.
    everything(KeyKind::Api, "json", &[Code::StoreUnavailable]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_leaves_a_gateway_with_a_private_key() {
    let never_asked = [
        Code::MintRefused,
        Code::MintUnavailable,
        Code::MintTimeout,
        Code::Overloaded,
        Code::StoreUnavailable,
    ];
    everything(KeyKind::Private, "text", &never_asked).await;
}

/// Every case on both protocols, a reload that holds and one that does not, and the end.
async fn everything(key: KeyKind, log_format: &str, impossible: &[Code]) {
    let mut drive = Drive::start(key, log_format).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        drive.protocol = protocol;
        failures::all(&mut drive).await;
    }
    drive.reload().await;
    drive.end().await;
    let provoked: BTreeSet<String> = drive
        .program
        .accesses()
        .iter()
        .map(|line| line["code"].as_str().unwrap().to_owned())
        .collect();
    for code in Code::ALL {
        let expected = !impossible.contains(code);
        let label = code.label();
        assert_eq!(
            provoked.contains(label),
            expected,
            "{label} of {provoked:?}"
        );
    }
    drive.search();
}

#[tokio::test]
async fn no_proxy_password_comes_out() {
    let password = "mark-proxy-0b7d2c94e6f1a835";
    let mut marks = Marks::default();
    marks.add("the proxy's password", password);
    marks.add(
        "its header",
        BASE64_STANDARD.encode(format!("scott:{password}")),
    );
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://scott:{password}@{}", refusing.local_addr().unwrap());
    tokio::spawn(async move {
        // Closes each connection unheard.
        while refusing.accept().await.is_ok() {}
    });
    let env = environment(
        "https://acme.behest.app",
        &[("HTTPS_PROXY", &proxy), ("RUST_LOG", "trace")],
    );
    let checked = run(&["check"], &env, "");
    assert_eq!(checked.code, Some(0), "{checked:?}");
    marks.assert_absent("check", format!("{checked:?}"));
    let program = Program::serve(&env).await;
    let cookie = crate::support::cookie("ada", "1");
    let request = get(program.address, "/v1/models", &cookie);
    let answer = crate::support::caller::ask(program.address, Protocol::Http1, request).await;
    assert_eq!(answer.code(), Some("mint_unavailable"));
    marks.assert_absent("an answer", format!("{answer:?}"));
    marks.assert_absent("the log", program.text());
    for wrong in ["socks5://scott:", "scott:", "http://scott: "] {
        let wrong = format!("{wrong}{password}@proxy");
        let env = environment("https://acme.behest.app", &[("HTTPS_PROXY", &wrong)]);
        let checked = run(&["check"], &env, "");
        marks.assert_absent("check", format!("{}{}", checked.out, checked.err));
    }
}

/// A secret wherever an operator may put it by mistake.
#[test]
fn no_mistake_in_the_configuration_shows_a_secret() {
    let secrets = Secrets::new(KeyKind::Api);
    let marks = secrets.marks();
    let folder = tempfile::tempdir().unwrap();
    for (arguments, env) in mistakes(&secrets, folder.path()) {
        for command in ["check", "serve", "inspect"] {
            let mut all = vec![command];
            all.extend(arguments.iter().map(String::as_str));
            let outcome = run(&all, &env, "");
            if command == "serve" {
                assert_eq!(outcome.code, Some(2), "{arguments:?} {outcome:?}");
            }
            marks.assert_absent("a refusal", format!("{}{}", outcome.out, outcome.err));
        }
    }
}

/// Arguments and environments with a secret where none belongs.
fn mistakes(secrets: &Secrets, folder: &Path) -> Vec<(Vec<String>, BTreeMap<String, String>)> {
    let Secrets { key, auth, .. } = secrets;
    let file = folder.join("gateway.toml");
    std::fs::write(&file, format!("[mint]\nkey = \"{key}\"\n")).unwrap();
    let in_environment = [
        ("BEHEST_KEY", format!("x{key}")),
        ("BEHEST_BASE_URL", key.clone()),
        ("GATEWAY_LISTEN", key.clone()),
        ("RUST_LOG", format!("[{{f=({key}}}]=info")),
        ("GATEWAY_CONFIG", file.to_str().unwrap().to_owned()),
    ];
    let base_url = "https://acme.behest.app";
    let in_environment = in_environment
        .map(|(name, value)| (Vec::new(), environment(base_url, &[(name, value.as_str())])));
    let set = |pair: String| vec!["--set".to_owned(), pair];
    let in_arguments = [
        set(format!("mint.key={key}")),
        set(format!("mint.pem={auth}")),
        set(format!("session.secrets={auth}")),
        set(key.clone()),
        set(auth.clone()),
        set(format!("{key}=1")),
        set(format!("server.workers={key}")),
        vec!["--listen".to_owned(), key.clone()],
        vec!["--config".to_owned(), key.clone()],
        vec![format!("--key={key}")],
        vec![key.clone()],
    ];
    let in_arguments = in_arguments.map(|arguments| (arguments, environment(base_url, &[])));
    in_environment.into_iter().chain(in_arguments).collect()
}

#[test]
fn inspect_shows_whose_session_it_is_and_neither_the_cookie_nor_the_secret() {
    let secrets = Secrets::new(KeyKind::Api);
    let mut marks = secrets.marks();
    let cookie = secrets.cookie("ada-1", "1");
    marks.add_cookie(&cookie);
    let env = BTreeMap::from([("AUTH_SECRET".to_owned(), secrets.auth.clone())]);
    for text in [
        cookie.clone(),
        cookie.replace("..", ".x."),
        cookie.split_at(200).0.to_owned(),
    ] {
        let outcome = run(&["inspect"], &env, &text);
        marks.assert_absent("inspect", format!("{}{}", outcome.out, outcome.err));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_program_leaves_no_core_dump() {
    use std::os::unix::fs::MetadataExt as _;
    let program = Program::serve(&environment("https://acme.behest.app", &[])).await;
    let limits = program.proc("limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{limits}");
    // What others of the same user may not read is root's.
    let environ = std::fs::metadata(program.proc_path("environ")).unwrap();
    assert_eq!(environ.uid(), 0);
}
