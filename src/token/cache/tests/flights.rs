//! One mint for everyone who needs it, whatever becomes of them or of it.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::super::super::TokenError;
use super::super::super::testing::{Bench, identity, minted, refusal, settle};
use super::millis;
use crate::identity::{Identity, SessionId, Tier};

/// A mint that waits until `gate` has a permit for it.
fn gated(gate: &Arc<Semaphore>) -> Bench {
    let gate = Arc::clone(gate);
    Bench::new(move |call, _, now| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(minted(&format!("token-{call}"), 900, now))
        }
    })
}

fn spawn(bench: &Bench, identity: Identity) -> tokio::task::JoinHandle<Result<String, TokenError>> {
    let (cache, now) = (Arc::clone(&bench.cache), bench.clock.now());
    tokio::spawn(async move {
        let token = cache.token(&identity, now).await?;
        Ok(token.authorization.to_str().unwrap().to_owned())
    })
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_at_once_share_one_mint() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = gated(&gate);
    let callers: Vec<_> = (0..1_000).map(|_| spawn(&bench, identity("ada"))).collect();
    settle().await;
    gate.add_permits(1_000);
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "token-0");
    }
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_on_several_threads_share_one_mint() {
    let bench = Bench::new(|_, identity, now| async move {
        tokio::time::sleep(millis(20)).await;
        Ok(minted(identity.user.as_str(), 900, now))
    });
    let callers: Vec<_> = (0..1_000)
        .map(|number| {
            let user = format!("user-{}", number % 10);
            (user.clone(), spawn(&bench, identity(&user)))
        })
        .collect();
    for (user, caller) in callers {
        assert_eq!(caller.await.unwrap().unwrap(), user, "each its own token");
    }
    assert_eq!(bench.calls(), 10);
}

#[tokio::test(start_paused = true)]
async fn the_second_caller_is_served_from_memory() {
    let bench =
        Bench::new(|call, _, now| async move { Ok(minted(&format!("token-{call}"), 900, now)) });
    assert_eq!(bench.ask("ada").await.unwrap(), "token-0");
    assert_eq!(bench.ask("ada").await.unwrap(), "token-0");
    assert_eq!(bench.ask("eve").await.unwrap(), "token-1");
    assert_eq!((bench.calls(), bench.cache.len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn another_tier_or_session_is_another_token() {
    let bench =
        Bench::new(|call, _, now| async move { Ok(minted(&format!("token-{call}"), 900, now)) });
    let mut pro = identity("ada");
    pro.tier = Some(Tier::Text("pro".into()));
    let mut chat = pro.clone();
    chat.session_id = SessionId::parse("chat");
    for (call, identity) in [identity("ada"), pro, chat].into_iter().enumerate() {
        let token = spawn(&bench, identity).await.unwrap().unwrap();
        assert_eq!(token, format!("token-{call}"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_caller_hanging_up_ends_the_mint_for_nobody() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = gated(&gate);
    let leader = spawn(&bench, identity("ada"));
    settle().await;
    let follower = spawn(&bench, identity("ada"));
    settle().await;
    leader.abort();
    settle().await;
    gate.add_permits(1);
    assert_eq!(follower.await.unwrap().unwrap(), "token-0");
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mint_that_everyone_left_is_still_cached() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = gated(&gate);
    let only = spawn(&bench, identity("ada"));
    settle().await;
    only.abort();
    gate.add_permits(1);
    settle().await;
    assert_eq!(bench.ask("ada").await.unwrap(), "token-0");
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shared_by_all_who_wait() {
    let bench = Bench::new(|_, _, _| async {
        tokio::time::sleep(millis(10)).await;
        Err(refusal(401))
    });
    let callers: Vec<_> = (0..100).map(|_| spawn(&bench, identity("ada"))).collect();
    for caller in callers {
        let error = caller.await.unwrap().unwrap_err();
        assert!(matches!(error, TokenError::Refused { status } if status == 401));
    }
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_mint_is_an_internal_error_and_leaves_no_dead_flight() {
    let bench = Bench::new(|call, _, now| async move {
        tokio::time::sleep(millis(10)).await;
        assert!(call > 0, "the first mint panics: this is part of a test");
        Ok(minted("token", 900, now))
    });
    let callers: Vec<_> = (0..10).map(|_| spawn(&bench, identity("ada"))).collect();
    for caller in callers {
        assert!(matches!(caller.await.unwrap(), Err(TokenError::Internal)));
    }
    assert_eq!(bench.calls(), 1);
    bench.advance(millis(500)).await;
    assert_eq!(bench.ask("ada").await.unwrap(), "token");
}

#[test]
fn callers_on_another_worker_survive_the_end_of_the_worker_that_minted() {
    let current_thread = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (first, second) = (current_thread(), current_thread());
    let bench = Bench::new(|call, _, now| async move {
        if call == 0 {
            std::future::pending::<()>().await;
        }
        Ok(minted(&format!("token-{call}"), 900, now))
    });
    let ada = identity("ada");
    let mut follower = Box::pin(bench.cache.token(&ada, bench.clock.now()));
    first.block_on(async {
        spawn(&bench, ada.clone());
        settle().await;
        tokio::select! {
            biased;
            _ = &mut follower => panic!("it has to wait"),
            () = settle() => {}
        }
    });
    assert_eq!(bench.calls(), 1, "it waits for the leader's mint");
    drop(first);
    let token = second.block_on(follower).unwrap();
    assert_eq!(token.authorization, "token-1");
}
