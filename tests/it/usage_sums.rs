//! What the operators' page adds up, over restarts, crashes and replicas: real programs, a real Redis.

use std::collections::BTreeMap;
use std::path::Path;

use behest_gateway::emulator::{Emulator, EmulatorConfig};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::support::caller::{Protocol, ask, chat};
use crate::support::cookie;
use crate::support::program::{Program, environment};
use crate::support::redis::Redis;
use crate::support::waiting::until;

const TOKEN: &str = "an-operators-token-0123456789-0123456789";

/// What every gateway here has.
const SHOWN: [(&str, &str); 2] = [
    ("GATEWAY_ADMIN_TOKEN", TOKEN),
    ("GATEWAY_USAGE__USERS", "plain"),
];

/// A request of `user` that uses tokens.
async fn spend(program: &Program, user: &str) {
    let request = chat(program.address, &cookie(user, "\"free\""), false);
    let answer = ask(program.address, Protocol::Http1, request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

async fn usage(program: &Program, query: &str) -> Value {
    let request = Request::get(format!("/usage?{query}"))
        .header("host", program.admin.to_string())
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(Full::default())
        .unwrap();
    let answer = ask(program.admin, Protocol::Http1, request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

/// Whose they are, and how many requests there were.
async fn seen(program: &Program) -> (String, u64) {
    let report = usage(program, "").await;
    let scope = report["scope"].as_str().unwrap().to_owned();
    (scope, report["totals"]["requests"].as_u64().unwrap())
}

/// Requests by user.
async fn users(program: &Program) -> BTreeMap<String, u64> {
    let report = usage(program, "by=user").await;
    let rows = report["rows"].as_array().unwrap().iter();
    let row = |row: &Value| {
        let name = row["name"].as_str().unwrap().to_owned();
        (name, row["requests"].as_u64().unwrap())
    };
    rows.map(row).collect()
}

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    let pair = |(name, count): &(&str, u64)| ((*name).to_owned(), *count);
    pairs.iter().map(pair).collect()
}

fn kept(emulator: &Emulator, folder: &Path) -> BTreeMap<String, String> {
    let path = ("GATEWAY_STORE__PATH", folder.to_str().unwrap());
    environment(&emulator.base_url(), &[&SHOWN[..], &[path]].concat())
}

async fn ended(mut program: Program) {
    program.signal("TERM");
    assert_eq!(program.exit_code().await, Some(0), "{}", program.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_outlive_a_restart_and_a_kill() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let env = kept(&emulator, folder.path());
    let first = Program::serve(&env).await;
    spend(&first, "ada").await;
    spend(&first, "bob").await;
    let before = usage(&first, "").await;
    assert_eq!(before["totals"]["requests"], 2);
    // At once: what the last moments added is written when it ends.
    ended(first).await;
    let mut second = Program::serve(&env).await;
    assert_eq!(usage(&second, "").await["totals"], before["totals"]);
    assert_eq!(users(&second).await, counts(&[("ada", 1), ("bob", 1)]));
    spend(&second, "eve").await;
    let file = folder.path().join("usage.sums");
    until("it is written", async || {
        std::fs::read_to_string(&file).unwrap().contains("eve")
    })
    .await;
    second.signal("KILL");
    assert_eq!(second.exit_code().await, None);
    let third = Program::serve(&env).await;
    assert_eq!(
        users(&third).await,
        counts(&[("ada", 1), ("bob", 1), ("eve", 1)])
    );
    assert_eq!(seen(&third).await, ("this replica".to_owned(), 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strange_file_is_set_aside_and_the_gateway_serves() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usage.sums");
    std::fs::write(&file, "behest-gateway usage 99\nof another time\n").unwrap();
    let env = kept(&emulator, folder.path());
    let program = Program::serve(&env).await;
    assert!(
        program
            .text()
            .contains("another version of the gateway wrote it"),
        "{}",
        program.text()
    );
    let aside = folder.path().join("usage.sums.set-aside");
    let kept = std::fs::read_to_string(aside).unwrap();
    assert!(kept.ends_with("of another time\n"));
    spend(&program, "ada").await;
    ended(program).await;
    let again = Program::serve(&env).await;
    assert_eq!(users(&again).await, counts(&[("ada", 1)]));
    assert!(!again.text().contains("set aside"), "{}", again.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_show_the_same_sums_and_none_is_lost_while_the_store_is_away() {
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let url = redis.url();
    let store = [
        ("GATEWAY_STORE__KIND", "redis"),
        ("GATEWAY_STORE__URL", url.as_str()),
        // This machine may be busy.
        ("GATEWAY_STORE__TIMEOUT", "2s"),
    ];
    let env = environment(&emulator.base_url(), &[&SHOWN[..], &store].concat());
    let (one, other) = (Program::serve(&env).await, Program::serve(&env).await);
    let both_show = async |count: u64| {
        let all = ("all replicas".to_owned(), count);
        seen(&one).await == all && seen(&other).await == all
    };
    until("both have the store", async || both_show(0).await).await;
    spend(&one, "ada").await;
    spend(&one, "bob").await;
    spend(&other, "ada").await;
    until("both show all", async || both_show(3).await).await;
    let all = counts(&[("ada", 2), ("bob", 1)]);
    assert_eq!(users(&one).await, all);
    assert_eq!(users(&other).await, all);
    assert_eq!(usage(&one, "by=hour,tier").await["totals"]["requests"], 3);

    redis.kill();
    let own = |count: u64| ("this replica".to_owned(), count);
    until("each shows its own", async || {
        seen(&one).await == own(2) && seen(&other).await == own(1)
    })
    .await;
    spend(&one, "ada").await;
    spend(&other, "eve").await;
    spend(&other, "eve").await;
    redis.again();
    until("what was used meanwhile is told", async || {
        both_show(6).await
    })
    .await;
    let all = counts(&[("ada", 3), ("bob", 1), ("eve", 2)]);
    assert_eq!(users(&one).await, all);

    // A restart has nothing of its own, and all of it.
    ended(other).await;
    let late = Program::serve(&env).await;
    until("one that starts later shows all", async || {
        seen(&late).await == ("all replicas".to_owned(), 6)
    })
    .await;
    spend(&late, "ada").await;
    // What it counted in its last moment, too.
    ended(late).await;
    until("nothing is lost by a restart", async || {
        seen(&one).await == ("all replicas".to_owned(), 7)
    })
    .await;
    assert_eq!(
        users(&one).await,
        counts(&[("ada", 4), ("bob", 1), ("eve", 2)])
    );
}
