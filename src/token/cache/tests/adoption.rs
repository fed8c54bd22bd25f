//! A new configuration takes the old one's tokens over.

use super::super::super::testing::{
    Bench, cache_config, identity, mint_config, minted, outage, settle,
};
use super::super::super::{CacheConfig, MintConfig, TokenError};
use super::seconds;
use crate::identity::{SessionId, Tier};
use crate::secret::Secret;

/// A bench at the time of `old`, whose mint must not be asked.
fn successor(old: &Bench, cache: &CacheConfig) -> Bench {
    let bench = Bench::at(old.clock.clone(), cache, &mint_config(), |_, _, _| async {
        Err(outage())
    });
    bench.cache.adopt(&old.cache);
    bench
}

#[tokio::test(start_paused = true)]
async fn usable_tokens_are_taken_over_and_nothing_else() {
    let old = Bench::new(|_, identity, now| async move {
        match identity.user.as_str() {
            "down" => Err(outage()),
            "brief" => Ok(minted("brief", 10, now)),
            "slow" => std::future::pending().await,
            name => Ok(minted(name, 900, now)),
        }
    });
    old.ask("ada").await.unwrap();
    old.ask("brief").await.unwrap();
    old.ask("down").await.unwrap_err();
    let cache = std::sync::Arc::clone(&old.cache);
    let now = old.clock.now();
    tokio::spawn(async move { cache.token(&identity("slow"), now).await.map(drop) });
    settle().await;
    old.advance(seconds(10)).await;
    let new = successor(&old, &cache_config());
    assert_eq!(new.cache.len(), 1);
    assert_eq!(new.ask("ada").await.unwrap(), "ada");
    assert_eq!(new.calls(), 0);
    for user in ["brief", "down", "slow"] {
        assert!(new.ask(user).await.is_err(), "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_smaller_cache_keeps_the_newest_tokens() {
    let old =
        Bench::new(|_, identity, now| async move { Ok(minted(identity.user.as_str(), 900, now)) });
    for number in 0..10 {
        old.ask(&format!("user-{number}")).await.unwrap();
    }
    let mut cache = cache_config();
    cache.max_entries = 3;
    let new = successor(&old, &cache);
    assert_eq!(new.cache.len(), 3);
    for number in 7..10 {
        assert!(new.ask(&format!("user-{number}")).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_and_what_users_minted_are_remembered() {
    let mut cache = cache_config();
    cache.per_user_limits = true;
    let old = Bench::configured(&cache, &mint_config(), |_, _, now| async move {
        Ok(minted("token", 900, now))
    });
    let mut chat = identity("ada");
    for number in 0..9 {
        chat.session_id = SessionId::parse(&format!("chat-{number}"));
        old.cache.token(&chat, old.clock.now()).await.unwrap();
    }
    let now = old.clock.now();
    let token = old.cache.token(&chat, now).await.unwrap();
    let renewed = old.cache.renew(&chat, &token, now).await.unwrap();
    let new = successor(&old, &cache);
    let again = new.cache.renew(&chat, &renewed, now).await;
    assert!(matches!(again, Err(TokenError::RenewedRecently)));
    assert!(matches!(
        new.ask("ada").await,
        Err(TokenError::UserBusy { .. })
    ));
}

#[test]
fn tokens_stay_good_unless_the_key_the_names_or_the_tiers_change() {
    let same = |change: fn(&mut MintConfig)| {
        let mut config = mint_config();
        change(&mut config);
        config.issues_same_tokens(&mint_config())
    };
    assert!(same(|config| config.ttl = seconds(60)));
    assert!(same(|config| config.path = "/auth/v1/auth/mint".into()));
    assert!(!same(|config| config.key = Secret::new("behest_sk_live_9")));
    assert!(!same(|config| config.pem = Some(Secret::new("pem"))));
    assert!(!same(|config| config.kid = Some("kid".into())));
    assert!(!same(|config| config.tenant_id = Some("tenant".into())));
    assert!(!same(|config| config.project_id = Some("project".into())));
    assert!(!same(
        |config| config.default_tier = Some(Tier::Number(1.into()))
    ));
    assert!(!same(|config| {
        config
            .tier_map
            .insert("free".into(), Tier::Number(1.into()));
    }));
}
