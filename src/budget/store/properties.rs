//! Random interleavings of reserve, settle, release, time, crash and restart, against a model that
//! keeps every settle by the window of its reservation.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use tempfile::TempDir;

use super::tests::{amounts, config, limits, now};
use super::*;
use crate::budget::journal::JournalConfig;
use crate::budget::limits::Scope;
use crate::budget::threshold::Thresholds;
use crate::budget::window::{Spans, WindowKind, Windows};

/// The greatest estimate, in tokens.
const ESTIMATE: u64 = 30;

#[derive(Clone, Debug)]
enum Step {
    /// By this user, in this session.
    Reserve(u8, u8, u64),
    /// Of the live permits this one, with so many per cent of its estimate.
    Settle(prop::sample::Index, u64),
    Release(prop::sample::Index),
    Wait(u64),
    /// The process is killed amid writing a line: so many bytes of one are there.
    Crash(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any = any::<prop::sample::Index>;
    let step = prop_oneof![
        6 => (0..2_u8, 0..2_u8, 1..=ESTIMATE).prop_map(|(u, s, e)| Step::Reserve(u, s, e)),
        4 => (any(), 0..=100_u64).prop_map(|(at, percent)| Step::Settle(at, percent)),
        1 => any().prop_map(Step::Release),
        1 => (0..50_u64).prop_map(Step::Wait),
        1 => (0..3_000_000_u64).prop_map(Step::Wait),
        1 => (0..90_usize).prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..60)
}

struct Live {
    user: u128,
    session: u128,
    estimate: Amounts,
    spans: Spans,
    permit: Permit,
}

struct World {
    kind: WindowKind,
    store: Arc<Embedded>,
    folder: TempDir,
    policy: Arc<Policy>,
    /// Settled by account, limit and window.
    settled: BTreeMap<(Scope, u128, LimitKind, u32), u64>,
    live: Vec<Live>,
    time: u64,
}

fn open(folder: &Path, kind: WindowKind) -> Arc<Embedded> {
    let config = EmbeddedConfig {
        journal: Some(JournalConfig::new(folder.to_owned(), "budgets")),
        terms: Terms {
            windows: Windows::new(TimeZone::UTC, kind),
            thresholds: Thresholds::default(),
        },
        ..config()
    };
    Embedded::open(config).unwrap()
}

impl World {
    fn new(kind: WindowKind) -> Self {
        let folder = TempDir::new().unwrap();
        let user = [
            (LimitKind::RequestsPerMinute, 6),
            (LimitKind::ConcurrentRequests, 4),
            (LimitKind::TokensPerDay, 100),
            (LimitKind::TokensPerMonth, 300),
            (LimitKind::CostPerMonth, 2_500),
        ];
        let session = [
            (LimitKind::ConcurrentRequests, 3),
            (LimitKind::TokensPerDay, 70),
        ];
        Self {
            kind,
            store: open(folder.path(), kind),
            folder,
            policy: Arc::new(Policy {
                tier: "free".to_owned(),
                user: limits(&user),
                session: limits(&session),
            }),
            settled: BTreeMap::new(),
            live: Vec::new(),
            time: 20_000 * 86_400,
        }
    }

    fn spans(&self) -> Spans {
        Windows::new(TimeZone::UTC, self.kind).at(now(self.time))
    }

    /// Used and reserved, as they must be.
    fn taken(&self, scope: Scope, key: u128, kind: LimitKind) -> (u64, u64) {
        let spans = self.spans();
        let id = spans.of(kind).map(|window| window.id);
        let settled = |id| {
            let count = self.settled.get(&(scope, key, kind, id));
            count.copied().unwrap_or_default()
        };
        let used = spans
            .of(kind)
            .map_or(0, |span| span.used(settled(span.id), settled(span.id - 1)));
        let is_here = |live: &&Live| {
            let of = match scope {
                Scope::User => live.user,
                Scope::Session => live.session,
            };
            of == key && live.spans.of(kind).map(|window| window.id) == id
        };
        let live = self.live.iter().filter(is_here);
        (used, live.map(|live| live.estimate.reserved(kind)).sum())
    }

    fn limits(&self, user: u128, session: u128) -> Vec<(Scope, u128, LimitKind, u64)> {
        let of = |scope, key, limits: &super::super::Limits| {
            let all = limits.iter();
            all.map(|(kind, limit)| (scope, key, kind, limit))
                .collect::<Vec<_>>()
        };
        let mut all = of(Scope::User, user, &self.policy.user);
        all.extend(of(Scope::Session, session, &self.policy.session));
        all
    }

    fn reserve(&mut self, who: u8, session: u8, tokens: u64) {
        let session = u128::from(who) * 10 + u128::from(session);
        let user = u128::from(who);
        let estimate = amounts(tokens);
        let claim = Claim {
            user,
            session: Some(session),
            policy: Arc::clone(&self.policy),
            estimate,
        };
        let has_room = self
            .limits(user, session)
            .iter()
            .all(|(scope, key, kind, limit)| {
                let (settled, reserved) = self.taken(*scope, *key, *kind);
                settled + reserved < *limit
            });
        let reserved = self.store.reserve(claim, now(self.time));
        assert_eq!(reserved.is_ok(), has_room);
        let spans = self.spans();
        self.live.extend(reserved.ok().map(|permit| Live {
            user,
            session,
            estimate,
            spans,
            permit,
        }));
    }

    fn settle(&mut self, at: prop::sample::Index, percent: u64) {
        if self.live.is_empty() {
            return;
        }
        let live = self.live.swap_remove(at.index(self.live.len()));
        let actual = amounts(live.estimate.tokens * percent / 100);
        live.permit.settle(actual);
        for (scope, key) in [(Scope::User, live.user), (Scope::Session, live.session)] {
            for kind in LimitKind::ALL {
                if let Some(window) = live.spans.of(kind) {
                    let place = (scope, key, kind, window.id);
                    *self.settled.entry(place).or_default() += actual.settled(kind);
                }
            }
        }
    }

    /// Goes on with the files as they are now, and the torn line that the crash left.
    fn crash(&mut self, torn: usize) {
        let copy = TempDir::new().unwrap();
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let to = copy.path().join(path.file_name().unwrap());
            fs::copy(&path, &to).unwrap();
            if path.extension().is_some_and(|it| it == "journal") {
                let mut file = OpenOptions::new().append(true).open(&to).unwrap();
                let line =
                    "12345678 u 0 1 5265c00 4e20 3e8 99 0 0 99 0 0 99 0 0 99 0 0 99 0 0 99 0 0";
                file.write_all(&line.as_bytes()[..torn.min(line.len())])
                    .unwrap();
            }
        }
        self.live.clear();
        self.store = open(copy.path(), self.kind);
        self.folder = copy;
    }

    fn check(&self) {
        for (user, session) in [(0, 0), (0, 1), (1, 10), (1, 11)] {
            let at = now(self.time);
            let standings = self.store.standings(user, Some(session), &self.policy, at);
            let limits = self.limits(user, session);
            assert_eq!(standings.len(), limits.len());
            for (standing, (scope, key, kind, limit)) in standings.iter().zip(limits) {
                assert_eq!((standing.scope, standing.kind), (scope, kind));
                let taken = (standing.used, standing.reserved);
                assert_eq!(taken, self.taken(scope, key, kind), "{scope:?} {kind:?}");
                // A late settle of a sliding window comes on top of what was let through after it.
                let over = taken.0 + taken.1;
                let estimate = amounts(ESTIMATE).reserved(kind);
                if self.kind == WindowKind::Calendar {
                    assert!(over < limit + estimate, "{kind:?}: {over} of {limit}");
                }
            }
        }
    }
}

fn run(kind: WindowKind, steps: Vec<Step>) {
    let mut world = World::new(kind);
    for step in steps {
        match step {
            Step::Reserve(user, session, tokens) => world.reserve(user, session, tokens),
            Step::Settle(at, percent) => world.settle(at, percent),
            Step::Release(at) if !world.live.is_empty() => {
                drop(world.live.swap_remove(at.index(world.live.len())));
            }
            Step::Release(_) => {}
            Step::Wait(seconds) => world.time += seconds,
            Step::Crash(torn) => world.crash(torn),
        }
        world.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_settled_token_is_lost_or_counted_twice_in_calendar_windows(steps in steps()) {
        run(WindowKind::Calendar, steps);
    }

    #[test]
    fn no_settled_token_is_lost_or_counted_twice_in_sliding_windows(steps in steps()) {
        run(WindowKind::Sliding, steps);
    }
}

const CHILD: &str = "BUDGET_JOURNAL_OF_A_CHILD";

/// Not a test: the process that the next one kills.
#[test]
fn child_that_settles_until_it_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else {
        return;
    };
    let mut journal = JournalConfig::new(folder.into(), "budgets");
    // So that kills come amid snapshots too.
    journal.snapshot_after = 2_000;
    let store = Embedded::open(EmbeddedConfig {
        journal: Some(journal),
        ..config()
    })
    .unwrap();
    let mut out = std::io::stdout();
    for _ in 0..1_000_000 {
        let claim = one();
        store.reserve(claim, now(0)).unwrap().settle(amounts(1));
        let used = store.standings(1, None, &one().policy, now(0))[0].used;
        // Over the wire only now: the caller has seen it whole.
        out.write_all(format!("\nsettled {used}\n").as_bytes())
            .unwrap();
    }
}

fn one() -> Claim {
    let policy = Policy {
        user: limits(&[(LimitKind::TokensPerDay, u64::MAX)]),
        ..Policy::default()
    };
    Claim {
        user: 1,
        session: None,
        policy: Arc::new(policy),
        estimate: amounts(1),
    }
}

#[test]
fn what_a_killed_process_has_told_as_settled_is_counted_by_the_next() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let folder = TempDir::new().unwrap();
    let mut last = 0;
    for round in 0..6_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("budget::store::properties::child_that_settles_until_it_is_killed")
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = lines.filter_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("settled ")?.parse::<u64>().ok()
        });
        let heard = told.nth(200 + round * 97).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let heard = told.last().unwrap_or(heard);
        assert!(heard > last, "the next goes on where the last was killed");
        let store = open(folder.path(), WindowKind::Calendar);
        let used = store.standings(1, None, &one().policy, now(0))[0].used;
        assert!(used == heard || used == heard + 1, "{used} of {heard}");
        last = used;
    }
}
