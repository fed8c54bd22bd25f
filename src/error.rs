//! Every failure as a response, and the only file that knows the gateway's status codes.
//!
//! [`GatewayError`] becomes a [`Verdict`] by one exhaustive match. What a caller reads is written
//! here; `Display` and the chain of sources go to the log only. One code word serves the body, the
//! `x-gateway-error` header, the metrics and the log.

mod app;
mod body;
mod budget;
mod code;
mod page;
mod reason;
mod session;

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::admission::AdmissionError;
use crate::admission::limits::LimitError;
use crate::admission::routes::RouteError;
use crate::app::AppError;
use crate::budget::OverBudget;
use crate::client::ClientError;
use crate::forward::ForwardError;
use crate::revocation::Revoked;
use crate::session::SessionError;
use crate::token::TokenError;
use body::error_json;
pub use body::event_json;
pub use code::Code;
pub use page::page;
pub use reason::Reason;

const X_GATEWAY_ERROR: HeaderName = HeaderName::from_static("x-gateway-error");
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What the user of an ended session reads, in an answer or at a stream's end.
pub const SESSION_REVOKED: &str = "The session was ended by an operator: sign in to the app again.";

/// Why the gateway answers itself.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Not admitted.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// No session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A session that an operator has ended.
    #[error(transparent)]
    Revoked(#[from] Revoked),
    /// Over a limit that needs a user.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Over a budget or a rate.
    #[error(transparent)]
    Budget(#[from] OverBudget),
    /// No token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No answer from Behest.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// No answer from the app.
    #[error(transparent)]
    App(#[from] AppError),
}

/// Whether a client's automatic retry makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It would fail again: `x-should-retry: false`.
    Never,
    /// Worth a try: `Retry-After` in whole seconds.
    After(Duration),
    /// The client's own rules.
    Default,
}

/// What a caller is told.
#[derive(Debug)]
pub struct Verdict {
    /// HTTP status.
    pub status: StatusCode,
    /// The code word.
    pub code: Code,
    /// Public text: says what to change, quotes nothing.
    pub message: &'static str,
    /// Advice on retrying.
    pub retry: Retry,
}

const fn verdict(status: StatusCode, code: Code, message: &'static str, retry: Retry) -> Verdict {
    Verdict {
        status,
        code,
        message,
        retry,
    }
}

impl GatewayError {
    /// What the caller is told: the one exhaustive match.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Admission(error) => admission(error),
            Self::Session(error) => session::verdict(error),
            Self::Revoked(_) => verdict(
                StatusCode::UNAUTHORIZED,
                Code::SessionRevoked,
                SESSION_REVOKED,
                Retry::Never,
            ),
            Self::Limit(error) => limit(*error),
            Self::Budget(error) => budget::verdict_of(error),
            Self::Token(error) => token(error),
            Self::Forward(error) => forward(error),
            Self::App(error) => app::verdict(error),
        }
    }
}

fn admission(error: &AdmissionError) -> Verdict {
    match error {
        AdmissionError::Framing(_) => verdict(
            StatusCode::BAD_REQUEST,
            Code::RequestInvalid,
            "The request is malformed: one Host, one length, and a plain path are needed.",
            Retry::Never,
        ),
        AdmissionError::Route(RouteError::Unknown { .. }) => verdict(
            StatusCode::NOT_FOUND,
            Code::RouteUnknown,
            "This gateway offers no such path. The API is under /v1.",
            Retry::Never,
        ),
        AdmissionError::Route(RouteError::Method { .. }) => verdict(
            StatusCode::METHOD_NOT_ALLOWED,
            Code::MethodNotAllowed,
            "This path is not offered with this method; see the Allow header.",
            Retry::Never,
        ),
        AdmissionError::CrossOrigin(_) => verdict(
            StatusCode::FORBIDDEN,
            Code::CrossOriginRefused,
            "Requests from this origin are not allowed. If the page is yours, its origin must be listed in the gateway's public or allowed origins.",
            Retry::Never,
        ),
        AdmissionError::Limit(error) => limit(*error),
    }
}

fn limit(error: LimitError) -> Verdict {
    match error {
        LimitError::Head { .. } | LimitError::Lines { .. } => verdict(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Code::HeadersTooLarge,
            "The request's headers are too large or too many.",
            Retry::Never,
        ),
        LimitError::Uri { .. } => verdict(
            StatusCode::URI_TOO_LONG,
            Code::UriTooLong,
            "The request's path and query are too long.",
            Retry::Never,
        ),
        LimitError::Body { .. } => body_too_large(),
        LimitError::User(_) => user_busy(Duration::from_secs(1)),
    }
}

fn token(error: &TokenError) -> Verdict {
    let second = Duration::from_secs(1);
    match error {
        TokenError::Refused { .. } => verdict(
            StatusCode::BAD_GATEWAY,
            Code::MintRefused,
            "Behest refused to issue a token for this user. The gateway's log says why.",
            Retry::Never,
        ),
        TokenError::Unavailable { retry_after, .. } => {
            mint_unavailable(retry_after.unwrap_or(second))
        }
        TokenError::Invalid(_) | TokenError::Internal => mint_unavailable(second),
        TokenError::Timeout => verdict(
            StatusCode::GATEWAY_TIMEOUT,
            Code::MintTimeout,
            "Behest did not issue a token in time.",
            Retry::Default,
        ),
        TokenError::Overloaded => overloaded(),
        TokenError::UserBusy { retry_after } => user_busy(*retry_after),
        TokenError::RenewedRecently => token_rejected(),
    }
}

fn forward(error: &ForwardError) -> Verdict {
    match error {
        ForwardError::Client(error) => client(error),
        ForwardError::Answer(_) => upstream_invalid(),
        ForwardError::Withheld { status, .. } => verdict(
            *status,
            Code::UpstreamInvalid,
            "Behest answered with an error whose text cannot be passed on. The gateway's log says why.",
            Retry::Default,
        ),
        ForwardError::ErrorLate => verdict(
            StatusCode::GATEWAY_TIMEOUT,
            Code::UpstreamTimeout,
            "Behest answered with an error that did not end in time (upstream.idle_timeout).",
            Retry::Default,
        ),
        ForwardError::TokenRejected => token_rejected(),
        ForwardError::TokenRenewed => verdict(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::TokenRenewed,
            "The user's token was renewed while this request was on its way, and its body is too large to be sent again by the gateway: send it again.",
            Retry::After(Duration::ZERO),
        ),
        ForwardError::BodyTooLarge(_) => body_too_large(),
        ForwardError::BodyTooSlow => verdict(
            StatusCode::REQUEST_TIMEOUT,
            Code::RequestTimeout,
            "The request's body came too slowly.",
            Retry::Default,
        ),
        ForwardError::BodyBroken | ForwardError::Target => verdict(
            StatusCode::BAD_REQUEST,
            Code::RequestInvalid,
            "The request's body broke off, or the request cannot be passed on.",
            Retry::Never,
        ),
    }
}

fn client(error: &ClientError) -> Verdict {
    match error {
        ClientError::Connect(_) => verdict(
            StatusCode::BAD_GATEWAY,
            Code::UpstreamUnreachable,
            "Behest cannot be reached.",
            Retry::Default,
        ),
        ClientError::Closed(_) | ClientError::Cut(_) => verdict(
            StatusCode::BAD_GATEWAY,
            Code::UpstreamUnreachable,
            "Behest closed the connection without an answer.",
            Retry::Default,
        ),
        ClientError::ConnectTimeout(_) => verdict(
            StatusCode::GATEWAY_TIMEOUT,
            Code::UpstreamTimeout,
            "No connection to Behest in time (upstream.connect_timeout).",
            Retry::Default,
        ),
        ClientError::FirstByteTimeout(_) => verdict(
            StatusCode::GATEWAY_TIMEOUT,
            Code::UpstreamTimeout,
            "Behest did not begin to answer in time (upstream.first_byte_timeout).",
            Retry::Default,
        ),
        ClientError::Invalid(_) | ClientError::TooLarge(_) => upstream_invalid(),
    }
}

const fn upstream_invalid() -> Verdict {
    verdict(
        StatusCode::BAD_GATEWAY,
        Code::UpstreamInvalid,
        "Behest's answer could not be passed on.",
        Retry::Default,
    )
}

const fn token_rejected() -> Verdict {
    verdict(
        StatusCode::BAD_GATEWAY,
        Code::TokenRejected,
        "Behest refuses this user's token, and a new one too. The session is fine; the gateway's log says more.",
        Retry::Never,
    )
}

const fn mint_unavailable(retry_after: Duration) -> Verdict {
    verdict(
        StatusCode::SERVICE_UNAVAILABLE,
        Code::MintUnavailable,
        "Behest cannot issue a token at the moment.",
        Retry::After(retry_after),
    )
}

const fn user_busy(retry_after: Duration) -> Verdict {
    verdict(
        StatusCode::TOO_MANY_REQUESTS,
        Code::UserBusy,
        "This user has too many requests under way.",
        Retry::After(retry_after),
    )
}

const fn body_too_large() -> Verdict {
    verdict(
        StatusCode::PAYLOAD_TOO_LARGE,
        Code::BodyTooLarge,
        "The request's body is too large.",
        Retry::Never,
    )
}

const fn overloaded() -> Verdict {
    verdict(
        StatusCode::SERVICE_UNAVAILABLE,
        Code::Overloaded,
        "The gateway has too much under way.",
        Retry::After(Duration::from_secs(1)),
    )
}

/// The response to a failed request.
#[must_use]
pub fn response(error: &GatewayError, verdict: &Verdict, request_id: &str) -> Response<Bytes> {
    let Verdict {
        status,
        code,
        message,
        retry,
    } = *verdict;
    let details = if let GatewayError::Budget(error) = error {
        budget::details(error)
    } else {
        None
    };
    let body = error_json(status, code, message, request_id, details.as_ref());
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_GATEWAY_ERROR, HeaderValue::from_static(code.label()));
    advise(headers, retry);
    let is_ambiguous = matches!(error, GatewayError::Admission(AdmissionError::Framing(_)));
    if status == StatusCode::REQUEST_TIMEOUT || is_ambiguous {
        // RFC 9110 section 15.5.9, RFC 9112 section 6.1: what follows on the connection may be the rest
        // of this request. On HTTP/2, where frames tell, hyper takes it off again.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let GatewayError::Admission(AdmissionError::Route(RouteError::Method { allow, .. })) = error
        && let Ok(allow) = HeaderValue::from_str(allow)
    {
        headers.insert(ALLOW, allow);
    }
    if let GatewayError::Budget(error) = error {
        budget::headers(error, headers);
    }
    if let GatewayError::Forward(ForwardError::Withheld { retry_after, .. }) = error
        && let Some(retry_after) = retry_after
    {
        headers.insert(RETRY_AFTER, retry_after.clone());
    }
    response
}

fn advise(headers: &mut HeaderMap, retry: Retry) {
    match retry {
        Retry::Never => {
            headers.insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        Retry::After(wait) => {
            // Whole seconds, rounded up: RFC 9110 section 10.2.3.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            headers.insert(X_SHOULD_RETRY, HeaderValue::from_static("true"));
        }
        Retry::Default => {}
    }
}
