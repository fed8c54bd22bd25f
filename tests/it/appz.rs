//! `/appz`: whether the app answers, for operators, and apart from the gateway's own health.

use http::Request;
use http_body_util::Full;
use tokio::task::JoinSet;

use crate::support::app::{App, Reply, answer};
use crate::support::caller::{Answer, Protocol, ask, get};
use crate::support::upstream::listen;
use crate::support::{Shared, Stage};

const TOKEN: &str = "an-operators-token-0123456789-0123456789";

async fn stage(more: &[(&str, &str)]) -> Stage {
    let mut env = vec![("GATEWAY_ADMIN_TOKEN", TOKEN)];
    env.extend_from_slice(more);
    Stage::with(&env).await
}

async fn appz(stage: &Stage) -> Answer {
    let admin = stage.server.admin_address();
    let request = Request::get("/appz")
        .header("host", admin.to_string())
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(Full::default())
        .unwrap();
    ask(admin, Protocol::Http1, request).await
}

async fn readyz(stage: &Stage) -> u16 {
    let admin = stage.server.admin_address();
    let request = get(admin, "/readyz", "");
    ask(admin, Protocol::Http1, request).await.status.as_u16()
}

fn text(status: &str) -> Reply {
    Reply::Text(answer(status, "", "x"))
}

#[tokio::test]
async fn any_answer_but_a_server_error_is_good() {
    for (status, expected, word) in [
        ("200 OK", 200, "ok"),
        ("307 Temporary Redirect", 200, "ok"),
        ("404 Not Found", 200, "ok"),
        ("500 Internal Server Error", 503, "failing"),
        ("503 Service Unavailable", 503, "failing"),
    ] {
        let app = App::start(move |_| text(status)).await;
        let url = format!("http://{}", app.address);
        let env = [
            ("GATEWAY_APP_URL", &*url),
            ("GATEWAY_APP__HEALTH_PATH", "/healthz?x=1"),
        ];
        let stage = stage(&env).await;
        let answer = appz(&stage).await;
        assert_eq!(answer.status, expected, "{answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        let page = answer.json();
        assert_eq!(page["app"], word);
        assert!(status.starts_with(&page["status"].to_string()));
        let heads = app.heads();
        assert!(
            heads[0].starts_with("GET /healthz?x=1 HTTP/1.1\r\n"),
            "{heads:?}"
        );
        assert!(
            !heads[0].to_lowercase().contains("authorization"),
            "{heads:?}"
        );
        assert_eq!(readyz(&stage).await, 200);
    }
}

#[tokio::test]
async fn many_who_ask_at_once_are_one_question() {
    let app = App::start(|_| text("200 OK")).await;
    let url = format!("http://{}", app.address);
    let stage = Shared::new(stage(&[("GATEWAY_APP_URL", &url)]).await);
    let asked = tokio::time::Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..16 {
        let stage = Shared::clone(&stage);
        asking.spawn(async move { appz(&stage).await });
    }
    let all = asking.join_all().await;
    assert!(all.iter().all(|answer| answer.status == 200));
    // One more for each second that a slow machine took.
    let most = 1 + usize::try_from(asked.elapsed().as_secs()).unwrap();
    assert!(app.heads().len() <= most, "{} questions", app.heads().len());
}

#[tokio::test]
async fn an_app_that_is_down_or_hangs_is_told_and_the_gateway_stays_ready() {
    let silent = listen().await;
    let gone = listen().await.local_addr().unwrap();
    for (address, word) in [
        (gone, "refused"),
        (silent.local_addr().unwrap(), "within 2s"),
    ] {
        let url = format!("http://{address}");
        let stage = stage(&[("GATEWAY_APP_URL", &url)]).await;
        let answer = appz(&stage).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        let reason = answer.json()["reason"].as_str().unwrap().to_lowercase();
        assert!(reason.contains(word), "{word}: {reason}");
        assert!(reason.contains("gateway_app_url"), "{reason}");
        assert_eq!(readyz(&stage).await, 200);
    }
}

#[tokio::test]
async fn it_is_for_operators_and_only_where_there_is_an_app() {
    let stage = stage(&[]).await;
    assert_eq!(appz(&stage).await.status, 404);
    let admin = stage.server.admin_address();
    let answer = ask(admin, Protocol::Http1, get(admin, "/appz", "")).await;
    assert_eq!(answer.status, 401);
}
