//! The store that replicas share, with the windows in which it counts.
//!
//! Guarantees: those of [`super::redis`]. What [`Shared::fullest`] shows is what this gateway has seen of
//! users that it served, a bounded number.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::redis::{RedisStore, Span};
use super::{Full, Held, Permit};
use crate::budget::claim::{Amounts, Claim, Refused, Standing};
use crate::budget::limits::{LimitKind, Limits, Policy, Scope};
use crate::budget::window::{Spans, Windows};
use crate::clock::Now;

/// Users whose standings are kept for the operator's page.
const MOST_SEEN: usize = 1000;

/// The store, and when its windows begin.
pub struct Shared {
    redis: RedisStore,
    windows: ArcSwap<Windows>,
    seen: Mutex<HashMap<u128, Full>>,
}

impl Shared {
    /// Counts in `windows`.
    #[must_use]
    pub fn new(redis: RedisStore, windows: Windows) -> Self {
        Self {
            redis,
            windows: ArcSwap::from_pointee(windows),
            seen: Mutex::default(),
        }
    }

    /// The store itself.
    #[must_use]
    pub fn redis(&self) -> &RedisStore {
        &self.redis
    }

    /// Goes on with other windows.
    pub fn adopt(&self, windows: Windows) {
        self.windows.store(windows.into());
    }

    pub(super) async fn reserve(&self, claim: Claim, now: Now) -> Result<Permit, Refused> {
        let spans = self.spans(&claim, now);
        let permit = self.redis.reserve(&claim, spans, now).await;
        let permit = permit.inspect_err(|refused| {
            if let Refused::Limit(standing) = refused {
                self.note(&claim, std::slice::from_ref(standing));
            }
        })?;
        let standings = permit.standings().to_vec();
        self.note(&claim, &standings);
        Ok(Permit {
            standings,
            estimate: claim.estimate,
            held: Some(Held::Redis(Box::new(permit))),
        })
    }

    pub(super) async fn standings(
        &self,
        user: u128,
        session: Option<u128>,
        policy: &Policy,
        now: Now,
    ) -> Result<Vec<Standing>, Refused> {
        let claim = Claim {
            user,
            session,
            policy: policy.clone().into(),
            estimate: Amounts::default(),
        };
        let spans = self.spans(&claim, now);
        let standings = self.redis.standings(&claim, spans, now).await;
        standings.ok_or(Refused::Unavailable)
    }

    pub(super) fn fullest(&self, most: usize) -> Vec<Full> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Full> = seen.values().cloned().collect();
        drop(seen);
        all.sort_by_key(|full| Reverse(fullness(&full.standings)));
        all.truncate(most);
        all
    }

    /// Remembers how a user's limits stand.
    fn note(&self, claim: &Claim, standings: &[Standing]) {
        let full = Full {
            user: claim.user,
            tier: claim.policy.tier.clone(),
            standings: standings.to_vec(),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST_SEEN && !seen.contains_key(&claim.user) {
            let emptiest = seen
                .iter()
                .min_by_key(|(_, full)| fullness(&full.standings))
                .map(|(user, _)| *user);
            if let Some(emptiest) = emptiest {
                seen.remove(&emptiest);
            }
        }
        seen.insert(claim.user, full);
    }

    fn spans(&self, claim: &Claim, now: Now) -> Vec<Span> {
        let spans = self.windows.load().at(now);
        let of = |scope, limits: &Limits| {
            let span = |(kind, limit)| span(scope, kind, limit, &spans, now);
            limits.iter().map(span).collect::<Vec<_>>()
        };
        let mut all = of(Scope::User, &claim.policy.user);
        if claim.session.is_some() {
            all.extend(of(Scope::Session, &claim.policy.session));
        }
        all
    }
}

fn span(scope: Scope, kind: LimitKind, limit: u64, spans: &Spans, now: Now) -> Span {
    let window = spans.of(kind);
    let at = now.unix_seconds();
    Span {
        scope,
        kind,
        limit,
        window: window.map_or(0, |window| window.id),
        start: window.map_or(at, |window| window.start),
        end: window.map_or(at, |window| window.end),
        weight: window.map_or(0, |window| window.weight),
    }
}

/// How full the fullest limit is, in per mille.
fn fullness(standings: &[Standing]) -> u64 {
    let each = standings.iter().map(|standing| {
        let used = u128::from(standing.used) * 1000;
        u64::try_from(used / u128::from(standing.limit.max(1))).unwrap_or(u64::MAX)
    });
    each.max().unwrap_or(0)
}
