//! The app's answer on its way to the caller: every frame as it comes, and trailers left out.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::client::ResponseBody;

/// An answer's body.
pub struct AppBody {
    body: ResponseBody,
    idle_timeout: Duration,
    cut: CancellationToken,
    /// Made at the first silence: most answers have none.
    patience: Option<Pin<Box<Patience>>>,
    is_silent: bool,
}

pin_project_lite::pin_project! {
    /// How long a silent app is waited for.
    struct Patience {
        #[pin]
        idle: Sleep,
        #[pin]
        cut: WaitForCancellationFutureOwned,
    }
}

/// Why the body did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum AppBodyError {
    /// The app broke off.
    #[error("the app broke off in the middle of its answer")]
    Broken(#[source] hyper::Error),
    /// The app was silent for too long.
    #[error("the app sent nothing for longer than app.idle_timeout")]
    Idle,
    /// The gateway is shutting down.
    #[error("cut by the gateway's own shutdown")]
    Drained,
}

impl AppBody {
    pub(super) fn new(body: ResponseBody, idle_timeout: Duration, cut: CancellationToken) -> Self {
        Self {
            body,
            idle_timeout,
            cut,
            patience: None,
            is_silent: false,
        }
    }

    /// While the app is silent: until when?
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<AppBodyError> {
        let timeout = self.idle_timeout;
        let cut = &self.cut;
        let patience = self.patience.get_or_insert_with(|| {
            Box::pin(Patience {
                idle: tokio::time::sleep(timeout),
                cut: cut.clone().cancelled_owned(),
            })
        });
        let mut patience = patience.as_mut().project();
        if patience.cut.poll(cx).is_ready() {
            return Poll::Ready(AppBodyError::Drained);
        }
        if !self.is_silent {
            self.is_silent = true;
            patience.idle.as_mut().reset(Instant::now() + timeout);
        }
        patience.idle.poll(cx).map(|()| AppBodyError::Idle)
    }
}

impl Body for AppBody {
    type Data = Bytes;
    type Error = AppBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AppBodyError>>> {
        loop {
            return match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => {
                    Poll::Ready(Some(Err(AppBodyError::Broken(error))))
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if frame.is_trailers() {
                        continue;
                    }
                    self.is_silent = false;
                    Poll::Ready(Some(Ok(frame)))
                }
                Poll::Pending => self.poll_patience(cx).map(|error| Some(Err(error))),
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
