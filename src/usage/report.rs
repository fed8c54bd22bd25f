//! `GET /usage`: what was used in a span of time, by what is asked for.
//!
//! Guarantees: every question that can be asked is answered from sums that are held, or refused with
//! the fix in words; rows beyond the limit are not lost but counted in `left_out`, and the totals hold
//! them.

mod query;

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

pub use self::query::{Query, QueryError, Split, Step};
use super::ledger::{Books, Ledger, Part, Sums};
use crate::metering::Cost;

/// What was used.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whose use it is.
    pub scope: Scope,
    /// The first moment that is counted (RFC 3339): where a step of the ledger begins.
    pub from: String,
    /// The first moment that is not counted any more: where a step of the ledger ends.
    pub to: String,
    /// The ledger's step that was added up: `minute`, `hour` or `day`; all in UTC.
    pub resolution: &'static str,
    /// What the rows are by, in order.
    pub by: Vec<&'static str>,
    /// Of the whole span, rows that were left out included.
    pub totals: Figures,
    /// By time: in order of time. Else: the most expensive first.
    pub rows: Vec<Row>,
    /// Rows that the limit left out.
    pub left_out: usize,
}

/// Whose use is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Scope {
    /// This process's, and with `store.path` that of those before it.
    #[serde(rename = "this replica")]
    ThisReplica,
    /// That of all that share the store.
    #[serde(rename = "all replicas")]
    AllReplicas,
}

/// One line of a report.
#[derive(Debug, Serialize)]
pub struct Row {
    /// When its minute, hour or day begins (RFC 3339), if rows are by time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Which tier, model, user or session, if rows are by one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How much.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Sums, as they are read.
#[derive(Debug, Serialize)]
pub struct Figures {
    requests: u32,
    refused: u32,
    prompt_tokens: u64,
    cached_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    cost_usd: f64,
    /// Requests by how far their tokens are known; the refused ones are in none.
    metered: Metered,
    /// Requests with known tokens, but of a model without a price.
    unpriced: u32,
}

#[derive(Debug, Serialize)]
struct Metered {
    known: u32,
    partial: u32,
    unknown: u32,
}

impl From<&Sums> for Figures {
    fn from(sums: &Sums) -> Self {
        Self {
            requests: sums.requests,
            refused: sums.refused,
            prompt_tokens: sums.prompt,
            cached_tokens: sums.cached,
            completion_tokens: sums.completion,
            total_tokens: sums.tokens(),
            cost_usd: Cost(sums.cost).usd(),
            metered: Metered {
                known: sums.known(),
                partial: sums.partial,
                unknown: sums.unknown,
            },
            unpriced: sums.unpriced,
        }
    }
}

/// What rows are told apart by.
type Mark = (Option<u64>, Option<String>);

impl Ledger {
    /// Answers `query`. It looks at every sum of the span: not to be called on a thread that serves.
    #[must_use]
    pub fn report(&self, query: &Query) -> Report {
        self.read(|books| query.answer(books, Scope::ThisReplica))
    }
}

impl Query {
    /// The sums that it is answered from.
    pub(super) fn part(&self) -> Part {
        match (self.split, self.resolution) {
            (Some(Split::User), _) => Part::Users,
            (Some(Split::Session), _) => Part::Sessions,
            (None, _) if self.user.is_some() => Part::Users,
            (_, Step::Minute) => Part::Minutes,
            (_, Step::Hour | Step::Day) => Part::Hours,
        }
    }

    pub(super) fn span(&self) -> &Range<u64> {
        &self.span
    }

    pub(super) fn answer(&self, books: &Books, scope: Scope) -> Report {
        let mut totals = Sums::default();
        let mut sums: HashMap<Mark, Sums> = HashMap::new();
        let step = self.time.map(Step::seconds);
        let mut count = |at: u64, name: Option<&str>, more: &Sums| {
            totals.add(more);
            let at = step.map(|step| at - at % step);
            let mark = (at, name.map(str::to_owned));
            sums.entry(mark).or_default().add(more);
        };
        let span = self.span.clone();
        match self.part() {
            Part::Users => {
                let is_split = self.split.is_some();
                let rows = books.users.within(span);
                rows.filter(|(_, user, _)| self.has_user(user))
                    .for_each(|(at, user, sums)| count(at, is_split.then_some(user), sums));
            }
            Part::Sessions => {
                let rows = books.sessions.within(span);
                rows.for_each(|(at, session, sums)| count(at, Some(session), sums));
            }
            part @ (Part::Minutes | Part::Hours) => {
                let series = if part == Part::Minutes {
                    &books.minutes
                } else {
                    &books.hours
                };
                for (at, tier, model, sums) in series.within(span) {
                    let is_meant = |asked: &Option<String>, found| {
                        asked.as_deref().is_none_or(|asked| asked == found)
                    };
                    if is_meant(&self.tier, tier) && is_meant(&self.model, model) {
                        let name = match self.split {
                            Some(Split::Tier) => Some(tier),
                            Some(Split::Model) => Some(model),
                            Some(Split::User | Split::Session) | None => None,
                        };
                        count(at, name, sums);
                    }
                }
            }
        }
        self.report(scope, &totals, sums)
    }

    fn has_user(&self, user: &str) -> bool {
        self.user.as_deref().is_none_or(|asked| asked == user)
    }

    fn report(&self, scope: Scope, totals: &Sums, mut sums: HashMap<Mark, Sums>) -> Report {
        if self.time.is_none() && self.split.is_none() {
            sums.clear();
        }
        let mut rows: Vec<_> = sums.into_iter().collect();
        rows.sort_unstable_by(|(a, of_a), (b, of_b)| {
            let by_weight = of_b.weight().cmp(&of_a.weight());
            a.0.cmp(&b.0).then(by_weight).then(a.1.cmp(&b.1))
        });
        let left_out = rows.len().saturating_sub(self.limit);
        rows.truncate(self.limit);
        let row = |((at, name), sums): (Mark, Sums)| Row {
            at: at.map(time),
            name,
            figures: Figures::from(&sums),
        };
        Report {
            scope,
            from: time(self.span.start),
            to: time(self.span.end),
            resolution: self.resolution.label(),
            by: self.labels(),
            totals: Figures::from(totals),
            rows: rows.into_iter().map(row).collect(),
            left_out,
        }
    }
}

/// Unix seconds as RFC 3339.
pub(super) fn time(seconds: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(at).to_string()
}

#[cfg(test)]
mod tests;
