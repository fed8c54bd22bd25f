//! The operators' listener: `/livez`, `/readyz`, `/metrics` and the files of the page are open and tell
//! nothing of users; anything else exists only with `admin.token`, and asks for it.
//!
//! Guarantees: a connection has one request, and it is closed after 10 s, whatever its caller does; no
//! body is read but a small one from whoever has the token; where too many connections are open the
//! oldest makes room, so that a flood of silent ones does not keep a probe from its answer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::revocations::{Desk, Page};
use super::{Active, InForce, Shutdown};
use super::{appz, page, usage};
use crate::revocation::SharedRevocations;
use crate::telemetry::line_budget::LineBudget;
use crate::telemetry::metrics::Metrics;
use crate::usage::UsageView;

/// Connections at once; probes and scrapers need few.
const MAX_CONNECTIONS: usize = 64;

/// For a whole connection: its head, its answer, and the caller's reading of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a head, and its lines.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// Between two lines about refused tokens, steadily.
const REFUSED_EVERY: Duration = Duration::from_secs(5);

/// What the pages are made of.
#[derive(Clone)]
pub(super) struct Pages {
    pub(super) metrics: Arc<Metrics>,
    pub(super) shutdown: Shutdown,
    /// Knows the token.
    pub(super) active: Arc<Active>,
    pub(super) in_force: InForce,
    pub(super) usage: Arc<UsageView>,
    /// Through which other replicas hear of revocations.
    pub(super) shared: Option<Arc<SharedRevocations>>,
}

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, pages: Pages) {
    let refused = Arc::new(LineBudget::default());
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((socket, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        if open.len() >= MAX_CONNECTIONS {
            open.retain(|connection| !connection.is_finished());
        }
        if open.len() >= MAX_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let visitor = Visitor {
            peer,
            pages: pages.clone(),
            refused: Arc::clone(&refused),
        };
        open.push_back(tokio::spawn(visitor.converse(socket)).abort_handle());
    }
}

/// One connection.
struct Visitor {
    peer: SocketAddr,
    pages: Pages,
    refused: Arc<LineBudget>,
}

impl Visitor {
    async fn converse(self, socket: TcpStream) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.answer(request).await));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .keep_alive(false)
            .serve_connection(TokioIo::new(socket), service);
        match tokio::time::timeout(PATIENCE, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "admin connection ended"),
            Err(_) => tracing::debug!("an admin connection took too long"),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        // Whether there is a token, so that the page can say how to set one: a 401 would tell as much.
        let file = if path == "/page/token" {
            let is_set = self.pages.active.load().config.admin.token.is_some();
            Some(page::token(is_set))
        } else {
            page::file(path)
        };
        if !["/livez", "/readyz", "/metrics"].contains(&path)
            && file.is_none()
            && let Some(refused) = self.refuse(request.headers())
        {
            return refused;
        }
        if let Some(page) = Page::of(path) {
            let generation = self.pages.active.load_full();
            return Desk::new(&generation, self.pages.shared.as_deref(), self.peer)
                .answer(page, request)
                .await;
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            let offered = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, offered);
            return response;
        }
        if let Some(file) = file {
            return file;
        }
        match path {
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" if self.pages.shutdown.is_ready() => text(StatusCode::OK, "ready\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            "/metrics" => self.metrics(),
            "/appz" => self.app().await,
            "/config" => text(StatusCode::OK, self.pages.in_force.text()),
            "/usage" => self.usage(request.uri().query()).await,
            "/usage/live" => self.usage_live(),
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /, /appz, /config, /revocations, /usage and /usage/live\n",
            ),
        }
    }

    /// The one guard of everything that is not open. Without `admin.token` there is nothing behind it.
    fn refuse(&self, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
        let active = self.pages.active.load();
        let Some(token) = &active.config.admin.token else {
            let known = "try /livez, /readyz or /metrics; admin.token opens the rest\n";
            return Some(text(StatusCode::NOT_FOUND, known));
        };
        let given = bearer(headers).unwrap_or_default();
        if verify_slices_are_equal(given, token.expose()).is_ok() {
            return None;
        }
        let now = crate::clock::monotonic();
        if self.refused.admit(REFUSED_EVERY, now) {
            let left_out = self.refused.take_left_out();
            tracing::warn!(
                peer = %self.peer,
                left_out,
                "refused on the admin listener: Authorization: Bearer with admin.token is needed"
            );
        }
        let mut response = text(
            StatusCode::UNAUTHORIZED,
            "send Authorization: Bearer and admin.token\n",
        );
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        Some(response)
    }

    async fn app(&self) -> Response<Full<Bytes>> {
        let (status, page) = appz::page(&self.pages.active.load_full()).await;
        let mut response = text(status, page);
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }

    async fn usage(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let now = self.pages.active.load().gateway.clock.now();
        usage::report(Arc::clone(&self.pages.usage), query, now).await
    }

    fn usage_live(&self) -> Response<Full<Bytes>> {
        let Pages {
            active,
            metrics,
            usage,
            ..
        } = &self.pages;
        let gateway = &active.load().gateway;
        usage::live(usage, gateway, metrics, gateway.clock.now())
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        self.pages.metrics.page().map_or_else(
            |error| {
                tracing::error!(%error, "metrics");
                let shown = "metrics cannot be shown\n";
                text(StatusCode::INTERNAL_SERVER_ERROR, shown)
            },
            |page| text(StatusCode::OK, page),
        )
    }
}

/// The token of the only `Authorization: Bearer …` line.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let line = lines.next().filter(|_| lines.next().is_none())?;
    let (scheme, token) = line.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        // The version is that of Prometheus' text format; harmless on the other pages.
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
