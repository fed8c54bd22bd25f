//! Sends a request to Behest, and decides which answers may be passed on.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};

use super::ForwardError;
use crate::client::{Client, ClientError, ResponseBody, SendBody, SendBodyError};

/// Behest's data plane.
pub struct Upstream {
    client: Client,
}

/// What came back.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, and boxing it costs every request"
)]
pub enum Answer {
    /// To be passed on.
    Passed(Response<ResponseBody>),
    /// Behest refuses the token; the answer is never passed on, for it would sign the user out.
    Unauthorized,
}

impl Upstream {
    /// The data plane behind `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The `Host` that requests carry.
    #[must_use]
    pub fn host(&self) -> &http::HeaderValue {
        self.client.host()
    }

    /// Closes pooled connections that can no longer be used ([`Client::sweep`]).
    pub fn sweep_connections(&self) {
        self.client.sweep();
    }

    /// Sends `request` once; `max_body` is what its body was counted against.
    ///
    /// # Errors
    /// No answer, or one that must not be passed on: 101 and other 1xx, redirects, and one that says
    /// its length twice.
    pub async fn send(
        &self,
        request: Request<SendBody>,
        max_body: u64,
    ) -> Result<Answer, ForwardError> {
        let response =
            self.client.send(request).await.map_err(|error| {
                body_fault(&error, max_body).unwrap_or(ForwardError::Client(error))
            })?;
        if lengths(response.headers()) > 1 {
            return Err(ForwardError::Answer("more than one length"));
        }
        if !is_one_number(response.headers().get(CONTENT_LENGTH)) {
            return Err(ForwardError::Answer("a length that is no number"));
        }
        if !is_chunked_at_most(response.headers()) {
            return Err(ForwardError::Answer("a transfer coding other than chunked"));
        }
        let status = response.status();
        if status.as_u16() > 599 {
            return Err(ForwardError::Answer("a status that HTTP has not"));
        }
        if status == StatusCode::UNAUTHORIZED {
            return Ok(Answer::Unauthorized);
        }
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            return Err(ForwardError::Answer("a redirect"));
        }
        if status.is_informational() {
            return Err(ForwardError::Answer("a switch of protocols"));
        }
        Ok(Answer::Passed(response))
    }
}

/// How often the head says how long the body is; more than once, two readers could disagree.
fn lengths(headers: &HeaderMap) -> usize {
    let lines = |name| headers.get_all(name).iter().count();
    lines(CONTENT_LENGTH) + lines(TRANSFER_ENCODING)
}

/// Whether a stated length is digits and nothing else; hyper also takes a list of equal numbers, and
/// does not look at it where there is no body.
fn is_one_number(length: Option<&HeaderValue>) -> bool {
    length
        .is_none_or(|length| !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit))
}

/// Whether the body's only coding is `chunked`: hyper undoes no other.
fn is_chunked_at_most(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// The fault in the request's own body, where that is why the call failed.
fn body_fault(error: &ClientError, max_body: u64) -> Option<ForwardError> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(fault) = cause.downcast_ref::<SendBodyError>() {
            return Some(match fault {
                SendBodyError::TooLarge => ForwardError::BodyTooLarge(max_body),
                SendBodyError::Broken => ForwardError::BodyBroken,
                SendBodyError::TooSlow => ForwardError::BodyTooSlow,
            });
        }
        source = cause.source();
    }
    None
}
