//! `behest-gateway health`: what an image's health check runs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};

use behest_gateway::clock::Clock;
use behest_gateway::server::Server;

use crate::support::program::{Outcome, run};
use crate::support::{sources, start};

/// A gateway alone; nothing is at Behest's address.
fn gateway(env: &[(&str, &str)]) -> Server {
    start(sources("http://127.0.0.1:9", env), Clock::system()).0
}

/// Asks with no more in the environment than `env`.
fn ask(arguments: &[&str], env: &[(&str, &str)]) -> Outcome {
    let env: BTreeMap<_, _> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    run(&[&["health"], arguments].concat(), &env, "")
}

fn ask_at(address: &str) -> Outcome {
    ask(&[], &[("GATEWAY_ADMIN_LISTEN", address)])
}

#[track_caller]
fn assert_healthy(outcome: &Outcome) {
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!((&*outcome.out, &*outcome.err), ("", ""));
}

/// Exit code 1, and one line with these words.
#[track_caller]
fn assert_unhealthy(outcome: &Outcome, words: &[&str]) {
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(outcome.out, "");
    assert_eq!(outcome.err.lines().count(), 1, "{}", outcome.err);
    for word in words {
        assert!(outcome.err.contains(word), "{word}: {}", outcome.err);
    }
}

#[test]
fn a_gateway_that_is_ready_is_healthy_wherever_its_address_stands() {
    let server = gateway(&[]);
    let address = server.admin_address().to_string();
    assert_healthy(&ask_at(&address));
    assert_healthy(&ask(&["--admin-listen", &address], &[]));
    assert_healthy(&ask(
        &["--admin-listen", &address],
        &[("GATEWAY_ADMIN_LISTEN", "127.0.0.1:9")],
    ));
    let setting = format!("admin.listen={address}");
    assert_healthy(&ask(&["--set", &setting], &[]));
}

#[test]
fn an_unspecified_address_is_asked_on_loopback() {
    let server = gateway(&[("GATEWAY_ADMIN_LISTEN", "0.0.0.0:0")]);
    let port = server.admin_address().port();
    assert_healthy(&ask_at(&format!("0.0.0.0:{port}")));
    // Nothing is at [::1] there.
    assert_healthy(&ask_at(&format!("[::]:{port}")));
}

#[test]
fn nothing_else_of_the_configuration_matters() {
    let server = gateway(&[]);
    let address = server.admin_address();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    let named = path.to_str().unwrap();
    for rest in [
        "[server]\nlisten = 5\nunknown = true\n",
        "[mint]\nkey = { file = \"/nowhere/at/all\" }\n",
        "[session]\nsecrets = [ oops\n",
        "= = =\n[[\n",
        "[admin]\ntoken = { env = \"NOWHERE\" }\n",
    ] {
        let text = format!("[admin]\nlisten = \"{address}\"\n{rest}");
        std::fs::write(&path, text).unwrap();
        assert_healthy(&ask(&["--config", named], &[]));
        assert_healthy(&ask(&[], &[("GATEWAY_CONFIG", named)]));
    }
    std::fs::write(&path, [0xff, 0xfe, 0]).unwrap();
    let address = address.to_string();
    for file in [named, "/nowhere/at/all", ""] {
        let env = [
            ("GATEWAY_CONFIG", file),
            ("GATEWAY_ADMIN_LISTEN", &address),
            ("BEHEST_KEY", "behest_sk_"),
            ("BEHEST_KEY_FILE", "/nowhere/at/all"),
            ("GATEWAY_WORKERS", "none"),
        ];
        assert_healthy(&ask(&[], &env));
    }
}

#[test]
fn where_nobody_answers_the_line_says_what_to_change() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let free = free.unwrap().to_string();
    let outcome = ask_at(&free);
    assert_unhealthy(&outcome, &[&free, "refused", "GATEWAY_ADMIN_LISTEN"]);
    let words = ["GATEWAY_ADMIN_LISTEN", "port"];
    assert_unhealthy(&ask_at("127.0.0.1:0"), &words);
    assert_unhealthy(&ask_at("localhost"), &words[..1]);
}

#[test]
fn who_accepts_and_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_unhealthy(&ask_at(&address), &[&address, "GATEWAY_ADMIN_LISTEN"]);
}

#[test]
fn another_server_is_no_gateway() {
    for answer in [
        "HTTP/1.1 404 Not Found\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "x",
        "",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let _ = std::io::Read::read(&mut socket, &mut head).unwrap();
            socket.write_all(answer.as_bytes()).unwrap();
        });
        let outcome = ask_at(&address.to_string());
        answering.join().unwrap();
        assert_unhealthy(&outcome, &["not as a gateway's", "GATEWAY_ADMIN_LISTEN"]);
    }
}

#[test]
fn a_gateway_that_drains_is_not_ready() {
    let server = gateway(&[("GATEWAY_SERVER__DRAIN_DELAY", "3s")]);
    let address = server.admin_address().to_string();
    assert_healthy(&ask_at(&address));
    server.drain();
    assert_unhealthy(&ask_at(&address), &["shutting down"]);
    server.join();
}
