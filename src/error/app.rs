//! Where the app gives no answer.

use http::StatusCode;

use super::{Code, Retry, Verdict, verdict as told};
use crate::app::AppError;
use crate::client::ClientError;

/// What the caller is told.
pub(super) fn verdict(error: &AppError) -> Verdict {
    match error {
        AppError::Client(error) => call(error),
        AppError::Answer(_) => invalid(),
        AppError::BodySlow => told(
            StatusCode::REQUEST_TIMEOUT,
            Code::RequestTimeout,
            "The request's body came too slowly.",
            Retry::Default,
        ),
        AppError::BodyBroken | AppError::Target => told(
            StatusCode::BAD_REQUEST,
            Code::RequestInvalid,
            "The request's body broke off, or the request cannot be passed on.",
            Retry::Never,
        ),
    }
}

fn call(error: &ClientError) -> Verdict {
    match error {
        ClientError::Connect(_) => told(
            StatusCode::BAD_GATEWAY,
            Code::AppUnreachable,
            "The app behind this gateway cannot be reached: is it running, and is app.url its address?",
            Retry::Default,
        ),
        ClientError::Closed(_) | ClientError::Cut(_) => told(
            StatusCode::BAD_GATEWAY,
            Code::AppUnreachable,
            "The app behind this gateway closed the connection without an answer.",
            Retry::Default,
        ),
        ClientError::ConnectTimeout(_) => told(
            StatusCode::GATEWAY_TIMEOUT,
            Code::AppTimeout,
            "No connection to the app behind this gateway in time (app.connect_timeout).",
            Retry::Default,
        ),
        ClientError::FirstByteTimeout(_) => told(
            StatusCode::GATEWAY_TIMEOUT,
            Code::AppTimeout,
            "The app behind this gateway did not begin to answer in time (app.first_byte_timeout).",
            Retry::Default,
        ),
        ClientError::Invalid(_) | ClientError::TooLarge(_) => invalid(),
    }
}

const fn invalid() -> Verdict {
    told(
        StatusCode::BAD_GATEWAY,
        Code::AppInvalid,
        "The answer of the app behind this gateway could not be passed on.",
        Retry::Default,
    )
}
