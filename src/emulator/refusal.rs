//! A refusal: the contract's errors, as an error of the emulator's own.
//!
//! The body is the contract's, with the two further members that OpenAI's SDKs read.

use http::StatusCode;
use serde_json::json;

use super::answer::Answer;

/// Why a request is not answered.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(&'static str, String)>,
    /// Whether the caller broke the contract, which is recorded.
    breach: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: &str) -> Self {
        Self {
            status,
            code,
            message: message.to_owned(),
            headers: Vec::new(),
            breach: false,
        }
    }

    /// 400 `validation_error`.
    pub(super) fn invalid(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "validation_error", message)
    }

    /// 422 `validation_error`.
    pub(super) fn unprocessable(message: &str) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_error",
            message,
        )
    }

    /// 401 `invalid_token`.
    pub(super) fn invalid_token(why: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_token", why)
    }

    /// 404.
    pub(super) fn not_found(what: &str) -> Self {
        let message = format!("no such {what}");
        Self::new(StatusCode::NOT_FOUND, "not_found", &message)
    }

    /// 400 for what the contract forbids to send; it is recorded as a violation.
    pub(super) fn breach(what: &str) -> Self {
        Self {
            breach: true,
            ..Self::new(StatusCode::BAD_REQUEST, "contract_violation", what)
        }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// What is to be recorded of it, if anything.
    pub(super) fn violation(&self) -> Option<&str> {
        self.breach.then_some(self.message.as_str())
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let body = json!({"error": {
            "message": refusal.message, "type": error_type(refusal.status), "param": null,
            "code": refusal.code,
        }});
        let answer = Self::json(refusal.status, &body);
        let headers = refusal.headers.iter();
        headers.fold(answer, |answer, (name, value)| {
            answer.with_header(name, value)
        })
    }
}

/// OpenAI's error types, which its SDKs show beside the code.
fn error_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        429 => "rate_limit_error",
        500..=599 => "server_error",
        _ => "invalid_request_error",
    }
}

/// The code of an error with this status, as the contract lists them.
pub(super) fn error_code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 422 => "validation_error",
        401 => "invalid_token",
        402 => "quota_exceeded",
        403 => "forbidden",
        404 => "not_found",
        429 => "rate_limited",
        _ => "server_error",
    }
}
