//! One downstream connection: TLS, the choice of protocol, and its end.
//!
//! HTTP/2 by ALPN on TLS, by prior knowledge in plaintext; HTTP/1.1 otherwise. Every request is
//! answered by the gateway that is current when it begins.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::Active;
use super::guarded_body::GuardedBody;
use super::io::{Patience, Patient};
use super::open::{Closing, End};
use super::readers::Readers;
use super::refused;
use super::requests::Requests;
use crate::config::Config;
use crate::gateway::{AppTunnel, Reply};

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

/// When the server stops, a connection without a request is looked at for this long: a request that
/// has come and was not read yet is still answered. One that the caller sends later is lost with the
/// connection, as HTTP/1.1 has it (RFC 9112 section 9.3.1).
const LAST_LOOK: Duration = Duration::from_millis(100);

/// An HTTP/2 connection on which this many times its streams' limit were reset is told to go:
/// callers who change their minds go on with another, floods have to begin again.
const RESETS_PER_STREAM: u32 = 2;

/// So long it then has to go.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves `socket` until it ends, or until it has finished what it was doing when `closing` tells it
/// to. Its requests are counted in `requests`.
pub(super) async fn serve(
    socket: TcpStream,
    active: Arc<Active>,
    requests: Requests,
    mut closing: Closing,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    // A connection without another end has ended.
    let Ok(peer) = socket.peer_addr() else { return };
    let idle_timeout = active.load().config.server.idle_timeout;
    // A browser opens connections ahead of need: until the first byte this one is idle, and nothing
    // is lost if it ends.
    let patience = tokio::select! {
        biased;
        first = tokio::time::timeout(idle_timeout, socket.readable()) => {
            let Ok(Ok(())) = first else { return };
            Duration::ZERO
        }
        end = closing.told() => match end {
            End::Drain => LAST_LOOK,
            End::Shed => return,
        }
    };
    if !patience.is_zero() {
        let first = tokio::time::timeout(patience, socket.readable()).await;
        let Ok(Ok(())) = first else { return };
    }
    let generation = active.load_full();
    let config = ConnectionConfig::of(&generation.config);
    // Each step has memory of its own: a task is as large as its largest step for all its life, and
    // most connections are one plain HTTP/1.1 stream.
    let opening = Box::pin(open(socket, generation.tls.clone()));
    drop(generation);
    let opened = tokio::select! {
        opened = tokio::time::timeout(config.head_timeout, opening) => opened,
        () = shed(&mut closing) => return,
    };
    match opened {
        Err(_) => tracing::debug!("the connection took too long to open"),
        Ok(Err(error)) => tracing::debug!(%error, "the connection could not be opened"),
        Ok(Ok((socket, is_http2))) => {
            let answering = Answering {
                active,
                peer: peer.ip(),
                requests,
                tunnel: TunnelPlace::default(),
            };
            let ended = if is_http2 {
                Box::pin(converse_http2(socket, &answering, config, closing)).await
            } else {
                Box::pin(converse_http1(socket, &answering, config, closing)).await
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
                refused::note(
                    &error,
                    peer.ip(),
                    &answering.active.load().gateway.access_log,
                );
            }
        }
    }
}

/// Returns when the connection's place is needed; a server that stops waits for it.
async fn shed(closing: &mut Closing) {
    if closing.told().await == End::Drain {
        std::future::pending::<()>().await;
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

/// How one connection's requests are answered.
struct Answering {
    active: Arc<Active>,
    peer: IpAddr,
    requests: Requests,
    /// What an HTTP/1.1 connection becomes after its last answer.
    tunnel: TunnelPlace,
}

/// Where a request leaves the WebSocket that it has opened.
type TunnelPlace = Arc<Mutex<Option<Box<AppTunnel>>>>;

impl Answering {
    /// Answers one request by the gateway that is current when it begins; `readers` are HTTP/2's.
    ///
    /// Boxed, since hyper keeps room for the largest state of it as long as the connection lives, and
    /// a stream lives long after its answer's head.
    fn answer(
        &self,
        request: Request<Incoming>,
        readers: Option<Readers>,
    ) -> Pin<Box<impl Future<Output = Result<Response<GuardedBody>, Infallible>> + use<>>> {
        let (active, peer) = (Arc::clone(&self.active), self.peer);
        let (guard, place) = (self.requests.begin(), Arc::clone(&self.tunnel));
        Box::pin(async move {
            let gateway = Arc::clone(&active.load().gateway);
            let mut response = match gateway.handle(request, peer).await {
                Reply::Answer(response) => response.map(Some),
                Reply::Tunnel(head, tunnel) => {
                    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
                    return Ok(head.map(|()| GuardedBody::new(None, None, guard)));
                }
            };
            if readers.is_none() && guard.is_last() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok(response.map(|body| GuardedBody::new(body, readers.as_ref(), guard)))
        })
    }

    /// `socket` as hyper is given it.
    fn patient(
        &self,
        socket: Socket,
        config: ConnectionConfig,
        is_http2: bool,
    ) -> TokioIo<Patient<Socket>> {
        let patience = Patience {
            head: config.head_timeout,
            idle: config.idle_timeout,
            stall: config.write_stall_timeout,
        };
        let requests = self.requests.clone();
        TokioIo::new(Patient::new(socket, requests, patience, is_http2))
    }
}

async fn converse_http1(
    socket: Socket,
    answering: &Answering,
    config: ConnectionConfig,
    mut closing: Closing,
) -> hyper::Result<()> {
    let requests = &answering.requests;
    let socket = answering.patient(socket, config, false);
    let service = service_fn(|request| answering.answer(request, None));
    let mut connection = h1_builder(config).serve_connection(socket, service);
    // What has come is read before the connection is taken for idle.
    let told = tokio::select! {
        biased;
        ended = &mut connection => { ended?; None }
        end = closing.told() => Some(end),
    };
    if let Some(end) = told {
        if end == End::Shed && requests.is_idle() {
            return Ok(());
        }
        // Whoever was not told with an answer's head may ask once more, and is told then.
        requests.close();
        tokio::select! {
            biased;
            ended = &mut connection => ended?,
            () = requests.are_over(LAST_LOOK) => {
                Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await?;
            }
        }
    }
    let place = &answering.tunnel;
    let tunnel = place.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(tunnel) = tunnel {
        // A request is under way as long as the WebSocket is open.
        let _guard = requests.begin();
        let parts = connection.into_parts();
        Box::pin(tunnel.run(parts.io.into_inner(), &parts.read_buf)).await;
    }
    Ok(())
}

async fn converse_http2(
    socket: Socket,
    answering: &Answering,
    config: ConnectionConfig,
    mut closing: Closing,
) -> hyper::Result<()> {
    let requests = &answering.requests;
    let readers = Readers::default();
    let socket = answering.patient(socket, config, true);
    let service = service_fn(|request| answering.answer(request, Some(readers.clone())));
    let mut connection = pin!(h2_builder(config).serve_connection(socket, service));
    let mut stalled = pin!(readers.stalled(config.write_stall_timeout));
    let most_resets = config.h2_max_streams.saturating_mul(RESETS_PER_STREAM);
    let (mut patience, mut floods) = (config.head_timeout, false);
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        () = stalled.as_mut() => {
            tracing::debug!("a stream's reader stopped reading");
            return Ok(());
        }
        () = requests.cut_short(most_resets) => {
            tracing::debug!("too many streams were reset");
            (patience, floods) = (GOODBYE, true);
        }
        end = closing.told() => if end == End::Shed {
            patience = Duration::ZERO;
        },
        () = idle(requests, config.idle_timeout) => {}
    }
    connection.as_mut().graceful_shutdown();
    let mut begun = None;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            () = stalled.as_mut() => return Ok(()),
            () = tokio::time::sleep(patience) => {}
        }
        // A caller that was told to go and neither goes nor answers; or one that goes on asking.
        let asks = begun.is_some_and(|begun| begun != requests.begun());
        if requests.is_idle() || floods && asks {
            return Ok(());
        }
        begun = Some(requests.begun());
        patience = patience.max(GOODBYE);
    }
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
        // Streams that were opened and reset before they were looked at, in one go.
        .max_pending_accept_reset_streams(20)
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
