//! The way to the app: everything outside `/v1`, passed on as it is, both ways.
//!
//! Guarantees: nothing that is sent from here carries a Behest token. A request for the app is made
//! from a [`ForApp`] alone, which no token can be attached to, and this module knows neither tokens
//! nor sessions (`tests/it/layers.rs`). An [`Admitted`](crate::admission::Admitted), which can be given
//! one, cannot come here:
//!
//! ```compile_fail,E0308
//! # use behest_gateway::admission::Admitted;
//! # use behest_gateway::app::{App, Forwarding};
//! async fn passed(app: &App, admitted: Admitted, forwarding: &Forwarding) {
//!     let _ = app.pass(admitted, forwarding).await;
//! }
//! ```

mod body;
mod headers;
mod probe;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, request};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

pub use self::body::{AppBody, AppBodyError};
pub use self::headers::Forwarding;
pub use self::probe::Probed;
use self::probe::Prober;
pub use self::tunnel::Tunnel;
use crate::admission::ForApp;
use crate::client::{
    Client, ClientError, ResponseBody, SendBody, SendBodyError, Switch, framing_fault,
};

/// A body of this many bytes at most, which says its length, is read before it is sent.
const HELD: u64 = 64 * 1024;

/// Where the app is, and how long it is waited for (`[app]`).
#[derive(Clone, Debug)]
pub struct AppConfig {
    /// Its origin; the path is not looked at.
    pub origin: Uri,
    /// For a TCP and TLS connection; default 5 s.
    pub connect_timeout: Duration,
    /// From the request's last byte to the answer's head; default 600 s.
    pub first_byte_timeout: Duration,
    /// Between two bytes of an answer, and for a small body of a request; default 300 s. Not for WebSockets.
    pub idle_timeout: Duration,
    /// What it is asked when somebody wants to know whether it answers; default `/`.
    pub health_path: PathAndQuery,
}

/// The app behind the gateway.
pub struct App {
    client: Client,
    idle_timeout: Duration,
    cut: CancellationToken,
    prober: Prober,
}

/// What the app answers.
pub enum Passed {
    /// As HTTP.
    Answer(Response<AppBody>),
    /// It opens the WebSocket: the head of its answer, and the connection.
    Tunnel(Response<()>, Tunnel),
}

/// Why the app did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The call itself failed.
    #[error("no answer from the app (app.url, GATEWAY_APP_URL)")]
    Client(#[source] ClientError),
    /// An answer that cannot be passed on.
    #[error("unusable answer from the app: {0}")]
    Answer(&'static str),
    /// The request's body broke off or its framing is wrong.
    #[error("the request's body broke off")]
    BodyBroken,
    /// The request's body came too slowly.
    #[error("the request's small body took longer than app.idle_timeout")]
    BodySlow,
    /// A target or a host that no request can carry.
    #[error("the request's target or host cannot be passed on")]
    Target,
}

impl From<ClientError> for AppError {
    fn from(error: ClientError) -> Self {
        match error.body_fault() {
            Some(_) => Self::BodyBroken,
            None => Self::Client(error),
        }
    }
}

impl App {
    /// The app behind `client`. An answer that is silent for `idle_timeout` is cut, and so is all that
    /// lasts once `cut` is cancelled; `health_path` is what [`probe`](Self::probe) asks for.
    #[must_use]
    pub fn new(
        client: Client,
        idle_timeout: Duration,
        cut: CancellationToken,
        health_path: PathAndQuery,
    ) -> Self {
        Self {
            prober: Prober::new(&client, health_path),
            client,
            idle_timeout,
            cut,
        }
    }

    /// Whether it answers: asked now, or less than a second ago.
    pub async fn probe(&self) -> Arc<Probed> {
        self.prober.probe().await
    }

    /// Closes pooled connections that can no longer be used ([`Client::sweep`]).
    pub fn sweep_connections(&self) {
        self.client.sweep();
    }

    /// Passes `request` on, and returns when the head of the answer is there.
    ///
    /// # Errors
    /// No answer, or one that cannot be passed on.
    pub async fn pass(&self, request: ForApp, forwarding: &Forwarding) -> Result<Passed, AppError> {
        let host = HeaderValue::from_str(request.host()).map_err(|_| AppError::Target)?;
        let (parts, body, is_websocket) = request.into_parts();
        let body = self.to_send(body).await?;
        let request = rewritten(&parts, body, host, forwarding)?;
        if is_websocket {
            return self.open(request).await;
        }
        let response = self.client.send(request).await?;
        if response.status().is_informational() {
            return Err(AppError::Answer(
                "a switch of protocols that was not asked for",
            ));
        }
        self.answer(response)
    }

    /// The caller's body: a small one whole, so that a slow sender does not hold one of the app's
    /// connections and head and body go out at once; others as they come. How large one may be, and how
    /// slow, is the app's affair, but for the wait for its next piece.
    async fn to_send(&self, body: Incoming) -> Result<SendBody, AppError> {
        if body.is_end_stream() {
            return Ok(SendBody::from(Full::default()));
        }
        let is_small = |length| length <= HELD;
        if !body.size_hint().exact().is_some_and(is_small) {
            let body = body.map_err(|_| SendBodyError::Broken).boxed_unsync();
            return Ok(SendBody::streamed(body));
        }
        let whole = tokio::time::timeout(self.idle_timeout, body.collect()).await;
        let whole = whole.map_err(|_| AppError::BodySlow)?;
        let whole = whole.map_err(|_| AppError::BodyBroken)?;
        Ok(SendBody::from(Full::new(whole.to_bytes())))
    }

    /// Asks the app for a WebSocket.
    async fn open(&self, mut request: Request<SendBody>) -> Result<Passed, AppError> {
        headers::ask_for_websocket(request.headers_mut());
        match self.client.switch(request).await? {
            Switch::Answered(response) => self.answer(response),
            Switch::Switched(response, switched) => {
                if !headers::is_websocket(response.headers()) {
                    return Err(AppError::Answer(
                        "a switch to another protocol than asked for",
                    ));
                }
                let mut response = cleaned(response);
                headers::ask_for_websocket(response.headers_mut());
                let tunnel = Tunnel::new(switched, self.cut.clone());
                Ok(Passed::Tunnel(response, tunnel))
            }
        }
    }

    fn answer(&self, response: Response<ResponseBody>) -> Result<Passed, AppError> {
        if let Some(fault) = framing_fault(response.headers()) {
            return Err(AppError::Answer(fault));
        }
        if response.status().as_u16() > 599 {
            return Err(AppError::Answer("a status that HTTP has not"));
        }
        let response = cleaned(response);
        let body = |body| AppBody::new(body, self.idle_timeout, self.cut.clone());
        Ok(Passed::Answer(response.map(body)))
    }
}

/// The request as the app gets it.
fn rewritten(
    parts: &request::Parts,
    body: SendBody,
    host: HeaderValue,
    forwarding: &Forwarding,
) -> Result<Request<SendBody>, AppError> {
    let target = parts.uri.path_and_query().ok_or(AppError::Target)?;
    let is_empty = body.is_end_stream();
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = Uri::from(target.clone());
    let mut headers = forwarding.request_headers(&parts.headers);
    headers.insert(HOST, host);
    if is_empty && [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method) {
        // hyper states no length of an empty body; many servers answer 411 without one.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    }
    *request.headers_mut() = headers;
    Ok(request)
}

/// The answer without what is of its connection alone.
fn cleaned<B>(response: Response<B>) -> Response<B> {
    let (mut head, body) = response.into_parts();
    headers::remove_hop_by_hop(&mut head.headers);
    head.extensions.clear();
    head.version = http::Version::HTTP_11;
    Response::from_parts(head, body)
}

/// Whether a browser's page is what the request asks for, and not data: an error is then shown as one.
#[must_use]
pub fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(http::header::ACCEPT);
    accept.is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"))
}
