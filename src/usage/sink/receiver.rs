//! Who is posted to, and what the answers mean.
//!
//! Guarantees: the token is in one header, marked sensitive, and in no error or log; a redirect is never
//! followed; at most 64 KB of an answer are read, and none of it is told.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};

use crate::client::{Client, ClientConfig, ClientError, OriginError, Outbound, SendBody};
use crate::clock::Clock;
use crate::retry_after::retry_after;
use crate::secret::Secret;
use crate::telemetry::chain;

/// As drafted for HTTP by the IETF (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// An answer beyond this is not read.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Connections are few and cheap to make anew.
const POOL_IDLE: Duration = Duration::from_secs(15);
const POOL_MAX_AGE: Duration = Duration::from_mins(5);

/// A server that takes usage records or alerts by POST.
pub struct Receiver {
    client: Client,
    path: Uri,
    /// `Bearer` and the token.
    authorization: Option<HeaderValue>,
    within: Duration,
}

/// Why nobody can be posted to.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// The URL cannot be called.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The token cannot stand in a header.
    #[error("the token is empty or holds something other than visible ASCII")]
    Token,
}

/// What became of one POST.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Posted {
    /// 2xx.
    Taken,
    /// No answer, 408, 429, a redirect or 5xx: to be sent again, after the wait that was asked for.
    Again {
        wait: Option<Duration>,
        cause: String,
    },
    /// Any other 4xx: sent again, it would be refused again.
    Refused(StatusCode),
}

impl Receiver {
    /// Posts to `url`, with `token` as bearer where there is one; no POST takes longer than `within`.
    ///
    /// # Errors
    /// A URL or a token that cannot be used.
    pub fn new(
        url: &Uri,
        token: Option<&Secret>,
        within: Duration,
        outbound: &Outbound,
    ) -> Result<Self, ReceiverError> {
        let config = ClientConfig {
            connect_timeout: within,
            first_byte_timeout: within,
            pool_idle_timeout: POOL_IDLE,
            pool_max_age: POOL_MAX_AGE,
            workers: 1,
        };
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            client: outbound.client(url, config)?,
            path: path.parse().map_err(|_| OriginError::NotAnOrigin)?,
            authorization: token.map(bearer).transpose()?,
            within,
        })
    }

    /// Its host, for logs.
    pub(super) fn host(&self) -> &str {
        self.client.host().to_str().unwrap_or_default()
    }

    /// Closes connections that have been idle.
    pub(super) fn sweep(&self) {
        self.client.sweep();
    }

    /// Posts `body`, which the receiver knows again by `id`.
    pub(super) async fn post(&self, id: u128, body: Bytes, clock: &Clock) -> Posted {
        let exchange = self.exchange(id, body, clock);
        let Ok(posted) = tokio::time::timeout(self.within, exchange).await else {
            let cause = "no whole answer in time".to_owned();
            return Posted::Again { wait: None, cause };
        };
        posted.unwrap_or_else(|error| Posted::Again {
            wait: None,
            cause: chain(&error),
        })
    }

    async fn exchange(&self, id: u128, body: Bytes, clock: &Clock) -> Result<Posted, ClientError> {
        let request = self.request(id, body);
        let (head, body) = self.client.send(request).await?.into_parts();
        // To its end, so that the connection can be used again; what it says is not looked at.
        match Limited::new(body, ANSWER_LIMIT).collect().await {
            Err(error) if !error.is::<LengthLimitError>() => return Err(ClientError::Cut(error)),
            Ok(_) | Err(_) => {}
        }
        let status = head.status;
        let is_for_good = status.is_client_error()
            && status != StatusCode::REQUEST_TIMEOUT
            && status != StatusCode::TOO_MANY_REQUESTS;
        Ok(if status.is_success() {
            Posted::Taken
        } else if is_for_good {
            Posted::Refused(status)
        } else {
            Posted::Again {
                wait: retry_after(&head.headers, clock.now()),
                cause: format!("the answer was {}", status.as_u16()),
            }
        })
    }

    fn request(&self, id: u128, body: Bytes) -> Request<SendBody> {
        let mut request = Request::new(SendBody::from(Full::new(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.client.host().clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let agent = concat!("behest-gateway/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if let Ok(key) = HeaderValue::from_str(&format!("{id:032x}")) {
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        request
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue, ReceiverError> {
    let bytes = token.expose();
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(ReceiverError::Token);
    }
    let bytes = [b"Bearer ", bytes].concat();
    let mut value = HeaderValue::from_bytes(&bytes).map_err(|_| ReceiverError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_sensitive_bearer_or_refused() {
        let value = bearer(&Secret::new("tok_1")).ok().unwrap();
        assert_eq!(value, "Bearer tok_1");
        assert!(value.is_sensitive());
        for bad in ["", "a b", "a\n", "ä"] {
            assert!(bearer(&Secret::new(bad)).is_err(), "{bad:?}");
        }
    }
}
