//! Whether Behest can be reached: name, connection, TLS, an answer, and the clock.

use std::net::IpAddr;

use http::Response;

use super::call::{self, Failure, Server, Step, WITHIN};
use super::clock_offset;
use super::finding::Finding;
use crate::clock::Clock;
use crate::config::UpstreamUrl;

const NAME: &str = "behest-dns";
const CONNECTION: &str = "behest-connection";
const TLS: &str = "behest-tls";
const ANSWER: &str = "behest-http";

/// What to mend where something else than Behest answers.
const FIX_URL: &str = "set BEHEST_BASE_URL to the project's data plane, https://<slug>.behest.app";

/// Addresses shown of a name.
const SHOWN: usize = 4;

/// Looks at everything; and whether requests can be sent there at all.
pub(super) async fn look(
    url: &UpstreamUrl,
    server: &Server,
    clock: &Clock,
) -> (Vec<Finding>, bool) {
    let call = async {
        let answer = server.ask(call::get("/v1/models")).await;
        (answer, clock.now())
    };
    let (name, (answer, now)) = tokio::join!(resolve(url, server), call);
    let mut findings = vec![name];
    match answer {
        Ok(answer) => {
            findings.push(connected(server));
            findings.extend(encrypted(url));
            findings.push(answered(server, &answer));
            findings.push(clock_offset::judge(answer.headers(), now));
            (findings, true)
        }
        Err(failure) => {
            findings.extend(failed(url, server, &failure));
            (findings, false)
        }
    }
}

async fn resolve(url: &UpstreamUrl, server: &Server) -> Finding {
    let host = url.host().trim_matches(['[', ']']);
    if host.parse::<IpAddr>().is_ok() {
        return Finding::ok(NAME, format!("{host} is an address: nothing to resolve"));
    }
    if server.is_proxied {
        return Finding::info(
            NAME,
            format!("{host} is resolved by the proxy in HTTPS_PROXY"),
        );
    }
    let looked_up = tokio::net::lookup_host((host, url.port()));
    let fix = "check the name in BEHEST_BASE_URL, and this machine's resolver (/etc/resolv.conf; in \
               a container its network's)";
    match tokio::time::timeout(WITHIN, looked_up).await {
        Err(_) => {
            let within = humantime::format_duration(WITHIN);
            Finding::error(NAME, format!("{host}: no answer within {within}"), fix)
        }
        Ok(Err(error)) => Finding::error(NAME, format!("{host}: {error}"), fix),
        Ok(Ok(addresses)) => {
            let all: Vec<_> = addresses.map(|address| address.ip().to_string()).collect();
            let shown: Vec<_> = all.iter().take(SHOWN).map(String::as_str).collect();
            let more = match all.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Finding::ok(NAME, format!("{host} is {}{more}", shown.join(", ")))
        }
    }
}

fn connected(server: &Server) -> Finding {
    let by = if server.is_proxied {
        " through the proxy in HTTPS_PROXY"
    } else {
        ""
    };
    Finding::ok(CONNECTION, format!("{} can be reached{by}", server.origin))
}

/// `None` without TLS on this machine itself, where it is of no use.
fn encrypted(url: &UpstreamUrl) -> Option<Finding> {
    if url.is_tls() {
        return Some(Finding::ok(
            TLS,
            "the certificate is trusted, current and for this name",
        ));
    }
    (!url.is_loopback()).then(|| {
        Finding::warning(
            TLS,
            "none: keys, tokens and messages travel unencrypted",
            "write https:// in BEHEST_BASE_URL",
        )
    })
}

/// The findings of a call that failed, up to the step at which it did.
fn failed(url: &UpstreamUrl, server: &Server, failure: &Failure) -> Vec<Finding> {
    let error = |check| Finding::error(check, &failure.what, &failure.fix);
    match failure.step {
        Step::Connect => vec![error(CONNECTION)],
        Step::Tls => vec![connected(server), error(TLS)],
        Step::Http => {
            let mut findings = vec![connected(server)];
            findings.extend(encrypted(url));
            findings.push(error(ANSWER));
            findings
        }
    }
}

/// What an answer to a request without a token says about who answers.
fn answered<B>(server: &Server, answer: &Response<B>) -> Finding {
    let status = answer.status();
    let number = status.as_u16();
    let headers = answer.headers();
    if status.is_redirection() {
        let to = call::elsewhere(headers, &server.origin);
        let to = to.map_or_else(String::new, |to| format!(" to {to}"));
        let what = format!("GET /v1/models is redirected{to} ({number}), which is not followed");
        return Finding::error(ANSWER, what, FIX_URL);
    }
    if call::is_html(headers) {
        let what =
            format!("GET /v1/models gives a page of HTML ({number}): that is not Behest's API");
        return Finding::error(ANSWER, what, FIX_URL);
    }
    match number {
        401 | 403 => Finding::ok(
            ANSWER,
            format!("GET /v1/models without a token is refused with {number}, as it should be"),
        ),
        404 => Finding::error(
            ANSWER,
            "GET /v1/models gives 404: that is not Behest's API",
            FIX_URL,
        ),
        429 => Finding::warning(
            ANSWER,
            "Behest limits this machine's requests (429)",
            "wait; if it stays, ask Behest",
        ),
        500.. => Finding::error(
            ANSWER,
            format!(
                "GET /v1/models gives {number}: Behest, or something in front of it, is not well"
            ),
            "wait and look at Behest's status page; behind a proxy of your own, at its log",
        ),
        _ => Finding::warning(
            ANSWER,
            format!("GET /v1/models without a token gives {number} instead of 401"),
            FIX_URL,
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::finding::Level;
    use super::*;
    use crate::client::ClientConfig;

    fn server() -> Server {
        let origin = "https://acme.behest.app";
        let outbound =
            crate::generation::outbound(&crate::config::OutboundConfig::default()).unwrap();
        let config = ClientConfig {
            connect_timeout: Duration::ZERO,
            first_byte_timeout: Duration::ZERO,
            pool_idle_timeout: Duration::ZERO,
            pool_max_age: Duration::ZERO,
            workers: 1,
        };
        let client = outbound.client(&origin.parse().unwrap(), config).unwrap();
        Server {
            client,
            origin: origin.to_owned(),
            is_proxied: false,
            is_exposed: false,
        }
    }

    fn judge(status: u16, header: Option<(&str, &str)>) -> Finding {
        let mut answer = Response::builder().status(status);
        if let Some((name, value)) = header {
            answer = answer.header(name, value);
        }
        answered(&server(), &answer.body(()).unwrap())
    }

    #[test]
    fn only_a_refusal_is_what_behest_says_to_a_stranger() {
        assert_eq!(judge(401, None).level, Level::Ok);
        assert_eq!(judge(403, None).level, Level::Ok);
        assert_eq!(judge(404, None).level, Level::Error);
        assert_eq!(judge(503, None).level, Level::Error);
        assert_eq!(judge(200, None).level, Level::Warning);
        let page = judge(401, Some(("content-type", "text/html; charset=utf-8")));
        assert!(
            page.level == Level::Error && page.what.contains("HTML"),
            "{page:?}"
        );
        let moved = judge(301, Some(("location", "https://www.behest.app/x?token=1")));
        assert!(
            moved.what.contains("to https://www.behest.app (301)"),
            "{moved:?}"
        );
        assert!(moved.fix.unwrap().contains("BEHEST_BASE_URL"));
    }
}
