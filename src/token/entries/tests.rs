//! Bounds, the order of eviction, and the sweep.

use std::time::Duration;

use http::HeaderValue;
use std::sync::Arc;

use super::super::breaker::Breaker;
use super::super::testing::{identity, outage, refusal};
use super::super::{AccessToken, TokenError};
use super::*;
use crate::clock::Clock;
use crate::flight::Flight;

fn held(now: Now, life: u64) -> Held {
    let life = Duration::from_secs(life);
    Held {
        token: Arc::new(AccessToken {
            authorization: HeaderValue::from_static("Bearer t"),
            session_id: None,
            refresh_at: now.elapsed + life,
            expires_at: now.elapsed + life,
        }),
        ends: now.unix + life,
    }
}

fn insert(entries: &Entries, user: &str, now: Now, life: u64) -> Result<Option<Identity>, Full> {
    let change = |entry: &mut Entry| entry.held = Some(held(now, life));
    entries
        .update_or_insert(&identity(user), now, change)
        .map(|((), out)| out)
}

fn has(entries: &Entries, user: &str) -> bool {
    entries.read(&identity(user), |_| ()).is_some()
}

#[test]
fn the_oldest_mint_goes_first() {
    let (entries, now) = (Entries::new(3), Clock::manual(0).now());
    for user in ["a", "b", "c"] {
        assert_eq!(insert(&entries, user, now, 900).unwrap(), None);
    }
    entries.touch(&identity("a"));
    assert_eq!(
        insert(&entries, "d", now, 900).unwrap(),
        Some(identity("b"))
    );
    assert_eq!(
        insert(&entries, "e", now, 900).unwrap(),
        Some(identity("c"))
    );
    assert_eq!(
        insert(&entries, "f", now, 900).unwrap(),
        Some(identity("a"))
    );
    assert_eq!(entries.len(), 3);
}

#[test]
fn a_spent_entry_goes_before_an_older_one_in_use() {
    let (entries, clock) = (Entries::new(3), Clock::manual(0));
    insert(&entries, "old", clock.now(), 900).unwrap();
    insert(&entries, "spent", clock.now(), 10).unwrap();
    insert(&entries, "new", clock.now(), 900).unwrap();
    clock.advance(Duration::from_secs(10));
    let out = insert(&entries, "next", clock.now(), 900).unwrap();
    assert_eq!(out, Some(identity("spent")));
    assert_eq!(
        insert(&entries, "last", clock.now(), 900).unwrap(),
        Some(identity("old"))
    );
}

#[test]
fn an_entry_with_a_mint_under_way_stays_and_a_full_map_of_them_takes_no_more() {
    let (entries, now) = (Entries::new(2), Clock::manual(0).now());
    let fly = |entry: &mut Entry| entry.flight = Some(Flight::new(1).0);
    entries.update_or_insert(&identity("a"), now, fly).unwrap();
    insert(&entries, "b", now, 900).unwrap();
    assert_eq!(
        insert(&entries, "c", now, 900).unwrap(),
        Some(identity("b"))
    );
    entries.update(&identity("c"), fly).unwrap();
    assert!(insert(&entries, "d", now, 900).is_err());
    assert_eq!(entries.len(), 2);
    entries
        .update(&identity("a"), |entry| entry.flight = None)
        .unwrap();
    assert_eq!(
        insert(&entries, "d", now, 900).unwrap(),
        Some(identity("a"))
    );
}

#[test]
fn an_entry_that_stays_empty_takes_no_place() {
    let (entries, now) = (Entries::new(2), Clock::manual(0).now());
    entries
        .update_or_insert(&identity("a"), now, |_| ())
        .unwrap();
    assert_eq!(entries.len(), 0);
    assert!(!has(&entries, "a"));
}

#[test]
fn the_sweep_takes_what_is_spent_and_nothing_else() {
    let (entries, clock) = (Entries::new(10), Clock::manual(0));
    let now = clock.now();
    insert(&entries, "ended", now, 10).unwrap();
    insert(&entries, "good", now, 900).unwrap();
    let failed = |error: TokenError| {
        move |entry: &mut Entry| entry.failure = Some(Failure::new(error, now, None, 0))
    };
    entries
        .update_or_insert(&identity("outage"), now, failed(outage()))
        .unwrap();
    entries
        .update_or_insert(&identity("refused"), now, failed(refusal(400)))
        .unwrap();
    entries
        .update_or_insert(&identity("flying"), now, |entry| {
            entry.flight = Some(Flight::new(1).0);
        })
        .unwrap();
    assert_eq!(entries.sweep(now), []);
    clock.advance(Duration::from_secs(10));
    let mut gone = entries.sweep(clock.now());
    gone.sort_by_key(|identity| identity.user.as_str().to_owned());
    assert_eq!(gone, [identity("ended"), identity("outage")]);
    clock.advance(Duration::from_secs(30));
    assert_eq!(entries.sweep(clock.now()), [identity("refused")]);
    assert_eq!(entries.len(), 2);
}

#[test]
fn the_order_stays_short_however_often_one_identity_is_minted() {
    let (entries, now) = (Entries::new(10), Clock::manual(0).now());
    insert(&entries, "a", now, 900).unwrap();
    for _ in 0..10_000 {
        entries.touch(&identity("a"));
    }
    assert!(entries.order().len() <= 1026, "{}", entries.order().len());
}

#[test]
fn refusals_of_a_user_last_longer_each_time_up_to_30_s() {
    let (breaker, clock) = (Breaker::new(), Clock::manual(0));
    let mut entry = Entry::new(0);
    let lasts = [1, 2, 4, 8, 16, 30, 30].map(Duration::from_secs);
    let brief = Duration::from_millis(1);
    for pause in lasts {
        let now = clock.now();
        entry.failure = Some(Failure::new(refusal(400), now, entry.failure.as_ref(), 0));
        clock.advance(pause.checked_sub(brief).unwrap());
        assert!(entry.failure(clock.now(), &breaker).is_some(), "{pause:?}");
        clock.advance(brief);
        assert!(entry.failure(clock.now(), &breaker).is_none(), "{pause:?}");
    }
}

#[test]
fn a_token_ends_on_whichever_clock_comes_first() {
    let clock = Clock::manual(1_000);
    let now = clock.now();
    let mut entry = Entry::new(0);
    entry.held = Some(held(now, 900));
    assert!(entry.usable(now).is_some());
    let slept = Now {
        unix: now.unix + Duration::from_mins(15),
        ..now
    };
    assert!(entry.usable(slept).is_none(), "the machine slept");
    let set_back = Now {
        unix: Duration::ZERO,
        elapsed: now.elapsed + Duration::from_mins(15),
    };
    assert!(
        entry.usable(set_back).is_none(),
        "the wall clock was set back"
    );
}
