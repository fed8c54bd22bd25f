//! What is probably not meant of budgets: limits that do not hold, or not for long.

use crate::budget::{BudgetConfig, LimitKind, StoreConfig};
use crate::config::Config;

pub(super) fn add(config: &Config, warnings: &mut Vec<String>) {
    let kinds = kinds(&config.budgets);
    let has_costs = kinds.iter().any(|kind| kind.is_cost());
    let tokens = [LimitKind::TokensPerDay, LimitKind::TokensPerMonth];
    let has_tokens = kinds.iter().any(|kind| tokens.contains(kind));
    // What lasts longer than a minute.
    let has_budgets = kinds.iter().any(|kind| !kind.is_rate());
    if has_budgets && config.store == StoreConfig::Embedded(None) {
        warnings.push(
            "budgets are counted in memory only: a restart forgets what was used, and each replica \
             counts by itself. Set store.path to a folder on a volume, or store.kind = \"redis\" for \
             several replicas"
                .to_owned(),
        );
    }
    if !config.metering.enabled && (has_tokens || has_costs) {
        warnings.push(
            "metering.enabled is false, and budgets limit tokens or dollars: answers are not read, and \
             most count as nothing; take it out"
                .to_owned(),
        );
    } else if has_costs && !config.metering.prices.has_default() {
        warnings.push(
            "budgets limit dollars, and metering.default_price is not set: a model that the table of \
             prices does not name costs nothing; set it to what your dearest model costs"
                .to_owned(),
        );
    }
    if kinds.is_empty() && (config.usage.thresholds.is_some() || config.budgets.usage_me) {
        let key = if config.budgets.usage_me {
            "budgets.usage_me"
        } else {
            "budgets.webhook.url"
        };
        warnings.push(format!(
            "{key} is set, but no limit: there is nothing to tell; set some in [budgets.default]"
        ));
    }
}

/// The kinds of limits that anyone has.
fn kinds(budgets: &BudgetConfig) -> Vec<LimitKind> {
    let policies = budgets.tiers.values().chain([&budgets.default]);
    let limits = policies.flat_map(|policy| policy.user.iter().chain(policy.session.iter()));
    limits.map(|(kind, _)| kind).collect()
}
