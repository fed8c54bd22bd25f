//! The answer's body on its way to the caller: [`ObservedBody`].
//!
//! Every frame passes as it comes. The record of the request ends with it. What breaks upstream
//! breaks here: an event stream that stands at an event's boundary first says why
//! (`data: {"error":…}`), and then, as every other body, fails; it never ends as if it were whole.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::admission::limits::Slot;
use crate::client::ResponseBody;
use crate::error::{self, Code};
use crate::revocation::Watch;
use crate::telemetry::access_log::Record;

/// An answer's body, with everything that must last as long as it.
pub struct ObservedBody {
    source: Source,
    record: Record,
}

enum Source {
    /// The gateway's own answer.
    Own(Full<Bytes>),
    /// Behest's.
    Upstream(Box<Relay>),
    /// One that is passed on as it is.
    Passed(UnsyncBoxBody<Bytes, Broken>),
}

/// A body that is passed on from upstream.
pub struct Relay {
    body: ResponseBody,
    state: State,
    events: Option<EventBoundary>,
    idle_timeout: Duration,
    /// Whether the session lasts, and the time for live streams.
    watch: Watch,
    /// Made at upstream's first silence: most short answers have none.
    patience: Option<Pin<Box<Patience>>>,
    silent: bool,
    _slot: Slot,
}

pin_project_lite::pin_project! {
    /// How long a silent upstream is waited for.
    struct Patience {
        #[pin]
        idle: Sleep,
        #[pin]
        bell: WaitForCancellationFutureOwned,
    }
}

enum State {
    Passing,
    /// The error event is out; one more poll lets hyper flush it.
    Flushing(Broken),
    Failing(Broken),
    Ended,
}

/// Why a body that had begun did not reach its end. Its text is what an event stream's last event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Behest broke off.
    #[error("Behest broke off in the middle of the answer.")]
    Cut,
    /// Behest sent nothing for longer than the idle timeout.
    #[error("Behest sent nothing for longer than upstream.idle_timeout.")]
    Idle,
    /// The gateway is shutting down and its drain limit has passed.
    #[error("The gateway is restarting: send the request again.")]
    Drained,
    /// An operator has ended the session.
    #[error("{}", error::SESSION_REVOKED)]
    Revoked,
    /// The app broke off.
    #[error("The app broke off in the middle of its answer.")]
    AppCut,
    /// The app sent nothing for longer than its idle timeout.
    #[error("The app sent nothing for longer than app.idle_timeout.")]
    AppIdle,
}

impl Broken {
    fn code(self) -> Code {
        match self {
            Self::Cut => Code::UpstreamCut,
            Self::Idle => Code::UpstreamIdle,
            Self::Drained => Code::Drained,
            Self::Revoked => Code::SessionRevoked,
            Self::AppCut | Self::AppIdle => Code::AppCut,
        }
    }
}

impl Relay {
    /// Passes on `body`; `is_event_stream` lets it speak before it breaks, but not where its length
    /// was stated: the words would fill it up, and the broken stream would look whole.
    #[must_use]
    pub fn new(
        body: ResponseBody,
        is_event_stream: bool,
        idle_timeout: Duration,
        watch: Watch,
        slot: Slot,
    ) -> Self {
        let may_speak = is_event_stream && body.size_hint().exact().is_none();
        Self {
            body,
            state: State::Passing,
            events: may_speak.then(EventBoundary::default),
            idle_timeout,
            watch,
            patience: None,
            silent: false,
            _slot: slot,
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        record: &mut Record,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.state {
            State::Passing => {}
            State::Flushing(broken) => {
                self.state = State::Failing(broken);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            State::Failing(broken) => {
                self.state = State::Ended;
                return Poll::Ready(Some(Err(broken)));
            }
            State::Ended => return Poll::Ready(None),
        }
        let broken = match self.poll_passing(cx, record) {
            Poll::Ready(Some(Ok(data))) => return Poll::Ready(Some(Ok(Frame::data(data)))),
            Poll::Ready(None) => {
                self.state = State::Ended;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(broken))) => broken,
            Poll::Pending => return Poll::Pending,
        };
        record.code = broken.code();
        Poll::Ready(Some(if let Some(event) = self.last_words(broken, record) {
            self.state = State::Flushing(broken);
            Ok(Frame::data(event))
        } else {
            self.state = State::Ended;
            Err(broken)
        }))
    }

    /// The next data, or what keeps it from coming.
    fn poll_passing(
        &mut self,
        cx: &mut Context<'_>,
        record: &mut Record,
    ) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Some(broken) = revoked(&mut self.watch, record) {
            return Poll::Ready(Some(Err(broken)));
        }
        match self.poll_upstream(cx) {
            Poll::Ready(Some(Ok(data))) => Poll::Ready(Some(Ok(data))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => {
                record.reason = Some(error.to_string());
                Poll::Ready(Some(Err(Broken::Cut)))
            }
            Poll::Pending => self
                .poll_patience(cx, record)
                .map(|broken| Some(Err(broken))),
        }
    }

    /// The next data from upstream; trailers are dropped.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    self.silent = false;
                    if let Some(events) = &mut self.events {
                        events.advance(&data);
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
            }
        }
    }

    /// While upstream is silent: until when?
    fn poll_patience(&mut self, cx: &mut Context<'_>, record: &mut Record) -> Poll<Broken> {
        let timeout = self.idle_timeout;
        let watch = &mut self.watch;
        let patience = self.patience.get_or_insert_with(|| {
            Box::pin(Patience {
                idle: tokio::time::sleep(timeout),
                bell: watch.bell().cancelled_owned(),
            })
        });
        let mut patience = patience.as_mut().project();
        while patience.bell.as_mut().poll(cx).is_ready() {
            if watch.is_cut() {
                return Poll::Ready(Broken::Drained);
            }
            patience.bell.set(watch.bell().cancelled_owned());
        }
        // Again, after the bell was taken: nobody rings it for what came before.
        if let Some(broken) = revoked(watch, record) {
            return Poll::Ready(broken);
        }
        if !self.silent {
            self.silent = true;
            patience.idle.as_mut().reset(Instant::now() + timeout);
        }
        patience.idle.poll(cx).map(|()| Broken::Idle)
    }

    /// An event that says why the stream breaks, where one can begin.
    fn last_words(&self, broken: Broken, record: &Record) -> Option<Bytes> {
        if !self.events.as_ref()?.is_at_boundary() {
            return None;
        }
        let request_id = record.request_id().to_str().unwrap_or_default();
        let mut event = b"data: ".to_vec();
        event.extend(error::event_json(
            broken.code(),
            &broken.to_string(),
            request_id,
        ));
        event.extend_from_slice(b"\n\n");
        Some(event.into())
    }
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
            Source::Upstream(relay) => relay.poll(cx, record),
            Source::Passed(body) => Pin::new(body).poll_frame(cx),
        });
        if let (Source::Passed(_), Some(Err(broken))) = (source, &frame) {
            record.code = broken.code();
            record.reason = Some(broken.to_string());
        }
        match &frame {
            Some(Ok(frame)) => record.passed(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(_)) | None => record.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(body) => body.is_end_stream(),
            Source::Upstream(relay) => {
                matches!(relay.state, State::Passing) && relay.body.is_end_stream()
            }
            Source::Passed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(body) => body.size_hint(),
            Source::Upstream(relay) => relay.body.size_hint(),
            Source::Passed(body) => body.size_hint(),
        }
    }
}

impl Drop for ObservedBody {
    fn drop(&mut self) {
        // A body of known length is not polled past its last byte, an empty one not at all.
        let whole = match &self.source {
            Source::Own(_) => true,
            Source::Upstream(relay) => relay.body.is_end_stream(),
            Source::Passed(body) => body.is_end_stream(),
        };
        if whole {
            self.record.end();
        }
    }
}

/// Looks whether the session has been ended.
fn revoked(watch: &mut Watch, record: &mut Record) -> Option<Broken> {
    let revoked = watch.look().err()?;
    record.reason = Some(revoked.to_string());
    Some(Broken::Revoked)
}

/// Whether an event stream stands between two events: at its start, or after a blank line.
#[derive(Default)]
struct EventBoundary {
    /// The last bytes, newest last; `\r\n\r\n` is the longest blank line.
    tail: [u8; 4],
    seen: bool,
}

impl EventBoundary {
    fn advance(&mut self, data: &[u8]) {
        for &byte in data.get(data.len().saturating_sub(4)..).unwrap_or_default() {
            self.tail.rotate_left(1);
            self.tail[3] = byte;
            self.seen = true;
        }
    }

    fn is_at_boundary(&self) -> bool {
        !self.seen
            || self.tail.ends_with(b"\n\n")
            || self.tail.ends_with(b"\r\r")
            || self.tail == *b"\r\n\r\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_at_a_blank_line_however_it_is_cut_into_frames() {
        let at_boundary = |frames: &[&str]| {
            let mut events = EventBoundary::default();
            for frame in frames {
                events.advance(frame.as_bytes());
            }
            events.is_at_boundary()
        };
        assert!(at_boundary(&[]));
        assert!(at_boundary(&["data: x\n\n"]));
        assert!(at_boundary(&["data: x\n", "\n"]));
        assert!(at_boundary(&["data: x\r\n", "\r", "\n"]));
        assert!(at_boundary(&["data: x\r\r"]));
        assert!(!at_boundary(&["data: x\n"]));
        assert!(!at_boundary(&["data: x\n\n", "d"]));
        assert!(!at_boundary(&["data: x\n\r\n\r"]));
    }
}
