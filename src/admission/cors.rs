//! Cross-origin resource sharing: which answers a page on another origin may read, and preflights.
//!
//! Every answer says `Vary: Origin`. Only a request from an allowed origin gets more, the exact origin
//! and never `*`, and then on every answer, errors included: a page that cannot read its 401 cannot
//! ask its user to sign in. Private network access is never granted. The rules are those of the Fetch
//! standard, section "HTTP CORS protocol".

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, request};

/// How long a browser may remember a preflight's answer, seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// What a page may send. `authorization` and `x-session-id` are accepted and discarded: OpenAI's SDK
/// and pages from before the gateway send them.
const REQUEST_HEADERS: [&str; 14] = [
    "accept",
    "authorization",
    "baggage",
    "content-type",
    "idempotency-key",
    "openai-beta",
    "openai-organization",
    "openai-project",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-request-id",
    "x-session-id",
    "x-thread-id",
];

/// What a page may read. A `*` means nothing where credentials are sent, so each name is written; of
/// `x-ratelimit-*` those that OpenAI documents, and any other that an answer has is added to it.
const EXPOSED: &str = "retry-after, retry-after-ms, x-request-id, x-gateway-request-id, x-trace-id, \
     x-should-retry, x-gateway-error, \
     x-ratelimit-limit-requests, x-ratelimit-limit-tokens, \
     x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, \
     x-ratelimit-reset-requests, x-ratelimit-reset-tokens";

/// What is granted to pages on allowed origins.
pub struct Cors {
    request_headers: Vec<HeaderName>,
    exposed: HeaderValue,
}

/// Who may read an answer in a browser besides the app's own pages.
#[derive(Clone, Debug, Default)]
pub struct Reader(Option<Granted>);

#[derive(Clone, Debug)]
struct Granted {
    origin: HeaderValue,
    exposed: HeaderValue,
}

/// The answer to a preflight: 204, and what the page may send.
#[derive(Debug)]
pub struct Preflight {
    methods: String,
    headers: String,
}

/// Whether it is a preflight: an `OPTIONS` by which a browser asks on its own account.
pub(super) fn is_preflight(parts: &request::Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl Cors {
    /// Grants the built-in lists, and what configuration adds to the headers that pass.
    #[must_use]
    pub fn new(request_headers: &[HeaderName], response_headers: &[HeaderName]) -> Self {
        let mut exposed = EXPOSED.to_owned();
        for name in response_headers {
            exposed.push_str(", ");
            exposed.push_str(name.as_str());
        }
        Self {
            request_headers: request_headers.to_vec(),
            exposed: HeaderValue::try_from(exposed)
                .unwrap_or_else(|_| HeaderValue::from_static(EXPOSED)),
        }
    }

    /// A page on `origin`, which is an allowed one.
    pub(super) fn reader(&self, origin: &HeaderValue) -> Reader {
        Reader(Some(Granted {
            origin: origin.clone(),
            exposed: self.exposed.clone(),
        }))
    }

    /// The answer to a preflight for a path that is offered with `methods`.
    pub(super) fn preflight(&self, methods: String, asked: &HeaderMap) -> Preflight {
        let mut granted = String::new();
        let lines = asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
        let names = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .map(str::trim);
        for name in names.filter(|name| self.may_send(name)) {
            if !granted.is_empty() {
                granted.push_str(", ");
            }
            granted.push_str(name);
        }
        Preflight {
            methods,
            headers: granted,
        }
    }

    fn may_send(&self, name: &str) -> bool {
        let configured = self.request_headers.iter().map(HeaderName::as_str);
        let mut listed = REQUEST_HEADERS.into_iter().chain(configured);
        is_stainless(name) || listed.any(|listed| listed.eq_ignore_ascii_case(name))
    }
}

/// `x-stainless-*`, which OpenAI's SDKs send.
fn is_stainless(name: &str) -> bool {
    const PREFIX: &str = "x-stainless-";
    name.split_at_checked(PREFIX.len())
        .is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(PREFIX)
                && !rest.is_empty()
                && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

impl Reader {
    /// Writes into an answer's headers who may read it.
    pub fn permit(&self, headers: &mut HeaderMap) {
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        let Some(Granted { origin, exposed }) = &self.0 else {
            return;
        };
        let exposed = with_rate_limits(exposed, headers).unwrap_or_else(|| exposed.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

/// `exposed` and the rate limits of this answer that it does not name; `None` where it names all.
fn with_rate_limits(exposed: &HeaderValue, headers: &HeaderMap) -> Option<HeaderValue> {
    let known = exposed.to_str().ok()?;
    let mut more = headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| name.starts_with("x-ratelimit-"))
        .filter(|name| !known.split(", ").any(|known| known == *name))
        .peekable();
    more.peek()?;
    let mut all = known.to_owned();
    for name in more {
        all.push_str(", ");
        all.push_str(name);
    }
    HeaderValue::try_from(all).ok()
}

impl Preflight {
    /// The whole answer, but for what every answer has.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        for (name, list) in [
            (ACCESS_CONTROL_ALLOW_METHODS, self.methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, self.headers),
        ] {
            if !list.is_empty()
                && let Ok(list) = HeaderValue::try_from(list)
            {
                headers.insert(name, list);
            }
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(request_headers: &[HeaderName], asked: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in asked {
            headers.append(ACCESS_CONTROL_REQUEST_HEADERS, line.parse().unwrap());
        }
        let cors = Cors::new(request_headers, &[]);
        cors.preflight("POST".to_owned(), &headers).headers
    }

    #[test]
    fn only_requested_headers_that_are_listed_are_reflected() {
        assert_eq!(granted(&[], &[]), "");
        assert_eq!(granted(&[], &["x-evil, cookie, x-tier, *"]), "");
        let asked = [
            "authorization,content-type,x-evil",
            "X-Stainless-OS ,, x-thread-id",
        ];
        assert_eq!(
            granted(&[], &asked),
            "authorization, content-type, X-Stainless-OS, x-thread-id"
        );
        for hostile in [
            "x-stainless-",
            "x-stainless-a b",
            "x-stainless-é",
            "x-stainless_a",
        ] {
            assert_eq!(granted(&[], &[hostile]), "", "{hostile}");
        }
        let extra = [HeaderName::from_static("x-app-version")];
        assert_eq!(granted(&extra, &["X-App-Version"]), "X-App-Version");
    }

    fn exposed(reader: &Reader, names: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.insert(*name, HeaderValue::from_static("1"));
        }
        reader.permit(&mut headers);
        assert_eq!(headers["vary"], "Origin");
        let exposed = headers.get(ACCESS_CONTROL_EXPOSE_HEADERS)?;
        Some(exposed.to_str().unwrap().to_owned())
    }

    #[test]
    fn an_answers_own_rate_limits_are_exposed_beside_the_documented_ones() {
        let origin = HeaderValue::from_static("https://chat.example");
        let reader = Cors::new(&[], &["x-cost".parse().unwrap()]).reader(&origin);
        let usual = exposed(&reader, &["x-ratelimit-limit-tokens", "date"]).unwrap();
        assert_eq!(usual, format!("{EXPOSED}, x-cost"));
        let more = exposed(&reader, &["x-ratelimit-limit-images", "x-other"]).unwrap();
        assert_eq!(more, format!("{usual}, x-ratelimit-limit-images"));
        assert_eq!(exposed(&Reader::default(), &["date"]), None);
    }
}
