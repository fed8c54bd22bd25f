//! What configuration says of budgets (`[budgets]`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::limits::Policy;
use super::store::redis::RedisConfig;
use super::window::WindowKind;

/// `[budgets]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetConfig {
    /// For tiers without a table of their own.
    pub default: Arc<Policy>,
    /// By the session's tier, as text.
    pub tiers: BTreeMap<String, Arc<Policy>>,
    /// What an answer is thought to need where the request does not bound it; default 4096 tokens.
    pub default_max_tokens: u64,
    /// What becomes of a stream that uses a budget up; default: it finishes.
    pub on_exhausted: OnExhausted,
    /// IANA name of the zone in which days and months begin; default `UTC`.
    pub time_zone: String,
    /// How windows pass; default: by the calendar.
    pub window: WindowKind,
    /// Percent of a limit that the operator hears of, once a window; ascending; default 50, 80, 100.
    pub thresholds: Vec<u8>,
    /// Whether users may ask for their own use (`GET /v1/usage/me`); default false.
    pub usage_me: bool,
}

/// `[store]`, checked.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreConfig {
    /// In this process; with the folder of its journal, else in memory only.
    Embedded(Option<PathBuf>),
    /// In a Redis or Valkey that replicas share.
    Redis(RedisConfig),
}

/// What becomes of a stream that uses a budget up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExhausted {
    /// It finishes; the next request is refused.
    #[default]
    Finish,
    /// It ends at the limit, with an error in it.
    Cut,
}

impl BudgetConfig {
    /// What `tier` may spend; `None` is a session without one.
    #[must_use]
    pub fn policy(&self, tier: Option<&str>) -> &Arc<Policy> {
        let own = tier.and_then(|tier| self.tiers.get(tier));
        own.unwrap_or(&self.default)
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let mut policies = self.tiers.values().chain([&self.default]);
        policies.all(|policy| policy.user.is_empty() && policy.session.is_empty())
    }
}

impl Default for BudgetConfig {
    fn default() -> Self {
        let default = Policy {
            tier: "default".to_owned(),
            ..Policy::default()
        };
        Self {
            default: Arc::new(default),
            tiers: BTreeMap::new(),
            default_max_tokens: 4096,
            on_exhausted: OnExhausted::Finish,
            time_zone: "UTC".to_owned(),
            window: WindowKind::Calendar,
            thresholds: vec![50, 80, 100],
            usage_me: false,
        }
    }
}
