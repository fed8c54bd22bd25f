//! Why the app did not say whose session a cookie is, and how its operator learns of it.
//!
//! Guarantees: one line a minute for each kind of failure of a provider at most; no cookie and no text
//! of the app's is in it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::client::ClientError;
use crate::clock;
use crate::session::error::{Asked, InvalidReason, Refusal};
use crate::telemetry;
use crate::telemetry::labels::LookupOutcome;
use crate::telemetry::line_budget::LineBudget;

/// Between two lines about one kind of failure.
const INTERVAL: Duration = Duration::from_mins(1);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppFailure {
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error(transparent)]
    Call(ClientError),
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Late(Duration),
    #[error("too many other questions are under way")]
    Busy,
    #[error("asking failed inside the gateway")]
    Internal,
}

impl AppFailure {
    /// As a metric's label.
    pub(super) fn outcome(&self) -> LookupOutcome {
        match self {
            Self::Status(_) => LookupOutcome::Status,
            Self::Late(_) => LookupOutcome::Timeout,
            Self::Call(error) if error.is_timeout() => LookupOutcome::Timeout,
            Self::Call(_) | Self::Internal => LookupOutcome::Unreachable,
            Self::Busy => LookupOutcome::Overloaded,
        }
    }

    /// The refusal of the request that needs the answer, with the wait that the app asks for.
    pub(super) fn refusal(self, retry_after: Option<Duration>) -> Refusal {
        Refusal::Unavailable(Asked::App { retry_after }, Arc::new(self))
    }
}

/// What may be told again, for each kind of failure.
#[derive(Default)]
pub(super) struct FailureLog {
    unanswered: LineBudget,
    busy: LineBudget,
    status: LineBudget,
    unreadable: LineBudget,
    no_user: LineBudget,
    redirected: LineBudget,
}

impl FailureLog {
    /// Tells of `refusal`, an answer or its lack, where an operator can do something about it.
    pub(super) fn tell(&self, provider: &'static str, refusal: &Refusal, outcome: LookupOutcome) {
        let Some((budget, advice)) = self.advice(refusal, outcome) else {
            return;
        };
        if !budget.admit(INTERVAL, clock::monotonic()) {
            return;
        }
        match refusal {
            Refusal::Unavailable(_, cause) => {
                tracing::error!(provider, error = telemetry::chain(&**cause), "{advice}");
            }
            Refusal::Invalid(reason) => {
                tracing::warn!(provider, error = %reason, "{advice}");
            }
            Refusal::Expired | Refusal::NotAllowed(_) | Refusal::NeedsLookup => {}
        }
    }

    fn advice(
        &self,
        refusal: &Refusal,
        outcome: LookupOutcome,
    ) -> Option<(&LineBudget, &'static str)> {
        Some(match refusal {
            Refusal::Unavailable(..) => match outcome {
                LookupOutcome::Status => (
                    &self.status,
                    "the app's session URL answers with an error: is session.providers[].url right?",
                ),
                LookupOutcome::Overloaded => (
                    &self.busy,
                    "more sessions are to be looked up than the app answers in time",
                ),
                LookupOutcome::Known
                | LookupOutcome::Refused
                | LookupOutcome::Timeout
                | LookupOutcome::Unreachable => (
                    &self.unanswered,
                    "the app's session URL gives no answer: is session.providers[].url right, and the app up?",
                ),
            },
            Refusal::Invalid(InvalidReason::AppNotJson) => (
                &self.unreadable,
                "the app's session URL answers with something else than JSON: is session.providers[].url right?",
            ),
            Refusal::Invalid(InvalidReason::AppRedirects) => (
                &self.redirected,
                "the app's session URL redirects: is session.providers[].url right?",
            ),
            Refusal::Invalid(InvalidReason::AppNamesNoUser) => (
                &self.no_user,
                "the app's answers name no user: add the user id to them, or set session.providers[].user_claim",
            ),
            Refusal::Invalid(_)
            | Refusal::Expired
            | Refusal::NotAllowed(_)
            | Refusal::NeedsLookup => return None,
        })
    }
}
