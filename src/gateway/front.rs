//! How the browser reaches the app: what an app is told that is asked about a session.
//!
//! Guarantees: what the operator says comes first; a proxy's word counts only where the proxy is
//! trusted; where no app is asked, nothing is looked at.

use std::net::IpAddr;

use http::header::ORIGIN;
use http::{HeaderMap, HeaderName};

use crate::admission::trusted_proxies::TrustedProxies;
use crate::session::Front;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The longest host that is passed on, in bytes: a name of 253, and a port.
const MAX_HOST: usize = 260;

/// What is known of the front before a request comes.
pub struct Fronts {
    /// Whether any app is asked.
    is_needed: bool,
    /// The app's own origins, as they are configured.
    public: Vec<String>,
    /// Whether the listener has TLS.
    is_tls: bool,
}

impl Fronts {
    /// With the app's origins and the listener as they are configured; `is_needed`: an app is asked.
    #[must_use]
    pub fn new(public: Vec<String>, is_tls: bool, is_needed: bool) -> Self {
        Self {
            is_needed,
            public,
            is_tls,
        }
    }

    /// The front of a request to `host` from `peer`: the public origin where one is configured (of
    /// several the one that it was sent to, else the one whose page sent it, else the first); else
    /// what a trusted proxy says; else the connection's.
    pub(super) fn of<'r>(
        &'r self,
        host: &'r str,
        headers: &'r HeaderMap,
        peer: IpAddr,
        proxies: &TrustedProxies,
    ) -> Front<'r> {
        if !self.is_needed {
            return Front::default();
        }
        if let Some(origin) = self.public(host, headers) {
            return origin;
        }
        let connection = Front {
            is_https: self.is_tls,
            host,
        };
        if proxies.trusts(peer) {
            return forwarded(headers, connection);
        }
        connection
    }

    fn public<'r>(&'r self, host: &str, headers: &HeaderMap) -> Option<Front<'r>> {
        let mut fronts = self
            .public
            .iter()
            .filter_map(|origin| Front::of_origin(origin));
        if self.public.len() > 1 {
            let to_host = |front: &Front<'_>| front.host.eq_ignore_ascii_case(host);
            if let Some(front) = fronts.clone().find(to_host) {
                return Some(front);
            }
            let origin = headers.get(ORIGIN);
            let is_origin = |own: &&String| origin.is_some_and(|origin| origin == own.as_str());
            if let Some(own) = self.public.iter().find(is_origin) {
                return Front::of_origin(own);
            }
        }
        fronts.next()
    }
}

/// What a trusted proxy says, each half where it can be read; `else` what the connection says.
fn forwarded<'r>(headers: &'r HeaderMap, connection: Front<'r>) -> Front<'r> {
    // Of a chain of proxies the first entry is of the one that the browser speaks to.
    let first = |name: HeaderName| {
        let text = headers.get(name)?.to_str().ok()?;
        text.split(',').next().map(str::trim)
    };
    let is_https = match first(X_FORWARDED_PROTO) {
        Some(proto) if proto.eq_ignore_ascii_case("https") => true,
        Some(proto) if proto.eq_ignore_ascii_case("http") => false,
        Some(_) | None => connection.is_https,
    };
    let host = first(X_FORWARDED_HOST).filter(|host| is_host(host));
    Front {
        is_https,
        host: host.unwrap_or(connection.host),
    }
}

/// `host[:port]`, as far as its characters tell.
fn is_host(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:[]".contains(&b);
    (1..=MAX_HOST).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines.iter();
        lines
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[track_caller]
    fn assert_front(
        public: &[&str],
        trusts: bool,
        lines: &[(&'static str, &'static str)],
        expected: &str,
    ) {
        let public = public.iter().map(ToString::to_string).collect();
        let fronts = Fronts::new(public, false, true);
        let blocks = if trusts { vec!["10.0.0.0/8"] } else { vec![] };
        let blocks = blocks.into_iter().map(|block| block.parse().unwrap());
        let proxies = TrustedProxies::new(blocks.collect());
        let headers = headers(lines);
        let peer = "10.0.0.1".parse().unwrap();
        let front = fronts.of("gateway:8080", &headers, peer, &proxies);
        let scheme = if front.is_https { "https" } else { "http" };
        assert_eq!(format!("{scheme}://{}", front.host), expected);
    }

    const FORWARDED: [(&str, &str); 2] = [
        ("x-forwarded-proto", "https, http"),
        ("x-forwarded-host", "app.example, inner"),
    ];

    #[test]
    fn the_public_origin_comes_before_all() {
        for trusts in [true, false] {
            assert_front(
                &["https://a.example"],
                trusts,
                &FORWARDED,
                "https://a.example",
            );
        }
    }

    #[test]
    fn of_several_public_origins_the_host_then_the_page_then_the_first_decides() {
        let origins = [
            "https://a.example",
            "http://Gateway:8080",
            "https://c.example",
        ];
        assert_front(&origins, false, &[], "http://Gateway:8080");
        let origins = [
            "https://a.example",
            "https://b.example",
            "https://c.example",
        ];
        let page = [("origin", "https://c.example")];
        assert_front(&origins, false, &page, "https://c.example");
        assert_front(&origins, false, &[], "https://a.example");
        let stranger = [("origin", "https://d.example")];
        assert_front(&origins, false, &stranger, "https://a.example");
    }

    #[test]
    fn a_proxy_is_believed_only_where_it_is_trusted() {
        assert_front(&[], true, &FORWARDED, "https://app.example");
        assert_front(&[], false, &FORWARDED, "http://gateway:8080");
        assert_front(&[], true, &[], "http://gateway:8080");
        assert_front(&[], true, &FORWARDED[..1], "https://gateway:8080");
        for odd in ["", "a b", "a/b", "a@b", "a\"b"] {
            let lines = [("x-forwarded-proto", "wss"), ("x-forwarded-host", odd)];
            assert_front(&[], true, &lines, "http://gateway:8080");
        }
    }

    #[test]
    fn where_no_app_is_asked_nothing_is_looked_at() {
        let fronts = Fronts::new(vec!["https://a.example".to_owned()], true, false);
        let proxies = TrustedProxies::new(Vec::new());
        let peer = "10.0.0.1".parse().unwrap();
        let headers = HeaderMap::new();
        let front = fronts.of("gateway", &headers, peer, &proxies);
        assert_eq!(front, Front::default());
    }
}
