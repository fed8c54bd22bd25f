//! What a caller without a session is told.

use std::time::Duration;

use http::StatusCode;

use super::{Code, Retry, Verdict, verdict as told};
use crate::session::{Asked, SessionError};

/// What the caller is told.
pub(super) fn verdict(error: &SessionError) -> Verdict {
    let unauthorized = |code, message| told(StatusCode::UNAUTHORIZED, code, message, Retry::Never);
    match error {
        SessionError::Missing { .. } => unauthorized(
            Code::SessionMissing,
            "No session cookie came with the request: sign in to the app first. (With fetch, send credentials; the cookie must be set for this host.)",
        ),
        SessionError::Expired { .. } => unauthorized(
            Code::SessionExpired,
            "The session has expired: sign in to the app again.",
        ),
        SessionError::Invalid { .. } | SessionError::NeedsLookup { .. } => unauthorized(
            Code::SessionInvalid,
            "The session is not valid here: sign in to the app again. If that does not help, run `behest-gateway inspect` on the cookie.",
        ),
        SessionError::NotAllowed { .. } => told(
            StatusCode::FORBIDDEN,
            Code::SessionNotAllowed,
            "This account may not use the API: the session lacks a claim that is required here.",
            Retry::Never,
        ),
        SessionError::Unavailable { .. } => told(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::SessionUnavailable,
            "The session cannot be checked at the moment. You are still signed in.",
            Retry::After(wait(error)),
        ),
    }
}

/// The wait that the app asks for, else a second.
fn wait(error: &SessionError) -> Duration {
    let asked = match error {
        SessionError::Unavailable { asked, .. } => match asked {
            Asked::App { retry_after } => *retry_after,
            Asked::Issuer => None,
        },
        SessionError::Missing { .. }
        | SessionError::Expired { .. }
        | SessionError::Invalid { .. }
        | SessionError::NotAllowed { .. }
        | SessionError::NeedsLookup { .. } => None,
    };
    asked.unwrap_or(Duration::from_secs(1))
}
