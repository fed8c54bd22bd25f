//! The metrics of what answers used, found once for each tier and model: looking four of them up by their
//! labels costs as much as reading the answer.
//!
//! Guarantees: as many as the configuration has tiers and the table of prices has models.

use std::sync::OnceLock;

use super::charger::ChargeTerms;
use crate::metering::{Cost, ModelName, Tokens};
use crate::telemetry::metrics::{AnswerCounters, TokenCounts, UsageMetrics};

/// Tiers that are none of the configuration's, by their labels.
const STRANGE: [&str; 2] = ["none", "other"];

/// The metrics of every tier and model.
pub(super) struct Counters {
    /// In ascending order.
    tiers: Vec<String>,
    /// Of [`STRANGE`] and then of each tier, the models in their order.
    cells: Vec<OnceLock<AnswerCounters>>,
    models: usize,
}

impl Counters {
    /// None used yet.
    pub(super) fn new(terms: &ChargeTerms) -> Self {
        let tiers: Vec<_> = terms.budgets.tiers.keys().cloned().collect();
        let models = terms.metering.prices.labels().count();
        let cells = (0..models * (STRANGE.len() + tiers.len())).map(|_| OnceLock::new());
        Self {
            cells: cells.collect(),
            tiers,
            models,
        }
    }

    /// Counts an answer of `model` to a session of `tier`.
    pub(super) fn count(
        &self,
        metrics: &UsageMetrics,
        terms: &ChargeTerms,
        tier: &str,
        model: Option<&ModelName>,
        (tokens, cost): (Option<Tokens>, Option<Cost>),
    ) {
        let own = self.tiers.binary_search_by(|own| own.as_str().cmp(tier));
        let row = own.map_or(usize::from(!tier.is_empty()), |at| STRANGE.len() + at);
        let prices = &terms.metering.prices;
        let Some(cell) = self.cells.get(row * self.models + prices.place(model)) else {
            return;
        };
        let counters = cell.get_or_init(|| {
            let tier = if own.is_ok() {
                tier
            } else {
                STRANGE.get(row).copied().unwrap_or_default()
            };
            metrics.answers(tier, prices.label(model))
        });
        if let Some(tokens) = tokens {
            counters.tokens(TokenCounts {
                prompt: tokens.prompt,
                cached: tokens.cached,
                completion: tokens.completion,
            });
        }
        if let Some(cost) = cost {
            counters.cost(cost.usd());
        }
    }
}
