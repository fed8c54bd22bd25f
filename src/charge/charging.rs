//! One request's charge, from its claim to its settlement: [`Charge`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use super::charger::{Charger, bounded};
use crate::budget::store::Allowance;
use crate::budget::{Permit, Standing};
use crate::metering::{Certainty, Measured, Meter, ModelName, Tokens};
use crate::telemetry::access_log::Record;
use crate::usage::{Live, UsageRecord};

/// Whom the record will name.
pub(super) struct Bill {
    pub(super) began: Duration,
    pub(super) tier: String,
    /// As `usage.users` has it.
    pub(super) user: Option<String>,
    pub(super) session_id: Option<String>,
    pub(super) thread_id: Option<String>,
    /// Tokens that the prompt is thought to have.
    pub(super) prompt: u64,
}

/// What one request costs. Dropped before its end, it is a request whose caller left.
pub struct Charge {
    charger: Arc<Charger>,
    bill: Bill,
    permit: Option<Permit>,
    live: Live,
    /// The model, as the request calls it.
    asked_model: Option<ModelName>,
    /// Whether the gateway itself asked for usage, and takes it out again.
    asks_for_caller: bool,
    meter: Option<Meter>,
    is_stream: bool,
    /// At which a stream is cut.
    most: Allowance,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing went up.
    Claimed,
    /// It went up.
    Sent,
    /// An answer that can have used something is on its way.
    Answered,
    /// Settled or released.
    Ended,
}

impl Charge {
    pub(super) fn new(
        charger: Arc<Charger>,
        bill: Bill,
        permit: Option<Permit>,
        live: Live,
        asked_model: Option<ModelName>,
    ) -> Self {
        let most = permit
            .as_ref()
            .filter(|_| charger.cuts())
            .map(Permit::allowance)
            .unwrap_or_default();
        Self {
            charger,
            bill,
            permit,
            live,
            asked_model,
            asks_for_caller: false,
            meter: None,
            is_stream: false,
            most,
            stage: Stage::Claimed,
        }
    }

    /// The gateway asks for usage in the caller's stead: what comes of it is taken out.
    pub fn asks_for_caller(&mut self) {
        self.asks_for_caller = true;
    }

    /// How every limit stood when this was claimed.
    #[must_use]
    pub fn standings(&self) -> &[Standing] {
        self.permit.as_ref().map_or(&[], Permit::standings)
    }

    /// The request goes up, in the session that its token names.
    pub fn sent(&mut self, session_id: Option<&HeaderValue>) {
        self.stage = Stage::Sent;
        self.belongs_to(session_id);
    }

    /// It is of the session that Behest was told (`X-Session-Id`), which a mint may have chosen.
    pub fn belongs_to(&mut self, session_id: Option<&HeaderValue>) {
        let known = session_id.and_then(|id| id.to_str().ok());
        if let Some(id) = known.filter(|id| self.bill.session_id.as_deref() != Some(*id)) {
            self.bill.session_id = self.charger.terms.privacy.session(id);
        }
    }

    /// An answer's head is here, and it is no error.
    /// `may_shrink`: nobody was told how long it is.
    pub fn answered(&mut self, is_event_stream: bool, may_shrink: bool) {
        self.stage = Stage::Answered;
        self.is_stream = is_event_stream;
        if is_event_stream {
            self.live.streams();
        }
        if self.charger.terms.metering.enabled {
            self.meter = Some(if is_event_stream {
                Meter::events(self.asks_for_caller && may_shrink)
            } else {
                Meter::json()
            });
        }
    }

    /// Data of the answer; what of it, and of what waited, is to be passed on.
    pub fn passed(&mut self, data: Bytes) -> Bytes {
        match &mut self.meter {
            Some(meter) => meter.passed(data),
            None => data,
        }
    }

    /// Whether something waits.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        self.meter.as_ref().is_some_and(Meter::has_rest)
    }

    /// What still waits when the answer has ended.
    pub fn rest(&mut self) -> Option<Bytes> {
        self.meter.as_mut().and_then(Meter::rest)
    }

    /// So many bytes of the answer have been passed on.
    pub fn passed_on(&self, bytes: u64) {
        self.live.passed(bytes);
    }

    /// Whether a budget is used up that streams are cut for (`budgets.on_exhausted`).
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        if !self.is_stream || self.most == Allowance::default() {
            return false;
        }
        let passed = self.meter.as_ref().map_or(0, Meter::count);
        let used = self.guessed(false, passed);
        let is_over = |most: Option<u64>, used: u64| most.is_some_and(|most| used >= most);
        let cost = || {
            self.charger
                .terms
                .metering
                .prices
                .cost(self.asked_model.as_ref(), &used)
        };
        is_over(self.most.tokens, used.total)
            || self.most.cost.is_some() && is_over(self.most.cost, cost().unwrap_or_default().0)
    }

    /// Behest's answer is an error, or there is none: the request counts, if it went up, and nothing else.
    pub fn failed(&mut self, record: &Record) {
        let measured = Measured {
            tokens: None,
            certainty: Certainty::Unknown,
            model: None,
        };
        self.close(measured, Tokens::default(), record);
    }

    /// The answer has ended, `whole` or not: settles, counts and tells it.
    pub fn end(&mut self, whole: bool, record: &Record) {
        let passed = self.meter.as_ref().map_or(0, Meter::count);
        let measured = match self.meter.take() {
            Some(meter) => meter.finish(whole),
            None => Measured {
                tokens: None,
                certainty: if whole {
                    Certainty::Unknown
                } else {
                    Certainty::Partial
                },
                model: None,
            },
        };
        let charged = measured
            .tokens
            .unwrap_or_else(|| self.guessed(whole, passed));
        self.close(measured, charged, record);
    }

    /// What a budget is charged where the answer does not say: for a stream, and for what broke off, the
    /// prompt and the events that passed.
    fn guessed(&self, whole: bool, events: u64) -> Tokens {
        if whole && !self.is_stream {
            return Tokens::default();
        }
        let prompt = self.bill.prompt;
        Tokens {
            prompt,
            cached: 0,
            completion: events,
            total: prompt.saturating_add(events),
        }
    }

    fn close(&mut self, measured: Measured, charged: Tokens, record: &Record) {
        if self.stage == Stage::Ended {
            return;
        }
        let went_up = self.stage != Stage::Claimed;
        self.stage = Stage::Ended;
        let Measured {
            tokens,
            certainty,
            model,
        } = measured;
        let model = model.or_else(|| self.asked_model.take());
        let cost = self
            .charger
            .terms
            .metering
            .prices
            .cost(model.as_ref(), &charged);
        match self.permit.take() {
            Some(permit) if went_up => permit.settle(bounded(&charged, cost)),
            // Dropped, it is released.
            Some(_) | None => {}
        }
        let cost = tokens.and(cost);
        let told = UsageRecord {
            began: self.bill.began,
            took: record.took(),
            request_id: text(record.request_id()).to_owned(),
            trace_id: record.trace_id.as_ref().map(|id| text(id).to_owned()),
            user: self.bill.user.take(),
            tier: std::mem::take(&mut self.bill.tier),
            session_id: self.bill.session_id.take(),
            thread_id: self.bill.thread_id.take(),
            route: record.route,
            model,
            certainty,
            tokens,
            cost,
            status: record.status,
            outcome: record.code.label(),
        };
        self.charger.tell(told);
    }
}

impl Drop for Charge {
    /// A request that went up may have cost something, and nobody will say what: its prompt is charged.
    /// One that did not is released with its permit.
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Sent | Stage::Answered) {
            return;
        }
        if let Some(permit) = self.permit.take() {
            let charged = self.guessed(false, 0);
            let cost = self
                .charger
                .terms
                .metering
                .prices
                .cost(self.asked_model.as_ref(), &charged);
            permit.settle(bounded(&charged, cost));
        }
    }
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}
