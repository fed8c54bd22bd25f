//! Requests as bytes, through hyper and the whole of admission: whatever is admitted can be read in
//! one way only, is offered, and is no other site's; and what goes to the app is nothing of the API's.
//!
//! Input: a byte with the size of the pieces on the wire, and the bytes of a connection.

use std::convert::Infallible;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::cross_origin::{self, ALLOWED, config};
use super::gateway::admission::cors::{Cors, Reader};
use super::gateway::admission::cross_origin::CrossOrigin;
use super::gateway::admission::limits::{InFlight, Limits, LimitsConfig};
use super::gateway::admission::routes::RouteTable;
use super::gateway::admission::{Admission, Entry};
use super::input::choice;
use super::scripted::{End, Scripted};

static LIMITS: LazyLock<LimitsConfig> = LazyLock::new(|| LimitsConfig {
    max_head: 1024,
    max_headers: 20,
    max_uri: 256,
    max_body: 1000,
    ..LimitsConfig::default()
});

static ADMISSION: LazyLock<Admission> = LazyLock::new(|| {
    Admission::new(
        RouteTable::new(&[]),
        CrossOrigin::new(config(true, false)),
        Cors::new(&[], &[]),
        Limits::new(*LIMITS, InFlight::default().into()),
    )
    .with_app(true)
});

/// Checks one connection's requests.
pub fn check(data: &[u8]) {
    let Some((size, bytes)) = choice(data) else {
        return;
    };
    let pieces = bytes.chunks(if size == 0 {
        usize::MAX
    } else {
        usize::from(size)
    });
    let peer = Scripted::new(pieces.map(<[u8]>::to_vec), End::Closed);
    let mut builder = http1::Builder::new();
    // As the server has them: twice the gateway's own.
    builder
        .header_read_timeout(None)
        .max_headers(LIMITS.max_headers * 2)
        .max_header_size(LIMITS.max_head * 2)
        .max_buf_size(64 * 1024);
    let connection = builder.serve_connection(peer, service_fn(answer));
    // Whether it could be read to its end does not matter here.
    drop(super::input::ready(connection));
}

async fn answer(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let method = request.method().clone();
    let uri = request.uri().clone();
    let headers = request.headers().clone();
    let mut label = "unmatched";
    let mut reader = Reader::default();
    let mut response = Response::new(Empty::new());
    match ADMISSION.admit(request, &mut label, &mut reader) {
        Ok(Entry::Request(admitted)) => {
            assert_eq!(*admitted.headers(), headers);
            check_admitted(&method, &uri, &headers, label);
        }
        Ok(Entry::Preflight(preflight)) => {
            assert_eq!(method, Method::OPTIONS);
            let mut answer = preflight.into_response();
            reader.permit(answer.headers_mut());
            check_preflight(&headers, answer.headers());
        }
        Ok(Entry::App(passed)) => {
            assert_eq!(*passed.headers(), headers);
            assert_eq!(label, "app");
            check_for_app(&method, &uri, &headers);
        }
        Ok(Entry::Own(_)) => unreachable!("no path for it was given"),
        Err(_) => *response.status_mut() = StatusCode::FORBIDDEN,
    }
    reader.permit(response.headers_mut());
    if let Some(origin) = response.headers().get("access-control-allow-origin") {
        assert!(ALLOWED.iter().any(|allowed| allowed == origin));
        assert_eq!(headers.get("origin"), Some(origin));
    }
    Ok(response)
}

/// What a page of another origin is granted: nothing but names, and never what would be a credential.
fn check_preflight(asked: &HeaderMap, granted: &HeaderMap) {
    let origin = granted.get("access-control-allow-origin").unwrap();
    assert_eq!(asked.get("origin"), Some(origin));
    let Some(names) = granted.get("access-control-allow-headers") else {
        return;
    };
    for name in names.to_str().unwrap().split(", ") {
        assert!(http::HeaderName::try_from(name).is_ok(), "{name}");
        let name = name.to_ascii_lowercase();
        assert!(!name.contains('_') && !name.contains("cookie") && name != "host");
    }
}

fn check_admitted(method: &Method, uri: &Uri, headers: &HeaderMap, label: &str) {
    assert!(uri.path().starts_with("/v1/"));
    assert!(RouteTable::labels().any(|known| known == label));
    let host = check_head(uri, headers);
    if let Some(length) = headers.get(CONTENT_LENGTH) {
        assert!(length.to_str().unwrap().parse::<u64>().unwrap() <= LIMITS.max_body);
    }
    assert!(cross_origin::passes(true, false, method, headers, host));
}

/// The app gets no path that anybody could take for one of the API's, and no page of another site
/// opens a WebSocket.
fn check_for_app(method: &Method, uri: &Uri, headers: &HeaderMap) {
    let host = check_head(uri, headers);
    let mut path = uri.path().as_bytes().to_vec();
    for _ in 0..3 {
        let text = String::from_utf8_lossy(&path)
            .to_ascii_lowercase()
            .replace('\\', "/");
        let mut folded: Vec<&str> = Vec::new();
        for segment in text.split('/') {
            match segment.split([';', '?', '#']).next().unwrap() {
                ".." => drop(folded.pop()),
                "" | "." => {}
                name => folded.push(name),
            }
        }
        assert_ne!(folded.first(), Some(&"v1"), "{uri}");
        path = decoded(&path);
    }
    let says = |name: &str, word: &str| {
        let lines = headers.get_all(name).iter();
        lines.filter_map(|line| line.to_str().ok()).any(|line| {
            line.split(',')
                .any(|each| each.trim().eq_ignore_ascii_case(word))
        })
    };
    let has_body = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    if method == Method::GET
        && says("upgrade", "websocket")
        && says("connection", "upgrade")
        && !has_body
    {
        // Before HTTP/1.1 there is none, which is stricter.
        assert!(cross_origin::passes(true, false, method, headers, host));
    }
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let pair = path
            .get(at + 1..at + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = pair
            .filter(|pair| path[at] == b'%' && !pair.contains('+'))
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        decoded.push(byte.unwrap_or(path[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    decoded
}

/// What holds of every request that goes on; its host.
fn check_head<'h>(uri: &Uri, headers: &'h HeaderMap) -> &'h [u8] {
    assert!(uri.scheme().is_none() && uri.authority().is_none());
    let target = uri.path_and_query().unwrap().as_str();
    assert!(target.len() <= LIMITS.max_uri);
    assert!(headers.len() <= LIMITS.max_headers);
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    assert!(size <= LIMITS.max_head);

    let hosts: Vec<_> = headers.get_all(HOST).iter().collect();
    assert_eq!(hosts.len(), 1);
    let host = hosts[0].as_bytes();
    assert!(!host.is_empty());
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-:[]".contains(byte);
    assert!(host.iter().all(is_plain));

    let lengths: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
    let codings: Vec<_> = headers.get_all(TRANSFER_ENCODING).iter().collect();
    assert!(lengths.len() + codings.len() <= 1, "two ends of one body");
    for length in lengths {
        let length = length.to_str().unwrap();
        assert!(length.bytes().all(|byte| byte.is_ascii_digit()));
    }
    for coding in codings {
        assert!(coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    }
    host
}
