//! A request's body on its way out: whole in memory, or passed on as it comes.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;

use crate::clock;

/// A request's body.
pub enum SendBody {
    /// Whole in memory: it can be sent again.
    Held(Full<Bytes>),
    /// Passed on as it comes: it can be sent once.
    Streamed(UnsyncBoxBody<Bytes, SendBodyError>, Progress),
}

/// When a piece of a body last went out: the wait for an answer begins with the last.
#[derive(Clone, Default)]
pub struct Progress(Arc<Mutex<Option<Instant>>>);

impl Progress {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock::monotonic());
    }

    /// The instant of the last piece; none before the first.
    pub(super) fn last(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a streamed body ended before its end; the connection that carried it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendBodyError {
    /// It grew past the limit.
    #[error("the request's body grew past its limit")]
    TooLarge,
    /// The caller's connection broke, or its framing did.
    #[error("the caller's body broke off")]
    Broken,
    /// The caller sent it too slowly.
    #[error("the caller's body came too slowly")]
    TooSlow,
}

impl SendBody {
    /// A body that is passed on as it comes.
    #[must_use]
    pub fn streamed(body: UnsyncBoxBody<Bytes, SendBodyError>) -> Self {
        Self::Streamed(body, Progress::default())
    }

    /// Where it is seen how the sending goes on; a held body goes at once.
    pub(super) fn progress(&self) -> Option<Progress> {
        match self {
            Self::Held(_) => None,
            Self::Streamed(_, progress) => Some(progress.clone()),
        }
    }
}

impl From<Full<Bytes>> for SendBody {
    fn from(body: Full<Bytes>) -> Self {
        Self::Held(body)
    }
}

impl Body for SendBody {
    type Data = Bytes;
    type Error = SendBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendBodyError>>> {
        match self.get_mut() {
            Self::Held(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never: Infallible| match never {}),
            Self::Streamed(body, progress) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                progress.note();
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Held(body) => body.is_end_stream(),
            Self::Streamed(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Held(body) => body.size_hint(),
            Self::Streamed(body, _) => body.size_hint(),
        }
    }
}
