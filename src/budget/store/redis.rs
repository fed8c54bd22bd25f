//! The store of budgets and rates that replicas share: Redis or Valkey from 7.0, one server, Cluster or
//! Sentinel.
//!
//! Guarantees: the rule holds over all replicas, since one script looks at all limits of a claim and
//! reserves all or none; what is settled is counted once, also when it is told again, and is kept while
//! the store is away (up to 100,000 entries; what is dropped is counted); a request makes one round trip
//! before, and none that it waits for after; no call waits for a store that is known to be away;
//! recovery needs no restart.
//!
//! # Keys
//!
//! | key | holds | ends |
//! |---|---|---|
//! | `behest:{U}` | a hash: a user's counters, reservations, and the last settlement of each gateway | a day after its last window |
//! | `behest:{U}:S` | a hash: the same of one session's limits | a day after its last window |
//! | `behest:{revocations}:…` | four: entries, and their names by version and by end | a day after the last revocation |
//! | `behest:{usage}:m:…`, `…:h:…`, `…:users:…`, `…:sessions:…` | hashes: what was used, by minute, hour or day | with `usage.retention`; minutes after two hours |
//! | `behest:{usage}:batches` | a hash: the last batch of each gateway that is in them | a week after the last |
//! | `behest:probe` | nothing; written once a second | 1 min |
//!
//! `U` and `S` are keyed hashes of user and session, 22 characters of base64url: no name reaches the
//! store. All keys of a user have one hash tag, and so one slot of a cluster. Fields are explained in
//! `redis/account.lua`. With all seven limits by user a key takes about 820 bytes (`MEMORY USAGE`, Redis
//! 7.0.15), and each request under way 200 to 270 more. The script of a claim takes the server 65 µs with
//! seven limits (on a loaded machine of two cores); over loopback such a claim is answered in 0.45 ms at
//! p50 there, in a debug build.
//!
//! # Rights
//!
//! ```text
//! ACL SETUSER gateway on >PASSWORD resetkeys ~behest:* resetchannels -@all
//!   +evalsha +eval +ping +select
//!   +time +set +hget +hset +hmget +hgetall +hdel +hlen +expire
//!   +zadd +zrem +zrangebyscore
//! ```
//! In a cluster also `+cluster|slots +cluster|shards +readonly`; sentinels are asked for
//! `SENTINEL GET-MASTER-ADDR-BY-NAME` alone.
//!
//! # When it is away
//!
//! Limits that are to hold then (`fail` = closed) refuse at once. The others are counted by each replica
//! alone, from nothing. Settlements wait, and are counted when the store is back; what is still under way is
//! then reserved anew, so that a store which lost its memory has it again. Where a settlement was under way
//! when the store went, it is told again, and the store knows by its number whether it has it: a store
//! that forgets what it had confirmed (a failover, or a crash of its machine with `appendfsync
//! everysec`) forgets settlements of that last moment. A reservation whose gateway is gone is freed after its lease.
//! Where the answer to a claim is lost, its release is told when the store is back.

mod ask;
mod config;
mod deliver;
mod hold;
mod link;
mod local;
mod observer;
mod outbox;
mod permit;
mod script;
mod shared_log;
mod shared_sums;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::{Amounts, Claim, Refused, Standing};
use crate::clock::{Clock, Now, monotonic};

pub use self::config::{Address, Fail, Mode, RedisConfig, parse_url, parse_urls};
pub use self::hold::Span;
pub use self::observer::{Crossing, Observer, Operation};
pub use self::permit::Permit;
pub use self::shared_log::{Known, News, SharedLog};
pub use self::shared_sums::{FIGURES, SharedSums, SumsBatch, SumsBucket};

use hold::{Hold, Seen};
use link::Link;
use local::Local;
use outbox::Outbox;
use permit::Asked;

/// Nothing reserved besides.
const NOTHING: Amounts = Amounts {
    requests: 0,
    tokens: 0,
    cost: 0,
};

/// Rounds of renewals within one lease; a reservation is renewed in every second one.
const ROUNDS: u32 = 4;

/// The store, for all workers of a process.
#[derive(Clone, Debug)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    config: RedisConfig,
    thresholds: String,
    clock: Clock,
    observer: Arc<dyn Observer>,
    link: Arc<Link>,
    outbox: Outbox,
    local: Local,
    /// What is under way, by number.
    holds: Mutex<HashMap<u64, Arc<Hold>>>,
    /// This process, among all that ever used the store.
    instance: String,
    reserved: AtomicU64,
    round: AtomicU64,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

impl RedisStore {
    /// The store of `config`; it is away until [`run`](Self::run) has connected.
    ///
    /// # Errors
    /// As of [`RedisConfig::check`].
    pub fn new(
        config: RedisConfig,
        clock: Clock,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, String> {
        config.check()?;
        let mut thresholds = config.thresholds.clone();
        thresholds.sort_unstable();
        let mut random = [0; 9];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| "the system has no randomness")?;
        let listener = Arc::clone(&observer);
        let link = Link::new(config.clone(), Box::new(move |is_up| listener.up(is_up)));
        let thresholds = config
            .thresholds
            .iter()
            .map(u8::to_string)
            .collect::<Vec<_>>();
        Ok(Self(Arc::new(Inner {
            thresholds: thresholds.join(" "),
            config,
            clock,
            observer,
            link,
            outbox: Outbox::default(),
            local: Local::default(),
            holds: Mutex::default(),
            instance: URL_SAFE_NO_PAD.encode(random),
            reserved: AtomicU64::new(0),
            round: AtomicU64::new(1),
        })))
    }

    /// Keeps the connection, tells what is settled, renews what is under way; runs for ever, on one
    /// runtime.
    pub async fn run(&self) {
        let deliver = Box::pin(Arc::clone(&self.0).deliver());
        tokio::join!(self.0.link.keep(), deliver, self.0.renew());
    }

    /// Waits until the store has answered once; for tests and for a start that wants to say so.
    pub async fn established(&self) {
        self.0.link.established().await;
    }

    /// A log of `name` in the same store, over the same connection.
    #[must_use]
    pub fn log(&self, name: &'static str) -> SharedLog {
        let inner = Arc::clone(&self.0);
        SharedLog { inner, name }
    }

    /// Sums of `name` in the same store, over the same connection.
    #[must_use]
    pub fn sums(&self, name: &'static str) -> SharedSums {
        let inner = Arc::clone(&self.0);
        SharedSums { inner, name }
    }

    /// Whether the store answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.link.is_up()
    }

    /// What the store is still to be told.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.0.outbox.pending()
    }

    /// Settlements that will never be counted, since too many waited.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.outbox.dropped()
    }

    /// Reserves the claim's estimate in all of `spans`, or in none.
    ///
    /// # Errors
    /// A limit is used up; or the store is away, and a limit is to hold also then.
    pub async fn reserve(
        &self,
        claim: &Claim,
        spans: Vec<Span>,
        now: Now,
    ) -> Result<Permit, Refused> {
        if spans.is_empty() {
            return Ok(Permit::unlimited(&self.0));
        }
        let number = self.0.reserved.fetch_add(1, Ordering::Relaxed);
        // A caller who leaves in between, or an answer that is lost: it is told that nothing was used.
        let mut asked = Asked::new(&self.0, self.0.hold(number, claim, spans));
        let Some(mut live) = self.0.link.live() else {
            return self.0.alone(asked, now);
        };
        asked.sent();
        let name = self.0.reservation(number);
        let start = monotonic();
        let answer = self.0.ask(&mut live, &name, asked.hold(), now).await;
        let took = start.elapsed();
        self.0
            .observer
            .operation(Operation::Reserve, answer.is_ok(), took);
        match answer {
            Ok((0, seen)) => Ok(asked.granted(&seen, None, now)),
            Ok((limit, seen)) => {
                let standing = standings(asked.hold(), &seen, NOTHING, now)
                    .into_iter()
                    .nth(limit - 1);
                asked.refused();
                Err(standing.map_or(Refused::Unavailable, Refused::Limit))
            }
            Err(_) => self.0.alone(asked, now),
        }
    }

    /// How the limits of `spans` stand; none where the store is away.
    pub async fn standings(
        &self,
        claim: &Claim,
        spans: Vec<Span>,
        now: Now,
    ) -> Option<Vec<Standing>> {
        if spans.is_empty() {
            return Some(Vec::new());
        }
        let hold = self.0.hold(0, claim, spans);
        let mut live = self.0.link.live()?;
        let start = monotonic();
        let answer = self.0.ask(&mut live, "", &hold, now).await;
        let took = start.elapsed();
        self.0
            .observer
            .operation(Operation::Sync, answer.is_ok(), took);
        let (_, seen) = answer.ok()?;
        Some(standings(&hold, &seen, NOTHING, now))
    }
}

impl Inner {
    fn hold(&self, number: u64, claim: &Claim, spans: Vec<Span>) -> Hold {
        Hold {
            number,
            user: claim.user,
            session: claim.session,
            policy: Arc::clone(&claim.policy),
            spans,
            estimate: claim.estimate,
            local: None,
            round: AtomicU64::new(self.round.load(Ordering::Relaxed)),
        }
    }

    /// What is done without the store.
    fn alone(self: &Arc<Self>, asked: Asked, now: Now) -> Result<Permit, Refused> {
        let hold = asked.hold();
        let is_closed = |span: &Span| {
            let fail = if span.kind.is_rate() {
                self.config.fail_rates
            } else {
                self.config.fail_budgets
            };
            fail == Fail::Closed
        };
        if hold.spans.iter().any(is_closed) {
            return Err(Refused::Unavailable);
        }
        let counted = self
            .local
            .reserve(hold.user, hold.session, &hold.spans, &hold.estimate);
        if let Some(place) = counted.refused {
            let standing = standings(hold, &counted.seen, NOTHING, now)
                .into_iter()
                .nth(place);
            return Err(standing.map_or(Refused::Unavailable, Refused::Limit));
        }
        Ok(asked.granted(&counted.seen, Some(counted.absence), now))
    }

    /// Renews what is under way: all of it when the store is back, and what is old enough from time to
    /// time.
    async fn renew(&self) {
        let (mut renewed_for, mut state) = (0, self.link.changes());
        loop {
            let generation = self.link.established().await.generation;
            state.mark_unchanged();
            let is_back = generation != renewed_for;
            if is_back {
                self.local.forget();
            }
            renewed_for = generation;
            let round = self.round.fetch_add(1, Ordering::Relaxed) + 1;
            {
                // Locked until they are told: what is settled from now on is told after.
                let holds = self.holds();
                let due = holds.values().filter(|hold| hold.is_due(round) || is_back);
                self.outbox.keep(due.cloned());
            }
            // Sooner when the connection changes.
            let pause = self.config.lease / ROUNDS;
            let _ = tokio::time::timeout(pause, state.changed()).await;
        }
    }

    /// `prefix:{user}`, and `:session` where it is one's.
    fn key(&self, user: u128, session: Option<u128>) -> String {
        let tag = URL_SAFE_NO_PAD.encode(user.to_be_bytes());
        let prefix = &self.config.prefix;
        session.map_or_else(
            || format!("{prefix}:{{{tag}}}"),
            |session| {
                let session = URL_SAFE_NO_PAD.encode(session.to_be_bytes());
                format!("{prefix}:{{{tag}}}:{session}")
            },
        )
    }

    fn reservation(&self, number: u64) -> String {
        format!("r{}.{number:x}", self.instance)
    }

    fn instance_field(&self) -> String {
        format!("i{}", self.instance)
    }

    fn holds(&self) -> MutexGuard<'_, HashMap<u64, Arc<Hold>>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the limits of `hold` stand, where so much of its estimate is reserved besides.
fn standings(hold: &Hold, seen: &[Seen], granted: Amounts, now: Now) -> Vec<Standing> {
    let pairs = hold.spans.iter().zip(seen);
    let standing = |(span, seen): (&Span, &Seen)| Standing {
        scope: span.scope,
        kind: span.kind,
        limit: span.limit,
        used: span.used(seen.here, seen.before),
        reserved: seen.reserved.saturating_add(granted.reserved(span.kind)),
        resets_at: span.end.max(now.unix_seconds()),
    };
    pairs.map(standing).collect()
}
