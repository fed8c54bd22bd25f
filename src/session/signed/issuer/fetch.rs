//! One call for an issuer's keys.
//!
//! Guarantees: redirects are not followed, at most 256 KiB are read, and no text of the answer enters
//! an error.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;

use super::super::SignedBuildError;
use super::super::key_set::{KeySet, KeySetError};
use crate::client::{Client, ClientConfig, ClientError, Outbound};

/// No set of keys is larger.
const LIMIT: usize = 256 * 1024;

/// No call takes longer.
const WITHIN: Duration = Duration::from_secs(5);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the call failed")]
    Call(#[from] ClientError),
    #[error("the answer's status is {0}")]
    Status(StatusCode),
    #[error("the answer {0}")]
    Keys(KeySetError),
    #[error("the answer holds no key any more: those from before are kept")]
    Empty,
    #[error("the call was given up")]
    Aborted,
    #[error("the call takes too long")]
    Late,
}

impl FetchError {
    /// With its causes, in one line.
    pub(super) fn in_words(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

/// Where keys are.
pub(super) struct Endpoint {
    client: Client,
    url: Uri,
    /// Path and query.
    target: Uri,
}

impl Endpoint {
    pub(super) fn new(url: &Uri, outbound: &Outbound) -> Result<Self, SignedBuildError> {
        // One call in minutes: no connection is kept for the next.
        let config = ClientConfig {
            connect_timeout: WITHIN,
            first_byte_timeout: WITHIN,
            pool_idle_timeout: Duration::ZERO,
            pool_max_age: Duration::ZERO,
            workers: 1,
        };
        let target = url
            .path_and_query()
            .ok_or(SignedBuildError::Address)?
            .clone();
        Ok(Self {
            client: outbound.client(url, config)?,
            url: url.clone(),
            target: target.into(),
        })
    }

    pub(super) fn url(&self) -> &Uri {
        &self.url
    }

    /// The keys as they are now.
    pub(super) async fn fetch(&self) -> Result<KeySet, FetchError> {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = self.target.clone();
        let agent = concat!("behest-gateway/", env!("CARGO_PKG_VERSION"));
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let response = self.client.exchange(request, LIMIT, WITHIN).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        KeySet::from_json(response.body()).map_err(FetchError::Keys)
    }
}
