//! What an operator reads of revocations: entries, pages, faults, all as JSON.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::revocation::{Full as NoRoom, Revocation, Subject};

/// A part of the list.
#[derive(Serialize)]
pub(super) struct Page<'a> {
    pub(super) revocations: Vec<Entry<'a>>,
    /// On all pages.
    pub(super) held: usize,
    /// Where the next page begins: its `after`.
    pub(super) next: Option<String>,
}

/// One revocation; times are RFC 3339.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    before: Option<String>,
    reason: Option<&'a str>,
    revoked_at: String,
    ends_at: String,
}

/// A new revocation, and what it did.
#[derive(Serialize)]
struct Created<'a> {
    #[serde(flatten)]
    entry: Entry<'a>,
    tokens_dropped: usize,
}

/// Why an operator does not get what they asked for.
#[derive(Debug)]
pub(super) enum Fault {
    /// A field, or where there is no one field the whole, is not as it must be.
    Field {
        field: Option<&'static str>,
        text: String,
    },
    /// Not said to be JSON.
    Media,
    /// The body is too large.
    TooLarge,
    /// No such revocation.
    Unknown,
    /// Not with this method, but with these.
    Method(&'static str),
    /// No room for another.
    NoRoom(NoRoom),
}

pub(super) fn entry(revocation: &Revocation) -> Entry<'_> {
    let (user_id, session_id) = match &revocation.subject {
        Subject::User(user) => (Some(user.as_str()), None),
        Subject::Session(name) => (None, Some(name.as_str())),
    };
    Entry {
        id: revocation.id.to_string(),
        user_id,
        session_id,
        before: revocation.before.map(time),
        reason: revocation.reason.as_deref(),
        revoked_at: time(revocation.revoked_at),
        ends_at: time(revocation.ends_at()),
    }
}

/// A time since the Unix epoch as RFC 3339.
pub(super) fn time(since_epoch: Duration) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch).to_string()
}

pub(super) fn created(revocation: &Revocation, tokens_dropped: usize) -> Response<Full<Bytes>> {
    let entry = entry(revocation);
    let mut response = json(&Created {
        entry,
        tokens_dropped,
    });
    *response.status_mut() = StatusCode::CREATED;
    response
}

pub(super) fn lifted() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

pub(super) fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Fault {
    pub(super) fn field(field: &'static str, text: impl Into<String>) -> Self {
        Self::Field {
            field: Some(field),
            text: text.into(),
        }
    }

    pub(super) fn body(text: impl Into<String>) -> Self {
        Self::Field {
            field: None,
            text: text.into(),
        }
    }

    pub(super) fn response(self) -> Response<Full<Bytes>> {
        let (status, text) = match &self {
            Self::Field { field, text } => {
                let named = field.map_or_else(|| text.clone(), |field| format!("{field} {text}"));
                (StatusCode::BAD_REQUEST, named)
            }
            Self::Media => {
                let text = "send Content-Type: application/json";
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, text.to_owned())
            }
            Self::TooLarge => {
                let text = "the body is larger than 16 KiB";
                (StatusCode::PAYLOAD_TOO_LARGE, text.to_owned())
            }
            Self::Unknown => (
                StatusCode::NOT_FOUND,
                "there is no revocation of this id; GET /revocations lists them".to_owned(),
            ),
            Self::Method(_) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "not with this method; see the Allow header".to_owned(),
            ),
            Self::NoRoom(full) => (StatusCode::INSUFFICIENT_STORAGE, full.to_string()),
        };
        let field = match &self {
            Self::Field { field, .. } => *field,
            Self::Media | Self::TooLarge | Self::Unknown | Self::Method(_) | Self::NoRoom(_) => {
                None
            }
        };
        let error = Told {
            field,
            message: &text,
        };
        let mut response = json(&serde_json::json!({ "error": error }));
        *response.status_mut() = status;
        if let Self::Method(offered) = self {
            let offered = HeaderValue::from_static(offered);
            response.headers_mut().insert(ALLOW, offered);
        }
        response
    }
}

impl From<NoRoom> for Fault {
    fn from(full: NoRoom) -> Self {
        Self::NoRoom(full)
    }
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    message: &'a str,
}
