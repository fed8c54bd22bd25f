//! What is probably not meant of budgets: limits that do not hold, or not for long.

use crate::budget::{BudgetConfig, LimitKind, StoreConfig};
use crate::config::Config;

pub(super) fn add(config: &Config, warnings: &mut Vec<String>) {
    let limits = Limited::by(&config.budgets);
    if limits.has_budgets && config.store == StoreConfig::Embedded(None) {
        warnings.push(
            "budgets are counted in memory only: a restart forgets what was used, and each replica \
             counts by itself. Set store.path to a folder on a volume, or store.kind = \"redis\" for \
             several replicas"
                .to_owned(),
        );
    }
    if !config.metering.enabled && (limits.has_tokens || limits.has_costs) {
        warnings.push(
            "metering.enabled is false, and budgets limit tokens or dollars: answers are not read, and \
             most count as nothing; take it out"
                .to_owned(),
        );
    } else if limits.has_costs && !config.metering.prices.has_default() {
        warnings.push(
            "budgets limit dollars, and metering.default_price is not set: a model that the table of \
             prices does not name costs nothing; set it to what your dearest model costs"
                .to_owned(),
        );
    }
    if limits.is_none && (config.usage.thresholds.is_some() || config.budgets.usage_me) {
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

/// Which kinds of limits anyone has.
struct Limited {
    is_none: bool,
    /// Something that lasts longer than a minute.
    has_budgets: bool,
    has_tokens: bool,
    has_costs: bool,
}

impl Limited {
    fn by(budgets: &BudgetConfig) -> Self {
        let policies = budgets.tiers.values().chain([&budgets.default]);
        let limits = policies.flat_map(|policy| policy.user.iter().chain(policy.session.iter()));
        let kinds: Vec<LimitKind> = limits.map(|(kind, _)| kind).collect();
        let tokens = [LimitKind::TokensPerDay, LimitKind::TokensPerMonth];
        Self {
            is_none: kinds.is_empty(),
            has_budgets: kinds.iter().any(|kind| !kind.is_rate()),
            has_tokens: kinds.iter().any(|kind| tokens.contains(kind)),
            has_costs: kinds.iter().any(|kind| kind.is_cost()),
        }
    }
}
