//! Which requests are the app's: every path outside `/v1`, where an app is configured.
//!
//! A [`ForApp`] can only be made by [`Admission::admit`](super::Admission::admit), and no token can be
//! attached to one. A path that a server further on could take for one of the API's is nobody's.

use std::borrow::Cow;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, Method, Version, request};
use http_body::Body;
use hyper::body::Incoming;

use super::framing;

/// A path is decoded so often at most: whoever decodes more often is not followed.
const MOST_DECODINGS: usize = 4;

/// A request for the app, as it came.
///
/// It is no [`Admitted`](super::Admitted), so that it cannot be given a token:
///
/// ```compile_fail,E0308
/// # use behest_gateway::admission::ForApp;
/// # use behest_gateway::forward::{Outgoing, Rewrite};
/// # use http::HeaderValue;
/// async fn prepared(request: ForApp, rewrite: &Rewrite, id: HeaderValue) {
///     let _ = Outgoing::prepare(request, rewrite, id).await;
/// }
/// ```
pub struct ForApp {
    parts: request::Parts,
    body: Incoming,
    is_websocket: bool,
}

impl ForApp {
    pub(super) fn new(parts: request::Parts, body: Incoming, is_websocket: bool) -> Self {
        Self {
            parts,
            body,
            is_websocket,
        }
    }

    /// The request's headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// What it was sent to: `host[:port]`.
    #[must_use]
    pub fn host(&self) -> &str {
        std::str::from_utf8(framing::host(&self.parts)).unwrap_or_default()
    }

    /// Takes it apart: its head, its body, and whether it asks for a WebSocket.
    pub(crate) fn into_parts(self) -> (request::Parts, Incoming, bool) {
        (self.parts, self.body, self.is_websocket)
    }
}

/// Whether the raw `path` is the API's: `/v1`, and everything under it.
pub(super) fn is_api(path: &str) -> bool {
    path.strip_prefix("/v1")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether somebody who decodes, merges slashes, follows dots, or does not mind capitals could take
/// the raw `path` for one of the API's.
pub(super) fn may_become_api(path: &str) -> bool {
    if is_plain(path) {
        let first = path.split('/').nth(1).unwrap_or_default();
        return first.eq_ignore_ascii_case("v1");
    }
    may_become(path, |segments| {
        let mut segments = segments.iter();
        segments
            .next()
            .is_some_and(|first| first.eq_ignore_ascii_case(b"v1"))
    })
}

/// The same of the one path `own`: an app that still has its route there must not be asked for a token.
pub(super) fn may_become_path(path: &str, own: &str) -> bool {
    if is_plain(path) {
        return path.trim_end_matches('/').eq_ignore_ascii_case(own);
    }
    may_become(path, |segments| {
        let own = own.split('/').skip(1).map(str::as_bytes);
        let is_same = |(one, other): (&&[u8], &[u8])| one.eq_ignore_ascii_case(other);
        segments.len() == own.clone().count() && segments.iter().zip(own).all(is_same)
    })
}

/// Whether everybody reads `path` in the same way, but for capitals and a slash at its end.
fn is_plain(path: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_');
    path.bytes().all(is_plain) && !path.contains("//")
}

/// Whether what is left of `path`, however often it is decoded, `is_it`.
fn may_become(path: &str, is_it: impl Fn(&[&[u8]]) -> bool) -> bool {
    let mut path = Cow::Borrowed(path.as_bytes());
    for _ in 0..MOST_DECODINGS {
        if is_it(&segments(&path)) {
            return true;
        }
        let Some(decoded) = decoded(&path) else {
            return false;
        };
        path = Cow::Owned(decoded);
    }
    // Encoded that often, it is meant for nobody.
    true
}

/// The segments that are left, however they are written.
fn segments(path: &[u8]) -> Vec<&[u8]> {
    let mut segments: Vec<&[u8]> = Vec::new();
    // What follows is a query, a fragment, or nothing at all, to whoever reads it decoded.
    let end = path.iter().position(|byte| b"?#\0".contains(byte));
    let path = path.get(..end.unwrap_or(path.len())).unwrap_or_default();
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        // Parameters of a path's segment (RFC 3986 section 3.3).
        let name = segment.split(|byte| *byte == b';').next();
        match name.unwrap_or_default().trim_ascii() {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    segments
}

/// `path` with its `%xx` decoded once; `None` where there are none.
fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let encoded = (byte == b'%').then(|| hex_pair(after)).flatten();
        decoded.push(encoded.unwrap_or(byte));
        rest = if encoded.is_some() {
            after.get(2..).unwrap_or_default()
        } else {
            after
        };
    }
    (decoded.len() < path.len()).then_some(decoded)
}

fn hex_pair(text: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(text.get(..2)?).ok()?;
    // `from_str_radix` takes a sign.
    text.bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then_some(())?;
    u8::from_str_radix(text, 16).ok()
}

/// Whether the request asks for a WebSocket (RFC 6455 section 4.1). Another `Upgrade` is ignored, as a
/// server may (RFC 9110 section 7.8).
pub(super) fn is_websocket(parts: &request::Parts, body: &Incoming) -> bool {
    parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && names(&parts.headers, &UPGRADE, b"websocket")
        && names(&parts.headers, &CONNECTION, b"upgrade")
        && body.is_end_stream()
}

/// Whether a header that is a list names `token`.
fn names(headers: &HeaderMap, header: &http::HeaderName, token: &[u8]) -> bool {
    headers
        .get_all(header)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|named| named.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_v1_and_what_is_under_it() {
        for path in ["/v1", "/v1/", "/v1/models", "/v1//x", "/v1/../x"] {
            assert!(is_api(path), "{path}");
        }
        for path in ["/", "/v10", "/v1.json", "/api/v1/models", "/auth/v1/token"] {
            assert!(!is_api(path) && !may_become_api(path), "{path}");
        }
    }

    #[test]
    fn no_spelling_of_the_token_path_is_the_apps() {
        let own = "/api/behest/token";
        for path in [
            "/api/behest/token/",
            "/API/behest/Token",
            "/api/behest/%74oken",
            "/api//behest/token",
            "/x/../api/behest/token",
            "/api/behest/token;a=b",
            "/api/behest/token%3Fx",
            "/api%2fbehest%2ftoken",
        ] {
            assert!(may_become_path(path, own), "{path}");
        }
        for path in [
            "/api/behest/tokens",
            "/api/behest",
            "/api/behest/token/x",
            "/api/behest/token%20x",
            "/x/api/behest/token",
            "/",
        ] {
            assert!(!may_become_path(path, own), "{path}");
        }
    }

    #[test]
    fn no_spelling_of_the_api_is_the_apps() {
        for path in [
            "/V1/models",
            "/%76%31/models",
            "/v%31",
            "/%2576%2531/models",
            "/v1%2fmodels",
            "/v1%5cmodels",
            "/v1;a=b/models",
            "/v1%3Fx",
            "/v1%00/x",
            "/v1%20/models",
            "/./v1/models",
            "/%2e/v1/models",
            "/x/../v1/models",
            "/x/%2e%2E/v1/models",
            "/x/..;a/v1/models",
            "/..%2fv1/models",
            "/../v1",
            "/x\\..\\v1",
            "/x//..//v1/models",
            "/%2Fv1/models",
            "/%25252525252576",
        ] {
            assert!(may_become_api(path) && !is_api(path), "{path}");
        }
    }

    #[test]
    fn ordinary_paths_of_apps_stay_the_apps() {
        for path in [
            "/a%20b/%C3%A9",
            "/100%/x",
            "/%zz",
            "/%",
            "/a/../b",
            "/_next/static/chunks/%5Bslug%5D.js",
            "/v2/v1/models",
            "/x/..v1",
            "/v1x/..;/v",
        ] {
            assert!(!may_become_api(path), "{path}");
        }
    }
}
