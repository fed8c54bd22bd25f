//! One downstream connection: TLS, the choice of protocol, and its end.
//!
//! HTTP/2 by ALPN on TLS, by prior knowledge in plaintext; HTTP/1.1 otherwise. Every request is
//! answered by the gateway that is current when it begins.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::Active;
use super::io::{Patience, Patient, Reads, RequestGuard, Requests};
use super::readers::{Reader, Readers};
use crate::config::Config;
use crate::forward::body::{Broken, ObservedBody};

/// What a connection is given, as it was configured when the connection began.
#[derive(Clone, Copy)]
struct ConnectionConfig {
    head_timeout: Duration,
    idle_timeout: Duration,
    write_stall_timeout: Duration,
    h2_max_streams: u32,
    max_head: usize,
    max_headers: usize,
}

impl ConnectionConfig {
    fn of(config: &Config) -> Self {
        Self {
            head_timeout: config.server.head_timeout,
            idle_timeout: config.server.idle_timeout,
            write_stall_timeout: config.server.write_stall_timeout,
            h2_max_streams: config.server.h2_max_streams,
            max_head: config.limits.max_head,
            max_headers: config.limits.max_headers,
        }
    }
}

/// What every HTTP/2 connection begins with (RFC 9113 section 3.4); its first bytes begin no HTTP/1.1
/// request.
const H2_PREFACE_START: &[u8] = b"PRI ";

/// Resolves when the connection must finish what it is doing. A channel of its own for each
/// connection: it is polled whenever the connection is, and costs no lock that others share.
pub(super) type Closing = oneshot::Receiver<Infallible>;

/// Serves `socket` until it ends, or until it has finished what it was doing at shutdown.
pub(super) async fn serve(socket: TcpStream, active: Arc<Active>, mut closing: Closing) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let idle_timeout = active.load().config.server.idle_timeout;
    tokio::select! {
        biased;
        first = tokio::time::timeout(idle_timeout, socket.readable()) => {
            let Ok(Ok(())) = first else { return };
        }
        // A browser opens connections ahead of need: until the first byte this one is idle, and
        // nothing is lost if it ends.
        _ = &mut closing => return,
    }
    let generation = active.load_full();
    let config = ConnectionConfig::of(&generation.config);
    // Each step has memory of its own: a task is as large as its largest step for all its life, and
    // most connections are one plain HTTP/1.1 stream.
    let opening = Box::pin(open(socket, generation.tls.clone()));
    let opened = tokio::time::timeout(config.head_timeout, opening).await;
    drop(generation);
    match opened {
        Err(_) => tracing::debug!("the connection took too long to open"),
        Ok(Err(error)) => tracing::debug!(%error, "the connection could not be opened"),
        Ok(Ok((socket, true))) => Box::pin(converse_h2(socket, active, config, closing)).await,
        Ok(Ok((socket, false))) => Box::pin(converse_h1(socket, active, config, closing)).await,
    }
}

/// A connection, plain or TLS; a plain one does not carry the size of the other.
type Socket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// TLS, and whether HTTP/2 is spoken.
async fn open(
    socket: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> std::io::Result<(Socket, bool)> {
    let Some(tls) = tls else {
        let is_http2 = starts_http2(&socket).await?;
        return Ok((Either::Left(socket), is_http2));
    };
    let socket = TlsAcceptor::from(tls).accept(socket).await?;
    let is_http2 = socket.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Either::Right(Box::new(socket)), is_http2))
}

/// Whether the first bytes are those of HTTP/2; they stay unread.
async fn starts_http2(socket: &TcpStream) -> std::io::Result<bool> {
    let mut start = [0; H2_PREFACE_START.len()];
    loop {
        let seen = socket.peek(&mut start).await?;
        let seen = start.get(..seen).unwrap_or_default();
        if seen.is_empty() || !H2_PREFACE_START.starts_with(seen) {
            return Ok(false);
        }
        if seen.len() == H2_PREFACE_START.len() {
            return Ok(true);
        }
        // A peek that found too little returns at once the next time too.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Answers the requests of an HTTP/1.1 connection.
async fn converse_h1(
    socket: Socket,
    active: Arc<Active>,
    config: ConnectionConfig,
    mut closing: Closing,
) {
    let requests = Requests::default();
    let patience = Patience {
        reads: Some(Reads {
            head: config.head_timeout,
            idle: config.idle_timeout,
        }),
        stall: config.write_stall_timeout,
    };
    let socket = TokioIo::new(Patient::new(socket, requests.clone(), patience));
    let service = service_fn(move |request| {
        let guard = requests.begin();
        answer(Arc::clone(&active), request, guard, None)
    });
    let mut connection = pin!(h1_builder(config).serve_connection(socket, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = &mut closing => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Answers the requests of an HTTP/2 connection.
async fn converse_h2(
    socket: Socket,
    active: Arc<Active>,
    config: ConnectionConfig,
    mut closing: Closing,
) {
    let requests = Requests::default();
    let readers = Readers::default();
    let patience = Patience {
        reads: None,
        stall: config.write_stall_timeout,
    };
    let socket = TokioIo::new(Patient::new(socket, requests.clone(), patience));
    let (counted, read_by) = (requests.clone(), readers.clone());
    let service = service_fn(move |request| {
        let guard = counted.begin();
        answer(Arc::clone(&active), request, guard, Some(read_by.clone()))
    });
    let mut connection = pin!(h2_builder(config).serve_connection(socket, service));
    let idle = idle(&requests, config.idle_timeout);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = readers.stalled(config.write_stall_timeout) => {
            tracing::debug!("a stream's reader stopped reading");
            return;
        }
        () = async { tokio::select! { _ = &mut closing => {}, () = idle => {} } } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Answers one request by the gateway that is current when it begins.
///
/// Boxed, since hyper keeps room for the largest state of it as long as the connection lives, and a
/// stream lives long after its answer's head.
fn answer(
    active: Arc<Active>,
    request: Request<Incoming>,
    guard: RequestGuard,
    readers: Option<Readers>,
) -> Pin<Box<impl Future<Output = Result<Response<GuardedBody>, Infallible>>>> {
    Box::pin(async move {
        let gateway = Arc::clone(&active.load().gateway);
        let response = gateway.handle(request).await;
        Ok(response.map(|body| GuardedBody {
            body,
            reader: readers.map(|readers| readers.begin()),
            _guard: guard,
        }))
    })
}

/// hyper's limits are twice the gateway's, so that an ordinary excess gets the gateway's own answer.
fn h1_builder(config: ConnectionConfig) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // `Patient` keeps the time.
        .header_read_timeout(None)
        .max_headers(config.max_headers * 2)
        .max_header_size(config.max_head * 2)
        .max_buf_size((config.max_head * 2).max(64 * 1024))
        .keep_alive(true);
    builder
}

fn h2_builder(config: ConnectionConfig) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.h2_max_streams)
        .max_header_list_size(u32::try_from(config.max_head * 2).unwrap_or(u32::MAX))
        .max_local_error_reset_streams(64)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(config.idle_timeout)
        .keep_alive_timeout(config.head_timeout);
    builder
}

/// Returns once the connection had no request under way at two looks, `timeout` apart, in a row.
async fn idle(requests: &Requests, timeout: Duration) {
    let mut was_idle = false;
    loop {
        tokio::time::sleep(timeout / 2).await;
        let is_idle = requests.is_idle();
        if is_idle && was_idle {
            return;
        }
        was_idle = is_idle;
    }
}

/// An answer's body that keeps its request counted.
struct GuardedBody {
    body: ObservedBody,
    /// On HTTP/2.
    reader: Option<Reader>,
    _guard: RequestGuard,
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(reader) = &self.reader {
            match &frame {
                Poll::Ready(Some(Ok(_))) => reader.given(),
                Poll::Ready(_) | Poll::Pending => reader.waits(),
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
