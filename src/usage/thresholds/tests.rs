//! Passings told to receivers on real sockets.

use serde_json::json;

use super::super::testing::{Reply, TestReceiver, nobody, receiver, until};
use super::*;

const LONG: Duration = Duration::from_secs(30);

fn passed() -> ThresholdPassed {
    ThresholdPassed {
        account: 7,
        user: Some("ada".to_owned()),
        tier: "free".to_owned(),
        scope: Scope::User,
        kind: LimitKind::CostPerDay,
        percent: 80,
        used: 1_250_000_000,
        limit: 1_500_000_000,
        window: 20_000,
    }
}

fn start(receiver: Receiver) -> Thresholds {
    let first_retry = Duration::from_millis(2);
    Thresholds::start_with(receiver, &Clock::system(), first_retry).unwrap()
}

#[test]
fn a_passing_is_told_until_it_is_taken_and_always_under_the_same_id() {
    let server = TestReceiver::start([Reply::Status(503)]);
    let thresholds = start(server.receiver());
    let now = Clock::manual(1_790_000_000).now();
    thresholds.tell(&passed(), now);
    until("it is taken", || thresholds.counts().take_delivered() == 1);
    let came = server.came();
    assert_eq!(came.len(), 2);
    let expected = json!({
        "id": came[0].key(), "event": "budget_threshold", "time": "2026-09-21T14:13:20.000Z",
        "tier": "free", "scope": "user", "limit_kind": "usd_per_day", "percent": 80, "user": "ada",
        "used": 1_250_000_000, "limit": 1_500_000_000, "usd_used": 1.25, "usd_limit": 1.5,
        "window": 20_000,
    });
    for came in &came {
        assert_eq!(came.body, expected);
        assert_eq!(came.key(), expected["id"]);
    }
}

#[test]
fn another_replica_gives_the_same_passing_the_same_id_and_nothing_else_has_it() {
    let mut same = passed();
    same.used += 1;
    same.user = None;
    assert_eq!(id(&passed()), id(&same));
    let others = [
        ThresholdPassed {
            account: 8,
            ..passed()
        },
        ThresholdPassed {
            scope: Scope::Session,
            ..passed()
        },
        ThresholdPassed {
            kind: LimitKind::CostPerMonth,
            ..passed()
        },
        ThresholdPassed {
            percent: 100,
            ..passed()
        },
        ThresholdPassed {
            window: 20_001,
            ..passed()
        },
    ];
    for other in others {
        assert_ne!(id(&passed()), id(&other), "{other:?}");
    }
}

#[test]
fn users_that_are_not_kept_and_money_that_is_none_are_left_out() {
    let server = TestReceiver::start([]);
    let thresholds = start(server.receiver());
    let told = ThresholdPassed {
        user: None,
        kind: LimitKind::TokensPerDay,
        ..passed()
    };
    thresholds.tell(&told, Clock::manual(0).now());
    assert!(thresholds.close(LONG));
    let body = &server.came()[0].body;
    for key in ["user", "usd_used", "usd_limit"] {
        assert!(body.get(key).is_none(), "{key}");
    }
}

#[test]
fn what_nobody_takes_is_bounded_and_counted() {
    let thresholds = start(receiver(nobody(), None));
    let long = ThresholdPassed {
        tier: "x".repeat(MOST_WAITING / 2),
        ..passed()
    };
    for _ in 0..30 {
        thresholds.tell(&long, Clock::manual(0).now());
    }
    assert!(thresholds.close(LONG));
    assert_eq!(thresholds.counts().take_dropped(), 30);
}
