//! What the gateway is configured with: the sections that belong to no other module.
//!
//! Every value here has been checked; the defaults stand in `config/reference.toml`, which a test
//! compares with the code.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::url::UpstreamUrl;
use crate::admission::TokenPath;
use crate::admission::cross_origin::CrossOriginConfig;
use crate::admission::limits::LimitsConfig;
use crate::admission::routes::Route;
use crate::admission::trusted_proxies::AddressBlock;
use crate::app::AppConfig;
use crate::budget::{BudgetConfig, StoreConfig};
use crate::metering::MeteringConfig;
use crate::secret::Secret;
use crate::session::SessionConfig;
use crate::token::{CacheConfig, MintConfig};
use crate::usage::UsageConfig;

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[admin]`
    pub admin: AdminConfig,
    /// `[limits]`
    pub limits: LimitsConfig,
    /// `[cross_origin]`
    pub cross_origin: CrossOriginConfig,
    /// `[routes]`
    pub routes: RoutesConfig,
    /// `[upstream]`
    pub upstream: UpstreamConfig,
    /// `[app]`; `None`: what is outside `/v1` is nobody's.
    pub app: Option<AppConfig>,
    /// `[compat]`
    pub compat: CompatConfig,
    /// `[session]` and `[session_id]`
    pub session: SessionConfig,
    /// `[mint]`
    pub mint: MintConfig,
    /// `[cache]`
    pub cache: CacheConfig,
    /// `[telemetry]`
    pub telemetry: TelemetryConfig,
    /// `[metering]`
    pub metering: MeteringConfig,
    /// `[budgets]`
    pub budgets: BudgetConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[usage]`
    pub usage: UsageConfig,
}

/// The public listener (`[server]`).
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Default `0.0.0.0:8080`. Only a restart changes it.
    pub listen: SocketAddr,
    /// Worker threads; default: the cores given to the process. Only a restart changes it.
    pub workers: usize,
    /// Connections open at once; default 20 000.
    pub max_connections: usize,
    /// For a request's head, from its first byte; default 10 s.
    pub head_timeout: Duration,
    /// A connection without a request in flight; default 60 s.
    pub idle_timeout: Duration,
    /// A client that stops reading while data waits for it; default 30 s.
    pub write_stall_timeout: Duration,
    /// Certificate and key; `None` serves plaintext.
    pub tls: Option<TlsFiles>,
    /// Between two comments in an event stream while Behest is silent; default 15 s; `None`: none.
    pub heartbeat: Option<Duration>,
    /// From SIGTERM until no more connections are accepted; default 0 s.
    pub drain_delay: Duration,
    /// For the streams that are live then; default 30 s.
    pub drain_limit: Duration,
    /// HTTP/2 streams open at once on one connection; default 100.
    pub h2_max_streams: u32,
    /// Proxies in front of the gateway, whose `X-Forwarded-*` counts; default none.
    pub trusted_proxies: Vec<AddressBlock>,
}

/// The files that TLS is served from (`[server.tls]`). Both could be read when the configuration was
/// loaded; their content is not checked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM certificate chain, the server's own first.
    pub cert_file: PathBuf,
    /// PEM private key.
    pub key_file: PathBuf,
}

/// The listener of health and metrics (`[admin]`).
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Default `127.0.0.1:9090`. Only a restart changes it.
    pub listen: SocketAddr,
    /// What an operator proves to be one with; `None`: there is nothing but health and metrics.
    pub token: Option<Secret>,
}

/// What the API offers and passes on beyond the built-in lists (`[routes]`).
#[derive(Clone, Debug)]
pub struct RoutesConfig {
    /// Offered beside [`crate::admission::routes::DEFAULT_ROUTES`].
    pub extra: Vec<Route>,
    /// Request headers that pass to Behest beside the built-in ones; none that the gateway owns.
    pub request_headers: Vec<HeaderName>,
    /// Answer headers that pass to the page beside the built-in ones; none that the gateway owns.
    pub response_headers: Vec<HeaderName>,
}

/// What pages from before the gateway still ask for (`[compat]`).
#[derive(Clone, Debug)]
pub struct CompatConfig {
    /// Where they fetched a token; `None`: nowhere.
    pub token_path: Option<TokenPath>,
}

/// Behest, and the way there (`[upstream]`).
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// The project's data plane.
    pub base_url: UpstreamUrl,
    /// How it, and everything else outside, is called.
    pub outbound: OutboundConfig,
    /// For a TCP and TLS connection; default 5 s.
    pub connect_timeout: Duration,
    /// From the request's last byte to the answer's head; default 600 s.
    pub first_byte_timeout: Duration,
    /// Between two bytes of an answer; default 300 s.
    pub idle_timeout: Duration,
    /// Request bodies up to this many bytes are held, so that they can be sent again; default 256 KiB.
    pub hold_body: usize,
    /// How long an idle connection is kept; default 15 s.
    pub pool_idle_timeout: Duration,
    /// How long a connection is used at all; default 5 min.
    pub pool_max_age: Duration,
    /// Allow `http://` to a host that is not loopback; default false.
    pub allow_plaintext: bool,
}

/// How everything outside is called: Behest, issuers of keys, and the app (part of `[upstream]`).
#[derive(Clone, Debug, Default)]
pub struct OutboundConfig {
    /// PEM certificates that are trusted beside the built-in roots.
    pub ca_file: Option<PathBuf>,
    /// The same from `SSL_CERT_FILE`, the name that other programs use.
    pub ssl_cert_file: Option<PathBuf>,
    /// `HTTPS_PROXY`, as it stands; it may hold a password.
    pub proxy: Option<Secret>,
    /// `NO_PROXY`, as it stands.
    pub no_proxy: Option<String>,
}

/// What is logged (`[telemetry]`).
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// One line for each request; default true.
    pub access_log: bool,
    /// Default JSON. The access log is JSON in either case.
    pub log_format: LogFormat,
    /// Lines a second of requests whose user is not known, for each code word; default 10, and a burst
    /// of ten times that. The rest is counted.
    pub refusals_per_second: u32,
    /// Key of the user-id hash in logs; default: derived from the Behest key.
    pub user_hash_key: Option<Secret>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For a person's eyes.
    Text,
}
