//! Checks `[routes]`: what an operator may add to the API, and what never passes.
//!
//! An added route is always under `/v1` and never Behest's own administration; an added header is
//! never one that the gateway itself decides.

use http::{HeaderName, Method};

use super::model::RoutePattern;

/// Request headers that carry identity, framing or the gateway's own decisions.
const OWNED_IN_REQUESTS: [&str; 21] = [
    "accept-encoding",
    "authorization",
    "content-length",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "host",
    "origin",
    "referer",
    "via",
    "x-admin-secret",
    "x-end-user-id",
    "x-http-method-override",
    "x-original-url",
    "x-project-id",
    "x-real-ip",
    "x-role",
    "x-session-id",
    "x-tenant-id",
    "x-tier",
];

/// Answer headers that act on the browser, frame the answer or are the gateway's own.
const OWNED_IN_RESPONSES: [&str; 17] = [
    "alt-svc",
    "authorization",
    "cache-control",
    "clear-site-data",
    "content-length",
    "location",
    "refresh",
    "server",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "vary",
    "www-authenticate",
    "x-content-type-options",
    "x-session-id",
    "x-should-retry",
    "content-encoding",
];

/// Headers of one connection only (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-connection",
];

impl RoutePattern {
    /// Reads `METHOD /v1/path/{id}`.
    ///
    /// # Errors
    /// The rest of a sentence that begins with what `text` was given for.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "must be a method and a path such as \"GET /v1/files/{id}\"";
        let (method, path) = text.split_once(' ').ok_or(form)?;
        let methods = [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ];
        let method = methods
            .into_iter()
            .find(|known| known.as_str() == method)
            .ok_or("must begin with GET, POST, PUT, PATCH or DELETE (a GET also answers HEAD)")?;
        let below = path
            .strip_prefix("/v1/")
            .ok_or("must have a path that begins with /v1/")?;
        if !below.split('/').all(is_segment) {
            return Err(format!(
                "{form}: each segment is letters, digits, _ . : - or {{id}}"
            ));
        }
        let first = below.split('/').next().unwrap_or_default();
        if ["auth", "admin"]
            .iter()
            .any(|own| first.eq_ignore_ascii_case(own))
            || first.starts_with('{')
        {
            return Err("must not reach /v1/auth or /v1/admin: they are never for browsers".into());
        }
        Ok(Self {
            method,
            path: path.to_owned(),
        })
    }
}

/// A literal of the characters that ids have, or `{id}`.
fn is_segment(segment: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
    let literal = (1..=128).contains(&segment.len()) && segment.bytes().all(plain);
    segment == "{id}" || (literal && segment != "." && segment != "..")
}

/// Refuses request headers that the gateway owns.
pub(super) fn check_request_headers(names: &[HeaderName]) -> Result<(), String> {
    check_headers(names, |name| {
        OWNED_IN_REQUESTS.contains(&name)
            || [
                "x-forwarded-",
                "sec-",
                "proxy-",
                "access-control-",
                "x-gateway-",
            ]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    })
}

/// Refuses answer headers that the gateway owns.
pub(super) fn check_response_headers(names: &[HeaderName]) -> Result<(), String> {
    check_headers(names, |name| {
        OWNED_IN_RESPONSES.contains(&name)
            || [
                "access-control-",
                "x-accel-",
                "proxy-",
                "x-gateway-",
                "sec-",
            ]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    })
}

fn check_headers(names: &[HeaderName], is_owned: impl Fn(&str) -> bool) -> Result<(), String> {
    for (index, name) in names.iter().enumerate() {
        let name = name.as_str();
        if is_owned(name) || HOP_BY_HOP.contains(&name) {
            let place = index + 1;
            return Err(format!(
                "must not hold its entry number {place}: the gateway decides that header itself"
            ));
        }
        if name.contains('_') {
            return Err("must not hold a name with `_`: such headers never pass".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_ROUTES;

    #[test]
    fn every_default_route_is_a_pattern() {
        for route in DEFAULT_ROUTES {
            assert!(RoutePattern::parse(route).is_ok(), "{route}");
        }
    }

    #[test]
    fn routes_outside_the_api_and_those_of_administration_are_refused() {
        for route in [
            "GET /admin",
            "GET /v1",
            "GET /v1/",
            "GET /v1/auth/mint",
            "POST /v1/Auth/mint",
            "GET /v1/{id}/mint",
            "GET /v1/admin/keys",
            "GET /v1/a/../b",
            "GET /v1/a//b",
            "GET /v1/a%2fb",
            "GET /v1/a?b",
            "GET /v1/x/{id}{id}",
            "GET /v1/x/{}",
            "GET /v1/x/{name}",
            "get /v1/files",
            "CONNECT /v1/files",
            "OPTIONS /v1/files",
            "GET  /v1/files",
            "/v1/files",
            "",
        ] {
            assert!(RoutePattern::parse(route).is_err(), "{route}");
        }
        assert!(RoutePattern::parse("GET /v1/files/{id}/content").is_ok());
    }

    #[test]
    fn headers_that_the_gateway_owns_cannot_be_added() {
        let names = |name: &str| vec![name.parse().unwrap()];
        for name in [
            "cookie",
            "Authorization",
            "x-tier",
            "x-forwarded-for",
            "te",
            "a_b",
        ] {
            assert!(check_request_headers(&names(name)).is_err(), "{name}");
        }
        for name in [
            "set-cookie",
            "Location",
            "access-control-allow-origin",
            "upgrade",
        ] {
            assert!(check_response_headers(&names(name)).is_err(), "{name}");
        }
        assert!(check_request_headers(&names("x-request-tag")).is_ok());
        assert!(check_response_headers(&names("x-model-region")).is_ok());
    }
}
