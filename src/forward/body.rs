//! The answer's body on its way to the caller: [`ObservedBody`].
//!
//! The record of the request ends with it.
//!
//! | file | what it owns |
//! |---|---|
//! | `relay` | Behest's answer, passed on |
//! | `silence` | heartbeats and the idle timeout |
//! | `event_boundary` | where an event stream can take a word of the gateway's own |
//! | `broken` | why an answer did not reach its end |

mod broken;
mod event_boundary;
mod relay;
mod silence;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;

pub use self::broken::Broken;
pub use self::relay::Relay;
pub use self::silence::SilenceLimits;
use crate::telemetry::access_log::Record;

/// An answer's body, with everything that must last as long as it.
pub struct ObservedBody {
    source: Source,
    record: Record,
}

enum Source {
    /// The gateway's own answer.
    Own(Full<Bytes>),
    /// One that is passed on as it is.
    Passed(UnsyncBoxBody<Bytes, Broken>),
    /// Behest's.
    Upstream(Box<Relay>),
}

impl ObservedBody {
    /// The gateway's own answer.
    #[must_use]
    pub fn own(body: Bytes, record: Record) -> Self {
        Self {
            source: Source::Own(Full::new(body)),
            record,
        }
    }

    /// An answer that is passed on as it is.
    #[must_use]
    pub fn passed(body: UnsyncBoxBody<Bytes, Broken>, record: Record) -> Self {
        Self {
            source: Source::Passed(body),
            record,
        }
    }

    /// Behest's answer.
    #[must_use]
    pub fn upstream(relay: Relay, record: Record) -> Self {
        Self {
            source: Source::Upstream(Box::new(relay)),
            record,
        }
    }
}

impl Body for ObservedBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Self { source, record } = &mut *self;
        let frame = ready!(match source {
            Source::Own(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never: std::convert::Infallible| match never {}),
            Source::Passed(body) => Pin::new(body).poll_frame(cx),
            // It counts for itself: not all of it is Behest's.
            Source::Upstream(relay) => relay.poll(cx, record).map_ok(Frame::data),
        });
        match (source, &frame) {
            (Source::Upstream(_), Some(Ok(_))) => {}
            (_, Some(Ok(frame))) => record.passed(frame.data_ref().map_or(0, Bytes::len)),
            (Source::Passed(_), Some(Err(broken))) => {
                record.code = broken.code();
                record.reason = Some(broken.to_string());
                record.end();
            }
            (_, Some(Err(_)) | None) => record.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(body) => body.is_end_stream(),
            Source::Passed(body) => body.is_end_stream(),
            Source::Upstream(relay) => relay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(body) => body.size_hint(),
            Source::Passed(body) => body.size_hint(),
            Source::Upstream(relay) => relay.size_hint(),
        }
    }
}

impl Drop for ObservedBody {
    fn drop(&mut self) {
        if let Source::Upstream(relay) = &mut self.source {
            let whole = relay.is_whole();
            relay.settle(whole, &self.record);
        }
        // A body of known length is not polled past its last byte, an empty one not at all.
        let whole = match &self.source {
            Source::Own(_) => true,
            Source::Passed(body) => body.is_end_stream(),
            Source::Upstream(relay) => relay.is_whole(),
        };
        if whole {
            self.record.end();
        }
    }
}
