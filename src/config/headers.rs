//! Checks the headers that `[routes]` adds: never one that the gateway itself decides.

use http::HeaderName;

/// Request headers that carry identity, framing or the gateway's own decisions.
const OWNED_IN_REQUESTS: [&str; 25] = [
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
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-project-id",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
    "x-role",
    "x-session-id",
    "x-tenant-id",
    "x-tier",
];

/// Answer headers that act on the browser, frame the answer or are the gateway's own.
const OWNED_IN_RESPONSES: [&str; 33] = [
    "alt-svc",
    "authentication-info",
    "authorization",
    "cache-control",
    "clear-site-data",
    "content-encoding",
    "content-length",
    "cookie",
    "cookie2",
    "forwarded",
    "host",
    "location",
    "nel",
    "refresh",
    "report-to",
    "reporting-endpoints",
    "server",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "vary",
    "via",
    "www-authenticate",
    "x-admin-secret",
    "x-content-type-options",
    "x-end-user-id",
    "x-project-id",
    "x-role",
    "x-session-id",
    "x-should-retry",
    "x-tenant-id",
    "x-tier",
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
                "x-forwarded-",
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

    const REQUEST: &str = "cookie Authorization host content-length accept-encoding x-session-id x-tenant-id \
        x-project-id x-end-user-id x-role x-tier x-admin-secret x-request-id x-forwarded-for \
        X-Forwarded-Host forwarded x-real-ip via origin referer sec-fetch-site \
        proxy-authorization connection keep-alive proxy-connection te trailer \
        transfer-encoding upgrade expect http2-settings x-gateway-request-id \
        x-http-method-override a_b";

    const RESPONSE: &str = "set-cookie set-cookie2 Location www-authenticate proxy-authenticate x-accel-redirect \
        X-Accel-Buffering access-control-allow-origin access-control-expose-headers \
        clear-site-data alt-svc server cache-control vary refresh content-length \
        content-encoding x-content-type-options strict-transport-security \
        service-worker-allowed x-session-id x-tenant-id x-project-id x-end-user-id x-role \
        x-tier x-admin-secret x-gateway-error x-forwarded-for forwarded connection \
        keep-alive te trailer transfer-encoding upgrade a_b";

    #[test]
    fn headers_that_the_gateway_owns_cannot_be_added() {
        let names = |name: &str| vec![name.parse().unwrap()];
        for name in REQUEST.split_whitespace() {
            assert!(check_request_headers(&names(name)).is_err(), "{name}");
        }
        for name in RESPONSE.split_whitespace() {
            assert!(check_response_headers(&names(name)).is_err(), "{name}");
        }
        assert!(check_request_headers(&names("x-request-tag")).is_ok());
        assert!(check_response_headers(&names("x-model-region")).is_ok());
    }
}
