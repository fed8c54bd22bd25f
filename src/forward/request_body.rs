//! The request's body: held whole where it is small, passed on as it comes where it is not.
//!
//! A held body can be sent again after a 401, and its slow sender never holds an upstream connection.
//! Reading begins only after the session is good, so `Expect: 100-continue` is not answered for a
//! stranger.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::ForwardError;
use super::pace::{Pace, Paced, PacedError};
use crate::client::{SendBody, SendBodyError};

/// A request's body, as far as it has been read.
pub enum RequestBody {
    /// All of it.
    Held(Bytes),
    /// More than the hold limit: what was read of it, and the rest.
    Streamed(Option<Streamed>),
}

impl RequestBody {
    /// Reads up to `hold` bytes ahead; `max` is the limit of the whole body, and `pace` how slowly it
    /// may come.
    ///
    /// # Errors
    /// It broke off, is larger than `max`, or comes too slowly.
    pub async fn read(
        body: Incoming,
        hold: usize,
        max: u64,
        pace: Pace,
    ) -> Result<Self, ForwardError> {
        if body.is_end_stream() {
            return Ok(Self::Held(Bytes::new()));
        }
        let mut body = Paced::new(body, pace);
        let hint = body.size_hint();
        if hint.exact().is_some_and(|length| length > hold as u64) {
            return Ok(Self::streamed(Bytes::new(), body, max));
        }
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        loop {
            let Some(frame) = body.frame().await else {
                return Ok(Self::Held(joined(first, rest)));
            };
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            if first.is_empty() && rest.is_empty() {
                first = data;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&data);
            }
            let read = first.len().max(rest.len());
            if read as u64 > max {
                return Err(ForwardError::BodyTooLarge(max));
            }
            if read > hold {
                return Ok(Self::streamed(joined(first, rest), body, max));
            }
        }
    }

    fn streamed(ahead: Bytes, rest: Paced<Incoming>, max: u64) -> Self {
        let left = max.saturating_sub(ahead.len() as u64);
        Self::Streamed(Some(Streamed { ahead, rest, left }))
    }

    /// The body for one sending; `None` where it went out already and cannot go out again.
    pub fn to_send(&mut self) -> Option<SendBody> {
        match self {
            Self::Held(bytes) => Some(SendBody::Held(Full::new(bytes.clone()))),
            Self::Streamed(streamed) => {
                let streamed = streamed.take()?;
                Some(SendBody::streamed(streamed.boxed_unsync()))
            }
        }
    }

    /// All of it, where it is held.
    #[must_use]
    pub fn held(&self) -> Option<&Bytes> {
        match self {
            Self::Held(bytes) => Some(bytes),
            Self::Streamed(_) => None,
        }
    }

    /// Its bytes, as far as they have been read or stated.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Streamed(streamed) => {
                let hint = streamed.as_ref().map(Body::size_hint).unwrap_or_default();
                hint.exact().unwrap_or_else(|| hint.lower())
            }
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Held(bytes) if bytes.is_empty())
    }

    /// Whether it can be sent again.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }
}

/// One frame is passed on as it is; only several are copied together.
fn joined(first: Bytes, rest: BytesMut) -> Bytes {
    if rest.is_empty() {
        first
    } else {
        rest.freeze()
    }
}

/// A body that is passed on as it comes, counted against the limit.
pub struct Streamed {
    ahead: Bytes,
    rest: Paced<Incoming>,
    left: u64,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = SendBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendBodyError>>> {
        if !self.ahead.is_empty() {
            let ahead = std::mem::take(&mut self.ahead);
            return Poll::Ready(Some(Ok(Frame::data(ahead))));
        }
        loop {
            let frame = std::task::ready!(Pin::new(&mut self.rest).poll_frame(cx));
            return Poll::Ready(match frame {
                None => None,
                Some(Err(PacedError::Broken(_))) => Some(Err(SendBodyError::Broken)),
                Some(Err(PacedError::TooSlow)) => Some(Err(SendBodyError::TooSlow)),
                Some(Ok(frame)) => match frame.into_data() {
                    Err(_trailers) => continue,
                    Ok(data) => match self.left.checked_sub(data.len() as u64) {
                        Some(left) => {
                            self.left = left;
                            Some(Ok(Frame::data(data)))
                        }
                        None => Some(Err(SendBodyError::TooLarge)),
                    },
                },
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.len() as u64;
        match self.rest.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(ahead + rest),
            None => SizeHint::default(),
        }
    }
}
