//! Mints in flight, entries and users are bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::super::TokenError;
use super::super::super::testing::{
    Bench, cache_config, identity, mint_config, minted, outage, settle,
};
use super::{millis, seconds};
use crate::identity::{Identity, SessionId};

fn spawn(bench: &Bench, user: String) -> tokio::task::JoinHandle<Result<(), TokenError>> {
    let (cache, now) = (Arc::clone(&bench.cache), bench.clock.now());
    tokio::spawn(async move { cache.token(&identity(&user), now).await.map(drop) })
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_configured_mints_are_in_flight_and_the_others_follow_in_order() {
    let in_flight = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut mint = mint_config();
    mint.concurrency = 4;
    let bench = {
        let (most, order) = (Arc::clone(&most), Arc::clone(&order));
        Bench::configured(&cache_config(), &mint, move |_, identity, now| {
            most.fetch_max(
                in_flight.fetch_add(1, Ordering::SeqCst) + 1,
                Ordering::SeqCst,
            );
            order
                .lock()
                .unwrap()
                .push(identity.user.as_str().to_owned());
            let in_flight = Arc::clone(&in_flight);
            async move {
                tokio::time::sleep(millis(10)).await;
                in_flight.fetch_sub(1, Ordering::SeqCst);
                Ok(minted("token", 900, now))
            }
        })
    };
    let callers: Vec<_> = (0..40)
        .map(|number| spawn(&bench, format!("{number:02}")))
        .collect();
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 4);
    assert!(order.lock().unwrap().is_sorted());
}

#[tokio::test(start_paused = true)]
async fn who_gets_no_place_in_time_is_told_overloaded_and_the_mint_is_not_blamed() {
    let mut mint = mint_config();
    mint.concurrency = 1;
    let bench = Bench::configured(&cache_config(), &mint, |_, _, _| std::future::pending());
    let first = spawn(&bench, "first".into());
    settle().await;
    let others: Vec<_> = (0..20)
        .map(|number| spawn(&bench, format!("{number}")))
        .collect();
    tokio::time::sleep(seconds(4)).await;
    bench.advance(seconds(4)).await;
    assert!(matches!(first.await.unwrap(), Err(TokenError::Timeout)));
    for other in others {
        assert!(matches!(other.await.unwrap(), Err(TokenError::Overloaded)));
    }
    let next = spawn(&bench, "next".into());
    assert!(
        matches!(next.await.unwrap(), Err(TokenError::Timeout)),
        "it is asked still"
    );
}

#[tokio::test(start_paused = true)]
async fn a_queue_built_up_before_an_outage_does_not_hammer_the_mint() {
    let mut mint = mint_config();
    mint.concurrency = 2;
    let bench = Bench::configured(&cache_config(), &mint, |_, _, _| async {
        tokio::time::sleep(millis(10)).await;
        Err(outage())
    });
    let callers: Vec<_> = (0..500)
        .map(|number| spawn(&bench, format!("{number}")))
        .collect();
    for caller in callers {
        assert!(matches!(
            caller.await.unwrap(),
            Err(TokenError::Unavailable { .. })
        ));
    }
    assert!(bench.calls() <= 7, "{}", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn entries_are_bounded_and_the_sweep_empties_what_has_ended() {
    let mut cache = cache_config();
    cache.max_entries = 100;
    let bench = Bench::configured(&cache, &mint_config(), |_, _, now| async move {
        Ok(minted("token", 900, now))
    });
    for number in 0..1_000 {
        bench.ask(&format!("user-{number}")).await.unwrap();
        assert!(bench.cache.len() <= 100);
    }
    assert_eq!(bench.cache.len(), 100);
    bench.ask("user-999").await.unwrap();
    assert_eq!(bench.calls(), 1_000, "the newest are held");
    bench.cache.sweep(bench.clock.now());
    assert_eq!(bench.cache.len(), 100);
    bench.advance(seconds(900)).await;
    bench.cache.sweep(bench.clock.now());
    assert!(bench.cache.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_renewed_token_counts_as_new_when_there_is_no_room() {
    let mut cache = cache_config();
    cache.max_entries = 2;
    let bench = Bench::configured(&cache, &mint_config(), |_, identity, now| async move {
        let life = if identity.user.as_str() == "ada" {
            100
        } else {
            900
        };
        Ok(minted("token", life, now))
    });
    bench.ask("ada").await.unwrap();
    bench.ask("bob").await.unwrap();
    bench.advance(seconds(90)).await;
    bench.ask("ada").await.unwrap();
    settle().await;
    bench.ask("cleo").await.unwrap();
    let calls = bench.calls();
    bench.ask("ada").await.unwrap();
    assert_eq!(bench.calls(), calls, "bob is out");
}

#[tokio::test(start_paused = true)]
async fn a_cache_full_of_mints_under_way_is_overloaded_and_recovers() {
    let mut cache = cache_config();
    cache.max_entries = 2;
    let bench = Bench::configured(&cache, &mint_config(), |_, _, now| async move {
        tokio::time::sleep(millis(10)).await;
        Ok(minted("token", 900, now))
    });
    let callers = [spawn(&bench, "a".into()), spawn(&bench, "b".into())];
    settle().await;
    assert!(matches!(bench.ask("c").await, Err(TokenError::Overloaded)));
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    bench.ask("c").await.unwrap();
    assert_eq!(bench.cache.len(), 2);
}

fn chat(number: usize) -> Identity {
    let mut identity = identity("ada");
    identity.session_id = SessionId::parse(&format!("chat-{number}"));
    identity
}

#[tokio::test(start_paused = true)]
async fn with_user_limits_one_user_mints_10_times_in_10_s_and_holds_16_identities() {
    let mut cache = cache_config();
    cache.per_user_limits = true;
    let bench = Bench::configured(&cache, &mint_config(), |_, _, now| async move {
        Ok(minted("token", 900, now))
    });
    let mut busy = 0;
    for number in 0..30 {
        match bench.cache.token(&chat(number), bench.clock.now()).await {
            Ok(_) => {}
            Err(TokenError::UserBusy { retry_after }) => {
                busy += 1;
                assert!(retry_after <= seconds(10));
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((busy, bench.cache.len()), (20, 10));
    bench.ask("eve").await.unwrap();
    for number in 100..110 {
        bench.advance(seconds(10)).await;
        bench
            .cache
            .token(&chat(number), bench.clock.now())
            .await
            .unwrap();
    }
    assert_eq!(bench.cache.len(), 16 + 1, "the oldest are out");
    let calls = bench.calls();
    bench
        .cache
        .token(&chat(9), bench.clock.now())
        .await
        .unwrap();
    assert_eq!(bench.calls(), calls, "the newer are held");
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_minted_anew_and_others_keep_theirs() {
    let bench = Bench::new(|call, _, now| async move {
        if call == 3 {
            tokio::time::sleep(millis(10)).await;
        }
        Ok(minted(&format!("token-{call}"), 900, now))
    });
    let mut named = identity("ada");
    named.session_id = SessionId::parse("gw_1");
    bench.ask("ada").await.unwrap();
    bench.ask("eve").await.unwrap();
    bench.cache.token(&named, bench.clock.now()).await.unwrap();
    assert_eq!(bench.cache.forget_session("gw_2"), 0);
    assert_eq!(bench.cache.forget_session("gw_1"), 1);
    assert_eq!(bench.cache.len(), 2);
    assert_eq!(bench.cache.forget_user(&identity("ada").user), 1);
    assert_eq!(bench.cache.len(), 1);
    assert_eq!(bench.ask("eve").await.unwrap(), "token-1");
    // Who waits for a mint gets it, and it is not kept.
    let waiting = spawn(&bench, "ada".into());
    settle().await;
    assert_eq!(bench.cache.forget_user(&identity("ada").user), 0);
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!(bench.ask("ada").await.unwrap(), "token-4");
}
