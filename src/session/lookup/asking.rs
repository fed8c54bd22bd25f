//! One question to the app, in a task of its own, so that a caller who hangs up ends it for nobody.
//!
//! Guarantees: it ends within `session.providers[].timeout`, the wait for a place included; whatever
//! becomes of it, a panic included, its flight ends and everyone who waits is answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::sync::watch;

use super::answer::{Known, Miss, Outcome};
use super::app::App;
use super::failure::AppFailure;
use crate::clock::{self, Now};
use crate::session::fingerprint::Fingerprint;
use crate::telemetry::labels::LookupOutcome;

/// A question under way. Dropped before it has landed, it ends its flight all the same.
pub(super) struct Asking {
    app: Arc<App>,
    name: Fingerprint,
    id: u64,
    outcome: watch::Sender<Option<Outcome>>,
    landed: bool,
}

impl Asking {
    /// Flight number `id` to `app`, whose outcome is for `outcome`.
    pub(super) fn new(
        app: Arc<App>,
        name: Fingerprint,
        id: u64,
        outcome: watch::Sender<Option<Outcome>>,
    ) -> Self {
        Self {
            app,
            name,
            id,
            outcome,
            landed: false,
        }
    }

    /// Asks on this worker.
    pub(super) fn launch(self, request: Request<Full<Bytes>>, now: Now) {
        tokio::spawn(self.fly(request, now));
    }

    async fn fly(self, request: Request<Full<Bytes>>, asked: Now) {
        let begun = clock::monotonic();
        let took = || clock::monotonic().duration_since(begun);
        let mut has_place = false;
        let attempt = self.attempt(request, asked, took, &mut has_place);
        let result = match tokio::time::timeout(self.app.timeout, attempt).await {
            Ok(result) => result,
            Err(_) if has_place => Err(AppFailure::Late(self.app.timeout).into()),
            Err(_) => Err(AppFailure::Busy.into()),
        };
        self.land(result, asked, took());
    }

    async fn attempt(
        &self,
        request: Request<Full<Bytes>>,
        asked: Now,
        took: impl Fn() -> Duration,
        has_place: &mut bool,
    ) -> Result<Known, Miss> {
        // Who waits for a place longer would have no time left for the question: at the very moment at
        // which questions time out, all who wait would ask at once, and hang up.
        let place = tokio::time::timeout(self.app.timeout / 2, self.app.places.acquire()).await;
        let place = place.map_err(|_| AppFailure::Busy)?;
        let _place = place.map_err(|_| AppFailure::Internal)?;
        *has_place = true;
        let response = self.app.call(request).await.map_err(AppFailure::Call)?;
        let now = Now {
            unix: asked.unix + took(),
            elapsed: asked.elapsed + took(),
        };
        self.app.paths.judge(&response, now)
    }

    /// Puts the result where everyone finds it.
    fn land(mut self, result: Result<Known, Miss>, asked: Now, took: Duration) {
        let app = &self.app;
        let (outcome, label) = match result {
            Ok(known) => (Ok(known), LookupOutcome::Known),
            Err(Miss::Session(refusal)) => (Err(refusal), LookupOutcome::Refused),
            Err(Miss::App(failure, retry_after)) => {
                let label = failure.outcome();
                (Err(failure.refusal(retry_after)), label)
            }
        };
        if let Some(metrics) = app.count.metrics() {
            metrics.lookup(app.count.provider, label, took);
        }
        if let Err(refusal) = &outcome {
            app.log.tell(app.count.provider, refusal, label);
        }
        let landed = asked.elapsed + took;
        app.land(self.name, self.id, &outcome, asked.elapsed, landed);
        self.outcome.send_replace(Some(outcome));
        self.landed = true;
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        self.app.end(self.name, self.id);
        // Else the worker ended: whoever waits on another finds no outcome and asks from there.
        if std::thread::panicking() {
            let failed = AppFailure::Internal.refusal(None);
            self.outcome.send_replace(Some(Err(failed)));
        }
    }
}
