//! Failures are remembered, an outage is probed, and recovery is quick.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::super::testing::{Bench, minted, outage, refusal, settle};
use super::super::super::{InvalidAnswer, TokenError};
use super::{millis, seconds};

/// A mint that fails with an outage while `down` is set.
fn outage_while(down: &Arc<AtomicBool>) -> Bench {
    let down = Arc::clone(down);
    Bench::new(move |_, _, now| {
        let failed = down.load(Ordering::SeqCst);
        async move {
            if failed {
                Err(outage())
            } else {
                Ok(minted("token", 900, now))
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_remembered_for_500_ms() {
    for error in [
        outage(),
        TokenError::Timeout,
        refusal(401),
        InvalidAnswer::NotJwt.into(),
    ] {
        let bench = Bench::new(move |_, _, _| {
            let error = error.clone();
            async move { Err(error) }
        });
        for _ in 0..10 {
            bench.ask("ada").await.unwrap_err();
        }
        assert_eq!(bench.calls(), 1);
        bench.advance(millis(499)).await;
        bench.ask("ada").await.unwrap_err();
        assert_eq!(bench.calls(), 1);
        bench.advance(millis(1)).await;
        bench.ask("ada").await.unwrap_err();
        assert_eq!(bench.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_user_is_asked_for_less_and_less_often_and_others_are_served() {
    let bench = Bench::new(|_, identity, now| async move {
        if identity.user.as_str() == "root" {
            Err(refusal(400))
        } else {
            Ok(minted("token", 900, now))
        }
    });
    let mut asked_at = Vec::new();
    for second in 0..=100 {
        let before = bench.calls();
        bench.ask("root").await.unwrap_err();
        if bench.calls() > before {
            asked_at.push(second);
        }
        bench.advance(seconds(1)).await;
    }
    assert_eq!(asked_at, [0, 1, 3, 7, 15, 31, 61, 91]);
    assert_eq!(bench.ask("ada").await.unwrap(), "token");
}

#[tokio::test(start_paused = true)]
async fn a_refused_user_who_is_accepted_begins_anew() {
    let bench = Bench::new(|call, _, now| async move {
        if call == 2 {
            Ok(minted("token", 5, now))
        } else {
            Err(refusal(400))
        }
    });
    for pause in [1, 2] {
        bench.ask("ada").await.unwrap_err();
        bench.advance(seconds(pause)).await;
    }
    assert_eq!(bench.ask("ada").await.unwrap(), "token");
    bench.advance(seconds(5)).await;
    bench.ask("ada").await.unwrap_err();
    bench.advance(seconds(1)).await;
    bench.ask("ada").await.unwrap_err();
    assert_eq!(bench.calls(), 5, "a second's pause again");
}

#[tokio::test(start_paused = true)]
async fn after_five_failures_in_a_row_an_outage_costs_two_calls_a_second() {
    let bench = outage_while(&Arc::new(AtomicBool::new(true)));
    for number in 0..5 {
        bench.ask(&format!("user-{number}")).await.unwrap_err();
    }
    for number in 5..1_000 {
        let error = bench.ask(&format!("user-{number}")).await.unwrap_err();
        assert!(matches!(error, TokenError::Unavailable { .. }));
    }
    assert_eq!(bench.calls(), 5);
    for tick in 0..100 {
        bench.advance(millis(100)).await;
        bench.ask(&format!("late-{tick}")).await.unwrap_err();
    }
    assert_eq!(bench.calls(), 5 + 20, "in 10 s");
    assert!(
        bench.cache.len() <= 25,
        "those who were not asked for leave nothing behind"
    );
}

#[tokio::test(start_paused = true)]
async fn everyone_is_served_within_a_second_of_the_recovery() {
    let down = Arc::new(AtomicBool::new(true));
    let bench = outage_while(&down);
    for _ in 0..20 {
        for number in 0..10 {
            bench.ask(&format!("user-{number}")).await.unwrap_err();
        }
        bench.advance(millis(100)).await;
    }
    down.store(false, Ordering::SeqCst);
    let mut waited = 0;
    while bench.ask("user-0").await.is_err() {
        bench.advance(millis(50)).await;
        waited += 50;
        assert!(waited < 1_000);
    }
    for number in 0..10 {
        assert_eq!(
            bench.ask(&format!("user-{number}")).await.unwrap(),
            "token",
            "all is cleared"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_success_clears_the_failures_of_others_that_are_still_in_force() {
    let bench = Bench::new(|call, _, now| async move {
        match call {
            0..5 => Err(outage()),
            5 => {
                tokio::time::sleep(millis(10)).await;
                Err(outage())
            }
            _ => Ok(minted("token", 900, now)),
        }
    });
    for number in 0..5 {
        bench.ask(&format!("user-{number}")).await.unwrap_err();
    }
    bench.advance(millis(500)).await;
    let slow = async {
        tokio::time::sleep(millis(5)).await;
        bench.clock.advance(millis(400));
    };
    let (late, ()) = tokio::join!(bench.ask("late"), slow);
    late.unwrap_err();
    bench.advance(millis(100)).await;
    bench.ask("late").await.unwrap_err();
    assert_eq!(bench.ask("probe").await.unwrap(), "token");
    assert_eq!(
        bench.ask("late").await.unwrap(),
        "token",
        "100 ms after its failure"
    );
}

#[tokio::test(start_paused = true)]
async fn a_mint_that_hangs_is_a_timeout() {
    let bench = Bench::new(|_, _, _| std::future::pending());
    let begun = tokio::time::Instant::now();
    let error = bench.ask("ada").await.unwrap_err();
    assert!(matches!(error, TokenError::Timeout));
    assert_eq!(begun.elapsed().as_secs(), 5);
    settle().await;
    assert!(
        matches!(bench.ask("ada").await, Err(TokenError::Timeout)),
        "remembered"
    );
    assert_eq!(bench.calls(), 1);
}
