//! Why there is no token, as the cache shares it between everyone who waits for the same mint.
//!
//! Guarantees: no variant holds a key, a token, a user id or a text that came from another server.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::client::ClientError;
use crate::telemetry::labels::MintOutcome;

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    /// Behest refused: this user (400 and 422), else the key, the path or the address.
    #[error("the mint refused with status {}: {}", status.as_u16(), suspect(*status))]
    Refused {
        /// Any 3xx, or any 4xx but 429.
        status: StatusCode,
    },
    /// No answer, a 429 or a 5xx.
    #[error("the mint is unavailable")]
    Unavailable {
        /// What the mint's own `Retry-After` said, at most 300 s.
        retry_after: Option<Duration>,
        /// What happened.
        #[source]
        cause: Outage,
    },
    /// An answer that is no usable token.
    #[error("the mint's answer is not a usable token")]
    Invalid(#[from] InvalidAnswer),
    /// No answer within `mint.timeout`.
    #[error("the mint did not answer within mint.timeout")]
    Timeout,
    /// No place among the mints in flight within `mint.timeout`, or no room in the cache.
    #[error(
        "no place among the mints in flight within mint.timeout (mint.concurrency), or no room in the cache (cache.max_entries)"
    )]
    Overloaded,
    /// One user asked for too many tokens (`CacheConfig::per_user_limits`).
    #[error(
        "this user made too many sessions: 16 at once and 10 in 10 seconds are allowed, because session_id.mix_client lets pages make them"
    )]
    UserBusy {
        /// When the next one is allowed.
        retry_after: Duration,
    },
    /// The rejected token is itself a renewed one, less than 5 s old: it stays in use.
    #[error("the token was renewed a moment ago")]
    RenewedRecently,
    /// A bug: the mint panicked, or its worker ended.
    #[error("the mint failed inside the gateway")]
    Internal,
}

/// Why a mint is unavailable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Outage {
    /// It answered 429 or 5xx.
    #[error("it answered with status {}", .0.as_u16())]
    Status(StatusCode),
    /// There was no whole answer.
    #[error("it cannot be reached")]
    Unreachable(#[source] Arc<ClientError>),
}

/// Why an answer of the mint is no usable token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnswer {
    /// A 1xx, or a 2xx other than 200.
    #[error("its status is neither 200 nor an error")]
    Status,
    /// The body is not a JSON object of the right types.
    #[error("its body is not the expected JSON object")]
    NotJson,
    /// None of `jwt`, `access_token` and `token`.
    #[error("it holds no token")]
    NoToken,
    /// `token_type` is not `Bearer`.
    #[error("its token is not a bearer token")]
    TokenType,
    /// Not three base64url parts of which the first two are JSON objects.
    #[error("its token cannot be read as a JWT")]
    NotJwt,
    /// Larger than any header that Behest would take.
    #[error("its token is longer than 8192 bytes")]
    TooLong,
    /// The claim `uid` is not the user that was asked for.
    #[error("its token is for another user")]
    WrongUser,
    /// The claim `sid` is no text that fits a header.
    #[error("its token's session id cannot be sent")]
    SessionId,
    /// Neither a lifetime nor a claim `exp`, or one that is no number.
    #[error("it does not say when its token ends")]
    NoEnd,
    /// The token had ended when it arrived.
    #[error("its token has already ended")]
    Ended,
}

/// What a refusal is about, by its status.
fn suspect(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 422 => "it does not take this user id or tier",
        401 | 403 => "it does not take BEHEST_KEY",
        402 => "the project's plan or balance has ended",
        404 | 405 => "BEHEST_BASE_URL and mint.path lead to no mint",
        300..=399 => "it redirects, which is not followed; check BEHEST_BASE_URL and mint.path",
        _ => "check BEHEST_BASE_URL and mint.path",
    }
}

impl TokenError {
    /// Whether only this user is refused: says nothing about the next user's mint.
    #[must_use]
    pub fn is_about_user(&self) -> bool {
        matches!(self, Self::Refused { status } if matches!(status.as_u16(), 400 | 422))
    }

    /// Whether it came from the mint, and so counts against it.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Refused { .. } => !self.is_about_user(),
            Self::Unavailable { .. } | Self::Invalid(_) | Self::Timeout => true,
            Self::Overloaded | Self::UserBusy { .. } | Self::RenewedRecently | Self::Internal => {
                false
            }
        }
    }

    /// The metric's label; `None` where no mint ended.
    pub(super) fn outcome(&self) -> Option<MintOutcome> {
        match self {
            Self::Refused { .. } => Some(MintOutcome::Refused),
            Self::Unavailable { .. } => Some(MintOutcome::Unavailable),
            Self::Invalid(_) => Some(MintOutcome::Invalid),
            Self::Timeout => Some(MintOutcome::Timeout),
            Self::Overloaded => Some(MintOutcome::Overloaded),
            Self::UserBusy { .. } | Self::RenewedRecently | Self::Internal => None,
        }
    }
}
