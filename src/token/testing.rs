//! What this folder's unit tests share: a mint that answers as told, and unsigned tokens.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderValue, StatusCode};

use super::{CacheConfig, MintConfig, Minted, Outage, TokenCache, TokenError, TokenMinter};
use crate::clock::{Clock, Now};
use crate::generation::Process;
use crate::identity::{Identity, UserId};
use crate::secret::Secret;

type Answer = Pin<Box<dyn Future<Output = Result<Minted, TokenError>> + Send>>;

/// A mint that counts its calls and answers each as told.
pub struct Script {
    calls: Arc<AtomicUsize>,
    answer: Box<dyn Fn(usize, Identity, Now) -> Answer + Send + Sync>,
}

impl Script {
    pub(super) async fn mint(&self, identity: &Identity, now: Now) -> Result<Minted, TokenError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        (self.answer)(call, identity.clone(), now).await
    }
}

/// A cache over a scripted mint, its clock, and the number of calls made.
pub(super) struct Bench {
    pub(super) cache: Arc<TokenCache>,
    pub(super) clock: Clock,
    calls: Arc<AtomicUsize>,
}

impl Bench {
    /// `answer` is given the number of the call (from 0), the identity and the time.
    pub(super) fn new<F>(answer: impl Fn(usize, Identity, Now) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Minted, TokenError>> + Send + 'static,
    {
        Self::configured(&cache_config(), &mint_config(), answer)
    }

    pub(super) fn configured<F>(
        cache: &CacheConfig,
        mint: &MintConfig,
        answer: impl Fn(usize, Identity, Now) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Minted, TokenError>> + Send + 'static,
    {
        let clock = Clock::manual(1_700_000_000);
        Self::at(clock, cache, mint, answer)
    }

    pub(super) fn at<F>(
        clock: Clock,
        cache: &CacheConfig,
        mint: &MintConfig,
        answer: impl Fn(usize, Identity, Now) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Minted, TokenError>> + Send + 'static,
    {
        let calls = Arc::new(AtomicUsize::new(0));
        let minter = TokenMinter::Scripted(Script {
            calls: Arc::clone(&calls),
            answer: Box::new(move |call, identity, now| Box::pin(answer(call, identity, now))),
        });
        let metrics = Process::new(clock.clone()).unwrap().metrics;
        let cache = TokenCache::new(cache, mint, minter, clock.clone(), metrics);
        Self {
            cache,
            clock,
            calls,
        }
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// The token's text for `user`, now.
    pub(super) async fn ask(&self, user: &str) -> Result<String, TokenError> {
        let token = self.cache.token(&identity(user), self.clock.now()).await?;
        Ok(token.authorization.to_str().unwrap().to_owned())
    }

    /// Moves the clock, and lets every task run that has something to do.
    pub(super) async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        settle().await;
    }
}

/// Lets every task run that has something to do.
pub(super) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

pub(super) fn identity(user: &str) -> Identity {
    Identity {
        user: UserId::parse(user).unwrap(),
        tier: None,
        session_id: None,
    }
}

/// A token named `name` that is good for `life` seconds.
pub(super) fn minted(name: &str, life: u64, now: Now) -> Minted {
    let life = Duration::from_secs(life);
    Minted {
        authorization: HeaderValue::from_str(name).unwrap(),
        session_id: None,
        life,
        ends: now.unix + life,
    }
}

pub(super) fn outage() -> TokenError {
    TokenError::Unavailable {
        retry_after: None,
        cause: Outage::Status(StatusCode::SERVICE_UNAVAILABLE),
    }
}

pub(super) fn refusal(status: u16) -> TokenError {
    TokenError::Refused {
        status: StatusCode::from_u16(status).unwrap(),
    }
}

/// A JWT with `claims` and a signature that means nothing.
pub(super) fn jwt(claims: &serde_json::Value) -> String {
    let part = |json: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let header = serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "k"});
    format!("{}.{}.c2lnbmF0dXJl", part(&header), part(claims))
}

pub(super) fn cache_config() -> CacheConfig {
    CacheConfig {
        max_entries: 100_000,
        per_user_limits: false,
    }
}

pub(super) fn mint_config() -> MintConfig {
    MintConfig {
        key: Secret::new("behest_sk_live_0123"),
        kid: None,
        tenant_id: None,
        project_id: None,
        pem: None,
        path: "/v1/auth/mint".to_owned(),
        ttl: Duration::from_mins(15),
        timeout: Duration::from_secs(5),
        concurrency: 256,
        default_tier: None,
        tier_map: std::collections::BTreeMap::new(),
    }
}
