//! Upstream's silence within an answer: how long it may last, and what is said meanwhile.
//!
//! There is one timer, for the next heartbeat or for the end, whichever comes first: what is said
//! meanwhile neither shortens nor extends the silence, and a heartbeat that was not taken in time is
//! not made up for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// What a silent upstream is granted, from its last byte on.
#[derive(Clone, Copy, Debug)]
pub struct SilenceLimits {
    /// Until the answer is broken off.
    pub idle_timeout: Duration,
    /// Between two comments to the caller, where its event stream can take one; `None`: none.
    pub heartbeat: Option<Duration>,
}

pin_project_lite::pin_project! {
    /// The silence that lasts.
    pub(super) struct Silence {
        limits: SilenceLimits,
        ends: Instant,
        #[pin]
        next: Sleep,
    }
}

/// What a silence has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It is time for a word to the caller.
    Heartbeat,
    /// It has lasted too long.
    End,
}

impl Silence {
    /// One that begins now, without heartbeats.
    pub(super) fn new(limits: SilenceLimits) -> Self {
        let ends = Instant::now() + limits.idle_timeout;
        Self {
            limits,
            ends,
            next: tokio::time::sleep_until(ends),
        }
    }

    /// Another begins now; `may_speak` lets it have heartbeats.
    pub(super) fn begin(self: Pin<&mut Self>, may_speak: bool) {
        let this = self.project();
        let now = Instant::now();
        *this.ends = now + this.limits.idle_timeout;
        let beat = this.limits.heartbeat.filter(|_| may_speak);
        let next = beat.map_or(*this.ends, |interval| (now + interval).min(*this.ends));
        this.next.reset(next);
    }

    /// What is due, as soon as something is.
    pub(super) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Due> {
        let mut this = self.project();
        ready!(this.next.as_mut().poll(cx));
        let now = Instant::now();
        let Some(interval) = this.limits.heartbeat.filter(|_| now < *this.ends) else {
            return Poll::Ready(Due::End);
        };
        // From now, not from when it was due: a caller that did not read gets one, not all it missed.
        this.next.reset((now + interval).min(*this.ends));
        Poll::Ready(Due::Heartbeat)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(idle_timeout: u32, heartbeat: Option<u32>) -> SilenceLimits {
        SilenceLimits {
            idle_timeout: SECOND * idle_timeout,
            heartbeat: heartbeat.map(|seconds| SECOND * seconds),
        }
    }

    /// What comes of a silence and in which second, to its end.
    async fn course(limits: SilenceLimits, may_speak: bool) -> Vec<(u64, Due)> {
        let began = Instant::now();
        let mut silence = pin!(Silence::new(limits));
        silence.as_mut().begin(may_speak);
        let mut course = Vec::new();
        loop {
            let due = poll_fn(|cx| silence.as_mut().poll(cx)).await;
            course.push((began.elapsed().as_secs(), due));
            if due == Due::End || course.len() > 9 {
                return course;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn heartbeats_come_every_interval_and_do_not_postpone_the_end() {
        let all = [
            (15, Due::Heartbeat),
            (30, Due::Heartbeat),
            (45, Due::Heartbeat),
            (50, Due::End),
        ];
        assert_eq!(course(limits(50, Some(15)), true).await, all);
        assert_eq!(course(limits(30, Some(15)), true).await.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn without_leave_or_interval_there_is_only_the_end() {
        for (limits, may_speak) in [
            (limits(50, Some(15)), false),
            (limits(50, None), true),
            (limits(50, Some(50)), true),
        ] {
            assert_eq!(course(limits, may_speak).await, [(50, Due::End)]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_does_not_read_misses_heartbeats() {
        let mut silence = pin!(Silence::new(limits(300, Some(15))));
        silence.as_mut().begin(true);
        tokio::time::sleep(SECOND * 100).await;
        let due = poll_fn(|cx| silence.as_mut().poll(cx)).await;
        assert_eq!(due, Due::Heartbeat);
        let again = Instant::now();
        let due = poll_fn(|cx| silence.as_mut().poll(cx)).await;
        assert_eq!((due, again.elapsed().as_secs()), (Due::Heartbeat, 15));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_reads_again_after_the_end_hears_of_the_end() {
        let mut silence = pin!(Silence::new(limits(60, Some(15))));
        silence.as_mut().begin(true);
        tokio::time::sleep(SECOND * 61).await;
        let due = poll_fn(|cx| silence.as_mut().poll(cx)).await;
        assert_eq!(due, Due::End);
    }

    #[tokio::test(start_paused = true)]
    async fn each_silence_has_its_own_time() {
        let mut silence = pin!(Silence::new(limits(60, Some(15))));
        silence.as_mut().begin(true);
        tokio::time::sleep(SECOND * 10).await;
        silence.as_mut().begin(false);
        let again = Instant::now();
        let due = poll_fn(|cx| silence.as_mut().poll(cx)).await;
        assert_eq!((due, again.elapsed().as_secs()), (Due::End, 60));
    }
}
