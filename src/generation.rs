//! One configuration made ready to serve, and what outlives it.
//!
//! A [`Generation`] is immutable and is replaced whole. Live streams keep the one they began with.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::admission::cors::Cors;
use crate::admission::cross_origin::CrossOrigin;
use crate::admission::limits::{InFlight, Limits};
use crate::admission::routes::RouteTable;
use crate::admission::trusted_proxies::TrustedProxies;
use crate::admission::{APP_LABEL, Admission};
use crate::app::{App, AppConfig};
use crate::charge::{Accounting, AccountingError, ChargeTerms, Charger, privacy};
use crate::client::{Client, ClientConfig, OriginError, Outbound};
use crate::clock::Clock;
use crate::config::{Config, OutboundConfig, UpstreamConfig};
use crate::error::{Code, Reason};
use crate::forward::Rewrite;
use crate::forward::body::SilenceLimits;
use crate::forward::headers::HeaderPolicy;
use crate::forward::pace::Pace;
use crate::forward::upstream::Upstream;
use crate::gateway::{Fronts, Gateway};
use crate::identity::UserHash;
use crate::revocation::Revocations;
use crate::secret::Secret;
use crate::session::{ProviderKind, SessionAuthenticator, SessionBuildError};
use crate::telemetry::access_log::{AccessLog, Lines, StrangerLines, UNMATCHED};
use crate::telemetry::logging::LineQueue;
use crate::telemetry::metrics::{LabelSets, Metrics, MetricsError};
use crate::tls::{self, TlsError};
use crate::token::{Confidential, KeyError, TokenCache, TokenMinter};
use crate::usage::{Ledger, UsageView};

/// What all generations of one process share.
#[derive(Clone)]
pub struct Process {
    /// The time.
    pub clock: Clock,
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// Requests in flight by user.
    pub in_flight: Arc<InFlight>,
    /// Cancelled when live streams must end.
    pub cut: CancellationToken,
    /// Sessions that an operator has ended.
    pub revocations: Arc<Revocations>,
    /// Where the access log goes; `None`, as at first: nowhere.
    pub log: Option<LineQueue>,
    /// How much of it requests without a known user may fill.
    pub strangers: Arc<StrangerLines>,
    /// What was used, and what is under way.
    pub usage: Arc<UsageView>,
    /// Where charges are counted; set by the first generation.
    pub accounting: Arc<OnceLock<Accounting>>,
}

impl Process {
    /// A process at its start.
    ///
    /// # Errors
    /// Never in a build whose tests pass: two metrics of one name.
    pub fn new(clock: Clock) -> Result<Self, BuildError> {
        let routes: Vec<_> = RouteTable::labels().chain([APP_LABEL, UNMATCHED]).collect();
        let providers: Vec<_> = ProviderKind::ALL
            .iter()
            .map(|kind| kind.label())
            .chain(["none"])
            .collect();
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.label()).collect();
        let reasons: Vec<_> = Reason::ALL.iter().map(|reason| reason.label()).collect();
        let metrics = Metrics::new(&LabelSets {
            routes: &routes,
            codes: &codes,
            reasons: &reasons,
            providers: &providers,
            session_outcomes: &codes,
        })?;
        let cut = CancellationToken::new();
        Ok(Self {
            revocations: Revocations::new(clock.clone(), cut.clone()),
            clock,
            metrics: Arc::new(metrics),
            in_flight: Arc::default(),
            cut,
            log: None,
            strangers: Arc::default(),
            usage: Arc::new(UsageView::new(Ledger::new(false))),
            accounting: Arc::default(),
        })
    }
}

/// Why a checked configuration still cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file could not be read.
    #[error("{path} cannot be read")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Certificates or keys.
    #[error("{key}: {source}")]
    Tls {
        /// The setting.
        key: &'static str,
        /// What is wrong.
        #[source]
        source: TlsError,
    },
    /// Behest's address, or the proxy on the way to it.
    #[error("upstream.base_url (BEHEST_BASE_URL): {0}")]
    Origin(#[from] OriginError),
    /// The app's address.
    #[error("app.url (GATEWAY_APP_URL): {0}")]
    App(#[source] OriginError),
    /// The Behest key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What sessions are checked with.
    #[error(transparent)]
    Session(#[from] SessionBuildError),
    /// Where charges are counted.
    #[error(transparent)]
    Accounting(#[from] AccountingError),
    /// The metrics.
    #[error("metrics: {0}")]
    Metrics(#[from] MetricsError),
}

/// One configuration, ready to serve.
pub struct Generation {
    /// What it was made from.
    pub config: Config,
    /// Answers requests.
    pub gateway: Arc<Gateway>,
    /// For TLS handshakes, where the listener has TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl Generation {
    /// Builds `config` whole; tokens of `previous` are kept unless they would now be minted
    /// otherwise.
    ///
    /// # Errors
    /// Files, certificates or keys that cannot be used.
    pub fn build(
        config: Config,
        process: &Process,
        previous: Option<&Self>,
    ) -> Result<Self, BuildError> {
        let outbound = outbound(&config.upstream.outbound)?.for_workers(config.server.workers);
        let client = client(&config.upstream, &outbound)?;
        // A pool of its own: whatever goes wrong with a connection, a mint's answer cannot be read as
        // the answer to a page's request.
        let tokens = tokens(&config, client.with_own_pools(), process)?;
        if let Some(previous) = previous
            && previous.config.mint.issues_same_tokens(&config.mint)
            && previous.config.upstream.base_url == config.upstream.base_url
        {
            tokens.adopt(&previous.gateway.tokens);
        }
        let upstream = Upstream::new(client);
        let sessions = SessionAuthenticator::new(&config.session, &outbound)?;
        sessions.count_in(&process.metrics);
        if let Some(previous) = previous {
            sessions.adopt(&previous.gateway.sessions);
        }
        let gateway = Gateway {
            clock: process.clock.clone(),
            admission: Admission::new(
                RouteTable::new(&config.routes.extra)
                    .with_token_path(config.compat.token_path.clone())
                    .with_usage_me(config.budgets.usage_me),
                CrossOrigin::new(config.cross_origin.clone()),
                Cors::new(
                    &config.routes.request_headers,
                    &config.routes.response_headers,
                ),
                Limits::new(config.limits, Arc::clone(&process.in_flight)),
            )
            .with_app(config.app.is_some()),
            trusted_proxies: TrustedProxies::new(config.server.trusted_proxies.clone()),
            fronts: Fronts::new(
                config.cross_origin.public_origins.clone(),
                config.server.tls.is_some(),
                sessions.asks() || config.app.is_some(),
            ),
            sessions,
            tokens,
            confidential: Confidential::new(&config.mint),
            rewrite: rewrite(&config, &upstream),
            upstream,
            token_ttl: config.mint.ttl,
            app: app(config.app.as_ref(), &outbound, process)?,
            silence: SilenceLimits {
                idle_timeout: config.upstream.idle_timeout,
                heartbeat: config.server.heartbeat,
            },
            charger: charger(&config, &outbound, process)?,
            access_log: access_log(&config, process),
            revocations: Arc::clone(&process.revocations),
        };
        Ok(Self {
            tls: listener_tls(&config)?,
            gateway: Arc::new(gateway),
            config,
        })
    }
}

fn tokens(config: &Config, client: Client, process: &Process) -> Result<Arc<TokenCache>, KeyError> {
    let minter = TokenMinter::new(&config.mint, Arc::new(client))?;
    Ok(TokenCache::new(
        &config.cache,
        &config.mint,
        minter,
        process.clock.clone(),
        Arc::clone(&process.metrics),
    ))
}

/// How everything outside is called.
///
/// # Errors
/// Certificates that cannot be read or used.
pub fn outbound(config: &OutboundConfig) -> Result<Outbound, BuildError> {
    let mut roots = Vec::new();
    for file in [&config.ca_file, &config.ssl_cert_file]
        .into_iter()
        .flatten()
    {
        roots.push(read(file)?);
    }
    let tls = tls::client_config(&roots).map_err(|source| BuildError::Tls {
        key: "upstream.ca_file",
        source,
    })?;
    let mut proxies = Matcher::builder();
    if let Some(proxy) = &config.proxy {
        proxies = proxies.https(String::from_utf8_lossy(proxy.expose()).into_owned());
    }
    if let Some(except) = &config.no_proxy {
        proxies = proxies.no(except.clone());
    }
    Ok(Outbound::new(tls, proxies.build()))
}

/// How Behest is called.
fn client(upstream: &UpstreamConfig, outbound: &Outbound) -> Result<Client, OriginError> {
    let origin =
        Uri::try_from(upstream.base_url.to_string()).map_err(|_| OriginError::NotAnOrigin)?;
    let config = ClientConfig {
        connect_timeout: upstream.connect_timeout,
        first_byte_timeout: upstream.first_byte_timeout,
        pool_idle_timeout: upstream.pool_idle_timeout,
        pool_max_age: upstream.pool_max_age,
        workers: outbound.workers(),
    };
    outbound.client(&origin, config)
}

/// How the app is called. Its connections are the process's to cut.
fn app(
    config: Option<&AppConfig>,
    outbound: &Outbound,
    process: &Process,
) -> Result<Option<App>, BuildError> {
    let Some(config) = config else {
        return Ok(None);
    };
    let client = ClientConfig {
        connect_timeout: config.connect_timeout,
        first_byte_timeout: config.first_byte_timeout,
        // Node closes an idle connection after 5 s: it is not used so late that the two cross.
        pool_idle_timeout: Duration::from_secs(4),
        pool_max_age: Duration::from_mins(5),
        workers: outbound.workers(),
    };
    let client = outbound
        .client(&config.origin, client)
        .map_err(BuildError::App)?;
    Ok(Some(App::new(
        client,
        config.idle_timeout,
        process.cut.clone(),
        config.health_path.clone(),
    )))
}

fn rewrite(config: &Config, upstream: &Upstream) -> Rewrite {
    Rewrite {
        policy: HeaderPolicy {
            request: config.routes.request_headers.clone(),
            response: config.routes.response_headers.clone(),
        },
        host: upstream.host().clone(),
        hold: config.upstream.hold_body,
        max_body: config.limits.max_body,
        pace: Pace {
            rate: config.limits.min_body_rate,
            grace: config.limits.body_grace,
        },
    }
}

/// What requests cost, counted where the process counts.
fn charger(
    config: &Config,
    outbound: &Outbound,
    process: &Process,
) -> Result<Arc<Charger>, AccountingError> {
    let Process {
        clock,
        metrics,
        usage,
        ..
    } = process;
    let accounting = if let Some(accounting) = process.accounting.get() {
        accounting.adopt(&config.budgets, &config.usage, outbound)?;
        accounting
    } else {
        let (store, budgets) = (&config.store, &config.budgets);
        let opened = Accounting::open(
            store,
            budgets,
            &config.usage,
            outbound,
            clock,
            metrics,
            usage,
        )?;
        process.accounting.get_or_init(|| opened)
    };
    let key = config.usage.hash_key.clone();
    let key = key.unwrap_or_else(|| user_hash_key(config));
    let hash = Arc::new(UserHash::new(&key));
    let terms = ChargeTerms {
        metering: config.metering.clone(),
        budgets: config.budgets.clone(),
        default_tier: config.mint.default_tier.clone(),
        privacy: privacy(config.usage.users, &hash),
    };
    Ok(accounting.charger(terms, metrics))
}

/// The key of the hash by which users stand in logs, and in records that have no key of their own.
fn user_hash_key(config: &Config) -> Secret {
    let (telemetry, usage) = (&config.telemetry.user_hash_key, &config.usage.hash_key);
    let own = telemetry.as_ref().or(usage.as_ref());
    own.cloned().unwrap_or_else(|| {
        // Stable over restarts and the same on every replica, and it does not tell the Behest key.
        let key = hmac::Key::new(hmac::HMAC_SHA256, config.mint.key.expose());
        Secret::new(hmac::sign(&key, b"behest-gateway user hash").as_ref())
    })
}

fn access_log(config: &Config, process: &Process) -> Arc<AccessLog> {
    let key = user_hash_key(config);
    let lines = Lines {
        queue: process.log.clone().filter(|_| config.telemetry.access_log),
        strangers: Arc::clone(&process.strangers),
        per_second: config.telemetry.refusals_per_second,
    };
    AccessLog::new(Arc::clone(&process.metrics), &key, lines)
}

fn listener_tls(config: &Config) -> Result<Option<Arc<rustls::ServerConfig>>, BuildError> {
    let Some(files) = &config.server.tls else {
        return Ok(None);
    };
    let certificate = read(&files.cert_file)?;
    let key = Zeroizing::new(read(&files.key_file)?);
    let tls = tls::server_config(&certificate, &key).map_err(|source| BuildError::Tls {
        key: "server.tls",
        source,
    })?;
    Ok(Some(tls))
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, BuildError> {
    std::fs::read(path).map_err(|source| BuildError::File {
        path: path.display().to_string(),
        source,
    })
}
