//! What all requests' charges have in common: [`Charger`].

use std::sync::Arc;

use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::charging::{Bill, Charge};
use super::counters::Counters;
use super::names::{Known, Names};
use crate::budget::{
    Amounts, BudgetConfig, Claim, OnExhausted, OverBudget, Policy, Standing, Store,
};
use crate::clock::Now;
use crate::identity::{Identity, Tier};
use crate::metering::{Asked, Cost, MeteringConfig, Tokens};
use crate::telemetry::metrics::Metrics;
use crate::usage::{Sinks, UsageRecord, UsageView, UserPrivacy};

const X_THREAD_ID: HeaderName = HeaderName::from_static("x-thread-id");

/// Routes whose answers have no tokens of their own: nothing is reserved for them.
const WITHOUT_COMPLETION: [&str; 1] = ["/v1/embeddings"];

/// Tokens or nano-dollars of one request, at most: 1.1 million million tokens, 1,100 dollars.
const MOST: u64 = 1 << 40;

/// By what is charged: of one configuration.
#[derive(Clone, Debug)]
pub struct ChargeTerms {
    /// `[metering]`
    pub metering: MeteringConfig,
    /// `[budgets]`
    pub budgets: BudgetConfig,
    /// The tier of sessions without one, as the mint is told (`mint.default_tier`).
    pub default_tier: Option<Tier>,
    /// How users stand in records.
    pub privacy: UserPrivacy,
}

/// Charges requests. One for each gateway; what it counts in outlives it.
pub struct Charger {
    pub(super) terms: ChargeTerms,
    pub(super) store: Store,
    pub(super) account_key: hmac::Key,
    pub(super) names: Arc<Names>,
    pub(super) sinks: Arc<Sinks>,
    pub(super) view: Arc<UsageView>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) counters: Counters,
}

/// What is known of a request before it goes up.
pub struct Asking<'a> {
    /// Whose it is.
    pub identity: &'a Identity,
    /// Its route's pattern.
    pub route: &'static str,
    /// The caller's headers.
    pub headers: &'a HeaderMap,
    /// What its body asks.
    pub asked: Asked,
    /// The body's bytes, or what it states them to be.
    pub body: u64,
    /// Its id.
    pub request_id: &'a HeaderValue,
}

/// A request that is over a budget.
pub struct Unclaimed {
    /// Which, and by how much.
    pub over: OverBudget,
    /// Nothing is claimed with it; its record is still to be told.
    pub charge: Charge,
}

impl Charger {
    /// Claims what `asking` is thought to need.
    ///
    /// # Errors
    /// A budget or a rate is used up, or the store that knows does not answer.
    pub async fn claim(
        self: &Arc<Self>,
        asking: Asking<'_>,
        now: Now,
    ) -> Result<Charge, Box<Unclaimed>> {
        let tier = self.tier(asking.identity);
        let policy = Arc::clone(self.terms.budgets.policy(tier.as_deref()));
        let prompt = asking.body.div_ceil(4);
        let estimate = self.estimate(&asking, prompt);
        let known = self.known(asking.identity);
        let (permit, refused) = if policy.user.is_empty() && policy.session.is_empty() {
            (None, None)
        } else {
            let claim = self.claimed(asking.identity, known.account, &policy, estimate);
            self.names.note(&known, tier.as_deref().unwrap_or_default());
            match self.store.reserve(claim, now).await {
                Ok(permit) => (Some(permit), None),
                Err(refused) => (None, Some(refused)),
            }
        };
        let tier = tier.unwrap_or_default();
        let live = self
            .view
            .live
            .enter(asking.request_id.clone(), asking.route, &tier, now);
        let bill = Bill {
            began: now.unix,
            tier,
            user: known.name.as_deref().map(str::to_owned),
            session_id: asking
                .identity
                .session_id
                .as_ref()
                .and_then(|id| self.terms.privacy.session(id.as_str())),
            thread_id: asking
                .headers
                .get(X_THREAD_ID)
                .and_then(visible)
                .and_then(|id| self.terms.privacy.session(id)),
            prompt,
        };
        let model = asking.asked.model;
        let charge = Charge::new(Arc::clone(self), bill, permit, live, model);
        match refused {
            None => Ok(charge),
            Some(refused) => Err(Box::new(Unclaimed {
                over: OverBudget {
                    refused,
                    policy,
                    at: now.unix_seconds(),
                },
                charge,
            })),
        }
    }

    /// How `identity` stands with every limit that it has.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn standings(
        &self,
        identity: &Identity,
        now: Now,
    ) -> Result<(Arc<Policy>, Vec<Standing>), OverBudget> {
        let policy = Arc::clone(self.terms.budgets.policy(self.tier(identity).as_deref()));
        let account = self.known(identity).account;
        let Claim { user, session, .. } =
            self.claimed(identity, account, &policy, Amounts::default());
        match self.store.standings(user, session, &policy, now).await {
            Ok(standings) => Ok((policy, standings)),
            Err(refused) => Err(OverBudget {
                refused,
                policy,
                at: now.unix_seconds(),
            }),
        }
    }

    /// By what is charged.
    #[must_use]
    pub fn terms(&self) -> &ChargeTerms {
        &self.terms
    }

    /// What is shown of use.
    #[must_use]
    pub fn view(&self) -> &UsageView {
        &self.view
    }

    /// Whether streams that `asked` not for it are made to say what they used.
    #[must_use]
    pub fn asks_upstream(&self) -> bool {
        self.terms.metering.enabled && self.terms.metering.ask_upstream
    }

    /// A request has ended: counts it, and hands its record on.
    pub(super) fn tell(&self, record: UsageRecord) {
        let metrics = &self.metrics.usage;
        if !record.is_refused() {
            metrics.metered(record.certainty.label());
        }
        if record.tokens.is_some() || record.cost.is_some() {
            let (tier, model) = (record.tier.as_str(), record.model.as_ref());
            let used = (record.tokens, record.cost);
            self.counters.count(metrics, &self.terms, tier, model, used);
        }
        self.sinks.offer(&record);
        self.view.ledger.add(Arc::new(record));
    }

    pub(super) fn cuts(&self) -> bool {
        self.terms.budgets.on_exhausted == OnExhausted::Cut
    }

    fn tier(&self, identity: &Identity) -> Option<String> {
        let tier = identity.tier.as_ref().or(self.terms.default_tier.as_ref());
        tier.map(|tier| match tier {
            Tier::Text(text) => text.to_string(),
            Tier::Number(number) => number.to_string(),
        })
    }

    /// A quarter of the body's bytes, and as much of an answer as is asked for.
    fn estimate(&self, asking: &Asking<'_>, prompt: u64) -> Amounts {
        let asked = &asking.asked;
        let each = asked
            .max_tokens
            .unwrap_or(self.terms.budgets.default_max_tokens);
        let completion = if WITHOUT_COMPLETION.contains(&asking.route) {
            0
        } else {
            each.saturating_mul(asked.choices)
        };
        let tokens = Tokens {
            prompt,
            cached: 0,
            completion,
            total: prompt.saturating_add(completion),
        };
        let cost = self
            .terms
            .metering
            .prices
            .cost(asked.model.as_ref(), &tokens);
        bounded(&tokens, cost)
    }

    fn claimed(
        &self,
        identity: &Identity,
        account: u128,
        policy: &Arc<Policy>,
        estimate: Amounts,
    ) -> Claim {
        let user = identity.user.as_str().as_bytes();
        let session = identity
            .session_id
            .as_ref()
            .filter(|_| !policy.session.is_empty());
        Claim {
            user: account,
            session: session.map(|session| self.account(&[user, session.as_str().as_bytes()])),
            policy: Arc::clone(policy),
            estimate,
        }
    }

    fn known(&self, identity: &Identity) -> Known {
        self.names.of_user(&identity.user, || Known {
            account: self.account(&[identity.user.as_str().as_bytes()]),
            name: self.terms.privacy.user(&identity.user).map(Into::into),
        })
    }

    /// 128 bits of a keyed hash of `parts`, each with its length before it.
    fn account(&self, parts: &[&[u8]]) -> u128 {
        let mut context = hmac::Context::with_key(&self.account_key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let tag = context.sign();
        let half = tag.as_ref().first_chunk::<16>();
        half.map_or(0, |half| u128::from_be_bytes(*half))
    }
}

/// What one request counts as. However much it asks or says: sums stay exact also where a store counts in
/// doubles.
pub(super) fn bounded(tokens: &Tokens, cost: Option<Cost>) -> Amounts {
    Amounts {
        requests: 1,
        tokens: tokens.total.min(MOST),
        cost: cost.unwrap_or_default().0.min(MOST),
    }
}

/// A client's own id, where it can be kept: 1 to 128 bytes of visible ASCII.
fn visible(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some(text)
}
