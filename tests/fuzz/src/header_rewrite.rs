//! Which headers pass, in both directions, against the lists as the rules name them.
//!
//! Input: a byte that chooses the direction, the policy and whether a HEAD is answered, and headers.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::gateway::forward::headers::HeaderPolicy;
use super::input::{choice, headers};

const HOST: HeaderValue = HeaderValue::from_static("demo.behest.app");
const REQUEST_ID: HeaderValue = HeaderValue::from_static("gwr_0123456789");

/// Nothing added, and one header added for each direction.
static POLICIES: LazyLock<[HeaderPolicy; 2]> = LazyLock::new(|| {
    let added = HeaderPolicy {
        request: vec![HeaderName::from_static("x-request-tag")],
        response: vec![HeaderName::from_static("x-model-region")],
    };
    [HeaderPolicy::default(), added]
});

/// Passed to Behest by their whole names.
const UP: [&str; 9] = [
    "accept",
    "accept-language",
    "content-type",
    "idempotency-key",
    "openai-beta",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-thread-id",
];

/// Passed to the caller by their whole names.
const DOWN: [&str; 8] = [
    "content-encoding",
    "content-type",
    "date",
    "retry-after",
    "retry-after-ms",
    "x-request-id",
    "x-should-retry",
    "x-trace-id",
];

/// Several lines of these are one list, or may be; of any other header the first line counts.
const LISTS: [&str; 5] = [
    "accept",
    "accept-language",
    "content-encoding",
    "tracestate",
    "x-model-region",
];

/// Checks one rewriting.
pub fn check(data: &[u8]) {
    let Some((choice, rest)) = choice(data) else {
        return;
    };
    let incoming = headers(rest);
    let has_more = choice & 1 == 1;
    let policy = &POLICIES[usize::from(choice & 1)];
    if choice & 2 == 0 {
        let sent = policy.rewrite_request(&incoming, &HOST, &REQUEST_ID);
        check_request(&incoming, &sent, has_more);
    } else {
        let is_head = choice & 4 != 0;
        let mut response = Response::new(());
        *response.headers_mut() = incoming.clone();
        let (head, ()) = response.into_parts();
        let sent = policy.rewrite_response(&head, is_head, &REQUEST_ID);
        check_response(&incoming, &sent, has_more, is_head);
    }
}

fn check_request(incoming: &HeaderMap, sent: &HeaderMap, has_more: bool) {
    let passes = |name: &str, value: &HeaderValue| {
        let is_known = UP.contains(&name)
            || is_one_of_a_family(name, &["x-stainless-"])
            || (has_more && name == "x-request-tag");
        is_known && (name != "user-agent" || value.len() <= 512)
    };
    let mut expected = passed(incoming, passes);
    expected.insert("host", HOST);
    expected.insert("accept-encoding", HeaderValue::from_static("identity"));
    expected.insert("x-request-id", REQUEST_ID);
    assert_eq!(*sent, expected, "{incoming:?}");
}

fn check_response(incoming: &HeaderMap, sent: &HeaderMap, has_more: bool, is_head: bool) {
    let passes = |name: &str, value: &HeaderValue| {
        let is_known = DOWN.contains(&name)
            || is_one_of_a_family(name, &["x-ratelimit-", "openai-"])
            || (has_more && name == "x-model-region");
        is_known && value.len() <= 8192
    };
    let mut expected = passed(incoming, passes);
    let is_stream = expected.get("content-type").is_some_and(|value| {
        let start = value.as_bytes().get(..17).unwrap_or_default();
        start.eq_ignore_ascii_case(b"text/event-stream")
    });
    let mut own = |name: &'static str, value: &'static str| {
        expected.insert(name, HeaderValue::from_static(value));
    };
    own("x-content-type-options", "nosniff");
    if is_stream {
        own("cache-control", "no-store, no-transform");
        own("x-accel-buffering", "no");
    } else {
        own("cache-control", "no-store");
    }
    expected.insert("x-gateway-request-id", REQUEST_ID);
    expected.entry("x-request-id").or_insert(REQUEST_ID);
    let mut sent = sent.clone();
    if let Some(length) = sent.remove("content-length") {
        assert!(is_head, "a length that nobody stated");
        let length: u64 = length.to_str().unwrap().parse().unwrap();
        let stated = incoming.get("content-length").unwrap().to_str().unwrap();
        assert_eq!(stated.parse(), Ok(length));
    }
    assert_eq!(sent, expected, "{incoming:?}");
}

/// What of `incoming` passes: what its Connection lines do not name, of each header the first, but
/// of lists all.
fn passed(incoming: &HeaderMap, passes: impl Fn(&str, &HeaderValue) -> bool) -> HeaderMap {
    let nominated = nominated(incoming);
    let mut outgoing = HeaderMap::new();
    for (name, value) in incoming {
        let text = name.as_str();
        assert!(!text.contains('_') || !passes(text, value), "{text}");
        if !passes(text, value) || nominated.iter().any(|token| token == text.as_bytes()) {
            continue;
        }
        if LISTS.contains(&text) || !outgoing.contains_key(name) {
            outgoing.append(name, value.clone());
        }
    }
    outgoing
}

/// The names in every Connection line.
fn nominated(incoming: &HeaderMap) -> Vec<Vec<u8>> {
    incoming
        .get_all("connection")
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(|token| token.trim_ascii().to_ascii_lowercase())
        .collect()
}

fn is_one_of_a_family(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix)) && !name.contains(['_', '.'])
}
