//! The body of an answer on its way out: frame by frame, with its pauses and its break.
//!
//! Between two frames it always yields once, so that hyper writes each for itself. Dropped
//! before its end, it records that the client left.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, SizeHint};
use tokio::time::Sleep;

use super::answer::{Answer, Break, Frame};
use super::connection::{Order, Wire};
use super::record::Exchange;
use super::request_record::Ending;
use super::usage::Bill;

/// The body of one of the emulator's answers.
pub struct EmulatorBody {
    frames: VecDeque<Frame>,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    yielded: bool,
    sent: usize,
    break_after: Option<(usize, Break)>,
    bill: Option<Bill>,
    wire: Option<Arc<Wire>>,
    exchange: Option<Exchange>,
}

impl EmulatorBody {
    pub(super) fn new(answer: Answer, exchange: Option<Exchange>, wire: Option<Arc<Wire>>) -> Self {
        let mut body = Self {
            frames: answer.frames,
            pause: answer.pause,
            sleep: None,
            yielded: true,
            sent: 0,
            break_after: answer.break_after,
            bill: answer.bill,
            wire,
            exchange,
        };
        body.frames.retain(|frame| !frame.bytes.is_empty());
        body.end_if_complete();
        body
    }

    fn breaks_now(&self) -> Option<Break> {
        self.break_after
            .filter(|(after, _)| self.sent >= *after)
            .map(|(_, how)| how)
    }

    fn end_if_complete(&mut self) {
        if self.is_end_stream() {
            self.end(Ending::Complete);
        }
    }

    fn end(&mut self, ending: Ending) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.end(ending);
        }
    }

    /// Where there is a connection it is ended from outside, once hyper has flushed what it
    /// has; without one the body fails, which is as near as it comes.
    fn break_off(
        &mut self,
        order: Order,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        self.end(Ending::Fault);
        match &self.wire {
            Some(wire) => {
                wire.order(order);
                Poll::Pending
            }
            None => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
        }
    }

    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.yielded {
            self.yielded = true;
            if self.pause.is_zero() {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.sleep = Some(Box::pin(tokio::time::sleep(self.pause)));
        }
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(context));
            self.sleep = None;
        }
        Poll::Ready(())
    }
}

impl Body for EmulatorBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        ready!(self.poll_pause(context));
        match self.breaks_now() {
            Some(Break::Stall) => return Poll::Pending,
            Some(Break::Close) => return self.break_off(Order::Close),
            Some(Break::Reset) => return self.break_off(Order::Reset),
            None => {}
        }
        let Some(frame) = self.frames.pop_front() else {
            self.end(Ending::Complete);
            return Poll::Ready(None);
        };
        self.sent += 1;
        self.yielded = false;
        if let Some(exchange) = &self.exchange {
            exchange.sent_frame();
        }
        if let Some(bill) = &self.bill {
            bill.add(frame.tokens);
        }
        self.end_if_complete();
        Poll::Ready(Some(Ok(http_body::Frame::data(frame.bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.break_after.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // The head says the length; a hint would make hyper state one where a break is due.
        SizeHint::default()
    }
}
