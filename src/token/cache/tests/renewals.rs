//! After an upstream 401.

use std::sync::Arc;

use super::super::super::testing::{Bench, identity, minted, outage, settle};
use super::super::super::{AccessToken, TokenError};
use super::{millis, seconds};

fn numbered() -> Bench {
    Bench::new(|call, _, now| async move {
        tokio::time::sleep(millis(10)).await;
        Ok(minted(&format!("token-{call}"), 900, now))
    })
}

async fn token(bench: &Bench) -> Arc<AccessToken> {
    bench
        .cache
        .token(&identity("ada"), bench.clock.now())
        .await
        .unwrap()
}

async fn renew(bench: &Bench, rejected: &Arc<AccessToken>) -> Result<Arc<AccessToken>, TokenError> {
    bench
        .cache
        .renew(&identity("ada"), rejected, bench.clock.now())
        .await
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_replaced_once_for_all_who_had_it() {
    let bench = numbered();
    let rejected = token(&bench).await;
    let (one, two) = tokio::join!(renew(&bench, &rejected), renew(&bench, &rejected));
    assert_eq!(one.unwrap().authorization, "token-1");
    assert_eq!(two.unwrap().authorization, "token-1");
    assert_eq!(
        renew(&bench, &rejected).await.unwrap().authorization,
        "token-1",
        "a late one too"
    );
    assert_eq!(token(&bench).await.authorization, "token-1");
    assert_eq!(bench.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_given_the_rejected_token_while_it_is_replaced() {
    let bench = numbered();
    let rejected = token(&bench).await;
    let (_, meanwhile) = tokio::join!(renew(&bench, &rejected), token(&bench));
    assert_eq!(meanwhile.authorization, "token-1");
}

#[tokio::test(start_paused = true)]
async fn within_5_s_a_renewed_token_that_is_rejected_stays_in_use() {
    let bench = numbered();
    let renewed = renew(&bench, &token(&bench).await).await.unwrap();
    bench.advance(millis(4_999)).await;
    assert!(matches!(
        renew(&bench, &renewed).await,
        Err(TokenError::RenewedRecently)
    ));
    let background = bench
        .cache
        .renew_in_background(&identity("ada"), &renewed, bench.clock.now());
    assert!(matches!(background, Err(TokenError::RenewedRecently)));
    assert_eq!(token(&bench).await.authorization, "token-1");
    bench.advance(millis(1)).await;
    assert_eq!(
        renew(&bench, &renewed).await.unwrap().authorization,
        "token-2"
    );
}

#[tokio::test(start_paused = true)]
async fn in_the_background_the_renewal_goes_on_without_its_caller() {
    let bench = numbered();
    let rejected = token(&bench).await;
    let now = bench.clock.now();
    bench
        .cache
        .renew_in_background(&identity("ada"), &rejected, now)
        .unwrap();
    bench
        .cache
        .renew_in_background(&identity("ada"), &rejected, now)
        .unwrap();
    assert_eq!(token(&bench).await.authorization, "token-1");
    assert_eq!(bench.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_joins_the_refresh_that_is_under_way() {
    let bench = numbered();
    let due = token(&bench).await;
    bench.advance(seconds(850)).await;
    assert_eq!(token(&bench).await.authorization, "token-0");
    assert_eq!(renew(&bench, &due).await.unwrap().authorization, "token-1");
    assert_eq!(bench.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_the_cache_no_longer_holds_is_minted_for() {
    let bench = numbered();
    let rejected = token(&bench).await;
    bench.advance(seconds(900)).await;
    bench.cache.sweep(bench.clock.now());
    assert!(bench.cache.is_empty());
    assert_eq!(
        renew(&bench, &rejected).await.unwrap().authorization,
        "token-1"
    );
}

#[tokio::test(start_paused = true)]
async fn while_the_mint_fails_a_rejected_token_is_kept_after_the_failure_is_known() {
    let bench = Bench::new(|call, _, now| async move {
        if call == 0 {
            Ok(minted("token-0", 900, now))
        } else {
            Err(outage())
        }
    });
    let due = token(&bench).await;
    bench.advance(seconds(850)).await;
    token(&bench).await;
    settle().await;
    assert!(matches!(
        renew(&bench, &due).await,
        Err(TokenError::Unavailable { .. })
    ));
    assert_eq!(bench.calls(), 2, "its failure is remembered");
    assert_eq!(token(&bench).await.authorization, "token-0");
}
