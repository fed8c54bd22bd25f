//! Which tier a token is made with: the session's own, as the operator maps it.
//!
//! Guarantees: without a map entry the session's tier passes on as the type that it is.

use std::collections::BTreeMap;

use crate::identity::Tier;

use super::MintConfig;

/// `mint.tier_map` and `mint.default_tier`.
#[derive(Clone, Debug)]
pub(super) struct Tiers {
    default: Option<Tier>,
    map: BTreeMap<String, Tier>,
}

impl Tiers {
    pub(super) fn new(config: &MintConfig) -> Self {
        Self {
            default: config.default_tier.clone(),
            map: config.tier_map.clone(),
        }
    }

    /// What to send for a session that has `tier`; `None` sends none.
    pub(super) fn resolve(&self, tier: Option<&Tier>) -> Option<serde_json::Value> {
        let Some(tier) = tier else {
            return self.default.as_ref().map(Tier::to_json);
        };
        let mapped = match tier {
            Tier::Text(text) => self.map.get(text.as_ref()),
            Tier::Number(number) => self.map.get(&number.to_string()),
        };
        Some(mapped.unwrap_or(tier).to_json())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn tiers(default: Option<Tier>) -> Tiers {
        let mut config = testing::mint_config();
        config.default_tier = default;
        config.tier_map = [
            ("free".to_owned(), Tier::Number(1.into())),
            ("2".to_owned(), Tier::Text("pro".into())),
        ]
        .into();
        Tiers::new(&config)
    }

    #[test]
    fn a_tier_passes_as_the_type_it_is_unless_it_is_mapped() {
        let tiers = tiers(None);
        let text = |text: &str| tiers.resolve(Some(&Tier::Text(text.into())));
        let number = |number: u64| tiers.resolve(Some(&Tier::Number(number.into())));
        assert_eq!(text("max"), Some("max".into()));
        assert_eq!(text("free"), Some(1.into()));
        assert_eq!(number(3), Some(3.into()));
        assert_eq!(number(2), Some("pro".into()));
    }

    #[test]
    fn a_session_without_a_tier_gets_the_default_or_none() {
        assert_eq!(tiers(None).resolve(None), None);
        let default = Tier::Text("free".into());
        assert_eq!(tiers(Some(default)).resolve(None), Some("free".into()));
    }
}
