//! One recorded request, and its JSON form.
//!
//! Neither `Debug` nor JSON shows a credential or a cookie: they give its length. The fields
//! themselves hold what came, since tests must be able to compare it.

use std::fmt;
use std::time::Instant;

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::time::{monotonic, unix_time};

/// A request as it came, and what became of it.
#[derive(Clone)]
pub struct RequestRecord {
    /// Its number, from 1 in order of arrival.
    pub id: u64,
    /// The number of its connection, from 1; 0 where it came without one.
    pub connection: u64,
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Every header line, in the order of the map.
    pub headers: HeaderMap,
    /// The first MiB of the body, growing while it arrives.
    pub body: Vec<u8>,
    /// The body's length so far.
    pub body_bytes: usize,
    /// The claims of its token, once that was verified; of the minted token for a mint.
    pub claims: Option<Value>,
    /// When its head had been read.
    pub started: Instant,
    /// The same in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// The status of the answer, once decided.
    pub status: Option<u16>,
    /// The kind of the fault that befell it.
    pub fault: Option<String>,
    /// Body frames handed to the connection.
    pub frames_sent: usize,
    /// How its answer ended; none while it is in flight.
    pub ending: Option<Ending>,
    /// When it ended.
    pub ended: Option<Instant>,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The last byte was handed to the connection.
    Complete,
    /// The connection was gone before that.
    ClientLeft,
    /// A fault ended it.
    Fault,
}

/// A request that the contract forbids; it was answered with 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The request's number.
    pub request: u64,
    /// What was wrong with it.
    pub what: String,
}

impl RequestRecord {
    pub(super) fn new(id: u64, connection: u64, head: &Parts) -> Self {
        let target = head
            .uri
            .path_and_query()
            .map_or_else(|| head.uri.to_string(), ToString::to_string);
        Self {
            id,
            connection,
            method: head.method.to_string(),
            target,
            headers: head.headers.clone(),
            body: Vec::new(),
            body_bytes: 0,
            claims: None,
            started: monotonic(),
            started_unix_ms: u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX),
            status: None,
            fault: None,
            frames_sent: 0,
            ending: None,
            ended: None,
        }
    }

    /// The path without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The first header line of this name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The token in its `Authorization`, if it has one.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The user of its token, once that was verified.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.claims.as_ref()?.get("uid")?.as_str()
    }

    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn to_json(&self) -> Value {
        let headers: Vec<Value> = self
            .headers
            .iter()
            .map(|(name, value)| json!([name.as_str(), shown(name, value)]))
            .collect();
        let mut all = Map::new();
        let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
        put("id", json!(self.id));
        put("connection", json!(self.connection));
        put("method", json!(self.method));
        put("target", json!(self.target));
        put("headers", json!(headers));
        put("body", json!(String::from_utf8_lossy(&self.body)));
        put("body_bytes", json!(self.body_bytes));
        put("claims", json!(self.claims));
        put("started_unix_ms", json!(self.started_unix_ms));
        put("status", json!(self.status));
        put("fault", json!(self.fault));
        put("frames_sent", json!(self.frames_sent));
        put("ending", json!(self.ending.map(Ending::word)));
        put("duration_ms", json!(self.duration_ms()));
        Value::Object(all)
    }

    fn duration_ms(&self) -> Option<u64> {
        let lasted = self.ended?.saturating_duration_since(self.started);
        u64::try_from(lasted.as_millis()).ok()
    }
}

impl fmt::Debug for RequestRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_json())
    }
}

impl Ending {
    /// The word in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientLeft => "client_left",
            Self::Fault => "fault",
        }
    }
}

fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    if name != AUTHORIZATION && name != COOKIE {
        return text.into_owned();
    }
    match text.split_once(' ') {
        Some(("Bearer", token)) => format!("Bearer <{} characters>", token.len()),
        _ => format!("<{} characters>", text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_json_shows_a_credential() {
        let request = http::Request::get("/v1/models?limit=1")
            .header("authorization", "Bearer aaa.bbb.ccc")
            .header("cookie", "a=secret")
            .body(())
            .unwrap();
        let record = RequestRecord::new(1, 2, &request.into_parts().0);
        let text = format!("{record:?} {}", record.to_json());
        assert!(!text.contains("aaa") && !text.contains("secret"), "{text}");
        assert!(text.contains("Bearer <11 characters>"));
        assert_eq!(record.bearer(), Some("aaa.bbb.ccc"));
        assert_eq!(record.path(), "/v1/models");
    }
}
