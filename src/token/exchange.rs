//! The API-key mint: one call to Behest for one token.
//!
//! Guarantees: `role` is never sent, a redirect is never followed, at most 64 KB of an answer are
//! read, and neither the key nor any text of the answer enters an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use serde::Serialize;

use crate::client::{Client, ClientError};
use crate::clock::Now;
use crate::identity::{Identity, SessionId};
use crate::retry_after::retry_after;

use super::tiers::Tiers;
use super::{InvalidAnswer, KeyError, KeyMode, MintConfig, Minted, Outage, TokenError, answer};

/// An answer beyond this is not read.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Mints by calling Behest.
pub struct Exchange {
    client: Arc<Client>,
    call: Call,
    /// No call takes longer.
    within: Duration,
}

/// What every call has in common.
struct Call {
    path: Uri,
    /// `Bearer` and the key, marked sensitive.
    authorization: HeaderValue,
    ttl: Duration,
    tiers: Tiers,
}

/// The mint's body. Never a `role`: the server takes that from the key.
#[derive(Serialize)]
struct Ask<'a> {
    user_id: &'a str,
    ttl: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
}

impl Exchange {
    /// Mints with `config.key` through `client`, which calls `BEHEST_BASE_URL`.
    ///
    /// # Errors
    /// The first of the problems that `validate` lists.
    pub fn new(config: &MintConfig, client: Arc<Client>) -> Result<Self, KeyError> {
        Ok(Self {
            client,
            call: Call::new(config)?,
            // The cache's own deadline comes first, so that a late mint is always a timeout; this
            // one only bounds a call that nothing else would.
            within: config.timeout.saturating_mul(2),
        })
    }

    /// Every problem of `config` in this mode.
    pub(super) fn validate(config: &MintConfig) -> Vec<KeyError> {
        let problems = [authorization(config).err(), path(config).err()];
        problems.into_iter().flatten().collect()
    }

    pub(super) fn sweep_connections(&self) {
        self.client.sweep();
    }

    /// One call; `asked` is the moment before it.
    pub(super) async fn mint(&self, identity: &Identity, asked: Now) -> Result<Minted, TokenError> {
        let request = self.call.request(identity);
        let exchange = self.client.exchange(request, ANSWER_LIMIT, self.within);
        let response = exchange.await.map_err(unreachable)?;
        judge(&response, identity, asked)
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl Exchange {
    /// What a mint makes of `response`, without the call.
    ///
    /// # Errors
    /// As a mint's.
    #[doc(hidden)]
    pub fn judge(
        response: &Response<Bytes>,
        identity: &Identity,
        asked: Now,
    ) -> Result<Minted, TokenError> {
        judge(response, identity, asked)
    }
}

impl Call {
    fn new(config: &MintConfig) -> Result<Self, KeyError> {
        Ok(Self {
            path: path(config)?,
            authorization: authorization(config)?,
            ttl: config.ttl,
            tiers: Tiers::new(config),
        })
    }

    fn request(&self, identity: &Identity) -> Request<Full<Bytes>> {
        let ask = Ask {
            user_id: identity.user.as_str(),
            ttl: self.ttl.as_secs(),
            tier: self.tiers.resolve(identity.tier.as_ref()),
            session_id: identity.session_id.as_ref().map(SessionId::as_str),
        };
        // Texts and numbers: writing them as JSON cannot fail.
        let body = serde_json::to_vec(&ask).unwrap_or_default();
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.path.clone();
        let json = HeaderValue::from_static("application/json");
        let agent = concat!("behest-gateway/", env!("CARGO_PKG_VERSION"));
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, json.clone());
        headers.insert(ACCEPT, json);
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        request
    }
}

/// What it means that there is no `response`.
fn unreachable(error: ClientError) -> TokenError {
    TokenError::Unavailable {
        retry_after: None,
        cause: Outage::Unreachable(Arc::new(error)),
    }
}

/// What `response` means for `identity`.
fn judge(
    response: &Response<Bytes>,
    identity: &Identity,
    asked: Now,
) -> Result<Minted, TokenError> {
    let status = response.status();
    if status == StatusCode::OK {
        let mut minted = answer::parse(response.body(), &identity.user, asked)?;
        if minted.session_id.is_none() {
            // A token that names no session belongs to the one that it was asked for.
            let session_id = identity.session_id.as_ref().map(SessionId::as_str);
            minted.session_id = session_id.and_then(|id| HeaderValue::from_str(id).ok());
        }
        return Ok(minted);
    }
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        return Err(TokenError::Unavailable {
            retry_after: retry_after(response.headers(), asked),
            cause: Outage::Status(status),
        });
    }
    if status.is_redirection() || status.is_client_error() {
        return Err(TokenError::Refused { status });
    }
    Err(InvalidAnswer::Status.into())
}

fn authorization(config: &MintConfig) -> Result<HeaderValue, KeyError> {
    let key = config.key.expose();
    let secret = key.strip_prefix(KeyMode::Exchange.prefix().as_bytes());
    let quoted = |byte: &u8| matches!(byte, b'"' | b'\'');
    if secret.is_none_or(<[u8]>::is_empty)
        || !key.iter().all(u8::is_ascii_graphic)
        || key.iter().any(quoted)
    {
        return Err(KeyError::ApiKey);
    }
    let key = std::str::from_utf8(key).map_err(|_| KeyError::ApiKey)?;
    Minted::authorization(key).ok_or(KeyError::ApiKey)
}

fn path(config: &MintConfig) -> Result<Uri, KeyError> {
    let path = &config.path;
    if !path.starts_with('/') || path.starts_with("//") || path.contains('#') {
        return Err(KeyError::Path);
    }
    path.parse().map_err(|_| KeyError::Path)
}

#[cfg(test)]
mod tests;
