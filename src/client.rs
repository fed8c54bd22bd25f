//! The one way out: a client for one origin, HTTP/1.1 over TCP or TLS, pooled per worker.
//!
//! Guarantees: a request is never sent twice once its first byte was written; a connection whose
//! exchange did not end cleanly is closed at once and never reused; dropping a response (or the
//! future that waits for it) closes its connection, which is how Behest learns that the caller left.

mod connect;
mod framing;
mod lease;
mod outbound;
mod send_body;
mod upgrade;
mod watched;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use crate::clock;
use connect::Io;
pub use connect::{ConnectError, Connector, OriginError};
pub use framing::framing_fault;
use lease::{Connection, Lease, Pools};
pub use lease::{ResponseBody, enter_worker};
pub use outbound::Outbound;
use send_body::Progress;
pub use send_body::{SendBody, SendBodyError};
pub use upgrade::{Switch, Switched};
use watched::{NoHead, Watch};

/// Any error, as bodies carry it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

type Sender = http1::SendRequest<SendBody>;

/// How connections are made and kept.
#[derive(Clone, Copy, Debug)]
pub struct ClientConfig {
    /// TCP, proxy and TLS together.
    pub connect_timeout: Duration,
    /// From the last piece of the request to the head of its answer.
    pub first_byte_timeout: Duration,
    /// An idle connection is kept this long.
    pub pool_idle_timeout: Duration,
    /// A connection is used this long, so that pools follow DNS.
    pub pool_max_age: Duration,
    /// Pools, one for each worker thread.
    pub workers: usize,
}

/// Why an exchange with another server failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect")]
    Connect(#[from] ConnectError),
    /// No connection in time.
    #[error("no connection within {}", humantime::format_duration(*.0))]
    ConnectTimeout(Duration),
    /// No answer's head in time.
    #[error("no answer within {}", humantime::format_duration(*.0))]
    FirstByteTimeout(Duration),
    /// The connection ended before an answer.
    #[error("the connection ended before an answer")]
    Closed(#[source] hyper::Error),
    /// What came back is not HTTP.
    #[error("the answer is not valid HTTP/1.1")]
    Invalid(#[source] hyper::Error),
    /// A whole small answer was cut short.
    #[error("the answer was cut short")]
    Cut(#[source] BoxError),
    /// A whole small answer was larger than allowed.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl ClientError {
    /// Whether time ran out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::ConnectTimeout(_) | Self::FirstByteTimeout(_))
    }

    /// The fault in the request's own body, where that is why the exchange failed.
    #[must_use]
    pub fn body_fault(&self) -> Option<SendBodyError> {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(cause) = source {
            if let Some(fault) = cause.downcast_ref() {
                return Some(*fault);
            }
            source = cause.source();
        }
        None
    }
}

/// Calls one origin. Cheap to clone; pools are shared between clones.
#[derive(Clone)]
pub struct Client {
    connector: Arc<Connector>,
    pools: Arc<Pools>,
    config: ClientConfig,
}

impl Client {
    /// A client for `connector`'s origin.
    #[must_use]
    pub fn new(connector: Connector, config: ClientConfig) -> Self {
        Self {
            connector: Arc::new(connector),
            pools: Arc::new(Pools::new(config)),
            config,
        }
    }

    /// The same client with connections of its own.
    #[must_use]
    pub fn with_own_pools(&self) -> Self {
        Self {
            pools: Arc::new(Pools::new(self.config)),
            ..self.clone()
        }
    }

    /// Closes pooled connections that have been idle too long, are too old, or were closed from the
    /// other side. To be called every second or so, from any thread; cheap.
    pub fn sweep(&self) {
        self.pools.sweep();
    }

    /// The origin's `Host` value.
    #[must_use]
    pub fn host(&self) -> &HeaderValue {
        self.connector.host()
    }

    /// Sends `request`, whose target is a path and whose `Host` is [`Client::host`], and returns
    /// when the answer's head is there.
    ///
    /// # Errors
    /// No connection, no answer in time, or an answer that is not HTTP.
    pub async fn send(
        &self,
        mut request: Request<SendBody>,
    ) -> Result<Response<ResponseBody>, ClientError> {
        let mut pooled = self.pools.take();
        loop {
            let fresh = pooled.is_none();
            let mut lease = match pooled.take() {
                Some(lease) => lease,
                None => self.connect(Driver::start).await?,
            };
            lease.watch().begin(!fresh);
            let progress = request.body().progress();
            let answer = lease.sender().try_send_request(request);
            match self.in_time(progress, answer).await? {
                Ok(response) => {
                    lease.watch().answered();
                    return Ok(response.map(|incoming| ResponseBody::new(incoming, lease)));
                }
                // The pooled connection was dead and nothing was written: once, on a fresh one.
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(classify(failed.into_error())),
                },
            }
        }
    }

    /// `answer`, if it comes within the first-byte timeout of the request's last piece.
    async fn in_time<T>(
        &self,
        progress: Option<Progress>,
        answer: impl Future<Output = T>,
    ) -> Result<T, ClientError> {
        let timeout = self.config.first_byte_timeout;
        let mut answer = std::pin::pin!(answer);
        let mut left = timeout;
        loop {
            if let Ok(answer) = tokio::time::timeout(left, answer.as_mut()).await {
                return Ok(answer);
            }
            // Time is up, unless the body was still on its way meanwhile.
            let last = progress.as_ref().and_then(Progress::last);
            let since = last.map_or(timeout, |last| clock::monotonic().duration_since(last));
            left = timeout.saturating_sub(since);
            if left.is_zero() {
                return Err(ClientError::FirstByteTimeout(timeout));
            }
        }
    }

    /// A whole small exchange: the answer's body is read up to `limit` bytes, all within `timeout`.
    /// Redirects are never followed.
    ///
    /// # Errors
    /// Anything but a complete answer in time.
    pub async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
        limit: usize,
        timeout: Duration,
    ) -> Result<Response<Bytes>, ClientError> {
        request
            .headers_mut()
            .insert(http::header::HOST, self.host().clone());
        let whole = async {
            let (head, body) = self.send(request.map(SendBody::from)).await?.into_parts();
            let body = Limited::new(body, limit).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    ClientError::TooLarge(limit)
                } else {
                    ClientError::Cut(error)
                }
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(timeout, whole)
            .await
            .map_err(|_| ClientError::FirstByteTimeout(timeout))?
    }

    /// A fresh connection, its driver running on this worker as `start` starts it.
    async fn connect(&self, start: fn(Wire) -> AbortHandle) -> Result<Lease, ClientError> {
        let within = self.config.connect_timeout;
        let watch = Arc::new(Watch::default());
        let io = tokio::time::timeout(within, self.connector.connect(Arc::clone(&watch)))
            .await
            .map_err(|_| ClientError::ConnectTimeout(within))??;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(64 * 1024)
            // The buffer alone would let a head of nearly twice its size through.
            .max_header_size(64 * 1024)
            .max_headers(200)
            .handshake(TokioIo::new(io))
            .await
            .map_err(ClientError::Closed)?;
        let driver = start(connection);
        let opened = clock::monotonic();
        let connection = Connection::new(sender, driver, watch, opened);
        Ok(Lease::new(connection, Arc::clone(&self.pools)))
    }
}

/// Drives a connection to its end. An async block would hold it twice: as what it captured, and as
/// what it awaits.
struct Driver(Wire);

/// A connection to the origin, as hyper drives it.
type Wire = http1::Connection<TokioIo<Io>, SendBody>;

impl Driver {
    fn start(wire: Wire) -> AbortHandle {
        tokio::spawn(Self(wire)).abort_handle()
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(error) = ready!(Pin::new(&mut self.0).poll(cx)) {
            tracing::debug!(%error, "upstream connection ended");
        }
        Poll::Ready(())
    }
}

fn classify(error: hyper::Error) -> ClientError {
    if error.is_parse() || error.is_parse_too_large() || has_no_head(&error) {
        ClientError::Invalid(error)
    } else {
        ClientError::Closed(error)
    }
}

/// Whether the answer was given up because its head never came to an end.
fn has_no_head(error: &hyper::Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::get_ref)
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<NoHead>)
}
