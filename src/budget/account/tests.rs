use std::time::Duration;

use jiff::tz::TimeZone;

use super::*;
use crate::budget::window::{WindowKind, Windows};
use crate::clock::Now;

const DAY: u64 = 86_400;
const NOON: u64 = 20_000 * DAY + DAY / 2;
const KIND: LimitKind = LimitKind::TokensPerDay;

fn spans(kind: WindowKind, seconds: u64) -> Spans {
    Windows::new(TimeZone::UTC, kind).at(Now {
        unix: Duration::from_secs(seconds),
        elapsed: Duration::ZERO,
    })
}

fn tokens(tokens: u64) -> Amounts {
    Amounts {
        requests: 1,
        tokens,
        cost: 0,
    }
}

#[test]
fn a_reservation_does_not_count_in_the_next_window_and_settles_in_its_own() {
    let today = spans(WindowKind::Sliding, NOON);
    let tomorrow = spans(WindowKind::Sliding, NOON + DAY);
    let mut account = Account::default();
    account.roll(&today);
    let places = account.reserve(tokens(100));
    assert_eq!(account.taken(KIND, &today), (0, 100));
    account.roll(&tomorrow);
    assert_eq!(account.taken(KIND, &tomorrow), (0, 0));
    assert_eq!(
        account.taken(LimitKind::ConcurrentRequests, &tomorrow),
        (0, 1)
    );
    account.settle(tokens(100), tokens(80), places);
    assert_eq!(
        account.taken(KIND, &tomorrow),
        (40, 0),
        "half of it still counts"
    );
    assert_eq!(
        account.taken(LimitKind::ConcurrentRequests, &tomorrow),
        (0, 0)
    );
}

#[test]
fn a_clock_that_is_set_back_over_midnight_goes_on_counting_in_the_later_day() {
    let midnight = 20_000 * DAY;
    let after = spans(WindowKind::Calendar, midnight + 1);
    let before = spans(WindowKind::Calendar, midnight - 1);
    let mut account = Account::default();
    account.roll(&after);
    let places = account.reserve(tokens(1));
    account.settle(tokens(1), tokens(7), places);
    account.roll(&before);
    assert_eq!(account.taken(KIND, &before), (7, 0));
    let places = account.reserve(tokens(5));
    account.settle(tokens(5), tokens(5), places);
    account.roll(&after);
    assert_eq!(account.taken(KIND, &after), (12, 0));
}

#[test]
fn a_clock_that_was_years_ahead_keeps_nobody_out() {
    let ahead = spans(WindowKind::Calendar, NOON + 4_000 * DAY);
    let right = spans(WindowKind::Calendar, NOON);
    let mut account = Account::default();
    account.roll(&ahead);
    let places = account.reserve(tokens(1));
    account.settle(tokens(1), tokens(7), places);
    let kept = account.settled;
    account.roll(&right);
    assert_eq!(account.taken(KIND, &right), (0, 0));
    let places = account.reserve(tokens(1));
    account.settle(tokens(1), tokens(3), places);
    let mut read = kept;
    read.join(&account.settled);
    assert_eq!(read.used[KIND as usize], 3);
}

#[test]
fn states_join_to_the_same_in_any_order_and_however_often() {
    let mut states = Vec::new();
    let mut account = Account::default();
    for step in 0..6 {
        let now = spans(WindowKind::Sliding, NOON + step * DAY / 3);
        account.roll(&now);
        let places = account.reserve(tokens(10));
        account.settle(tokens(10), tokens(10 + step), places);
        states.push(account.settled);
    }
    let end = account.settled;
    // Of one day and the next, as a crash can leave them; older ones never come after newer.
    let near = &states[2..];
    for turned in 0..near.len() {
        let mut order = near.to_vec();
        order.rotate_left(turned);
        order.extend_from_slice(near);
        order.reverse();
        let mut joined = states[1];
        for state in &order {
            joined.join(state);
        }
        assert_eq!(joined.used[KIND as usize], end.used[KIND as usize]);
        assert_eq!(joined.previous[KIND as usize], end.previous[KIND as usize]);
        assert_eq!(joined.windows.day, end.windows.day);
    }
}

#[test]
fn each_share_is_told_once_a_window() {
    let thresholds = Thresholds::new(&[50, 100]);
    let mut limits = Limits::default();
    limits.set(KIND, Some(100));
    let mut account = Account::default();
    let mut told = Vec::new();
    for day in 0..2 {
        let now = spans(WindowKind::Calendar, NOON + day * DAY);
        account.roll(&now);
        for _ in 0..6 {
            let places = account.reserve(tokens(20));
            account.settle(tokens(20), tokens(20), places);
            account.tell(&limits, &thresholds, &now, |_, percent, used, _, window| {
                told.push((window.id, percent, used));
            });
        }
    }
    let of = |day| [(day, 50, 60), (day, 100, 100)];
    assert_eq!(told, [of(20_000), of(20_001)].concat());
}

#[test]
fn an_account_is_past_when_none_of_its_windows_counts_any_more() {
    let mut account = Account::default();
    account.roll(&spans(WindowKind::Calendar, NOON));
    let places = account.reserve(tokens(1));
    account.settle(tokens(1), tokens(1), places);
    let past = |later, kind| account.settled.is_past(&spans(kind, NOON + later * DAY));
    assert!(!past(1, WindowKind::Calendar));
    assert!(past(40, WindowKind::Calendar));
    assert!(
        Account::default()
            .settled
            .is_past(&spans(WindowKind::Sliding, NOON))
    );
}
