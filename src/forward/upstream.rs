//! Sends a request to Behest, and decides which answers may be passed on.

use http::{Request, Response, StatusCode};

use super::ForwardError;
use crate::client::{Client, ResponseBody, SendBody, SendBodyError, framing_fault};

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
            self.client
                .send(request)
                .await
                .map_err(|error| match error.body_fault() {
                    Some(SendBodyError::TooLarge) => ForwardError::BodyTooLarge(max_body),
                    Some(SendBodyError::Broken) => ForwardError::BodyBroken,
                    Some(SendBodyError::TooSlow) => ForwardError::BodyTooSlow,
                    None => ForwardError::Client(error),
                })?;
        if let Some(fault) = framing_fault(response.headers()) {
            return Err(ForwardError::Answer(fault));
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
