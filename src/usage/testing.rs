//! For tests: a record, a wait for what another thread does, and a receiver on a real socket.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::{Receiver, UsageRecord};
use crate::client::Outbound;
use crate::clock;
use crate::metering::Certainty;
use crate::secret::Secret;
use crate::tls;

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_mins(1);

/// A record of nothing much, made just now.
pub(super) fn record(request_id: &str) -> UsageRecord {
    UsageRecord {
        began: clock::unix_time(),
        took: Duration::from_micros(1_500_250),
        request_id: request_id.to_owned(),
        trace_id: None,
        user: None,
        tier: "pro".to_owned(),
        session_id: None,
        thread_id: None,
        route: "/v1/chat/completions",
        model: None,
        certainty: Certainty::Unknown,
        tokens: None,
        cost: None,
        status: 200,
        outcome: "ok",
    }
}

/// Waits until `is_so`.
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun: Instant = clock::monotonic();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What a receiver does with one POST; after the last it takes everything.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Status(u16),
    /// A status and a `Retry-After`.
    Later(u16, &'static str),
    /// Closes the connection within the answer's body.
    DiesInBody,
    /// Closes the connection before an answer.
    DiesBefore,
    /// Answers 200 when the test lets it.
    Held(Arc<tokio::sync::Notify>),
}

/// One POST as it came.
#[derive(Clone, Debug)]
pub(super) struct Came {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Came {
    /// The request ids of the batch's records.
    pub(super) fn ids(&self) -> Vec<String> {
        let records = self.body["records"].as_array().unwrap();
        let id = |record: &Value| record["request_id"].as_str().unwrap().to_owned();
        records.iter().map(id).collect()
    }

    pub(super) fn key(&self) -> &str {
        self.headers["idempotency-key"].to_str().unwrap()
    }
}

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    came: Vec<Came>,
}

/// A receiver on a port of its own, until it is dropped.
pub(super) struct TestReceiver {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    _runtime: tokio::runtime::Runtime,
}

impl TestReceiver {
    pub(super) fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), replies)
    }

    /// At an address that was free just now.
    pub(super) fn start_at(address: SocketAddr, replies: impl IntoIterator<Item = Reply>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            replies: replies.into_iter().collect(),
            came: Vec::new(),
        }));
        let serving = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self {
            address,
            state,
            _runtime: runtime,
        }
    }

    pub(super) fn came(&self) -> Vec<Came> {
        self.state.lock().unwrap().came.clone()
    }

    /// Every record's request id, in the order in which they came.
    pub(super) fn ids(&self) -> Vec<String> {
        self.came().iter().flat_map(Came::ids).collect()
    }

    pub(super) fn receiver(&self) -> Receiver {
        receiver(self.address, None)
    }
}

/// Who posts to `address`.
pub(super) fn receiver(address: SocketAddr, token: Option<&str>) -> Receiver {
    let outbound = Outbound::new(tls::client_config(&[]).unwrap(), Matcher::builder().build());
    let url = format!("http://{address}/usage?from=gateway")
        .parse()
        .unwrap();
    let token = token.map(Secret::new);
    Receiver::new(&url, token.as_ref(), Duration::from_secs(20), &outbound).unwrap()
}

/// An address where nobody listens.
pub(super) fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    // Both are closed together where a reply is to break off.
    let raw = stream.into_std().unwrap();
    let mut other = TcpStream::from_std(raw.try_clone().unwrap()).unwrap();
    let stream = TcpStream::from_std(raw).unwrap();
    let (broken, mut breaks) = tokio::sync::mpsc::channel::<bool>(1);
    let service = service_fn(move |request| answer(request, Arc::clone(&state), broken.clone()));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {}
        Some(in_body) = breaks.recv() => {
            if in_body {
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\":";
                let _ = other.write_all(head).await;
            }
            let _ = other.shutdown().await;
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
    broken: tokio::sync::mpsc::Sender<bool>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(Response::default());
    };
    let came = Came {
        path: head.uri.to_string(),
        headers: head.headers,
        body: serde_json::from_slice(&body.to_bytes()).unwrap(),
    };
    let reply = {
        let mut state = state.lock().unwrap();
        state.came.push(came);
        state.replies.pop_front().unwrap_or(Reply::Status(200))
    };
    let mut response = Response::new(Full::from("a body that nobody looks at"));
    match reply {
        Reply::Status(status) => *response.status_mut() = status.try_into().unwrap(),
        Reply::Later(status, after) => {
            *response.status_mut() = status.try_into().unwrap();
            let after = after.try_into().unwrap();
            response.headers_mut().insert("retry-after", after);
        }
        Reply::DiesInBody | Reply::DiesBefore => {
            let _ = broken.send(matches!(reply, Reply::DiesInBody)).await;
            std::future::pending::<()>().await;
        }
        Reply::Held(until) => until.notified().await,
    }
    Ok(response)
}
