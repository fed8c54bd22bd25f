//! One request, from its head to its answer's body: the straight function that the crate is about.

mod app;
mod charged;
mod compat;
mod front;
mod own;

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::rand;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Body;
use hyper::body::Incoming;

pub use self::app::AppTunnel;
use self::charged::Failed;
pub use self::front::Fronts;
use crate::admission::cors::{Preflight, Reader};
use crate::admission::limits::Slot;
use crate::admission::trusted_proxies::TrustedProxies;
use crate::admission::{Admission, Admitted, Entry};
use crate::app::App;
use crate::charge::{Charge, Charger};
use crate::client::ResponseBody;
use crate::clock::{Clock, Now};
use crate::error::{self, Code, GatewayError, Verdict};
use crate::forward::body::{ObservedBody, Relay, SilenceLimits};
use crate::forward::headers::{self, X_REQUEST_ID, X_TRACE_ID};
use crate::forward::upstream::{Answer, Upstream};
use crate::forward::{ForwardError, Outgoing, Rewrite, rate_headers, screen};
use crate::identity::Identity;
use crate::revocation::{Holder, Revocations, Watch};
use crate::session::{Session, SessionAuthenticator, Visit};
use crate::telemetry;
use crate::telemetry::access_log::{AccessLog, Record};
use crate::telemetry::labels::KeyRefresh;
use crate::telemetry::metrics::Metrics;
use crate::token::{AccessToken, Bearers, Confidential, TokenCache};

/// A gateway: immutable, made from one configuration. A changed one is another gateway.
pub struct Gateway {
    /// Reads the time, once for each request.
    pub clock: Clock,
    /// What may be asked.
    pub admission: Admission,
    /// Whose word counts about where a request came from.
    pub trusted_proxies: TrustedProxies,
    /// How the browser reaches the app.
    pub fronts: Fronts,
    /// Recognises the user.
    pub sessions: SessionAuthenticator,
    /// The user's token.
    pub tokens: Arc<TokenCache>,
    /// What no answer may tell.
    pub confidential: Confidential,
    /// How requests are rewritten.
    pub rewrite: Rewrite,
    /// Behest.
    pub upstream: Upstream,
    /// How long a token lasts, as pages are told that ask for one (`compat.token_path`).
    pub token_ttl: std::time::Duration,
    /// What requests cost, and may cost.
    pub charger: Arc<Charger>,
    /// Where everything outside `/v1` goes, if anywhere.
    pub app: Option<App>,
    /// How long Behest may be silent within an answer, and what the page hears meanwhile.
    pub silence: SilenceLimits,
    /// What happened.
    pub access_log: Arc<AccessLog>,
    /// Sessions that an operator has ended; also says when live streams must end.
    pub revocations: Arc<Revocations>,
}

impl Gateway {
    /// Answers every request: a failure becomes a response here and nowhere else. `peer` is the other
    /// end of the connection.
    pub async fn handle(&self, request: Request<Incoming>, peer: IpAddr) -> Reply {
        let request_id = request_id(request.headers());
        let is_head = request.method() == Method::HEAD;
        let client = self.trusted_proxies.client(peer, request.headers());
        let mut record =
            self.access_log
                .begin(request.method().clone(), request_id.clone(), client);
        let mut reader = Reader::default();
        let admission = &self.admission;
        let mut response = match admission.admit(request, &mut record.route, &mut reader) {
            Ok(Entry::Request(admitted)) => match self.forward(admitted, peer, &mut record).await {
                Ok(answered) => self.pass_on(answered, is_head, record),
                Err(failed) => self.refuse_charged(failed, is_head, record),
            },
            Ok(Entry::Preflight(preflight)) => answer(preflight, record),
            // In a box: every request's future would be larger.
            Ok(Entry::App(request)) => {
                return Box::pin(self.pass_to_app(request, peer, is_head, record)).await;
            }
            Ok(Entry::Own(request)) => {
                match Box::pin(self.answer_itself(&request, peer, &mut record)).await {
                    Ok(response) => own::answered(response, record),
                    Err(error) => self.refuse(&error, is_head, record),
                }
            }
            Err(error) => self.refuse(&error.into(), is_head, record),
        };
        reader.permit(response.headers_mut());
        Reply::Answer(response)
    }

    /// Closes pooled connections, to Behest, to its mint, to the app and to apps that are asked, that can
    /// no longer be used.
    pub fn sweep_connections(&self) {
        self.upstream.sweep_connections();
        if let Some(app) = &self.app {
            app.sweep_connections();
        }
        self.tokens.sweep_connections();
        self.sessions.sweep_connections();
    }

    /// Has issuers' keys fetched where it is time for that, and counts what came of it. To be called
    /// every second or so, within a runtime that lasts.
    pub fn tend_sessions(&self, metrics: &Metrics) {
        self.sessions.tend(self.clock.now());
        for (provider, status) in self.sessions.issuers() {
            metrics.key_refreshes(provider, KeyRefresh::Ok, status.succeeded);
            metrics.key_refreshes(provider, KeyRefresh::Failed, status.failed);
            metrics.keys_held(provider, status.keys.unwrap_or(0));
        }
    }

    /// One admitted request, top to bottom. Every step may end it.
    async fn forward(
        &self,
        admitted: Admitted,
        peer: IpAddr,
        record: &mut Record,
    ) -> Result<Answered, Failed> {
        let now = self.clock.now();
        let (Session { identity, .. }, mut watch) = self
            .authenticate(admitted.headers(), admitted.host(), peer, now, record)
            .await?;
        let slot = self.admission.limits().enter(&identity.user)?;
        let (response, bearers, charge) = tokio::select! {
            biased;
            answered = self.obtain(admitted, &identity, record) => answered?,
            revoked = watch.revoked() => return Err(GatewayError::from(revoked).into()),
        };
        Ok(Answered {
            response,
            bearers,
            watch,
            slot,
            charge,
        })
    }

    /// Behest's answer to an authenticated request.
    async fn obtain(
        &self,
        admitted: Admitted,
        identity: &Identity,
        record: &mut Record,
    ) -> Result<(Response<ResponseBody>, Bearers, Option<Charge>), Failed> {
        let request_id = record.request_id().clone();
        let mut outgoing = Outgoing::prepare(admitted, &self.rewrite, request_id).await?;
        // Reading the body may have taken long: the token is looked at as of now.
        let now = self.clock.now();
        let mut charge = self.claim(&mut outgoing, identity, now, record).await?;
        let token = match self.tokens.token(identity, now).await {
            Ok(token) => token,
            Err(error) => {
                let error = error.into();
                return Err(Failed { error, charge });
            }
        };
        if let Some(charge) = &mut charge {
            charge.sent(token.session_id.as_ref());
        }
        match self.answer(&mut outgoing, identity, token, record).await {
            Ok((response, bearers)) => {
                if let Some(charge) = &mut charge {
                    charge.belongs_to(bearers.answered.session_id.as_ref());
                }
                Ok((response, bearers, charge))
            }
            Err(error) => Err(Failed { error, charge }),
        }
    }

    /// What Behest answers; of an error, what may be passed on.
    async fn answer(
        &self,
        outgoing: &mut Outgoing<'_>,
        identity: &Identity,
        token: Arc<AccessToken>,
        record: &mut Record,
    ) -> Result<(Response<ResponseBody>, Bearers), GatewayError> {
        let (mut response, bearers) = self.send(outgoing, identity, token, record).await?;
        record.answered();
        if screen::is_error(response.status()) {
            let (confidential, within) = (&self.confidential, self.silence.idle_timeout);
            // In a box: few answers are errors, and every request's future would be larger.
            response =
                Box::pin(screen::error_body(response, confidential, &bearers, within)).await?;
        }
        Ok((response, bearers))
    }

    /// Sends the request; after a 401 the token is renewed, and the request sent once more.
    async fn send(
        &self,
        outgoing: &mut Outgoing<'_>,
        identity: &Identity,
        token: Arc<AccessToken>,
        record: &mut Record,
    ) -> Result<(Response<ResponseBody>, Bearers), GatewayError> {
        let max_body = self.rewrite.max_body;
        let first = outgoing.authorize(&token).ok_or(ForwardError::BodyBroken)?;
        record.sent();
        if let Answer::Passed(response) = self.upstream.send(first, max_body).await? {
            let (answered, refused) = (token, None);
            return Ok((response, Bearers { answered, refused }));
        }
        let now = self.clock.now();
        if !outgoing.is_replayable() {
            self.tokens.renew_in_background(identity, &token, now)?;
            return Err(ForwardError::TokenRenewed.into());
        }
        let answered = self.tokens.renew(identity, &token, now).await?;
        let again = outgoing
            .authorize(&answered)
            .ok_or(ForwardError::BodyBroken)?;
        record.sent();
        match self.upstream.send(again, max_body).await? {
            Answer::Passed(response) => {
                let refused = Some(token);
                Ok((response, Bearers { answered, refused }))
            }
            Answer::Unauthorized => Err(ForwardError::TokenRejected.into()),
        }
    }

    /// Whose request it is, and the watch over whether it stays so.
    async fn authenticate(
        &self,
        headers: &HeaderMap,
        host: &str,
        peer: IpAddr,
        now: Now,
        record: &mut Record,
    ) -> Result<(Session, Watch), GatewayError> {
        let metrics = self.access_log.metrics();
        let visit = Visit {
            headers,
            front: self.fronts.of(host, headers, peer, &self.trusted_proxies),
            now,
        };
        let session = self.sessions.authenticate(&visit).await;
        let session = session.inspect_err(|error| {
            record.provider = error.provider();
            metrics.session(error.provider(), error.code());
        })?;
        record.provider = session.provider;
        record.user = Some(session.identity.user.clone());
        let holder = Holder {
            user: session.identity.user.clone(),
            claim: session.claim.clone(),
            session_id: session.identity.session_id.clone(),
            issued_at: session.issued_at,
        };
        let watched = self.revocations.watch(holder, now);
        let outcome = watched.as_ref().map_or(Code::SessionRevoked, |_| Code::Ok);
        metrics.session(session.provider, outcome.label());
        Ok((session, watched?))
    }

    fn pass_on(
        &self,
        answered: Answered,
        is_head: bool,
        mut record: Record,
    ) -> Response<ObservedBody> {
        let Answered {
            response,
            bearers,
            watch,
            slot,
            charge,
        } = answered;
        let (mut head, body) = response.into_parts();
        screen::clean(&mut head.headers, &self.confidential, &bearers);
        record.status = head.status.as_u16();
        record.code = match record.status {
            ..400 => Code::Ok,
            400..500 => Code::Upstream4xx,
            500.. => Code::Upstream5xx,
        };
        // A coded stream's bytes are no events.
        let is_event_stream = headers::is_event_stream(&head.headers)
            && !head.headers.contains_key(http::header::CONTENT_ENCODING);
        head.headers = self
            .rewrite
            .policy
            .rewrite_response(&head, is_head, record.request_id());
        record.trace_id = head
            .headers
            .get(&X_TRACE_ID)
            .filter(|id| id.len() <= 128)
            .map(detached);
        head.extensions.clear();
        head.version = http::Version::HTTP_11;
        let charge = charge.and_then(|mut charge| {
            if !charge.standings().is_empty() {
                let now = self.clock.now().unix_seconds();
                rate_headers::tell(&mut head.headers, charge.standings(), now);
            }
            if record.status >= 400 {
                charge.failed(&record);
                return None;
            }
            charge.answered(is_event_stream, body.size_hint().exact().is_none());
            Some(charge)
        });
        let relay = Relay::new(body, is_event_stream, self.silence, watch, slot, charge);
        Response::from_parts(head, ObservedBody::upstream(relay, record))
    }
}

/// What a request is answered with.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is nearly every request, and is taken apart at once"
)]
pub enum Reply {
    /// An answer.
    Answer(Response<ObservedBody>),
    /// The head of one, after which the connection is a WebSocket.
    Tunnel(Response<()>, Box<AppTunnel>),
}

/// What a request came to.
struct Answered {
    response: Response<ResponseBody>,
    bearers: Bearers,
    watch: Watch,
    slot: Slot,
    charge: Option<Charge>,
}

/// What the gateway says to a failed request, which is counted.
fn refusal(error: &GatewayError, verdict: &Verdict, record: &mut Record) -> Response<Bytes> {
    record.refused(
        verdict.status.as_u16(),
        verdict.code,
        error.reason().label(),
        telemetry::chain(error),
    );
    let request_id = record.request_id();
    let mut response = error::response(error, verdict, request_id.to_str().unwrap_or_default());
    headers::finish_response(response.headers_mut(), request_id);
    response
}

fn finish(mut response: Response<Bytes>, is_head: bool, record: Record) -> Response<ObservedBody> {
    if is_head {
        // The length, but no body (RFC 9110 section 9.3.2): on HTTP/2 hyper would send one.
        let length = HeaderValue::from(response.body().len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
        response.body_mut().clear();
    }
    response.map(|body| ObservedBody::own(body, record))
}

/// The answer to a browser that asks what a page may send.
fn answer(preflight: Preflight, mut record: Record) -> Response<ObservedBody> {
    let mut response = preflight.into_response();
    record.status = response.status().as_u16();
    record.code = Code::Preflight;
    headers::finish_response(response.headers_mut(), record.request_id());
    response.map(|body| ObservedBody::own(body, record))
}

/// The caller's `X-Request-Id` where it is `[A-Za-z0-9_-]{1,64}`, else one of ours.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let usable = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=64).contains(&bytes.len())
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    match headers.get(X_REQUEST_ID).filter(usable) {
        Some(given) => detached(given),
        None => random_id(),
    }
}

/// A copy in memory of its own. A clone would keep the whole head that it was read from, 8 KiB, for
/// as long as the request's record lives.
fn detached(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone())
}

fn random_id() -> HeaderValue {
    let mut random = [0; 12];
    // A generator that fails leaves zeros: an id that repeats is better than a request refused.
    let _ = rand::fill(&mut random);
    let mut id = String::with_capacity(20);
    id.push_str("gwr_");
    base64::Engine::encode_string(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        random,
        &mut id,
    );
    HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("gwr_unnamed"))
}
