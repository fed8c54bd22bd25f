//! Finds what is wrong around a gateway, for `behest-gateway doctor`: its configuration and key, Behest
//! and the way there, the app's addresses, and what stands between browsers and the gateway.
//!
//! Guarantees: no finding holds a secret, a token or a cookie; every call is bounded in time; a check
//! runs unless it needs what another found broken; nothing is minted unless asked for.
//!
//! | file | what it looks at |
//! |---|---|
//! | `configuration`, `key` | what the gateway would start with |
//! | `behest`, `clock_offset` | the name, the connection, TLS, an answer, the clock |
//! | `mint` | a token, and whether Behest takes it |
//! | `session_urls` | the issuers' keys, and where the app says who is signed in |
//! | `front`, `preflight`, `sign_in` | the public URL, without a user |
//! | `stream`, `events`, `arrivals` | an event stream through it, with a user's cookie |
//! | `call`, `tls_fault`, `cookie` | how servers are asked |
//! | `finding` | what people and machines see |

mod arrivals;
mod behest;
mod call;
mod clock_offset;
mod configuration;
mod cookie;
mod events;
mod finding;
mod front;
mod key;
mod mint;
mod preflight;
mod session_urls;
mod sign_in;
mod stream;
mod tls_fault;

use std::path::PathBuf;
use std::time::Duration;

use crate::client::{ClientConfig, OriginError, Outbound};
use crate::clock::Clock;
use crate::config::{Config, Sources, UpstreamUrl, check_origin};
use crate::generation::{self, BuildError};
use call::Server;
use finding::Finding as F;
pub use finding::{Finding, Level, Report};
use front::Reached;
use http::HeaderValue;

const PUBLIC_URL: &str = "public-url";
const COOKIE: &str = "cookie-file";

/// What is looked at beyond the configuration and the way to Behest.
#[derive(Clone, Debug)]
pub struct Options {
    /// Mint a token for the user of this id, and try it; `None` mints nothing.
    pub mint_for: Option<String>,
    /// Where browsers find the gateway: `scheme://host[:port]`.
    pub public_url: Option<String>,
    /// A file with the Cookie header of a signed-in user, `-` for standard input: streams an answer
    /// through the public URL.
    pub cookie_file: Option<PathBuf>,
    /// The model that is asked for it; by default the first that Behest lists and that chats.
    pub model: Option<String>,
}

/// Examines what a gateway that was started with `sources` would meet.
pub async fn examine(sources: Sources, options: &Options, clock: &Clock) -> Report {
    let loaded = match Config::load(sources) {
        Ok(loaded) => loaded,
        Err(problems) => {
            return Report {
                findings: configuration::problems(&problems),
            };
        }
    };
    let mut findings = configuration::look(&loaded, clock);
    // Read now: whoever types it in must not make calls seem late.
    let cookie = options.cookie_file.as_deref().map(cookie::read);
    let config = &loaded.config;
    findings.push(key::look(&config.mint));
    // Where there is no way out, the configuration's findings say so already.
    if let Ok(way) = WayOut::new(config) {
        let (upstream, sessions, public) = tokio::join!(
            look_upstream(config, &way, options, clock),
            session_urls::look(&config.session, &way),
            look_public(config, &way, options, cookie, clock)
        );
        findings.extend(upstream);
        findings.extend(sessions);
        findings.extend(public);
    }
    Report { findings }
}

async fn look_upstream(
    config: &Config,
    way: &WayOut,
    options: &Options,
    clock: &Clock,
) -> Vec<Finding> {
    let url = &config.upstream.base_url;
    let server = match way.server(url) {
        Ok(server) => server,
        Err(error) => {
            return vec![F::error(
                "behest-connection",
                error.to_string(),
                "mend HTTPS_PROXY",
            )];
        }
    };
    let (mut findings, answers) = behest::look(url, &server, clock).await;
    match &options.mint_for {
        Some(user) if answers => {
            findings.extend(mint::look(&config.mint, &server, clock, user).await);
        }
        Some(_) => findings.push(F::info("mint", "not tried: Behest cannot be asked")),
        None => findings.push(F::info(
            "mint",
            "not tried; --mint mints a token and tries it",
        )),
    }
    findings
}

async fn look_public(
    config: &Config,
    way: &WayOut,
    options: &Options,
    cookie: Option<Result<HeaderValue, String>>,
    clock: &Clock,
) -> Vec<Finding> {
    let Some(url) = &options.public_url else {
        let what = "not looked at; --public-url https://app.example looks at what browsers meet";
        return vec![F::info(PUBLIC_URL, what)];
    };
    let server = match public_server(url, way) {
        Ok(server) => server,
        Err(finding) => return vec![finding],
    };
    let (mut findings, reached) = front::look(&config.cross_origin, &server).await;
    if reached == Reached::Nobody {
        return findings;
    }
    let stream = async {
        if reached == Reached::Gateway {
            return stream_of(&server, cookie, options.model.as_deref(), clock).await;
        }
        vec![F::info(
            "stream",
            "not tried: the gateway cannot be asked there",
        )]
    };
    let sign_in = sign_in::look(&server, reached == Reached::Redirect);
    let (stream, sign_in) = tokio::join!(stream, sign_in);
    findings.extend(stream);
    findings.push(sign_in);
    findings
}

fn public_server(url: &str, way: &WayOut) -> Result<Server, Finding> {
    let fix = "write it as the browser's address line begins: --public-url https://app.example";
    let url = url.trim_end_matches('/');
    let error = |text: String| F::error(PUBLIC_URL, format!("--public-url {text}"), fix);
    check_origin(url).map_err(error)?;
    let url = UpstreamUrl::parse(url).map_err(error)?;
    way.server(&url).map_err(|fault| error(fault.to_string()))
}

async fn stream_of(
    server: &Server,
    cookie: Option<Result<HeaderValue, String>>,
    model: Option<&str>,
    clock: &Clock,
) -> Vec<Finding> {
    let Some(cookie) = cookie else {
        let what =
            "not tried; --cookie-file FILE, with the Cookie header of a signed-in user, does";
        return vec![F::info("stream", what)];
    };
    if server.is_exposed {
        let fix = "give --public-url with https://";
        return vec![F::error(
            COOKIE,
            "not sent: it would travel unencrypted",
            fix,
        )];
    }
    match cookie {
        Ok(cookie) => stream::look(server, &cookie, model, clock).await,
        Err(fault) => {
            let fix = "put into it what the browser's developer tools show as the Cookie header of a \
                       request to the app";
            vec![F::error(COOKIE, format!("the file {fault}"), fix)]
        }
    }
}

/// Makes clients as the gateway's own: the same trust, the same proxies.
struct WayOut {
    outbound: Outbound,
    connect_timeout: Duration,
}

impl WayOut {
    fn new(config: &Config) -> Result<Self, BuildError> {
        Ok(Self {
            outbound: generation::outbound(&config.upstream.outbound)?,
            connect_timeout: config.upstream.connect_timeout.min(call::WITHIN),
        })
    }

    fn server(&self, url: &UpstreamUrl) -> Result<Server, OriginError> {
        let config = ClientConfig {
            connect_timeout: self.connect_timeout,
            first_byte_timeout: call::WITHIN,
            pool_idle_timeout: call::WITHIN,
            pool_max_age: call::WITHIN,
            workers: 1,
        };
        Ok(Server {
            client: self.outbound.client(url.uri(), config)?,
            origin: url.to_string(),
            is_proxied: self.outbound.is_proxied(url.uri()),
            is_exposed: !url.is_tls() && !url.is_loopback(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OutboundConfig;

    #[tokio::test]
    async fn a_cookie_never_travels_unencrypted_to_another_machine() {
        let way = WayOut {
            outbound: generation::outbound(&OutboundConfig::default()).unwrap(),
            connect_timeout: call::WITHIN,
        };
        let server = public_server("http://app.invalid", &way).unwrap();
        let cookie = Some(Ok(HeaderValue::from_static("a=hunter2")));
        let found = stream_of(&server, cookie, None, &Clock::system()).await;
        assert_eq!((found[0].check, found[0].level), (COOKIE, Level::Error));
        assert!(found[0].what.contains("not sent"), "{found:?}");
        assert!(
            !public_server("http://127.0.0.1:1", &way)
                .unwrap()
                .is_exposed
        );
        assert!(
            !public_server("https://app.invalid/", &way)
                .unwrap()
                .is_exposed
        );
    }
}
