//! A request on its way to Behest: the only thing that carries a token.
//!
//! It is made from an [`Admitted`] alone, so no request gets a token without having passed admission.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, request};

use super::ForwardError;
use super::headers::{HeaderPolicy, attach_token};
use super::pace::Pace;
use super::request_body::RequestBody;
use crate::admission::Admitted;
use crate::client::SendBody;
use crate::token::AccessToken;

/// How requests are rewritten: the same for all requests of one gateway.
pub struct Rewrite {
    /// Which headers pass.
    pub policy: HeaderPolicy,
    /// Behest's `Host`.
    pub host: HeaderValue,
    /// Bodies up to this many bytes are held, so that they can be sent again.
    pub hold: usize,
    /// The largest body, bytes.
    pub max_body: u64,
    /// How slowly a body may come.
    pub pace: Pace,
}

/// A request that can be sent with a user's token: once, or again if its body is held.
pub struct Outgoing<'a> {
    rewrite: &'a Rewrite,
    parts: request::Parts,
    target: Uri,
    body: RequestBody,
    request_id: HeaderValue,
}

impl<'a> Outgoing<'a> {
    /// Reads the body up to the hold limit.
    ///
    /// # Errors
    /// The body broke off, is too large or came too slowly, or the query cannot be passed on.
    pub async fn prepare(
        admitted: Admitted,
        rewrite: &'a Rewrite,
        request_id: HeaderValue,
    ) -> Result<Self, ForwardError> {
        let (parts, body, route) = admitted.into_parts();
        let target = match parts.uri.query() {
            None => Uri::try_from(&*route.path),
            Some(query) => Uri::try_from(format!("{}?{query}", route.path)),
        }
        .map_err(|_| ForwardError::Target)?;
        let body = RequestBody::read(body, rewrite.hold, rewrite.max_body, rewrite.pace).await?;
        Ok(Self {
            rewrite,
            parts,
            target,
            body,
            request_id,
        })
    }

    /// The request with `token`; `None` if its body went out already and cannot go out again.
    pub fn authorize(&mut self, token: &Arc<AccessToken>) -> Option<Request<SendBody>> {
        let mut request = Request::new(self.body.to_send()?);
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = self.target.clone();
        let Rewrite { policy, host, .. } = self.rewrite;
        let mut headers = policy.rewrite_request(&self.parts.headers, host, &self.request_id);
        attach_token(&mut headers, token);
        if self.body.is_empty() && has_body(&self.parts.method) {
            // hyper states no length of an empty body; many servers answer 411 without one.
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
        *request.headers_mut() = headers;
        Some(request)
    }

    /// The caller's headers.
    #[must_use]
    pub fn caller_headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The body, where it is held.
    #[must_use]
    pub fn held_body(&self) -> Option<&Bytes> {
        self.body.held()
    }

    /// Bytes of the body, as far as they are read or stated.
    #[must_use]
    pub fn body_size(&self) -> u64 {
        self.body.size()
    }

    /// Sends `body` in place of the one that is held.
    pub fn replace_body(&mut self, body: Bytes) {
        self.body = RequestBody::Held(body);
    }

    /// Whether it can be sent again.
    #[must_use]
    pub fn is_replayable(&self) -> bool {
        self.body.is_held()
    }

    /// The request's id.
    #[must_use]
    pub fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }
}

/// Whether a request of this method is expected to have a body (RFC 9110 section 8.6).
fn has_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}
