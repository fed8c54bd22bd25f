//! An answer before it is sent: status, headers, and the body as frames.
//!
//! Each frame is one write on the connection.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::usage::Bill;

/// An answer in the making.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) frames: VecDeque<Frame>,
    /// The pause before each frame but the first.
    pub(super) pause: Duration,
    /// What happens instead of the rest, once so many frames are out.
    pub(super) break_after: Option<(usize, Break)>,
    /// Who pays for the model tokens of the frames, as they go out.
    pub(super) bill: Option<Bill>,
}

/// One write, and the model tokens that it delivers.
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    pub(super) tokens: u64,
}

/// How an answer breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// The connection ends.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing more is sent.
    Stall,
}

impl Answer {
    pub(super) fn bytes(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        let frame = Frame {
            bytes: body,
            tokens: 0,
        };
        Self {
            status,
            headers,
            frames: VecDeque::from([frame]),
            pause: Duration::ZERO,
            break_after: None,
            bill: None,
        }
    }

    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self::bytes(status, "application/json", Bytes::from(body.to_string()))
    }

    pub(super) fn ok(body: &Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// Server-sent events: each frame is one event, paced by `pause`.
    pub(super) fn events(frames: VecDeque<Frame>, pause: Duration) -> Self {
        let mut answer = Self::bytes(
            StatusCode::OK,
            "text/event-stream; charset=utf-8",
            Bytes::new(),
        );
        answer.headers.remove(CONTENT_LENGTH);
        answer
            .headers
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        answer.frames = frames;
        answer.pause = pause;
        answer
    }

    /// Appends a header line; one that HTTP does not allow is left out.
    pub(super) fn with_header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            self.headers.append(name, value);
        }
        self
    }

    /// The whole body at once.
    pub(super) fn collected(&self) -> Vec<u8> {
        self.frames
            .iter()
            .flat_map(|frame| frame.bytes.iter().copied())
            .collect()
    }

    /// The same body in pieces of `size`, under the same head.
    pub(super) fn in_pieces(mut self, size: usize, pause: Duration) -> Self {
        let body = Bytes::from(self.collected());
        let size = size.max(1);
        self.frames = (0..body.len())
            .step_by(size)
            .map(|from| Frame {
                bytes: body.slice(from..body.len().min(from + size)),
                tokens: 0,
            })
            .collect();
        self.pause = pause;
        self
    }

    /// A plain answer in two halves, so that it can break between; others as they are.
    pub(super) fn breakable(self) -> Self {
        if self.frames.len() != 1 {
            return self;
        }
        let half = self.collected().len().div_ceil(2);
        self.in_pieces(half, Duration::ZERO)
    }

    /// The first half of the body, with the length that it then has.
    pub(super) fn truncated(self) -> Self {
        let body = self.collected();
        let half = body.get(..body.len() / 2).unwrap_or_default().to_vec();
        let mut answer = Self::bytes(self.status, "application/json", Bytes::from(half));
        answer.bill = self.bill;
        answer
    }
}
