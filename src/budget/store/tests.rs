use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::budget::journal::JournalConfig;
use crate::budget::limits::{Limits, Scope};
use crate::budget::threshold::Thresholds;
use crate::budget::window::{WindowKind, Windows};

const NOON: u64 = 20_000 * 86_400 + 43_200;

pub(super) fn now(seconds: u64) -> Now {
    Now {
        unix: Duration::from_secs(seconds),
        elapsed: Duration::ZERO,
    }
}

pub(super) fn config() -> EmbeddedConfig {
    EmbeddedConfig::new(Terms {
        windows: Windows::new(TimeZone::UTC, WindowKind::Calendar),
        thresholds: Thresholds::new(&[50, 80, 100]),
    })
}

pub(super) fn limits(of: &[(LimitKind, u64)]) -> Limits {
    let mut limits = Limits::default();
    for (kind, limit) in of {
        limits.set(*kind, Some(*limit));
    }
    limits
}

fn policy(user: &[(LimitKind, u64)], session: &[(LimitKind, u64)]) -> Arc<Policy> {
    Arc::new(Policy {
        tier: "free".to_owned(),
        user: limits(user),
        session: limits(session),
    })
}

fn claim(policy: &Arc<Policy>, session: u128, tokens: u64) -> Claim {
    Claim {
        user: 1,
        session: Some(session),
        policy: Arc::clone(policy),
        estimate: amounts(tokens),
    }
}

pub(super) fn amounts(tokens: u64) -> Amounts {
    Amounts {
        requests: 1,
        tokens,
        cost: tokens * 10,
    }
}

fn refused(store: &Arc<Embedded>, claim: Claim) -> Standing {
    match store.reserve(claim, now(NOON)).err() {
        Some(Refused::Limit(standing)) => standing,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_let_through_while_used_and_reserved_are_below_the_limit() {
    let store = Embedded::open(config()).unwrap();
    let policy = policy(&[(LimitKind::TokensPerDay, 100)], &[]);
    let first = store.reserve(claim(&policy, 1, 99), now(NOON)).unwrap();
    let second = store.reserve(claim(&policy, 1, 99), now(NOON)).unwrap();
    let standing = refused(&store, claim(&policy, 1, 1));
    assert_eq!((standing.used, standing.reserved), (0, 198));
    assert_eq!(standing.resets_at, NOON + 43_200);
    first.settle(amounts(10));
    drop(second);
    let third = store.reserve(claim(&policy, 1, 50), now(NOON)).unwrap();
    assert_eq!(
        (third.standings()[0].used, third.standings()[0].reserved),
        (10, 50)
    );
    assert_eq!(third.allowance().tokens, Some(90));
    assert_eq!(third.allowance().cost, None);
}

#[test]
fn where_a_sessions_limit_is_full_nothing_is_reserved_of_the_users() {
    let store = Embedded::open(config()).unwrap();
    let policy = policy(
        &[(LimitKind::TokensPerDay, 100)],
        &[(LimitKind::ConcurrentRequests, 1)],
    );
    let held = store.reserve(claim(&policy, 1, 10), now(NOON)).unwrap();
    let standing = refused(&store, claim(&policy, 1, 10));
    assert_eq!(standing.scope, Scope::Session);
    assert_eq!(standing.resets_at, NOON, "requests at once have no window");
    let other = store.reserve(claim(&policy, 2, 10), now(NOON)).unwrap();
    assert_eq!(other.standings()[0].reserved, 20);
    drop(held);
    let again = store.reserve(claim(&policy, 1, 10), now(NOON)).unwrap();
    assert_eq!(again.standings()[0].reserved, 20);
}

#[test]
fn a_restart_keeps_what_was_settled_and_forgets_what_was_reserved() {
    let folder = TempDir::new().unwrap();
    let open = || {
        Embedded::open(EmbeddedConfig {
            journal: Some(JournalConfig::new(folder.path().join("new"), "budgets")),
            ..config()
        })
    };
    let kinds = [
        (LimitKind::TokensPerDay, 100),
        (LimitKind::CostPerMonth, 9_999),
    ];
    let policy = policy(&kinds, &kinds);
    let store = open().unwrap();
    let held = store.reserve(claim(&policy, 1, 40), now(NOON)).unwrap();
    let ended = store.reserve(claim(&policy, 1, 40), now(NOON)).unwrap();
    ended.settle(amounts(30));
    let error = open().err().unwrap().to_string();
    assert!(error.contains("another gateway"), "{error}");
    drop((held, store));
    let store = open().unwrap();
    let standings = store.standings(1, Some(1), &policy, now(NOON));
    let taken: Vec<_> = standings.iter().map(|it| (it.used, it.reserved)).collect();
    assert_eq!(taken, [(30, 0), (300, 0), (30, 0), (300, 0)]);
    assert!(store.health().is_whole);
}

#[test]
fn a_threshold_is_told_once_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let (sender, mut told) = mpsc::channel(8);
    let policy = policy(&[(LimitKind::TokensPerDay, 100)], &[]);
    for used in [45, 10, 10, 10, 10, 20] {
        let store = Embedded::open(EmbeddedConfig {
            journal: Some(JournalConfig::new(folder.path().to_owned(), "budgets")),
            crossed: Some(sender.clone()),
            ..config()
        })
        .unwrap();
        let permit = store.reserve(claim(&policy, 1, 1), now(NOON)).unwrap();
        permit.settle(amounts(used));
    }
    let mut seen = Vec::new();
    while let Ok(crossed) = told.try_recv() {
        assert_eq!((crossed.user, crossed.limit), (1, 100));
        seen.push((crossed.percent, crossed.used));
    }
    assert_eq!(seen, [(50, 55), (80, 85), (100, 105)]);
}

#[test]
fn what_the_receiver_of_crossings_has_no_room_for_is_counted() {
    let (sender, _told) = mpsc::channel(1);
    let store = Embedded::open(EmbeddedConfig {
        crossed: Some(sender),
        ..config()
    })
    .unwrap();
    let policy = policy(&[(LimitKind::TokensPerDay, 100)], &[]);
    let permit = store.reserve(claim(&policy, 1, 1), now(NOON)).unwrap();
    permit.settle(amounts(200));
    assert_eq!(store.health().untold, 2);
}

/// The rule under contention: 64 threads, one user.
#[test]
fn one_users_threads_overspend_by_one_estimate_at_most() {
    const LIMIT: u64 = 10_000;
    const ESTIMATE: u64 = 37;
    let store = Embedded::open(config()).unwrap();
    let policy = policy(&[(LimitKind::TokensPerDay, LIMIT)], &[]);
    let settled = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                while let Ok(permit) = store.reserve(claim(&policy, 1, ESTIMATE), now(NOON)) {
                    let standing = &permit.standings()[0];
                    assert!(standing.used + standing.reserved < LIMIT + ESTIMATE);
                    settled.fetch_add(ESTIMATE, Ordering::Relaxed);
                    permit.settle(amounts(ESTIMATE));
                }
            });
        }
    });
    let settled = settled.load(Ordering::Relaxed);
    assert!((LIMIT..LIMIT + ESTIMATE).contains(&settled), "{settled}");
    let standing = &store.standings(1, None, &policy, now(NOON))[0];
    assert_eq!((standing.used, standing.reserved), (settled, 0));
}

#[test]
fn the_past_is_swept_and_of_too_many_the_emptiest_go_but_none_in_use() {
    let store = Embedded::open(EmbeddedConfig {
        most: 10,
        ..config()
    })
    .unwrap();
    let policy = policy(&[(LimitKind::TokensPerDay, 100)], &[]);
    let reserve = |user: u128| {
        let claim = Claim {
            user,
            ..claim(&policy, 1, 1)
        };
        store.reserve(claim, now(NOON)).unwrap()
    };
    let in_use = reserve(1000);
    for user in 0..11 {
        reserve(user).settle(amounts(if user < 5 { 90 } else { 5 }));
    }
    store.sweep(now(NOON));
    assert_eq!((store.health().accounts, store.health().evicted), (9, 3));
    let full = store.fullest(20, now(NOON));
    let full: Vec<_> = full.iter().map(|it| it.user).collect();
    assert!((0..5).all(|user| full.contains(&user)), "{full:?}");
    assert!(full.contains(&1000));
    drop(in_use);
    store.sweep(now(NOON + 40 * 86_400));
    assert_eq!((store.health().accounts, store.health().evicted), (0, 3));
}

#[test]
fn the_fullest_accounts_come_first() {
    let store = Embedded::open(config()).unwrap();
    let policy = policy(&[(LimitKind::TokensPerDay, 100)], &[]);
    for user in 1..=5 {
        let claim = Claim {
            user,
            ..claim(&policy, 1, 1)
        };
        let permit = store.reserve(claim, now(NOON)).unwrap();
        permit.settle(amounts(10 * u64::try_from(user).unwrap()));
    }
    let full = store.fullest(2, now(NOON));
    let seen: Vec<_> = full
        .iter()
        .map(|it| (it.user, it.standings[0].used))
        .collect();
    assert_eq!(seen, [(5, 50), (4, 40)]);
    assert_eq!(full[0].tier, "free");
    assert_eq!(store.fullest(9, now(NOON + 86_400)).len(), 0, "a new day");
}

/// Prints the figure (`--nocapture`).
#[test]
fn a_hundred_thousand_active_users_fit_in_sixty_megabytes() {
    fn resident() -> u64 {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }
    let all: Vec<_> = LimitKind::ALL
        .into_iter()
        .map(|kind| (kind, 1000))
        .collect();
    let policy = policy(&all, &[]);
    let store = Embedded::open(config()).unwrap();
    let before = resident();
    for user in 0..100_000_u128 {
        let claim = Claim {
            // Spread as keyed hashes are.
            user: user.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
            ..claim(&policy, 1, 1)
        };
        let permit = store.reserve(claim, now(NOON)).unwrap();
        permit.settle(amounts(5));
    }
    let grown = resident().saturating_sub(before);
    let line = format!("100,000 users: {} kB\n", grown / 1000);
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    assert_eq!(store.health().accounts, 100_000);
    assert!(grown > 1_000_000 && grown < 60_000_000, "{grown} bytes");
}
