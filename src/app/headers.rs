//! The headers on the way to the app and back: everything but what belongs to one connection, and what
//! only the gateway may say.
//!
//! Unlike on the way to Behest this is no allow-list: the app's own headers are not known here. What a
//! caller could use to pass for the gateway, or to reach the insides of a framework, stays behind.

use std::fmt::Write;
use std::net::IpAddr;

use http::header::{
    CONNECTION, COOKIE, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Of one connection alone (RFC 9110 section 7.6.1), with what is older than that list. `Expect` is
/// answered here.
const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
];

/// Those of Next.js's own headers that its pages send: one that asks for data, and under `next dev` the
/// ids by which React's debug channel finds its page (Next.js 16.4; without them a page waits for ever).
const NEXTJS_PAGES: [&str; 3] = [
    "x-nextjs-data",
    "x-nextjs-request-id",
    "x-nextjs-html-request-id",
];

/// What the app is told about where a request came from.
pub struct Forwarding {
    /// Who asked, and behind trusted proxies those on the way from there, the peer last.
    pub chain: Vec<IpAddr>,
    /// Whether the browser speaks https.
    pub is_https: bool,
    /// The host that the browser sees: `host[:port]`.
    pub host: String,
    /// The request's id.
    pub request_id: HeaderValue,
}

impl Forwarding {
    /// The headers of the request to the app, but for the host.
    pub(super) fn request_headers(&self, incoming: &HeaderMap) -> HeaderMap {
        let nominated = nominated(incoming);
        // Room for what is told as well: a map that grows is made anew.
        let mut outgoing = HeaderMap::with_capacity(incoming.len() + 10);
        for (name, value) in incoming {
            if *name != COOKIE && passes_up(name) && !nominated.contains(name) {
                outgoing.append(name, value.clone());
            }
        }
        if let Some(cookies) = cookies(incoming).filter(|_| !nominated.contains(&COOKIE)) {
            outgoing.insert(COOKIE, cookies);
        }
        self.tell(&mut outgoing);
        outgoing
    }

    fn tell(&self, headers: &mut HeaderMap) {
        let scheme = if self.is_https { "https" } else { "http" };
        let (mut chain, mut forwarded) = (String::new(), String::new());
        for address in &self.chain {
            let comma = if chain.is_empty() { "" } else { ", " };
            // Writing to a String does not fail.
            let _ = write!(chain, "{comma}{address}");
            let _ = match address {
                IpAddr::V4(address) => write!(forwarded, "{comma}for={address}"),
                // RFC 7239 section 6: in brackets, and quoted for them.
                IpAddr::V6(address) => write!(forwarded, "{comma}for=\"[{address}]\""),
            };
        }
        let _ = write!(forwarded, ";host=\"{}\";proto={scheme}", self.host);
        let told = [
            (X_FORWARDED_FOR, chain.as_str()),
            (X_FORWARDED_PROTO, scheme),
            (X_FORWARDED_HOST, self.host.as_str()),
            (X_FORWARDED_PORT, self.port()),
            (FORWARDED, forwarded.as_str()),
            (X_REAL_IP, chain.split(',').next().unwrap_or_default()),
        ]
        .map(|(name, value)| (name, HeaderValue::from_str(value)));
        for (name, value) in told {
            if let Ok(value) = value {
                headers.insert(name, value);
            }
        }
        headers.insert(X_REQUEST_ID, self.request_id.clone());
    }

    fn port(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((_, port)) if !port.contains(']') => port,
            _ if self.is_https => "443",
            _ => "80",
        }
    }
}

/// Whether a caller may say it to the app.
fn passes_up(name: &HeaderName) -> bool {
    let text = name.as_str();
    // Many servers take `_`, and some `.`, for `-`: what passes under one name arrives under another
    // (CVE-2025-64484).
    let alias = text.contains('.').then(|| text.replace('.', "-"));
    let text = alias.as_deref().unwrap_or(text);
    // Next.js's own, between its parts: `x-middleware-subrequest` skipped the middleware
    // (CVE-2025-29927).
    let is_inner = text.starts_with("x-middleware-")
        || text.starts_with("x-invoke-")
        || (text.starts_with("x-nextjs-") && !NEXTJS_PAGES.contains(&text))
        || text == "x-matched-path";
    let is_ours = text.starts_with("x-forwarded-") || text == "forwarded" || text == "x-real-ip";
    !(HOP_BY_HOP.contains(name) || *name == HOST || text.contains('_') || is_inner || is_ours)
}

/// All cookies in one line: HTTP/2 has a line for each (RFC 9113 section 8.2.3).
fn cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(COOKIE).iter();
    let first = lines.next()?;
    let mut rest = lines.peekable();
    if rest.peek().is_none() {
        return Some(first.clone());
    }
    let mut joined = first.as_bytes().to_vec();
    for line in rest {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(line.as_bytes());
    }
    let mut joined = HeaderValue::from_bytes(&joined).ok()?;
    joined.set_sensitive(true);
    Some(joined)
}

/// Takes off what is of one connection alone, and what its `Connection` lines name besides.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named = nominated(headers);
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The names in every `Connection` line (RFC 9110 section 7.6.1).
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(CONNECTION).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

/// Asks for a WebSocket, or grants it: the two headers that belong to the connection.
pub(super) fn ask_for_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Whether an answer's head switches to what was asked for.
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let mut granted = headers.get_all(UPGRADE).iter();
    granted.any(|granted| granted.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        map
    }

    fn forwarding() -> Forwarding {
        Forwarding {
            chain: vec!["192.0.2.7".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            is_https: true,
            host: "app.example".to_owned(),
            request_id: HeaderValue::from_static("r1"),
        }
    }

    fn up(headers: &[(&str, &str)]) -> HeaderMap {
        forwarding().request_headers(&map(headers))
    }

    #[test]
    fn the_apps_own_headers_pass_with_cookies_and_authorization() {
        let given = [
            ("cookie", "a=b; c=d"),
            ("authorization", "Basic dTpw"),
            ("accept", "text/html"),
            ("accept-encoding", "gzip"),
            ("origin", "https://app.example"),
            ("next-router-state-tree", "x"),
            ("x-nextjs-data", "1"),
            ("x-nextjs-request-id", "4a"),
            ("x-nextjs-html-request-id", "4b"),
            ("x-csrf-token", "t"),
            ("range", "bytes=0-1"),
            ("x.y", "1"),
        ];
        let sent = up(&given);
        for (name, value) in given {
            assert_eq!(sent[name], value);
        }
    }

    #[test]
    fn what_a_caller_may_not_say_stays_behind() {
        let sent = up(&[
            ("connection", "keep-alive, X-Internal"),
            ("x-internal", "1"),
            ("keep-alive", "5"),
            ("proxy-authorization", "x"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("host", "evil"),
            ("x_csrf_token", "t"),
            ("x-middleware-subrequest", "middleware"),
            ("x-invoke-path", "/admin"),
            ("x-nextjs-rewrite", "/admin"),
            ("x-matched-path", "/admin"),
            ("x.middleware.subrequest", "middleware"),
            ("x.forwarded.for", "6.6.6.6"),
            ("x-forwarded-prefix", "/admin"),
            ("x-forwarded-uri", "/admin"),
        ]);
        let mut names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "forwarded",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-port",
                "x-forwarded-proto",
                "x-real-ip",
                "x-request-id"
            ]
        );
    }

    #[test]
    fn where_a_request_came_from_is_the_gateways_word_alone() {
        let sent = up(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "for=6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("connection", "x-forwarded-for, x-forwarded-proto"),
        ]);
        assert_eq!(sent["x-forwarded-for"], "192.0.2.7, 2001:db8::1");
        assert_eq!(sent["x-forwarded-proto"], "https");
        assert_eq!(sent["x-forwarded-host"], "app.example");
        assert_eq!(sent["x-forwarded-port"], "443");
        assert_eq!(sent["x-real-ip"], "192.0.2.7");
        let forwarded = "for=192.0.2.7, for=\"[2001:db8::1]\";host=\"app.example\";proto=https";
        assert_eq!(sent["forwarded"], forwarded);
        assert!(
            sent.keys()
                .all(|name| sent.get_all(name).iter().count() == 1)
        );
    }

    #[test]
    fn the_port_is_the_hosts_or_the_schemes() {
        let port = |host: &str, is_https| {
            let host = host.to_owned();
            let told = Forwarding {
                is_https,
                host,
                ..forwarding()
            };
            told.port().to_owned()
        };
        assert_eq!(port("app.example:8443", true), "8443");
        assert_eq!(port("[::1]", false), "80");
        assert_eq!(port("[::1]:3000", false), "3000");
        assert_eq!(port("app.example", true), "443");
    }

    #[test]
    fn cookies_of_many_lines_reach_the_app_in_one() {
        let sent = up(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
        assert_eq!(sent.get_all("cookie").iter().count(), 1);
        assert_eq!(sent["cookie"], "a=1; b=2; c=3");
    }

    #[test]
    fn an_answer_loses_what_is_of_its_connection_and_nothing_else() {
        let mut headers = map(&[
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("set-cookie", "a=1; HttpOnly"),
            ("set-cookie", "b=2"),
            ("location", "/elsewhere"),
            ("www-authenticate", "Basic"),
            ("access-control-allow-origin", "*"),
            ("content-length", "5"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let kept = [
            "access-control-allow-origin",
            "content-length",
            "location",
            "set-cookie",
            "www-authenticate",
        ];
        assert_eq!(names, kept);
    }
}
