//! Tells the store what became of reservations.
//!
//! Guarantees: no entry is forgotten before the store has answered it; what is told twice is counted
//! once; one user's entries go in one call, and so in order.

use std::collections::HashMap;
use std::sync::Arc;

use ::redis::from_redis_value;
use tokio::task::JoinSet;

use super::hold::{Hold, letter};
use super::link::{Failed, Live};
use super::outbox::{Entry, What};
use super::script::APPLY;
use super::{Crossing, Inner, Operation};
use crate::clock::monotonic;

/// Entries told at once, and of one user: the store does nothing else while a script runs.
const BATCH: usize = 512;
const OF_ONE_USER: usize = 64;

/// How long keys outlast what they are for, in seconds: clocks differ, and a store may be away.
pub(super) const MARGIN: u64 = 24 * 3600;

impl Inner {
    /// Tells the store; runs for ever.
    pub(super) async fn deliver(self: Arc<Self>) {
        loop {
            self.outbox.filled().await;
            let live = self.link.established().await;
            let mut telling = JoinSet::new();
            let (groups, later) = by_user(self.outbox.take(BATCH));
            for group in groups {
                let (inner, live) = (Arc::clone(&self), live.clone());
                telling.spawn(async move { inner.tell(live, group).await });
            }
            let mut left: Vec<Vec<Entry>> = Vec::new();
            while let Some(told) = telling.join_next().await {
                left.extend(told.ok().flatten());
            }
            // Each user's in order; between users there is none.
            self.outbox
                .put_back(left.into_iter().flatten().chain(later).collect());
        }
    }

    /// Tells of one user's reservations; what is to be told again.
    async fn tell(&self, mut live: Live, group: Vec<Entry>) -> Option<Vec<Entry>> {
        let (keys, arguments) = self.call_of(&group);
        let start = monotonic();
        let patience = self.link.patience();
        let answer = self
            .link
            .call(&mut live, &APPLY, &keys, &arguments, patience)
            .await;
        let took = start.elapsed();
        for entry in &group {
            let operation = match entry.what {
                What::Settle(..) => Operation::Settle,
                What::Free => Operation::Release,
                What::Keep => Operation::Sync,
            };
            self.observer.operation(operation, answer.is_ok(), took);
        }
        match answer {
            Ok(crossed) => {
                self.outbox.told(group.len());
                let crossed: Vec<Vec<u64>> = from_redis_value(crossed).unwrap_or_default();
                for crossing in crossed.iter().filter_map(|row| crossing(&group, row)) {
                    self.observer.crossed(crossing);
                }
                None
            }
            Err(Failed::Away) => Some(group),
            Err(Failed::Refused(error)) => {
                tracing::error!(%error, entries = group.len(), "the shared store refuses to count");
                let settled = group
                    .iter()
                    .filter(|entry| matches!(entry.what, What::Settle(..)));
                self.outbox.drop_settled(settled.count() as u64);
                self.outbox.told(group.len());
                None
            }
        }
    }

    fn call_of(&self, group: &[Entry]) -> (Vec<String>, Vec<Vec<u8>>) {
        let mut accounts = Accounts::default();
        let now = self.clock.now().unix_seconds();
        let ends = group.iter().map(|entry| entry.hold.matters_until()).max();
        let ttl = ends.unwrap_or(now).saturating_sub(now) + MARGIN;
        let mut arguments = vec![
            self.instance_field().into_bytes(),
            self.config.lease.as_millis().to_string().into_bytes(),
            ttl.to_string().into_bytes(),
            self.thresholds.clone().into_bytes(),
        ];
        for entry in group {
            let hold = &entry.hold;
            accounts.at(self, hold.user, None);
            let (what, sequence, used) = match entry.what {
                What::Settle(sequence, used) => ("s", sequence, Some(used)),
                What::Free => ("f", 0, None),
                What::Keep => ("k", 0, None),
            };
            let head = [
                what.to_owned(),
                self.reservation(hold.number),
                sequence.to_string(),
                hold.spans.len().to_string(),
            ];
            arguments.extend(head.map(String::into_bytes));
            for span in &hold.spans {
                let account = accounts.at(self, hold.user, hold.account(span.scope));
                let told = if span.kind.is_rate() { 0 } else { span.limit };
                let used = used.map_or(0, |used| used.settled(span.kind));
                let row = [
                    account.to_string(),
                    letter(span.kind).to_owned(),
                    span.window.to_string(),
                    told.to_string(),
                    hold.estimate.reserved(span.kind).to_string(),
                    used.to_string(),
                ];
                arguments.extend(row.map(String::into_bytes));
            }
        }
        (accounts.keys, arguments)
    }
}

/// The keys of a call, each once, the user's first; numbered from 1, as Lua does.
#[derive(Default)]
struct Accounts {
    keys: Vec<String>,
    numbers: HashMap<Option<u128>, usize>,
}

impl Accounts {
    fn at(&mut self, inner: &Inner, user: u128, session: Option<u128>) -> usize {
        let keys = &mut self.keys;
        *self.numbers.entry(session).or_insert_with(|| {
            keys.push(inner.key(user, session));
            keys.len()
        })
    }
}

/// In groups of one user each, in order, and no user in two of them; and those that are too many.
fn by_user(entries: Vec<Entry>) -> (Vec<Vec<Entry>>, Vec<Entry>) {
    let mut places: HashMap<u128, usize> = HashMap::new();
    let mut groups: Vec<Vec<Entry>> = Vec::new();
    let mut later = Vec::new();
    for entry in entries {
        let place = *places.entry(entry.hold.user).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) if group.len() >= OF_ONE_USER => later.push(entry),
            Some(group) => group.push(entry),
            None => groups.push(vec![entry]),
        }
    }
    (groups, later)
}

fn crossing(group: &[Entry], row: &[u64]) -> Option<Crossing> {
    let &[entry, place, percent, used] = row else {
        return None;
    };
    let hold: &Hold = &group.get(usize::try_from(entry).ok()?)?.hold;
    let span = hold.spans.get(usize::try_from(place).ok()?)?;
    Some(Crossing {
        user: hold.user,
        session: hold.account(span.scope),
        policy: Arc::clone(&hold.policy),
        scope: span.scope,
        kind: span.kind,
        limit: span.limit,
        percent: u8::try_from(percent).ok()?,
        used,
        resets_at: span.end,
    })
}
