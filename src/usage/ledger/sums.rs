//! What is added up of requests.

use serde::{Deserialize, Serialize};

use crate::budget::store::redis::FIGURES;
use crate::metering::{Certainty, Cost, Tokens};
use crate::usage::UsageRecord;

/// Sums over requests; each stays at its largest value rather than beginning anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sums {
    /// Requests, the refused ones included.
    #[serde(skip_serializing_if = "none")]
    pub requests: u32,
    /// Of these, refused by the gateway itself.
    #[serde(skip_serializing_if = "none")]
    pub refused: u32,
    /// Of these, answered, but broken off before they said what they used.
    #[serde(skip_serializing_if = "none")]
    pub partial: u32,
    /// Of these, answered, and never said what they used.
    #[serde(skip_serializing_if = "none")]
    pub unknown: u32,
    /// Of these, with known tokens of a model whose price is not known.
    #[serde(skip_serializing_if = "none")]
    pub unpriced: u32,
    /// Prompt tokens, cached ones included.
    #[serde(skip_serializing_if = "nothing")]
    pub prompt: u64,
    /// Of these, from a cache.
    #[serde(skip_serializing_if = "nothing")]
    pub cached: u64,
    /// Completion tokens.
    #[serde(skip_serializing_if = "nothing")]
    pub completion: u64,
    /// Nano-dollars.
    #[serde(skip_serializing_if = "nothing")]
    pub cost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn none(count: &u32) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn nothing(amount: &u64) -> bool {
    *amount == 0
}

impl Sums {
    /// In the order of the fields, as stores hold them.
    pub(super) fn figures(&self) -> [u64; FIGURES] {
        [
            self.requests.into(),
            self.refused.into(),
            self.partial.into(),
            self.unknown.into(),
            self.unpriced.into(),
            self.prompt,
            self.cached,
            self.completion,
            self.cost,
        ]
    }

    /// The same again.
    pub(super) fn from_figures(figures: [u64; FIGURES]) -> Self {
        let small = |figure: u64| u32::try_from(figure).unwrap_or(u32::MAX);
        let [
            requests,
            refused,
            partial,
            unknown,
            unpriced,
            prompt,
            cached,
            completion,
            cost,
        ] = figures;
        Self {
            requests: small(requests),
            refused: small(refused),
            partial: small(partial),
            unknown: small(unknown),
            unpriced: small(unpriced),
            prompt,
            cached,
            completion,
            cost,
        }
    }

    /// One request's.
    #[must_use]
    pub fn of(record: &UsageRecord) -> Self {
        let is_refused = record.is_refused();
        let is = |certainty| u32::from(!is_refused && record.certainty == certainty);
        let tokens: Tokens = record.tokens.unwrap_or_default();
        let Cost(cost) = record.cost.unwrap_or_default();
        Self {
            requests: 1,
            refused: u32::from(is_refused),
            partial: is(Certainty::Partial),
            unknown: is(Certainty::Unknown),
            unpriced: u32::from(record.tokens.is_some() && record.cost.is_none()),
            prompt: tokens.prompt,
            cached: tokens.cached,
            completion: tokens.completion,
            cost,
        }
    }

    /// Adds `more`.
    pub fn add(&mut self, more: &Self) {
        let small = |own: &mut u32, more: u32| *own = own.saturating_add(more);
        let large = |own: &mut u64, more: u64| *own = own.saturating_add(more);
        small(&mut self.requests, more.requests);
        small(&mut self.refused, more.refused);
        small(&mut self.partial, more.partial);
        small(&mut self.unknown, more.unknown);
        small(&mut self.unpriced, more.unpriced);
        large(&mut self.prompt, more.prompt);
        large(&mut self.cached, more.cached);
        large(&mut self.completion, more.completion);
        large(&mut self.cost, more.cost);
    }

    /// Requests whose tokens are known.
    #[must_use]
    pub fn known(&self) -> u32 {
        let others = [self.refused, self.partial, self.unknown];
        others.into_iter().fold(self.requests, u32::saturating_sub)
    }

    /// Prompt and completion together.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }

    /// What decides who has a place of their own: cost, then tokens, then requests.
    pub(in crate::usage) fn weight(&self) -> (u64, u64, u32) {
        (self.cost, self.tokens(), self.requests)
    }
}
