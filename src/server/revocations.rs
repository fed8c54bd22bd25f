//! `/revocations` on the operators' listener: ends sessions, lists what was ended, takes it back.
//!
//! Guarantees: reached only behind `admin.token`; a body is read up to 16 KiB; every change is one
//! line of the log, in which users and sessions are keyed hashes; every answer is JSON.

mod answer;
mod order;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::Active;
use crate::budget::store::Shared;
use crate::gateway::Gateway;
use crate::generation::{Generation, Process};
use crate::revocation::{Heard, Revocation, RevocationId, SharedRevocations, Subject};
use answer::{Fault, Page as Shown};

/// The longest body.
const MAX_BODY: usize = 16 * 1024;

/// Revocations on one page of the list: without `limit`, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// What is asked about.
#[derive(Clone, Copy)]
pub(super) enum Page {
    /// All revocations.
    All,
    /// The one whose name ends the path.
    One,
}

impl Page {
    /// What `path` is about; `None` where it is about something else.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path.strip_prefix("/revocations")? {
            "" => Some(Self::All),
            rest if rest.starts_with('/') => Some(Self::One),
            _ => None,
        }
    }
}

/// Answers one operator.
pub(super) struct Desk<'a> {
    generation: &'a Generation,
    gateway: &'a Gateway,
    /// Through which other replicas hear of it.
    shared: Option<&'a SharedRevocations>,
    peer: SocketAddr,
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        generation: &'a Generation,
        shared: Option<&'a SharedRevocations>,
        peer: SocketAddr,
    ) -> Self {
        Self {
            generation,
            gateway: &generation.gateway,
            shared,
            peer,
        }
    }

    pub(super) async fn answer(
        &self,
        page: Page,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let answered = match (page, request.method()) {
            (Page::All, &Method::POST) => self.revoke(request).await,
            (Page::All, &Method::GET | &Method::HEAD) => self.list(request.uri().query()),
            (Page::All, _) => Err(Fault::Method("GET, HEAD, POST")),
            (Page::One, &Method::DELETE) => self.lift(request.uri().path()),
            (Page::One, _) => Err(Fault::Method("DELETE")),
        };
        answered.unwrap_or_else(Fault::response)
    }

    async fn revoke(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Fault> {
        let body = read(request).await?;
        let Gateway {
            clock,
            revocations,
            access_log,
            ..
        } = self.gateway;
        let now = clock.now();
        let order = order::read(&body, now)?;
        let max_age = self.generation.config.session.max_age;
        let revocation = revocations.revoke(order, max_age, now)?;
        access_log.metrics().revocations(revocations.len());
        if let Some(shared) = self.shared {
            shared.publish(&revocation);
        }
        let tokens_dropped = forget(self.gateway, &revocation).await;
        let (user, session) = self.hashes(&revocation);
        tracing::info!(
            id = %revocation.id,
            user,
            session,
            before = revocation.before.map(answer::time),
            reason = revocation.reason.as_deref(),
            tokens_dropped,
            peer = %self.peer,
            "sessions were revoked"
        );
        Ok(answer::created(&revocation, tokens_dropped))
    }

    fn list(&self, query: Option<&str>) -> Result<Response<Full<Bytes>>, Fault> {
        let Span { after, limit } = Span::read(query.unwrap_or_default())?;
        let revocations = &self.gateway.revocations;
        let now = self.gateway.clock.now();
        // One more tells whether there is another page.
        let mut listed = revocations.list(after, limit + 1, now);
        let has_more = listed.len() > limit;
        listed.truncate(limit);
        let next = listed.last().filter(|_| has_more);
        Ok(answer::json(&Shown {
            revocations: listed.iter().map(|held| answer::entry(held)).collect(),
            held: revocations.len(),
            next: next.map(|last| last.id.to_string()),
        }))
    }

    fn lift(&self, path: &str) -> Result<Response<Full<Bytes>>, Fault> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_direct = path.strip_prefix("/revocations/") == Some(name);
        let id = name.parse::<RevocationId>().ok().filter(|_| is_direct);
        let revocations = &self.gateway.revocations;
        let lifted = id
            .and_then(|id| revocations.lift(id))
            .ok_or(Fault::Unknown)?;
        if let Some(shared) = self.shared {
            shared.publish_lifted(&lifted);
        }
        let metrics = self.gateway.access_log.metrics();
        metrics.revocations(revocations.len());
        let (user, session) = self.hashes(&lifted);
        tracing::info!(
            id = %lifted.id,
            user,
            session,
            before = lifted.before.map(answer::time),
            reason = lifted.reason.as_deref(),
            peer = %self.peer,
            "a revocation was lifted"
        );
        Ok(answer::lifted())
    }

    /// What stands in the log for a user or a session.
    fn hashes(&self, revocation: &Revocation) -> (Option<String>, Option<String>) {
        let log = &self.gateway.access_log;
        match &revocation.subject {
            Subject::User(user) => (Some(log.hash(user.as_str())), None),
            Subject::Session(name) => (None, Some(log.hash(name.as_str()))),
        }
    }
}

/// Drops the tokens that were held for a subject, and counts them.
async fn forget(gateway: &Gateway, revocation: &Arc<Revocation>) -> usize {
    let (tokens, revocation) = (Arc::clone(&gateway.tokens), Arc::clone(revocation));
    // Off this thread, which accepts connections: it looks at every entry of the cache.
    let forgetting = tokio::task::spawn_blocking(move || match &revocation.subject {
        Subject::User(user) => tokens.forget_user(user),
        Subject::Session(name) => tokens.forget_session(name.as_str()),
    });
    forgetting.await.unwrap_or_default()
}

/// Puts in force what other replicas of `shared` revoke, and tells them what is revoked here.
pub(super) fn share(shared: &Shared, process: &Process, active: Arc<Active>) -> SharedRevocations {
    let heard = move |heard: Heard| match heard {
        Heard::Revoked(revocation) => {
            tracing::info!(id = %revocation.id, "sessions were revoked on another replica");
            let active = Arc::clone(&active);
            tokio::spawn(async move {
                let gateway = Arc::clone(&active.load().gateway);
                forget(&gateway, &revocation).await;
            });
        }
        Heard::Lifted(revocation) => {
            tracing::info!(id = %revocation.id, "a revocation was lifted on another replica");
        }
    };
    SharedRevocations::new(
        shared.redis().log("revocations"),
        Arc::clone(&process.revocations),
        process.clock.clone(),
        Box::new(heard),
    )
}

/// Which part of the list.
struct Span {
    after: Option<RevocationId>,
    limit: usize,
}

impl Span {
    fn read(query: &str) -> Result<Self, Fault> {
        let mut span = Self {
            after: None,
            limit: USUAL,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("limit", count) => {
                    let limit = count
                        .parse()
                        .ok()
                        .filter(|limit| (1..=MOST).contains(limit));
                    let fault = || Fault::field("limit", "must be a number from 1 to 1000");
                    span.limit = limit.ok_or_else(fault)?;
                }
                ("after", id) => {
                    let fault = |()| Fault::field("after", "must be the `next` of another page");
                    span.after = Some(id.parse().map_err(fault)?);
                }
                _ => return Err(Fault::body("the query may have `limit` and `after`")),
            }
        }
        Ok(span)
    }
}

/// The whole body of a request that says it is JSON.
async fn read(request: Request<Incoming>) -> Result<Bytes, Fault> {
    if !is_json(request.headers()) {
        return Err(Fault::Media);
    }
    let body = request.into_body();
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(Fault::TooLarge);
    }
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Fault::TooLarge),
        Err(_) => Err(Fault::body("the body broke off")),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(http::header::CONTENT_TYPE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return false;
    };
    let media = line.as_bytes().split(|byte| *byte == b';').next();
    media.is_some_and(|media| media.trim_ascii().eq_ignore_ascii_case(b"application/json"))
}
