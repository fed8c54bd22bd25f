//! What a request costs, where the straight function meets it: the claim before it goes up, what a
//! refusal says of it, and what a user is told of their own.

use std::net::IpAddr;

use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Value, json};

use super::{Gateway, finish, own, refusal};
use crate::admission::ForGateway;
use crate::admission::limits::LimitError;
use crate::budget::{Refused, Standing};
use crate::charge::{Asking, Charge, Unclaimed};
use crate::clock::Now;
use crate::error::GatewayError;
use crate::forward::body::ObservedBody;
use crate::forward::{ForwardError, Outgoing};
use crate::identity::Identity;
use crate::metering::{Asked, Cost};
use crate::session::Session;
use crate::telemetry::access_log::Record;
use crate::token::TokenError;

/// Routes whose streams can be asked for usage (`stream_options`).
const WITH_STREAM_OPTIONS: [&str; 2] = ["/v1/chat/completions", "/v1/completions"];

/// A request that failed after it was claimed for, or before.
pub(super) struct Failed {
    pub(super) error: GatewayError,
    pub(super) charge: Option<Charge>,
}

impl From<GatewayError> for Failed {
    fn from(error: GatewayError) -> Self {
        let charge = None;
        Self { error, charge }
    }
}

impl From<ForwardError> for Failed {
    fn from(error: ForwardError) -> Self {
        GatewayError::from(error).into()
    }
}

impl From<TokenError> for Failed {
    fn from(error: TokenError) -> Self {
        GatewayError::from(error).into()
    }
}

impl From<LimitError> for Failed {
    fn from(error: LimitError) -> Self {
        GatewayError::from(error).into()
    }
}

impl From<Box<Unclaimed>> for Failed {
    fn from(unclaimed: Box<Unclaimed>) -> Self {
        let Unclaimed { over, charge } = *unclaimed;
        Self {
            error: over.into(),
            charge: Some(charge),
        }
    }
}

impl Gateway {
    /// Claims what `outgoing` is thought to need, and makes a stream say what it used where that is
    /// wanted. Only what can use tokens costs anything: POST.
    pub(super) async fn claim(
        &self,
        outgoing: &mut Outgoing<'_>,
        identity: &Identity,
        now: Now,
        record: &Record,
    ) -> Result<Option<Charge>, Failed> {
        if outgoing.method() != Method::POST {
            return Ok(None);
        }
        let body = outgoing.held_body().cloned();
        let asked = body.as_deref().map(Asked::read).unwrap_or_default();
        let asks = self.charger.asks_upstream() && WITH_STREAM_OPTIONS.contains(&record.route);
        let changed = body
            .filter(|_| asks)
            .and_then(|body| asked.with_usage(&body));
        let asking = Asking {
            identity,
            route: record.route,
            headers: outgoing.caller_headers(),
            asked,
            body: outgoing.body_size(),
            request_id: record.request_id(),
        };
        let mut charge = self.charger.claim(asking, now).await?;
        if let Some(changed) = changed {
            outgoing.replace_body(changed);
            charge.asks_for_caller();
        }
        Ok(Some(charge))
    }

    /// The gateway's own answer to a request that failed.
    pub(super) fn refuse(
        &self,
        error: &GatewayError,
        is_head: bool,
        mut record: Record,
    ) -> Response<ObservedBody> {
        let response = self.refusal(error, &mut record);
        finish(response, is_head, record)
    }

    /// The same, of one that may have been claimed for.
    pub(super) fn refuse_charged(
        &self,
        failed: Failed,
        is_head: bool,
        mut record: Record,
    ) -> Response<ObservedBody> {
        let Failed { error, charge } = failed;
        let response = self.refusal(&error, &mut record);
        if let Some(mut charge) = charge {
            charge.failed(&record);
        }
        finish(response, is_head, record)
    }

    /// What the gateway says to a failed request, which is counted.
    pub(super) fn refusal(&self, error: &GatewayError, record: &mut Record) -> Response<Bytes> {
        let view = self.charger.view();
        let reason = error.reason().label();
        let response = refusal(error, &error.verdict(), record);
        view.refusals
            .count(record.code.label(), reason, self.clock.now());
        if let GatewayError::Budget(over) = error
            && let Refused::Limit(standing) = &over.refused
        {
            let usage = &self.access_log.metrics().usage;
            usage.refused(standing.scope.label(), standing.kind.label());
        }
        response
    }

    /// What a signed-in user may spend, and has spent (`GET /v1/usage/me`).
    pub(super) async fn own_usage(
        &self,
        request: &ForGateway,
        peer: IpAddr,
        record: &mut Record,
    ) -> Result<Response<Bytes>, GatewayError> {
        let now = self.clock.now();
        let (Session { identity, .. }, _) = self
            .authenticate(request.headers(), request.host(), peer, now, record)
            .await?;
        let _slot = self.admission.limits().enter(&identity.user)?;
        let (policy, standings) = self.charger.standings(&identity, now).await?;
        let limits: Vec<_> = standings.iter().map(shown).collect();
        let page = json!({
            "tier": policy.tier,
            "time_zone": self.charger.terms().budgets.time_zone,
            "limits": limits,
        });
        Ok(own::json(page.to_string().into_bytes()))
    }
}

/// One limit, as its user reads it: dollars are dollars.
fn shown(standing: &Standing) -> Value {
    let amount = |amount: u64| {
        if standing.kind.is_cost() {
            json!(Cost(amount).usd())
        } else {
            json!(amount)
        }
    };
    json!({
        "kind": standing.kind.label(),
        "scope": standing.scope.label(),
        "limit": amount(standing.limit),
        "used": amount(standing.used),
        "reserved": amount(standing.reserved),
        "remaining": amount(standing.remaining()),
        "resets_at": standing.resets_at,
    })
}
