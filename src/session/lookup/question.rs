//! What the app is asked: a GET with the session's cookies and with how the browser reaches it.

use bytes::Bytes;
use http::header::{ACCEPT, COOKIE, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::Full;

use super::Front;
use crate::session::cookie::CookieName;
use crate::session::fingerprint::{Fingerprint, Fingerprints};

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// A question about one session, borrowed from the request that has it.
pub(super) struct Question<'r> {
    pairs: &'r [&'r [u8]],
    is_https: bool,
    host: &'r str,
}

impl<'r> Question<'r> {
    /// About the cookie `name`, which came as `pairs`.
    pub(super) fn new(pairs: &'r [&'r [u8]], name: &CookieName, front: Front<'r>) -> Self {
        let name = name.as_str();
        // Where nobody knows the front, as in `inspect`, the cookie's name tells: browsers take such
        // a cookie by https only.
        let is_secure = name.starts_with("__Secure-") || name.starts_with("__Host-");
        Self {
            pairs,
            is_https: front.is_https || (front.host.is_empty() && is_secure),
            host: front.host,
        }
    }

    /// The name that its answer is kept under: of all that the answer may depend on.
    pub(super) fn fingerprint(&self, names: &Fingerprints) -> Fingerprint {
        let front = [self.scheme().as_bytes(), self.host.as_bytes()];
        let parts: Vec<&[u8]> = front
            .into_iter()
            .chain(self.pairs.iter().copied())
            .collect();
        names.of(&parts)
    }

    /// The request to `path`; `None` if a cookie cannot be sent on, which one that came can.
    pub(super) fn request(&self, path: &Uri) -> Option<Request<Full<Bytes>>> {
        let mut cookie = HeaderValue::from_bytes(&self.pairs.join(b"; " as &[u8])).ok()?;
        cookie.set_sensitive(true);
        let mut request = Request::new(Full::default());
        *request.uri_mut() = path.clone();
        let agent = concat!("behest-gateway/", env!("CARGO_PKG_VERSION"));
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(self.scheme()));
        if !self.host.is_empty() {
            headers.insert(X_FORWARDED_HOST, HeaderValue::from_str(self.host).ok()?);
        }
        headers.insert(COOKIE, cookie);
        Some(request)
    }

    fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }
}
