//! What an emulator is made of: credentials, keys, tiers, and how its answers look.
//!
//! The default accepts one fixture key, limits nobody and listens on a free loopback port.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::keys::{SigningKey, TrustedKey};

/// The API key that the emulator accepts unless told otherwise.
pub const FIXTURE_KEY: &str = "behest_sk_live_0123456789abcdef0123456789abcdef";
/// The tenant it plays unless told otherwise.
pub const FIXTURE_TENANT: &str = "tnt_emulator";
/// The project it plays unless told otherwise.
pub const FIXTURE_PROJECT: &str = "prj_emulator";

/// Everything that can be chosen about an emulator.
#[derive(Clone)]
pub struct EmulatorConfig {
    /// Where to listen; port 0 (the default, on 127.0.0.1) takes a free one.
    pub listen: SocketAddr,
    /// The API keys that may mint; default [`FIXTURE_KEY`].
    pub api_keys: Vec<String>,
    /// The tenant, `tid` in tokens; default [`FIXTURE_TENANT`].
    pub tenant_id: String,
    /// The project, `pid` in tokens; default [`FIXTURE_PROJECT`].
    pub project_id: String,
    /// The key that signs tokens; by default one that this process makes for itself.
    pub signing_key: Option<SigningKey>,
    /// Public keys believed besides, found by `kid`: for gateways that sign locally.
    pub trusted_keys: Vec<TrustedKey>,
    /// User ids that are refused with 400, compared without case and surrounding space.
    pub reserved_users: Vec<String>,
    /// Which lives a mint may ask for, and which it gets.
    pub ttl: TtlRule,
    /// Limits by tier; `1`, `2`, `3` and `free`, `pro`, `max` name the same three. A tier that
    /// is not listed has none, and a token without a tier is `free`.
    pub tiers: BTreeMap<String, TierLimits>,
    /// The shape of a mint's answer.
    pub mint_shape: MintShape,
    /// The pause between two SSE frames; default 30 ms.
    pub frame_delay: Duration,
    /// Whether `/__emulator/…` is served; default true.
    pub control: bool,
    /// How many requests the record keeps before it forgets the oldest; default 10,000.
    pub keep_requests: usize,
    /// Certificate and key to serve HTTPS with; default none, plain HTTP.
    pub tls: Option<TlsPem>,
}

impl Default for EmulatorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            api_keys: vec![FIXTURE_KEY.to_owned()],
            tenant_id: FIXTURE_TENANT.to_owned(),
            project_id: FIXTURE_PROJECT.to_owned(),
            signing_key: None,
            trusted_keys: Vec::new(),
            reserved_users: ["admin", "system", "dashboard-service"]
                .map(str::to_owned)
                .to_vec(),
            ttl: TtlRule::default(),
            tiers: BTreeMap::new(),
            mint_shape: MintShape::default(),
            frame_delay: Duration::from_millis(30),
            control: true,
            keep_requests: 10_000,
            tls: None,
        }
    }
}

impl fmt::Debug for EmulatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmulatorConfig")
            .field("listen", &self.listen)
            .field("tenant_id", &self.tenant_id)
            .field("project_id", &self.project_id)
            .field("tiers", &self.tiers)
            .field("mint_shape", &self.mint_shape)
            .finish_non_exhaustive()
    }
}

/// Token lives in seconds.
#[derive(Clone, Copy, Debug)]
pub struct TtlRule {
    /// Under this a mint is refused; default 60.
    pub min: u64,
    /// Over this a mint is refused; default 86,400.
    pub max: u64,
    /// Given where none is asked for; default 900.
    pub default: u64,
    /// Longer lives are cut to this, silently: the answer says so. Default none.
    pub cap: Option<u64>,
}

impl Default for TtlRule {
    fn default() -> Self {
        Self {
            min: 60,
            max: 86_400,
            default: 900,
            cap: None,
        }
    }
}

/// What one user of a tier may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierLimits {
    /// Data-plane requests in a minute, then 429 `rate_limited`; none means no limit.
    pub requests_per_minute: Option<u64>,
    /// Model tokens in all, then 402 `quota_exceeded`; none means no limit.
    pub tokens: Option<u64>,
}

/// The three shapes in which Behest's pages show a mint's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MintShape {
    /// `{"jwt", "project_id", "ttl", "session_id"}`.
    #[default]
    Jwt,
    /// `{"access_token", "token_type", "project_id", "expires_in"}`.
    AccessToken,
    /// `{"token", "ttl", "sessionId", "expiresAt"}`, the last in milliseconds since 1970.
    Sdk,
}

/// A server certificate and its key, both PEM.
#[derive(Clone)]
pub struct TlsPem {
    /// The chain, leaf first.
    pub certificates: String,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: String,
}

/// The one name of a tier: `1` is `free`, `2` is `pro`, `3` is `max`.
pub(super) fn tier_name(tier: &str) -> &str {
    match tier {
        "1" => "free",
        "2" => "pro",
        "3" => "max",
        other => other,
    }
}
