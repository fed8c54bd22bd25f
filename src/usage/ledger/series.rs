//! Sums over time, by tier and model.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

use super::delta::SeriesRow;
use super::sums::Sums;
use super::tally::Tally;
use super::{NONE, OTHER};
use crate::metering::ModelName;
use crate::usage::UsageRecord;

/// Tiers in one step of time that have a place of their own; twice as many while it lasts.
pub(super) const TIERS: usize = 16;

/// Models of one tier in one step of time, likewise.
pub(super) const MODELS: usize = 24;

/// Sums by step of time, tier and model.
pub(in crate::usage) struct Series {
    step: u64,
    steps: BTreeMap<u64, Tiers>,
    /// Steps that begin before this one were made small.
    settled: u64,
}

#[derive(Default)]
struct Tiers(HashMap<Box<str>, Tally>);

impl Series {
    /// Empty, with steps of `step`.
    pub(super) fn new(step: Duration) -> Self {
        Self {
            step: step.as_secs().max(1),
            steps: BTreeMap::new(),
            settled: 0,
        }
    }

    pub(super) fn add(&mut self, record: &UsageRecord, sums: &Sums) {
        let tier = Some(record.tier.as_str()).filter(|tier| !tier.is_empty());
        let model = record.model.as_ref().map(ModelName::as_str);
        let names = (tier.unwrap_or(NONE), model.unwrap_or(NONE));
        self.put(record.began.as_secs(), names, sums);
    }

    pub(super) fn put(&mut self, at: u64, (tier, model): (&str, &str), sums: &Sums) {
        let start = at - at % self.step;
        self.steps.entry(start).or_default().put(tier, model, sums);
    }

    /// Drops what is not within `span`, and of what ended before `now` all room that only lasts while a
    /// step does.
    pub(super) fn prune(&mut self, span: Range<u64>, now: u64) {
        self.steps.retain(|start, _| span.contains(start));
        let settled = now.saturating_sub(self.step);
        if settled > self.settled {
            for (_, tiers) in self.steps.range_mut(self.settled..settled) {
                tiers.settle();
            }
            self.settled = settled;
        }
    }

    /// Every sum of the steps that begin within `span`: (start, tier, model, sums).
    pub(in crate::usage) fn within(
        &self,
        span: Range<u64>,
    ) -> impl Iterator<Item = (u64, &str, &str, &Sums)> {
        let steps = self.steps.range(span);
        steps.flat_map(|(start, tiers)| {
            let tiers = tiers.0.iter();
            tiers.flat_map(|(tier, models)| {
                let models = models.iter();
                models.map(|(model, sums)| (*start, &**tier, model, sums))
            })
        })
    }

    pub(super) fn rows(&self) -> Vec<SeriesRow> {
        let row = |(at, tier, model, sums): (u64, &str, &str, &Sums)| SeriesRow {
            at,
            tier: tier.to_owned(),
            model: model.to_owned(),
            sums: *sums,
        };
        self.within(0..u64::MAX).map(row).collect()
    }
}

impl Tiers {
    fn put(&mut self, tier: &str, model: &str, sums: &Sums) {
        if let Some(models) = self.0.get_mut(tier) {
            models.add(model, sums, MODELS);
            return;
        }
        let mut models = Tally::default();
        models.add(model, sums, MODELS);
        self.0.insert(tier.into(), models);
        if self.0.len() > 2 * TIERS {
            self.shrink();
        }
    }

    fn settle(&mut self) {
        if self.0.len() > TIERS {
            self.shrink();
        }
        for models in self.0.values_mut() {
            models.shrink(MODELS);
        }
    }

    /// Leaves the largest tiers, and [`OTHER`] with the models of the rest.
    fn shrink(&mut self) {
        let mut other = self.0.remove(OTHER).unwrap_or_default();
        let mut named: Vec<_> = std::mem::take(&mut self.0).into_iter().collect();
        named.sort_by_cached_key(|(_, models)| std::cmp::Reverse(models.total().weight()));
        for (_, models) in named.drain(TIERS.min(named.len())..) {
            for (model, sums) in models {
                other.add(&model, &sums, MODELS);
            }
        }
        self.0 = named.into_iter().collect();
        self.0.insert(OTHER.into(), other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Sums = Sums {
        requests: 1,
        refused: 0,
        partial: 0,
        unknown: 0,
        unpriced: 0,
        prompt: 1,
        cached: 0,
        completion: 0,
        cost: 0,
    };

    #[test]
    fn one_step_is_bounded_whatever_tiers_and_models_are_called() {
        let mut series = Series::new(Duration::from_hours(1));
        for tier in 0..200 {
            for model in 0..200 {
                let names = (&*format!("tier {tier}"), &*format!("model {model}"));
                series.put(3_600 + tier, names, &ONE);
            }
        }
        let all: Vec<_> = series.within(0..u64::MAX).collect();
        let bound = (2 * TIERS + 1) * (2 * MODELS + 1);
        assert!(all.len() <= bound, "{}", all.len());
        let requests: u32 = all.iter().map(|(.., sums)| sums.requests).sum();
        assert_eq!(requests, 40_000);
        assert!(all.iter().all(|(start, ..)| *start == 3_600));
        series.prune(0..u64::MAX, 9_000);
        let count = series.within(0..u64::MAX).count();
        assert!(count <= (TIERS + 1) * (MODELS + 1), "{count}");
        let left = series.within(0..u64::MAX);
        assert_eq!(left.map(|(.., sums)| sums.requests).sum::<u32>(), 40_000);
    }
}
