//! Who a request came from, as the access log tells it: only a trusted proxy's word counts.

use behest_gateway::emulator::{Emulator, EmulatorConfig};
use http::HeaderValue;

use crate::support::caller::{Protocol, ask, get};
use crate::support::program::{Program, environment};
use crate::support::waiting::until;
use crate::support::{Stage, cookie};

/// The clients of these requests, one for each list of `X-Forwarded-For` lines.
async fn clients(trusted: &str, requests: &[&[&str]]) -> Vec<String> {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let env = environment(
        &emulator.base_url(),
        &[("GATEWAY_SERVER__TRUSTED_PROXIES", trusted)],
    );
    let program = Program::serve(&env).await;
    for (done, lines) in requests.iter().enumerate() {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let mut request = get(program.address, "/v1/models", &cookie("ada", "1"));
            for line in *lines {
                let value = HeaderValue::from_bytes(line.as_bytes()).unwrap();
                request.headers_mut().append("x-forwarded-for", value);
            }
            let answer = ask(program.address, protocol, request).await;
            assert_eq!(answer.status, 200);
        }
        until("both are logged", async || {
            program.accesses().len() == 2 * (done + 1)
        })
        .await;
    }
    let seen = program.accesses();
    seen.chunks(2)
        .map(|pair| {
            assert_eq!(pair[0]["client"], pair[1]["client"], "by protocol");
            pair[0]["client"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_strangers_word_on_where_it_comes_from_counts_for_nothing() {
    let requests: [&[&str]; 2] = [&[], &["203.0.113.7"]];
    for trusted in ["", "10.0.0.0/8,::1"] {
        let seen = clients(trusted, &requests).await;
        assert_eq!(seen, ["127.0.0.1", "127.0.0.1"], "{trusted:?}");
    }
}

#[tokio::test]
async fn a_trusted_proxys_word_counts_as_far_as_it_is_its_own() {
    let seen = clients(
        "127.0.0.1, 10.0.0.0/8",
        &[
            &[],
            &["203.0.113.7"],
            &["198.51.100.1, 203.0.113.7, 10.1.2.3"],
            &["198.51.100.1", "203.0.113.7"],
            &["203.0.113.7, unknown"],
            &["2001:db8::7"],
        ],
    )
    .await;
    let expected = [
        "127.0.0.1",
        "203.0.113.7",
        "203.0.113.7",
        "203.0.113.7",
        "127.0.0.1",
        "2001:db8::7",
    ];
    assert_eq!(seen, expected);
}

/// Neither an origin nor a host nor anything that reaches Behest is taken from a proxy's headers.
#[tokio::test]
async fn forwarded_headers_decide_nothing_else() {
    for trusted in ["", "127.0.0.1"] {
        let stage = Stage::with(&[("GATEWAY_SERVER__TRUSTED_PROXIES", trusted)]).await;
        let address = stage.server.address();
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let send = async |origin: &'static str| {
                let mut request = get(address, "/v1/models", &cookie("ada", "1"));
                for (name, value) in [
                    ("origin", origin),
                    ("x-forwarded-host", "evil.example"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-for", "203.0.113.7"),
                    ("x-forwarded-port", "443"),
                    ("forwarded", "for=203.0.113.7;host=evil.example"),
                    ("x-real-ip", "203.0.113.7"),
                    ("x-original-url", "/v1/auth/mint"),
                    ("x-rewrite-url", "/v1/auth/mint"),
                    ("x-http-method-override", "DELETE"),
                ] {
                    let value = HeaderValue::from_static(value);
                    request.headers_mut().insert(name, value);
                }
                if origin.is_empty() {
                    request.headers_mut().remove("origin");
                }
                ask(address, protocol, request).await
            };
            let answer = send("https://evil.example").await;
            assert_eq!(answer.code(), Some("cross_origin_refused"));
            assert_eq!(send("").await.status, 200);
            stage.emulator.log().read(|seen| {
                let got = seen.to_path("/v1/models").last().unwrap();
                assert_eq!(got.method, "GET");
                for name in got.headers.keys() {
                    assert!(!name.as_str().contains("forward"), "{name} went up");
                    assert_ne!(name, "x-real-ip");
                }
            });
        }
    }
}
