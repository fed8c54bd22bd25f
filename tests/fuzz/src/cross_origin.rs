//! The cross-origin decision against a naive reading of its rules.
//!
//! Input: a byte that chooses the configuration and the method, a line with the host, and headers.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, Method};

use super::gateway::admission::cross_origin::{CrossOrigin, CrossOriginConfig};
use super::input::{choice, headers, line};

/// The app's own origins, where there are any.
pub const PUBLIC: [&str; 2] = ["https://app.example", "https://app.example:8443"];

/// Other origins whose pages may call.
pub const ALLOWED: [&str; 2] = ["https://chat.example", "http://localhost:3000"];

const METHODS: [Method; 6] = [
    Method::POST,
    Method::GET,
    Method::HEAD,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// With and without a public origin, and with and without `require_proof`.
static DECISIONS: LazyLock<[CrossOrigin; 4]> = LazyLock::new(|| {
    [(true, false), (true, true), (false, false), (false, true)]
        .map(|(has_public, require_proof)| CrossOrigin::new(config(has_public, require_proof)))
});

/// One of the configurations.
#[must_use]
pub fn config(has_public: bool, require_proof: bool) -> CrossOriginConfig {
    let public: &[&str] = if has_public { &PUBLIC } else { &[] };
    CrossOriginConfig {
        public_origins: public.iter().map(ToString::to_string).collect(),
        allowed_origins: ALLOWED.map(str::to_owned).into(),
        require_proof,
    }
}

/// Checks one decision.
pub fn check(data: &[u8]) {
    let Some((choice, rest)) = choice(data) else {
        return;
    };
    let (host, rest) = line(rest);
    let headers = headers(rest);
    if headers.get_all("content-type").iter().count() > 1 {
        // No browser sends two; whether the first counts or neither is left open.
        return;
    }
    let (has_public, require_proof) = (choice & 2 == 0, choice & 1 == 1);
    let method = &METHODS[usize::from(choice >> 2) % METHODS.len()];
    let decision = DECISIONS[usize::from(choice & 3)].check(method, &headers, host);
    let expected = passes(has_public, require_proof, method, &headers, host);
    assert_eq!(decision.is_ok(), expected, "{method} {headers:?}");
    match decision {
        // Whose pages may read the answer: only of an origin that is allowed, as it was sent.
        Ok(reader) => assert_eq!(
            reader,
            headers.get("origin").filter(|origin| is_allowed(origin))
        ),
        Err(refusal) => check_words(&refusal.to_string()),
    }
    if let Ok(reader) = DECISIONS[usize::from(choice & 3)].check_preflight(&headers) {
        assert_eq!(
            headers.get_all("origin").iter().collect::<Vec<_>>(),
            [reader]
        );
        assert!(is_allowed(reader));
    }
}

fn is_allowed(origin: &HeaderValue) -> bool {
    ALLOWED.iter().any(|allowed| *allowed == origin)
}

/// What a refusal says to the operator, and quotes of the request.
fn check_words(text: &str) {
    assert!(
        text.bytes()
            .all(|byte| byte == b' ' || byte.is_ascii_graphic())
    );
    assert!(text.len() < 600, "a log line of the caller's length");
}

/// The rules, one after the other.
#[must_use]
pub fn passes(
    has_public: bool,
    require_proof: bool,
    method: &Method,
    headers: &HeaderMap,
    host: &[u8],
) -> bool {
    let values = |name: &str| -> Vec<&[u8]> {
        let values = headers.get_all(name).iter();
        values.map(http::HeaderValue::as_bytes).collect()
    };
    let (origins, sites) = (values("origin"), values("sec-fetch-site"));
    if origins.len() > 1 || sites.len() > 1 {
        return false;
    }
    let is_public = |origin: &[u8]| {
        if has_public {
            return PUBLIC.iter().any(|public| public.as_bytes() == origin);
        }
        let of_host = |scheme: &[u8]| [scheme, host].concat() == origin;
        !host.is_empty() && (of_host(b"https://") || of_host(b"http://"))
    };
    let is_allowed = |origin: &[u8]| ALLOWED.iter().any(|allowed| allowed.as_bytes() == origin);
    let origin = origins.first().copied();
    if origin.is_some_and(|origin| !is_public(origin) && !is_allowed(origin)) {
        return false;
    }
    match sites.first().copied() {
        Some(b"same-origin" | b"none") => true,
        Some(b"same-site" | b"cross-site") => origin.is_some_and(is_allowed),
        Some(_) => false,
        None if origin.is_some() => true,
        None if require_proof => false,
        None => method != Method::POST || is_json(&values("content-type")),
    }
}

/// One media type, of which a form knows none.
fn is_json(content_types: &[&[u8]]) -> bool {
    let [content_type] = content_types else {
        return false;
    };
    let text = std::str::from_utf8(content_type).ok();
    text.filter(|text| text.is_ascii() && !text.contains(','))
        .is_some_and(|text| {
            let media_type = text.split(';').next().unwrap().trim();
            media_type.eq_ignore_ascii_case("application/json")
        })
}
