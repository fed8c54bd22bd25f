//! The four kinds of sums that a ledger holds, and the steps of time that each is kept by.

use std::ops::Range;
use std::time::Duration;

use super::accounts::{DAY, PAST, RECENT};
use super::books::MINUTES_KEPT;
use super::series::{MODELS, TIERS};
use super::sums::Sums;
use super::{AccountRow, LedgerDelta, OTHER, SeriesRow};
use crate::usage::Users;

/// One kind of sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::usage) enum Part {
    /// By tier and model, each minute.
    Minutes,
    /// By tier and model, each hour.
    Hours,
    /// By user, each day.
    Users,
    /// By session, each day.
    Sessions,
}

impl Part {
    /// The seconds of a step.
    pub(super) fn step(self) -> u64 {
        match self {
            Self::Minutes => 60,
            Self::Hours => 3_600,
            Self::Users | Self::Sessions => DAY,
        }
    }

    /// How long a step is kept after its end, where hours and days are kept for `retention`.
    pub(super) fn kept(self, retention: Duration) -> Duration {
        match self {
            Self::Minutes => MINUTES_KEPT.min(retention),
            Self::Hours | Self::Users | Self::Sessions => retention,
        }
    }

    /// The step that begins at `at` and calls users so, as a store's key ends.
    pub(super) fn bucket(self, at: u64, users: Users) -> String {
        match self {
            Self::Minutes => format!("m:{at}"),
            Self::Hours => format!("h:{at}"),
            Self::Users => format!("users:{}:{at}", users.label()),
            Self::Sessions => format!("sessions:{}:{at}", users.label()),
        }
    }

    /// The steps that begin within `span`, as far as they are kept at `now`, and not ahead of it by more
    /// than a day.
    pub(super) fn steps(
        self,
        span: &Range<u64>,
        now: u64,
        retention: Duration,
    ) -> impl Iterator<Item = u64> + use<> {
        let step = self.step();
        let oldest = now.saturating_sub(self.kept(retention).as_secs());
        let from = span.start.max(oldest - oldest % step);
        let from = from.div_ceil(step).saturating_mul(step);
        let to = span.end.min(now.saturating_add(DAY));
        (from..to).step_by(usize::try_from(step).unwrap_or(usize::MAX))
    }

    /// So many names of one step are too many: they are then to be the half.
    pub(super) fn most(self) -> usize {
        match self {
            Self::Minutes | Self::Hours => 2 * TIERS * MODELS,
            Self::Users | Self::Sessions => 2 * RECENT,
        }
    }

    /// Which of `rows` are added to which, so that so many are left as a ledger itself would keep of a
    /// step that `is_past` or not: the least share [`OTHER`].
    pub(super) fn moves(
        self,
        mut rows: Vec<(String, Sums)>,
        is_past: bool,
    ) -> Vec<(String, String)> {
        rows.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.weight()));
        match self {
            Self::Users | Self::Sessions => {
                let most = if is_past { PAST } else { RECENT };
                let named = rows.into_iter().filter(|(name, _)| name != OTHER);
                named
                    .skip(most)
                    .map(|(name, _)| (name, OTHER.to_owned()))
                    .collect()
            }
            Self::Minutes | Self::Hours => of_series(&rows),
        }
    }
}

/// The largest tiers keep their names, and in each the largest models.
fn of_series(rows: &[(String, Sums)]) -> Vec<(String, String)> {
    // The largest first: a tier stands where its largest model does.
    let mut tiers: Vec<(&str, usize)> = Vec::new();
    let mut moves = Vec::new();
    for (name, _) in rows {
        let Some((tier, model)) = names_of(name) else {
            continue;
        };
        if tier == OTHER && model == OTHER {
            continue;
        }
        let place = tiers.iter().position(|(known, _)| *known == tier);
        let place = place.or_else(|| {
            tiers.push((tier, 0));
            Some(tiers.len() - 1)
        });
        let count = place
            .filter(|place| *place < TIERS)
            .and_then(|place| tiers.get_mut(place));
        match count {
            None => moves.push((name.clone(), name_of(OTHER, OTHER))),
            Some(_) if model == OTHER => {}
            Some((tier, count)) => {
                *count += 1;
                if *count > MODELS {
                    moves.push((name.clone(), name_of(tier, OTHER)));
                }
            }
        }
    }
    moves
}

/// A tier and a model as one name.
pub(super) fn name_of(tier: &str, model: &str) -> String {
    format!("{}:{tier}{model}", tier.len())
}

/// The tier and the model of a name.
fn names_of(name: &str) -> Option<(&str, &str)> {
    let (length, names) = name.split_once(':')?;
    names.split_at_checked(length.parse().ok()?)
}

impl LedgerDelta {
    /// Adds the row of `part` that a store calls `name`; nothing where it is no such name.
    pub(super) fn add(&mut self, part: Part, at: u64, name: String, sums: Sums) {
        let series = |name: &str| {
            let (tier, model) = names_of(name)?;
            let (tier, model) = (tier.to_owned(), model.to_owned());
            Some(SeriesRow {
                at,
                tier,
                model,
                sums,
            })
        };
        match part {
            Part::Minutes => self.minutes.extend(series(&name)),
            Part::Hours => self.hours.extend(series(&name)),
            Part::Users => self.users.push(AccountRow { at, name, sums }),
            Part::Sessions => self.sessions.push(AccountRow { at, name, sums }),
        }
    }

    /// Every row, with its step and its name in a store.
    pub(super) fn each(&self) -> impl Iterator<Item = (Part, u64, String, Sums)> {
        let series = |part, rows: &'_ Vec<SeriesRow>| {
            let row =
                move |row: &SeriesRow| (part, row.at, name_of(&row.tier, &row.model), row.sums);
            rows.iter().map(row).collect::<Vec<_>>()
        };
        let accounts = |part, rows: &'_ Vec<AccountRow>| {
            let row = move |row: &AccountRow| (part, row.at, row.name.clone(), row.sums);
            rows.iter().map(row).collect::<Vec<_>>()
        };
        let all = [
            series(Part::Minutes, &self.minutes),
            series(Part::Hours, &self.hours),
            accounts(Part::Users, &self.users),
            accounts(Part::Sessions, &self.sessions),
        ];
        all.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(cost: u64) -> Sums {
        Sums {
            requests: 1,
            cost,
            ..Sums::default()
        }
    }

    #[test]
    fn a_name_of_two_comes_apart_as_it_was_put_together() {
        for (tier, model) in [("pro", "gpt-5.2"), ("", "m"), ("3:x", ":"), ("ü", "")] {
            assert_eq!(names_of(&name_of(tier, model)), Some((tier, model)));
        }
        for strange in ["", "pro", "9:pro", "1:ü", "x:pro"] {
            assert_eq!(names_of(strange), None, "{strange}");
        }
    }

    #[test]
    fn the_largest_tiers_and_models_keep_their_names() {
        let mut rows = Vec::new();
        for tier in 0..20_u64 {
            for model in 0..30_u64 {
                let name = name_of(&format!("t{tier}"), &format!("m{model}"));
                rows.push((name, spent(tier * 100 + model)));
            }
        }
        rows.push((name_of("t19", OTHER), spent(1)));
        rows.push((name_of(OTHER, OTHER), spent(1)));
        let moves = Part::Hours.moves(rows, false);
        let to = |name: &str| {
            let found = moves.iter().find(|(from, _)| from == name);
            found.map(|(_, to)| to.as_str())
        };
        assert_eq!(to(&name_of("t19", "m29")), None);
        assert_eq!(to(&name_of("t19", "m5")), Some(&*name_of("t19", OTHER)));
        assert_eq!(to(&name_of("t4", "m29")), None);
        assert_eq!(to(&name_of("t3", "m29")), Some(&*name_of(OTHER, OTHER)));
        assert_eq!(to(&name_of("t19", OTHER)), None);
        assert_eq!(moves.len(), 4 * 30 + 16 * 6);
    }

    #[test]
    fn only_what_is_kept_is_asked_for() {
        let days = |days: u64| Duration::from_hours(24 * days);
        let now = 100 * DAY + 7_200;
        let all = 0..u64::MAX;
        let starts: Vec<_> = Part::Users.steps(&all, now, days(2)).collect();
        assert_eq!(starts, [98 * DAY, 99 * DAY, 100 * DAY, 101 * DAY]);
        let asked = now - 3_600..now;
        let starts: Vec<_> = Part::Hours.steps(&asked, now, days(2)).collect();
        assert_eq!(starts, [now - 3_600]);
        let minutes = Part::Minutes.steps(&(0..now), now, days(2)).count();
        assert_eq!(minutes, 120);
    }
}
