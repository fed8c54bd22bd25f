//! Renewal ahead of the end, and use until the end.

use super::super::super::testing::{Bench, minted, outage, settle};
use super::{millis, seconds};

#[tokio::test(start_paused = true)]
async fn a_token_that_is_due_is_used_at_once_and_renewed_behind_the_request() {
    let bench = Bench::new(|call, _, now| async move {
        tokio::time::sleep(millis(10)).await;
        Ok(minted(&format!("token-{call}"), 900, now))
    });
    bench.ask("ada").await.unwrap();
    bench.advance(seconds(833)).await;
    assert_eq!(bench.ask("ada").await.unwrap(), "token-0");
    settle().await;
    assert_eq!(
        bench.calls(),
        1,
        "60 s and up to 6 s before the end, not sooner"
    );
    bench.advance(seconds(7)).await;
    for _ in 0..5 {
        assert_eq!(bench.ask("ada").await.unwrap(), "token-0");
    }
    tokio::time::sleep(millis(11)).await;
    settle().await;
    assert_eq!(bench.ask("ada").await.unwrap(), "token-1");
    assert_eq!(bench.calls(), 2, "renewed once");
}

#[tokio::test(start_paused = true)]
async fn while_the_mint_is_down_a_token_is_used_until_it_has_really_ended() {
    let bench = Bench::new(|call, _, now| async move {
        if call == 0 {
            Ok(minted("token", 900, now))
        } else {
            Err(outage())
        }
    });
    bench.ask("ada").await.unwrap();
    bench.advance(seconds(845)).await;
    for _ in 0..54 {
        assert_eq!(bench.ask("ada").await.unwrap(), "token");
        bench.advance(seconds(1)).await;
    }
    bench.advance(millis(999)).await;
    assert_eq!(
        bench.ask("ada").await.unwrap(),
        "token",
        "1 ms before its end"
    );
    settle().await;
    bench.advance(millis(1)).await;
    assert!(bench.ask("ada").await.is_err());
    assert!(
        (10..=56).contains(&bench.calls()),
        "tried again, but bounded: {}",
        bench.calls()
    );
}

#[tokio::test(start_paused = true)]
async fn renewals_in_the_background_obey_the_pause_after_a_failure() {
    let bench = Bench::new(|call, _, now| async move {
        if call == 0 {
            Ok(minted("token", 900, now))
        } else {
            Err(outage())
        }
    });
    bench.ask("ada").await.unwrap();
    bench.advance(seconds(850)).await;
    for _ in 0..100 {
        bench.ask("ada").await.unwrap();
        settle().await;
    }
    assert_eq!(bench.calls(), 2);
    bench.advance(millis(500)).await;
    bench.ask("ada").await.unwrap();
    settle().await;
    assert_eq!(bench.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_counts_from_the_moment_before_it_was_asked_for() {
    let bench = Bench::new(|_, _, now| async move {
        tokio::time::sleep(millis(10)).await;
        Ok(minted("token", 100, now))
    });
    let start = bench.clock.now().elapsed;
    let asking = bench.ask("ada");
    let slow = async {
        tokio::time::sleep(millis(5)).await;
        bench.clock.advance(seconds(3));
    };
    let (asked, ()) = tokio::join!(asking, slow);
    asked.unwrap();
    let identity = super::super::super::testing::identity("ada");
    let token = bench
        .cache
        .token(&identity, bench.clock.now())
        .await
        .unwrap();
    assert_eq!(token.expires_at, start + seconds(100));
    assert!(token.refresh_at <= start + seconds(80));
    assert!(token.refresh_at >= start + seconds(78));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_on_its_way_is_an_invalid_answer() {
    let bench = Bench::new(|_, _, now| async move {
        tokio::time::sleep(millis(10)).await;
        Ok(minted("token", 2, now))
    });
    let slow = async {
        tokio::time::sleep(millis(5)).await;
        bench.clock.advance(seconds(2));
    };
    let (asked, ()) = tokio::join!(bench.ask("ada"), slow);
    assert!(matches!(
        asked,
        Err(super::super::super::TokenError::Invalid(_))
    ));
}
