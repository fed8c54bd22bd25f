//! A request's body on its way out: whole in memory, or passed on as it comes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;

/// A request's body.
pub enum SendBody {
    /// Whole in memory: it can be sent again.
    Held(Full<Bytes>),
    /// Passed on as it comes: it can be sent once.
    Streamed(UnsyncBoxBody<Bytes, SendBodyError>),
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
            Self::Streamed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Held(body) => body.is_end_stream(),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Held(body) => body.size_hint(),
            Self::Streamed(body) => body.size_hint(),
        }
    }
}
