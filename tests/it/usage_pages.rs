//! What the operators' listener shows of use: public files without data, and figures behind the token.

use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use serde_json::Value;

use crate::support::Stage;
use crate::support::caller::{Answer, Protocol, ask};

const TOKEN: &str = "an-operators-token-0123456789-0123456789";

async fn visit(stage: &Stage, method: Method, path: &str, token: Option<&str>) -> Answer {
    let admin = stage.server.admin_address();
    let mut request = Request::new(Full::default());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    let headers = request.headers_mut();
    headers.insert("host", admin.to_string().parse().unwrap());
    if let Some(token) = token {
        let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        headers.insert("authorization", value);
    }
    ask(admin, Protocol::Http1, request).await
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn the_page_is_open_and_may_load_nothing_from_elsewhere() {
    let stage = Stage::with(&[("GATEWAY_ADMIN_TOKEN", TOKEN)]).await;
    for (path, media) in [
        ("/", "text/html"),
        ("/page/page.js", "text/javascript"),
        ("/page/page.css", "text/css"),
        ("/page/vendor/uPlot.iife.min.js", "text/javascript"),
        ("/page/vendor/LICENSE", "text/plain"),
    ] {
        let answer = visit(&stage, Method::GET, path, None).await;
        assert_eq!(answer.status, 200, "{path}");
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        assert!(header("content-type").starts_with(media), "{path}");
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self';",
            "style-src 'self';",
            "connect-src 'self';",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-store");
    }
    let post = visit(&stage, Method::POST, "/", None).await;
    assert_eq!(post.status, 405);
}

#[tokio::test]
async fn whether_there_is_a_token_is_told_and_no_figure_without_it() {
    let stage = Stage::with(&[("GATEWAY_ADMIN_TOKEN", TOKEN)]).await;
    let told = visit(&stage, Method::GET, "/page/token", None).await;
    assert_eq!(json(&told)["is_set"], true);
    for path in ["/usage", "/usage/live", "/page/strange.js", "/usage/"] {
        for token in [None, Some("wrong")] {
            let answer = visit(&stage, Method::GET, path, token).await;
            assert_eq!(answer.status, 401, "{path}");
        }
    }
    let none = Stage::new().await;
    let told = visit(&none, Method::GET, "/page/token", None).await;
    assert_eq!(json(&told)["is_set"], false);
    for path in ["/usage", "/usage/live"] {
        let answer = visit(&none, Method::GET, path, Some("")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[tokio::test]
async fn figures_are_json_and_a_bad_question_is_told_the_fix() {
    let stage = Stage::with(&[("GATEWAY_ADMIN_TOKEN", TOKEN)]).await;
    let answer = visit(
        &stage,
        Method::GET,
        "/usage?by=hour,tier&from=-7days",
        Some(TOKEN),
    )
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let report = json(&answer);
    assert_eq!(report["scope"], "this replica");
    assert_eq!(report["by"], serde_json::json!(["hour", "tier"]));
    assert!(report["rows"].is_array() && report["totals"]["cost_usd"].is_number());
    let live = visit(&stage, Method::GET, "/usage/live", Some(TOKEN)).await;
    let live = json(&live);
    assert_eq!(live["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(live["scope"], "this replica");
    assert_eq!(live["mint"]["paused"], false);
    assert!(live["requests"]["oldest"].is_array());
    let refused = visit(&stage, Method::GET, "/usage?by=colour", Some(TOKEN)).await;
    assert_eq!(refused.status, 400);
    let error = &json(&refused)["error"];
    assert_eq!(error["field"], "by");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("by must be minute, hour")
    );
    let posted = visit(&stage, Method::POST, "/usage", Some(TOKEN)).await;
    assert_eq!(posted.status, 405);
}
