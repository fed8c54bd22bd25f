//! What an error looks like on the wire.

use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::Code;

/// The error body, in a shape that OpenAI's SDKs and Behest's clients both read.
#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorDetail<'a>,
}

#[derive(Serialize)]
struct ErrorDetail<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Value>,
}

/// The JSON of the error that breaks a stream.
#[must_use]
pub fn event_json(code: Code, message: &str, request_id: &str) -> Vec<u8> {
    let status = if code == Code::SessionRevoked {
        StatusCode::UNAUTHORIZED
    } else if code == Code::QuotaExceeded {
        StatusCode::PAYMENT_REQUIRED
    } else {
        StatusCode::BAD_GATEWAY
    };
    error_json(status, code, message, request_id, None)
}

/// The JSON of an error.
pub(super) fn error_json(
    status: StatusCode,
    code: Code,
    message: &str,
    request_id: &str,
    details: Option<&Value>,
) -> Vec<u8> {
    let error = ErrorDetail {
        message,
        r#type: error_type(status),
        param: None,
        code: code.label(),
        request_id,
        details,
    };
    serde_json::to_vec(&ErrorBody { error }).unwrap_or_default()
}

/// The word that OpenAI's API has for a status.
fn error_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        404 | 405 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}
