//! Behest's answer as it is passed on: [`Relay`].
//!
//! Every frame passes as it comes. What breaks upstream breaks here: an event stream that stands at
//! an event's boundary first says why (`data: {"error":…}`), and then, as every other body, fails; it
//! never ends as if it were whole. While upstream is silent such a stream has heartbeats, which are
//! comments: what stands in front does not take it for dead.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::broken::Broken;
use super::event_boundary::EventBoundary;
use super::silence::{Due, Silence, SilenceLimits};
use crate::admission::limits::Slot;
use crate::charge::Charge;
use crate::client::ResponseBody;
use crate::error;
use crate::revocation::Watch;
use crate::telemetry::access_log::Record;

/// A comment, with the blank line that ends it even for readers that split a stream at blank lines
/// (WHATWG HTML, section 9.2.6).
const HEARTBEAT: Bytes = Bytes::from_static(b": heartbeat\n\n");

/// A body that is passed on from upstream.
pub struct Relay {
    body: ResponseBody,
    state: State,
    /// Where the gateway may speak.
    events: Option<EventBoundary>,
    limits: SilenceLimits,
    /// Whether the session lasts, and the time for live streams.
    watch: Watch,
    /// Made at upstream's first silence: most short answers have none.
    patience: Option<Pin<Box<Patience>>>,
    silent: bool,
    /// What it costs; `None`: nothing.
    charge: Option<Charge>,
    _slot: Slot,
}

pin_project_lite::pin_project! {
    /// How long a silent upstream is waited for.
    struct Patience {
        #[pin]
        silence: Silence,
        #[pin]
        bell: WaitForCancellationFutureOwned,
    }
}

/// Why there is no next data.
enum MeteredError {
    /// Upstream broke off.
    Upstream(hyper::Error),
    /// A budget is used up.
    Exhausted,
}

enum State {
    Passing,
    /// The error event is out; one more poll lets hyper flush it.
    Flushing(Broken),
    Failing(Broken),
    Ended,
}

impl Relay {
    /// Passes on `body`; `is_event_stream` lets the gateway speak in it, but not where its length was
    /// stated: the words would fill it up, and a broken stream would look whole.
    #[must_use]
    pub fn new(
        body: ResponseBody,
        is_event_stream: bool,
        limits: SilenceLimits,
        watch: Watch,
        slot: Slot,
        charge: Option<Charge>,
    ) -> Self {
        let may_speak = is_event_stream && body.size_hint().exact().is_none();
        Self {
            body,
            state: State::Passing,
            events: may_speak.then(EventBoundary::default),
            limits,
            watch,
            patience: None,
            silent: false,
            charge,
            _slot: slot,
        }
    }

    /// Whether all of it has passed.
    pub(super) fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Passing) && self.is_whole() && !self.has_rest()
    }

    /// Whether upstream has sent all of it.
    pub(super) fn is_whole(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Whether something of an ended answer still waits to be passed on.
    fn has_rest(&self) -> bool {
        self.charge.as_ref().is_some_and(Charge::has_rest)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    /// The next data. Counts in `record` what passes, heartbeats left out, and says there what broke.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        record: &mut Record,
    ) -> Poll<Option<Result<Bytes, Broken>>> {
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
            Poll::Ready(Some(Ok(data))) => return Poll::Ready(Some(Ok(data))),
            Poll::Ready(None) => {
                self.state = State::Ended;
                self.settle(true, record);
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(broken))) => broken,
            Poll::Pending => return Poll::Pending,
        };
        record.code = broken.code();
        self.settle(false, record);
        Poll::Ready(Some(if let Some(event) = self.last_words(broken, record) {
            self.state = State::Flushing(broken);
            record.passed(event.len());
            Ok(event)
        } else {
            self.state = State::Ended;
            Err(broken)
        }))
    }

    /// The answer has ended, `whole` or not: what it cost is settled. Once.
    pub(super) fn settle(&mut self, whole: bool, record: &Record) {
        if let Some(mut charge) = self.charge.take() {
            charge.end(whole, record);
        }
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
        match self.poll_metered(cx) {
            Poll::Ready(Some(Ok(data))) => {
                record.passed(data.len());
                self.note(&data, record);
                Poll::Ready(Some(Ok(data)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(MeteredError::Upstream(error)))) => {
                record.reason = Some(error.to_string());
                Poll::Ready(Some(Err(Broken::Cut)))
            }
            Poll::Ready(Some(Err(MeteredError::Exhausted))) => {
                Poll::Ready(Some(Err(Broken::Exhausted)))
            }
            Poll::Pending => self.poll_patience(cx, record).map(Some),
        }
    }

    /// Follows what passes on: where an event ends, and whether it was the last of all.
    fn note(&mut self, data: &Bytes, record: &Record) {
        if let Some(events) = &mut self.events {
            events.advance(data);
        }
        if let Some(charge) = &self.charge {
            charge.passed_on(record.bytes());
        }
        // What a caller has seen whole is settled: before its last byte goes out.
        if self.body.is_end_stream() && !self.has_rest() {
            self.settle(true, record);
        }
    }

    /// The next data from upstream, less what only the gateway asked for.
    fn poll_metered(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, MeteredError>>> {
        loop {
            let data = match ready!(self.poll_upstream(cx)) {
                Some(Ok(data)) => data,
                Some(Err(error)) => return Poll::Ready(Some(Err(MeteredError::Upstream(error)))),
                None => {
                    let rest = self.charge.as_mut().and_then(Charge::rest);
                    return Poll::Ready(rest.map(Ok));
                }
            };
            let Some(charge) = &mut self.charge else {
                return Poll::Ready(Some(Ok(data)));
            };
            if charge.is_exhausted() {
                return Poll::Ready(Some(Err(MeteredError::Exhausted)));
            }
            let passing = charge.passed(data);
            if !passing.is_empty() {
                return Poll::Ready(Some(Ok(passing)));
            }
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
                    return Poll::Ready(Some(Ok(data)));
                }
            }
        }
    }

    /// While upstream is silent: a heartbeat, or why it is waited for no longer.
    fn poll_patience(
        &mut self,
        cx: &mut Context<'_>,
        record: &mut Record,
    ) -> Poll<Result<Bytes, Broken>> {
        let limits = self.limits;
        let watch = &mut self.watch;
        let patience = self.patience.get_or_insert_with(|| {
            Box::pin(Patience {
                silence: Silence::new(limits),
                bell: watch.bell().cancelled_owned(),
            })
        });
        let mut patience = patience.as_mut().project();
        while patience.bell.as_mut().poll(cx).is_ready() {
            if watch.is_cut() {
                return Poll::Ready(Err(Broken::Drained));
            }
            patience.bell.set(watch.bell().cancelled_owned());
        }
        // Again, after the bell was taken: nobody rings it for what came before.
        if let Some(broken) = revoked(watch, record) {
            return Poll::Ready(Err(broken));
        }
        if !self.silent {
            self.silent = true;
            let events = self.events.as_ref();
            let may_speak = events.is_some_and(EventBoundary::is_at_boundary);
            patience.silence.as_mut().begin(may_speak);
        }
        patience.silence.poll(cx).map(|due| match due {
            Due::Heartbeat => Ok(HEARTBEAT),
            Due::End => Err(Broken::Idle),
        })
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

/// Looks whether the session has been ended.
fn revoked(watch: &mut Watch, record: &mut Record) -> Option<Broken> {
    let revoked = watch.look().err()?;
    record.reason = Some(revoked.to_string());
    Some(Broken::Revoked)
}
