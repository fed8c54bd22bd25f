//! Which headers pass, in both directions, by allow-list.
//!
//! Both directions are built from empty: cookies, `Authorization`, identity headers and hop-by-hop
//! headers have no way through, whatever they are called this year (CVE-2025-64484 came in through an
//! underscore, CVE-2024-45410 through `Connection`).

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION,
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, DATE, HOST, RETRY_AFTER, SET_COOKIE,
    USER_AGENT,
};
use http::header::{Entry, GetAll};
use http::{HeaderMap, HeaderName, HeaderValue, response};

use crate::token::AccessToken;

/// The session id that Behest keeps memory under; always set here, never taken from a caller.
pub const X_SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");
/// Names one request in every log.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The gateway's own name for the request.
pub const X_GATEWAY_REQUEST_ID: HeaderName = HeaderName::from_static("x-gateway-request-id");
/// Behest's own name for the request.
pub const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const X_CONTENT_TYPE_OPTIONS: HeaderName = HeaderName::from_static("x-content-type-options");

/// A longer `User-Agent` is dropped, bytes.
const MAX_USER_AGENT: usize = 512;

/// A longer value in an answer is dropped, bytes: not every caller takes larger heads.
const MAX_ANSWER_VALUE: usize = 8 * 1024;

/// The allow-lists, with what configuration adds to them (`[routes]`).
#[derive(Clone, Debug, Default)]
pub struct HeaderPolicy {
    /// Passed to Behest beside the built-in list.
    pub request: Vec<HeaderName>,
    /// Passed to the caller beside the built-in list.
    pub response: Vec<HeaderName>,
}

impl HeaderPolicy {
    /// The headers of the request to Behest, but for the token: from the caller's, by allow-list.
    #[must_use]
    pub fn rewrite_request(
        &self,
        incoming: &HeaderMap,
        host: &HeaderValue,
        request_id: &HeaderValue,
    ) -> HeaderMap {
        let nominated = Nominated::of(incoming);
        let mut outgoing = HeaderMap::with_capacity(incoming.len() + 4);
        for (name, value) in incoming {
            if !self.passes_up(name, value) || nominated.contains(name) {
                continue;
            }
            match outgoing.entry(name) {
                Entry::Vacant(first) => {
                    first.insert(value.clone());
                }
                Entry::Occupied(mut all) if is_list(name) => all.append(value.clone()),
                // Of a header that has one value the first counts, here and upstream.
                Entry::Occupied(_) => {}
            }
        }
        outgoing.insert(HOST, host.clone());
        outgoing.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        outgoing.insert(X_REQUEST_ID, request_id.clone());
        outgoing
    }

    /// The headers of the answer to the caller: from Behest's, by allow-list.
    ///
    /// The length of a body is stated by whoever writes it; that of a HEAD's answer, which has none,
    /// is passed on (RFC 9110 section 9.3.2).
    #[must_use]
    pub fn rewrite_response(
        &self,
        head: &response::Parts,
        is_head: bool,
        request_id: &HeaderValue,
    ) -> HeaderMap {
        let incoming = &head.headers;
        let nominated = Nominated::of(incoming);
        let mut outgoing = HeaderMap::with_capacity(incoming.len() + 4);
        for (name, value) in incoming {
            if !self.passes_down(name) || value.len() > MAX_ANSWER_VALUE || nominated.contains(name)
            {
                continue;
            }
            match outgoing.entry(name) {
                Entry::Vacant(first) => {
                    first.insert(value.clone());
                }
                // As above; of what configuration adds, nobody here knows whether it is a list.
                Entry::Occupied(mut all) if is_list(name) || self.response.contains(name) => {
                    all.append(value.clone());
                }
                Entry::Occupied(_) => {}
            }
        }
        if is_head && let Some(length) = incoming.get(CONTENT_LENGTH).and_then(length) {
            outgoing.insert(CONTENT_LENGTH, length.into());
        }
        finish_response(&mut outgoing, request_id);
        outgoing
    }

    fn passes_up(&self, name: &HeaderName, value: &HeaderValue) -> bool {
        match *name {
            ACCEPT | ACCEPT_LANGUAGE | CONTENT_TYPE => true,
            USER_AGENT => value.len() <= MAX_USER_AGENT,
            COOKIE | AUTHORIZATION | HOST => false,
            _ => {
                let text = name.as_str();
                (text.starts_with("x-stainless-") && !text.contains(['_', '.']))
                    || matches!(
                        text,
                        "traceparent"
                            | "tracestate"
                            | "x-thread-id"
                            | "idempotency-key"
                            | "openai-beta"
                    )
                    || (self.request.contains(name) && !text.contains('_'))
            }
        }
    }

    fn passes_down(&self, name: &HeaderName) -> bool {
        match *name {
            CONTENT_TYPE | CONTENT_ENCODING | DATE | RETRY_AFTER => true,
            SET_COOKIE => false,
            _ => {
                let text = name.as_str();
                matches!(
                    text,
                    "x-request-id" | "x-trace-id" | "x-should-retry" | "retry-after-ms"
                ) || ((text.starts_with("x-ratelimit-") || text.starts_with("openai-"))
                    && !text.contains(['_', '.']))
                    || (self.response.contains(name) && !text.contains('_'))
            }
        }
    }
}

/// Whether several lines of this header mean one list (RFC 9110 section 5.3).
fn is_list(name: &HeaderName) -> bool {
    [ACCEPT, ACCEPT_LANGUAGE, CONTENT_ENCODING].contains(name) || name == "tracestate"
}

/// A stated length, where it is one: hyper reads no length of a HEAD's answer.
fn length(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok()?;
    digits.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    digits.parse().ok()
}

/// Attaches a user's token: the last thing that happens to a request's headers.
pub(super) fn attach_token(headers: &mut HeaderMap, token: &AccessToken) {
    headers.insert(AUTHORIZATION, token.authorization.clone());
    match &token.session_id {
        Some(session_id) => headers.insert(X_SESSION_ID, session_id.clone()),
        None => headers.remove(X_SESSION_ID),
    };
}

/// What every API answer carries, the gateway's own errors included.
pub fn finish_response(headers: &mut HeaderMap, request_id: &HeaderValue) {
    let cache_control = if is_event_stream(headers) {
        headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
        "no-store, no-transform"
    } else {
        "no-store"
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_GATEWAY_REQUEST_ID, request_id.clone());
    if !headers.contains_key(X_REQUEST_ID) {
        headers.insert(X_REQUEST_ID, request_id.clone());
    }
}

/// Whether the headers announce `text/event-stream`.
#[must_use]
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    const MEDIA_TYPE: &[u8] = b"text/event-stream";
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        value
            .as_bytes()
            .get(..MEDIA_TYPE.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(MEDIA_TYPE))
    })
}

/// The names in every `Connection` line: hop-by-hop by the sender's own word (RFC 9110 section 7.6.1).
///
/// Most requests have no such line, and then no name is looked for.
struct Nominated<'a>(Option<GetAll<'a, HeaderValue>>);

impl<'a> Nominated<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let any = headers.contains_key(CONNECTION);
        Self(any.then(|| headers.get_all(CONNECTION)))
    }

    fn contains(&self, name: &HeaderName) -> bool {
        self.0
            .iter()
            .flatten()
            // As bytes: one that is no text must not hide the names beside it.
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .any(|token| {
                token
                    .trim_ascii()
                    .eq_ignore_ascii_case(name.as_str().as_bytes())
            })
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        map
    }

    fn up(headers: &[(&str, &str)]) -> HeaderMap {
        let host = HeaderValue::from_static("demo.behest.app");
        HeaderPolicy::default().rewrite_request(&map(headers), &host, &"r1".parse().unwrap())
    }

    #[test]
    fn nothing_about_identity_goes_up_from_a_caller() {
        let sent = up(&[
            ("cookie", "a=b"),
            ("authorization", "Bearer mine"),
            ("x-session-id", "theirs"),
            ("x-end-user-id", "admin"),
            ("x-tier", "max"),
            ("x_session_id", "theirs"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-stainless_x", "1"),
            ("upgrade", "websocket"),
            ("accept-encoding", "gzip"),
            ("x-request-id", "theirs"),
            ("host", "evil"),
        ]);
        let mut names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept-encoding", "host", "x-request-id"]);
        assert_eq!(sent["host"], "demo.behest.app");
        assert_eq!(sent["accept-encoding"], "identity");
        assert_eq!(sent["x-request-id"], "r1");
    }

    #[test]
    fn what_the_openai_sdk_sends_goes_up() {
        let given = [
            ("accept", "application/json"),
            ("content-type", "application/json"),
            ("user-agent", "OpenAI/JS 6"),
            ("x-stainless-lang", "js"),
            ("traceparent", "00-1-2-01"),
            ("x-thread-id", "t1"),
            ("idempotency-key", "k"),
            ("openai-beta", "x"),
        ];
        let sent = up(&given);
        for (name, value) in given {
            assert_eq!(sent[name], value);
        }
    }

    #[test]
    fn of_a_header_with_one_value_the_first_goes_up() {
        let sent = up(&[
            ("x-thread-id", "first"),
            ("x-thread-id", "second"),
            ("accept", "text/event-stream"),
            ("accept", "application/json"),
        ]);
        assert_eq!(sent.get_all("x-thread-id").iter().count(), 1);
        assert_eq!(sent["x-thread-id"], "first");
        assert_eq!(sent.get_all("accept").iter().count(), 2);
    }

    #[test]
    fn names_in_any_connection_line_stay_behind() {
        let sent = up(&[
            ("connection", "keep-alive"),
            ("connection", "close, X-Thread-Id"),
            ("x-thread-id", "t1"),
        ]);
        assert!(!sent.contains_key("x-thread-id"));
        assert!(!sent.contains_key("connection"));
    }

    #[test]
    fn a_connection_line_with_other_bytes_still_names_its_headers() {
        let mut given = map(&[("x-thread-id", "t1")]);
        let line = HeaderValue::from_bytes(b"\xff, x-thread-id").unwrap();
        given.append(CONNECTION, line);
        let host = HeaderValue::from_static("demo.behest.app");
        let sent = HeaderPolicy::default().rewrite_request(&given, &host, &host);
        assert!(!sent.contains_key("x-thread-id"));
    }

    #[test]
    fn answers_lose_cookies_redirects_and_server_details() {
        let mut head = Response::new(()).into_parts().0;
        head.headers = map(&[
            ("set-cookie", "a=b"),
            ("location", "/x"),
            ("server", "s"),
            ("access-control-allow-origin", "*"),
            ("x-accel-redirect", "/x"),
            ("alt-svc", "h3"),
            ("x-trace-id", "t"),
            ("x-request-id", "behests"),
            ("x-ratelimit-remaining-requests", "1"),
            ("content-type", "text/event-stream; charset=utf-8"),
        ]);
        let sent = HeaderPolicy::default().rewrite_response(&head, false, &"r1".parse().unwrap());
        let mut names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "cache-control",
                "content-type",
                "x-accel-buffering",
                "x-content-type-options",
                "x-gateway-request-id",
                "x-ratelimit-remaining-requests",
                "x-request-id",
                "x-trace-id"
            ]
        );
        assert_eq!(sent["cache-control"], "no-store, no-transform");
        assert_eq!(sent["x-request-id"], "behests");
    }

    #[test]
    fn an_answers_repeated_and_gigantic_lines_stay_behind() {
        let mut head = Response::new(()).into_parts().0;
        let (long, longest) = ("x".repeat(8193), "y".repeat(8192));
        head.headers = map(&[
            ("content-type", "application/json"),
            ("content-type", "text/html"),
            ("content-encoding", "gzip"),
            ("content-encoding", "br"),
            ("x-trace-id", &long),
            ("openai-version", &longest),
            ("x-cost", "1"),
            ("x-cost", "2"),
        ]);
        let policy = HeaderPolicy {
            response: vec!["x-cost".parse().unwrap()],
            ..HeaderPolicy::default()
        };
        let sent = policy.rewrite_response(&head, false, &"r1".parse().unwrap());
        let all = |name: &str| sent.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(all("content-type"), ["application/json"]);
        assert_eq!(all("content-encoding"), ["gzip", "br"]);
        assert_eq!(all("x-cost"), ["1", "2"]);
        assert_eq!(sent["openai-version"], longest);
        assert!(!sent.contains_key("x-trace-id"));
    }

    #[test]
    fn names_with_an_underscore_never_pass_even_where_they_are_listed() {
        let name: HeaderName = "x_listed".parse().unwrap();
        let policy = HeaderPolicy {
            request: vec![name.clone()],
            response: vec![name],
        };
        let given = map(&[
            ("x_listed", "1"),
            ("openai-a_b", "1"),
            ("x-stainless-a_b", "1"),
        ]);
        let host = HeaderValue::from_static("a");
        let up = policy.rewrite_request(&given, &host, &host);
        let mut head = Response::new(()).into_parts().0;
        head.headers = given;
        let down = policy.rewrite_response(&head, false, &host);
        for sent in [up, down] {
            assert!(
                sent.keys().all(|name| !name.as_str().contains('_')),
                "{sent:?}"
            );
        }
    }
}
