//! What requests cost, end to end: read from answers, charged to budgets, told in records and headers.

use std::collections::BTreeMap;
use std::time::Duration;

use behest_gateway::emulator::{Action, Emulator, EmulatorConfig, Fault, On};
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::support::caller::{Answer, Caller, Protocol, ask, chat, chat_of, get};
use crate::support::program::{Program, environment};
use crate::support::redis::Redis;
use crate::support::waiting::until;
use crate::support::{Stage, cookie};

const TOKENS_PER_DAY: &str = "GATEWAY_BUDGETS__DEFAULT__TOKENS_PER_DAY";
const USAGE_ME: (&str, &str) = ("GATEWAY_BUDGETS__USAGE_ME", "true");

async fn asked(stage: &Stage, user: &str, stream: bool) -> Answer {
    let address = stage.server.address();
    let request = chat(address, &cookie(user, "\"free\""), stream);
    ask(address, Protocol::Http1, request).await
}

/// What `user` is told of the one limit that there is.
async fn own_usage(address: std::net::SocketAddr, user: &str) -> Value {
    let request = get(address, "/v1/usage/me", &cookie(user, "\"free\""));
    let answer = ask(address, Protocol::Http1, request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()["limits"][0].clone()
}

fn records(path: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn every_answer_is_recorded_with_what_it_says_that_it_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    let file = ("GATEWAY_USAGE__FILE__PATH", path.to_str().unwrap());
    let ask_upstream = ("GATEWAY_METERING__ASK_UPSTREAM", "true");
    let stage = Stage::with(&[file, ("GATEWAY_USAGE__USERS", "plain"), ask_upstream]).await;
    let whole = asked(&stage, "ada", false).await.json();
    let streamed = asked(&stage, "ada", true).await;
    let text = streamed.text();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(
        !text.contains("\"choices\":[]"),
        "the extra event stays here: {text}"
    );
    until("both are recorded", async || records(&path).len() == 2).await;
    for record in records(&path) {
        assert_eq!(record["usage"], "known", "{record}");
        assert_eq!(record["user"], "ada");
        assert_eq!(record["tier"], "free");
        assert_eq!(record["outcome"], "ok");
        assert_eq!(record["tokens"]["total"], whole["usage"]["total_tokens"]);
        assert_eq!(record["tokens"]["prompt"], whole["usage"]["prompt_tokens"]);
    }
    let known = r#"behest_gateway_metered_total{usage="known"}"#;
    assert!((stage.metric(known) - 2.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_record_is_of_the_session_that_behest_is_told() {
    for source in ["claim", "minted"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usage.jsonl");
        let file = ("GATEWAY_USAGE__FILE__PATH", path.to_str().unwrap());
        let stage = Stage::with(&[file, ("GATEWAY_SESSION_ID__SOURCE", source)]).await;
        asked(&stage, "ada", false).await;
        until("it is recorded", async || records(&path).len() == 1).await;
        let told = stage.emulator.log().read(|seen| {
            let chat = seen.to_path("/v1/chat/completions").next().unwrap();
            chat.header("x-session-id").unwrap().to_owned()
        });
        assert_eq!(records(&path)[0]["session_id"], told, "{source}");
    }
}

#[tokio::test]
async fn a_stream_that_does_not_say_is_unknown_and_one_that_is_left_is_partial() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    let file = ("GATEWAY_USAGE__FILE__PATH", path.to_str().unwrap());
    let stage = Stage::paced(
        Duration::from_millis(20),
        &[file, USAGE_ME, (TOKENS_PER_DAY, "100000")],
    )
    .await;
    asked(&stage, "ada", true).await;
    let address = stage.server.address();
    let mut caller = Caller::connect(address, Protocol::Http1).await;
    let request = chat(address, &cookie("bob", "\"free\""), true);
    let mut body = caller.send(request).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop((caller, body));
    until("both are recorded", async || records(&path).len() == 2).await;
    let told = records(&path);
    assert_eq!(told[0]["usage"], "unknown", "{told:?}");
    assert_eq!(told[1]["usage"], "partial", "{told:?}");
    assert!(
        told.iter().all(|record| record.get("tokens").is_none()),
        "nothing is invented"
    );
    for user in ["ada", "bob"] {
        let own = own_usage(address, user).await;
        assert!(
            own["used"].as_u64().unwrap() > 0,
            "{user} is charged all the same: {own}"
        );
        assert_eq!(own["reserved"], 0);
    }
}

#[tokio::test]
async fn a_request_that_does_not_go_up_is_recorded_and_uses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.jsonl");
    let stage = Stage::with(&[
        ("GATEWAY_USAGE__FILE__PATH", path.to_str().unwrap()),
        ("GATEWAY_USAGE__USERS", "plain"),
        ("GATEWAY_BUDGETS__DEFAULT__REQUESTS_PER_DAY", "1"),
        USAGE_ME,
    ])
    .await;
    let down = Action::Status {
        code: 503,
        headers: Vec::new(),
        body: String::new(),
    };
    stage.emulator.faults().push(Fault::forever(On::Mint, down));
    assert_ne!(asked(&stage, "ada", false).await.status, StatusCode::OK);
    let used = async || own_usage(stage.server.address(), "ada").await["used"].clone();
    assert_eq!(used().await, 0, "what was claimed for it is released");
    stage.emulator.reset();
    until("the mint is asked again", async || {
        asked(&stage, "ada", false).await.status == StatusCode::OK
    })
    .await;
    let refused = asked(&stage, "ada", false).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(used().await, 1);
    let last = || records(&path).pop().unwrap_or_default();
    until("all are recorded", async || {
        last()["outcome"] == "quota_exceeded"
    })
    .await;
    let mut told = records(&path);
    told.dedup_by_key(|record| record["outcome"].clone());
    let outcomes: Vec<_> = told.iter().map(|it| it["outcome"].clone()).collect();
    assert_eq!(outcomes, ["mint_unavailable", "ok", "quota_exceeded"]);
    assert_eq!(told[2]["status"], 402);
    assert_eq!(told[2]["user"], "ada");
    assert!(told[2].get("tokens").is_none(), "{told:?}");
    let unknown = r#"behest_gateway_metered_total{usage="unknown"}"#;
    assert!(
        stage.metric(unknown).abs() < f64::EPSILON,
        "only answers can be unknown"
    );
}

#[tokio::test]
async fn over_a_budget_is_402_and_says_which_and_until_when() {
    let stage = Stage::with(&[(TOKENS_PER_DAY, "1"), USAGE_ME]).await;
    assert_eq!(asked(&stage, "ada", false).await.status, StatusCode::OK);
    let refused = asked(&stage, "ada", false).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(refused.code(), Some("quota_exceeded"));
    assert_eq!(refused.headers["x-should-retry"], "false");
    let error = refused.json()["error"].clone();
    let details = &error["details"];
    assert_eq!(details["tier"], "default");
    assert_eq!(details["limit"], 1);
    assert!(details["usage"].as_u64().unwrap() > 1, "{error}");
    assert!(
        details["resets_at"]
            .as_str()
            .unwrap()
            .ends_with("00:00:00Z"),
        "{error}"
    );
    assert_eq!(
        asked(&stage, "bob", false).await.status,
        StatusCode::OK,
        "another's is another's"
    );
    let refusals = r#"behest_gateway_budget_refusals_total{limit="tokens_per_day",scope="user"}"#;
    assert!(
        (stage.metric(refusals) - 1.0).abs() < f64::EPSILON,
        "{}",
        stage.metrics()
    );
}

#[tokio::test]
async fn over_a_rate_is_429_in_the_words_of_openais_sdks() {
    let rate = ("GATEWAY_BUDGETS__DEFAULT__REQUESTS_PER_MINUTE", "2");
    let stage = Stage::with(&[rate]).await;
    let first = asked(&stage, "ada", false).await;
    assert_eq!(first.headers["x-ratelimit-limit-requests"], "2");
    assert_eq!(first.headers["x-ratelimit-remaining-requests"], "1");
    asked(&stage, "ada", false).await;
    let refused = asked(&stage, "ada", false).await;
    // The minute may have turned between two of them; then the third is the new one's first.
    if refused.status == StatusCode::OK {
        asked(&stage, "ada", false).await;
    }
    let refused = asked(&stage, "ada", false).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.code(), Some("rate_limited"));
    assert_eq!(refused.headers["x-ratelimit-remaining-requests"], "0");
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let address = stage.server.address();
    let models = get(address, "/v1/models", &cookie("ada", "\"free\""));
    let models = ask(address, Protocol::Http1, models).await;
    assert_eq!(
        models.status,
        StatusCode::OK,
        "what uses no tokens is not counted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_users_requests_side_by_side_overspend_by_one_estimate_at_most() {
    let stage = Stage::with(&[(TOKENS_PER_DAY, "1000"), USAGE_ME]).await;
    let address = stage.server.address();
    // 400 tokens and a few of the prompt are reserved for each: two fit below 1000, a third begins
    // below it, and the fourth does not.
    let body = json!({
        "model": "emulator", "stream": true, "max_tokens": 400,
        "messages": [{ "role": "user", "content": "hello" }],
    });
    let all = (0..24).map(|_| {
        let request = chat_of(address, &cookie("ada", "\"free\""), &body);
        tokio::spawn(async move {
            let mut caller = Caller::connect(address, Protocol::Http1).await;
            let response = caller.send(request).await.unwrap();
            let status = response.status();
            // Held open until all have been asked.
            (status, caller, response)
        })
    });
    let mut open = Vec::new();
    for task in all.collect::<Vec<_>>() {
        open.push(task.await.unwrap());
    }
    let admitted = open
        .iter()
        .filter(|(status, ..)| *status == StatusCode::OK)
        .count();
    let refused = open
        .iter()
        .filter(|(status, ..)| *status == StatusCode::PAYMENT_REQUIRED);
    assert_eq!(refused.count(), 24 - admitted);
    // The first may already have ended, with a few tokens, when the last is asked.
    assert!((3..24).contains(&admitted), "{admitted}");
}

#[tokio::test]
async fn whatever_a_request_asks_for_its_reservation_is_gone_when_it_ends() {
    let stage = Stage::with(&[
        (TOKENS_PER_DAY, "100000"),
        ("GATEWAY_BUDGETS__DEFAULT__USD_PER_DAY", "5"),
        USAGE_ME,
    ])
    .await;
    let address = stage.server.address();
    for (number, odd) in [
        json!({ "max_tokens": u64::MAX, "n": u64::MAX }),
        json!({ "max_tokens": -1, "n": 0 }),
        json!({ "max_tokens": "9", "n": 1.5, "stream_options": 7 }),
    ]
    .into_iter()
    .enumerate()
    {
        let user = format!("odd-{number}");
        let mut body =
            json!({ "model": "gpt-5", "messages": [{ "role": "user", "content": "hello" }] });
        body.as_object_mut()
            .unwrap()
            .extend(odd.as_object().unwrap().clone());
        let request = chat_of(address, &cookie(&user, "\"free\""), &body);
        ask(address, Protocol::Http1, request).await;
        let own = own_usage(address, &user).await;
        assert_eq!(own["reserved"], 0, "{own}");
        assert!(own["used"].as_u64().unwrap() < 1000, "{own}");
    }
}

#[tokio::test]
async fn a_running_stream_is_cut_at_the_limit_where_that_is_wanted() {
    let long = vec!["word"; 300].join(" ");
    let body = json!({
        "model": "emulator", "stream": true, "max_tokens": 10_000,
        "messages": [{ "role": "user", "content": long }],
    });
    for (on_exhausted, is_cut) in [("cut", true), ("finish", false)] {
        let stage = Stage::with(&[
            ("GATEWAY_BUDGETS__ON_EXHAUSTED", on_exhausted),
            (TOKENS_PER_DAY, "420"),
        ])
        .await;
        let address = stage.server.address();
        let mut caller = Caller::connect(address, Protocol::Http1).await;
        let request = chat_of(address, &cookie("ada", "\"free\""), &body);
        let mut answer = caller.send(request).await.unwrap().into_body();
        let mut text = String::new();
        let mut broke = false;
        while let Some(frame) = answer.frame().await {
            match frame {
                Ok(frame) => text += std::str::from_utf8(&frame.into_data().unwrap()).unwrap(),
                Err(_) => broke = true,
            }
        }
        assert_eq!(broke, is_cut, "{text}");
        assert_eq!(text.contains("quota_exceeded"), is_cut, "{text}");
        assert_eq!(text.contains("[DONE]"), !is_cut);
    }
}

#[tokio::test]
async fn what_was_seen_whole_is_counted_after_sigkill() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let env = environment(
        &emulator.base_url(),
        &[
            ("GATEWAY_STORE__PATH", folder.path().to_str().unwrap()),
            (TOKENS_PER_DAY, "100000"),
            USAGE_ME,
        ],
    );
    let mut used = 0;
    for _ in 0..3 {
        let program = Program::serve(&env).await;
        let before = own_usage(program.address, "ada").await;
        assert_eq!(before["used"].as_u64().unwrap(), used);
        let request = chat(program.address, &cookie("ada", "\"free\""), false);
        let answer = ask(program.address, Protocol::Http1, request).await;
        used += answer.json()["usage"]["total_tokens"].as_u64().unwrap();
        program.signal("KILL");
    }
    assert!(used > 0);
}

#[tokio::test]
async fn two_gateways_do_not_count_in_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let env = |more: &[(&str, &str)]| -> BTreeMap<String, String> {
        let path = ("GATEWAY_STORE__PATH", folder.path().to_str().unwrap());
        environment("https://acme.behest.app", &[&[path], more].concat())
    };
    let (records, spool) = (
        folder.path().join("usage.jsonl"),
        folder.path().join("spool"),
    );
    let all = env(&[
        ("GATEWAY_USAGE__FILE__PATH", records.to_str().unwrap()),
        ("GATEWAY_USAGE__WEBHOOK__URL", "http://127.0.0.1:9/usage"),
        (
            "GATEWAY_USAGE__WEBHOOK__SPOOL_PATH",
            spool.to_str().unwrap(),
        ),
    ]);
    let _first = Program::serve(&all).await;
    let check = crate::support::program::run(&["check"], &all, "");
    assert_eq!(check.code, Some(0), "one may look beside it: {check:?}");
    let second = crate::support::program::run(&["serve"], &env(&[]), "");
    assert_eq!(second.code, Some(2), "{second:?}");
    assert!(second.err.contains("another gateway uses"), "{second:?}");
}

const OPERATOR: &str = "operator-5c81f0d2a96be374";

/// A call of the admin listener with the operators' token.
async fn operate(admin: std::net::SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", admin.to_string())
        .header("authorization", format!("Bearer {OPERATOR}"))
        .header("content-type", "application/json")
        .body(http_body_util::Full::new(body.to_owned().into()))
        .unwrap();
    ask(admin, Protocol::Http1, request).await
}

#[tokio::test]
async fn an_operator_sees_what_was_used_and_how_budgets_stand() {
    let stage = Stage::with(&[
        (TOKENS_PER_DAY, "1"),
        ("GATEWAY_ADMIN_TOKEN", OPERATOR),
        ("GATEWAY_USAGE__USERS", "plain"),
    ])
    .await;
    let total = asked(&stage, "ada", false).await.json()["usage"]["total_tokens"].clone();
    asked(&stage, "ada", false).await;
    let admin = stage.server.admin_address();
    let report = operate(admin, "GET", "/usage?by=user", "").await.json();
    assert_eq!(report["rows"][0]["name"], "ada", "{report}");
    assert_eq!(report["totals"]["total_tokens"], total, "{report}");
    assert_eq!(report["totals"]["requests"], 2, "{report}");
    assert_eq!(report["totals"]["refused"], 1, "{report}");
    let live = operate(admin, "GET", "/usage/live", "").await.json();
    assert_eq!(live["budgets"][0]["account"], "ada", "{live}");
    assert_eq!(live["refusals"][0]["code"], "quota_exceeded", "{live}");
    assert_eq!(live["store"]["kind"], "embedded", "{live}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_on_one_replica_is_in_force_on_the_others() {
    let redis = Redis::start();
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let url = redis.url();
    let env = environment(
        &emulator.base_url(),
        &[
            ("GATEWAY_STORE__KIND", "redis"),
            ("GATEWAY_STORE__URL", url.as_str()),
            ("GATEWAY_ADMIN_TOKEN", OPERATOR),
        ],
    );
    let (one, other) = (Program::serve(&env).await, Program::serve(&env).await);
    let status = async |program: &Program| {
        let request = get(program.address, "/v1/models", &cookie("ada", "\"free\""));
        ask(program.address, Protocol::Http1, request).await.status
    };
    assert_eq!(status(&other).await, StatusCode::OK);
    let revoked = operate(one.admin, "POST", "/revocations", r#"{"user_id":"ada"}"#).await;
    assert_eq!(revoked.status, StatusCode::CREATED, "{}", revoked.text());
    until("the other has heard of it", async || {
        status(&other).await == StatusCode::UNAUTHORIZED
    })
    .await;
    let late = Program::serve(&env).await;
    until("one that starts later too", async || {
        status(&late).await == StatusCode::UNAUTHORIZED
    })
    .await;
    let id = revoked.json()["id"].as_str().unwrap().to_owned();
    operate(other.admin, "DELETE", &format!("/revocations/{id}"), "").await;
    until("lifting is told like revoking", async || {
        status(&one).await == StatusCode::OK
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_count_together_and_refuse_where_they_cannot() {
    let mut redis = Redis::start();
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let url = redis.url();
    let more = [
        ("GATEWAY_STORE__KIND", "redis"),
        ("GATEWAY_STORE__URL", url.as_str()),
        ("GATEWAY_STORE__FAIL_BUDGETS", "closed"),
        (TOKENS_PER_DAY, "100000"),
        USAGE_ME,
    ];
    let env = environment(&emulator.base_url(), &more);
    let (one, other) = (Program::serve(&env).await, Program::serve(&env).await);
    let up = async |program: &Program| program.metric("behest_gateway_store_up").await > 0.5;
    until("both have the store", async || {
        up(&one).await && up(&other).await
    })
    .await;
    let request = chat(one.address, &cookie("ada", "\"free\""), false);
    let answer = ask(one.address, Protocol::Http1, request).await;
    let total = answer.json()["usage"]["total_tokens"].clone();
    until("the other knows", async || {
        own_usage(other.address, "ada").await["used"] == total
    })
    .await;
    redis.kill();
    let request = || chat(one.address, &cookie("ada", "\"free\""), false);
    until("it is refused", async || {
        let answer = ask(one.address, Protocol::Http1, request()).await;
        answer.code() == Some("store_unavailable")
    })
    .await;
    redis.again();
    until("it is served again, without a restart", async || {
        ask(one.address, Protocol::Http1, request()).await.status == StatusCode::OK
    })
    .await;
}
