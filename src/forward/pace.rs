//! How slowly a request's body may come.
//!
//! A body has a credit of waiting, the grace at first. Waiting for the caller uses it up, and every
//! byte buys it back at the least rate, up to the grace: a body that keeps the rate may pause for the
//! whole grace at any time, and one that does not keep it ends at most a grace after it fell behind.
//! Only the time in which the gateway waits for the caller counts, never that in which Behest does
//! not take what is there.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::ForwardError;

/// The least rate of a request's body.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes a second; 0 for any.
    pub rate: u64,
    /// How long a body may fall behind.
    pub grace: Duration,
}

/// A body that is waited for no longer than its [`Pace`] allows.
pub(super) struct Paced<B> {
    body: B,
    pace: Pace,
    credit: Duration,
    /// Since when it is waited for.
    since: Option<Instant>,
    /// Fires at or before the end of the credit. Made at the first wait: most bodies have none.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why a body did not come to its end.
#[derive(Debug)]
pub(super) enum PacedError<E> {
    /// It broke off.
    Broken(E),
    /// It came too slowly.
    TooSlow,
}

impl<E> From<PacedError<E>> for ForwardError {
    fn from(error: PacedError<E>) -> Self {
        match error {
            PacedError::Broken(_) => Self::BodyBroken,
            PacedError::TooSlow => Self::BodyTooSlow,
        }
    }
}

impl<B> Paced<B> {
    pub(super) fn new(body: B, pace: Pace) -> Self {
        Self {
            body,
            pace,
            credit: pace.grace,
            since: None,
            timer: None,
        }
    }

    /// Nothing is there: is the credit used up?
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.pace.rate == 0 {
            return Poll::Pending;
        }
        let until = *self.since.get_or_insert_with(Instant::now) + self.credit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        loop {
            std::task::ready!(timer.as_mut().poll(cx));
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }

    /// So many bytes have come.
    fn came(&mut self, bytes: usize) {
        if self.pace.rate == 0 {
            return;
        }
        if let Some(since) = self.since.take() {
            self.credit = self.credit.saturating_sub(since.elapsed());
        }
        let nanoseconds = (bytes as u64).saturating_mul(1_000_000_000) / self.pace.rate;
        let bought = Duration::from_nanos(nanoseconds);
        self.credit = self.credit.saturating_add(bought).min(self.pace.grace);
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = PacedError<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => self.poll_wait(cx).map(|()| Some(Err(PacedError::TooSlow))),
            Poll::Ready(Some(Ok(frame))) => {
                self.came(frame.data_ref().map_or(0, Bytes::len));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(PacedError::Broken(error)))),
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    use super::*;

    const PACE: Pace = Pace {
        rate: 1000,
        grace: Duration::from_secs(10),
    };

    struct Pieces(mpsc::UnboundedReceiver<usize>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            let length = std::task::ready!(self.0.poll_recv(cx));
            Poll::Ready(length.map(|length| Ok(Frame::data(vec![0; length].into()))))
        }
    }

    /// Sends `count` pieces of `length` bytes, one every `pause`; whether all of them came, and how
    /// long that took.
    async fn whole(count: usize, length: usize, pause: Duration, pace: Pace) -> (bool, Duration) {
        let (pieces, body) = mpsc::unbounded_channel();
        let sending = tokio::spawn(async move {
            for _ in 0..count {
                tokio::time::sleep(pause).await;
                if pieces.send(length).is_err() {
                    return;
                }
            }
        });
        let began = Instant::now();
        let whole = Paced::new(Pieces(body), pace).collect().await.is_ok();
        sending.abort();
        (whole, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_keeps_the_rate_may_take_any_time() {
        let second = Duration::from_secs(1);
        assert!(whole(1000, 1000, second, PACE).await.0);
        // In pieces far apart, too.
        assert!(whole(20, 9900, second * 9, PACE).await.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_falls_behind_ends_when_the_grace_is_used_up() {
        let second = Duration::from_secs(1);
        assert_eq!(whole(1, 1, second * 60, PACE).await, (false, second * 10));
        let (all, took) = whole(1000, 1, second, PACE).await;
        assert!(!all, "one byte a second");
        assert!(took < second * 11, "{took:?}");
        let (all, took) = whole(1000, 500, second, PACE).await;
        assert!(!all, "half the rate");
        assert!(took > second * 15 && took < second * 21, "{took:?}");
        let (all, _) = whole(1000, 0, Duration::from_millis(1), PACE).await;
        assert!(all, "a second is within the grace");
        assert!(!whole(100_000, 0, Duration::from_millis(1), PACE).await.0);
    }

    #[tokio::test(start_paused = true)]
    async fn much_at_once_buys_no_more_than_the_grace() {
        let second = Duration::from_secs(1);
        let (pieces, body) = mpsc::unbounded_channel();
        let mut body = Paced::new(Pieces(body), PACE);
        pieces.send(1_000_000).unwrap();
        body.frame().await.unwrap().unwrap();
        let began = Instant::now();
        assert!(body.frame().await.unwrap().is_err());
        assert_eq!(began.elapsed(), second * 10);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_asks_does_not_count() {
        let (pieces, body) = mpsc::unbounded_channel();
        let mut body = Paced::new(Pieces(body), PACE);
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_mins(1)).await;
            pieces.send(1).unwrap();
            body.frame().await.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_a_body_may_take_for_ever() {
        let pace = Pace { rate: 0, ..PACE };
        assert!(whole(3, 1, Duration::from_hours(1), pace).await.0);
    }
}
