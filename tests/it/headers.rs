//! Which headers reach Behest and which reach the page: nothing of identity goes either way.

use behest_gateway::emulator::{Action, Fault, On, RequestRecord};
use http::HeaderName;

use crate::support::caller::{Answer, Protocol, ask, get};
use crate::support::wire::Wire;
use crate::support::{Stage, cookie};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// Asks for the models with these header lines, and returns what came upstream with the answer.
async fn models(
    stage: &Stage,
    protocol: Protocol,
    lines: &[(&str, &str)],
) -> (Answer, RequestRecord) {
    let address = stage.server.address();
    let mut request = get(address, "/v1/models", &cookie("ada", "\"pro\""));
    for (name, value) in lines {
        let name = HeaderName::try_from(*name).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let answer = ask(address, protocol, request).await;
    let seen = stage.emulator.log().read(|seen| {
        assert!(seen.violations.is_empty(), "{:?}", seen.violations);
        seen.to_path("/v1/models").last().cloned()
    });
    (answer, seen.expect("nothing came upstream"))
}

fn names(seen: &RequestRecord) -> Vec<&str> {
    let mut names: Vec<_> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn of_a_hostile_head_only_the_allow_list_goes_up() {
    for protocol in BOTH {
        let stage = Stage::new().await;
        let (answer, seen) = models(
            &stage,
            protocol,
            &[
                ("authorization", "Bearer mine"),
                ("authorization", "Bearer mine too"),
                ("x-session-id", "theirs"),
                ("x-session-id", "theirs too"),
                ("x_session_id", "theirs"),
                ("x-tenant-id", "t"),
                ("x-project-id", "p"),
                ("x-end-user-id", "admin"),
                ("x-role", "admin"),
                ("x-tier", "max"),
                ("x-admin-secret", "s"),
                ("x_end_user_id", "admin"),
                ("x-forwarded-for", "10.0.0.1"),
                ("x-forwarded-host", "evil.example"),
                ("forwarded", "for=10.0.0.1"),
                ("x-real-ip", "10.0.0.1"),
                ("origin", &format!("http://{}", stage.server.address())),
                ("referer", "https://app.example/secret"),
                ("proxy-authorization", "Basic x"),
                ("cookie", "second=line"),
                ("x-stainless_arch", "x"),
                ("accept-encoding", "gzip"),
                ("range", "bytes=0-1"),
                ("if-none-match", "*"),
                ("content-language", "en"),
                ("x-anything-else", "1"),
            ],
        )
        .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected = [
            "accept-encoding",
            "authorization",
            "host",
            "x-request-id",
            "x-session-id",
        ];
        assert_eq!(names(&seen), expected, "{protocol:?}");
        assert_eq!(
            seen.header("host"),
            Some(&*stage.emulator.addr().to_string())
        );
        assert_eq!(seen.user(), Some("ada"));
        let sid = seen.claims.as_ref().unwrap()["sid"].as_str();
        assert_eq!(seen.header("x-session-id"), sid);
    }
}

#[tokio::test]
async fn what_the_sdks_and_tracing_send_goes_up_as_it_is() {
    let given = [
        ("accept", "application/json"),
        ("accept-language", "de"),
        ("user-agent", "OpenAI/JS 6.1.0"),
        ("x-stainless-lang", "js"),
        ("x-stainless-retry-count", "1"),
        ("x-thread-id", "t1"),
        ("idempotency-key", "k1"),
        ("openai-beta", "assistants=v2"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("tracestate", "a=b"),
        ("tracestate", "c=d"),
    ];
    for protocol in BOTH {
        let stage = Stage::new().await;
        let (answer, seen) = models(&stage, protocol, &given).await;
        for (name, value) in given {
            let mut lines = seen.headers.get_all(name).iter();
            assert!(lines.any(|line| line == value), "{protocol:?} {name}");
        }
        assert_eq!(
            answer.headers["x-trace-id"],
            "0af7651916cd43dd8448eb211c80319c"
        );
    }
}

#[tokio::test]
async fn names_in_any_connection_line_stay_behind_but_never_the_gateways_own() {
    let stage = Stage::new().await;
    let mut wire = Wire::connect(stage.server.address()).await;
    let session = cookie("ada", "1");
    let head = format!(
        "GET /v1/models HTTP/1.1\r\nhost: a\r\ncookie: {session}\r\n\
         connection: keep-alive\r\nconnection: X-Thread-Id , authorization\r\n\
         connection: close,x-session-id, host, x-request-id, accept\r\n\
         x-thread-id: t1\r\naccept: */*\r\nx-stainless-os: Linux\r\nupgrade: h2c\r\n\
         keep-alive: timeout=5\r\nte: trailers\r\nx-request-id: mine\r\n\r\n"
    );
    wire.write(head).await.unwrap();
    let (answer, _) = wire.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    stage.emulator.log().read(|seen| {
        let got = seen.to_path("/v1/models").last().unwrap();
        let expected = [
            "accept-encoding",
            "authorization",
            "host",
            "x-request-id",
            "x-session-id",
            "x-stainless-os",
        ];
        assert_eq!(names(got), expected);
    });
}

#[tokio::test]
async fn a_request_id_is_kept_where_it_is_harmless_and_made_where_not() {
    let long = "a".repeat(65);
    for protocol in BOTH {
        let stage = Stage::new().await;
        let (answer, seen) = models(&stage, protocol, &[("x-request-id", "my-Request_1")]).await;
        assert_eq!(seen.header("x-request-id"), Some("my-Request_1"));
        assert_eq!(answer.headers["x-request-id"], "my-Request_1");
        let mut made = Vec::new();
        for hostile in ["", "a b", "a\"b", "<script>", "a/b", "a;b", &long] {
            let (answer, seen) = models(&stage, protocol, &[("x-request-id", hostile)]).await;
            let id = seen.header("x-request-id").unwrap().to_owned();
            assert!(
                id.starts_with("gwr_") && id.len() == 20,
                "{hostile:?}: {id}"
            );
            assert_eq!(seen.headers.get_all("x-request-id").iter().count(), 1);
            assert_eq!(answer.headers["x-gateway-request-id"], id);
            assert_eq!(answer.headers["x-request-id"], id);
            made.push(id);
        }
        let (_, seen) = models(&stage, protocol, &[]).await;
        made.push(seen.header("x-request-id").unwrap().to_owned());
        made.sort_unstable();
        made.dedup();
        assert_eq!(made.len(), 8, "an id was given twice");
    }
}

#[tokio::test]
async fn an_overlong_user_agent_stays_behind() {
    let stage = Stage::new().await;
    let (_, seen) = models(&stage, Protocol::Http1, &[("user-agent", &"u".repeat(513))]).await;
    assert_eq!(seen.header("user-agent"), None);
    let (_, seen) = models(&stage, Protocol::Http1, &[("user-agent", &"u".repeat(512))]).await;
    assert!(seen.header("user-agent").is_some());
}

#[tokio::test]
async fn configured_headers_pass_both_ways() {
    for protocol in BOTH {
        let stage = Stage::with(&[
            (
                "GATEWAY_ROUTES__REQUEST_HEADERS",
                "x-app-version,X-Experiment",
            ),
            ("GATEWAY_ROUTES__RESPONSE_HEADERS", "x-cost"),
        ])
        .await;
        let headers = [("x-cost", "3"), ("x-other", "4")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let action = Action::Headers {
            headers: headers.to_vec(),
        };
        stage.emulator.faults().push(Fault::once(On::Data, action));
        let given = [
            ("x-app-version", "7"),
            ("x-experiment", "b"),
            ("x-unlisted", "c"),
        ];
        let (answer, seen) = models(&stage, protocol, &given).await;
        assert_eq!(seen.header("x-app-version"), Some("7"));
        assert_eq!(seen.header("x-experiment"), Some("b"));
        assert_eq!(seen.header("x-unlisted"), None);
        assert_eq!(answer.headers["x-cost"], "3");
        assert!(!answer.headers.contains_key("x-other"));
    }
}

#[tokio::test]
async fn answers_lose_cookies_redirects_and_servers_and_keep_the_rest() {
    let lost = [
        ("set-cookie", "a=b"),
        ("set-cookie", "c=d"),
        ("location", "https://evil.example/"),
        ("www-authenticate", "Bearer"),
        ("server", "nginx/1.0"),
        ("x-powered-by", "x"),
        ("via", "1.1 x"),
        ("x-accel-redirect", "/etc/passwd"),
        ("x-accel-buffering", "yes"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("clear-site-data", "\"*\""),
        ("alt-svc", "h3=\":443\""),
        ("strict-transport-security", "max-age=0"),
        ("content-security-policy", "default-src *"),
        ("etag", "\"x\""),
        ("x-openai_secret", "1"),
        ("openai-_secret", "1"),
        ("connection", "x-ratelimit-reset-tokens"),
        ("x-ratelimit-reset-tokens", "1"),
        ("keep-alive", "timeout=5"),
        ("refresh", "0;url=https://evil.example/"),
    ];
    let kept = [
        ("retry-after-ms", "20"),
        ("x-ratelimit-limit-requests", "60"),
        ("openai-processing-ms", "12"),
        ("openai-version", "2020-10-01"),
        ("x-should-retry", "true"),
        ("content-encoding", "identity"),
    ];
    for protocol in BOTH {
        let stage = Stage::new().await;
        let headers = lost.iter().chain(&kept);
        let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let action = Action::Headers {
            headers: headers.collect(),
        };
        stage.emulator.faults().push(Fault::once(On::Data, action));
        let (answer, _) = models(&stage, protocol, &[]).await;
        assert_eq!(answer.status, 200);
        for (name, _) in lost {
            assert!(!answer.headers.contains_key(name), "{protocol:?} {name}");
        }
        for (name, value) in kept {
            assert_eq!(answer.headers[name], value, "{protocol:?}");
        }
        assert_eq!(answer.headers.get_all("date").iter().count(), 1);
        assert_eq!(answer.headers.get_all("cache-control").iter().count(), 1);
        assert_eq!(answer.headers["cache-control"], "no-store");
        let text = format!("{:?} {:?}", answer.headers, answer.body);
        assert!(
            !text.contains("Bearer") && !text.contains("eyJ"),
            "a token came down"
        );
    }
}
