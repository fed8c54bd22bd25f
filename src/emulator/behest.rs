//! The played Behest: takes a request, records it, lets a fault befall it, answers it.
//!
//! Every answer carries `X-Request-Id` (the caller's own where it sent one) and `X-Trace-Id`.
//! A request is read to its end before it is answered.

use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::{fmt, io};

use bytes::Buf as _;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::answer::Answer;
use super::body::EmulatorBody;
use super::config::{EmulatorConfig, TierLimits, tier_name};
use super::connection::Wire;
use super::faults::{Faults, is_mint};
use super::keys::{SigningKey, TrustedKey};
use super::mint::Twist;
use super::outcome::{self, Outcome};
use super::record::{Exchange, Log};
use super::refusal::Refusal;
use super::request_record::Ending;
use super::threads::Threads;
use super::time::fresh_id;
use super::usage::Ledger;
use super::{control, data_plane, mint};

const LONGEST_BODY: usize = 64 * 1024 * 1024;

/// Everything behind the connections of one emulator.
pub(super) struct Behest {
    pub(super) config: EmulatorConfig,
    pub(super) signing_key: SigningKey,
    /// The keys whose tokens are believed.
    pub(super) keys: Vec<TrustedKey>,
    pub(super) log: Arc<Log>,
    pub(super) faults: Faults,
    pub(super) threads: Threads,
    pub(super) ledger: Arc<Ledger>,
    api_keys: RwLock<Vec<String>>,
}

/// A request that has arrived whole, with what its answer needs.
pub(super) struct Arrived<'a> {
    head: &'a Parts,
    body: &'a [u8],
    exchange: &'a Exchange,
}

impl Behest {
    pub(super) fn new(config: EmulatorConfig) -> io::Result<Self> {
        let signing_key = match &config.signing_key {
            Some(key) => key.clone(),
            None => SigningKey::of_this_process()?,
        };
        let mut keys = vec![signing_key.trusted()?];
        keys.extend(config.trusted_keys.iter().cloned());
        Ok(Self {
            signing_key,
            keys,
            log: Arc::new(Log::new(config.keep_requests)),
            faults: Faults::default(),
            threads: Threads::default(),
            ledger: Arc::default(),
            api_keys: RwLock::new(config.api_keys.clone()),
            config,
        })
    }

    pub(super) fn accepts_key(&self, key: &str) -> bool {
        let keys = self.api_keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().any(|known| known == key)
    }

    pub(super) fn set_api_keys(&self, keys: Vec<String>) {
        *self
            .api_keys
            .write()
            .unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// The limits of a tier, by whichever of its names they were configured.
    pub(super) fn limits(&self, tier: &str) -> TierLimits {
        let mut tiers = self.config.tiers.iter();
        tiers
            .find(|(name, _)| tier_name(name) == tier)
            .map(|(_, limits)| *limits)
            .unwrap_or_default()
    }

    pub(super) fn reset(&self) {
        self.faults.clear();
        self.threads.clear();
        self.ledger.clear();
        self.log.clear();
    }

    /// Answers one request. Without a wire, orders to the connection become 502.
    pub(super) async fn answer<B>(
        &self,
        request: Request<B>,
        wire: Option<Arc<Wire>>,
    ) -> Response<EmulatorBody>
    where
        B: Body,
        B::Error: fmt::Display,
    {
        let (head, body) = request.into_parts();
        if self.config.control && head.uri.path().starts_with(control::PREFIX) {
            let body = read(body, None).await.unwrap_or_default();
            let answer = control::answer(self, &head, &body).unwrap_or_else(Answer::from);
            return response(&head, answer, None, wire);
        }
        let connection = wire.as_ref().map_or(0, |wire| wire.id);
        let mut exchange = self.log.begin(&head, connection);
        let body = match read(body, Some(&exchange)).await {
            Ok(body) => body,
            Err(refusal) => return response(&head, refusal.into(), Some(exchange), wire),
        };
        let action = self.faults.take(head.uri.path());
        let fault = action.as_ref().map(outcome::kind);
        let arrived = Arrived {
            head: &head,
            body: &body,
            exchange: &exchange,
        };
        let order = match outcome::decide(self, &arrived, action).await {
            Outcome::Answer(answer) => {
                exchange.answered(answer.status, fault);
                return response(&head, *answer, Some(exchange), wire);
            }
            Outcome::Order(order) => order,
        };
        exchange.answered(StatusCode::BAD_GATEWAY, fault);
        exchange.end(Ending::Fault);
        drop(exchange);
        if let Some(wire) = wire {
            wire.order(order);
            // The connection drops this future when it carries the order out.
            std::future::pending::<()>().await;
        }
        let text = "this fault needs a connection of the emulator's own";
        let refusal = Refusal::new(StatusCode::BAD_GATEWAY, "server_error", text);
        response(&head, refusal.into(), None, None)
    }

    /// The answer of an emulator in good health.
    pub(super) fn usual(&self, request: &Arrived<'_>, twist: &Twist) -> Answer {
        self.try_usual(request, twist).unwrap_or_else(|refusal| {
            if let Some(what) = refusal.violation() {
                request.exchange.violation(what);
            }
            refusal.into()
        })
    }

    fn try_usual(&self, request: &Arrived<'_>, twist: &Twist) -> Result<Answer, Refusal> {
        let Arrived {
            head,
            body,
            exchange,
        } = *request;
        let path = head.uri.path();
        if path == "/.well-known/jwks.json" && head.method == Method::GET {
            let keys: Vec<Value> = self.keys.iter().map(TrustedKey::to_jwk).collect();
            let answer = Answer::ok(&json!({"keys": keys}));
            return Ok(answer.with_header("cache-control", "public, max-age=300"));
        }
        data_plane::refuse_breach(&head.headers)?;
        if is_mint(path) && head.method == Method::POST {
            return mint::answer(self, &head.headers, body, exchange, twist);
        }
        if path.starts_with("/v1/") && !is_mint(path) {
            return data_plane::answer(self, head, body, exchange);
        }
        Err(Refusal::not_found("path"))
    }
}

/// The whole body, noted piece by piece as it comes; 413 or 400 otherwise.
async fn read<B>(body: B, exchange: Option<&Exchange>) -> Result<Vec<u8>, Refusal>
where
    B: Body,
    B::Error: fmt::Display,
{
    let mut body = pin!(body);
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::invalid(&format!("the body broke: {error}")))?;
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        let piece = data.copy_to_bytes(data.remaining());
        if whole.len() + piece.len() > LONGEST_BODY {
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "validation_error",
                "the body is over 64 MiB",
            ));
        }
        if let Some(exchange) = exchange {
            exchange.received(&piece);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

fn response(
    head: &Parts,
    mut answer: Answer,
    exchange: Option<Exchange>,
    wire: Option<Arc<Wire>>,
) -> Response<EmulatorBody> {
    answer = identified(answer, &head.headers);
    if head.method == Method::HEAD {
        // The length stays, as RFC 9110 section 9.3.2 asks; the body does not.
        answer.frames.clear();
        answer.break_after = None;
    }
    let (status, headers) = (answer.status, std::mem::take(&mut answer.headers));
    let mut response = Response::new(EmulatorBody::new(answer, exchange, wire));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The answer with its request id and trace id, where it does not bring its own.
fn identified(mut answer: Answer, request: &HeaderMap) -> Answer {
    if !answer.headers.contains_key("x-request-id") {
        let given = request.get("x-request-id");
        let given = given.and_then(|id| id.to_str().ok()).map(str::to_owned);
        answer = answer.with_header("x-request-id", &given.unwrap_or_else(|| fresh_id("req_")));
    }
    if !answer.headers.contains_key("x-trace-id") {
        // W3C trace context: version, trace id, parent id, flags.
        let given = request.get("traceparent");
        let given = given
            .and_then(|value| value.to_str().ok()?.split('-').nth(1))
            .filter(|id| id.len() == 32)
            .map(str::to_owned);
        answer = answer.with_header("x-trace-id", &given.unwrap_or_else(|| fresh_id("")));
    }
    answer
}
