//! Sessions that only the app knows: it is asked, once for many, and its troubles are nobody's
//! sign-out.

use std::time::Duration;

use behest_gateway::clock::Clock;
use behest_gateway::emulator::{Emulator, EmulatorConfig};
use http::HeaderValue;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::app::{App, Reply, answer, json, line};
use crate::support::caller::{Answer, Caller, Protocol, ask, get, whole};
use crate::support::waiting::{after, is_past, until};
use crate::support::{Stage, sources};

/// A gateway whose one provider asks `app`; `more` are further lines of the provider.
async fn stage(app: &App, more: &str, env: &[(&str, &str)]) -> Stage {
    let text = format!(
        "[[session.providers]]\nkind = \"lookup\"\ncookie_names = [\"sid\"]\n\
         url = \"http://{}/me?fields=all\"\n{more}",
        app.address
    );
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let mut sources = sources(&emulator.base_url(), env);
    sources.env.remove("AUTH_SECRET");
    sources.file = Some(file.path().to_owned());
    Stage::of(emulator, sources, Clock::system())
}

/// An app whose users are called as their cookies are.
fn by_cookie(head: &str) -> Reply {
    let user = line(head, "cookie").unwrap().replace("sid=", "");
    json(&format!(r#"{{"user":{{"id":"{user}","tier":"pro"}}}}"#))
}

async fn visit(stage: &Stage, cookie: &str) -> Answer {
    let request = get(stage.server.address(), "/v1/models", cookie);
    ask(stage.server.address(), Protocol::Http1, request).await
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(answer.code(), Some(code));
    assert!(!answer.headers.contains_key("set-cookie"));
    assert!(!answer.headers.contains_key("location"));
}

/// The user whose token went up with the last request.
fn user(stage: &Stage) -> String {
    stage.emulator.log().read(|seen| {
        let last = seen.to_path("/v1/models").last().unwrap();
        last.user().unwrap().to_owned()
    })
}

#[tokio::test]
async fn the_app_says_whose_session_it_is_and_gets_nothing_but_the_cookie() {
    let app = App::start(|head| {
        let Reply::Text(text) = by_cookie(head) else {
            unreachable!()
        };
        Reply::Text(text.replacen("\r\n", "\r\nset-cookie: sid=rolled; Path=/\r\n", 1))
    })
    .await;
    let stage = stage(&app, "", &[]).await;
    let address = stage.server.address();
    let mut request = get(
        address,
        "/v1/models",
        "theme=dark; sid=ada; other=secret; sid=eve",
    );
    for (name, value) in [
        ("authorization", "Bearer sk-page"),
        ("accept-language", "de"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "mine"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ] {
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    let seen = ask(address, Protocol::Http1, request).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    assert!(!seen.headers.contains_key("set-cookie"));
    assert_eq!(user(&stage), "ada");
    let heads = app.heads();
    let mut lines: Vec<_> = heads[0].trim_end().split("\r\n").collect();
    lines.sort_unstable();
    let agent = format!("user-agent: behest-gateway/{}", env!("CARGO_PKG_VERSION"));
    let (host, front) = (
        format!("host: {}", app.address),
        format!("x-forwarded-host: {address}"),
    );
    let expected = [
        "GET /me?fields=all HTTP/1.1",
        "accept: application/json",
        "cookie: sid=ada",
        &host,
        &agent,
        &front,
        "x-forwarded-proto: http",
    ];
    assert_eq!(lines, expected);
    assert_eq!(heads.len(), 1);
}

#[tokio::test]
async fn the_app_hears_how_the_browser_reaches_it() {
    let app = App::start(by_cookie).await;
    let forwarded = async |env: &[(&str, &str)]| {
        let stage = stage(&app, "", env).await;
        let mut request = get(stage.server.address(), "/v1/models", "sid=ada");
        let headers = request.headers_mut();
        headers.insert("x-forwarded-host", HeaderValue::from_static("app.example"));
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        let answer = ask(stage.server.address(), Protocol::Http2, request).await;
        assert_eq!(answer.status, 200);
        let head = app.heads().pop().unwrap();
        let part = |name| line(&head, name).unwrap().to_owned();
        let own = stage.server.address().to_string();
        let host = part("x-forwarded-host").replace(&own, "own");
        format!("{}://{host}", part("x-forwarded-proto"))
    };
    assert_eq!(forwarded(&[]).await, "http://own");
    let public = ("GATEWAY_PUBLIC_ORIGIN", "https://public.example");
    assert_eq!(forwarded(&[public]).await, "https://public.example");
    let trusted = ("GATEWAY_SERVER__TRUSTED_PROXIES", "127.0.0.1");
    assert_eq!(forwarded(&[trusted]).await, "https://app.example");
    let both = [public, trusted];
    assert_eq!(forwarded(&both).await, "https://public.example");
}

#[tokio::test]
async fn chunks_go_to_the_app_as_they_came() {
    let app = App::start(|_| json(r#"{"user":{"id":"ada"}}"#)).await;
    let stage = stage(&app, "", &[]).await;
    let answer = visit(&stage, "sid.1=b%3D; a=b; sid.0=\"a\"; sidx=1").await;
    assert_eq!(answer.status, 200);
    let head = app.heads().pop().unwrap();
    assert_eq!(line(&head, "cookie"), Some("sid.1=b%3D; sid.0=\"a\""));
}

#[tokio::test]
async fn answers_are_kept_by_cookie_and_users_are_never_mixed() {
    let app = App::start(by_cookie).await;
    let stage = stage(&app, "cache = \"5m\"\n", &[]).await;
    for _ in 0..3 {
        for name in ["ada", "grace", "alan"] {
            assert_eq!(visit(&stage, &format!("sid={name}")).await.status, 200);
            assert_eq!(user(&stage), name);
        }
    }
    assert_eq!(app.heads().len(), 3);
    let hits = "behest_gateway_session_lookup_cache_total{outcome=\"hit\",provider=\"lookup\"}";
    assert_eq!(stage.metric(hits), 6.0);
    let known = "behest_gateway_session_lookups_total{outcome=\"known\",provider=\"lookup\"}";
    assert_eq!(stage.metric(known), 3.0);
}

#[tokio::test]
async fn without_a_cache_every_request_asks() {
    let app = App::start(by_cookie).await;
    let stage = stage(&app, "cache = \"0s\"\n", &[]).await;
    for _ in 0..3 {
        assert_eq!(visit(&stage, "sid=ada").await.status, 200);
    }
    assert_eq!(app.heads().len(), 3);
}

#[tokio::test]
async fn one_question_answers_everyone_who_waits_also_when_the_first_leaves() {
    let app = App::start(|_| Reply::Gated(answer("200 OK", "", r#"{"user":{"id":"ada"}}"#))).await;
    let stage = stage(&app, "timeout = \"20s\"\n", &[]).await;
    let address = stage.server.address();
    let mut first = Caller::connect(address, Protocol::Http1).await;
    {
        let leaving = first.send(get(address, "/v1/models", "sid=ada"));
        let asked = until("the app is asked", async || app.heads().len() == 1);
        tokio::select! {
            _ = leaving => panic!("answered before the app did"),
            () = asked => {}
        }
    }
    drop(first);
    let mut waiting = JoinSet::new();
    for _ in 0..200 {
        waiting.spawn(async move {
            let mut caller = Caller::connect(address, Protocol::Http1).await;
            let response = caller.send(get(address, "/v1/models", "sid=ada")).await;
            whole(response.unwrap()).await.unwrap().status.as_u16()
        });
    }
    let joined =
        "behest_gateway_session_lookup_cache_total{outcome=\"joined\",provider=\"lookup\"}";
    until("all wait", async || stage.metric(joined) == 200.0).await;
    app.open();
    for status in waiting.join_all().await {
        assert_eq!(status, 200);
    }
    assert_eq!(app.heads().len(), 1);
}

#[tokio::test]
async fn what_the_app_does_not_know_is_no_session_and_is_not_asked_about_at_once_again() {
    for (status, lines, body) in [
        ("200 OK", "", "null"),
        ("200 OK", "", "{}"),
        ("200 OK", "", "<!doctype html>"),
        ("200 OK", "", r#"{"user":{"name":"Ada"}}"#),
        ("302 Found", "location: /sign-in\r\n", ""),
        ("401 Unauthorized", "set-cookie: sid=; Max-Age=0\r\n", ""),
        ("403 Forbidden", "", r#"{"user":{"id":"ada"}}"#),
    ] {
        let text = answer(status, lines, body);
        let app = App::start(move |_| Reply::Text(text.clone())).await;
        let stage = stage(&app, "negative_cache = \"1m\"\n", &[]).await;
        for _ in 0..2 {
            assert_refused(&visit(&stage, "sid=ada").await, 401, "session_invalid");
        }
        assert_eq!(app.heads().len(), 1, "{status} {body}");
        assert_eq!(stage.emulator.log().read(|seen| seen.total_requests), 0);
    }
}

#[tokio::test]
async fn a_session_that_has_ended_is_expired() {
    let app = App::start(|_| json(r#"{"user":{"id":"ada"},"ends":1700000000}"#)).await;
    let stage = stage(&app, "expires_claim = [\"ends\"]\n", &[]).await;
    assert_refused(&visit(&stage, "sid=ada").await, 401, "session_expired");
}

#[tokio::test]
async fn an_app_that_says_nothing_is_503_and_signs_nobody_out() {
    let large = format!(r#"{{"user":{{"id":"ada"}},"x":"{}"}}"#, "x".repeat(65_536));
    for (text, wait) in [
        (answer("404 Not Found", "", ""), "1"),
        (answer("405 Method Not Allowed", "", ""), "1"),
        (
            answer("429 Too Many Requests", "retry-after: 7\r\n", ""),
            "7",
        ),
        (
            answer("503 Service Unavailable", "retry-after: 9999\r\n", ""),
            "300",
        ),
        (answer("200 OK", "", &large), "1"),
        ("no http\r\n\r\n".to_owned(), "1"),
    ] {
        let of_app = text.clone();
        let app = App::start(move |_| Reply::Text(of_app.clone())).await;
        let stage = stage(&app, "", &[]).await;
        let seen = visit(&stage, "sid=ada").await;
        assert_refused(&seen, 503, "session_unavailable");
        assert_eq!(
            seen.headers["retry-after"],
            wait,
            "{}",
            text.chars().take(30).collect::<String>()
        );
        assert_eq!(stage.emulator.log().read(|seen| seen.total_requests), 0);
    }
}

#[tokio::test]
async fn a_hung_app_is_given_up_and_holds_up_only_those_whom_it_does_not_answer() {
    let app = App::start(|head| match line(head, "cookie") {
        Some("sid=hung") => Reply::Hang,
        _ => by_cookie(head),
    })
    .await;
    let stage = stage(&app, "", &[]).await;
    let begun = after(Duration::ZERO);
    let (hung, other) = tokio::join!(visit(&stage, "sid=hung"), visit(&stage, "sid=ada"));
    assert_eq!(other.status, 200);
    assert_refused(&hung, 503, "session_unavailable");
    assert!(
        !is_past(begun + Duration::from_secs(8)),
        "the deadline is 2 s"
    );
    let late = "behest_gateway_session_lookups_total{outcome=\"timeout\",provider=\"lookup\"}";
    assert_eq!(stage.metric(late), 1.0);
}

#[tokio::test]
async fn an_app_that_comes_back_is_asked_again() {
    let app = App::start(by_cookie).await;
    let address = app.address;
    let stage = stage(&app, "cache = \"0s\"\n", &[]).await;
    assert_eq!(visit(&stage, "sid=ada").await.status, 200);
    app.answer(|_| Reply::Text(String::new()));
    drop(app);
    assert_refused(&visit(&stage, "sid=eve").await, 503, "session_unavailable");
    let mut listener = None;
    until("the port is free", async || {
        listener = TcpListener::bind(address).await.ok();
        listener.is_some()
    })
    .await;
    let app = App::over(listener.unwrap(), by_cookie);
    until("it is asked again", async || {
        visit(&stage, "sid=eve").await.status == 200
    })
    .await;
    assert!(!app.heads().is_empty());
}

#[tokio::test]
async fn a_flood_of_made_up_cookies_asks_only_so_much_at_a_time() {
    let app = App::start(|_| Reply::Gated(answer("200 OK", "", "null"))).await;
    let stage = stage(&app, "timeout = \"20s\"\n", &[]).await;
    let address = stage.server.address();
    let mut flood = JoinSet::new();
    for made_up in 0..150 {
        flood.spawn(async move {
            let cookie = format!("sid=made-up-{made_up}");
            ask(
                address,
                Protocol::Http1,
                get(address, "/v1/models", &cookie),
            )
            .await
        });
    }
    let missed = "behest_gateway_session_lookup_cache_total{outcome=\"miss\",provider=\"lookup\"}";
    until("all are there", async || stage.metric(missed) == 150.0).await;
    until("all places are taken", async || app.heads().len() == 64).await;
    app.open();
    for answer in flood.join_all().await {
        assert_refused(&answer, 401, "session_invalid");
    }
    assert_eq!(app.heads().len(), 150);
}

#[tokio::test]
async fn an_app_that_hangs_is_not_asked_by_all_who_wait_at_once() {
    let app = App::start(|_| Reply::Gated(answer("200 OK", "", "null"))).await;
    let stage = stage(&app, "timeout = \"2s\"\n", &[]).await;
    let address = stage.server.address();
    let mut flood = JoinSet::new();
    for made_up in 0..200 {
        flood.spawn(async move {
            let cookie = format!("sid=made-up-{made_up}");
            let request = get(address, "/v1/models", &cookie);
            ask(address, Protocol::Http1, request).await
        });
    }
    for answer in flood.join_all().await {
        assert_refused(&answer, 503, "session_unavailable");
    }
    // Those that had no place went without asking, and not at the moment when the places became free.
    assert_eq!(app.heads().len(), 64);
}

#[tokio::test]
async fn a_cookie_that_its_library_did_not_sign_is_never_asked_about() {
    let app = App::start(|_| json(r#"{"user":{"id":"ada"}}"#)).await;
    let proved = "\n[[session.providers]]\nkind = \"express-session\"\n\
        secrets = [{ env = \"EXPRESS_SECRET\" }]\n";
    let more = format!("{proved}url = \"http://{}/me\"\n", app.address);
    let stage = stage(&app, &more, &[("EXPRESS_SECRET", "dev-express-secret")]).await;
    let signed = "connect.sid=s%3AXq7WEV1L5SMtRG-uf74_jL5L6Tl6Kk.VrP70%2BRenwlxc%2F3r6z1cvzaUIk9kNZpbw1NRCNKisyA";
    for forged in [signed.replace("Xq7", "Yq7"), "connect.sid=x".to_owned()] {
        assert_refused(&visit(&stage, &forged).await, 401, "session_invalid");
    }
    assert_eq!(app.heads().len(), 0);
    assert_eq!(visit(&stage, signed).await.status, 200);
    let head = app.heads().pop().unwrap();
    assert_eq!(
        line(&head, "cookie"),
        Some(signed),
        "as it came, and not decoded"
    );
}
