//! The gateway's answer on its way to the browser, noticing when that ends: [`Watched`].

use std::pin::Pin;
use std::task::{Context, Poll};

use behest_gateway::forward::body::{Broken, ObservedBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::exchange::OpenExchange;

/// Passes every frame as it comes. When it is dropped, its exchange ends first and the gateway's
/// body after it: a browser that leaves is noted before the way to Behest closes.
pub(crate) struct Watched {
    _exchange: Option<OpenExchange>,
    body: ObservedBody,
}

impl Watched {
    /// Watches `body` for `exchange`.
    pub(crate) fn new(body: ObservedBody, exchange: Option<OpenExchange>) -> Self {
        Self {
            _exchange: exchange,
            body,
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
