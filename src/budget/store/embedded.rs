//! The store in a gateway's own memory, with a journal where it is to outlive the process.
//!
//! Guarantees: those of [`super`]; of [`crate::budget::journal`] what is settled; reservations end with
//! the process, as the requests do that hold them. Bounded in accounts.

use std::cmp::Reverse;
use std::sync::{Arc, MutexGuard};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::accounts::{Accounts, Kept, Shared};
use super::{Full, Held, Permit, entry};
use crate::budget::account::{Places, Settled};
use crate::budget::claim::{Amounts, Claim, Refused, Standing};
use crate::budget::journal::{Journal, JournalConfig, JournalError, Lines, Recovered};
use crate::budget::limits::{LimitKind, Limits, Policy, Scope};
use crate::budget::threshold::{Bell, Crossed, Thresholds};
use crate::budget::window::{Spans, Windows};
use crate::clock::Now;

/// Accounts held at once.
const MOST: usize = 1_000_000;

/// How the embedded store is made.
pub struct EmbeddedConfig {
    /// Windows and thresholds.
    pub terms: Terms,
    /// Where what is settled is kept; `None`: in memory only.
    pub journal: Option<JournalConfig>,
    /// Who is told of crossings; `None`: nobody.
    pub crossed: Option<mpsc::Sender<Crossed>>,
    /// Users and sessions held at once; 1,000,000 in the gateway.
    pub most: usize,
}

impl EmbeddedConfig {
    /// A million accounts, in memory only, and nobody is told.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            journal: None,
            crossed: None,
            most: MOST,
        }
    }
}

/// What a reload may change.
#[derive(Debug)]
pub struct Terms {
    /// In which windows is counted.
    pub windows: Windows,
    /// Which shares are told of.
    pub thresholds: Thresholds,
}

/// How the store is, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Users and sessions held.
    pub accounts: usize,
    /// Accounts dropped for want of room.
    pub evicted: u64,
    /// Crossings that nobody was told of.
    pub untold: u64,
    /// Lines of the journal that could not be written or synced, each time.
    pub failed: u64,
    /// Whether all that was settled is in the journal's files; `true` without one.
    pub is_whole: bool,
    /// What was found at the start.
    pub recovered: Recovered,
}

/// The store.
pub struct Embedded {
    terms: ArcSwap<Terms>,
    accounts: Arc<Accounts>,
    journal: Option<Journal<Accounts>>,
    bell: Bell,
    most: usize,
}

impl Embedded {
    /// A store with what its journal holds.
    ///
    /// # Errors
    /// The journal's folder cannot be used.
    pub fn open(config: EmbeddedConfig) -> Result<Arc<Self>, JournalError> {
        let accounts = Arc::new(Accounts::default());
        let open = |journal| Journal::open(journal, Arc::clone(&accounts));
        let journal = config.journal.as_ref().map(open).transpose()?;
        Ok(Arc::new(Self {
            terms: ArcSwap::from_pointee(config.terms),
            accounts,
            journal,
            bell: Bell::new(config.crossed),
            most: config.most,
        }))
    }

    /// Goes on with other windows and thresholds. What was counted in days stays; months count anew
    /// where windows begin or cease to slide.
    pub fn adopt(&self, terms: Terms) {
        self.terms.store(Arc::new(terms));
    }

    /// Drops what does not count any more. To be called every few seconds.
    pub fn sweep(&self, now: Now) {
        let terms = self.terms.load();
        self.accounts.sweep(self.most, &terms.windows, now);
    }

    /// Whether what is settled outlives the process.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.journal.is_some()
    }

    /// How the store is.
    #[must_use]
    pub fn health(&self) -> Health {
        let journal = self.journal.as_ref();
        Health {
            accounts: self.accounts.len(),
            evicted: self.accounts.evicted(),
            untold: self.bell.dropped(),
            failed: journal.map_or(0, Journal::failed),
            is_whole: journal.is_none_or(Journal::is_whole),
            recovered: journal.map(Journal::recovered).unwrap_or_default(),
        }
    }

    pub(super) fn reserve(self: &Arc<Self>, claim: Claim, now: Now) -> Result<Permit, Refused> {
        let terms = self.terms.load_full();
        let spans = terms.windows.at(now);
        // Far too many, and no sweep came yet.
        if self.accounts.len() > self.most + self.most / 8 {
            self.sweep(now);
        }
        let mut parts = self.parts(&claim);
        let standings = admit(&mut parts, &claim, &spans, now.unix_seconds())?;
        let estimate = claim.estimate;
        let held = parts.iter().any(Option::is_some).then(|| {
            Held::Embedded(Box::new(Reservation {
                store: Arc::clone(self),
                terms,
                parts,
                claim,
                spans,
            }))
        });
        Ok(Permit {
            standings,
            estimate,
            held,
        })
    }

    pub(super) fn standings(
        &self,
        user: u128,
        session: Option<u128>,
        policy: &Policy,
        now: Now,
    ) -> Vec<Standing> {
        let spans = self.terms.load().windows.at(now);
        let at = now.unix_seconds();
        let of_user = Some((Scope::User, user));
        let of_session = session.map(|key| (Scope::Session, key));
        let mut standings = Vec::with_capacity(LimitKind::COUNT);
        for (scope, key) in of_user.into_iter().chain(of_session) {
            let found = self.accounts.find(scope, key);
            // Only looked at: nobody's account moves on or comes to be.
            let mut account = found
                .map(|it| it.lock().account.clone())
                .unwrap_or_default();
            account.roll(&spans);
            let limits = limits(policy, scope);
            standings.extend(account.standings(scope, limits, &spans, at));
        }
        standings
    }

    pub(super) fn fullest(&self, most: usize, now: Now) -> Vec<Full> {
        let spans = self.terms.load().windows.at(now);
        let mut ranks = Vec::new();
        self.accounts.each_user(|user, kept| {
            let full = kept.fullness(&spans).filter(|full| *full > 0);
            ranks.extend(full.map(|full| (Reverse(full), user)));
        });
        ranks.sort_unstable();
        ranks.truncate(most);
        let full = |(_, user): (_, u128)| {
            let policy = self
                .accounts
                .find(Scope::User, user)?
                .lock()
                .policy
                .clone()?;
            Some(Full {
                user,
                tier: policy.tier.clone(),
                standings: self.standings(user, None, &policy, now),
            })
        };
        ranks.into_iter().filter_map(full).collect()
    }

    /// The accounts that `claim` has limits for: the user's, then the session's.
    fn parts(&self, claim: &Claim) -> [Option<Part>; 2] {
        let keys = [
            (Scope::User, Some(claim.user)),
            (Scope::Session, claim.session),
        ];
        keys.map(|(scope, key)| {
            let key = key.filter(|_| !limits(&claim.policy, scope).is_empty())?;
            Some(Part {
                scope,
                key,
                shared: self.accounts.open(scope, key),
                places: Places::default(),
            })
        })
    }
}

/// Reserves under all limits of all `parts`, or under none; how they stand then.
fn admit(
    parts: &mut [Option<Part>; 2],
    claim: &Claim,
    spans: &Spans,
    at: u64,
) -> Result<Vec<Standing>, Refused> {
    let [user, session] = parts.each_mut().map(Option::as_mut);
    // Always the user before the session, so that no two requests wait for each other.
    let mut locked = [user.map(Part::lock), session.map(Part::lock)];
    for (scope, _, kept) in locked.iter_mut().flatten() {
        kept.enter(&claim.policy, spans);
        let limits = limits(&claim.policy, *scope);
        kept.account.admit(*scope, limits, spans, at)?;
    }
    let mut standings = Vec::with_capacity(LimitKind::COUNT);
    for (scope, places, kept) in locked.iter_mut().flatten() {
        **places = kept.account.reserve(claim.estimate);
        let limits = limits(&claim.policy, *scope);
        standings.extend(kept.account.standings(*scope, limits, spans, at));
    }
    Ok(standings)
}

/// What one request has reserved.
pub(super) struct Reservation {
    store: Arc<Embedded>,
    terms: Arc<Terms>,
    parts: [Option<Part>; 2],
    claim: Claim,
    spans: Spans,
}

/// What it has reserved of one account.
struct Part {
    scope: Scope,
    key: u128,
    shared: Arc<Shared>,
    places: Places,
}

impl Part {
    fn lock(&mut self) -> (Scope, &mut Places, MutexGuard<'_, Kept>) {
        (self.scope, &mut self.places, self.shared.lock())
    }
}

impl Reservation {
    /// Counts `actual` in place of the estimate, in memory and then in the journal.
    pub(super) fn settle(self, actual: Amounts) {
        let mut lines = Lines::new();
        for part in self.parts.iter().flatten() {
            let settled = self.settle_part(part, actual);
            if self.store.journal.is_some() {
                lines.push(|line| entry::write(line, part.scope, part.key, &settled));
            }
        }
        if let Some(journal) = &self.store.journal {
            journal.append(&lines);
        }
    }

    /// Lets go of the estimate.
    pub(super) fn release(self) {
        for part in self.parts.iter().flatten() {
            let mut kept = part.shared.lock();
            let nothing = Amounts::default();
            kept.account
                .settle(self.claim.estimate, nothing, part.places);
        }
    }

    fn settle_part(&self, part: &Part, actual: Amounts) -> Settled {
        let limits = limits(&self.claim.policy, part.scope);
        let mut kept = part.shared.lock();
        let account = &mut kept.account;
        account.settle(self.claim.estimate, actual, part.places);
        let thresholds = &self.terms.thresholds;
        account.tell(
            limits,
            thresholds,
            &self.spans,
            |kind, percent, used, limit, window| {
                self.store.bell.ring(Crossed {
                    scope: part.scope,
                    kind,
                    percent,
                    used,
                    limit,
                    window: window.id,
                    ends_at: window.end,
                    user: self.claim.user,
                });
            },
        );
        account.settled
    }
}

impl Kept {
    /// Goes on to the windows of `spans`, under `policy`.
    fn enter(&mut self, policy: &Arc<Policy>, spans: &Spans) {
        self.account.roll(spans);
        let is_same = self
            .policy
            .as_ref()
            .is_some_and(|it| Arc::ptr_eq(it, policy));
        if !is_same {
            self.policy = Some(Arc::clone(policy));
        }
    }
}

fn limits(policy: &Policy, scope: Scope) -> &Limits {
    match scope {
        Scope::User => &policy.user,
        Scope::Session => &policy.session,
    }
}
