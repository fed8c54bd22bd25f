//! One request, from its head to its answer's body: the straight function that the crate is about.

use std::sync::Arc;

use aws_lc_rs::rand;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::admission::limits::Slot;
use crate::admission::{Admission, Admitted};
use crate::clock::Clock;
use crate::error::{self, Code, GatewayError};
use crate::forward::body::{ObservedBody, Relay};
use crate::forward::headers::{self, X_REQUEST_ID, X_TRACE_ID};
use crate::forward::upstream::{Answer, Upstream};
use crate::forward::{ForwardError, Outgoing, Rewrite};
use crate::session::{Session, SessionAuthenticator};
use crate::telemetry;
use crate::telemetry::access_log::{AccessLog, Record};
use crate::token::TokenCache;

/// A gateway: immutable, made from one configuration. A changed one is another gateway.
pub struct Gateway {
    /// Reads the time, once for each request.
    pub clock: Clock,
    /// What may be asked.
    pub admission: Admission,
    /// Recognises the user.
    pub sessions: SessionAuthenticator,
    /// The user's token.
    pub tokens: Arc<TokenCache>,
    /// How requests are rewritten.
    pub rewrite: Rewrite,
    /// Behest.
    pub upstream: Upstream,
    /// How long Behest may be silent within an answer.
    pub idle_timeout: std::time::Duration,
    /// What happened.
    pub access_log: Arc<AccessLog>,
    /// Cancelled when live streams must end.
    pub cut: CancellationToken,
}

impl Gateway {
    /// Answers every request: a failure becomes a response here and nowhere else.
    pub async fn handle(&self, request: Request<Incoming>) -> Response<ObservedBody> {
        let request_id = request_id(request.headers());
        let is_head = request.method() == Method::HEAD;
        let mut record = self
            .access_log
            .begin(request.method().clone(), request_id.clone());
        match self.forward(request, &mut record).await {
            Ok((response, slot)) => self.pass_on(response, is_head, slot, record),
            Err(error) => refuse(&error, record),
        }
    }

    /// One request, top to bottom. Every step may end it.
    async fn forward(
        &self,
        request: Request<Incoming>,
        record: &mut Record,
    ) -> Result<(Response<crate::client::ResponseBody>, Slot), GatewayError> {
        let now = self.clock.now();
        let admitted = self.admission.admit(request, &mut record.route)?;
        let session = self.authenticate(&admitted, now, record).await?;
        let slot = self.admission.limits().enter(&session.identity.user)?;
        let request_id = record.request_id().clone();
        let mut outgoing = Outgoing::prepare(admitted, &self.rewrite, request_id).await?;
        // Reading the body may have taken longer than the token had left.
        let token = self
            .tokens
            .token(&session.identity, self.clock.now())
            .await?;
        let first = outgoing.authorize(&token).ok_or(ForwardError::BodyBroken)?;
        record.sent();
        let answer = match self.upstream.send(first, self.rewrite.max_body).await? {
            Answer::Passed(response) => response,
            Answer::Unauthorized if !outgoing.is_replayable() => {
                self.tokens
                    .renew_in_background(&session.identity, &token, self.clock.now())?;
                return Err(ForwardError::TokenRenewed.into());
            }
            Answer::Unauthorized => {
                let now = self.clock.now();
                let token = self.tokens.renew(&session.identity, &token, now).await?;
                let again = outgoing.authorize(&token).ok_or(ForwardError::BodyBroken)?;
                record.sent();
                match self.upstream.send(again, self.rewrite.max_body).await? {
                    Answer::Passed(response) => response,
                    Answer::Unauthorized => return Err(ForwardError::TokenRejected.into()),
                }
            }
        };
        record.answered();
        Ok((answer, slot))
    }

    async fn authenticate(
        &self,
        admitted: &Admitted,
        now: crate::clock::Now,
        record: &mut Record,
    ) -> Result<Session, GatewayError> {
        let metrics = self.access_log.metrics();
        match self.sessions.authenticate(admitted.headers(), now).await {
            Ok(session) => {
                record.provider = session.provider;
                record.user = Some(session.identity.user.clone());
                metrics.session(session.provider, Code::Ok.label());
                Ok(session)
            }
            Err(error) => {
                record.provider = error.provider();
                metrics.session(error.provider(), error.code());
                Err(error.into())
            }
        }
    }

    fn pass_on(
        &self,
        response: Response<crate::client::ResponseBody>,
        is_head: bool,
        slot: Slot,
        mut record: Record,
    ) -> Response<ObservedBody> {
        let (mut head, body) = response.into_parts();
        record.status = head.status.as_u16();
        record.code = match record.status {
            ..400 => Code::Ok,
            400..500 => Code::Upstream4xx,
            500.. => Code::Upstream5xx,
        };
        record.trace_id = head
            .headers
            .get(&X_TRACE_ID)
            .filter(|id| id.len() <= 128)
            .map(detached);
        // A coded stream's bytes are no events.
        let is_event_stream = headers::is_event_stream(&head.headers)
            && !head.headers.contains_key(http::header::CONTENT_ENCODING);
        head.headers = self
            .rewrite
            .policy
            .rewrite_response(&head, is_head, record.request_id());
        head.extensions.clear();
        head.version = http::Version::HTTP_11;
        let relay = Relay::new(
            body,
            is_event_stream,
            self.idle_timeout,
            self.cut.clone(),
            slot,
        );
        Response::from_parts(head, ObservedBody::upstream(relay, record))
    }
}

/// The gateway's own answer to a failed request.
fn refuse(error: &GatewayError, mut record: Record) -> Response<ObservedBody> {
    let verdict = error.verdict();
    record.status = verdict.status.as_u16();
    record.code = verdict.code;
    record.reason = Some(telemetry::chain(error));
    let request_id = record.request_id().clone();
    let mut response = error::response(error, &verdict, request_id.to_str().unwrap_or_default());
    headers::finish_response(response.headers_mut(), &request_id);
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
