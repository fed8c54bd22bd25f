use std::thread;

use super::*;
use crate::metering::{Certainty, Cost, ModelName, Tokens};

const AT: u64 = 1_790_000_000;

fn now(at: u64) -> Now {
    Now {
        unix: Duration::from_secs(at),
        elapsed: Duration::from_secs(1),
    }
}

fn record(at: u64, tier: &str, model: &str, user: &str) -> Arc<UsageRecord> {
    Arc::new(UsageRecord {
        began: Duration::from_secs(at),
        took: Duration::from_millis(5),
        request_id: "gwr_1".to_owned(),
        trace_id: None,
        user: Some(user.to_owned()),
        tier: tier.to_owned(),
        session_id: Some(format!("gw_{user}")),
        thread_id: None,
        route: "/v1/chat/completions",
        model: ModelName::parse(model),
        certainty: Certainty::Known,
        tokens: Some(Tokens {
            prompt: 100,
            cached: 40,
            completion: 20,
            total: 120,
        }),
        cost: Some(Cost(7)),
        status: 200,
        outcome: "ok",
    })
}

fn total(ledger: &Ledger) -> Sums {
    let mut total = Sums::default();
    ledger.read(|books| {
        for (.., sums) in books.hours.within(0..u64::MAX) {
            total.add(sums);
        }
    });
    total
}

#[test]
fn records_of_all_threads_are_counted_once() {
    let ledger = Ledger::new(false);
    thread::scope(|scope| {
        for thread in 0..4 {
            let ledger = &ledger;
            scope.spawn(move || {
                for number in 0..2_500 {
                    let user = format!("user {}", (thread + number) % 50);
                    ledger.add(record(AT, "pro", "gpt-5.2", &user));
                }
            });
        }
    });
    let total = total(&ledger);
    let expected = Sums {
        requests: 10_000,
        prompt: 1_000_000,
        cached: 400_000,
        completion: 200_000,
        cost: 70_000,
        ..Sums::default()
    };
    assert_eq!(total, expected);
    let users = ledger.read(|books| books.users.within(0..u64::MAX).count());
    assert_eq!(users, 50);
}

#[test]
fn what_is_not_known_is_counted_as_such_and_refusals_are_no_unknowns() {
    let ledger = Ledger::new(false);
    let base = record(AT, "", "m", "ada");
    for (certainty, status, outcome) in [
        (Certainty::Unknown, 200, "ok"),
        (Certainty::Partial, 200, "client_gone"),
        (Certainty::Unknown, 402, "quota_exceeded"),
        (Certainty::Unknown, 429, "upstream_4xx"),
    ] {
        ledger.add(Arc::new(UsageRecord {
            certainty,
            status,
            outcome,
            tokens: None,
            cost: None,
            ..UsageRecord::clone(&base)
        }));
    }
    let sums = total(&ledger);
    let counts = (sums.requests, sums.refused, sums.partial, sums.unknown);
    assert_eq!(counts, (4, 1, 1, 2));
    assert_eq!(sums.known(), 0);
}

#[test]
fn replicas_and_a_restart_add_up_to_the_same() {
    let [one, two, all] = [(); 3].map(|()| Ledger::new(true));
    for number in 0..100 {
        let made = record(
            AT + number * 60,
            "pro",
            "gpt-5.2",
            &format!("user {number}"),
        );
        let ledger = if number % 2 == 0 { &one } else { &two };
        ledger.add(Arc::clone(&made));
        all.add(made);
        if number == 50 {
            two.merge(&one.take_delta());
        }
    }
    two.merge(&one.take_delta());
    let sorted = |ledger: &Ledger| {
        let mut rows = ledger.snapshot();
        rows.minutes.sort_by_key(|row| row.at);
        rows.hours.sort_by_key(|row| row.at);
        rows.users.sort_by_key(|row| (row.at, row.name.clone()));
        rows.sessions.sort_by_key(|row| (row.at, row.name.clone()));
        rows
    };
    assert_eq!(sorted(&two), sorted(&all));
    let written = serde_json::to_vec(&two.snapshot()).unwrap();
    let restarted = Ledger::new(true);
    restarted.merge(&serde_json::from_slice(&written).unwrap());
    assert_eq!(sorted(&restarted), sorted(&all));
    assert!(restarted.take_delta().is_empty(), "it is not its own");
    let own: u32 = two
        .take_delta()
        .hours
        .iter()
        .map(|row| row.sums.requests)
        .sum();
    assert_eq!(own, 50, "what others counted is not told again");
}

#[test]
fn what_is_older_than_the_retention_goes_and_the_rest_stays() {
    let ledger = Ledger::new(false);
    let days = |days: u64| AT - days * 86_400;
    for at in [days(40), days(34), AT - 3 * 3600, AT] {
        ledger.add(record(at, "pro", "m", "ada"));
    }
    ledger.fold(now(AT));
    let counted = |ledger: &Ledger| {
        ledger.read(|books| {
            let minutes = books.minutes.within(0..u64::MAX).count();
            let users = books.users.within(0..u64::MAX).count();
            (minutes, books.hours.within(0..u64::MAX).count(), users)
        })
    };
    assert_eq!(counted(&ledger), (1, 3, 2), "today's records are one day");
    ledger.retain(Duration::from_hours(1));
    ledger.fold(now(AT + 7_200));
    assert_eq!(counted(&ledger).1, 0);
}
