//! From an admitted request to Behest and back: rewrite, send, stream.

pub mod body;
pub mod headers;
mod outgoing;
pub mod pace;
pub mod rate_headers;
pub mod request_body;
pub mod screen;
pub mod upstream;

pub use outgoing::{Outgoing, Rewrite};

use http::{HeaderValue, StatusCode};

use crate::client::ClientError;

/// Why a request was not answered by Behest.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The call itself failed.
    #[error("no answer from Behest (upstream.base_url, BEHEST_BASE_URL)")]
    Client(#[from] ClientError),
    /// An answer that must not be passed on.
    #[error("unusable answer: {0}")]
    Answer(&'static str),
    /// An error's body that no page may read.
    #[error("an error with status {} was withheld: {reason}", status.as_u16())]
    Withheld {
        /// Why; quotes nothing of it.
        reason: &'static str,
        /// The error's own, which is kept.
        status: StatusCode,
        /// The error's own, which is kept.
        retry_after: Option<HeaderValue>,
    },
    /// An error's body did not come to its end in time.
    #[error("an error's body took longer than upstream.idle_timeout")]
    ErrorLate,
    /// The token was refused, and a new one was too (or was refused moments ago).
    #[error(
        "Behest refuses the token and a new one too: do BEHEST_KEY, BEHEST_KID and BEHEST_BASE_URL belong to one project, and is this machine's clock right?"
    )]
    TokenRejected,
    /// The token was refused and a new one is being minted, but the body is gone.
    #[error(
        "the token was renewed, but the request's body, over upstream.hold_body, cannot be sent again"
    )]
    TokenRenewed,
    /// The request's body grew past the limit while it was passed on.
    #[error("body over limits.max_body ({0} bytes)")]
    BodyTooLarge(u64),
    /// The request's body came too slowly.
    #[error("the request's body came more slowly than limits.min_body_rate")]
    BodyTooSlow,
    /// The query has bytes that no request target can carry.
    #[error("the query cannot be passed on")]
    Target,
    /// The request's body broke off or its framing is wrong.
    #[error("the request's body broke off")]
    BodyBroken,
}
