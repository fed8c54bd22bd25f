//! What stands between browsers and the gateway: does it leave the gateway's own answers alone?
//!
//! Everything is asked as a browser would, and without a cookie: a refusal is the good answer.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    CONTENT_TYPE, ORIGIN,
};
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use serde_json::Value;

use super::call::{self, Failure, Server, Step};
use super::finding::Finding;
use crate::admission::cross_origin::CrossOriginConfig;

const CONNECTION: &str = "public-connection";
const SESSION: &str = "public-session";
const OWN: &str = "public-origin";

/// Every page's request for an answer goes there.
pub(super) const CHAT: &str = "/v1/chat/completions";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const ROUTE: &str = "send /v1/ of this host to the gateway, before the app and its middleware see it \
    (nginx: location /v1/ { proxy_pass …; }; Next.js: leave /v1 out of the middleware's matcher)";

/// Who answers at the public URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// The gateway.
    Gateway,
    /// Something that redirects what is the gateway's.
    Redirect,
    /// Something else.
    Other,
    /// Nobody.
    Nobody,
}

/// Looks at everything; and who answers there.
pub(super) async fn look(config: &CrossOriginConfig, server: &Server) -> (Vec<Finding>, Reached) {
    let mut request = call::get("/v1/models");
    same_origin(&mut request);
    let answer = match server.ask(request).await {
        Ok(answer) => answer,
        Err(failure) => return (vec![unreachable(&failure)], Reached::Nobody),
    };
    let reached = if is_gateway(&answer) {
        Reached::Gateway
    } else if answer.status().is_redirection() {
        Reached::Redirect
    } else {
        Reached::Other
    };
    let session = session(server, &answer);
    let mut findings = vec![
        Finding::ok(CONNECTION, format!("{} can be reached", server.origin)),
        session,
    ];
    if reached == Reached::Gateway {
        let preflights = super::preflight::look(config, server);
        let (own, preflights) = tokio::join!(own(config, server), preflights);
        findings.push(own);
        findings.extend(preflights);
    }
    (findings, reached)
}

fn unreachable(failure: &Failure) -> Finding {
    let check = match failure.step {
        Step::Connect | Step::Tls => CONNECTION,
        Step::Http => SESSION,
    };
    Finding::error(check, &failure.what, &failure.fix)
}

/// As a page of the same origin asks.
pub(super) fn same_origin<B>(request: &mut Request<B>) {
    let site = HeaderValue::from_static("same-origin");
    request.headers_mut().insert(SEC_FETCH_SITE, site);
}

/// Says that a page on `origin` asks.
pub(super) fn from_page<B>(request: &mut Request<B>, origin: &str) {
    if let Ok(origin) = HeaderValue::from_str(origin) {
        request.headers_mut().insert(ORIGIN, origin);
    }
}

/// A POST of `body` to [`CHAT`].
pub(super) fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = call::get(CHAT);
    *request.method_mut() = Method::POST;
    *request.body_mut() = Full::new(body.into());
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(CONTENT_TYPE, json);
    request
}

/// A browser's question whether a page on `origin` may call.
pub(super) fn preflight(origin: &str) -> Request<Full<Bytes>> {
    let mut request = call::get(CHAT);
    *request.method_mut() = Method::OPTIONS;
    from_page(&mut request, origin);
    let headers = request.headers_mut();
    headers.insert(
        ACCESS_CONTROL_REQUEST_METHOD,
        HeaderValue::from_static("POST"),
    );
    headers.insert(
        ACCESS_CONTROL_REQUEST_HEADERS,
        HeaderValue::from_static("authorization,content-type"),
    );
    headers.insert(SEC_FETCH_SITE, HeaderValue::from_static("same-site"));
    request
}

/// Whether the gateway made the answer, or passed it on.
pub(super) fn is_gateway<B>(answer: &Response<B>) -> bool {
    let headers = answer.headers();
    headers.contains_key("x-gateway-request-id") || headers.contains_key("x-gateway-error")
}

/// The gateway's own word for a refusal; empty where it made none.
pub(super) fn code<B>(answer: &Response<B>) -> &str {
    call::text(answer.headers(), "x-gateway-error")
}

/// Whom an answer lets read it.
pub(super) fn granted<B>(answer: &Response<B>) -> Option<&HeaderValue> {
    answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN)
}

/// Judges the answer to `GET /v1/models` without a cookie.
fn session(server: &Server, answer: &Response<Bytes>) -> Finding {
    if !is_gateway(answer) {
        return foreign(server, answer);
    }
    let (status, code) = (answer.status().as_u16(), code(answer));
    if (status, code) == (401, "session_missing") {
        let what = "without a cookie the gateway itself answers: 401 session_missing";
        return Finding::ok(SESSION, what);
    }
    let what = format!("gives the gateway's {status} {code} instead of 401 session_missing");
    wrong(
        &what,
        "see this code in the README's table of errors, and the gateway's log",
    )
}

fn wrong(what: &str, fix: &str) -> Finding {
    Finding::error(
        SESSION,
        format!("GET /v1/models without a cookie {what}"),
        fix,
    )
}

/// Judges one that does not look like the gateway's.
fn foreign(server: &Server, answer: &Response<Bytes>) -> Finding {
    let status = answer.status().as_u16();
    if answer.status().is_redirection() {
        let to = call::elsewhere(answer.headers(), &server.origin);
        let to = to.map_or_else(
            || "to a page of the same host".to_owned(),
            |to| format!("to {to}"),
        );
        let fix = format!(
            "{ROUTE}; if it only leads to https or to another host, give --public-url as browsers \
             end up with it"
        );
        return wrong(&format!("is redirected {to} ({status})"), &fix);
    }
    if call::is_html(answer.headers()) {
        let what =
            format!("gives a page of HTML ({status}): something in front answers, such as the app");
        return wrong(&what, ROUTE);
    }
    if body_code(answer.body()).as_deref() == Some("session_missing") {
        return Finding::warning(
            SESSION,
            "the gateway answers, but something in front removes its x-gateway-* headers",
            "let response headers pass in what stands in front: clients tell by x-gateway-error whose \
             refusal it is",
        );
    }
    let what = format!("gives {status}, and not from the gateway");
    match status {
        401 | 403 => wrong(
            &format!("{what}: something in front asks for a sign-in"),
            ROUTE,
        ),
        502..=504 => wrong(
            &format!("{what}: what is in front cannot reach it"),
            "see that the gateway runs, and that its address (GATEWAY_LISTEN) is the one that the \
             proxy sends /v1/ to",
        ),
        _ => wrong(&what, ROUTE),
    }
}

fn body_code(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.pointer("/error/code")?.as_str().map(str::to_owned)
}

/// Whether the gateway takes pages of the public URL for its own.
async fn own(config: &CrossOriginConfig, server: &Server) -> Finding {
    let origin = &server.origin;
    let mut request = post("{}");
    same_origin(&mut request);
    from_page(&mut request, origin);
    let answer = match server.ask(request).await {
        Ok(answer) => answer,
        Err(failure) => return Finding::error(OWN, failure.what, failure.fix),
    };
    let status = answer.status().as_u16();
    let set = format!("set GATEWAY_PUBLIC_ORIGIN={origin}");
    let listed = config.public_origins.contains(origin);
    match code(&answer) {
        "session_missing" if listed => {
            Finding::ok(OWN, format!("{origin} is public, and its pages may call"))
        }
        "session_missing" if config.public_origins.is_empty() => Finding::warning(
            OWN,
            format!("pages of {origin} may call only because Host says so: none is set as public"),
            set,
        ),
        "session_missing" => Finding::warning(
            OWN,
            format!(
                "{origin} is none of cross_origin.public_origins ({}), though the gateway there takes \
                 its pages for its own: does it run with this configuration?",
                config.public_origins.join(", ")
            ),
            format!("{set} (a list, by commas), or give --public-url one of them"),
        ),
        "cross_origin_refused" => Finding::error(
            OWN,
            format!("the gateway refuses pages of {origin} (403 cross_origin_refused)"),
            format!(
                "{set} (a list, by commas) and reload; what stands in front must pass Host and \
                 Origin on as they are (nginx: proxy_set_header Host $http_host)"
            ),
        ),
        _ => Finding::error(
            OWN,
            format!("a page's POST {CHAT} gives {status} instead of the gateway's 401"),
            "let POST, its body and its headers through to the gateway in what stands in front (WAF \
             rules, allowed methods)",
        ),
    }
}
