//! Asks the app whose session a cookie is.
//!
//! Guarantees: the app gets the session's own cookies, as they came, and nothing else of a request;
//! nobody is signed in but by a 200 with a user in it; one question at a time for a cookie, however
//! many wait for its answer; a cookie that the app's library did not sign is never asked about where
//! that can be checked; nothing that the app sets or redirects to is followed or passed on.

mod answer;
mod app;
mod asking;
mod failure;
mod question;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Uri;
use serde_json::Number;

use self::app::App;
use self::question::Question;
use super::claims::Expiry;
use super::cookie::{self, Chunks};
use super::error::{Carrier, InvalidReason, Refusal};
use super::proof::Proof;
use super::provider::Opened;
use super::{ProofConfig, ProviderKind, Visit};
use crate::client::{OriginError, Outbound};
use crate::telemetry::metrics::Metrics;

/// How the app is asked.
#[derive(Clone, Debug)]
pub struct LookupConfig {
    /// Where: `http(s)://host[:port]/path`, with a query where there is one. `None` only where a
    /// cookie is to be proved and not asked about, as `inspect` may.
    pub url: Option<Uri>,
    /// How long an answer with a user is kept; default 10 s.
    pub cache: Duration,
    /// How long an answer without one is kept; default 1 s.
    pub negative_cache: Duration,
    /// For an answer; default 2 s.
    pub timeout: Duration,
    /// Path of the moment at which the session ends; empty: it does not say.
    pub expires_claim: Vec<String>,
    /// Path of a claim that must be true; empty: none.
    pub active_claim: Vec<String>,
    /// How a cookie is proved before the app is asked; `None`: it is asked at once.
    pub proof: Option<ProofConfig>,
}

impl LookupConfig {
    /// How a `kind` of session is looked up at `url`, unless the configuration says otherwise.
    #[must_use]
    pub fn new(kind: ProviderKind, url: Option<Uri>) -> Self {
        let (expires, active): (&[&str], &[&str]) = match kind {
            ProviderKind::AuthjsDatabase => (&["expires"], &[]),
            ProviderKind::BetterAuth => (&["session", "expiresAt"], &[]),
            ProviderKind::Kratos => (&["expires_at"], &["active"]),
            ProviderKind::AuthjsV5
            | ProviderKind::NextauthV4
            | ProviderKind::Auth0V4
            | ProviderKind::BetterAuthCache
            | ProviderKind::IronSession
            | ProviderKind::Clerk
            | ProviderKind::Firebase
            | ProviderKind::Auth0Token
            | ProviderKind::Supabase
            | ProviderKind::Signed
            | ProviderKind::Bearer
            | ProviderKind::ExpressSession
            | ProviderKind::Lookup => (&[], &[]),
        };
        let path = |keys: &[&str]| keys.iter().map(ToString::to_string).collect();
        Self {
            url,
            cache: Duration::from_secs(10),
            negative_cache: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            expires_claim: path(expires),
            active_claim: path(active),
            proof: None,
        }
    }
}

/// How the browser reaches the app: what the app is told, since its cookies' names and its own
/// addresses depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Front<'r> {
    /// Whether by https.
    pub is_https: bool,
    /// Host, and port where it is not the scheme's own. Empty: nobody knows.
    pub host: &'r str,
}

impl<'r> Front<'r> {
    /// That of an `origin`: `https://host[:port]`.
    #[must_use]
    pub fn of_origin(origin: &'r str) -> Option<Self> {
        let (scheme, host) = origin.split_once("://")?;
        Some(Self {
            is_https: scheme == "https",
            host,
        })
    }
}

/// Why it cannot be.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupBuildError {
    #[error("url: {0}")]
    Origin(#[from] OriginError),
    #[error("the system has no random numbers")]
    Random,
}

/// A provider that asks.
pub(super) struct Lookup {
    chunks: Chunks,
    proof: Option<Proof>,
    app: Option<Arc<App>>,
}

/// Whose lookups are counted, and where.
struct Count {
    provider: &'static str,
    metrics: OnceLock<Arc<Metrics>>,
}

impl Lookup {
    /// A provider of `kind`; its user id is at `user_claim`, without which an answer names nobody.
    pub(super) fn new(
        kind: ProviderKind,
        config: &LookupConfig,
        user_claim: &[String],
        outbound: &Outbound,
    ) -> Result<Self, LookupBuildError> {
        let app = match &config.url {
            Some(url) => Some(App::new(kind, config, url, user_claim, outbound)?),
            None => None,
        };
        Ok(Self {
            chunks: kind.chunks(),
            proof: config.proof.as_ref().map(Proof::new),
            app: app.map(Arc::new),
        })
    }

    /// Counts lookups in `metrics` from now on.
    pub(super) fn count_in(&self, metrics: &Arc<Metrics>) {
        if let Some(app) = &self.app {
            app.count.count_in(metrics);
        }
    }

    /// Closes connections to the app that can no longer be used.
    pub(super) fn sweep_connections(&self) {
        if let Some(app) = &self.app {
            app.sweep_connections();
        }
    }

    /// What the app says of the cookie in `carrier`, whose decoded value is `value`.
    pub(super) async fn open(
        &self,
        value: &[u8],
        carrier: &Carrier,
        visit: &Visit<'_>,
    ) -> Result<Opened, Refusal> {
        if let Some(proof) = &self.proof {
            proof.check(value)?;
        }
        let app = self.app.as_ref().ok_or(Refusal::NeedsLookup)?;
        let Carrier::Cookie(name) = carrier else {
            return Err(InvalidReason::Malformed.into());
        };
        let pairs = cookie::pairs_of(visit.headers, name, self.chunks)?;
        let question = Question::new(&pairs, name, visit.front);
        let known = app.ask(&question, visit.now).await?;
        Ok(Opened {
            payload: known.payload,
            expiry: Expiry::Judged(known.ends.and_then(whole_seconds)),
        })
    }
}

impl Count {
    fn new(provider: &'static str) -> Self {
        let metrics = OnceLock::new();
        Self { provider, metrics }
    }

    /// The first metrics stay.
    fn count_in(&self, metrics: &Arc<Metrics>) {
        let _ = self.metrics.set(Arc::clone(metrics));
    }

    fn metrics(&self) -> Option<&Metrics> {
        self.metrics.get().map(AsRef::as_ref)
    }
}

/// Whole seconds; none beyond what a date can be.
fn whole_seconds(seconds: f64) -> Option<Number> {
    const LATEST: f64 = 253_402_300_800.0;
    let in_range = (0.0..LATEST).contains(&seconds);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the range of dates"
    )]
    in_range.then(|| Number::from(seconds.floor() as u64))
}

#[cfg(test)]
mod tests;
