//! An answer's body as hyper is given it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::readers::{Reader, Readers};
use super::requests::RequestGuard;
use crate::forward::body::{Broken, ObservedBody};

/// An answer's body that keeps its request counted.
pub(super) struct GuardedBody {
    body: Option<ObservedBody>,
    /// On HTTP/2.
    reader: Option<Reader>,
    guard: RequestGuard,
}

impl GuardedBody {
    /// `body`, or none; `readers` are HTTP/2's.
    pub(super) fn new(
        body: Option<ObservedBody>,
        readers: Option<&Readers>,
        guard: RequestGuard,
    ) -> Self {
        Self {
            body,
            reader: readers.map(Readers::begin),
            guard,
        }
    }
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        };
        // What the gateway itself breaks off is not cut short by the caller.
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.guard.is_whole();
        }
        if let Some(reader) = &self.reader {
            match &frame {
                Poll::Ready(Some(Ok(_))) => reader.given(),
                Poll::Ready(_) | Poll::Pending => reader.waits(),
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for GuardedBody {
    fn drop(&mut self) {
        // A body is not polled past its last byte where that is known to be the last.
        if self.is_end_stream() {
            self.guard.is_whole();
        }
    }
}
