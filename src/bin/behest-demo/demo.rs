//! The demo: an emulated Behest, the gateway in front of it, and a page that chats through both.
//!
//! `/v1` goes to the gateway exactly as it came; everything else is the app's side. All credentials
//! are made at the start and end with the process.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use behest_gateway::clock::Clock;
use behest_gateway::config::{Config, Sources};
use behest_gateway::emulator::{Emulator, EmulatorConfig, TierLimits};
use behest_gateway::gateway::{Gateway, Reply};
use behest_gateway::generation::{Generation, Process};
use behest_gateway::telemetry::metrics::Metrics;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::exchange::Exchanges;
use crate::pages::{self, Page, Pages};
use crate::sign_in::{SignIn, SignedIn, Tier, random_text};
use crate::watched::Watched;

/// The body of any answer.
pub(crate) type DemoBody = Either<Watched, Full<bytes::Bytes>>;
/// Why the demo cannot start.
pub(crate) type StartError = Box<dyn std::error::Error + Send + Sync>;

/// Between two words of an answer: slow enough to watch, and to stop.
const WORD_PAUSE: Duration = Duration::from_millis(40);
/// The demo's own requests are a few words of JSON, and come at once.
const LONGEST_BODY: usize = 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that runs.
pub(crate) struct Demo {
    behest: Emulator,
    gateway: Arc<Gateway>,
    metrics: Arc<Metrics>,
    clock: Clock,
    sign_in: SignIn,
    pages: Pages,
    exchanges: Arc<Exchanges>,
}

impl Demo {
    /// Starts the emulator on a free loopback port, and the gateway in front of it.
    ///
    /// # Errors
    /// The page's parts are not built, or something could not be started.
    pub(crate) async fn start(assets: &Path) -> Result<Self, StartError> {
        let pages = Pages::load(assets)?;
        let key = format!("behest_sk_live_{}", random_text::<24>().map_err(no_crypto)?);
        let secret = random_text::<32>().map_err(no_crypto)?;
        let behest = Emulator::start(emulator(&key)).await?;
        let env = [
            ("BEHEST_KEY", key),
            ("BEHEST_BASE_URL", behest.base_url()),
            ("AUTH_SECRET", secret.clone()),
            // One worker is one pool of connections; this process has one thread.
            ("GATEWAY_WORKERS", "1".to_owned()),
        ];
        let env: BTreeMap<_, _> = env.map(|(name, value)| (name.to_owned(), value)).into();
        let loaded = Config::load(Sources {
            env,
            ..Sources::default()
        })?;
        let process = Process::new(Clock::system())?;
        let generation = Generation::build(loaded.config, &process, None)?;
        Ok(Self {
            behest,
            gateway: generation.gateway,
            metrics: process.metrics,
            clock: process.clock,
            sign_in: SignIn::new(&secret).map_err(no_crypto)?,
            pages,
            exchanges: Arc::default(),
        })
    }

    /// Answers a request: the API's by the gateway, all others here.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Response<DemoBody> {
        let path = request.uri().path();
        if path == "/v1" || path.starts_with("/v1/") {
            return self.pass_to_gateway(request, peer).await;
        }
        let page = match *request.method() {
            Method::GET | Method::HEAD => self.look(&request),
            Method::POST => self.act(request).await,
            _ => pages::refused(StatusCode::METHOD_NOT_ALLOWED, "Only GET and POST."),
        };
        page.map(Either::Right)
    }

    async fn pass_to_gateway(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Response<DemoBody> {
        let (head, body) = request.into_parts();
        let exchange = self.exchanges.begin(&head);
        let before = self.added();
        let request = Request::from_parts(head, body);
        let Reply::Answer(response) = self.gateway.handle(request, peer).await else {
            return not_here().map(Either::Right);
        };
        if let Some(exchange) = &exchange {
            exchange.answered(&response, before.micros_until(&self.added()));
        }
        response.map(|body| Either::Left(Watched::new(body, exchange)))
    }

    fn look(&self, request: &Request<Incoming>) -> Page {
        match request.uri().path() {
            "/demo/session" => {
                let session = self.sign_in.read(request.headers(), self.clock.now());
                pages::found(&json!({"user": session.map(|session| session.to_json())}))
            }
            "/demo/last" => {
                let query = request.uri().query().unwrap_or_default();
                self.last(query.strip_prefix("id=").unwrap_or_default())
            }
            path => self.pages.file(path).unwrap_or_else(not_here),
        }
    }

    /// One exchange, and what has been counted so far.
    fn last(&self, id: &str) -> Page {
        let log = self.behest.log();
        let Some(mut shown) = log.read(|seen| self.exchanges.show(id, seen)) else {
            return pages::refused(StatusCode::NOT_FOUND, "No request with this id.");
        };
        let (requests, minted) = log.read(|seen| {
            let minted = seen.minted();
            (seen.total_requests.saturating_sub(minted), minted)
        });
        shown.insert(
            "counters".to_owned(),
            json!({
                "requests": requests,
                "minted": minted,
                "reused": self.metric("behest_gateway_token_cache_total{outcome=\"hit\"}"),
            }),
        );
        pages::found(&Value::Object(shown))
    }

    /// What the gateway has added to all requests so far.
    fn added(&self) -> Added {
        Added {
            seconds: self.metric("behest_gateway_added_seconds_sum"),
            requests: self.metric("behest_gateway_added_seconds_count"),
        }
    }

    fn metric(&self, name: &str) -> f64 {
        let page = self.metrics.page().unwrap_or_default();
        metric(&String::from_utf8_lossy(&page), name)
    }

    /// Signing in and out, and changing the tier.
    async fn act(&self, request: Request<Incoming>) -> Page {
        let (head, body) = request.into_parts();
        if !is_from_this_page(&head.headers) {
            return pages::refused(StatusCode::FORBIDDEN, "Only this page may do that.");
        }
        let body = Limited::new(body, LONGEST_BODY).collect();
        let Ok(Ok(body)) = tokio::time::timeout(BODY_TIMEOUT, body).await else {
            return pages::refused(StatusCode::BAD_REQUEST, "The body is too long or too late.");
        };
        let Ok(asked) = serde_json::from_slice::<Value>(&body.to_bytes()) else {
            return pages::refused(StatusCode::BAD_REQUEST, "The body is not JSON.");
        };
        self.change_session(head.uri.path(), &head.headers, &asked)
            .unwrap_or_else(|_| {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                pages::refused(status, "The cookie could not be sealed.")
            })
    }

    fn change_session(
        &self,
        path: &str,
        headers: &HeaderMap,
        asked: &Value,
    ) -> Result<Page, Unspecified> {
        let now = self.clock.now();
        let session = match path {
            "/demo/sign-in" => {
                let user = asked.get("user").and_then(Value::as_str);
                SignedIn::begin(user.unwrap_or_default(), now)?
            }
            "/demo/tier" => {
                let tier = asked.get("tier").cloned().unwrap_or_default();
                let tier = serde_json::from_value::<Tier>(tier).ok();
                let session = self.sign_in.read(headers, now);
                session
                    .zip(tier)
                    .map(|(session, tier)| session.with_tier(tier))
            }
            "/demo/sign-out" => {
                let signed_out = json!({ "user": null });
                return Ok(pages::found_with_cookie(&signed_out, SignIn::no_cookie()?));
            }
            _ => return Ok(not_here()),
        };
        let Some(session) = session else {
            let why = "Sign in as ada or grace first; a tier is free or pro.";
            return Ok(pages::refused(StatusCode::BAD_REQUEST, why));
        };
        let cookie = self.sign_in.cookie(&session, now)?;
        let signed_in = json!({ "user": session.to_json() });
        Ok(pages::found_with_cookie(&signed_in, cookie))
    }
}

/// An emulator with limits that a visitor can reach, and its own log page closed.
fn emulator(key: &str) -> EmulatorConfig {
    let limits = |requests, tokens| TierLimits {
        requests_per_minute: Some(requests),
        tokens: Some(tokens),
    };
    EmulatorConfig {
        api_keys: vec![key.to_owned()],
        tiers: BTreeMap::from([
            ("free".to_owned(), limits(8, 6_000)),
            ("pro".to_owned(), limits(120, 200_000)),
        ]),
        frame_delay: WORD_PAUSE,
        control: false,
        keep_requests: 256,
        ..EmulatorConfig::default()
    }
}

/// A form on another site can send neither JSON nor this origin's name.
fn is_from_this_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_json = text(CONTENT_TYPE.as_str()) == Some("application/json");
    let same_site = matches!(text("sec-fetch-site"), None | Some("same-origin"));
    let same_origin = match (text(ORIGIN.as_str()), text("host")) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.strip_prefix("http://") == Some(host),
        (Some(_), None) => false,
    };
    is_json && same_site && same_origin
}

fn not_here() -> Page {
    pages::refused(StatusCode::NOT_FOUND, "There is no such page.")
}

fn no_crypto(_: Unspecified) -> StartError {
    "the system gives no randomness, or its cryptography fails".into()
}

/// The gateway's own histogram of the time that it adds, at one moment.
struct Added {
    seconds: f64,
    requests: f64,
}

impl Added {
    /// What one request added between two moments; `None` if there was none, or more than one.
    fn micros_until(&self, later: &Self) -> Option<f64> {
        let is_one = (later.requests - self.requests - 1.0).abs() < 0.5;
        is_one.then_some((later.seconds - self.seconds) * 1e6)
    }
}

/// The value of one line of a metrics page; 0 for what was never counted.
fn metric(page: &str, name: &str) -> f64 {
    let value = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
    page.lines().find_map(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_page_itself_may_sign_anybody_in() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            let pairs = pairs.iter().map(|(name, value)| {
                let name = http::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            pairs.collect()
        };
        let json = ("content-type", "application/json");
        let host = ("host", "127.0.0.1:3000");
        assert!(is_from_this_page(&headers(&[json, host])));
        let page = [json, host, ("origin", "http://127.0.0.1:3000")];
        assert!(is_from_this_page(&headers(&page)));
        for foreign in [
            vec![host, ("content-type", "text/plain")],
            vec![json, host, ("origin", "http://evil.example")],
            vec![json, host, ("origin", "null")],
            vec![json, host, ("sec-fetch-site", "same-site")],
        ] {
            assert!(!is_from_this_page(&headers(&foreign)), "{foreign:?}");
        }
    }

    #[test]
    fn a_metric_is_read_off_the_page() {
        let page = "# TYPE b counter\na_sum 0.003\nb{outcome=\"hit\"} 7\n";
        let is = |name: &str, value: f64| (metric(page, name) - value).abs() < f64::EPSILON;
        assert!(is("b{outcome=\"hit\"}", 7.0) && is("a_sum", 0.003) && is("c", 0.0));
    }

    #[test]
    fn added_time_is_told_only_of_a_request_that_was_alone() {
        let at = |seconds, requests| Added { seconds, requests };
        let one = at(1.0, 7.0).micros_until(&at(1.25, 8.0));
        assert_eq!(one, Some(250_000.0));
        assert_eq!(at(1.0, 7.0).micros_until(&at(1.25, 9.0)), None);
        assert_eq!(at(1.0, 7.0).micros_until(&at(1.0, 7.0)), None);
    }
}
